"""The world of several views of one machine: its isocentre, in which the patient lay at the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..geometry import machines

if TYPE_CHECKING:
    from .dicom_geometry import HeaderGeometry
    from .view_record import ViewRecord

SAME_TABLE = (
    "The table, and the patient on it, had not moved since the first view: the headers do not say."
)
TABLE_MOVED = "The patient had moved with the table since the first view, and not on it."
HOW_TO_ADD = (
    "add them to its c_arm in the case.json (or mvreg case new ... --c-arm KEY=VALUE), or give its "
    "projection_matrix or camera instead (or mvreg case new ... --projection-matrix FILE)"
)
#: Below which a table stands where it did.
STILL_MM = 1e-6


@dataclass
class Stand:
    """How patient and table lay to the machine, in numbers and lists, as a scene keeps them.

    Attributes
    ----------
    machine
        SHA-256 of the maker's number of the machine, "" for none; only ever compared.
    table
        What kind of position it is, and (3,) that of the table along the machine's axes in mm; None
        where the header does not say it.
    patient
        (3, 3) the patient's axes (LPS) from those of the machine; None where the header does not
        say how he lies.
    """

    machine: str = ""
    table: list[Any] | None = None
    patient: list[list[float]] | None = None


def share_isocentres(
    where: str, views: Sequence[ViewRecord], found: Sequence[HeaderGeometry], how: str
) -> None:
    """Transfer the readings of all views to the isocentre of the first, and record the assumptions; parameters as of `share_isocentre`."""
    for view, geometry in zip(views[1:], found[1:]):
        names = (views[0].field, view.field)
        first = found[0].stand
        if "isocentre_offset_mm" in view.readings:
            _check_machine(where, names, first, geometry.stand)
        else:
            geometry.assumptions += share_isocentre(
                where, names, first, geometry.stand, geometry.values, how
            )


def share_isocentre(
    where: str, names: tuple[str, str], first: Stand, other: Stand, values: dict[str, Any], how: str
) -> list[str]:
    """Carry a complete reading to the patient as he lay at another view, the first.

    Parameters
    ----------
    where
        What messages begin with.
    names
        Of the first view and of this one.
    values
        The reading, which is changed.
    how
        What is to be done where it cannot be.

    Returns
    -------
    list[str]
        What is assumed for it, a sentence each.

    Raises
    ------
    InputError
        Where they are not of one machine, or the table moved and the position of the patient on it
        is unknown.
    """
    _check_machine(where, names, first, other)
    if _moved(first, other) is None:
        return [SAME_TABLE]
    if not moved_mm(first, other):
        return []
    if other.patient is None:
        raise InputError(
            f"{where}: the table moved between {names[0]} and {names[1]}, but the header has no "
            f"PatientPosition, expected how the patient lies on it; {how}."
        )
    _carry(values, np.array(other.patient) @ _moved(first, other))
    return [TABLE_MOVED]


def moved_mm(first: Stand, other: Stand) -> float:
    """Return how far the table moved from one view to another; 0 where the headers do not say."""
    by = _moved(first, other)
    distance = 0.0 if by is None else float(np.linalg.norm(by))
    return distance if distance > STILL_MM else 0.0


def _moved(first: Stand, other: Stand) -> np.ndarray | None:
    """Return the mm (3,) along the machine's axes by which the table has moved since the first view; None where the headers do not say."""
    if first.table is None or other.table is None or first.table[0] != other.table[0]:
        return None
    return np.array(other.table[1]) - first.table[1]


def _carry(values: dict, patient_moved: np.ndarray) -> None:
    """Make a complete reading that of a world which the patient, moved by (3,) mm along his own axes (LPS), took with him."""
    camera_from_world = machines.rotation(
        values["rao_lao_deg"], values["cra_cau_deg"]
    ) @ machines.about_axis(2, -values.get("roll_deg", 0.0))
    x, y, depth = camera_from_world.T @ patient_moved
    offset = values.get("isocentre_offset_mm", (0.0, 0.0))
    values["isocentre_offset_mm"] = [float(offset[0] + x), float(offset[1] + y)]
    values["source_to_isocentre_mm"] = float(values["source_to_isocentre_mm"] + depth)


def _check_machine(where: str, names: tuple[str, str], first: Stand, other: Stand) -> None:
    if first.machine and other.machine and first.machine != other.machine:
        raise InputError(
            f"{where}: {names[1]} and {names[0]} were taken by different machines "
            "(DeviceSerialNumber), which share no isocentre, expected views of one; give a "
            "projection_matrix or camera to each, in one world."
        )
