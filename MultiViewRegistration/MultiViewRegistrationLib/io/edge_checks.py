"""What people answered when they were asked whether bone lies on the outlines of a pose, X-ray by X-ray."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import NamedTuple

from ..errors import InputError
from ..reasons import Reason
from .files import JsonObject

#: Initials are no longer, so that no name is kept.
MAX_INITIALS = 6
#: Code of the reason where a person saw edges beside the line.
EDGES_OFF = "edges-off"


class EdgeCheck(NamedTuple):
    """Whether the edge of the bone lies on the coloured line in an X-ray.

    Attributes
    ----------
    by
        Initials of the person who looked.
    time
        ISO 8601, local.
    """

    on_line: bool
    by: str
    time: str

    @classmethod
    def now(cls, on_line: bool, by: str) -> EdgeCheck:
        """Make the answer of this moment.

        Raises
        ------
        InputError
            For what are no initials.
        """
        initials = by.strip()
        if not initials or len(initials) > MAX_INITIALS:
            found = f'"{initials}" is' if initials else "none are"
            raise InputError(
                f"Initials: {found} given, expected 1 to {MAX_INITIALS} letters; type yours."
            )
        return cls(on_line, initials, datetime.now().astimezone().isoformat(timespec="seconds"))

    def to_json(self) -> dict[str, str]:
        """Return `checked` of a result.json."""
        return {"by": self.by, "time": self.time}

    @property
    def minute(self) -> str:
        """Day and time, "2026-11-28 12:40"."""
        return self.time[:16].replace("T", " ")

    @property
    def signed(self) -> str:
        """Who and when, "AB, 12:40", of another day with that."""
        return f"{self.by}, {self.minute.removeprefix(f'{date.today()} ')}"


def read_edge_checks(result: JsonObject) -> dict[str, EdgeCheck]:
    """Return the answers in a result.json, by `keys_of`."""
    every = result.part("edge_checks")
    found = {}
    for name in every.values:
        told = every.section(name)
        on_line = told.value("on_line", "true or false", bool)
        found[name] = EdgeCheck(on_line, told.text("by", "initials"), told.text("time", "a time"))
    return found


def keys_of(body: str, views: Iterable[str]) -> list[str]:
    """Return the keys of answers about a bone, or the whole pose (""), in X-rays: "L1/AP", or "AP"."""
    return [f"{body}/{view}" if body else view for view in views]


def all_on_line(checks: Mapping[str, EdgeCheck], keys: Iterable[str]) -> EdgeCheck | None:
    """Return who said last that edges lie on the line, and when; None unless that is said for every one of the keys."""
    of_keys = [checks.get(key) for key in keys]
    said = [check for check in of_keys if check is not None and check.on_line]
    if not said or len(said) < len(of_keys):
        return None
    by = ", ".join(dict.fromkeys(check.by for check in said))
    return EdgeCheck(True, by, max(check.time for check in said))


def off_line(checks: Mapping[str, EdgeCheck], body: str = "") -> list[Reason]:
    """Return what is to be done where a person saw edges of a bone, or of the whole (""), beside the line; nothing where nobody did."""
    off = {}
    for key, check in checks.items():
        of, _, view = key.rpartition("/")
        if of == body and not check.on_line:
            off[view] = check
    if not off:
        return []
    by = ", ".join(dict.fromkeys(check.by for check in off.values()))
    views = ", ".join(off)
    whose = body and f" of {body}"
    told = f"Edges{whose} do not lie on the line in {views}, says {by}"
    act = f"check the geometry of {views}, or register again from another start"
    return [Reason(EDGES_OFF, f"{told}\n: {act}.")]
