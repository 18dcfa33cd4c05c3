from __future__ import annotations

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from report_cases import case, picture, view

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.geometry.landmarks import Residual
from MultiViewRegistrationLib.report.case_report import Correction, Level, summarise
from MultiViewRegistrationLib.report.html import RESEARCH_USE
from MultiViewRegistrationLib.report.sections import report

VOID = {"meta", "img", "input", "br", "hr", "link"}


class Page(HTMLParser):
    """The elements and the text of a page; fails on tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def of(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]

    def attribute(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]


def page(*cases) -> Page:
    return Page(report(cases or [case()], created="2025-06-01 12:00"))


def test_it_is_one_page_with_one_head_and_one_title_for_each_case():
    html = report([case(name="chest"), case(name="wrist")], created="now")
    assert html.startswith('<!DOCTYPE html>\n<html lang="en">')
    shown = Page(html)
    assert [len(shown.of(tag)) for tag in ("html", "head", "body", "h1", "main", "nav")] == [1] * 6
    assert len(shown.of("section")) == 2
    assert RESEARCH_USE in shown.text


def test_nothing_is_loaded_from_outside_and_nothing_runs():
    html = report([case()], created="now")
    shown = Page(html)
    assert "http:" not in html and "https:" not in html
    assert not {"script", "link", "iframe", "object", "base", "form"} & {tag for tag, _ in shown.elements}
    assert all(source.startswith("data:image/png;base64,") for source in shown.attribute("src"))
    assert all(target.startswith("#") for target in shown.attribute("href"))
    assert not re.search(r"url\(|@import", html)
    assert not [name for _, attributes in shown.elements for name in attributes if name.startswith("on")]


def test_pictures_are_the_files_that_were_given():
    images = page(case(views=[view("AP")])).of("img")
    assert [image["alt"] for image in images] == [
        f"AP, {kind}, {pose}" for kind in ("edges", "checkerboard", "difference") for pose in ("start", "result")
    ]
    greys = [Image.open(io.BytesIO(base64.b64decode(i["src"].split(",")[1]))).getpixel((0, 0)) for i in images]
    assert greys == [10, 200, 11, 201, 12, 202]


HOSTILE = '<script>alert("x")</script>&amp;\'"><img src=x onerror=alert(1)>\u202e</style>\x00\udc80'
SHOWN = HOSTILE.replace("\u202e", "\ufffd").replace("\x00", "\ufffd").replace("\udc80", "?")


def test_text_from_files_stays_text():
    harmless = page(case(reasons=["r"], note="n", override="o"))
    html = report(
        [
            case(
                name=HOSTILE,
                note=HOSTILE,
                override=HOSTILE,
                method=HOSTILE,
                reasons=[HOSTILE],
                views=[view(HOSTILE), view(HOSTILE)],
                levels=[Level(HOSTILE, [2.0, 1.0], [1.0, 0.1])] * 2,
                seconds={HOSTILE: 1.0, "total": 1.0},
                inputs={HOSTILE: HOSTILE},
                software={HOSTILE: HOSTILE},
            )
        ],
        created=HOSTILE,
        title=HOSTILE,
    )
    html.encode("utf-8")
    shown = Page(html)
    assert {tag for tag, _ in shown.elements} == {tag for tag, _ in harmless.elements}
    assert {name for _, a in shown.elements for name in a} == {name for _, a in harmless.elements for name in a}
    # Title twice, time, note, override, name, reason, views in pictures and table, method, levels
    # in plots, legend and table, time, input and software with two each.
    assert shown.text.count(re.sub(r"\s+", " ", SHOWN)) >= 23
    assert all(alt.startswith(SHOWN) for alt in shown.attribute("alt"))


def test_ids_are_unique_and_everything_that_names_one_finds_it():
    shown = page(case(name="a"), case(name="a"))
    ids = shown.attribute("id")
    assert len(set(ids)) == len(ids)
    assert set(shown.attribute("for")) <= set(ids)
    assert {target[1:] for target in shown.attribute("href")} <= set(ids)


def test_every_control_has_a_name_and_one_of_each_group_is_chosen():
    radios = page(case(), case()).of("input")
    assert all(radio["aria-label"] for radio in radios)
    groups = {radio["name"] for radio in radios}
    chosen = [radio["name"] for radio in radios if "checked" in radio]
    assert len(groups) == 4
    assert sorted(chosen) == sorted(groups)


def test_a_click_on_a_picture_leads_to_the_other_pose():
    shots = [label for label in page().of("label") if label["class"].startswith("shot")]
    assert len(shots) == 12
    assert {(label["class"].split()[2], label["for"]) for label in shots} == {
        ("start", "case-1-result"),
        ("result", "case-1-start"),
    }


def test_without_a_verdict_it_says_not_assessed_and_what_that_means():
    text = page().text
    assert "not assessed Nothing has checked this result." in text
    assert "No prediction." in text
    assert "not assessed" not in page(case(verdict="check")).text


@pytest.mark.parametrize("verdict", ["accept", "check", "reject"])
def test_a_verdict_is_told_with_its_reasons_and_prediction(verdict):
    text = page(
        case(
            verdict=verdict,
            reasons=["views disagree"],
            predicted_tre_mm={"mean": 0.5, "upper95": 1.2344},
            predicted_error="About 0.3 mm.",
        )
    ).text
    assert f"{verdict} " in text
    assert "views disagree" in text
    assert "About 0.3 mm." in text and "1.23 mm, with a mean of 0.50 mm below it." in text


def test_errors_have_three_decimals_and_a_unit():
    text = page().text
    assert "mTRE mean 3D distance of the targets from their true place 21.000 mm 0.063 mm" in text
    assert "40.00 pixels 0.25 pixels" in text


def test_what_is_not_known_is_not_told():
    assert "so the error is, too" in page(case(errors=None, start_errors=None)).text
    unknown = dataclasses.replace(case().errors, mpd_mm=None, diffpose_score=None)
    text = page(case(errors=unknown, start_errors=None)).text
    assert text.count("pixel size unknown") == 2
    assert "None" not in text and "nan" not in text


def test_index_lists_the_cases_when_there_are_several():
    text = page(case(name="chest"), case(name="wrist", errors=None)).text
    assert re.search(r"chest – not assessed 21\.000 → 0\.063 mm 2 1\.25 s", text)
    assert re.search(r"wrist – not assessed truth unknown", text)
    assert page().of("nav") == []


def test_pose_is_told_in_readable_numbers():
    text = page().text
    assert "90.000° about the centre of the bone, which moved by 10.000 mm" in text
    assert "L 0.000 mm, P 0.000 mm, S 105.000 mm" in text
    assert "L 0.000°, P 0.000°, S 90.000°" in text


def test_views_are_told():
    text = page(
        case(
            views=[
                view(),
                view(rotation_sd_deg=1.0, translation_sd_mm=2.0, correction=Correction(0.9, 3.1, 1.01, (2.0, -3.0))),
                view(rotation_sd_deg=None, translation_sd_mm=None),
                view(rotation_sd_deg=None),
            ]
        )
    ).text
    assert "1020.1 mm" in text
    assert "calibrated within 1°, 2 mm (1 SD) unknown within any angle, 0 mm (1 SD)" in text
    corrected = "0.90° about the world origin, 3.10 mm, scale × 1.0100, principal point (2.0, −3.0) pixels"
    assert f"Camera corrected by – {corrected} – –" in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Camera corrected by" not in page().text


def test_inputs_come_with_their_hash():
    assert f"case.json {'ab' * 32}" in page().text


def test_plots_draw_each_level_inside_their_frame():
    lines = page().of("polyline")
    assert len(lines) == 4
    points = [np.array([pair.split(",") for pair in line["points"].split()], float) for line in lines]
    assert [len(p) for p in points] == [3, 2, 3, 2]
    for p in points:
        assert np.all((p[:, 0] >= 58) & (p[:, 0] <= 448) & (p[:, 1] >= 14) & (p[:, 1] <= 208))
        assert np.all(np.diff(p[:, 0]) > 0) and np.all(np.diff(p[:, 1]) > 0), "to the right and down"
    # Steps of 10, 1 and 0.1 mm are evenly spaced on a logarithmic axis.
    assert np.diff(points[2][:, 1], 2) == pytest.approx(0, abs=0.11)


@pytest.mark.parametrize(
    "levels",
    [
        [],
        [Level("none", [], [])],
        [Level("one", [0.0], [0.0])],
        [Level("odd", [1.0, float("nan")], [0.0, float("inf")])],
        [Level("flat", [2.0] * 3, [1.0] * 3)],
    ],
)
def test_odd_convergence_makes_a_page_all_the_same(levels):
    shown = page(case(levels=levels))
    for points in shown.attribute("points"):
        assert "nan" not in points and "inf" not in points


def test_a_view_may_have_no_pictures_or_some_kinds_only():
    assert "No pictures." in page(case(views=[view(pictures={})])).text
    some = page(case(views=[view(pictures={"difference": (picture(1), picture(2))})]))
    assert [image["alt"] for image in some.of("img")] == ["AP, difference, start", "AP, difference, result"]
    assert [radio["id"] for radio in some.of("input") if "checked" in radio] == [
        "case-1-difference",
        "case-1-result",
    ]


def test_an_override_stands_before_anything_else_of_its_case():
    shown = page(case(name="chest"), case(name="wrist", override="The CT was replaced."))
    assert shown.text.count("Override: ") == 1
    assert re.search(r"wrist Override: The CT was replaced\. Verdict", shown.text)


def test_where_nothing_was_refined_there_is_no_start_and_no_convergence():
    alone = {kind: (picture(200),) for kind in ("edges", "difference")}
    given = {"start_world_from_ct": None, "start_errors": None, "levels": [], "method": "by hand"}
    shown = page(case(views=[view("AP", pictures=alone)], **given))
    assert [image["alt"] for image in shown.of("img")] == ["AP, edges", "AP, difference"]
    assert [radio["id"] for radio in shown.of("input")] == ["case-1-edges", "case-1-difference"]
    assert {label["for"] for label in shown.of("label")} == {"case-1-edges", "case-1-difference"}
    assert "Given by hand" in shown.text and "Local NCC 0.951" in shown.text
    assert "mTRE mean 3D distance of the targets from their true place 0.063 mm depth" in shown.text.replace(
        "\N{NO-BREAK SPACE}", " "
    )
    for word in ("start", "Start", "Result", "Moved", "Convergence", "steps", "None"):
        assert word not in shown.text.replace("its start", ""), word


def test_summary_of_a_camera():
    intrinsics = np.array([[-2000.0, 0, 100], [0, 2000, 100], [0, 0, 1]])
    turned = rigid.from_rotation_translation(rigid.exp_so3(np.radians([0, 80, 0])), np.array([1.0, 2, 3]))
    summary = summarise(Camera(intrinsics, turned, (200, 300)), Camera(intrinsics, np.eye(4), (200, 300)), (0.5, 0.51))
    assert summary.source_to_detector_mm == pytest.approx(1020)
    assert summary.angle_to_first_deg == pytest.approx(80)
    assert summary.size == (200, 300)


def test_a_start_from_landmarks_has_its_table_and_another_has_none():
    residuals = [Residual("ASIS-l", "AP", 2.345, 0.987, True), Residual("ASIS-r", "LAT", 61.2, 25.12, False, HOSTILE)]
    text = page(case(landmarks=residuals)).text
    assert "Landmarks at the start" in text
    assert "ASIS-l AP 2.3 0.99 mm used" in text.replace("\N{NO-BREAK SPACE}", " ")
    assert f'ASIS-r LAT 61.2 25.12 mm left out, swapped with "{SHOWN}"?' in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Landmarks" not in page(case()).text
