"""The geometry of several views by their headers: one machine's, in whose isocentre the patient lay at the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import c_arm
from .dicom_geometry import EXACT, NEEDED, SAME_TABLE, TABLE_MOVED, HeaderGeometry, read_header
from .json_reader import describe

HOW_TO_ADD = (
    "add them to its c_arm in the case.json (or mvreg case new ... --c-arm KEY=VALUE), or give its projection_matrix or camera "
    "instead (or mvreg case new ... --projection-matrix FILE)"
)
#: Below which a table stands where it did.
STILL_MM = 1e-6


@dataclass(eq=False)
class HeaderView:
    """A view whose geometry comes from its header, but for what is given.

    Attributes
    ----------
    field
        Its name in messages.
    given
        Keys of a case.json's c_arm.
    exact
        Whether the certainty of its geometry is unspecified.
    """

    field: str
    name: str
    image: Path
    frame: int | None = None
    given: dict[str, Any] = field(default_factory=dict)
    exact: bool = True


def complete(where: str, views: Sequence[HeaderView]) -> list[tuple[dict[str, Any], list[str]]]:
    """The c_arm of each view, complete, and what was assumed for it.

    Parameters
    ----------
    where
        What messages begin with.

    Raises
    ------
    InputError
        Names all readings that are missing in the headers, the attributes that would provide them, and how to give
        them; or says why views do not share one isocentre.
    """
    geometries = [read_header(view.image, view.frame, view.given) for view in views]
    incomplete = [
        f"{view.field} ({describe(view.name)}) lacks "
        + ", ".join(f"{key} ({why})" for key, why in geometry.missing.items())
        for view, geometry in zip(views, geometries)
        if geometry.missing
    ]
    if incomplete:
        raise InputError(
            f"{where}: {'; '.join(incomplete)} in its DICOM header, expected all readings of a C-arm; {HOW_TO_ADD}."
        )
    readings = []
    for view, geometry in zip(views, geometries):
        values, assumptions = {**geometry.values, **view.given}, list(geometry.assumptions)
        if geometry is not geometries[0] and "isocentre_offset_mm" in view.given:
            _check_machine(where, (views[0].field, view.field), geometries[0], geometry)
        elif geometry is not geometries[0]:
            assumptions += share_isocentre(
                where, (views[0].field, view.field), geometries[0], geometry, values, HOW_TO_ADD
            )
        if view.exact:
            assumptions.append(EXACT)
        readings.append(({key: value for key, value in values.items() if value is not None}, assumptions))
    return readings


def share_isocentre(
    where: str, names: tuple[str, str], first: HeaderGeometry, other: HeaderGeometry, values: dict[str, Any], how: str
) -> list[str]:
    """Carries a complete reading (`values`) to the patient as he lay at another view, the first. What is assumed for it, a sentence each.

    Parameters
    ----------
    where
        What messages begin with.
    names
        Of the first view and of this one.
    how
        What is to be done where it cannot be.

    Raises
    ------
    InputError
        Where they are not of one machine, or the table moved and the position of the patient on it is unknown.
    """
    _check_machine(where, names, first, other)
    if _moved(first, other) is None:
        return [SAME_TABLE]
    if not moved_mm(first, other):
        return []
    if other.patient_from_isocentre is None:
        raise InputError(
            f"{where}: the table moved between {names[0]} and {names[1]}, but the header lacks PatientPosition, expected "
            f"how the patient lies on it; {how}."
        )
    _carry(values, other.patient_from_isocentre @ _moved(first, other))
    return [TABLE_MOVED]


def moved_mm(first: HeaderGeometry, other: HeaderGeometry) -> float:
    """How far the table has moved from one view to another; 0 where the headers do not tell."""
    by = _moved(first, other)
    distance = 0.0 if by is None else float(np.linalg.norm(by))
    return distance if distance > STILL_MM else 0.0


def _moved(first: HeaderGeometry, other: HeaderGeometry) -> np.ndarray | None:
    """(3,) mm along the machine's axes by which the table has moved since the first view; None where the headers do not tell."""
    if first.table is None or other.table is None or first.table[0] != other.table[0]:
        return None
    return other.table[1] - first.table[1]


def _carry(values: dict, patient_moved: np.ndarray) -> None:
    """Make a complete reading that of a world which the patient, moved by (3,) mm along his own axes (LPS), took with him."""
    camera_from_world = c_arm.rotation(values["rao_lao_deg"], values["cra_cau_deg"]) @ c_arm.about_axis(
        2, -values.get("roll_deg", 0.0)
    )
    x, y, depth = camera_from_world.T @ patient_moved
    offset = values.get("isocentre_offset_mm", (0.0, 0.0))
    values["isocentre_offset_mm"] = [float(offset[0] + x), float(offset[1] + y)]
    values["source_to_isocentre_mm"] = float(values["source_to_isocentre_mm"] + depth)


def _check_machine(where: str, names: tuple[str, str], first: HeaderGeometry, other: HeaderGeometry) -> None:
    if first.machine and other.machine and first.machine != other.machine:
        raise InputError(
            f"{where}: {names[1]} and {names[0]} were taken by different machines (DeviceSerialNumber), which share no "
            "isocentre, expected views of one; give a projection_matrix or camera to each, in one world."
        )


def is_incomplete(c_arm: dict[str, Any] | None) -> bool:
    """Whether a c_arm leaves something to a header to say; `mirrored` may be left out where all else is given."""
    return c_arm is None or any(key not in c_arm for key in (*NEEDED[:-1], "size"))
