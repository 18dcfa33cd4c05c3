"""Writes the files of a result: result.json, the transforms, pictures, and report.html."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from ..io.files import write_atomically
from ..io.html import Content, number, page, table, tag
from ..io.transforms import write_slicer_transform, write_transform
from ..rendering.devices import run_tasks
from .details import details
from .first_screen import badge, first_screen
from .overlays import DRRs, overlays, picture_files, png
from .result import Result

HERE = Path(__file__).parent


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
    """

    result: Result
    note: str = ""
    override: str | None = None
    names: bool = False

    @cached_property
    def pictures(self) -> list[list[dict[str, np.ndarray]]]:
        """`overlays` of each view at start and result (at the result alone where nothing was refined)."""
        result = self.result
        for level, bones in ((0, False), (1, True)):  # before threads would make them at the same time
            result.anatomy.projector(level, bones=bones)
        pictures: list[list[dict[str, np.ndarray]]] = [[] for _ in result.views]

        def draw(nth: int) -> None:
            given, corrected = result.case.views[nth], result.views[nth]
            drrs = [DRRs.of(result.anatomy, corrected.camera, result.world_from_ct)]
            if result.refined:
                drrs.insert(0, DRRs.of(result.anatomy, given.camera, result.start_world_from_ct))
            pictures[nth] = overlays(given.xray, drrs)

        run_tasks([partial(draw, nth) for nth in range(len(pictures))])
        return pictures


def save_result(result: Result, folder: str | Path, override: str | None = None, *, names: bool = False) -> None:
    """Write result.json, the transforms, the overlays and report.html; each appears whole or not at all.

    Parameters
    ----------
    folder
        Made where it is missing.
    override
        Why a result that should not be used (rejected, or with changed inputs) is written all the same; every file but the pictures
        carries it.
    names
        Name the case and its files in report.html; they may hold a patient's name.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    entry = Entry(result, override=override, names=names)
    comment = None if override is None else f"Override: {override}"

    def write_pictures(name: str, shown: list[dict[str, np.ndarray]]) -> None:
        for kind, files in picture_files(shown).items():
            for when, file in zip(("after", "before"), reversed(files)):
                write_atomically(folder / f"{name}_{kind}_{when}.png", file)

    run_tasks(
        [partial(write_pictures, view.name, shown) for view, shown in zip(result.views, entry.pictures, strict=True)]
    )
    for name, kept in result.suggested_masks.items():
        write_atomically(folder / f"{name}_mask.png", png(255 * kept[..., None].astype(np.uint8)))
    write_transform(folder / "world_from_ct.tfm", result.world_from_ct, comment)
    write_slicer_transform(folder / "world_from_ct.slicer.tfm", result.world_from_ct, comment)
    write_report(folder / "report.html", [entry])
    write_atomically(folder / "result.json", json.dumps(result.to_json(override), indent=1) + "\n")


def write_report(
    path: Path, entries: Sequence[Entry], title: str = "Registration report", first: Sequence[ET.Element] = ()
) -> None:
    """Write one HTML file about one or several registrations: a screen, or a printed page, of each, and the details folded below.

    Parameters
    ----------
    first
        Sections before those of the registrations.
    """
    sections = [_case_section(entry, nth, alone=len(entries) == 1) for nth, entry in enumerate(entries, start=1)]
    index = [_index(entries)] if len(entries) > 1 else []
    style, script = (HERE.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "zoom.js"))
    write_atomically(path, page(title, [], [*first, *index, *sections], style, script))


def _name(entry: Entry, nth: int) -> str:
    return entry.result.case.name if entry.names else f"Case {nth}"


def _index(entries: Sequence[Entry]) -> ET.Element:
    """Table of all cases with links."""
    rows: list[list[Content]] = []
    for nth, entry in enumerate(entries, start=1):
        result = entry.result
        errors, start = result.errors, result.start_errors
        mtre = "truth unknown" if errors is None else number(errors.mtre_mm, "mm", 3)
        rows.append(
            [
                tag("a", _name(entry, nth), href=f"#case-{nth}"),
                badge(result.verdict),
                f"{start.mtre_mm:.3f} \u2192 {mtre}" if start else mtre,
                str(len(result.views)),
                f"{result.seconds['total']:.2f} s",
            ]
        )
    heads = ["Case", "Verdict", "mTRE, start \u2192 result", "Views", "Time"]
    return tag("nav", tag("h2", "Cases"), table(heads, rows), aria_label="Cases")


def _case_section(entry: Entry, nth: int, *, alone: bool) -> ET.Element:
    """One registration: its first screen, and the details; with a heading where it is one of several."""
    anchor = f"case-{nth}"
    return tag(
        "section",
        None if alone else tag("h2", _name(entry, nth)),
        None if entry.override is None else tag("p", tag("strong", "Override: "), entry.override, class_="override"),
        tag("p", entry.note, class_="note") if entry.note else None,
        first_screen(entry.result, entry.pictures, anchor, names=entry.names),
        *details(entry.result, entry.pictures, names=entry.names),
        id=anchor,
        class_="case sheet",
    )
