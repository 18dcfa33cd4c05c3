"""report.html of a registered phantom: what it says, that nothing is loaded from outside, and that text from files stays text."""

from __future__ import annotations

import base64
import html
import json
import re
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from phantom import TRUE_POSE, make_ct, make_slot_scan, make_views, off

from MultiViewRegistrationLib.api import assess, register
from MultiViewRegistrationLib.geometry.landmarks import LandmarkFit, LandmarkResidual
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.html import RESEARCH_USE
from MultiViewRegistrationLib.report.result_page import Entry, write_report

VOID = {"meta", "img", "input", "br", "hr", "link"}
HOSTILE = '<script>alert("x")</script>&amp;\'"><img src=x onerror=alert(1)>\u202e</style>\x00\udc80'
SHOWN = HOSTILE.replace("\u202e", "\ufffd").replace("\x00", "\ufffd").replace("\udc80", "?")


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


@pytest.fixture(scope="module")
def case(ct, views) -> Case:
    """With truth; of view2 neither the pixel size nor the exact geometry is known."""
    corners = 30.0 * np.stack(np.meshgrid(*[(-1, 1)] * 3), -1).reshape(-1, 3)
    sized = replace(views[0], xray=replace(views[0].xray, pixel_mm=(1.25, 1.25)))
    uncertain = replace(views[1], rotation_sd_deg=1.0, translation_sd_mm=2.0)
    start = off(TRUE_POSE, [3.0, -2.0, 4.0], [6.0, 5.0, -4.0])
    inputs = {"case.json": "ab" * 32}
    return Case(
        ct,
        [sized, uncertain],
        world_from_ct=start,
        targets=corners,
        truth_world_from_ct=TRUE_POSE,
        inputs=inputs,
        name="phantom",
    )


@pytest.fixture(scope="module")
def result(case, anatomy):
    return register(case, anatomy=anatomy)


@pytest.fixture(scope="module")
def pictures(result):
    return Entry(result).pictures


@pytest.fixture
def written(tmp_path, pictures):
    """A function: the text of the report of these entries, refined ones with the pictures that were drawn once."""

    def write(*entries: Entry) -> str:
        for entry in entries:
            if entry.result.refined:
                vars(entry)["pictures"] = pictures
        write_report(tmp_path / "report.html", entries)
        return (tmp_path / "report.html").read_text(encoding="utf-8")

    return write


def test_one_page_loads_nothing_from_outside_runs_nothing_and_can_be_used(result, written):
    text = written(Entry(result), Entry(result, note="Simulated."))
    shown = Page(text)
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">') and RESEARCH_USE in shown.text
    assert [len(shown.of(tag)) for tag in ("html", "head", "body", "h1", "main", "nav", "section")] == [1] * 6 + [2]
    assert not re.search(r"https?:|url\(|@import", text)
    assert not {"script", "link", "iframe", "object", "base", "form"} & {tag for tag, _ in shown.elements}
    assert all(source.startswith("data:image/png;base64,") for source in shown.attribute("src"))
    assert not [name for _, attributes in shown.elements for name in attributes if name.startswith("on")]
    ids = shown.attribute("id")
    assert len(set(ids)) == len(ids) and set(shown.attribute("for")) <= set(ids)
    assert {target[1:] for target in shown.attribute("href")} <= set(ids)
    radios = shown.of("input")
    chosen = [radio["name"] for radio in radios if "checked" in radio]
    assert all(radio["aria-label"] for radio in radios) and len(chosen) == 4
    assert sorted(chosen) == sorted({radio["name"] for radio in radios})


def test_a_slot_scan_is_told_in_its_own_words():
    """It has no detector at a distance, and no focal length; a row that no view has is left out."""
    from MultiViewRegistrationLib.report.result_page import _beam_rows, _pixel_size

    slot, (plain, *_rest) = make_slot_scan(make_ct(), 0), make_views(make_ct())
    assert _beam_rows([slot]) == {"Source to isocentre": ["550.0\N{NO-BREAK SPACE}mm"]}
    both = _beam_rows([slot, plain])
    assert list(both) == ["Source to detector", "Focal length", "Source to isocentre"]
    assert both["Focal length"][0] == both["Source to isocentre"][1] == "\u2013"
    assert _pixel_size(slot) == "1.200 \u00d7 1.000 mm at the isocentre" and _pixel_size(plain) == "unknown"


def test_what_several_views_assume_is_told_once(result):
    case = replace(result.case, assumptions={"a": ("One.", "Two."), "b": ("One.", "Two.", "Three.")})
    assert replace(result, case=case).reasons[-1] == "Assumed: a, b: One; Two; b: Three."


def test_a_registration_is_told(result, written):
    entry = Entry(result, override="The CT was replaced.")
    shown = Page(written(entry))
    text = shown.text.replace("\N{NO-BREAK SPACE}", " ")
    assert re.search(r"phantom Override: The CT was replaced\. Verdict", text) and shown.of("nav") == []
    assert f"{result.verdict} " in text and all(reason in text for reason in result.reasons)
    assert result.assessment.summary in text and "Least certain" in text
    assert f"true place {result.start_errors.mtre_mm:.3f} mm {result.errors.mtre_mm:.3f} mm" in text
    assert text.count("pixel size unknown") == 2 and "Source to detector 1000.0 mm \u2013" in text
    assert "Angle to the first view 0.0\u00b0 90.0\u00b0" in text and "Geometry exact \u00b11\u00b0, 2 mm" in text
    assert re.search(r"Camera corrected by \u2013 \d\.\d\d\u00b0 about the world origin, \d\.\d\d mm", text)
    assert re.search(r"\d\.\d{3}\u00b0 about the centre of the bone, which moved by \d+\.\d{3} mm", text)
    assert f"case.json {'ab' * 32}" in text and "Where X-rays and CT agree" in text
    assert "None" not in text and "nan" not in text
    levels = [level for level in result.refinement.levels if level.steps]
    points = [np.array([pair.split(",") for pair in each.split()], float) for each in shown.attribute("points")]
    assert [len(each) for each in points] == 2 * [len(level.steps) for level in levels]
    # Each picture is the file of its pose, and leads to the other one.
    names = [
        f"view1, {kind}, {pose}" for kind in ("edges", "checkerboard", "difference") for pose in ("start", "result")
    ]
    images = {image["alt"]: image["src"].split(",")[1] for image in shown.of("img")}
    assert list(images)[:6] == names
    assert base64.b64decode(images["view1, edges, start"]) == entry.pictures[0]["edges"][0]
    shots = [label for label in shown.of("label") if label["class"].startswith("shot")]
    assert {(each["class"].split()[2], each["for"]) for each in shots} == {
        ("start", "case-1-result"),
        ("result", "case-1-start"),
    }


def test_without_truth_assessment_and_refinement(result, case, anatomy, written):
    unknown = replace(case, truth_world_from_ct=None)
    text = written(Entry(replace(result, case=unknown, assessment=None)), Entry(replace(result, case=unknown)))
    assert "The true pose is unknown, so the error is, too." in text and "truth unknown" in text
    assert "Nothing has checked this result." in text and "No prediction." in text
    shown = Page(written(Entry(assess(case, TRUE_POSE, anatomy))))
    assert [image["alt"] for image in shown.of("img")][:3] == [
        f"view1, {kind}" for kind in ("edges", "checkerboard", "difference")
    ]
    assert {label["for"] for label in shown.of("label")} == {radio["id"] for radio in shown.of("input")}
    for word in ("start", "Result", "Moved", "Convergence", "None"):
        assert word not in shown.text.replace("start pose", ""), word


def test_text_from_files_stays_text(result, written):
    residuals = [
        LandmarkResidual("ASIS-l", "AP", 2.345, 0.987, True),
        LandmarkResidual(HOSTILE, "LAT", 61.2, 25.12, False, HOSTILE),
    ]
    fit = LandmarkFit(TRUE_POSE, residuals, [])
    harmless = Page(written(Entry(replace(result, landmark_fit=fit), "n", "o")))
    named = [replace(view, name=HOSTILE) for view in result.views]
    hostile = replace(
        result,
        case=replace(result.case, name=HOSTILE, inputs={HOSTILE: HOSTILE}, assumptions={HOSTILE: (HOSTILE,)}),
        refinement=replace(result.refinement, views=named),
        assessment=None,
        method=HOSTILE,
        landmark_fit=fit,
    )
    shown = Page(written(Entry(hostile, HOSTILE, HOSTILE)))
    assert {tag for tag, _ in shown.elements} == {tag for tag, _ in harmless.elements}
    assert {name for _, a in shown.elements for name in a} == {name for _, a in harmless.elements for name in a}
    assert shown.text.count(re.sub(r"\s+", " ", SHOWN)) >= 14
    text = harmless.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Landmarks at the start" in text and "ASIS-l AP 2.3 0.99 mm used" in text
    assert f'LAT 61.2 25.12 mm left out, swapped with "{SHOWN}"?' in text


PROBE = """<script>onload = () => {
  const shots = [...document.querySelectorAll(".shot")];
  const shown = () => shots.filter(s => s.offsetParent).map(s => s.className);
  const at = id => document.getElementById(id);
  const result = {first: shown(), width: [document.documentElement.scrollWidth, innerWidth]};
  document.querySelector(".shot.edges.result").click();
  result.clicked = shown();
  result.scrolled = scrollY;
  at("case-1-difference").labels[0].click();
  result.kind = shown();
  const label = document.createElement("pre");
  label.id = "probe";
  label.textContent = JSON.stringify(result);
  document.body.append(label);
}</script>"""


@pytest.mark.slow
def test_in_a_browser_the_controls_work_and_nothing_is_wider_than_the_window(
    result, written, require_program, tmp_path
):
    chromium = require_program("chromium", "google-chrome", package="chromium")
    long = replace(result, case=replace(result.case, inputs={"a-file-name-without-any-break/" * 9: "ab" * 32}))
    # The page forbids scripts; the probe is one.
    text = re.sub(r"<meta http-equiv[^>]*>", "", written(Entry(long))).replace("</body>", PROBE + "</body>")
    file = tmp_path / "probe.html"
    file.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--dump-dom",
            f"--user-data-dir={tmp_path / 'profile'}", "--window-size=500,900", file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout)
    assert found, done.stderr[-500:]
    seen = json.loads(html.unescape(found[1]))
    assert seen["first"] == ["shot edges result"] * 2 and seen["clicked"] == ["shot edges start"] * 2
    assert seen["kind"] == ["shot difference start"] * 2 and seen["scrolled"] == 0
    assert seen["width"][0] <= seen["width"][1]
