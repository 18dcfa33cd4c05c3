"""`mvreg demo`."""

from __future__ import annotations

import argparse
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from typing import NamedTuple

import numpy as np

from ..api import register
from ..assessment.metrics import mtre
from ..errors import Show, install_command
from ..io.case import Case
from ..io.datasets.chest import BENT_SPINE_FOLDER, bent_spine_truth, write_sample
from ..registration.optimizer import Progress
from ..registration.prepared_ct import PreparedCT
from ..regressor.initialise import Regressor, missing_packages
from ..report.html import Content, number, table, tag
from ..report.result import Result
from ..report.result_page import Entry, save_result, write_report
from ..training import train
from .options import Parser, add_open, add_out, add_progress, open_page, progress_of, say
from .register import say_report, summarise

CHEST_NOTE = (
    "A real chest CT. RTK's projector, not this program's own, made its X-rays, with a "
    "polychromatic beam, scatter, noise, an unknown gain, and a body that continues beyond the CT."
)
SEARCH_NOTE = "The same X-rays without the start: a search within the case's range about it."
REGRESSOR_NOTE = (
    "The same X-rays without the start: by a network trained for {minutes:g} minute{s} on this "
    "program's own renderings of this CT, never on these X-rays. Half of its poses for such "
    "renderings are within {median:.1f} mm; the refinement does the rest."
)
SPINE_NOTE = (
    "The same chest, whose spine has bent since the CT: T8, T9, T11 and T12 have each turned by 3 "
    "to 5 degrees and shifted by 1 to 2 mm against their neighbour, simulated bone by bone. The "
    "whole CT is registered first, then each vertebra: see The bones."
)
ERRORS = "Mean distance of each vertebra from its true place, by the pose of the whole CT and by its own:"
#: Folder of the last case.
SPINE = "spine"
#: Minutes of training, and its share of the demo's time.
MINUTES = 1.0
TRAINING_SHARE = 0.75


def add_demo(command: Parser) -> None:
    """Add the options of `mvreg demo`."""
    command.describe(_demo, "[options]", "--open    # and look at the report in a browser")
    add_progress(command)
    add_out(command, "folder of the results (default: %(default)s)", default="demo-result")
    add_open(command, "the report")


def _demo(options: argparse.Namespace) -> dict:
    with progress_of(options, "Demo") as line:
        done = run_demo(options.out, on_progress=line.show)
    for result in done.results:
        summarise(result, result.case.name)
    lines = [
        f"{each.name:3}  {each.whole_ct_mm:.2f} mm, {each.own_mm:.2f} mm  {each.verdict}"
        for each in done.bones
    ]
    say("\n    ".join([f"  {ERRORS}", *lines]))
    say(f"  Their outlines: {options.out / SPINE / 'bones.jpg'}")
    if missing_packages():
        say(f"  No network was trained, as PyTorch is not installed: {install_command('torch')}.")
    say_report(options.out)
    open_page(options, options.out / "report.html")
    return {
        "report": str(options.out / "report.html"),
        "results": [result.to_json() for result in done.results],
        "bones": [each._asdict() for each in done.bones],
    }


class BoneError(NamedTuple):
    """The mean distance, mm, of a bone from its true place, by the pose of the whole CT and by its own."""

    name: str
    verdict: str
    whole_ct_mm: float
    own_mm: float


class Demo(NamedTuple):
    """The results of the demo, and the errors of the bones of the last one."""

    results: list[Result]
    bones: list[BoneError]


@dataclass(frozen=True)
class _Run:
    """A case to register, its start, and a note for the report."""

    case: Case
    note: str
    start: str = "given"
    model: Regressor | None = None


def run_demo(out: Path, on_progress: Show) -> Demo:
    """Register the samples in folders of `out`, with one report.html.

    The chest is registered from a given start, by a search, and by a network that is trained first
    if PyTorch is installed; then the same chest with a bent spine.

    Raises
    ------
    InputError
        If the chest CT or its labels cannot be downloaded.
    """
    spine = write_sample(out / SPINE, BENT_SPINE_FOLDER)
    chest = Case.load(write_sample(out / "chest"))
    truth = bent_spine_truth()
    runs = [
        _Run(chest, CHEST_NOTE),
        _Run(replace(chest, name="chest-search"), SEARCH_NOTE, "search"),
    ]
    if missing_packages():
        runs[-1] = replace(
            runs[-1],
            note=f"{SEARCH_NOTE} A network that finds the pose needs PyTorch, which is not installed here.",
        )
    else:
        runs.append(
            _trained(
                chest,
                out / "network",
                lambda fraction, stage: on_progress(TRAINING_SHARE * fraction, f"network: {stage}"),
            )
        )
    runs.append(_Run(Case.load(spine, last=chest), SPINE_NOTE))
    anatomy = PreparedCT(chest.ct)
    entries: list[Entry] = []
    bones: list[BoneError] = []
    for nth, run in enumerate(runs):

        def step(progress: Progress, done: int = nth, name: str = run.case.name) -> None:
            on_progress(
                TRAINING_SHARE + (1 - TRAINING_SHARE) * (done + progress.fraction) / len(runs),
                f"{name}: {progress.stage}",
            )

        result = register(run.case, run.start, progress=step, anatomy=anatomy, model=run.model)
        save_result(result, out / run.case.name, names=True, replace=True)
        bones = bone_errors(result, truth)
        entries.append(Entry(result, run.note, names=True, further=_error_table(bones)))
    write_report(out / "report.html", entries)
    return Demo([entry.result for entry in entries], bones)


def bone_errors(result: Result, truth: Mapping[str, np.ndarray]) -> list[BoneError]:
    """Return the errors of a result's bones, by their true world_from_ct (4, 4).

    None for a result without structures.
    """
    found = []
    for body in result.together.bodies:
        if body.bone:
            against = truth[body.name], body.bone.surface
            whole_ct_mm = mtre(result.world_from_ct, *against)
            own_mm = mtre(body.world_from_ct, *against)
            found.append(BoneError(body.name, body.verdict or "", whole_ct_mm, own_mm))
    return found


def _error_table(bones: Sequence[BoneError]) -> list[ET.Element]:
    rows: list[list[Content]] = [
        [each.name, number(each.whole_ct_mm, "mm", 2), number(each.own_mm, "mm", 2), each.verdict]
        for each in bones
    ]
    return [tag("p", ERRORS), table(["", "Whole CT", "Own pose", "Verdict"], rows)] if rows else []


def _trained(case: Case, folder: Path, on_progress: Show) -> _Run:
    """Return the case with a network that is trained now; one of an earlier demo is replaced."""
    rmtree(folder, ignore_errors=True)
    model = train(
        case,
        folder,
        minutes=MINUTES,
        progress=lambda fraction, stage, error_mm: on_progress(fraction, stage),
    )
    note = REGRESSOR_NOTE.format(
        minutes=MINUTES, s="" if MINUTES == 1 else "s", median=model.card.expected[0]
    )
    return _Run(replace(case, name="chest-regressor"), note, "regressor", model)
