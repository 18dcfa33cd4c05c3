"""The table, the summary and the figure of an evaluation report failures and what one view cannot show."""

import csv
import io
from dataclasses import asdict, replace

import numpy as np
import pytest
from helpers.bent_spine import cameras
from helpers.phantom import TRUE_POSE, off
from helpers.program import mvreg
from helpers.program import run as program

from benchmarks.summary import read_rows
from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.studies.evaluation import UNKNOWN, Evaluation, EvaluationSetup
from MultiViewRegistrationLib.studies.evaluation_figure import error_figure, figure_bytes
from MultiViewRegistrationLib.studies.evaluation_table import csv_text, summary, table_rows

TARGETS = np.array([[0.0, 0, 0], [30, 0, 0], [0, 30, 0], [0, 0, 30]])
SETUP = EvaluationSetup(starts=2, max_start_error_mm=4.0)
CAMERAS = cameras(0, 90)


def run(start_mm, shift_mm, cameras=CAMERAS, pixel_mm=None, **more):
    """Return a registration displaced by a shift from the truth; without a pose if that is None."""
    errors = None
    if shift_mm is not None:
        pose = off(TRUE_POSE, [0, 0, 0], shift_mm)
        errors = asdict(
            metrics.errors(cameras, pose, TRUE_POSE, TARGETS, [pixel_mm] * len(cameras))
        )
    return UNKNOWN | {"start_mtre_mm": start_mm, "errors": errors, "seconds": 0.2} | more


def case(name, views, *runs, agreement=None, relative_geometry=None, structures=()):
    about = {"agreement": agreement, "relative_geometry": relative_geometry}
    return {"name": name, "views": views, "runs": list(runs), "structures": structures, **about}


def rows_of(*cases, setup=SETUP, **more):
    return table_rows([Evaluation(list(cases), setup, **more)])


@pytest.fixture
def mixed():
    """Rows with two successes, one failure, one registration without a pose and a case that failed."""
    none = run(3.5, None, seconds=None, failure="The views show too little of the CT.")
    return rows_of(
        case("hip-01", 2, run(1.0, [0.1, 0, 0]), run(3.0, [5, 0, 0])),
        case("hip-02", 2, run(1.5, [0, 0.1, 0]), none),
        failed=[{"case": "/cases/hip-03/case.json", "error": "ct.nii is missing. Restore it."}],
    )


def test_the_csv_table_has_a_row_with_numbers_for_each_registration(mixed):
    rows = list(csv.DictReader(io.StringIO(csv_text(mixed))))
    assert [row["case"] for row in rows] == ["hip-01"] * 2 + ["hip-02"] * 2 + ["hip-03"]
    assert [row["success"] for row in rows] == ["True", "False", "True", "False", ""]
    assert [float(row["mtre_mm"] or "inf") for row in rows] == pytest.approx(
        [0.1, 5, 0.1, np.inf, np.inf]
    )
    assert rows[3]["failure"] == "The views show too little of the CT."
    assert rows[4]["failure"] == "ct.nii is missing. Restore it." and not rows[4]["run"]
    assert not rows[0]["mpd_mm"]  # without a pixel size


def test_the_summary_counts_failures_and_lists_cases_that_were_not_evaluated(mixed):
    text = summary(mixed)
    assert "| hip | given | 4 | 50.0 %" in text and "| 5.000 |" in text
    assert text.endswith("Not evaluated: hip-03: ct.nii is missing. Restore it.")
    assert "agree" not in text and "nan" not in text


def test_a_benchmark_prints_the_same_summary_from_the_csv_table(mixed, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(csv_text(mixed))
    assert summary(read_rows(path)) == summary(mixed)


def test_a_summary_of_nothing_but_failures_lists_them():
    text = summary(rows_of(failed=[{"case": "/cases/hip-03", "error": "It is damaged."}]))
    assert text == "Not evaluated: hip-03: It is damaged."


def test_one_view_shows_its_depth_error():
    # The first view looks along +y: the patient's front to back.
    [row] = rows_of(case("hip-01", 1, run(1.0, [0, 0.8, 0], CAMERAS[:1])))
    assert row["depth_mm"] > 0.75 > 0.1 > row["in_plane_mm"]


def test_agreement_of_starts_is_in_rows_and_summary():
    agreement = {
        "rotation_deg": [0.1, 2.0, 0.2],
        "distance_mm": [0.05, 9.0, 0.1],
        "seconds": [0.5, 0.5, 0.5],
    }
    rows = rows_of(case("ulna", 2, agreement=agreement))
    assert [row["agrees"] for row in rows] == [True, False, True]
    assert [row["consensus_distance_mm"] for row in rows] == [0.05, 9.0, 0.1]
    assert "| ulna | given | 3 | 2 of 3 | 0.50 |" in summary(rows)


def test_the_capture_range_ends_where_starts_fail():
    runs = [run(mm, [0.1 if mm < 6 else 5, 0, 0]) for mm in (0.5, 2.5, 4.5, 6.5)]
    assert "| 6 | 2.5" not in summary(rows_of(case("hip-01", 2, *runs[:1])))
    text = summary(rows_of(case("hip-01", 2, *runs)))
    assert "capture range mm" in text and "| 75.0 % (30.1 to 95.4) | 6 |" in text
    searched = rows_of(case("hip-01", 2, *runs), setup=replace(SETUP, start="search"))
    assert "capture range" not in summary(searched)


def test_curves_of_the_figure_rise_to_the_share_of_registrations_with_that_error(mixed):
    bone = {"run": 0, "name": "L1", "reasons": [], "errors": run(1, [3, 0, 0])["errors"]}
    bones = rows_of(case("hip-01", 2, structures=[bone | {"verdict": "accept"}]))
    [axes] = error_figure(mixed + bones).axes
    whole, dashed, limit = axes.lines
    below_mm = {
        mm: whole.get_ydata()[np.searchsorted(whole.get_xdata(), mm) - 1] for mm in (0.2, 6)
    }
    assert below_mm == {0.2: 50, 6: 75}  # one of four has no pose
    assert dashed.get_linestyle() == "--" and dashed.get_ydata()[-1] == 100
    assert list(limit.get_xdata()) == [2, 2] and limit.get_label() == "limit 2 mm"
    assert whole.get_label() == "joint, start given (n = 4)"


@pytest.mark.parametrize("file_format, begin", [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_the_figure_of_registrations_without_a_pose_is_drawn(file_format, begin):
    rows = rows_of(case("hip-01", 2, run(3.5, None)))
    assert figure_bytes(error_figure(rows), file_format).startswith(begin)


def test_a_figure_of_another_format_is_refused(case_file, tmp_path):
    said = mvreg(f"evaluate {case_file} --figure {tmp_path}/errors.gif", 2)
    assert "must end in .png or .svg" in said.refusal


def test_a_figure_without_matplotlib_is_refused_before_the_evaluation(case_file, tmp_path):
    said = program(f"evaluate {case_file} --figure {tmp_path}/errors.png", 2, without="matplotlib")
    assert "matplotlib" in said.refusal and "install" in said.refusal
