"""`mvreg bench`: chooses the jobs, runs them, and keeps what they found in docs/benchmarks/results.json, from which the page is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from ..errors import InputError
from ..io.files import write_atomically
from ..registration.prepared_ct import warm_up
from . import memory, nanodrr_peer, registration, rendering
from .machine import machine, now
from .page import CARD, ON_CARD, write_page
from .rows import Job, Measured, Record, Row
from .setting import Setting

PARTS = ("render", "registration", "growth", "memory", "search")
#: Of these sizes memory is measured on a card.
LARGE = (200, 512)
VERSION = 1

Results = dict[str, Record]
"""By the job's key, in the order of the page."""


def jobs_on_processor(setting: Setting) -> list[Job]:
    """Every job of the processor, in the order of the page."""
    return [
        *rendering.jobs(setting),
        *registration.jobs(setting),
        *rendering.growth_jobs(setting),
        *memory.jobs(setting),
        *registration.search_jobs(setting),
    ]


def jobs_on_card(setting: Setting) -> list[Job]:
    """The same on a device, in batches; rows and figures are named as those of the card."""
    large = [batch for batch in rendering.BATCHES if batch[0] in LARGE]
    jobs = [
        *rendering.jobs_in_batches(setting, rendering.BATCHES),
        *registration.jobs(setting),
        *rendering.growth_jobs(setting, "poses"),
        *memory.jobs(setting, large),
        *registration.search_jobs(setting),
    ]
    return [_on_card(job) for job in jobs]


def _on_card(job: Job) -> Job:
    def run(tell: Callable) -> Measured:
        measured = job.run(tell)
        rows = [Row(**{**asdict(row), "name": row.name + ON_CARD}) for row in measured.rows]
        return Measured(rows, {figure + ON_CARD: lines for figure, lines in measured.curves.items()})

    return Job(CARD, tuple(row + ON_CARD for row in job.rows), job.seconds, run, job.part)


def chosen(jobs: Sequence[Job], only: str) -> list[Job]:
    """The jobs that `only` names: parts, or pieces of a row's name, separated by commas; all of them if it is empty.

    InputError for a word that names none.
    """
    words = [word.strip() for word in only.split(",") if word.strip()]
    found, parts = [], {name for job in jobs for name in (job.part, job.of)}
    for word in words:
        matching = [
            job
            for job in jobs
            if word in (job.part, job.of) or (word not in parts and any(word in row for row in job.rows))
        ]
        if not matching:
            raise InputError(f'--only: found "{word}", expected {", ".join(PARTS)}, or a piece of a row\'s name.')
        found += matching
    return [job for job in jobs if job in found] if words else list(jobs)


def run(
    setting: Setting,
    only: str = "",
    page: Path | None = None,
    tell: Callable[[float, str], object] = lambda fraction, stage: None,
) -> Results:
    """Measure, and return what was found in this run: the jobs of the card where the setting has a device, all others where it has none.

    Parameters
    ----------
    only : see `chosen`.
    page : also write it there with the earlier results of all that was not run again, which are kept beside it. It is written after
        each job, so that nothing is lost where somebody stops the run.

    Raises
    ------
    InputError where a peer is missing, or `only` names nothing.
    """
    sides = [jobs_on_processor(setting), jobs_on_card(setting)]
    jobs = chosen(sides[setting.device is not None], only)
    store = page and page.with_suffix("") / "results.json"
    earlier = load(store) if page else {}
    nanodrr_peer.modules()
    tell(0.0, "preparing")
    warm_up()
    found: Results = {}
    done, whole = 0.0, sum(job.seconds for job in jobs)
    for job in jobs:

        def share(fraction: float, done: float = done, job: Job = job) -> None:
            tell((done + fraction * job.seconds) / whole, job.rows[0])

        share(0.0)
        measured = job.run(share)
        found[job.key] = Record(job.part, now(), machine(setting.device), measured.rows, measured.curves)
        done += job.seconds
        if page:
            both = {**earlier, **found}
            results = {each.key: both[each.key] for each in (*sides[0], *sides[1]) if each.key in both}
            save(store, results)
            write_page(page, results, [name for each in sides[1] for name in each.rows])
    return found


def load(path: Path) -> Results:
    """The results in a file; none where there is no file. InputError where it is something else."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise ValueError
        return {
            key: Record(**{**record, "rows": [Row(**row) for row in record["rows"]]})
            for key, record in content["records"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{path}: found something else than results of this version of mvreg bench, expected those or no file; "
            "move it away."
        ) from None


def save(path: Path, results: Results) -> None:
    """Write the file; it appears whole or not at all."""
    content = {"version": VERSION, "records": {key: asdict(record) for key, record in results.items()}}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content, indent=1) + "\n")
