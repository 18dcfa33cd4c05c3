"""The page of an evaluation tells failures, and what one view cannot see."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from phantom import TRUE_POSE, make_ct, make_views, off

from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.studies.evaluation import (
    Agreement,
    CaseOutcome,
    Evaluation,
    EvaluationSetup,
    FailedCase,
    MotionOutcome,
    RegistrationRecord,
)
from MultiViewRegistrationLib.studies.evaluation_page import page
from MultiViewRegistrationLib.studies.motion_check import Motion

TARGETS = np.array([[0.0, 0, 0], [30, 0, 0], [0, 30, 0], [0, 0, 30]])
SETUP = EvaluationSetup(starts=2, max_start_error_mm=4.0)
CAMERAS = [view.camera for view in make_views(make_ct(), noise=0.0)]


def run(start_mm, shift_mm, cameras=CAMERAS):
    errors = metrics.errors(cameras, off(TRUE_POSE, [0, 0, 0], shift_mm), TRUE_POSE, TARGETS, [None] * len(cameras))
    return RegistrationRecord(start_mm, errors, 0.2)


def told(cases, motions=()):
    return page(Evaluation(cases, list(motions), SETUP), "Some cases.")


def test_failures_and_missing_answers_are_counted_and_listed():
    text = told(
        [
            CaseOutcome("hip-01", 2, [run(1.0, [0.1, 0, 0]), run(3.0, [5, 0, 0])], None),
            CaseOutcome("hip-02", 2, [run(1.5, [0, 0.1, 0]), RegistrationRecord(3.5, None, None)], None),
        ]
    )
    assert "| hip | 2 | 4 | 50.0 %" in text
    assert "2 of 4 under 1 mm" in text
    assert "| hip-01 | 3.0 | 5.00 |" in text and "| hip-02 | 3.5 | no answer" in text
    assert "| unknown |" in text  # mPD, without a pixel size
    assert "nan" not in text and "Some cases." in text


def test_cases_of_a_cohort_that_failed_are_listed_and_not_counted():
    cases = [CaseOutcome("hip-01", 2, [run(1.0, [0.1, 0, 0])], None)]
    evaluation = Evaluation(
        cases,
        [],
        SETUP,
        shared=True,
        failed=[FailedCase("/cases/hip-02", "a|b: found\nnothing.")],
    )
    text = page(evaluation)
    assert "| hip | 1 | 1 |" in text and "| /cases/hip-02 | a\\|b: found nothing. |" in text
    assert "Processes shared the cases" in text and "Not evaluated" not in page(replace(evaluation, failed=[]))


def test_one_view_shows_its_depth_error():
    # The first view looks along +y: the patient's front to back.
    text = told([CaseOutcome("hip-01", 1, [run(1.0, [0, 0.8, 0], CAMERAS[:1])], None)])
    row = next(line for line in text.splitlines() if line.startswith("| hip | 1 |") and "(" in line and "%" not in line)
    in_plane, depth = (float(cell.split()[0]) for cell in row.split("|")[3:5])
    assert depth > 0.75 > 0.1 > in_plane


def test_agreement_and_motion_have_their_tables():
    agreement = Agreement([0.1, 2.0, 0.2], [0.05, 9.0, 0.1], [0.5, 0.5, 0.5])
    motion = MotionOutcome("a", "b", "lateral", Motion(40, (6.0, -4.0), (0.3, 0.4)))
    text = told([CaseOutcome("ulna", 2, [], agreement)], [motion])
    assert "| ulna | 2 of 3 | 0.100 | 0.20 | 0.50 |" in text
    assert "| a | b | lateral | 40 | (6.00, -4.00) | (0.30, 0.40) | 0.50 |" in text


def test_a_search_tells_its_range_poses_gaps_and_misses():
    right, wrong = (
        replace(run(20.0, [0.1, 0, 0]), candidates=256, evidence_ratio=2.5),
        replace(run(30.0, [9, 0, 0]), candidates=1024, evidence_ratio=1.05),
    )
    wrong = replace(wrong, picture="hip-01-from-30.0mm.jpg")
    evaluation = Evaluation(
        [CaseOutcome("hip-01", 2, [right, wrong], None)],
        [],
        EvaluationSetup(starts=2, search=(18, 55), start="search"),
        pictures={wrong.picture: b"picture"},
    )
    text = page(evaluation, title="Searches", pictures="folder")
    assert text.startswith("# Searches") and "within 18 degrees and 55 mm" in text and "capture range" not in text
    assert "| hip | 1 | 2 | 50.0 % (9.5 to 90.5) | 640 |" in text
    assert "| right | 1 | 0 | 2.50 |" in text and "| wrong | 1 | 0 | 1.05 |" in text
    assert "| hip-01 | 30.0 | 9.00 | 1.05 |" in text and "![hip-01](folder/hip-01-from-30.0mm.jpg)" in text
    assert "pictures" not in json.loads(json.dumps(evaluation.to_json()))


def test_errors_have_their_names_and_geometry_that_leaks_is_told():
    pixels = [(1.0, 1.0)] * 2
    errors = metrics.errors(CAMERAS, off(TRUE_POSE, [0, 0, 0], [0.5, 0, 0]), TRUE_POSE, TARGETS, pixels)
    known = RegistrationRecord(1.0, errors, 0.2)
    cases = [
        CaseOutcome("hip-01", 2, [known], None, "truth"),
        CaseOutcome("knee-01", 2, [known], None, "estimated"),
        CaseOutcome("elbow-01", 1, [known], None),
        CaseOutcome("wrist-01", 2, [known], None),
    ]
    text = told(cases)
    assert "leaks: errors are smaller than they could be without the truth (hip-01)" in text
    assert "estimated without the truth (knee-01)" in text and "not told by 1 case." in text
    assert f"| {errors.mpd_mm:.3f} | {errors.mrpd_mm:.3f} | {errors.diffpose_score:.3f} |" in text
    assert "relative to each other" not in told(cases[2:])
    outcome = Evaluation(cases, [], SETUP).to_json()["cases"][0]
    assert (
        outcome["relative_geometry"] == "truth"
        and outcome["runs"][0]["errors"]["diffpose_score"] == errors.diffpose_score
    )
