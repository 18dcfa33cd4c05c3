"""Where the central axis meets the image (PS3.3 C.8.11.4, C.8.19.5, C.8.19.6.2)."""

from __future__ import annotations

import numpy as np

from ...imaging.dicom_frame import DicomFrame
from .assumptions import IN_IMAGE, ON_DETECTOR
from .distances import DETECTOR
from .found import Found
from .orientation import FIELD, field_of_view


def find_principal_point(found: Found, frame: DicomFrame) -> None:
    """principal_point, where the header says what part of the detector is stored; else it is left to be the middle."""
    if not found.needs("principal_point"):
        return
    origin, element = frame.numbers("FieldOfViewOrigin", FIELD), frame.numbers("DetectorElementSpacing")
    projection, size = frame.numbers("PositionOfIsocenterProjection"), frame.numbers("PhysicalDetectorSize")
    per_pixel = _elements_per_pixel(found, frame, element)
    if len(origin) == 2 and per_pixel is not None:
        if len(projection) == 2:
            found.values["principal_point"] = _in_image(found, frame, projection, origin, per_pixel)
            return
        if len(size) == 2 and len(element) == 2 and size.min() > 0:
            found.values["principal_point"] = _in_image(found, frame, size / element / 2 - 0.5, origin, per_pixel)
            found.assumptions.append(ON_DETECTOR)
            return
    found.assumptions.append(IN_IMAGE)


def _elements_per_pixel(found: Found, frame: DicomFrame, element: np.ndarray) -> np.ndarray | None:
    """(rows, columns) of the detector for a pixel of the field of view, before it is turned."""
    if "pixel_mm" in found.values and len(element) == 2 and element.min() > 0:
        pixel = np.array(found.values["pixel_mm"])[::-1]
        return (pixel[::-1] if field_of_view(frame)[0] % 180 else pixel) / element
    binning = frame.numbers("DetectorBinning", DETECTOR)
    return binning if len(binning) == 2 and binning.min() > 0 else None


def _in_image(
    found: Found, frame: DicomFrame, at: np.ndarray, origin: np.ndarray, per_pixel: np.ndarray
) -> list[float]:
    """[column, row] of the stored image for a place (row, column) on the detector, counted from the centre of its first element."""
    row, column = (at - origin + 0.5) / per_pixel - 0.5
    columns, rows = found.values["size"]
    turn, flip = field_of_view(frame)
    if turn == 90:  # to the right: what was at the bottom is at the left
        column, row = columns - 1 - row, column
    elif turn == 180:
        column, row = columns - 1 - column, rows - 1 - row
    elif turn == 270:
        column, row = row, rows - 1 - column
    return [float(columns - 1 - column if flip else column), float(row)]
