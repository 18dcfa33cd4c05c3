"""The table, with which the patient moves past the machine (PS3.3 C.8.7.4, C.8.19.6.11, C.8.19.6.13)."""

from __future__ import annotations

import numpy as np

from ...geometry import c_arm
from ...imaging.dicom_frame import DicomFrame
from ...imaging.dicom_pixels import frame_count
from .found import Found
from .positioner import ISOCENTRE

POSITION = "TablePositionSequence"
#: Attributes along the machine's axes, which run to the left, down, and to the head of the table. In DICOM a table's longitudinal way is
#: to the patient's left, and its lateral way to the head.
TO_ISOCENTRE = ("TableXPositionToIsocenter", "TableYPositionToIsocenter", "TableZPositionToIsocenter")
TABLE_TOP = ("TableTopLongitudinalPosition", "TableTopVerticalPosition", "TableTopLateralPosition")
INCREMENTS = ("TableLongitudinalIncrement", "TableVerticalIncrement", "TableLateralIncrement")


def find_table(found: Found, frame: DicomFrame) -> None:
    """Where the table stands, by the first of these that the header has."""
    for names, group in ((TO_ISOCENTRE, ISOCENTRE), (TABLE_TOP, POSITION)):
        position = [frame.number(name, group) for name in names]
        if None not in position:
            found.table = names[0], np.array(position)
            return
    steps = [_increment(frame, name) for name in INCREMENTS]
    if None not in steps:
        found.table = f"{INCREMENTS[0]} of {frame.file.text('SOPInstanceUID')}", np.array(steps)


def _increment(frame: DicomFrame, name: str) -> float | None:
    """How far the table has moved since the first frame: a value for each, or a step."""
    values = frame.numbers(name)
    if len(values) == frame_count(frame.file):
        return float(values[frame.index])
    return float(frame.index * values[0]) if len(values) == 1 else None


def moved(first: Found, other: Found) -> np.ndarray | None:
    """(3,) mm along the machine's axes by which the table has moved since the first view; None where the headers do not tell."""
    if first.table is None or other.table is None or first.table[0] != other.table[0]:
        return None
    return other.table[1] - first.table[1]


def carry(values: dict, patient_moved: np.ndarray) -> None:
    """Make a complete reading that of a world which the patient, moved by (3,) mm along his own axes (LPS), took with him."""
    camera_from_world = c_arm.rotation(values["rao_lao_deg"], values["cra_cau_deg"]) @ c_arm.about_axis(
        2, -values.get("roll_deg", 0.0)
    )
    x, y, depth = camera_from_world.T @ patient_moved
    offset = values.get("isocentre_offset_mm", (0.0, 0.0))
    values["isocentre_offset_mm"] = [float(offset[0] + x), float(offset[1] + y)]
    values["source_to_isocentre_mm"] = float(values["source_to_isocentre_mm"] + depth)
