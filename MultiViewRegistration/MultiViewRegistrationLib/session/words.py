"""What panel and page call things alike: entries of the history, and how they came about."""

from __future__ import annotations

import numpy as np

from .history import Entry

#: What the methods of entries are called; those of registrations as the step Start calls them.
METHODS = {
    "before": "Before",
    "moved": "Moved",
    "transform": "Transform",
    "centred": "Centred",
    "tracked": "Sequence",
    "given": "As placed",
    "search": "Search",
    "landmarks": "Landmarks",
    "by hand": "By hand",
    "regressor": "Regressor",
    "auto": "Automatic",
}


def method_in_words(entry: Entry) -> str:
    """How a pose came about, and by which published refinement, if by one."""
    method = METHODS.get(entry.method, entry.method)
    return f"{method}, {entry.refinement}" if entry.refinement else method


def started_in_words(entry: Entry) -> list[str]:
    """What a start that a regressor told came from, a sentence; none for other starts."""
    if not entry.regressor:
        return []
    model, expected_mm, taken = (entry.regressor[key] for key in ("model", "expected_mm", "selected_start"))
    parts = [f"It began with: {taken}"]
    if expected_mm is not None and taken != "search":
        parts.append(f"expected within {expected_mm:.1f} mm")
    if model:
        parts.append(f"regressor {model}")
    return [", ".join(parts) + "."]


def worst(similarity: dict[str, float]) -> str:
    """The similarity of the X-ray that is least alike, of those that could be compared."""
    values = [value for value in similarity.values() if np.isfinite(value)]
    return f"{min(values):.2f}" if values else ""


def took(entry: Entry) -> str:
    """How long a registration took, for a person who waited for it; "" where nobody measured it."""
    if entry.seconds is None:
        return ""
    first = f", of which {entry.first_time_s:.0f} s were the first-time preparation" if entry.first_time_s >= 1 else ""
    return f"Done in {entry.seconds:.1f} s{first}"
