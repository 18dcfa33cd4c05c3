"""Every finding has a message, every message is complete, and every code has what resolves it."""

import ast
import re
from pathlib import Path

import pytest
from helpers.result_schema import CAUSES, CODES

import MultiViewRegistrationLib
from MultiViewRegistrationLib.assessment.faults import SIGNS
from MultiViewRegistrationLib.assessment.next_view import FurtherView, ViewPlan
from MultiViewRegistrationLib.assessment.records import (
    FAILURE,
    NOTE,
    POSITION,
    Assessment,
    ExpectedError,
    Finding,
    UseAssessment,
)
from MultiViewRegistrationLib.report.messages import (
    MESSAGES,
    cautions,
    describe,
    describe_use,
    headline,
    percent,
    proposed_view,
    remedy,
    sentences,
    summary,
)

#: Values of findings, with short names.
VALUES = {
    "accepted": 0.03,
    "angle_deg": 4.0,
    "angles": "LAO 45\u00b0",
    "are_slot_scans": False,
    "assumptions": "AP: pixels are square",
    "axes": "C-arm",
    "axis": "(0.00, 0.00, 1.00)",
    "body": "patient",
    "bone": "L1",
    "bones": "L1, L2",
    "bound_mm": 3.1,
    "change_percent": -5.7,
    "columns": 6.0,
    "corrected": "lateral",
    "correction": 2.5,
    "count": 7,
    "depth_mm": 4.2,
    "distance_mm": 5.2,
    "doubt": "It is smaller than the calibrated image.",
    "evidence_ratio": 1.05,
    "fits": "about as well",
    "from_mm": 2.0,
    "further": 2,
    "geometry": "cone beam",
    "in_plane_mm": 0.4,
    "kind": "vertebra",
    "known_to": "\u00b14 px, 1 %",
    "levels": 16,
    "method": "given",
    "missing": "1, 4",
    "motion_deg": 3.0,
    "motion_mm": 4.0,
    "moved_mm": 5.2,
    "ncc": 0.41,
    "noise_mm": 1.1,
    "other": "L2",
    "percent": 60.0,
    "points": "targets",
    "px": 2.4,
    "quantity": "angles",
    "rim": "Along z",
    "risk": 0.26,
    "rotation_deg": 3.0,
    "rows": 4.0,
    "sd": 0.5,
    "shift_mm": 30.0,
    "signs": max(SIGNS, key=len),
    "statement": "The patients differ.",
    "to_mm": 0.9,
    "total": 8,
    "towards": "head",
    "unit": "degrees",
    "upper95_deg": 1.4,
    "upper95_mm": 2.4,
    "value": 0.2,
    "views": 2,
}
#: What resolves causes that are not of the geometry of the X-rays.
OF_CAUSES = {
    "cause-mirrored-ct": "ct",
    "cause-short": "ct",
    "cause-part": "start",
    "cause-level": "overlays",
}
LIBRARY = Path(MultiViewRegistrationLib.__file__).parent


def finding_of(code, views=("lateral",), **values):
    values = {**VALUES, **values}
    if code == "half-turn":
        values["axes"] = values["axis"]
    if code == "bone-displaced":
        values["accepted"] = 3
    return Finding(code, views=views, values=values)


@pytest.mark.parametrize("views", [(), ("AP",), ("AP", "lateral")])
@pytest.mark.parametrize("code", MESSAGES)
def test_no_message_names_a_missing_value(code, views):
    template = "".join(MESSAGES[code][:3])
    if not views and ("{views}" in template or "{views_or}" in template):
        return  # findings with these codes have views
    message = describe(finding_of(code, views))
    for text in message[:3]:
        assert not re.search("[{}]|  |None|nan|inf", text), text
        assert text == text.strip()


@pytest.mark.parametrize("code", MESSAGES)
def test_a_headline_has_at_most_eight_words_and_no_full_stop(code):
    """A number with its unit is a word; statements of headers and assumptions are as they are."""
    headline = describe(finding_of(code)).headline
    assert headline and not headline.endswith(".")
    if not MESSAGES[code].headline.startswith(("{statement}", "Assumed")):
        words = re.sub(r"(?<=\d) (?=%|mm|px|degrees)", "", headline).split()
        assert len(words) <= 8, headline


@pytest.mark.parametrize("code", MESSAGES)
def test_explanation_and_action_are_sentences(code):
    message = describe(finding_of(code))
    for text in filter(None, message[1:3]):
        assert re.match(r"[A-Z\d]", text) and text.endswith(".")


def codes_in_library():
    """Return the codes of all findings that the library constructs, and all texts in it."""
    codes, texts = set(), set()
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if is_text and path.name != "messages.py":
                texts.add(node.value)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding":
                codes |= {arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    return codes, texts


@pytest.mark.slow
def test_every_code_of_the_library_has_a_message_and_every_message_is_used():
    codes, texts = codes_in_library()
    of_causes = {f"cause-{cause.replace(' ', '-')}" for cause in CAUSES}
    assert codes <= MESSAGES.keys()
    assert MESSAGES.keys() - of_causes <= texts
    assert of_causes == {code for code in MESSAGES if code.startswith("cause-")}


def test_the_schema_documents_every_code():
    assert MESSAGES.keys() == CODES


def test_an_unknown_code_of_a_later_version_is_reported_by_its_name():
    assert str(describe(Finding("of-2030"))) == "Unknown finding: of-2030."


def test_names_of_views_with_braces_stay_as_they_are():
    finding = Finding("too-little-shown", views=("a {x}", "{found} {0}"))
    assert describe(finding).headline.startswith("A {x} and {found} {0} shows")


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_has_what_resolves_it(cause):
    code = f"cause-{cause.replace(' ', '-')}"
    assert remedy([finding_of(code)]) == OF_CAUSES.get(code, "geometry")


@pytest.mark.parametrize(
    "code, what",
    [
        ("patient-mismatch", "patient"),
        ("other-day", "overlays"),
        ("camera-contradicted", "geometry"),
        ("cameras-uncertain", "calibration"),
        ("geometry-unknown", "calibration"),
        ("one-view", "xray"),
        ("same-direction", "xray"),
        ("too-little-shown", "xray"),
        ("shared-unknown", "overlays"),
        ("further-view", "xray"),
        ("not-refined", "register"),
        ("pose-set", "register"),
        ("bones-not-registered", "register"),
        ("risk", "overlays"),
        ("part-displaced", "bones"),
    ],
)
def test_the_first_finding_that_something_can_be_done_about_counts(code, what):
    assert remedy([finding_of("most-likely-wrong"), finding_of(code)]) == what
    assert remedy([]) == "overlays"


def test_the_view_that_would_help_most_is_named():
    plan = ViewPlan(1.0, [FurtherView(45.0, -15.0, 0.4)], uses_ct_axes=True)
    (finding,) = plan.findings
    assert proposed_view([Finding("one-view"), finding]) == "LAO 45\u00b0, CAU 15\u00b0"
    assert "halve" in str(describe(finding)) and proposed_view([]) == ""


@pytest.mark.parametrize(
    "probability, words",
    [(0.0004, "less than 0.1 %"), (0.031, "3.1 %"), (0.26, "26 %"), (0.995, "more than 99 %")],
)
def test_a_probability_has_two_digits(probability, words):
    assert percent(probability) == words


@pytest.mark.parametrize(
    "assessed, words",
    [
        (UseAssessment("accept", 0.03, 0.3), "accept, < 0.5 mm"),
        (UseAssessment("check", 2.94, 6.0), "check, 2.9 mm (95 %: 6.0 mm)"),
        (UseAssessment("check", 2.94), "check, 2.9 mm"),
        (UseAssessment("check"), "check"),
        (UseAssessment("reject", 5.0, 9.0), "reject"),
    ],
)
def test_a_use_is_described_by_verdict_and_expected_error(assessed, words):
    assert describe_use(assessed) == words


def test_the_summary_has_the_verdict_of_each_use_and_the_risk():
    errors = {"overlay": ExpectedError(0.1, 0.2), "position": ExpectedError(2.9, 6.0)}
    finding = Finding("cameras-uncertain", uses=POSITION)
    assert summary(Assessment((finding,), errors, risk=0.26)) == (
        "Overlay on the X-rays: accept, < 0.5 mm. 3D position (navigation): check, 2.9 mm (95 %: "
        "6.0 mm). 26 % risk of an error of the 3D position above 2 mm."
    )


def test_the_headline_is_that_of_the_most_severe_finding():
    note, caution = Finding("unfamiliar-images", NOTE), Finding("one-view")
    failure = Finding("not-shown", FAILURE)
    assert headline(Assessment((note,))) == ""
    assert headline(Assessment((note, caution))) == MESSAGES["one-view"].headline
    assert headline(Assessment((caution, failure))) == MESSAGES["not-shown"].headline
    overlay = Finding("overlay-error-bound", uses=frozenset({"overlay"}), values=VALUES)
    assert headline(Assessment((overlay,))) == ""
    assert cautions([note, overlay]) == cautions([note, overlay], "overlay") == [overlay]
    assert sentences([caution]) == [str(MESSAGES["one-view"])]
