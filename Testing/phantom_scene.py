"""The phantom and its views as a registration in a scene."""

from __future__ import annotations

import numpy as np
from phantom import TRUE_POSE

from MultiViewRegistrationLib.imaging.ct import CT
from MultiViewRegistrationLib.imaging.view import View


def make_registration(scene, ct: CT, views: list[View], pose: np.ndarray = TRUE_POSE, name: str = "Registration"):
    """A `scene.registration.Registration` of a CT at a pose and views, whose images are line integrals."""
    from MultiViewRegistrationLib.scene.image import set_source
    from MultiViewRegistrationLib.scene.loading import camera_content, volume_node
    from MultiViewRegistrationLib.scene.registration import Registration

    registration = Registration.create(scene, name)
    registration.ct = volume_node(scene, "Phantom", ct.volume.values, ct.volume.ct_from_index)
    for view in views:
        xray = registration.add_xray(view.name)
        xray.change(camera=camera_content(view.camera), intensity="log", rotation_sd_deg=view.rotation_sd_deg,
                    translation_sd_mm=view.translation_sd_mm)
        set_source(xray, volume_node(scene, f"{view.name} image", view.xray.line_integrals[None], np.eye(4)))
    registration.world_from_ct = pose
    return registration
