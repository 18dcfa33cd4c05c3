"""A bone that goes on beyond the CT: edges run along it, and none along the cut.

Its shape is known, so is where each edge is seen.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from MultiViewRegistrationLib.geometry.c_arm import CArm
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.report.overlays import film_of, live_layer

#: mm: the bone's radius, its wall, and the voxels.
RADIUS, WALL, VOXEL = 9.0, 3.0, 0.5
SIZE = 256
#: Angles of the C-arm: square to the bone, and so oblique that the cut faces the beam.
ANGLES = [(0, 0), (60, 20), (0, 50)]


@pytest.fixture(scope="module")
def bone() -> CT:
    """A hollow rod in water, 60 x 60 x 70 mm, round at +k and cut off at -k.

    Its mask is the rod.
    """
    k, j, i = (np.indices((140, 120, 120)).T - [0, 59.5, 59.5]).T * VOXEL
    top = 50.0
    from_axis = np.hypot(np.hypot(i, j), np.maximum(k - top, 0))
    rod, marrow = from_axis < RADIUS, from_axis < RADIUS - WALL
    values = np.where(rod & ~marrow, 1200.0, np.where(np.hypot(i, j) < 27, 0.0, -1000.0))
    affine = np.diag([VOXEL, VOXEL, VOXEL, 1.0])
    affine[:3, 3] = [-29.75, -29.75, -35]
    return CT(
        Volume(ndimage.gaussian_filter(values, 0.5, mode="nearest").astype(np.float32), affine),
        mask=rod,
    )


def camera_at(angles: tuple[float, float]) -> Camera:
    return CArm(
        source_to_detector_mm=1000,
        source_to_isocentre_mm=700,
        pixel_mm=(0.6, 0.6),
        size=(SIZE, SIZE),
        rao_lao_deg=angles[0],
        cra_cau_deg=angles[1],
    ).camera()


def surface(camera: Camera, along_mm: np.ndarray) -> np.ndarray:
    """(n, 360, 2): pixels of the rod's surface at places along it, mm of the CT."""
    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    ring = RADIUS * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    return camera.project(ring + along_mm[:, None, None] * [0, 0, 1])


def near(lines: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Distance, in pixels, of pixels (..., 2) from the nearest line."""
    distance = ndimage.distance_transform_edt(~lines)
    return ndimage.map_coordinates(
        distance, np.moveaxis(pixels[..., ::-1], -1, 0), order=1, mode="nearest"
    )


@pytest.mark.parametrize("angles", ANGLES)
@pytest.mark.parametrize("structure", [True, False], ids=["structure", "body"])
def test_edges_run_along_a_bone_and_not_along_its_cut(bone, angles, structure):
    """Drawn as if the CT were the whole bone it has a line along the cut."""
    anatomy = PreparedCT(bone if structure else replace(bone, mask=None))
    camera, pose = camera_at(angles), np.eye(4)
    drr = anatomy.drr(camera, pose, bones=True)
    film = film_of(XRay(np.nan_to_num(drr), np.ones(drr.shape, bool)))

    def lines(image) -> np.ndarray:
        return live_layer("edges", film, image, structure=structure)[..., 3] > 100

    cut = surface(camera, np.array([-35.25]))[0]
    naive = anatomy.projector(1, bones=True).render(camera, pose).image
    assert near(lines(naive), cut).min() < 2 < near(lines(drr), cut).min()
    # Its silhouette: of each ring the points farthest to both sides of the rod's axis as it is
    # seen.
    shaft = surface(camera, np.linspace(-28, 10, 39))
    upper, lower = camera.project(np.array([[0, 0, 20.0], [0, 0, -20.0]]))
    across = shaft @ np.array([[0, 1], [-1, 0]]) @ (upper - lower)
    ends = np.stack([across.argmin(1), across.argmax(1)], 1)
    sides = np.take_along_axis(shaft, ends[..., None], axis=1)
    assert (near(lines(drr), sides) < 3).mean() > 0.9, "no line along the shaft"
