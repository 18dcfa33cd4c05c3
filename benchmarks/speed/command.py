"""Measure speed, memory and accuracy beside other programs.

Every line sets us beside a peer in one run on one machine, in turns. With --page the tables are put
into a Markdown page between their marks, and what they are made of is kept in results.json in the
folder of its name beside it: what is not measured again stays as it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from MultiViewRegistrationLib.cli.options import out_file, progress_of
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.files import write_json
from MultiViewRegistrationLib.registration.warm_up import warm_up
from MultiViewRegistrationLib.rendering.devices import CPU, torch_device
from MultiViewRegistrationLib.studies.statistics import grouped, table

from .. import parser_of
from ..kept import put
from . import dragging, nanodrr_peer, registration, rendering
from .measurement import Job, Setting, described, machine, now

PARTS = ("render", "registration", "growth", "memory", "search", "drag")
#: The part of the page that all of a card is in, and how its rows end.
CARD, ON_CARD = "card", ", on the card"
VERSION = 2
HEAD = ("", "ours", "peer", "", "ratio", "least to largest", "repeats", "")

Records = dict[str, dict]
"""When, on which machine and what rows were found, by the name of their job."""


def main() -> None:
    """Measure, and print a table, or with --json the machine and the rows."""
    parser = parser_of(__doc__)
    parser.set_defaults(progress="line")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--only",
        default="",
        metavar="PART,...",
        help=f"{', '.join(PARTS)}, or a piece of a job's name, as 200x200 (default: all, half an hour)",
    )
    parser.add_argument(
        "--case",
        metavar="CASE",
        help="measure on its CT and two X-rays, of which a truth is known (default: the demo's, whose CT is fetched)",
    )
    parser.add_argument(
        "--device",
        metavar="cuda[:N]",
        help="measure on this CUDA device, or torch-cpu, beside nanodrr there: rendering in batches, registration, "
        "growth, memory, search (default: everything on the processor)",
    )
    parser.add_argument(
        "--page", type=out_file, metavar="FILE.md", help="also put the tables into this page"
    )
    options = parser.parse_args()
    device = None if options.device in (None, CPU) else torch_device(options.device)
    setting = Setting(options.case and Case.load(options.case), device)
    with progress_of(options, "Measuring") as line:
        records = run(setting, options.only, options.page, progress=line.show)
    rows = [row for record in records.values() for row in record["rows"]]
    found = {"machine": machine(device), "rows": rows}
    print(json.dumps(found, indent=1) if options.json else table_of(rows))


def all_jobs(setting: Setting) -> list[Job]:
    """Every job, in the order of the page."""
    return [
        *rendering.jobs(setting),
        *rendering.growth_jobs(setting),
        *registration.jobs(setting),
        *dragging.jobs(setting),
    ]


def chosen(jobs: Sequence[Job], only: str) -> list[Job]:
    """The jobs that `only` names: parts, or pieces of a job's name, separated by commas.

    All of them if it is empty.

    InputError for a word that names none.
    """
    words = [word.strip() for word in only.split(",") if word.strip()]
    found = []
    for word in words:
        piece = f"{word}: " if word in PARTS else word
        matching = [job for job in jobs if piece in job.name]
        if not matching:
            raise InputError(
                f'--only: found "{word}", expected {", ".join(PARTS)}, or a piece of a job\'s name.'
            )
        found += matching
    return [job for job in jobs if job in found] if words else list(jobs)


def run(
    setting: Setting,
    only: str = "",
    page: Path | None = None,
    progress: Callable[[float, str], object] = lambda *_: None,
) -> Records:
    """Measure, and return what was found in this run.

    Parameters
    ----------
    only : see `chosen`.
    page : is written after each job, so that nothing is lost where the run is stopped.

    Raises
    ------
    InputError where a peer is missing, or `only` names nothing.
    """
    jobs = chosen(all_jobs(setting), only)
    store = page and page.with_suffix("") / "results.json"
    earlier = load(store) if store else {}
    nanodrr_peer.modules()
    progress(0.0, "preparing")
    warm_up()
    found: Records = {}
    for done, job in enumerate(jobs):
        progress(done / len(jobs), job.name)
        rows, key = job.run(), job.name
        if setting.device is not None:
            key = f"{CARD}: {key}"
            rows = [{**row, "name": row["name"] + ON_CARD} for row in rows]
        found[key] = {"when": now(), "machine": machine(setting.device), "rows": rows}
        if page and store:
            write_json(store, {"version": VERSION, "records": earlier | found})
            write_part(page, key.partition(":")[0], earlier | found)
    return found


def load(path: Path) -> Records:
    """The records in a file; none where there is no file. InputError where it is something else."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] == VERSION:
            return content["records"]
    except (ValueError, KeyError, TypeError):
        pass
    raise InputError(
        f"{path}: found something else than results of this version of the benchmark, expected "
        "those or no file; move it away."
    )


def write_part(page: Path, part: str, records: Records) -> None:
    """Put the table of a part into the page, and when and on which machines it was measured."""
    own = [record for key, record in records.items() if key.partition(":")[0] == part]
    lines = []
    for (on,), group in grouped(own, lambda record: (described(record["machine"]),)):
        times = sorted({record["when"] for record in group})
        lines.append(f"Measured {' to '.join(dict.fromkeys((times[0], times[-1])))} on {on}.")
    rows = [row for record in own for row in record["rows"]]
    put(page, part, "\n".join([*lines, "", table_of(rows)]))


def table_of(rows: Sequence[dict]) -> str:
    """The rows in Markdown."""
    return table(HEAD, map(cells, rows), right=(1, 2, 4))


def cells(row: dict) -> tuple[str, ...]:
    """The cells under HEAD."""
    at_least, unit, spread = "≥ " * row.get("peer_at_least", False), row["unit"], row["spread"]
    ours, peer, ratio = (number(row[key]) for key in ("ours", "peer", "ratio"))
    return (
        row["name"],
        f"{ours} {unit}",
        f"{at_least}{peer} {unit}",
        row["peer_name"],
        "failed" if row.get("failed") else f"{at_least}{ratio}",
        " to ".join(map(number, spread or [None])),
        "/".join(map(str, row["repeats"])),
        row.get("failed") or row.get("note", ""),
    )


def number(value: float | None) -> str:
    """Three digits, without an exponent; a dash for none."""
    if value is None:
        return "–"
    digits = 3 if abs(value) < 0.995 else 2 if value < 9.95 else 1 if value < 99.5 else 0
    return f"{value:.{digits}f}"
