"""A C-arm's reading from the DICOM header of an X-ray, beside what somebody has given."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from ...imaging.dicom_file import read_dicom
from ...imaging.dicom_frame import DicomFrame
from ...imaging.dicom_pixels import frame_count
from .detector import find_principal_point
from .distances import find_distances, find_pixel
from .found import Found
from .orientation import find_orientation
from .positioner import find_angles, find_patient
from .table import find_table

#: What a view needs to be placed, in the order in which it is told.
NEEDED = ("source_to_detector_mm", "source_to_isocentre_mm", "pixel_mm", "rao_lao_deg", "cra_cau_deg", "mirrored")
PAIRS = ("pixel_mm", "size", "principal_point", "isocentre_offset_mm")
NUMBERS = ("source_to_detector_mm", "source_to_isocentre_mm", "rao_lao_deg", "cra_cau_deg", "roll_deg")


def read_header(path: str | os.PathLike, frame: int | None = None, given: dict[str, Any] | None = None) -> Found | None:
    """What the header of a DICOM X-ray says of how a frame, from 0, was taken; None for another file.

    given: what is known better, by the keys of a case.json's c_arm; of these, what is no such value is left to its reader to refuse.

    Nothing is assumed but what `assumptions` tells. InputError for a header that is damaged.
    """
    file = read_dicom(path)
    if file is None:
        return None
    given = {key: value for key, value in (given or {}).items() if _is_value(key, value)}
    count, index = frame_count(file), frame or 0
    if not 0 <= index < count:
        file.refuse(f"frame {index} is asked for, but it has {count}; give a frame from 0 to {count - 1}.")
    header = DicomFrame(file, index)
    found = Found(dict(given), machine=str(file.value("DeviceSerialNumber") or "").strip())
    found.values.setdefault("size", [file.whole("Columns", 0), file.whole("Rows", 0)])
    find_patient(found, header)
    find_distances(found, header)
    find_pixel(found, header)
    roll = find_angles(found, header)
    find_orientation(found, header, roll)
    find_principal_point(found, header)
    find_table(found, header)
    found.lacking = {key: found.lacking[key] for key in NEEDED if key in found.lacking}
    return found


def _is_value(key: str, value: Any) -> bool:
    if key == "mirrored":
        return isinstance(value, bool)
    if key in PAIRS:
        return (
            isinstance(value, (list, tuple, np.ndarray))
            and len(value) == 2
            and all(_is_number(part) for part in value)
            and (key not in ("pixel_mm", "size") or min(value) > 0)
        )
    return key in NUMBERS and _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9 and math.isfinite(value)
