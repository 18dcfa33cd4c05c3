"""`mvreg bench`: chooses the jobs, runs them, and keeps what they found in docs/benchmarks/results.json, from which the page is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
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
"""By the part and the first row's name, in the order of the page."""


def all_jobs(setting: Setting) -> list[Job]:
    """Every job, in the order of the page; on a device images are rendered in batches, and rows and figures named as those of the card."""
    if setting.device is None:
        images, growth, batches = rendering.jobs(setting), "threads", memory.BATCHES
    else:
        images, growth = rendering.jobs_in_batches(setting, rendering.BATCHES), "poses"
        batches = tuple(batch for batch in rendering.BATCHES if batch[0] in LARGE)
    return [
        *images,
        *registration.jobs(setting),
        *rendering.growth_jobs(setting, growth),
        *memory.jobs(setting, batches),
        *registration.search_jobs(setting),
    ]


def chosen(jobs: Sequence[Job], only: str) -> list[Job]:
    """The jobs that `only` names: parts, or pieces of a row's name, separated by commas; all of them if it is empty.

    InputError for a word that names none.
    """
    words = [word.strip() for word in only.split(",") if word.strip()]
    found = []
    for word in words:
        matching = [
            job for job in jobs if (word == job.part if word in PARTS else any(word in row for row in job.rows))
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
    """Measure, and return what was found in this run.

    Parameters
    ----------
    only : see `chosen`.
    page : also write it there with the earlier results of all that was not run again, which are kept beside it. It is written after
        each job, so that nothing is lost where somebody stops the run.

    Raises
    ------
    InputError where a peer is missing, or `only` names nothing.
    """
    jobs = chosen(all_jobs(setting), only)
    store = page and page.with_suffix("") / "results.json"
    earlier = load(store) if store else {}
    nanodrr_peer.modules()
    tell(0.0, "preparing")
    warm_up()
    found: Results = {}
    done, whole = 0.0, sum(job.seconds for job in jobs)
    for job in jobs:

        def share(fraction: float, done: float = done, job: Job = job) -> None:
            tell((done + fraction * job.seconds) / whole, job.rows[0])

        share(0.0)
        part, measured = job.part, job.run(share)
        if setting.device is not None:
            part, measured = CARD, _on_card(measured)
        key = f"{part}: {measured.rows[0].name if measured.rows else job.rows[0]}"
        found[key] = Record(part, now(), machine(setting.device), measured.rows, measured.curves)
        done += job.seconds
        if page and store:
            save(store, earlier | found)
            write_page(page, earlier | found)
    return found


def _on_card(measured: Measured) -> Measured:
    rows = [replace(row, name=row.name + ON_CARD) for row in measured.rows]
    return Measured(rows, {figure + ON_CARD: lines for figure, lines in measured.curves.items()})


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
