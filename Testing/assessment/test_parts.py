"""A body of which a part lies elsewhere than its pose has it: `assessment.parts`."""

from dataclasses import replace

import numpy as np
import pytest
from bent_spine import spine, xrays

from MultiViewRegistrationLib.assessment import verdict
from MultiViewRegistrationLib.assessment.parts import Part, divided, elsewhere
from MultiViewRegistrationLib.assessment.prediction import ELSEWHERE
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT

POSE = rigid.from_rotation_translation(rigid.exp_so3([0.05, -0.03, 0.04]), [3.0, -2.0, 5.0])
START = rigid.from_rotation_translation(np.eye(3), [4.0, 3.0, -3.0]) @ POSE


def assessed(motions):
    ct, labels = spine()
    anatomy, views = PreparedCT(ct), xrays(ct, labels, motions, POSE)
    return verdict.assess(anatomy, views, refine(anatomy, views, START), START), anatomy, views


@pytest.fixture(scope="module")
def unbent():
    return assessed([np.eye(4)] * 4)


def test_parts_hold_all_bone_that_is_shown_once(unbent):
    assessment, anatomy, views = unbent
    parts = divided(anatomy, views, POSE)
    points = np.concatenate(parts)
    assert len(np.unique(points, axis=0)) == len(points) > 0.9 * len(anatomy.bone_points())
    assert 2 <= len(parts) == len(assessment.features.parts)
    assert all(np.ptp(part, axis=0).max() < 120 for part in parts)


def test_an_unbent_body_has_none_elsewhere(unbent):
    assessment, _, _ = unbent
    assert (
        elsewhere(assessment.features.parts, assessment.targets) is None and not assessment.in_doubt
    )
    assert max(part.shift_mm for part in assessment.features.parts) < 0.4
    assert not any("lies elsewhere" in reason for reason in assessment.reasons)


@pytest.mark.parametrize("mm", [5.0, 10.0])
def test_the_half_that_has_moved_is_named_and_the_body_never_accepted(mm):
    moved = rigid.from_rotation_translation(np.eye(3), [mm, 0.0, 0.0])
    assessment, _, _ = assessed([moved, moved, np.eye(4), np.eye(4)])
    found = elsewhere(assessment.features.parts, assessment.targets)
    assert found is not None and assessment.verdict != "accept"
    assert found.reason in assessment.reasons
    risk, _, upper = ELSEWHERE[found.proven]
    assert (
        assessment.prediction.failure_probability >= risk
        and assessment.prediction.upper95_mm >= upper
    )


def test_only_parts_with_targets_count():
    """Six parts along the body, of which the upper one does not fit."""
    middles = [np.array([0.0, 0.0, 50.0 * n]) for n in range(6)]
    points = [
        middle + np.random.default_rng(n).normal(scale=5, size=(50, 3))
        for n, middle in enumerate(middles)
    ]
    parts = [Part(each, 0.9 if n < 5 else 0.3, 0.8, 0.2, 0.1, 0.2) for n, each in enumerate(points)]
    assert elsewhere(parts, points[0]) is None
    found = elsewhere(parts, points[5])
    assert found.proven and found.reason.startswith("The upper part of the bone lies elsewhere")
    shifted = [
        Part(each, 0.9, 0.8, 0.2, *((0.1, 0.2) if n else (3.0, 2.0)))
        for n, each in enumerate(points)
    ]
    found = elsewhere(shifted, np.concatenate(points))
    assert not found.unlike and found.reason.startswith("The lower part of")
    assert elsewhere([], points[0]) is None


def test_a_part_that_something_hides_is_no_proof():
    """Noise, so that an X-ray hardly resembles itself without it, or what has much more or less contrast than bone."""

    def found(explained: float, contrast: float):
        points = [np.full((50, 3), 50.0 * n) for n in range(6)]
        parts = [Part(at, 0.9, 0.8, 0.2, 0.1, 0.2) for at in points[:5]]
        parts.append(Part(points[5], 0.3, explained, contrast, 0.1, 0.2))
        return elsewhere(parts, np.concatenate(points))

    assert found(0.6, 0.5).proven and found(0.6, 0.5).reason.code == "part-displaced"
    for hidden in (found(0.3, 0.5), found(0.6, 1.5)):
        assert hidden.unlike and not hidden.proven and hidden.reason.code == "part-hidden"


def test_tools_over_a_part_ask_to_look_and_do_not_reject(unbent):
    """Bars over one part of a body whose pose is right."""
    assessment, anatomy, views = unbent
    part = max(assessment.features.parts, key=lambda part: part.points[:, 2].mean())
    covered = []
    for view in views:
        pixels = view.camera.project(rigid.transform_points(POSE, part.points))
        (left, top), (right, bottom) = pixels.min(axis=0), pixels.max(axis=0)
        row, column = np.indices(view.xray.line_integrals.shape)
        inside = (row >= top) & (row <= bottom) & (column >= left) & (column <= right)
        image = view.xray.line_integrals + 3.0 * (inside & (column % 12 < 5))
        xray = replace(view.xray, line_integrals=image.astype(np.float32))
        covered.append(replace(view, xray=xray))
    said = verdict.assess(anatomy, covered, refine(anatomy, covered, START), START)
    assert said.verdict == "check"
    assert "part-hidden" in [reason.code for reason in said.reasons]
