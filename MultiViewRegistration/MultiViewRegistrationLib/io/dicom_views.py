"""The geometry of several views by their headers: one machine's, in whose isocentre the patient lay at the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .dicom_geometry import EXACT, NEEDED, SAME_TABLE, TABLE_MOVED, Found, carry, moved, read_header
from .json_reader import describe

HOW = (
    "add them to its c_arm in the case.json (or mvreg case new ... --c-arm KEY=VALUE), or give its projection_matrix or camera "
    "instead (or mvreg case new ... --projection-matrix FILE)"
)
#: Below which a table stands where it did.
STILL_MM = 1e-6


@dataclass(eq=False)
class HeaderView:
    """A view whose geometry comes from its header, but for what is given.

    field: its name in messages.   given: keys of a case.json's c_arm.   exact: whether nobody says how well its geometry is known.
    """

    field: str
    name: str
    image: Path
    frame: int | None = None
    given: dict[str, Any] = field(default_factory=dict)
    exact: bool = True


def complete(where: str, views: Sequence[HeaderView]) -> list[tuple[dict[str, Any], list[str]]]:
    """The c_arm of each view, complete, and what was assumed for it.

    where: what messages begin with.

    InputError, a sentence, names all that any of the headers lacks, with the attributes that would say it, and how to give it; or says why
    views do not share one isocentre.
    """
    found = [read_header(view.image, view.frame, view.given) for view in views]
    lacking = [
        f"{view.field} ({describe(view.name)}) lacks " + ", ".join(f"{key} ({why})" for key, why in one.lacking.items())
        for view, one in zip(views, found)
        if one.lacking
    ]
    if lacking:
        raise InputError(f"{where}: {'; '.join(lacking)} in its DICOM header, expected all readings of a C-arm; {HOW}.")
    readings = []
    for view, one in zip(views, found):
        values, assumptions = {**one.values, **view.given}, list(one.assumptions)
        if one is not found[0] and "isocentre_offset_mm" in view.given:
            _check_machine(where, (views[0].field, view.field), found[0], one)
        elif one is not found[0]:
            assumptions += share_isocentre(where, (views[0].field, view.field), found[0], one, values, HOW)
        if view.exact:
            assumptions.append(EXACT)
        readings.append(({key: value for key, value in values.items() if value is not None}, assumptions))
    return readings


def share_isocentre(
    where: str, names: tuple[str, str], first: Found, other: Found, values: dict[str, Any], how: str
) -> list[str]:
    """Carries a complete reading (`values`) to the patient as he lay at another view, the first. What is assumed for it, a sentence each.

    where: what messages begin with.   names: of the first view and of this one.   how: what is to be done where it cannot be.

    InputError where they are not of one machine, or the table moved and nobody says how the patient lay on it.
    """
    _check_machine(where, names, first, other)
    if moved(first, other) is None:
        return [SAME_TABLE]
    if not moved_mm(first, other):
        return []
    if other.patient_from_isocentre is None:
        raise InputError(
            f"{where}: the table moved between {names[0]} and {names[1]}, but the header lacks PatientPosition, expected "
            f"how the patient lies on it; {how}."
        )
    carry(values, other.patient_from_isocentre @ moved(first, other))
    return [TABLE_MOVED]


def moved_mm(first: Found, other: Found) -> float:
    """How far the table has moved from one view to another; 0 where the headers do not tell."""
    by = moved(first, other)
    distance = 0.0 if by is None else float(np.linalg.norm(by))
    return distance if distance > STILL_MM else 0.0


def _check_machine(where: str, names: tuple[str, str], first: Found, other: Found) -> None:
    if first.machine and other.machine and first.machine != other.machine:
        raise InputError(
            f"{where}: {names[1]} and {names[0]} were taken by different machines (DeviceSerialNumber), which share no "
            "isocentre, expected views of one; give a projection_matrix or camera to each, in one world."
        )


def is_incomplete(c_arm: dict[str, Any] | None) -> bool:
    """Whether a c_arm leaves something to a header to say; `mirrored` may be left out where all else is given."""
    return c_arm is None or any(key not in c_arm for key in (*NEEDED[:-1], "size"))
