"""docs/benchmarks.md and its figures, written from the results file."""

from __future__ import annotations

from pathlib import Path

from ..io.files import write_atomically
from . import card, growth, memory, registration, render, search
from .figures import figures
from .machine import told
from .results import Record, Results
from .table import markdown

#: How a part begins that another program has put at the end of the page.
_OTHERS = "<!-- "

_HEAD = """# Benchmarks

Written by `mvreg bench --page docs/benchmarks.md`, but for viewer and tracking at the end; do not edit by hand. Every line sets us beside a
peer in one run on one machine, both with the same number of threads, measured in turns: the medians, their ratio (peer / ours, larger is
better for us), the least and the largest ratio of the repeats, and how often each was measured (ours/peer). Other machines give other times
and much the same ratios. `--only render`, or a piece of a row's name, measures a part again and keeps the rest.

The peers: [nanodrr](https://github.com/eigenvivek/nanodrr), the fastest differentiable DRR renderer that we know (PyTorch; made for CUDA
GPUs, run here on the same CPU), with the registration loop of [xvr](https://github.com/eigenvivek/xvr); and
[RTK](https://www.openrtk.org)'s Joseph projector. The CT is the chest of `mvreg demo`, 512 x 512 x 133 voxels of 0.70 x 0.70 x 2.5 mm;
the X-rays are RTK's, not ours."""

_TITLES = {
    "render": ("Image, and image with Jacobian", render),
    "registration": ("Two-view registration", registration),
    "growth": ("Growth", growth),
    "memory": ("Peak memory", memory),
    "search": ("Search without a start", search),
    card.PART: ("On a CUDA device", card),
}


def write_page(path: Path, results: Results) -> None:
    """Write the page at `path`, and its figures in the folder of the same name beside it; each file appears whole or not at all.

    What others have put at the end of the page, between marks, stays.
    """
    _, mark, others = (path.read_text(encoding="utf-8") if path.exists() else "").partition(_OTHERS)
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    sections = [_HEAD]
    for part, (title, module) in _TITLES.items():
        records = [record for record in results.values() if record.part == part]
        rows = [row for record in records for row in record.rows]
        lacking = card.unmeasured({row.name for row in rows}, mark + others) if module is card else ""
        if not rows and not lacking:
            continue
        sections.append(f"## {title}\n\n{_about(module.__doc__)}")
        sections += [_measured(records), markdown(rows)] if rows else []
        sections += [lacking] if lacking else []
        for name, (shown, svg) in figures(results, part).items():
            write_atomically(folder / f"{name}.svg", svg)
            sections.append(f"![{shown}]({folder.name}/{name}.svg)")
    write_atomically(path, "\n\n".join(sections) + "\n" + (f"\n{mark}{others}" if mark else ""))


def _about(doc: str) -> str:
    """A part's own words on what it measures: its module's docstring without the part's letter."""
    text = doc.partition(": ")[2].strip()
    return text[0].upper() + text[1:]


def _measured(records: list[Record]) -> str:
    """When and on what, said once where it is the same for all."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(told(record.machine), []).append(record)
    lines = []
    for machine, group in groups.items():
        times = sorted({record.when for record in group})
        when = times[0] if len(times) == 1 else f"{times[0]} to {times[-1]}"
        rows = "" if len(groups) == 1 else " (" + "; ".join(record.rows[0].name for record in group) + ")"
        lines.append(f"Measured {when}{rows} on {machine}.")
    return "\n".join(lines)
