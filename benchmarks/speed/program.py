"""Chooses the jobs, runs them, keeps what they found in docs/tables/benchmarks/results.json, and writes the page from it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.files import write_atomically
from MultiViewRegistrationLib.registration.warm_up import warm_up
from MultiViewRegistrationLib.report.plot import Axis, Line, line_plot, svg_file
from MultiViewRegistrationLib.studies.statistics import grouped, table

from . import nanodrr_peer, registration, rendering
from .measurement import (
    START_MTRE_MM,
    BenchmarkJob,
    BenchmarkRecord,
    Measured,
    Row,
    Setting,
    described,
    machine,
    now,
)

CARD, ON_CARD = "card", ", on the card"
NOT_MEASURED = """Not measured yet: on a machine with a card `make bench ARGS="--device cuda --page docs/tables/benchmarks.md"` does it, and
`python -m benchmarks tracking --device cuda --page docs/tables/benchmarks.md` that of tracking."""
#: How a part begins that another program has put at the end of the page.
_OTHERS = "<!-- "

_HEAD = """# Benchmarks

Written by `make tables`, but for the parts between marks at its end; do not edit by hand. Every line sets
us beside a peer in one run on one machine, both with the same number of threads, measured in turns: the medians, their ratio (peer / ours,
larger is better for us), the least and the largest ratio of the repeats, and how often each was measured (ours/peer).
Other machines give other times
and much the same ratios. `--only render`, or a piece of a row's name, measures a part again and keeps the rest.

The peers: [nanodrr](https://github.com/eigenvivek/nanodrr), the fastest differentiable DRR renderer that we know (PyTorch; made for CUDA
GPUs, run here on the same CPU), with the registration loop of [xvr](https://github.com/eigenvivek/xvr); and
[RTK](https://www.openrtk.org)'s Joseph projector. The CT is the chest of `mvreg demo`, 512 x 512 x 133 voxels of 0.70 x 0.70 x 2.5 mm;
the X-rays are RTK's, not ours."""

#: The text before each part's table.
_PARTS = {
    "render": """## Image, and image with Jacobian

An image, and an image with its derivative by the six numbers of a pose, beside nanodrr and RTK.

Full-resolution volume on both sides, same camera and pose, float32, same threads, same mean step along the ray. nanodrr takes its samples
within the volume, none between source and volume; we leave out the planes of air around the body, too. Of nanodrr the derivative is
what one step of an optimiser needs: forward, and backward from one number to the pose; ours is that of each pixel. Of RTK, which has
none, it is 13 images: central differences. A row counts only if the images agree.""",
    "registration": """## Two-view registration

A registration of two 512x512 X-rays from 24 mm away, beside the peers' loop.

The clock starts with the images loaded and the CT made ready for rendering (a row of its own says what that takes). Each side reports its
pose and the time after each of its steps; errors against the truth are computed afterwards. A registration is at 1 mm from the first
step after which its mTRE stays below 1 mm. Ours reports each step of each candidate, also of those that it gives up later.""",
    "growth": """## Growth

How the time of an image with its Jacobian grows with voxels, views and threads. (With pixels: see the images above.)

As there: same step on both sides, nanodrr forward and backward. Coarser volumes are the levels of the CT's pyramid; the step grows
with the voxels. Several views are one batch for nanodrr.""",
    "memory": """## Peak memory

Peak memory, each measured in a process of its own that does this one thing.

The figure is the process's largest resident size, nothing subtracted: interpreter, libraries, CT and images are in it, as they are when
the program is used.""",
    "search": """## Search without a start

The search without a start, against the number of poses that it scores. No peer has one.

The true pose lies anywhere within a range of the pose about which is searched (total angle and distance, evenly spread). Time is that of
search and refinement together; success is a final mTRE under 1 mm. "As many poses as it needs" is the search as it is: it scores more
only where it is not yet sure. Whatever the number, a search that is not sure looks through the next resolution with 1024 poses more,
which counts in its time and its success.""",
    CARD: """## On a CUDA device

The same on a CUDA device, beside nanodrr there, whose fused Triton kernel then renders.

Same volume, same cameras and poses, same mean step along the ray, on one card in one run, in turns; the clock stops when the card is done.
Images are rendered in batches, of poses up to 2 degrees and 5 mm apart, and the time is that of one image. nanodrr's variants: all in
single precision; its volume kept in bfloat16, which its kernel reads in place; and that compiled by torch, which its authors name as
the fastest. Of nanodrr the derivative is what one step of an optimiser needs, ours is that of each pixel. A row counts only if the
images agree. Registration, growth, memory and search are those of the other parts, on the card; growth is shown with poses in place of
threads, and several views or poses are one batch. Peak memory is that of the card which tensors took at once, without what CUDA, PyTorch
and Triton need for themselves.""",
}


PARTS = ("render", "registration", "growth", "memory", "search")
#: Of these sizes memory is measured on a card.
LARGE = (200, 512)
VERSION = 1

Results = dict[str, BenchmarkRecord]
"""Records by the part and the first row's name, in the order of the page."""


def all_jobs(setting: Setting) -> list[BenchmarkJob]:
    """Every job, in the order of the page.

    On a device images are rendered in batches, and rows and figures named as those of the card.
    """
    if setting.device is None:
        images, growth, memory = rendering.jobs(setting), "threads", registration.MEMORY_BATCHES
    else:
        images, growth = rendering.jobs_in_batches(setting, rendering.BATCHES), "poses"
        memory = tuple(batch for batch in rendering.BATCHES if batch[0] in LARGE)
    return [
        *images,
        *registration.jobs(setting),
        *rendering.growth_jobs(setting, growth),
        *registration.memory_jobs(setting, memory),
        *registration.search_jobs(setting),
    ]


def chosen(jobs: Sequence[BenchmarkJob], only: str) -> list[BenchmarkJob]:
    """The jobs that `only` names: parts, or pieces of a row's name, separated by commas.

    All of them if it is empty.

    InputError for a word that names none.
    """
    words = [word.strip() for word in only.split(",") if word.strip()]
    found = []
    for word in words:
        matching = [
            job
            for job in jobs
            if (word == job.part if word in PARTS else any(word in row for row in job.rows))
        ]
        if not matching:
            raise InputError(
                f'--only: found "{word}", expected {", ".join(PARTS)}, or a piece of a row\'s name.'
            )
        found += matching
    return [job for job in jobs if job in found] if words else list(jobs)


def run(
    setting: Setting,
    only: str = "",
    page: Path | None = None,
    progress: Callable[[float, str], object] = lambda fraction, stage: None,
) -> Results:
    """Measure, and return what was found in this run.

    Parameters
    ----------
    only : see `chosen`.
    page : also write it there with the earlier results of all that was not run again, which are
    kept beside it. It is written after
        each job, so that nothing is lost where the run is stopped.

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
    found: Results = {}
    done, whole = 0.0, sum(job.seconds for job in jobs)
    for job in jobs:
        progress(done / whole, job.rows[0])
        part, measured = job.part, job.run()
        if setting.device is not None:
            part, measured = CARD, _on_card(measured)
        key = f"{part}: {measured.rows[0].name if measured.rows else job.rows[0]}"
        found[key] = BenchmarkRecord(
            part, now(), machine(setting.device), measured.rows, measured.curves
        )
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
            key: BenchmarkRecord(**{**record, "rows": [Row(**row) for row in record["rows"]]})
            for key, record in content["records"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{path}: found something else than results of this version of the benchmark, expected "
            "those or no file; move it away."
        ) from None


def save(path: Path, results: Results) -> None:
    """Write the file; it appears whole or not at all."""
    content = {
        "version": VERSION,
        "records": {key: asdict(record) for key, record in results.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content, indent=1) + "\n")


HEAD = ("", "ours", "peer", "", "ratio", "least to largest", "repeats", "")
RIGHT = (1, 2, 4)


def cells(row: Row) -> tuple[str, ...]:
    """The cells under HEAD."""
    at_least = "≥ " * row.peer_at_least
    ratio = "–" if row.ratio is None else f"{at_least}{number(row.ratio)}"
    return (
        row.name,
        "–" if row.ours is None else f"{number(row.ours)} {row.unit}",
        "–" if row.peer is None else f"{at_least}{number(row.peer)} {row.unit}",
        row.peer_name,
        "failed" if row.failed else ratio,
        "–" if row.spread is None else " to ".join(map(number, row.spread)),
        "/".join(map(str, row.repeats)),
        row.failed or row.note,
    )


def number(value: float) -> str:
    """Three digits, without an exponent."""
    digits = 3 if abs(value) < 0.995 else 2 if value < 9.95 else 1 if value < 99.5 else 0
    return f"{value:.{digits}f}"


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a table for a Markdown page."""
    return table(HEAD, [cells(row) for row in rows], RIGHT)


def terminal(rows: Sequence[Row]) -> str:
    """The rows as a table for a terminal, without the notes; failures below."""
    lines = [HEAD[:-1], *(cells(row)[:-1] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = []
    for line in lines:
        aligned = [f"{cell:{'>' if n in RIGHT else '<'}{widths[n]}}" for n, cell in enumerate(line)]
        shown.append("  ".join(aligned).rstrip())
    return "\n".join([*shown, *(f"{row.name}: {row.failed}." for row in rows if row.failed)])


def write_page(path: Path, results: Mapping[str, BenchmarkRecord]) -> None:
    """Write the page at `path`, and its figures in the folder of the same name beside it.

    Each file appears whole or not at all.

    What others have put at the end of the page, between marks, stays.
    """
    _, mark, others = (path.read_text(encoding="utf-8") if path.exists() else "").partition(_OTHERS)
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    sections = [_HEAD]
    for part, about in _PARTS.items():
        records = [record for record in results.values() if record.part == part]
        if not records:
            sections += [about, NOT_MEASURED] if part == CARD else []
            continue
        sections += [
            about,
            _measured(records),
            markdown([row for record in records for row in record.rows]),
        ]
        for name, (shown, svg) in figures(records).items():
            write_atomically(folder / f"{name}.svg", svg)
            sections.append(f"![{shown}]({folder.name}/{name}.svg)")
    write_atomically(path, "\n\n".join(sections) + "\n" + (f"\n{mark}{others}" if mark else ""))


def _measured(records: Sequence[BenchmarkRecord]) -> str:
    """When and on which machine, once where it is the same for all."""
    groups = grouped(records, lambda record: (described(record.machine),))
    lines = []
    for (on,), group in groups:
        times = sorted({record.when for record in group})
        when = times[0] if len(times) == 1 else f"{times[0]} to {times[-1]}"
        rows = (
            ""
            if len(groups) == 1
            else " (" + "; ".join(record.rows[0].name for record in group) + ")"
        )
        lines.append(f"Measured {when}{rows} on {on}.")
    return "\n".join(lines)


TIME_MS = Axis("time (ms)", "log")


@dataclass(frozen=True)
class _Figure:
    """A figure of the page: the key of its points, its axes, and how values of x are written."""

    key: str
    x: str
    y: Axis = TIME_MS
    tick: Callable[[float], str] | None = "{:g}".format


_FIGURES = {
    "pixels": _Figure(rendering.FIGURE, "pixels", tick=lambda x: f"{math.isqrt(int(x))}²"),
    "registration": _Figure(registration.FIGURE, "time (s)", Axis("mTRE (mm)", "log"), None),
    "voxels": _Figure(
        rendering.GROWTH["voxels"], "million voxels", tick=lambda x: f"{x / 1e6:.2g}"
    ),
    **{name: _Figure(rendering.GROWTH[name], name) for name in ("views", "threads", "poses")},
    "search-time": _Figure(registration.SEARCH_TIME, "poses scored", Axis("time (s)", "log")),
    "search-success": _Figure(
        registration.SEARCH_SUCCESS, "poses scored", Axis("found (%)", limits=(0, 100))
    ),
}
#: Okabe and Ito's colours that stand out on white, a marker each, and a dash for what is less work.
_SIDES = {
    "ours": ("#0072b2", "circle"),
    "RTK": ("#009e73", "diamond"),
    "nanodrr": ("#d55e00", "square"),
}
_DASHED = (
    rendering.OURS,
    rendering.FORWARD,
    "RTK, image",
    "ours, {}° and {} mm".format(*registration.RANGES[0]),
)


def figures(records: Sequence[BenchmarkRecord]) -> dict[str, tuple[str, str]]:
    """File name without ending: what it shows and the SVG, for each figure for which there are points."""
    curves: dict[str, dict[str, list]] = {}
    for record in records:
        for figure, lines in record.curves.items():
            for line, points in lines.items():
                curves.setdefault(figure, {}).setdefault(line, []).extend(points)
    drawn = {}
    for name, about in _FIGURES.items():
        for before, after in (("", ""), ("card-", ON_CARD)):
            key = about.key + after
            if key in curves:
                shown = key[0].upper() + key[1:]
                drawn[before + name] = shown, _drawn(about, shown, curves[key])
    return drawn


def _drawn(figure: _Figure, title: str, curves: dict[str, list]) -> str:
    traces = figure.key == registration.FIGURE
    lines: list[Line] = []
    for name, points in curves.items():
        side = name.partition(",")[0]
        colour, marker = _SIDES[side]
        style = (colour, None if traces else marker, "6 4" if name in _DASHED else None)
        named = traces and any(line.style == style for line in lines)
        shown = "" if named else f"{side}, from {START_MTRE_MM:g} mm" if traces else name
        x, y = zip(*sorted(points), strict=True)
        lines.append(Line(shown, x, y, style))
    ticks = figure.tick and {x: figure.tick(x) for points in curves.values() for x, _ in points}
    return svg_file([line_plot(lines, title, Axis(figure.x, "log", ticks=ticks), figure.y)])
