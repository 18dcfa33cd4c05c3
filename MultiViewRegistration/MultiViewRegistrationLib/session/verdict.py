"""The verdict on a pose, in words."""

from __future__ import annotations

from math import ceil

from .history import Entry

WORDS = {
    "accept": "Verdict: accept. The pose agrees with everything that was checked; "
    "how often that is wrong was measured on simulated X-rays alone.",
    "check": "Verdict: check. Look at the overlays of every X-ray before the pose is used.",
    "reject": "Verdict: reject. The pose must not be used.",
}
NOT_ASSESSED = "Verdict: not assessed. Look at the overlays of every X-ray."


def headline(entry: Entry) -> str:
    """The verdict of an entry that has one, in a few words: "accept, probably below 0.3 mm"."""
    if entry.verdict == "reject" or entry.upper95_mm is None:
        return entry.verdict
    return f"{entry.verdict}, probably below {ceil(10 * entry.upper95_mm) / 10:.1f} mm"


def in_words(entry: Entry | None, doubt: str) -> str:
    """Of the entry that a registration is at; `doubt` is what speaks against it as a result, "" if nothing does."""
    if entry is None or entry.verdict is None or doubt:
        return NOT_ASSESSED
    if entry.upper95_mm is None:
        return WORDS[entry.verdict]
    return f"{WORDS[entry.verdict]} Predicted error: below {entry.upper95_mm:.1f} mm in 95 of 100 cases."
