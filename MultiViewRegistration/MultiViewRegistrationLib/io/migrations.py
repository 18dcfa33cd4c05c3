"""Cases of older versions, brought to today's as they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: What makes a case (parsed JSON) of this version into one of the next; it gets a copy of the outermost object. None so far: 1 is the
#: first.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def up_to_date(content: dict[str, Any], version: int) -> dict[str, Any]:
    """The content of a case (parsed JSON, of any version up to this one) as one of `version`."""
    for older in range(int(content["version"]), version):
        content = {**MIGRATIONS[older](dict(content)), "version": older + 1}
    return content
