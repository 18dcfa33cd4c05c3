"""The geometry of several views by their headers: one machine's, in whose isocentre the patient lay at the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ..fields import found as quoted
from .assumptions import EXACT, SAME_TABLE, TABLE_MOVED
from .found import Found
from .read import NEEDED, read_header
from .table import carry, moved

HOW = ("add them to its c_arm in the case.json (or mvreg case new ... --c-arm KEY=VALUE), or give its projection_matrix or camera "
       "instead (or mvreg case new ... --projection-matrix FILE)")
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
    lacking = [f"{view.field} ({quoted(view.name)}) lacks " + ", ".join(f"{key} ({why})" for key, why in one.lacking.items())
               for view, one in zip(views, found) if one.lacking]
    if lacking:
        raise InputError(f"{where}: {'; '.join(lacking)} in its DICOM header, expected all readings of a C-arm; {HOW}.")
    readings = []
    for view, one in zip(views, found):
        values, assumptions = {**one.values, **view.given}, list(one.assumptions)
        if one is not found[0]:
            assumptions += _shared_isocentre(where, views[0], view, found[0], one, values)
        if view.exact:
            assumptions.append(EXACT)
        readings.append(({key: value for key, value in values.items() if value is not None}, assumptions))
    return readings


def _shared_isocentre(where: str, first: HeaderView, view: HeaderView, of_first: Found, of_view: Found, values: dict) -> list[str]:
    """Carries the view to the patient as he lay at the first one. What is assumed for it."""
    if of_first.machine and of_view.machine and of_first.machine != of_view.machine:
        raise InputError(f"{where}: {view.field} and {first.field} were taken by different machines (DeviceSerialNumber), which share no "
                         "isocentre, expected views of one; give a projection_matrix or camera to each, in one world.")
    by = moved(of_first, of_view)
    if "isocentre_offset_mm" in view.given:
        return []
    if by is None:
        return [SAME_TABLE]
    if np.abs(by).max() <= STILL_MM:
        return []
    if of_view.patient_from_isocentre is None:
        raise InputError(f"{where}: the table moved between {first.field} and {view.field}, but the header lacks PatientPosition, expected "
                         f"how the patient lies on it; {HOW}.")
    carry(values, of_view.patient_from_isocentre @ by)
    return [TABLE_MOVED]


def is_incomplete(c_arm: dict[str, Any] | None) -> bool:
    """Whether a c_arm leaves something to a header to say; `mirrored` may be left out where all else is given."""
    return c_arm is None or any(key not in c_arm for key in (*NEEDED[:-1], "size"))
