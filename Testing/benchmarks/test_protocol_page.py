"""The protocol's tables, from rows whose answers are known by hand."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from benchmarks.protocol import page as protocol_page
from benchmarks.protocol.acceptance import mtre
from benchmarks.reliability import STYLES, figure
from benchmarks.statistics import auroc, quantile


def row(number=0, mtre_mm=0.1, verdict="accept", wrong=0.01, upper=0.5, **more):
    return {
        "number": number,
        "part": "body",
        "condition": "2 views, 90 degrees",
        "group": "geometry",
        "ct": "a",
        "bone": None,
        "views": 2,
        "apart_deg": 90,
        "error": None,
        "repeat": 0,
        "nuisances": [],
        "start_mm": 5.0,
        "failed": None,
        "mtre_mm": mtre_mm,
        "verdict": verdict,
        "failure_probability": wrong,
        "upper95_mm": upper,
        "register_s": 2.0,
        "assess_s": 1.0,
        "depth_mm": 0.1,
        "in_plane_mm": 0.1,
        "depth95_mm": 0.2,
        "in_plane95_mm": 0.05,
        "camera_off": [[1.0, 3.0], [0.1, 0.3]],
        **more,
    }


def failed(number=0, **more):
    return {
        key: value
        for key, value in {**row(number, **more), "failed": "Nothing to be seen."}.items()
        if key
        not in (
            "mtre_mm",
            "verdict",
            "failure_probability",
            "upper95_mm",
            "register_s",
            "assess_s",
            "in_plane_mm",
            "camera_off",
        )
    }


def cells(table, name, at=0):
    """The row of a Markdown table that has a name in a column."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return next(line for line in lines if line[at] == name)


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    random = np.random.default_rng(0)
    score, positive = random.integers(0, 8, 60) / 8, random.random(60) < 0.4
    pairs = [(p > n) + 0.5 * (p == n) for p in score[positive] for n in score[~positive]]
    assert auroc(score, positive) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert auroc([0.1, 0.2, 0.8, 0.9], [False, False, True, True]) == 1
    assert auroc([0.1, 0.2, 0.8, 0.9], [False, True, False, True]) == 0.75
    assert np.isnan(auroc([0.1, 0.2], [True, True])) and np.isnan(auroc([], []))


def test_no_answer_is_a_failure_beyond_all_others():
    rows = [row(0, 0.1), row(1, 0.3), row(2, 9.0), failed(3)]
    assert_array_equal(mtre(rows), [0.1, 0.3, 9.0, np.inf])
    assert (
        quantile(mtre(rows), 0.5) == "9.000"
        and quantile(mtre(rows), 0.95) == "no answer"
        and quantile(mtre([]), 0.5) == "none"
    )
    told = cells(protocol_page.success_by_condition(rows), "body")
    assert told[2] == "4" and told[3].startswith("2 of 4 (50.0 %")


def test_the_capture_range_ends_at_the_first_step_that_fails():
    starts = np.linspace(0.5, 39.5, 40)
    rows = [row(n, 0.1 if start < 25 else 5.0, start_mm=start) for n, start in enumerate(starts)]
    assert protocol_page.capture(rows) == "20"
    assert protocol_page.capture(rows[:34]) == "too few starts"
    told = cells(protocol_page.success_by_start(rows), "body, plain, 2 views")
    assert told[1:] == ["40", *["5 of 5"] * 5, *["0 of 5"] * 3]


def test_a_nuisance_is_held_against_the_same_pose_without_it():
    tools = {"condition": "tools", "group": "nuisance", "nuisances": ["tools"]}
    rows = [
        row(0, 0.1),
        row(1, 0.2, repeat=1),
        row(2, 0.1, repeat=2),
        row(3, 0.15, **tools),
        row(4, 0.3, repeat=1, **tools),
        row(5, 7.0, repeat=2, **tools),
        row(6, 0.9, repeat=3, **tools),
    ]  # one is wrong, one has no pair
    assert cells(protocol_page.cost_of_nuisances(rows), "tools", 1)[2:] == [
        "2",
        "0.150",
        "0.225",
        "1.50",
    ]


def test_wrong_accepts_and_wrong_rejects_are_counted():
    rows = [
        *[row(n, 0.1, "accept") for n in range(6)],
        row(6, 3.0, "accept", 0.3),
        row(7, 0.5, "reject", 0.6),
        row(8, 8.0, "reject", 0.9),
        row(9, 1.5, "check", 0.1),
        failed(10),
        row(11, 4.0, "check", 0.2, error="turned"),
    ]
    told = cells(protocol_page.verdicts_by_kind(rows), "all")
    assert [cell.split(" (")[0] for cell in told[1:]] == [
        "12",
        "1 of 7",
        "1 of 4",
        "1 of 7",
        "6 of 7",
    ]
    assert cells(protocol_page.verdicts_by_kind(rows), "geometry or CT wrong")[3].startswith(
        "0 of 1"
    )
    assert cells(protocol_page.verdicts_by_condition(rows), "2 views, 90 degrees", 1)[2:] == [
        "6 / 0 / 1",
        "0 / 1 / 0",
        "1 / 1 / 1",
    ]


def test_coverage_and_auroc_of_the_prediction():
    rows = [
        row(0, 0.1, wrong=0.001, upper=0.2),
        row(1, 0.3, wrong=0.1, upper=0.2),
        row(2, 5.0, wrong=0.05, upper=9.0),
        row(3, 20.0, wrong=0.9, upper=30.0),
        row(4, 0.2, wrong=None, upper=None, part="bone"),
        failed(5),
    ]
    told = cells(protocol_page.predictions(rows), "all")
    # Of the four pairs of a wrong and a right one, three are in the right order.
    assert (
        told[1:4] == ["4", "2", "0.750"]
        and told[5].startswith("3 of 4")
        and told[6].startswith("1 of 2")
    )
    assert "no two kinds" in protocol_page.predictions(rows[:2])


def test_said_and_found_by_bands():
    rows = [
        row(0, 0.1, wrong=0.001),
        row(1, 0.1, wrong=0.003),
        row(2, 5.0, wrong=0.6),
        row(3, 0.1, wrong=0.65),
        row(4, 5.0, wrong=1.0),
    ]
    bands = protocol_page.reliability(rows)
    assert [(low, high, found.successes, found.total) for low, high, _, found in bands] == [
        (0, 0.005, 0, 2),
        (0.5, 0.7, 1, 2),
        (0.98, 1, 1, 1),
    ]
    assert bands[1][2] == pytest.approx(0.625)
    assert "| 50 to 70 % | 62.5 % | 2 | 50.0 % (" in protocol_page.reliability_table(rows)


def test_depth_and_corrections():
    rows = [
        row(0),
        row(1, depth_mm=0.3),
        row(2, in_plane_mm=9.0),
        row(3, error="encoder 1", condition="encoder 1"),
        failed(4),
    ]
    told = cells(protocol_page.along_the_beam(rows), "body")
    assert told[2] == "3" and told[4].startswith("2 of 3") and told[6].startswith("0 of 3")
    assert cells(protocol_page.corrections(rows), "encoder 1", 1)[2:] == [
        "1",
        "1",
        "1.00 / 3.0",
        "0.100 / 0.30",
    ]


def test_the_plot_is_a_picture_that_shows_each_verdict():
    rows = [
        row(n, 10**mm, verdict, wrong, 10**upper)
        for n, (mm, verdict, wrong, upper) in enumerate(
            [(-1, "accept", 0.01, -0.5), (0.5, "check", 0.4, 0.6), (1.2, "reject", 0.97, 1.7)]
        )
    ]
    svg = figure([*rows, failed(9)])
    for colour, *_ in STYLES.values():
        assert svg.count(f'fill="{colour}"') == 1  # a group of points, with one beside its name
    ET.fromstring(figure([failed()]))


def test_the_page_says_how_many_are_done_what_was_left_out_and_what_failed():
    known = ("number", "part", "condition", "group", "ct", "error")
    skipped = {key: row(1)[key] for key in known} | {"skipped": "No bone."}
    wrong = row(3, 9.0, "reject", 0.9, start_mm=2.0)
    turned = row(4, 9.0, "reject", 0.9, error="turned", condition="turned")
    text = protocol_page.page([row(0), skipped, failed(2), wrong, turned])
    assert "**5 registrations are done**; 1 could not be simulated (No bone.)" in text
    assert "| all | 4 |" in text and "nan" not in text  # the skipped one is in no table
    listed = text.split("## Failures")[1].splitlines()
    assert listed[-2:] == [
        "| 3 | a | body | 2 views, 90 degrees | 2.0 | 9.00 | reject |",
        "| 2 | a | body | 2 views, 90 degrees | 5.0 | Nothing to be seen. | none |",
    ]  # the geometry of number 4 is wrong, and nobody said so
