"""A small body with blobs of bone, and views of it, for tests of the mechanics (accuracy is tested on other simulators' images)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.c_arm import CArm
from MultiViewRegistrationLib.imaging.ct import CT, attenuation
from MultiViewRegistrationLib.imaging.view import View
from MultiViewRegistrationLib.imaging.volume import Volume
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.rendering.drr import Projector

TRUE_POSE = rigid.from_rotation_translation(rigid.exp_so3([0.05, -0.1, 0.08]), [3.0, -4.0, 2.0])


def make_ct() -> CT:
    """96 mm of blobs within a ball of water, 2 mm voxels, centred on the origin."""
    random = np.random.default_rng(5)
    k, j, i = np.indices((48, 48, 48)) - 23.5
    hu = np.where(k**2 + j**2 + i**2 < 20**2, 0.0, -1000.0)
    blobs = ndimage.gaussian_filter(random.normal(size=hu.shape), 2.0)
    hu[(blobs > 1.2 * blobs.std()) & (k**2 + j**2 + i**2 < 18**2)] = 900.0
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -47.0
    return CT(Volume(ndimage.gaussian_filter(hu, 0.7).astype(np.float32), affine))


def make_views(
    ct: CT, angles=((0, 0), (90, 0)), size: int = 128, noise: float = 0.002, pose: np.ndarray = TRUE_POSE
) -> list[View]:
    """Views of the CT at a pose from C-arm angles (RAO/LAO, CRA/CAU)."""
    random = np.random.default_rng(7)
    projector = Projector(attenuation(ct))
    views = []
    for number, (primary, secondary) in enumerate(angles):
        camera = CArm(
            source_to_detector_mm=1000,
            source_to_isocentre_mm=700,
            pixel_mm=(160 / size, 160 / size),
            size=(size, size),
            rao_lao_deg=primary,
            cra_cau_deg=secondary,
        ).camera()
        image = projector.render(camera, pose).image
        image = 1.3 * image + 0.2 + noise * random.normal(size=image.shape)
        views.append(View(f"view{number + 1}", XRay(image.astype(np.float32), np.ones(image.shape, bool)), camera))
    return views


def off(pose: np.ndarray, rotation_deg, shift_mm) -> np.ndarray:
    """The pose turned about the world origin (degrees, rotation vector) and shifted (mm)."""
    return rigid.from_rotation_translation(rigid.exp_so3(np.radians(rotation_deg)), shift_mm) @ pose


def error_mm(pose: np.ndarray, true: np.ndarray = TRUE_POSE) -> float:
    """Mean distance of the corners of a 60 mm cube from where the true pose puts them."""
    corners = 30.0 * np.stack(np.meshgrid(*[(-1, 1)] * 3), -1).reshape(-1, 3)
    return float(
        np.linalg.norm(rigid.transform_points(pose, corners) - rigid.transform_points(true, corners), axis=1).mean()
    )
