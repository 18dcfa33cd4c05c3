"""The protocol's tables, from rows whose answers are known by hand."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from benchmarks.protocol import page as protocol_page
from benchmarks.protocol.acceptance import mtre
from benchmarks.statistics import auroc, quantile

ROW = {
    "part": "body", "condition": "2 views, 90 degrees", "group": "geometry", "ct": "a", "bone": None,
    "views": 2, "apart_deg": 90, "error": None, "repeat": 0, "nuisances": [], "start_mm": 5.0, "failed": None,
    "register_s": 2.0, "assess_s": 1.0, "depth_mm": 0.1, "in_plane_mm": 0.1, "depth95_mm": 0.2, "in_plane95_mm": 0.05,
    "camera_off": [[1.0, 3.0], [0.1, 0.3]]
}  # fmt: skip


def row(number=0, mtre_mm=0.1, verdict="accept", wrong=0.01, upper=0.5, **more):
    told = {"mtre_mm": mtre_mm, "verdict": verdict, "failure_probability": wrong}
    return {**ROW, "number": number, **told, "upper95_mm": upper, **more}


def failed(number=0):
    said = {**ROW, "number": number, "failed": "Nothing to be seen."}
    for key in ("register_s", "in_plane_mm", "camera_off"):
        del said[key]
    return said


def cells(table, name, at=0):
    """What the row of a Markdown table has that has a name in a column, without intervals."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    found = next(line for line in lines if line[at] == name)
    return [cell.partition(" (")[0] for cell in found[at + 1 :]]


TOOLS = {"condition": "tools", "group": "nuisance", "nuisances": ["tools"]}
NUISANCES = [  # one is wrong, one has no pair
    row(0, 0.1), row(1, 0.2, repeat=1), row(2, 0.1, repeat=2), row(3, 0.15, **TOOLS),
    row(4, 0.3, repeat=1, **TOOLS), row(5, 7.0, repeat=2, **TOOLS), row(6, 0.9, repeat=3, **TOOLS)
]  # fmt: skip
JUDGED = [
    *[row(n, 0.1) for n in range(6)], row(6, 3.0, "accept", 0.3), row(7, 0.5, "reject", 0.6), row(8, 8.0, "reject", 0.9),
    row(9, 1.5, "check", 0.1), failed(10), row(11, 4.0, "check", 0.2, error="turned")
]  # fmt: skip
#: Of the four pairs of a wrong and a right one, three are in the right order.
PREDICTED = [
    row(0, 0.1, wrong=0.001, upper=0.2), row(1, 0.3, wrong=0.1, upper=0.2), row(2, 5.0, wrong=0.05, upper=9.0),
    row(3, 20.0, wrong=0.9, upper=30.0), row(4, 0.2, wrong=None, upper=None, part="bone"), failed(5)
]  # fmt: skip
ALONG = [
    row(0),
    row(1, depth_mm=0.3),
    row(2, in_plane_mm=9.0),
    row(3, error="encoder 1", condition="encoder 1"),
    failed(4),
]


@pytest.mark.parametrize(
    "table, rows, name, at, told",
    [
        ("success_by_condition", [row(0, 0.1), row(1, 0.3), row(2, 9.0), failed(3)], "body", 0, [None, "4", "2 of 4"]),
        ("cost_of_nuisances", NUISANCES, "tools", 1, ["2", "0.150", "0.225", "1.50"]),
        ("verdicts_by_kind", JUDGED, "all", 0, ["12", "1 of 7", "1 of 4", "1 of 7", "6 of 7"]),
        ("verdicts_by_kind", JUDGED, "geometry or CT wrong", 0, [None, None, "0 of 1"]),
        ("verdicts_by_condition", JUDGED, ROW["condition"], 1, ["6 / 0 / 1", "0 / 1 / 0", "1 / 1 / 1"]),
        ("predictions", PREDICTED, "all", 0, ["4", "2", "0.750", None, "3 of 4", "1 of 2"]),
        ("along_the_beam", ALONG, "body", 0, [None, "3", None, "2 of 3", None, "0 of 3"]),
        ("corrections", ALONG, "encoder 1", 1, ["1", "1", "1.00 / 3.0", "0.100 / 0.30"]),
    ],
)  # fmt: skip
def test_table_of_rows_with_known_answers(table, rows, name, at, told):
    found = cells(getattr(protocol_page, table)(rows), name, at)
    assert [each or cell for each, cell in zip(told, found)] == found[: len(told)]


def test_failed_registration_counts_as_infinite_error():
    found = mtre([row(0, 0.1), row(1, 0.3), row(2, 9.0), failed(3)])
    assert_array_equal(found, [0.1, 0.3, 9.0, np.inf])
    told = [quantile(*each) for each in ((found, 0.5), (found, 0.95), ([], 0.5))]
    assert told == ["9.000", "no answer", "none"]


def test_reliability_table_groups_probabilities_by_band():
    said = [(0.1, 0.001), (0.1, 0.003), (5.0, 0.6), (0.1, 0.65), (5.0, 1.0)]
    rows = [row(n, mm, wrong=wrong) for n, (mm, wrong) in enumerate(said)]
    table = protocol_page.reliability_table(rows)
    assert len(table.splitlines()) == 5 and "| 50 to 70 % | 62.5 % | 2 | 50.0 % (" in table
    assert "no two kinds" in protocol_page.predictions(PREDICTED[:2])


def test_auroc_is_fraction_of_ordered_pairs():
    random = np.random.default_rng(0)
    score, positive = random.integers(0, 8, 60) / 8, random.random(60) < 0.4
    pairs = [(p > n) + 0.5 * (p == n) for p in score[positive] for n in score[~positive]]
    assert auroc(score, positive) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert np.isnan(auroc([0.1, 0.2], [True, True])) and np.isnan(auroc([], []))


def test_capture_range_ends_at_first_failing_step():
    starts = np.linspace(0.5, 39.5, 40)
    rows = [row(n, 0.1 if start < 25 else 5.0, start_mm=start) for n, start in enumerate(starts)]
    assert protocol_page.capture(rows) == "20"
    assert protocol_page.capture(rows[:34]) == "too few starts"
    told = cells(protocol_page.success_by_start(rows), "body, plain, 2 views")
    assert told == ["40", *["5 of 5"] * 5, *["0 of 5"] * 3]


def test_page_lists_failures_and_skipped_cases():
    known = ("number", "part", "condition", "group", "ct", "error")
    skipped = {key: row(1)[key] for key in known} | {"skipped": "No bone."}
    wrong = row(3, 9.0, "reject", 0.9, start_mm=2.0)
    turned = row(4, 9.0, "reject", 0.9, error="turned", condition="turned")
    text = protocol_page.page([row(0), skipped, failed(2), wrong, turned])
    assert "**5 registrations are done**; 1 could not be simulated (No bone.)" in text
    assert "nan" not in text
    listed = [line.split("|")[1].strip() for line in text.split("## Failures")[1].splitlines()[-2:]]
    assert listed == ["3", "2"]  # the geometry of number 4 is wrong
