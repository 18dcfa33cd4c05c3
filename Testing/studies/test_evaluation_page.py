"""The page of an evaluation tells failures, and what one view cannot see."""

import json
from dataclasses import asdict, replace

import numpy as np
from bent_spine import cameras
from phantom import TRUE_POSE, off

from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.studies.evaluation import Evaluation, EvaluationSetup
from MultiViewRegistrationLib.studies.evaluation_page import page

TARGETS = np.array([[0.0, 0, 0], [30, 0, 0], [0, 30, 0], [0, 0, 30]])
SETUP = EvaluationSetup(starts=2, max_start_error_mm=4.0)
CAMERAS = cameras(0, 90)


def run(start_mm, shift_mm, cameras=CAMERAS, pixel_mm=None, **more):
    """Of a registration that ended so far from the truth; None where it gave no answer."""
    errors = None
    if shift_mm is not None:
        found = off(TRUE_POSE, [0, 0, 0], shift_mm)
        errors = asdict(
            metrics.errors(cameras, found, TRUE_POSE, TARGETS, [pixel_mm] * len(cameras))
        )
    none = {"evidence_ratio": None, "picture": None, "initial_mtre_mm": None}
    return {
        "start_mtre_mm": start_mm,
        "errors": errors,
        "seconds": 0.2,
        "candidates": 0,
        **none,
        **more,
    }


def case(name, views, *runs, agreement=None, relative_geometry=None):
    about = {"agreement": agreement, "relative_geometry": relative_geometry}
    return {"name": name, "views": views, "runs": list(runs), **about}


def test_failures_missing_answers_and_failed_cases_are_counted_and_listed():
    cases = [
        case("hip-01", 2, run(1.0, [0.1, 0, 0]), run(3.0, [5, 0, 0])),
        case("hip-02", 2, run(1.5, [0, 0.1, 0]), run(3.5, None)),
    ]
    text = page(Evaluation(cases, SETUP), "Some cases.")
    assert "| hip | 2 | 4 | 50.0 %" in text
    assert "2 of 4 under 1 mm" in text
    assert "| hip-01 | 3.0 | 5.00 |" in text and "| hip-02 | 3.5 | no answer" in text
    assert "| unknown |" in text  # mPD, without a pixel size
    assert "nan" not in text and "Some cases." in text and "Not evaluated" not in text
    failed = [{"case": "/cases/hip-03", "error": "a|b: found\nnothing."}]
    text = page(Evaluation(cases, SETUP, shared=True, failed=failed))
    assert "| hip | 2 | 4 |" in text and "| /cases/hip-03 | a\\|b: found nothing. |" in text
    assert "Processes shared the cases" in text


def test_one_view_shows_its_depth_error():
    # The first view looks along +y: the patient's front to back.
    text = page(Evaluation([case("hip-01", 1, run(1.0, [0, 0.8, 0], CAMERAS[:1]))], SETUP))
    row = next(
        line
        for line in text.splitlines()
        if line.startswith("| hip | 1 |") and "(" in line and "%" not in line
    )
    in_plane, depth = (float(cell.split()[0]) for cell in row.split("|")[3:5])
    assert depth > 0.75 > 0.1 > in_plane


def test_agreement_of_starts_has_a_table():
    agreement = {
        "rotation_deg": [0.1, 2.0, 0.2],
        "distance_mm": [0.05, 9.0, 0.1],
        "seconds": [0.5, 0.5, 0.5],
    }
    text = page(Evaluation([case("ulna", 2, agreement=agreement)], SETUP))
    assert "| ulna | 2 of 3 | 0.100 | 0.20 | 0.50 |" in text


def test_a_search_tells_its_range_poses_gaps_and_misses():
    right = run(20.0, [0.1, 0, 0], candidates=256, evidence_ratio=2.5)
    wrong = run(
        30.0, [9, 0, 0], candidates=1024, evidence_ratio=1.05, picture="hip-01-from-30.0mm.jpg"
    )
    setup = replace(SETUP, search=(18, 55), start="search")
    evaluation = Evaluation(
        [case("hip-01", 2, right, wrong)], setup, pictures={wrong["picture"]: b"picture"}
    )
    text = page(evaluation, title="Searches", pictures="folder")
    assert (
        text.startswith("# Searches")
        and "within 18 degrees and 55 mm" in text
        and "capture range" not in text
    )
    assert "| hip | 1 | 2 | 50.0 % (9.5 to 90.5) | 640 |" in text
    assert "| right | 1 | 0 | 2.50 |" in text and "| wrong | 1 | 0 | 1.05 |" in text
    assert (
        "| hip-01 | 30.0 | 9.00 | 1.05 |" in text
        and "![hip-01](folder/hip-01-from-30.0mm.jpg)" in text
    )
    assert "pictures" not in json.loads(json.dumps(evaluation.to_json()))


def test_errors_have_their_names_and_geometry_that_leaks_is_told():
    known = run(1.0, [0.5, 0, 0], pixel_mm=(1.0, 1.0))
    cases = [
        case("hip-01", 2, known, relative_geometry="truth"),
        case("knee-01", 2, known, relative_geometry="estimated"),
        case("elbow-01", 1, known),
        case("wrist-01", 2, known),
    ]
    text = page(Evaluation(cases, SETUP))
    assert "leaks: errors are smaller than they could be without the truth (hip-01)" in text
    assert "estimated without the truth (knee-01)" in text and "not stated by 1 case." in text
    mm = [known["errors"][name] for name in ("mpd_mm", "mrpd_mm", "diffpose_score")]
    assert "| {:.3f} | {:.3f} | {:.3f} |".format(*mm) in text
    assert "relative to each other" not in page(Evaluation(cases[2:], SETUP))
