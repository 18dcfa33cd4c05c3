"""DRRs of slot scans against line integrals by scipy along the rays of the description, and their derivatives by finite differences."""

import numpy as np
import pytest
from helpers.finite_differences import changes
from numpy.testing import assert_allclose
from scenes import slot_scene
from scipy.ndimage import map_coordinates

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.rendering.drr import Projector

STEP_MM = 0.1
#: Half the length of a central difference by the pose, in rad and mm.
TWIST = np.repeat([1e-4, 0.005], 3)


def by_scipy(volume, scan, world_from_ct):
    """Trilinear samples along each ray, from the source on.

    Air beyond the outermost voxels' layer.
    """
    (columns, rows), padded = scan.size, np.pad(volume.values.astype(float), 1)
    u, v = np.meshgrid(np.arange(columns) - scan.central_column, np.arange(rows))
    pixel_x, pixel_y = scan.pixel_mm
    across = pixel_x * u[..., None] * np.array(scan.columns_along)
    along = pixel_y * v[..., None] * np.array(scan.rows_along)
    beam = scan.source_to_isocentre_mm * np.array(scan.isocentre_to_source)
    source = scan.isocentre + beam + along
    rays = rigid.unit(across - beam)
    index_from_world = np.linalg.inv(world_from_ct @ volume.ct_from_index)
    total = np.zeros((rows, columns))
    for distance in np.arange(0, 400, STEP_MM) + STEP_MM / 2:
        i, j, k = np.moveaxis(
            rigid.transform_points(index_from_world, source + distance * rays), -1, 0
        )
        total += map_coordinates(padded, np.array([k, j, i]) + 1, order=1) * STEP_MM
    return total


@pytest.mark.slow
@pytest.mark.parametrize("seed, leading, mirrored", [(0, 0, False), (1, 1, True), (2, 2, False)])
def test_image_is_the_line_integrals_of_scipy(seed, leading, mirrored):
    volume, scan, world_from_ct = slot_scene(seed, leading, mirrored)
    expected = by_scipy(volume, scan, world_from_ct)
    image = Projector(volume).render(scan.camera(), world_from_ct).image
    assert 0.02 < np.mean(expected == 0) < 0.8  # some rays miss
    # Joseph's sum over planes and the fine trilinear one differ by what a voxel's linear
    # interpolation leaves open.
    assert_allclose(image, expected, rtol=0, atol=0.01 * expected.max())
    assert np.abs(image - expected).mean() < 1e-3 * expected.max()


@pytest.mark.parametrize("seed, leading, mirrored", [(3, 0, True), (4, 1, False), (5, 2, True)])
def test_jacobian_is_the_change_of_the_image_as_the_ct_moves(seed, leading, mirrored):
    volume, scan, world_from_ct = slot_scene(seed, leading, mirrored)
    projector, camera, pivot = Projector(volume), scan.camera(), world_from_ct[:3, 3] + [20, -10, 5]
    jacobian = projector.render(camera, world_from_ct, jacobian=True, pivot=pivot).jacobian

    def image(twist):
        near = rigid.moved(world_from_ct, twist, pivot)
        return projector.render(camera, near).image.astype(float)

    expected = changes(image, np.diag(TWIST)) / TWIST[:, None, None]
    for ours, theirs in zip(jacobian, expected, strict=True):
        assert np.linalg.norm(ours - theirs) < 0.01 * np.linalg.norm(theirs)
