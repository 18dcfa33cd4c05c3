"""The angles of a C-arm (PS3.3 C.8.7.5.1, C.8.19.6.10, C.8.19.6.13)."""

from __future__ import annotations

import numpy as np

from ...geometry import c_arm
from ...imaging.dicom_frame import DicomFrame
from ...imaging.dicom_pixels import frame_count
from .found import Found

POSITIONER, ISOCENTRE = "PositionerPositionSequence", "IsocenterReferenceSystemSequence"
#: By PatientPosition: the patient's left, back and head along the table's axes, to its left, down and to its head (PS3.17 FFF.1.2.2).
PATIENT_FROM_TABLE = {
    "HFS": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "HFP": [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
    "HFDR": [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    "HFDL": [[0, 1, 0], [-1, 0, 0], [0, 0, 1]],
    "FFS": [[-1, 0, 0], [0, 1, 0], [0, 0, -1]],
    "FFP": [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
    "FFDR": [[0, -1, 0], [-1, 0, 0], [0, 0, -1]],
    "FFDL": [[0, 1, 0], [1, 0, 0], [0, 0, -1]],
}
#: Of each angle: its attribute and the largest that it may be, either way.
ANGLES = {"rao_lao_deg": ("PositionerPrimaryAngle", 180.0), "cra_cau_deg": ("PositionerSecondaryAngle", 90.0)}


def find_patient(found: Found, frame: DicomFrame) -> None:
    """How the patient lies along the machine's axes: left, down and to the head of the table where that stands straight."""
    position = PATIENT_FROM_TABLE.get(frame.text("PatientPosition"))
    if position is None:
        return
    turns = (("TableHorizontalRotationAngle", 1, 1), ("TableHeadTiltAngle", 0, 1), ("TableCradleTiltAngle", 2, -1))
    isocentre_from_table = np.eye(3)
    for name, axis, sign in turns:
        isocentre_from_table = isocentre_from_table @ c_arm.about_axis(
            axis, sign * (frame.number(name, ISOCENTRE) or 0.0)
        )
    found.patient_from_isocentre = np.array(position, float) @ isocentre_from_table.T


def find_angles(found: Found, frame: DicomFrame) -> float | None:
    """rao_lao_deg and cra_cau_deg: the patient's. How far the detector is turned about the beam as it stands, as roll_deg; None where the
    header does not say it."""
    angles = [
        frame.number(name, ISOCENTRE)
        for name in (
            "PositionerIsocenterPrimaryAngle",
            "PositionerIsocenterSecondaryAngle",
            "PositionerIsocenterDetectorRotationAngle",
        )
    ]
    in_isocentre = None not in angles
    if (
        in_isocentre
        and found.patient_from_isocentre is not None
        and found.needs("rao_lao_deg")
        and found.needs("cra_cau_deg")
    ):
        primary, secondary, rotation = angles
        if abs(primary) > 180 or abs(secondary) > 90 or abs(rotation) > 180:
            why = f"its isocentre's angles of {primary:g}, {secondary:g} and {rotation:g} degrees are out of range"
            found.lack("rao_lao_deg", why)
            found.lack("cra_cau_deg", why)
            return None
        turned = c_arm.rotation(primary, secondary) @ c_arm.about_axis(2, rotation)
        found.values["rao_lao_deg"], found.values["cra_cau_deg"], roll = c_arm.angles(
            found.patient_from_isocentre @ turned
        )
        return float(roll)
    for key, (name, largest) in ANGLES.items():
        if not found.needs(key):
            continue
        start = frame.number(name, POSITIONER)
        if start is None:
            found.lack(
                key,
                f"{name}, or PatientPosition for {name.replace('Positioner', 'PositionerIsocenter')}"
                if in_isocentre
                else name,
            )
        elif abs(start) > largest:
            found.lack(key, f"{name} is {start:g} degrees, beyond {largest:g}")
        else:
            _add_increment(found, frame, key, start)
    return None


def _add_increment(found: Found, frame: DicomFrame, key: str, start: float) -> None:
    """The angle of the frame in a run that turns: one step for all frames, or a list of how far each is from the start."""
    name, largest = ANGLES[key]
    increments, count = frame.numbers(f"{name}Increment"), frame_count(frame.file)
    angle = start
    if len(increments) == count > 1:
        angle += increments[frame.index]
    elif len(increments) == 1:
        angle += frame.index * increments[0]
    elif len(increments):
        found.lack(key, f"{name}Increment has {len(increments)} values for {count} frames")
        return
    elif frame.index and frame.text("PositionerMotion") == "DYNAMIC" and frame.group(POSITIONER) is None:
        found.lack(key, f"{name}Increment, as the positioner moves")
        return
    if largest == 180:
        angle = (angle + 180) % 360 - 180 if abs(angle) > 180 else angle
    if abs(angle) > largest:
        found.lack(key, f"{name} with {name}Increment is {angle:g} degrees, beyond {largest:g}")
        return
    found.values[key] = float(angle)
