"""The search without a start: its table of poses, what it finds, and what it says."""

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, make_ct, make_views, masked, off
from helpers.refusals import refuses
from numpy.testing import assert_allclose

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT, Volume, attenuation
from MultiViewRegistrationLib.registration.objective import Scorer
from MultiViewRegistrationLib.registration.optimizer import Range
from MultiViewRegistrationLib.registration.pose_table import COMPARISON, LYING, PoseTable, by_both
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.variants import search_whole_ct
from MultiViewRegistrationLib.rendering.drr import Projector


@pytest.fixture(scope="module")
def tall():
    """Four different phantoms on top of each other, 384 mm, of which X-rays of 160 mm show a part."""
    one = make_ct().volume
    parts = [np.roll(np.rot90(one.values, n, (1, 2)), 3 * n, 1) for n in range(4)]
    affine = one.ct_from_index.copy()
    affine[2, 3] = -191.0
    return PreparedCT(CT(Volume(np.ascontiguousarray(np.concatenate(parts)), affine)))


def showing(anatomy, height_mm, lying, tilt_deg):
    """A pose at which the isocentre lies so high in the CT."""
    turn = rigid.exp_so3(np.radians(tilt_deg)) @ lying
    return rigid.from_rotation_translation(turn, -turn @ [2.0, -3.0, height_mm])


@pytest.mark.slow
@pytest.mark.parametrize(("height_mm", "feet_first"), [(-140.0, 1), (40.0, 0)])
def test_any_part_of_a_ct_is_found_head_first_and_feet_first(tall, height_mm, feet_first):
    true = showing(tall, height_mm, LYING[feet_first], [12, -14, 10])
    views = make_views(tall.ct, ((5, 0), (80, 10)), pose=true)
    found = search_whole_ct(tall, views)
    there = rigid.inverse(true) @ found.world_from_ct  # about the isocentre's place in the CT
    seen = rigid.transform_points(rigid.inverse(true), np.zeros(3))
    assert np.linalg.norm(rigid.transform_points(there, seen) - seen) < 0.2
    assert not found.rim and found.candidates > 100_000 and found.search_seconds > 0


def test_a_score_at_a_pose_is_that_of_the_search(ct, anatomy, views):
    """Without a shift the DRR is normalised within the X-ray alone, as there."""
    views = [view.pooled(8) for view in views]
    projector = Projector(attenuation(ct))
    poses = np.stack([off(TRUE_POSE, [4 * n, -n, 2 * n], [n, -2 * n, 3 * n]) for n in range(5)])
    still, ncc, share = PoseTable(anatomy, views).shifted(projector, 1, poses, 0)
    assert_allclose(still, poses)
    expected = Scorer(projector, views, COMPARISON, np.zeros(3)).scores(poses).mean(axis=0)
    assert_allclose(ncc * np.sqrt(share), expected, atol=2e-3)


def test_what_is_best_by_either_score_comes_first():
    first = by_both(np.array([5.0, 4, 3, 1]), np.array([0.1, 0.2, 0.3, 0.9]))
    assert first.tolist() == [0, 3, 1, 2]


def test_a_pose_at_the_rim_of_the_table_is_said_to_be_there(tall):
    table = PoseTable(tall, make_views(tall.ct))
    assert table.rim(showing(tall, 0.0, LYING[1], [20, 0, 10])) == ""
    tilted = table.rim(showing(tall, 0.0, LYING[1], [34, 0, 0]))
    assert tilted == "tilted by 34 degrees, up to 30 were searched"
    assert "the end of the CT's bone" in table.rim(showing(tall, 250.0, LYING[0], [0, 0, 0]))


@pytest.mark.parametrize(
    "rotation_deg, shift_mm, sentence",
    [
        ([9.8, 0, 0], [0, 0, 0], "turned by 10 degrees, 10 degrees were searched"),
        ([0, 0, 0], [0, 22, 0], "22 mm from its middle, 20 mm were searched"),
    ],
)
def test_a_pose_at_the_rim_of_a_range_is_said_to_be_there(rotation_deg, shift_mm, sentence):
    there = off(TRUE_POSE, rotation_deg, shift_mm)
    assert Range(10, 20).rim(there, TRUE_POSE, np.zeros(3)) == sentence


@pytest.mark.slow
def test_x_rays_that_show_nothing_of_the_ct_are_refused(anatomy, views):
    """Of air alone."""
    upper = [masked(view, np.arange(128)[:, None] < 4) for view in views]
    with refuses("head first or feet first"):
        search_whole_ct(anatomy, upper)
