"""Writes the files of a result: result.json, the transforms, pictures, and report.html.

The first screen of a report is verdict and cause, the X-rays with the CT's outlines, the scene in
3D, who and what; `details` follow.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..assessment.records import NOTE, UNUSABLE, WRONG_MM, Verdict
from ..geometry import rigid
from ..geometry.fields import describe_uncertainty
from ..imaging.xray import View
from ..io.files import sha256, write_atomically
from ..io.folders import RESULT, earlier_files, files_of_result, staged
from ..io.result_json import RegistrationExport
from ..io.transforms import write_slicer_transform, write_transform
from ..known import without_empty
from ..registration.similarity import MIN_PIXELS
from ..rendering.devices import begin_tasks, run_tasks
from . import messages
from .details import ASSUMED, details
from .html import VERDICTS, Content, embedded, jpeg, number, page, png, table, tag, words_of
from .overlays import LEGENDS, DRRs, overlays, picture_files
from .plot import image_of
from .result import Result
from .scene import DrawnView, Scene, best_side, look_from, scene_figure

HERE = Path(__file__).parent
#: Sign and colour of a view's state, see `Assessment.view_states`.
SIGNS = {
    "good": ("\u2713", "accept"),
    "check": ("!", "check"),
    "bad": ("\u2715", "reject"),
    None: ("", ""),
}
NOT_ASSESSED = "Nothing has checked this result."
EACH_BONE = "Each bone at its own pose"
#: X-rays in a row.
IN_A_ROW = 3
#: The scene's longer side in lines of its labels, and the width over height of the place for it.
LINES = 22
ASPECT = 0.75
WIDE_ASPECT = 2.0
#: X-rays side by side that are together so many times wider than high have scene and text below
#: them.
WIDE = 2.6
#: A detector at an unknown distance is drawn at so many times the distance of the anatomy.
UNKNOWN_DETECTOR = 1.5


@dataclass(frozen=True, eq=False)
class Entry:
    """One registration in a report.

    Attributes
    ----------
    note
        For the reader of this case, e.g. that its X-rays are simulated.
    override
        Why the result is written although it should not be used.
    names
        Whether the report names the case and its files: they may hold a patient's name.
    further
        Elements below the note.
    drrs
        `begin_drrs` of the result, where they have begun.
    """

    result: Result
    note: str = ""
    override: str | None = None
    names: bool = False
    further: Sequence[ET.Element] = ()
    drrs: Callable[[], list[list[DRRs]]] | None = None

    @cached_property
    def compared_bones(self) -> np.ndarray | None:
        """`before_after` of its bones, if it has any."""
        if not self.result.together.bodies:
            return None
        from .details import before_after

        return before_after(self.result)

    @cached_property
    def pictures(self) -> list[list[dict[str, np.ndarray]]]:
        """`overlays` of each view at start and result (at the result alone where nothing was refined)."""
        drrs = (self.drrs or begin_drrs(self.result))()
        pictures: list[list[dict[str, np.ndarray]]] = [[] for _ in drrs]

        def draw(nth: int) -> None:
            tested = self.result.tested_in(self.result.views[nth])
            pictures[nth] = overlays(self.result.case.views[nth].xray, drrs[nth], tested=tested)

        run_tasks([partial(draw, nth) for nth in range(len(pictures))])
        return pictures


def begin_drrs(result: Result) -> Callable[[], list[list[DRRs]]]:
    """Have other threads begin to render the CT over each X-ray, at start and result (at the result alone where nothing was refined).

    What is returned does the rest, and returns those of each view.
    """
    found: list[dict[str, DRRs]] = [{} for _ in result.views]

    drawn = {"result": (result.views, *result.drawn(result.world_from_ct, result.together.usable))}
    if result.refined:
        start = result.drawn(result.start_world_from_ct, result.case.bodies)
        drawn = {"start": (result.case.views, *start), **drawn}

    def render(nth: int, when: str) -> None:
        views, anatomy, pose = drawn[when]
        found[nth][when] = DRRs.of(anatomy, views[nth].camera, pose)

    each = product(range(len(found)), drawn)
    finish = begin_tasks([partial(render, nth, when) for nth, when in each])

    def finished() -> list[list[DRRs]]:
        finish()
        return [[drrs[when] for when in drawn] for drrs in found]

    return finished


def save_result(
    result: Result,
    folder: str | Path,
    override: str | None = None,
    *,
    names: bool = False,
    replace: bool = False,
    drrs: Callable[[], list[list[DRRs]]] | None = None,
) -> dict[str, Any]:
    """Write the overlays, report.html, the transforms and result.json, all at once, in place of an older result of the same case.

    A rejected result has no transforms without an override: result.json, which has its pose, and
    report.html say so.

    Parameters
    ----------
    folder
        Made where it is missing. Files in it that came with no result stay.
    override
        Why a result that should not be used (rejected, or with changed inputs) is written all the
        same; every file but the pictures carries it.
    names
        Name the case and its files in report.html; they may hold a patient's name.
    replace
        Also in place of another case's result.
    drrs
        `begin_drrs` of the result, where they have begun.

    Returns
    -------
    The content of result.json.

    Raises
    ------
    InputError
        Where the folder holds the result of another case, or cannot be written.
    """
    case = result.case

    def earlier(folder: Path) -> list[str]:
        if replace:
            return files_of_result(folder)
        return earlier_files(
            folder, case.path.name if case.path else None, case.images, case.inputs.values()
        )

    def is_input(file: Path) -> bool:
        return file.is_file() and sha256(file) in case.inputs.values()

    masks = {f"{name}_mask.png": kept for name, kept in result.suggested_masks.items()}
    masks = {file: kept for file, kept in masks.items() if not is_input(Path(folder, file))}
    with staged(folder, RESULT, earlier) as staging:
        entry = Entry(result, result.withheld(override) or "", override, names, drrs=drrs)
        content = _write_files(entry, staging, masks)
    return content


def _write_files(entry: Entry, folder: Path, masks: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Write all files of a result into a new folder, with these masks by their names.

    Returns the content of its result.json.
    """
    others = {*folder.iterdir()}  # of a case, say
    result = entry.result
    override = entry.override

    def write_pictures(name: str, shown: list[dict[str, np.ndarray]]) -> None:
        for kind, files in picture_files(shown).items():
            for when, file in zip(("after", "before"), reversed(files)):
                write_atomically(folder / f"{name}_{kind}_{when}.png", file)

    pictures, compared = (
        entry.pictures,
        entry.compared_bones,
    )  # before threads would draw them at the same time
    tasks: list[Callable[[], object]] = [partial(write_report, folder / "report.html", [entry])]
    for view, shown in zip(result.views, pictures, strict=True):
        tasks.append(partial(write_pictures, view.name, shown))
    run_tasks(tasks)
    if compared is not None:
        write_atomically(folder / "bones.jpg", jpeg(compared))
    for name, kept in masks.items():
        write_atomically(folder / name, png(255 * kept[..., None].astype(np.uint8)))
    content = result.to_json(override)
    whole, every = RegistrationExport.every(folder / RESULT, content)
    for exported in dict.fromkeys([whole, *every]):
        if not exported.refused:
            _write_transforms(folder, exported)
    content["files"] = {file.name: sha256(file) for file in sorted({*folder.iterdir()} - others)}
    write_atomically(folder / RESULT, json.dumps(content, indent=1) + "\n")
    return content


def _write_transforms(folder: Path, exported: RegistrationExport) -> None:
    """Write a pose as ITK and Slicer take it, with what is said of it."""
    name = f"{exported.prefix}world_from_ct"
    for ending, write in (("tfm", write_transform), ("slicer.tfm", write_slicer_transform)):
        write(folder / f"{name}.{ending}", exported.world_from_ct, *exported.comments())


def write_report(
    path: Path,
    entries: Sequence[Entry],
    title: str = "Registration report",
    first: Sequence[ET.Element] = (),
) -> None:
    """Write one HTML file about one or several registrations.

    A screen, or a printed page, of each, and the details folded below.

    Parameters
    ----------
    first
        Sections before those of the registrations.
    """
    alone = len(entries) == 1
    sections = [_case_section(entry, n, alone=alone) for n, entry in enumerate(entries, start=1)]
    index = [_index(entries)] if len(entries) > 1 else []
    style, script = (
        HERE.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "zoom.js")
    )
    write_atomically(path, page(title, [], [*first, *index, *sections], style, script))


def _name(entry: Entry, nth: int) -> str:
    return entry.result.case.name if entry.names else f"Case {nth}"


def _index(entries: Sequence[Entry]) -> ET.Element:
    """Table of all cases with links."""
    rows: list[list[Content]] = []
    for nth, entry in enumerate(entries, start=1):
        result = entry.result
        errors = result.errors
        start = result.start_errors
        unknown = "of each bone, below" if entry.further else "truth unknown"
        mtre = unknown if errors is None else number(errors.mtre_mm, "mm", 3)
        rows.append(
            [
                tag("a", _name(entry, nth), href=f"#case-{nth}"),
                badge(result),
                f"{start.mtre_mm:.3f} \u2192 {mtre}" if start else mtre,
                str(len(result.views)),
                f"{result.seconds['total']:.2f} s",
            ]
        )
    heads = ["Case", "3D position", "mTRE, start \u2192 result", "Views", "Time"]
    return tag("nav", tag("h2", "Cases"), table(heads, rows), aria_label="Cases")


def _case_section(entry: Entry, nth: int, *, alone: bool) -> ET.Element:
    """Return one registration: its first screen, and the details.

    With a heading where it is one of several.
    """
    anchor = f"case-{nth}"
    return tag(
        "section",
        None if alone else tag("h2", _name(entry, nth)),
        None
        if entry.override is None
        else tag("p", tag("strong", "Override: "), entry.override, class_="override"),
        tag("p", entry.note, class_="note") if entry.note else None,
        *entry.further,
        first_screen(entry.result, entry.pictures, anchor, names=entry.names),
        *details(entry.result, entry.pictures, entry.compared_bones, names=entry.names),
        id=anchor,
        class_="case sheet",
    )


def first_screen(
    result: Result, shown: Sequence[Sequence[dict[str, np.ndarray]]], anchor: str, *, names: bool
) -> ET.Element:
    """Return what is seen without scrolling.

    Parameters
    ----------
    shown
        `overlays.overlays` of each view.
    anchor
        Of the report's entry, for the names of its controls.
    names
        Also the case's name and those of its files.
    """
    across = sum(pictures[0]["xray"].shape[1] / pictures[0]["xray"].shape[0] for pictures in shown)
    wide = across > WIDE and len(shown) <= IN_A_ROW
    aside = tag(
        "aside", _scene(result, WIDE_ASPECT if wide else ASPECT), _who_and_what(result, names=names)
    )
    seen = tag(
        "div", _films(result, shown, anchor), aside, class_="seen wide-films" if wide else "seen"
    )
    return tag("div", _answer(result), seen, class_="first")


def badge(result: Result) -> ET.Element:
    """Return the sign and the word of its verdict."""
    return _badge(result.overall_verdict, words_of(result))


def _badge(verdict: Verdict | None, words: tuple[str, str, str]) -> ET.Element:
    sign, word, _ = words
    kind = VERDICTS[verdict][1].replace(" ", "-")
    return tag("strong", tag("span", sign, aria_hidden="true"), " ", word, class_=f"badge {kind}")


def _answer(result: Result) -> ET.Element:
    """Return the verdict and expected error of each use, what limits them first, and the further findings, folded."""
    headline, text, *further = sentences_of(result)
    sentences = [tag("p", headline, class_="headline"), tag("p", text) if text else None]
    folded = tag(
        "details",
        tag("summary", f"Why ({len(further)})"),
        tag("ul", *(tag("li", sentence) for sentence in further)),
        class_="why",
    )
    body = tag("div", *sentences, folded if further else None)
    return tag("div", _verdicts(result), body, class_="answer")


def _verdicts(result: Result) -> ET.Element:
    """Return a line for each use with its verdict and expected error; without an assessment its badge."""
    if result.assessment is None:
        return badge(result)
    uses = dict(result.uses)
    rows = []
    if result.each_bone_is_accepted:
        whole_ct = ("overlay", "position")
        uses = {use: assessed for use, assessed in uses.items() if use not in whole_ct}
        rows.append(_verdict_row(EACH_BONE, "accept", VERDICTS["accept"]))
    for use, assessed in uses.items():
        words = VERDICTS[assessed.verdict]
        if use == "position":  # the verdict that the user's edge checks are about
            words = words_of(result)
        error = messages.describe_error(assessed)
        rows.append(_verdict_row(messages.USE_NAMES[use], assessed.verdict, words, error))
    return tag("table", tag("tbody", *rows), class_="uses")


def _verdict_row(
    name: str, verdict: Verdict, words: tuple[str, str, str], error: str = ""
) -> ET.Element:
    expected = f"expected error {error}" if error else ""
    cells = (tag("td", _badge(verdict, words)), tag("td", expected))
    return tag("tr", tag("th", name, scope="row"), *cells)


def sentences_of(result: Result) -> list[str]:
    """Return the headline of a result, its explanation and what to do, and the further findings, as sentences."""
    _, _, act = words_of(result)
    assessment = result.assessment
    if assessment is None:
        return [NOT_ASSESSED, act, *result.reasons]
    findings = result.findings
    first = messages.most_limiting(findings)
    others = [finding for finding in findings if finding != first]
    others.sort(key=lambda finding: finding.severity == NOTE)
    further = messages.sentences(others)
    stated = {messages.percent(f.values["risk"]) for f in findings if "risk" in f.values}
    if assessment.risk is not None and messages.percent(assessment.risk) not in stated:
        further.insert(0, messages.describe_risk(assessment))
    if result.each_bone_is_accepted:
        uses = dict(assessment.uses)
        uses.pop("relative", None)
        further.insert(0, f"Pose of the whole CT. {messages.describe_uses(uses)}")
    if first is None:
        return [act, "", *further]
    message = messages.describe(first)
    told = [message.explanation, message.action]
    if result.verdict == "accept":  # another use is limited
        _, _, act = VERDICTS["check"]
    if result.verdict in UNUSABLE or result.checked or not message.action:
        told.append(act)
    return [f"{message.headline}.", " ".join(filter(None, told)), *further]


def _films(
    result: Result, shown: Sequence[Sequence[dict[str, np.ndarray]]], anchor: str
) -> ET.Element:
    """Return the X-rays under the outlines of the CT, at the result or at the start, or alone."""
    poses = {"result": "Result", "start": "Start", "none": "None"}
    if not result.refined:
        poses = {"result": "This pose", "none": "None"}
    choices = []
    for pose, word in poses.items():
        button = {"type": "radio", "name": f"{anchor}-outlines", "class_": f"pick-{pose}"}
        chosen = tag("input", **button, checked=pose == "result")
        choices.append(tag("label", chosen, word, class_="choice"))
    what = "the structure" if result.anatomy.structure else "the CT's bones"
    dots = ""
    if result.assessment and result.assessment.tested.overlay_in_place.any():
        dots = f" Blue dots: a {WRONG_MM:g} mm displacement of bone would be visible there."
    hint = f"Orange: edges of {what}.{dots} Click an X-ray to zoom; then wheel, drag, + and \u2212."
    count = len(result.views)
    rows = -(-count // IN_A_ROW)
    columns = -(-count // rows) if rows <= 2 else IN_A_ROW
    figures = [_film(result, nth, pictures) for nth, pictures in enumerate(shown)]
    return tag(
        "div",
        tag(
            "div",
            tag("span", "Outlines:", class_="quiet"),
            *choices,
            tag("span", hint, class_="quiet screen"),
            class_="choices",
            role="group",
            aria_label="Outlines",
        ),
        tag(
            "div",
            *figures,
            class_=f"xrays columns-{columns}",
            style=f"--rows: {-(-count // columns)}",
        ),
        class_="films",
    )


def _film(result: Result, nth: int, pictures: Sequence[dict[str, np.ndarray]]) -> ET.Element:
    """Return one X-ray with its outlines at the start, if there is one, and at the result."""
    view = result.views[nth]
    fit = result.refinement.fit
    used = fit.shown[nth] >= MIN_PIXELS
    causes = [finding for finding in result.findings if finding.code.startswith("cause-")]
    blamed = any(view.name in finding.views for finding in causes)
    state = f"similarity {fit.similarity[nth]:.2f}" if used else "not used"
    layers = [
        tag("img", src=embedded(jpeg(pictures[-1]["xray"]), "jpeg"), alt=f"{view.name}, X-ray")
    ]
    for pose, drawn in zip(("result", "start"), reversed(pictures), strict=False):
        file = embedded(png(drawn["outlines"]))
        layers.append(tag("img", src=file, alt=f"{view.name}, outlines, {pose}", class_=pose))
    states = result.view_states
    on_line = result.edge_checks.get(view.name)
    sign, colour = SIGNS["bad" if on_line is False else states.get(view.name)]
    edges = {True: ", edges confirmed", False: ", edges do not match", None: ""}[on_line]
    return tag(
        "figure",
        tag(
            "figcaption",
            tag("span", f"{sign} ", class_=colour) if sign else None,
            tag("strong", view.name),
            tag("span", f" {state}{edges}", class_="quiet"),
            " see the cause" if blamed else None,
        ),
        tag(
            "div",
            tag("div", *layers, class_="layers"),
            class_="stage",
            tabindex=0,
            role="group",
            aria_label=f"{view.name}: {LEGENDS['edges']} + and - zoom, arrows move, 0 shows all.",
        ),
        class_="blamed reject" if blamed else None,
    )


def _scene(result: Result, aspect: float) -> ET.Element:
    corners = rigid.transform_points(result.world_from_ct, result.anatomy.corners())
    middle = corners.mean(axis=0)
    scene = Scene(
        [DrawnView.of(view, _detector_mm(view, middle)) for view in result.views],
        corners,
        result.world_from_ct,
        result.anatomy,
        result.case.ct.unit == "hu",
    )
    drawn = scene_figure(scene, look_from(scene, *best_side(scene, aspect)), LINES)
    return tag("figure", image_of(drawn, "scene"))


def _detector_mm(view: View, middle: np.ndarray) -> float:
    """From the source to where the X-ray is drawn; `middle` (3,) of the CT, world mm."""
    pixel_mm = view.xray.pixel_mm
    if not view.camera.is_slot_scan and pixel_mm:
        return float(view.camera.focal_px * pixel_mm[1])
    return UNKNOWN_DETECTOR * max(float(view.camera.depth(middle)), 1.0)


def _who_and_what(result: Result, *, names: bool) -> ET.Element:
    facts = facts_of(result, names=names)
    listed = tag("dl")
    for name, text in facts.items():
        listed.extend([tag("dt", name), tag("dd", text)])
    return listed


def facts_of(result: Result, *, names: bool) -> dict[str, str]:
    """Return who and what a result is of, by what each says; with the case's and its files' names only where asked."""
    case = result.case
    volume = result.case.ct.volume
    shape = " \u00d7 ".join(map(str, reversed(volume.values.shape)))
    sides = [f"{side:.3g}" for side in volume.spacing_mm]
    spacing = sides[0] if len(set(sides)) == 1 else " \u00d7 ".join(sides)
    cameras = list(dict.fromkeys(describe_uncertainty(vars(view)) for view in case.views))
    assumed = sum(map(len, case.assumptions.values()))
    known = f"known: {'; '.join(cameras)}"
    if assumed:
        known += f"; {assumed} assumption{'s' * (assumed > 1)}, see {ASSUMED}"
    rows = {
        "Case": case.name if names else "",
        "CT": f"{shape} voxels of {spacing} mm{case.of_what}",
        "X-rays": ", ".join(view.name for view in case.views),
        "Files": ", ".join(case.inputs) if names else "",
        "Cameras": known,
        "Pose": ("registered, start: " if result.refined else "assessed as it was: ")
        + result.method,
        "Written": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "Program": f"MultiViewRegistration {__version__}",
    }
    return without_empty(rows)
