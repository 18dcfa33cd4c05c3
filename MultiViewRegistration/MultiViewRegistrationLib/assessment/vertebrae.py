"""Which vertebra a name means."""

from __future__ import annotations

import re

#: The first vertebra of each part of the spine, counted from the head.
FIRST_VERTEBRA = {"C": 1, "T": 8, "L": 20, "S": 25}


def vertebra(name: str) -> int | None:
    """Return which vertebra a name means, counted from the head: "L1", "vertebrae_L1" is 20.

    None for another bone.
    """
    words = r"(?:vertebrae?[ _])?([CTLS])([1-9]|1[0-3])(?:[ _]vertebra)?"
    found = re.fullmatch(words, name.strip(), re.IGNORECASE)
    return FIRST_VERTEBRA[found[1].upper()] + int(found[2]) - 1 if found else None
