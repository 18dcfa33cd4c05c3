"""A body of which a part lies elsewhere than its pose has it: `assessment.parts`."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.bent_spine import POSE, anatomy, spine, targets, unbent_views, xrays

from MultiViewRegistrationLib.assessment import verdict
from MultiViewRegistrationLib.assessment.features import compute_features
from MultiViewRegistrationLib.assessment.parts import Part, divided, elsewhere
from MultiViewRegistrationLib.assessment.prediction import LIMITS
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.registration.pipeline import refine

START = rigid.translation([4.0, 3.0, -3.0]) @ POSE


def assessed(views):
    found = refine(anatomy(), views, START)
    return verdict.assess(anatomy(), views, found, START, np.array(targets()))


def moved_half(mm):
    """X-rays of the spine with its upper half to the left."""
    moved = rigid.translation([mm, 0.0, 0.0])
    return xrays(*spine(), [moved, moved, np.eye(4), np.eye(4)], POSE)


def part(points, *, similarity=0.9, shift_mm=0.1, wider_shift_mm=0.2, gain=0.2, **odd):
    looks = {"explained": 0.8, "contrast": 0.2} | odd
    return Part(
        points, similarity, shift_mm=shift_mm, wider_shift_mm=wider_shift_mm, gain=gain, **looks
    )


@pytest.fixture(scope="module")
def unbent():
    return assessed(unbent_views())


@pytest.mark.slow
def test_parts_hold_all_bone_that_is_shown_once(unbent):
    parts = divided(anatomy(), unbent_views(), POSE)
    points = np.concatenate(parts)
    assert len(np.unique(points, axis=0)) == len(points) > 0.9 * len(anatomy().bone_points())
    assert 2 <= len(parts) == len(unbent.features.parts)
    assert all(np.ptp(part, axis=0).max() < 120 for part in parts)


@pytest.mark.slow
def test_an_unbent_body_has_none_elsewhere(unbent):
    assert elsewhere(unbent.features.parts, unbent.targets) is None and not unbent.in_doubt
    assert max(part.shift_mm for part in unbent.features.parts) < 0.4
    assert not any("lies elsewhere" in reason for reason in unbent.reasons)


@pytest.mark.slow
def test_the_half_that_has_moved_is_named_and_the_body_never_accepted():
    assessment = assessed(moved_half(5.0))
    found = elsewhere(assessment.features.parts, assessment.targets)
    assert found is not None and assessment.verdict != "accept"
    assert found.reason in assessment.reasons
    assert assessment.prediction.failure_probability >= LIMITS.risks_elsewhere[found.proven]


@pytest.mark.quick_variants("8.0")
@pytest.mark.parametrize("mm", [3.0, 8.0])
def test_a_part_that_has_moved_fits_better_elsewhere_and_is_not_taken_for_covered(mm):
    """Half of the spine, by less and by more than it is tried elsewhere."""
    views, bone = moved_half(mm), anatomy().bone_points()
    found = refine(anatomy(), views, START)
    features = compute_features(anatomy(), views, found, START, bone)
    height = np.median(bone[:, 2])
    for part in features.parts:
        moved = part.points[:, 2].mean() > height
        assert (part.gain > -0.02) == moved and (part.gain < -0.05) == (not moved)
    for view in features.uncovered(views):
        pixels = view.camera.project(rigid.transform_points(POSE, bone))
        column, row = np.rint(pixels).astype(int).T
        assert view.xray.valid[row, column].mean() > 0.98


def test_only_parts_with_targets_count():
    """Six parts along the body, of which the upper one does not fit."""
    rng = np.random.default_rng(0)
    points = [rng.normal([0, 0, 50.0 * n], 5, size=(50, 3)) for n in range(6)]
    parts = [part(each) for each in points[:5]] + [part(points[5], similarity=0.3)]
    assert elsewhere(parts, points[0]) is None and elsewhere([], points[0]) is None
    found = elsewhere(parts, points[5])
    assert found.proven and found.reason.startswith("The upper part of the bone lies elsewhere")
    shifted = [part(points[0], shift_mm=3.0, wider_shift_mm=2.0), *parts[1:5]]
    found = elsewhere(shifted, np.concatenate(points))
    assert not found.unlike and found.reason.startswith("The lower part of")


PLACES = [np.full((50, 3), 50.0 * n) for n in range(8)]


def unlike(count, **odd):
    """What is found of eight parts, of which some do not resemble the X-rays."""
    odd_ones = [part(at, similarity=0.3, **odd) for at in PLACES[:count]]
    return elsewhere([*odd_ones, *map(part, PLACES[count:])], np.concatenate(PLACES))


def test_a_part_that_something_hides_is_no_proof():
    """Noise, so that an X-ray hardly resembles itself without it, or what has much more or less contrast than bone."""
    seen = unlike(1, explained=0.6, contrast=0.5)
    assert seen.proven and seen.reason.code == "part-displaced"
    for hidden in (unlike(1, explained=0.3), unlike(1, contrast=1.5)):
        assert hidden.unlike and not hidden.proven and hidden.reason.code == "part-hidden"


def test_a_part_that_fits_nowhere_better_is_in_place():
    assert unlike(1, gain=0.1).proven and unlike(1, gain=-0.1) is None
    doubtful = unlike(1, gain=0.0)
    assert doubtful.reason.code == "part-displaced" and not doubtful.proven
    assert unlike(1, contrast=1.5, gain=0.2) and unlike(1, contrast=1.5, gain=0.0) is None


def test_little_of_the_bone_may_be_hidden_whole():
    assert unlike(1, contrast=2.0, gain=0.0) is None
    assert unlike(2, contrast=2.0, gain=0.0).reason.code == "part-hidden"


@pytest.mark.slow
@pytest.mark.parametrize("mm", [0.0, 6.0])
def test_tools_over_a_part_do_not_hide_whether_it_has_moved(mm):
    """Bars over the upper half, between which bone shows."""
    points = anatomy().bone_points()
    upper = points[points[:, 2] > np.median(points[:, 2])]
    covered, bars = [], []
    for view in moved_half(mm):
        pixels = view.camera.project(rigid.transform_points(POSE, upper))
        (left, top), (right, bottom) = pixels.min(axis=0), pixels.max(axis=0)
        row, column = np.indices(view.xray.line_integrals.shape)
        inside = (row >= top) & (row <= bottom) & (column >= left) & (column <= right)
        bars.append(inside & (column % 40 < 8))
        image = view.xray.line_integrals + 3.0 * bars[-1]
        xray = replace(view.xray, line_integrals=image.astype(np.float32))
        covered.append(replace(view, xray=xray))
    said = assessed(covered)
    assert (said.verdict == "accept") == (mm == 0)
    for view, bar in zip(said.features.uncovered(covered), bars, strict=True):
        assert view.xray.valid[bar].mean() < 0.1
