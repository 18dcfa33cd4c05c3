"""Which camera a case's geometry means.

Signs, mirrored images, what is behind a source or out of sight.
"""

import numpy as np
import pytest
from calibration.known_points import in_python
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation
from tiny_case import SIZE, camera, refusal

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.placement import resolve_projection_signs, sees
from MultiViewRegistrationLib.io.view_record import ViewRecord

HERE = np.array([5.0, -8.0, 3.0])  # where the CT is
POINTS = HERE + np.random.default_rng(5).uniform(-30, 30, (20, 3))
MIRROR = np.array([[-1, 0, SIZE[0] - 1], [0, 1, 0], [0, 0, 1.0]])  # columns from right to left


def settled(*matrices, centre=HERE):
    field = "case.json: views[0].projection_matrix"
    records = [ViewRecord("AP", geometry=each, geometry_field=field) for each in matrices]
    return resolve_projection_signs(records, len(matrices) * [SIZE], centre)


@pytest.mark.parametrize("centre", [HERE, None])
def test_mirrored_image_with_positive_depths_has_a_negative_fx(centre):
    matrices = [0.01 * MIRROR @ camera(angle).projection_matrix for angle in (0, 60)]
    for found, matrix in zip(settled(*matrices, centre=centre), matrices):
        assert_allclose(np.diag(found.intrinsics), [-250, 250, 1], atol=1e-9)
        assert (found.depth(POINTS) > 600).all()
        assert_allclose(found.project(POINTS), in_python(matrix, POINTS), atol=1e-9)


@pytest.mark.parametrize(
    "matrix",
    [-MIRROR @ camera(0).projection_matrix, camera(0).projection_matrix @ np.diag([1, 1, 1, -1.0])],
)
def test_a_ct_behind_the_source_is_refused(matrix):
    assert np.linalg.det(matrix[:, :3]) > 0 > matrix[2] @ [*HERE, 1]
    message = refusal(settled, matrix)
    assert "views[0].projection_matrix has the CT at its start pose behind the X-ray" in message
    assert "multiply the matrix of a mirrored image by -1" in message


def test_without_a_start_pose_the_views_find_where_they_look():
    plain = [camera(angle).projection_matrix for angle in (-20, 30, 95)]
    for found, matrix in zip(settled(*(-each for each in plain), centre=None), plain):
        assert_allclose(found.projection_matrix, matrix, atol=1e-6)
    message = refusal(settled, plain[0] @ np.diag([1, 1, 1, -1.0]), *plain, centre=None)
    assert "the point where the views meet behind" in message


@pytest.mark.parametrize("angles", [(0,), (0, 2)])
def test_where_nothing_tells_a_negative_determinant_is_not_guessed_at(angles):
    plain = [camera(angle).projection_matrix for angle in angles]
    assert all(found.intrinsics[0, 0] > 0 for found in settled(*plain, centre=None))
    message = refusal(settled, *(-each for each in plain), centre=None)
    assert "may be that of a mirrored image" in message and "world_from_ct" in message


@settings(derandomize=True, max_examples=30)
@given(st.integers(0, 10**6))
def test_a_box_is_seen_where_some_of_its_points_fall_on_the_image(seed):
    """Who shows a point of a grid in the box sees the box.

    Who sees it shows one of the enlarged box.
    """
    random = np.random.default_rng(seed)
    axes = Rotation.random(random_state=seed).as_matrix() * random.uniform(1, 20, 3)
    shift = random.uniform(-1, 1, 3) * [120, 300, 120]
    world_from_index = rigid.from_rotation_translation(axes, shift)
    low, high = np.full(3, -0.5), random.integers(2, 10, 3) - 0.5
    view = camera(0, mirrored=bool(seed % 2))

    def shown(margin):
        wider = margin * (high - low)
        grid = np.meshgrid(*np.linspace(low - wider, high + wider, 21).T)
        points = rigid.transform_points(world_from_index, np.reshape(grid, (3, -1)).T)
        u, v = view.project(points).T
        return (view.depth(points) > 0) & (np.abs(u - 9.5) <= 10) & (np.abs(v - 7.5) <= 8)

    seen = sees(view, world_from_index, low, high)
    assert seen or not shown(0).any()
    assert not seen or shown(0.1).any()
