"""Poses to train on: what is drawn lies in the range and fills it, axes move the image as they say, DiffPose's moments, refusals."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.c_arm import CArm
from MultiViewRegistrationLib.regressor.poses import AXES, NEIGHBOURS, PoseRange, key_of, neighbours

WIDTHS = dict(orbital_deg=15.0, tilt_deg=15.0, roll_deg=30.0, columns_mm=50.0, rows_mm=75.0, beam_mm=60.0)
SEARCH = {"rotation_deg": 15.0, "translation_mm": 45.0}
CENTROID = np.array([40.0, -130.0, 900.0])
CORNERS = CENTROID + 120.0 * np.stack(np.meshgrid(*[(-1, 1)] * 3), -1).reshape(-1, 3)
SIZE = 300, 320


def c_arm(primary=0.0, secondary=0.0, **others):
    return CArm(
        **{
            "source_to_detector_mm": 1000,
            "source_to_isocentre_mm": 700,
            "pixel_mm": (1.0, 1.0),
            "size": SIZE,
            "rao_lao_deg": primary,
            "cra_cau_deg": secondary,
            **others,
        }
    ).camera()


def at_the_isocentre(turn=(0.1, -0.2, 0.3)):
    """A pose with the centroid in the isocentre."""
    R = rigid.exp_so3(turn)
    return rigid.from_rotation_translation(R, -R @ CENTROID)


def some_range(camera=None, world_from_ct=None, **others):
    world_from_ct = at_the_isocentre() if world_from_ct is None else world_from_ct
    return PoseRange(
        **{**WIDTHS, **others},
        camera=camera or c_arm(20, 10, roll_deg=15, isocentre_offset_mm=(5, -8)),
        world_from_ct=world_from_ct,
        centroid=CENTROID,
    )


values = st.tuples(*[st.floats(-width, width) for width in (179, 89, 179, 300, 300, 300)]).map(np.array)


def test_what_is_drawn_lies_in_the_range_and_fills_it_evenly():
    reach = some_range(world_from_ct=rigid.from_rotation_translation(np.eye(3), [30, 0, -20]) @ at_the_isocentre())
    poses = reach.sample(key_of(0), range(4000))
    assert poses.shape == (4000, 4, 4) and poses.dtype == np.float64
    assert reach.contains(poses).all()
    shares = reach.values(poses) / reach.half_widths
    assert np.abs(shares).max() <= 1 + 1e-9
    for share, axis in zip(shares.T, AXES):
        assert stats.kstest(share, stats.uniform(-1, 2).cdf).pvalue > 1e-3, axis
    assert np.abs(np.corrcoef(shares.T) - np.eye(6)).max() < 0.06


def test_by_another_way_too_it_lies_in_the_range():
    """The centroid's shift in the camera, and the total angle, without the range's own `values`."""
    reach = some_range()
    poses = reach.sample(key_of(1), range(2000))
    shift = rigid.transform_points(poses, CENTROID) - rigid.transform_points(reach.world_from_ct, CENTROID)
    largest = np.abs(rigid.rotate(reach.camera.camera_from_world, shift)).max(axis=0)
    assert (largest <= [50, 75, 60]).all() and (largest > [49.5, 74.5, 59.5]).all()
    angles = np.degrees(rigid.rotation_distance(poses, reach.world_from_ct))
    assert 30 < angles.max() < np.linalg.norm([15, 15, 30]) + 1
    np.testing.assert_allclose(Rotation.from_matrix(poses[:, :3, :3]).as_matrix(), poses[:, :3, :3], atol=1e-12)


def test_the_same_seed_gives_the_same_poses():
    reach = some_range()
    first, again, other = (reach.sample(key_of(seed), range(5)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@given(values)
@settings(deadline=None, max_examples=60)
def test_values_are_found_again(at):
    reach = some_range()
    pose = reach.poses(at)
    np.testing.assert_allclose(reach.values(pose), at, atol=1e-6)
    assert reach.contains(pose) == (np.abs(at) <= reach.half_widths + 1e-6).all()


def test_the_nominal_pose_is_its_middle():
    reach = some_range()
    np.testing.assert_allclose(reach.poses(np.zeros(6)), reach.world_from_ct, atol=1e-10)
    assert reach.values(np.stack([reach.world_from_ct] * 2)).shape == (2, 6)
    np.testing.assert_allclose(reach.centre, 0, atol=1e-9)


@given(values)
@settings(deadline=None, max_examples=40)
def test_turns_are_those_of_the_c_arm(at):
    """From 0/0 and about the isocentre, the CT turned shows what the C-arm at these angles shows."""
    reach = some_range(c_arm())
    turned = reach.poses([*at[:3], 0, 0, 0])
    points = CENTROID + 60 * np.stack(np.meshgrid(*[(-1, 0, 1)] * 3), -1).reshape(-1, 3)
    shown = c_arm().project(rigid.transform_points(turned, points))
    expected = c_arm(at[0], at[1], roll_deg=at[2]).project(rigid.transform_points(reach.world_from_ct, points))
    np.testing.assert_allclose(shown, expected, atol=1e-6)


def image_of(reach, axis, value, offset):
    """Where a point shows that lies by `offset` (camera's axes, mm) from the centroid, before and after a motion along one axis."""
    point = CENTROID + rigid.rotate(rigid.inverse(reach.camera.camera_from_world @ reach.world_from_ct), offset)
    pose = reach.poses(value * np.eye(6)[AXES.index(axis)])
    return [reach.camera.project(rigid.transform_points(T, point)) for T in (reach.world_from_ct, pose)]


@pytest.mark.parametrize(
    "axis, value, offset, moved",
    [
        ("columns_mm", 7, (0, 0, 0), (10, 0)),  # 7 mm at 700 of 1000 mm are 10 pixels of 1 mm
        ("rows_mm", 14, (0, 0, 0), (0, 20)),  # down
        ("beam_mm", 50, (0, 0, 0), (0, 0)),
        ("beam_mm", 50, (70, 0, 0), (70 * 1000 / 750 - 100, 0)),  # away from the source all becomes smaller
        ("orbital_deg", 10, (0, 0, 0), (0, 0)),  # turns are about the centroid
        ("tilt_deg", 10, (0, 0, 0), (0, 0)),
        ("roll_deg", 10, (0, 0, 0), (0, 0)),
        ("roll_deg", 90, (70, 0, 0), (-100, 100)),  # clockwise: what was on the right comes down
        (
            "tilt_deg",
            30,
            (0, 0, 70),
            (0, 1000 * 35 / (700 + 70 * np.sqrt(0.75))),
        ),  # cranial: the front goes to the feet
        (
            "orbital_deg",
            30,
            (0, 0, 70),
            (1000 * 35 / (700 + 70 * np.sqrt(0.75)), 0),
        ),  # to LAO: the front goes to the patient's right
    ],
)
def test_axes_move_the_image_as_they_say(axis, value, offset, moved):
    for camera in (c_arm(), c_arm(35, -20, roll_deg=50)):  # wherever the first view stands
        before, after = image_of(some_range(camera), axis, value, np.array(offset, float))
        np.testing.assert_allclose(after - before, moved, atol=1e-6)
    before, after = image_of(some_range(c_arm(35, mirrored=True)), axis, value, np.array(offset, float))
    np.testing.assert_allclose(after - before, np.array(moved) * (-1, 1), atol=1e-6)


@pytest.mark.parametrize("name", AXES)
def test_a_half_width_of_0_holds_its_axis(name):
    reach = some_range(**{name: 0})
    values = reach.values(reach.sample(key_of(2), range(200)))
    assert np.abs(values[:, AXES.index(name)]).max() < 1e-9
    assert (np.delete(np.abs(values).max(axis=0), AXES.index(name)) > 10).all()


@pytest.mark.parametrize(
    "field, value, words",
    [
        ("orbital_deg", -1, "training.orbital_deg: found -1, expected 0 to 180"),
        ("tilt_deg", 91, "training.tilt_deg: found 91, expected 0 to 90"),
        ("roll_deg", 181, "expected 0 to 180"),
        ("rows_mm", -0.1, "training.rows_mm: found -0.1, expected 0 or more"),
        ("beam_mm", float("nan"), "training.beam_mm: found NaN"),
        ("columns_mm", float("inf"), "training.columns_mm"),
        ("columns_mm", "wide", "training.columns_mm"),
    ],
)
def test_half_widths_that_are_none_are_refused(field, value, words):
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        some_range(**{field: value})
    assert str(caught.value).count(". ") == 0


def test_a_range_of_nothing_is_refused():
    with pytest.raises(InputError, match="all ranges are 0"):
        some_range(**dict.fromkeys(AXES, 0))


CAMERAS = {"AP": c_arm(0), "lateral": c_arm(90)}


def of_case(training=None, search=SEARCH, cameras=CAMERAS, world_from_ct=None):
    return PoseRange.of_case(
        cameras, at_the_isocentre() if world_from_ct is None else world_from_ct, CENTROID, CORNERS, search, training
    )


def test_a_case_without_training_is_trained_on_what_is_searched():
    reach = of_case()
    np.testing.assert_array_equal(reach.half_widths, [15, 15, 15, 45, 45, 45])
    assert reach.camera is CAMERAS["AP"]
    rng = np.random.default_rng(5)
    turns, shifts = rng.normal(size=(2, 500, 3))
    turns *= np.radians(15) / np.linalg.norm(turns, axis=1, keepdims=True)
    shifts *= 45 / np.linalg.norm(shifts, axis=1, keepdims=True)
    searched = (
        rigid.about(reach.centre, rigid.from_rotation_translation(rigid.exp_so3(turns), shifts)) @ reach.world_from_ct
    )
    assert reach.contains(searched).all()


def test_training_takes_the_place_of_the_search_axis_by_axis():
    reach = of_case({"roll_deg": 30, "rows_mm": 20})
    np.testing.assert_array_equal(reach.half_widths, [15, 15, 30, 45, 20, 45])


def test_a_wide_search_is_narrowed_to_what_the_field_allows():
    reach = of_case(search={"rotation_deg": 180, "translation_mm": 400})
    np.testing.assert_array_equal(reach.half_widths[:3], [180, 90, 180])
    assert 50 < reach.columns_mm < 300 and reach.columns_mm == reach.rows_mm == reach.beam_mm
    reach.check_field(CAMERAS, CORNERS)
    with pytest.raises(InputError):
        replace(reach, columns_mm=400, rows_mm=400).check_field(CAMERAS, CORNERS)


@pytest.mark.parametrize(
    "training, words",
    [
        ({"columns_mm": 400}, 'columns_mm -?400.* out of the field of view "AP"'),
        ({"beam_mm": 800}, 'beam_mm -800.* out of the field of view "AP"'),  # behind the source
        ({"columns_mm": 0, "rows_mm": 0, "beam_mm": 400}, 'beam_mm .*400.* view "lateral"'),
    ],
)
def test_ranges_that_put_the_ct_out_of_the_field_are_refused(training, words):
    with pytest.raises(InputError, match=words) as caught:
        of_case(training)
    assert str(caught.value).count(". ") == 0 and str(caught.value).startswith("training: at ")


def test_a_start_out_of_the_field_is_refused_as_such():
    with pytest.raises(InputError, match='world_from_ct: .*view "AP"'):
        of_case(world_from_ct=np.eye(4))


def test_a_key_that_is_not_known_warns():
    with pytest.warns(UserWarning, match='"orbit_deg".*"orbital_deg"'):
        assert of_case({"orbit_deg": 3, "rows_mm": 10}).orbital_deg == 15


def test_what_lies_around_a_structure_turns_about_its_centroid_and_shifts():
    motions = neighbours(CENTROID, 8.0, 4.0).sample(key_of(1), range(4000), NEIGHBOURS)
    shifts = rigid.transform_points(motions, CENTROID) - CENTROID
    turns = np.degrees(rigid.log_so3(motions[:, :3, :3]))
    for number, sd in [*((turn, 8.0) for turn in turns.T), *((shift, 4.0) for shift in shifts.T)]:
        assert stats.kstest(number, stats.norm(0, sd).cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(np.concatenate([turns, shifts], axis=1).T) - np.eye(6)).max() < 0.06


def test_poses_of_neighbouring_keys_have_nothing_to_do_with_each_other():
    """As those of the steps of a training: together still even, and not alike at the same number; any part can be drawn alone."""
    poses = some_range()
    depths = np.stack(
        [poses.sample(key_of(0, stream, step), range(16))[:, 2, 3] for stream in (0, 2) for step in range(100)]
    )
    assert len(np.unique(depths)) == depths.size
    assert np.abs(np.corrcoef(depths.T) - np.eye(16)).max() < 0.3
    assert abs(np.corrcoef(depths[:100].ravel(), depths[100:].ravel())[0, 1]) < 0.08
    np.testing.assert_array_equal(poses.sample(key_of(3), range(17, 40)), poses.sample(key_of(3), range(40))[17:])
