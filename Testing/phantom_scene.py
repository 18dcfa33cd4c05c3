"""The phantom and its views as a registration in a scene, for tests that need something to register in a moment."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from phantom import TRUE_POSE, make_ct, make_views, off

from MultiViewRegistrationLib.imaging.ct import CT
from MultiViewRegistrationLib.imaging.view import View

#: As a person leaves a CT who set it about right.
START = off(TRUE_POSE, [2.0, -3.0, 2.0], [4.0, -3.0, 5.0])


@lru_cache(maxsize=1)
def phantom() -> tuple:
    """The CT and its views; not to be changed."""
    ct = make_ct()
    return ct, make_views(ct)


def phantom_registration(scene, name: str = "Phantom", world_from_ct: np.ndarray = START):
    """A registration of the phantom, its CT at a pose, with the X-rays view1 and view2."""
    from MultiViewRegistrationLib.imaging.xray import RawImage
    from MultiViewRegistrationLib.scene.image import set_source
    from MultiViewRegistrationLib.scene.loading import camera_content, source_node, volume_node
    from MultiViewRegistrationLib.scene.registration import Registration

    ct, views = phantom()
    registration = Registration.create(scene, name)
    registration.ct = volume_node(scene, f"{name} CT", ct.volume.values, ct.volume.ct_from_index)
    registration.world_from_ct = world_from_ct
    for given in views:
        view = registration.add_xray(given.name)
        image = given.xray.line_integrals
        view.change(camera=camera_content(given.camera), intensity="log", pixel_mm=[1.25, 1.25])
        set_source(view, source_node(view, f"{given.name} image", RawImage(image, 0.0, float(image.max()))))
    return registration


def phantom_session(scene, name: str = "Phantom", world_from_ct: np.ndarray = START):
    """A session with it, its CT made ready."""
    from MultiViewRegistrationLib.scene.session import Session

    session = Session(phantom_registration(scene, name, world_from_ct))
    session.prepare()
    session.finish()
    return session


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
