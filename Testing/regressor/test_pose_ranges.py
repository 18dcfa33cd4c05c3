"""Poses to train on: random poses lie in the range and fills it, axes move the image as they say, refusals."""

import numpy as np
import pytest
from helpers import phantom
from helpers.refusals import refuses
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.regressor.poses import AXES, PoseRange

WIDTHS = dict(
    orbital_deg=15.0, tilt_deg=15.0, roll_deg=30.0, columns_mm=50.0, rows_mm=75.0, beam_mm=60.0
)
CENTROID = np.array([40.0, -130.0, 900.0])
CORNERS = CENTROID + 4 * phantom.CORNERS


def c_arm(primary=0.0, secondary=0.0, **others):
    return phantom.c_arm(primary, secondary, pixel_mm=(1.0, 1.0), size=(300, 320), **others)


def at_the_isocentre():
    """A pose with the centroid in the isocentre."""
    R = rigid.exp_so3((0.1, -0.2, 0.3))
    return rigid.from_rotation_translation(R, -R @ CENTROID)


def some_range(camera=None, **widths):
    camera = camera or c_arm(20, 10, roll_deg=15, isocentre_offset_mm=(5, -8))
    half_widths = np.array([(WIDTHS | widths)[axis] for axis in AXES])
    return PoseRange(camera, at_the_isocentre(), CENTROID, half_widths)


values = st.tuples(*[st.floats(-width, width) for width in (179, 89, 179, 300, 300, 300)]).map(
    np.array
)


def test_random_poses_fill_the_range_evenly():
    reach = some_range(rows_mm=0.0)
    poses = reach.sample(np.random.default_rng(0), 4000)
    shares = reach.values(poses) / np.maximum(reach.half_widths, 1)
    assert np.abs(shares).max() <= 1 + 1e-9 and np.abs(shares[:, 4]).max() < 1e-9
    shares = np.delete(shares, 4, axis=1)
    for share in shares.T:
        assert stats.kstest(share, stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(shares.T) - np.eye(5)).max() < 0.06


@given(values)
@settings(deadline=None, max_examples=60)
def test_values_are_found_again_and_turns_are_those_of_the_c_arm(at):
    """From 0/0 and about the isocentre, the CT turned shows what the C-arm at these angles shows."""
    assert_allclose(some_range().values(some_range().poses(at)), at, atol=1e-6)
    reach = some_range(c_arm())
    turned = reach.poses([*at[:3], 0, 0, 0])
    points = CENTROID + 60 * np.stack(np.meshgrid(*[(-1, 0, 1)] * 3), -1).reshape(-1, 3)
    shown = c_arm().project(rigid.transform_points(turned, points))
    expected = c_arm(at[0], at[1], roll_deg=at[2]).project(
        rigid.transform_points(reach.world_from_ct, points)
    )
    assert_allclose(shown, expected, atol=1e-6)


def shift_px(reach, axis, value, offset):
    """How far a motion along one axis moves what shows of a point that lies by `offset` (camera's axes, mm) from the centroid."""
    camera_from_ct = reach.camera.camera_from_world @ reach.world_from_ct
    point = CENTROID + rigid.rotate(rigid.inverse(camera_from_ct), np.array(offset, float))
    poses = reach.world_from_ct, reach.poses(value * np.eye(6)[AXES.index(axis)])
    before, after = (reach.camera.project(rigid.transform_points(pose, point)) for pose in poses)
    return after - before


FRONT = 1000 * 35 / (700 + 70 * np.sqrt(0.75))


@pytest.mark.parametrize(
    "axis, value, offset, moved",
    [
        ("columns_mm", 7, (0, 0, 0), (10, 0)),  # 7 mm at 700 of 1000 mm are 10 pixels of 1 mm
        ("rows_mm", 14, (0, 0, 0), (0, 20)),  # down
        (
            "beam_mm",
            50,
            (70, 0, 0),
            (70 * 1000 / 750 - 100, 0),
        ),  # away from the source all becomes smaller
        ("roll_deg", 90, (70, 0, 0), (-100, 100)),  # clockwise: what was on the right comes down
        ("tilt_deg", 30, (0, 0, 70), (0, FRONT)),  # cranial: the front goes to the feet
        (
            "orbital_deg",
            30,
            (0, 0, 70),
            (FRONT, 0),
        ),  # to LAO: the front goes to the patient's right
    ],
)
def test_axes_move_the_image_as_they_say(axis, value, offset, moved):
    for camera in (c_arm(), c_arm(35, -20, roll_deg=50)):  # wherever the first view stands
        assert_allclose(shift_px(some_range(camera), axis, value, offset), moved, atol=1e-6)
    mirrored = shift_px(some_range(c_arm(35, mirrored=True)), axis, value, offset)
    assert_allclose(mirrored, np.array(moved) * (-1, 1), atol=1e-6)


CAMERAS = {"AP": c_arm(0), "lateral": c_arm(90)}


def of_case(training=None, search=(15.0, 45.0), world_from_ct=None):
    world_from_ct = at_the_isocentre() if world_from_ct is None else world_from_ct
    search = dict(zip(("rotation_deg", "translation_mm"), search))
    return PoseRange.of_case(CAMERAS, world_from_ct, CENTROID, CORNERS, search, training or {})


def test_a_case_without_training_is_trained_on_what_is_searched():
    assert_array_equal(
        of_case({"roll_deg": 30, "rows_mm": 20}).half_widths, [15, 15, 30, 45, 20, 45]
    )
    reach = of_case()
    assert_array_equal(reach.half_widths, [15, 15, 15, 45, 45, 45])
    assert reach.camera is CAMERAS["AP"]
    turns, shifts = np.random.default_rng(5).normal(size=(2, 500, 3))
    turns *= np.radians(15) / np.linalg.norm(turns, axis=1, keepdims=True)
    shifts *= 45 / np.linalg.norm(shifts, axis=1, keepdims=True)
    searched = rigid.about(reach.centre, rigid.turn_and_shift(turns, shifts)) @ reach.world_from_ct
    assert (np.abs(reach.values(searched)) <= reach.half_widths + 1e-6).all()


def test_a_wide_search_is_narrowed_to_what_the_field_allows():
    reach = of_case(search=(180, 400))
    assert_array_equal(reach.half_widths[:3], [180, 90, 180])
    assert 50 < reach.half_widths[3] < 300 and len(set(reach.half_widths[3:])) == 1


@pytest.mark.parametrize(
    "training, words",
    [
        ({"columns_mm": 400}, 'columns_mm -?400.* out of the field of view "AP"'),
        ({"columns_mm": 0, "rows_mm": 0, "beam_mm": 400}, 'beam_mm .*400.* view "lateral"'),
    ],
)
def test_ranges_that_put_the_ct_out_of_the_field_are_refused(training, words):
    with refuses(f"^training: at .*{words}"):
        of_case(training)


def test_a_start_out_of_the_field_is_refused():
    with refuses('world_from_ct: .*view "AP"'):
        of_case(world_from_ct=np.eye(4))
