"""report.html of a registered phantom.

What it says, that nothing is loaded from outside, and that text from files stays text.
"""

import base64
import hashlib
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers.phantom import CORNERS, START, TRUE_POSE
from numpy.testing import assert_array_equal
from PIL import Image

from MultiViewRegistrationLib.api import assess, register
from MultiViewRegistrationLib.assessment.causes import Cause, with_cause
from MultiViewRegistrationLib.assessment.records import POSITION, Assessment, Finding
from MultiViewRegistrationLib.geometry.landmarks import LandmarkFit, LandmarkResidual
from MultiViewRegistrationLib.imaging.body import Body
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.report.html import RESEARCH_USE, VERDICTS, png
from MultiViewRegistrationLib.report.messages import (
    USE_NAMES,
    describe,
    describe_error,
    describe_risk,
)
from MultiViewRegistrationLib.report.result_page import (
    Entry,
    write_report,
)

#: Values of the finding that the cameras are uncertain.
CAMERAS = {
    "bound_mm": 4.0,
    "risk": 0.4,
    "known_to": "\u00b11\u00b0",
    "views": 2,
    "are_slot_scans": False,
}
VOID = {"meta", "img", "input", "br", "hr", "link"}
HOSTILE = '<script>alert("x")</script>&amp;\'"><img src=x onerror=alert(1)>\u202e</style>\x00\udc80'
SHOWN = HOSTILE.replace("\u202e", "\ufffd").replace("\x00", "\ufffd").replace("\udc80", "?")


class Page(HTMLParser):
    """The elements and the text of a page; fails on tags that do not match."""

    def __init__(self, html):
        super().__init__()
        self.elements = []
        self.words = []
        self.open = []
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
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def kinds(self):
        """Its tags and the names of their attributes."""
        return set().union(*[(tag, *attributes) for tag, attributes in self.elements])

    def attribute(self, name):
        return [attributes[name] for _, attributes in self.elements if name in attributes]


@pytest.fixture(scope="module")
def case(ct, views):
    """With truth; of view2 neither the pixel size nor the exact geometry is known."""
    sized = views[0].with_xray(pixel_mm=(1.25, 1.25))
    uncertain = replace(views[1], rotation_sd_deg=1.0, translation_sd_mm=2.0)
    inputs = {"case.json": "ab" * 32}
    return Case(
        (Body(ct, world_from_ct=START),),
        [sized, uncertain],
        targets=CORNERS,
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

    def write(*entries):
        for entry in entries:
            if entry.result.refined:
                vars(entry)["pictures"] = pictures
        write_report(tmp_path / "report.html", entries)
        return (tmp_path / "report.html").read_text(encoding="utf-8")

    return write


@pytest.mark.slow
def test_one_page_loads_nothing_from_outside_and_runs_one_script_that_its_policy_allows(
    result, written
):
    text = written(Entry(result), Entry(result, note="Simulated."))
    shown = Page(text)
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert shown.text.count(RESEARCH_USE) == 1
    assert not re.search(r"https?:|url\(|@import", text)
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert shown.of("meta")[2]["content"].endswith(f"; script-src 'sha256-{digest}'")
    assert len(shown.of("script")) == 1 and not shown.of("link") + shown.of("iframe")
    sources = shown.attribute("src")
    assert all(re.match(r"data:image/(png|jpeg|svg\+xml);base64,", source) for source in sources)
    assert not [name for _, all_of in shown.elements for name in all_of if name.startswith("on")]


@pytest.mark.slow
def test_each_case_has_a_section_and_choices_of_its_own(result, written):
    shown = Page(written(Entry(result), Entry(result)))
    ids = shown.attribute("id")
    links = {target[1:] for target in shown.attribute("href") if target[0] == "#"}
    assert len(set(ids)) == len(ids) and links <= set(ids)
    chosen = [radio["name"] for radio in shown.of("input") if "checked" in radio]
    assert len(shown.of("section")) == 2
    assert chosen == ["case-1-outlines", "case-2-outlines"]


def assumed(case, *sentences):
    """The case with assumptions on its first view."""
    first, *others = case.views
    return replace(case, views=[replace(first, assumptions=sentences), *others])


def test_what_is_assumed_lies_below_the_words_that_say_so(result, written):
    case = assumed(result.case, "One.", "Two.")
    text = Page(written(Entry(replace(result, case=case)))).text
    said = text.index("2 assumptions, see What was assumed")
    assert "What was assumed X-rays Assumed view1 One. Two." in " ".join(text[said:].split())


def sign_of(verdict):
    return VERDICTS[verdict][0]


def test_a_registration_is_told(result, written):
    shown = Page(written(Entry(result, override="The CT was replaced.", names=True)))
    text = shown.text.replace("\N{NO-BREAK SPACE}", " ")
    uses = result.uses.items()
    said = [f"{USE_NAMES[use]} {sign_of(each.verdict)} {each.verdict}" for use, each in uses]
    said += [describe_error(each) for _, each in uses]
    messages = [part for finding in result.findings for part in describe(finding)[:3]]
    said += [*messages, describe_risk(result.assessment), "Case phantom"]
    said += [f"true place {result.start_errors.mtre_mm:.3f} mm {result.errors.mtre_mm:.3f} mm"]
    said += ["Source to detector 1000.0 mm \u2013", "Angle to the first view 0.0\u00b0 90.0\u00b0"]
    said += ["Geometry exact \u00b11\u00b0, 2 mm", f"case.json {'ab' * 32}", "Least certain"]
    assert [each for each in said if each not in text] == []
    assert f"Override: The CT was replaced. {USE_NAMES['overlay']}" in text
    assert text.count("pixel size unknown") == 2 and shown.of("nav") == []
    assert "None" not in text.replace("Start None Orange", "") and "nan" not in text


def test_the_outlines_of_each_pose_are_a_picture_of_their_own_over_the_x_ray(
    result, written, pictures
):
    shown = Page(written(Entry(result)))
    images = {image["alt"]: image["src"].split(",")[1] for image in shown.of("img")}
    assert list(images)[:3] == ["view1, X-ray", "view1, outlines, result", "view1, outlines, start"]
    layer = Image.open(io.BytesIO(base64.b64decode(images["view1, outlines, start"])))
    assert_array_equal(np.asarray(layer), pictures[0][0]["outlines"])


@pytest.mark.parametrize("shape", [(1, 1), (6, 4, 4)])
def test_a_png_file_holds_every_value(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    Image.open(io.BytesIO(png(picture))).verify()  # the sums of its parts
    read = np.asarray(Image.open(io.BytesIO(png(picture))))
    assert_array_equal(read.reshape(shape), picture)


def test_without_leave_it_names_neither_the_case_nor_its_files(result, written):
    """But the X-rays: which disagrees must be said."""
    text = Page(written(Entry(result))).text
    assert "phantom" not in text and "case.json" not in text and "view1" in text


def test_the_cause_comes_first_and_few_sentences_are_unfolded(result, written):
    blamed = Cause("mirrored", ("view2",), 2.0, (0.9, 0.9), TRUE_POSE, moved_mm=35.0)
    told = with_cause(result.assessment, blamed, TRUE_POSE)
    message = describe(told.findings[0])
    case = assumed(result.case, *(f"Sentence {n}." for n in range(15)))
    text = written(Entry(replace(result, case=case, assessment=told)))
    shown = Page(re.sub(r"<details.*?</details>", "", text, flags=re.DOTALL)).text
    assert told.verdict == "reject" and "Correcting this moves the CT by 35 mm." in shown
    assert f"{message.headline}. {message.explanation} {message.action} Do not use" in shown
    assert "Sentence" not in shown and "15 assumptions" in shown
    figures = [figure.get("class") for figure in Page(text).of("figure")]
    assert figures[:2] == [None, "blamed reject"]


def test_an_accepted_use_beside_a_limited_one_has_its_own_line(result, written):
    limited = Finding("cameras-uncertain", uses=POSITION, values=CAMERAS)
    shown = Page(written(Entry(replace(result, assessment=Assessment((limited,)))))).text
    assert f"{USE_NAMES['overlay']} \u2713 accept {USE_NAMES['position']} ! check" in shown
    assert f"{describe(limited).headline}. " in shown


@pytest.mark.slow
def test_without_truth_assessment_and_refinement(result, case, anatomy, written):
    unknown = replace(result, case=replace(case, truth_world_from_ct=None))
    text = written(Entry(replace(unknown, assessment=None)), Entry(unknown))
    assert "known truth" not in text and "truth unknown" in text
    assert "Nothing has checked this result." in text
    shown = Page(written(Entry(assess(case, TRUE_POSE, anatomy))))
    assert [image["alt"] for image in shown.of("img")][1] == "view1, outlines, result"
    assert not re.search("start(?! pose)|Result|Moved|refinement went", shown.text)


def test_text_from_files_stays_text(result, written):
    residuals = [
        LandmarkResidual("ASIS-l", "AP", 2.345, 0.987, True),
        LandmarkResidual(HOSTILE, "LAT", 61.2, 25.12, False, HOSTILE),
    ]
    fit = LandmarkFit(TRUE_POSE, residuals, [])
    told = replace(result, landmark_fit=fit, assessment=None)
    plain = replace(told, case=assumed(result.case, "so far"))
    harmless = Page(written(Entry(plain, "n", "o", names=True)))
    named = [replace(view, name=HOSTILE) for view in result.views]
    refinement = replace(result.refinement, views=named)
    case = replace(result.case, name=HOSTILE, inputs={HOSTILE: HOSTILE}, views=named)
    case = assumed(case, HOSTILE)
    hostile = replace(told, case=case, refinement=refinement, method=HOSTILE)
    shown = Page(written(Entry(hostile, HOSTILE, HOSTILE, names=True)))
    assert shown.kinds == harmless.kinds
    assert shown.text.count(re.sub(r"\s+", " ", SHOWN)) >= 14
    text = harmless.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Landmarks at the start" in text and "ASIS-l AP 2.3 0.99 mm used" in text
    assert f'LAT 61.2 25.12 mm left out, swapped with "{SHOWN}"?' in text
