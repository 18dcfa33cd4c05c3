"""`mvreg bench`: chooses the jobs, runs them, and writes what they found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import InputError
from ..registration import kernels
from . import card, growth, memory, nanodrr_peer, registration, render, search
from .job import Job
from .page import write_page
from .results import Record, Results, load, merged, save
from .setting import Setting

PARTS = ("render", "registration", "growth", "memory", "search")


def all_jobs(setting: Setting) -> list[Job]:
    """Every job, in the order of the page."""
    return [job for part in (render, registration, growth, memory, search, card) for job in part.jobs(setting)]


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

    page: also write it there with the earlier results of all that was not run again, which are kept beside it. It is written after
    each job, so that nothing is lost where somebody stops the run.

    InputError where a peer is missing, or `only` names nothing.
    """
    everything = all_jobs(setting)
    order = [job.key for job in everything]
    jobs = chosen([job for job in everything if (job.part == card.PART) == (setting.device is not None)], only)
    earlier = load(results_beside(page)) if page else {}
    nanodrr_peer.modules()
    tell(0.0, "preparing")
    kernels.prepare()
    found: Results = {}
    done, whole = 0.0, sum(job.seconds for job in jobs)
    for job in jobs:

        def share(fraction: float, done: float = done, job: Job = job) -> None:
            tell((done + fraction * job.seconds) / whole, job.rows[0])

        share(0.0)
        found[job.key] = Record.of(job, job.run(share), setting.device)
        done += job.seconds
        if page:
            results = merged(earlier, found, order)
            save(results_beside(page), results)
            write_page(page, results)
    return found


def results_beside(page: Path) -> Path:
    """docs/benchmarks/results.json for docs/benchmarks.md."""
    return page.with_suffix("") / "results.json"
