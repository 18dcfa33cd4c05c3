"""DICOM X-rays as raw images: their grey scale, what it means, and their shutters.

The modality LUT is applied, as it gives the pixel values their meaning; VOI LUTs and windows are for display, and are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .dicom_file import DicomFile, DicomFrame
from .dicom_pixels import frame_count, stored_pixels, stored_range
from .raw_image import RawImage

if TYPE_CHECKING:
    import pydicom


PROPERTIES = "FramePixelDataPropertiesSequence"
#: Pixel Intensity Relationship (PS3.3 C.8.7.1.1.2, C.8.11.3.1.2); DISP, made for display, says nothing that could be computed with.
CURVES = {"LIN": "linear", "LOG": "log"}


def is_grey(file: DicomFile) -> bool:
    """Whether its pixels have one grey value each, as those of XA, XRF, CR and DX."""
    return file.whole("SamplesPerPixel", 1) == 1 and file.text("PhotometricInterpretation") in (
        "MONOCHROME1",
        "MONOCHROME2",
    )


def has_grey_scale(file: DicomFile, frame: int | None = None) -> bool:
    """Whether the header says what its grey values are, or that they are not what an image is taken for that says nothing: linear."""
    header = DicomFrame(file, frame or 0)
    curve, sign = _relationship(header)
    return curve == "log" or curve is not None and sign is not None or _to_linear(header, curve) is not None


def dicom_image(file: DicomFile, frame: int | None = None) -> RawImage:
    """One frame of a DICOM X-ray.

    Raises
    ------
    InputError
        For a frame that is not there, and for what `stored_pixels` refuses.
    """
    count, index = frame_count(file), frame or 0
    if not 0 <= index < count:
        file.refuse(f"frame {index} is asked for, but it has {count}; give a frame from 0 to {count - 1}.")
    header = DicomFrame(file, index)
    stored = stored_pixels(file, index)
    curve, sign = _relationship(header)
    linear = _to_linear(header, curve)
    if linear is not None:
        values, low, high = _looked_up(file, stored, linear)
        step, curve, sign = 1.0, "linear", 1
    else:
        values, low, high, step, curve, turned = _modality(header, stored, curve)
        sign = None if sign is None else sign * turned
    values = values.astype(np.float32)
    if file.text("PhotometricInterpretation") == "MONOCHROME1":
        values, sign = np.float32(low + high) - values, None if sign is None else -sign
    return RawImage(
        values,
        step,
        high,
        curve,
        _pixel_mm(header),
        bone_bright=None if sign is None else sign < 0,
        open=open_pixels(header, stored.shape),
    )


def _relationship(frame: DicomFrame) -> tuple[str | None, int | None]:
    """The curve, and whether larger stored values are more (1) or less (-1) intensity; None for what the header does not say."""
    sign = frame.number("PixelIntensityRelationshipSign", PROPERTIES)
    return CURVES.get(frame.text("PixelIntensityRelationship", PROPERTIES)), int(sign) if sign in (1, -1) else None


def _to_linear(frame: DicomFrame, curve: str | None) -> pydicom.Dataset | None:
    """The table that makes stored values linear in intensity, where they are not (PS3.3 C.7.6.16.2.13)."""
    tables = frame.items("PixelIntensityRelationshipLUTSequence") if curve != "linear" else []
    return next((table for table in tables if frame.file.text("LUTFunction", table) == "TO_LINEAR"), None)


def _modality(
    frame: DicomFrame, stored: np.ndarray, curve: str | None
) -> tuple[np.ndarray, float, float, float, str | None, int]:
    """Values after the modality LUT, their least and largest, their step, their curve, and -1 where it turned their order round."""
    file = frame.file
    tables = file.items("ModalityLUTSequence")
    if tables:
        values, low, high = _looked_up(file, stored, tables[0])
        falls = _table(file, tables[0])[0]
        turned = -1 if falls[-1] < falls[0] else 1
        return (
            values,
            low,
            high,
            1.0,
            "linear" if curve == "log" and file.text("Modality") in ("XA", "RF") else curve,
            turned,
        )
    slope, intercept = (
        number if (number := frame.number(key, "PixelValueTransformationSequence")) is not None else default
        for key, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    if slope == 0:
        file.refuse("has a RescaleSlope of 0, expected another number; export it again.")
    low, high = sorted(slope * number + intercept for number in stored_range(file))
    with np.errstate(over="ignore", invalid="ignore"):
        values = slope * stored.astype(np.float64) + intercept
    if not max(abs(low), abs(high), np.abs(values).max()) < float(np.finfo(np.float32).max) / 4:
        file.refuse("has a RescaleSlope or RescaleIntercept beyond all measure, expected grey values; export it again.")
    return values, low, high, abs(slope), curve, 1 if slope > 0 else -1


def _looked_up(file: DicomFile, stored: np.ndarray, table: pydicom.Dataset) -> tuple[np.ndarray, float, float]:
    """The values of a table, and the least and largest that it has."""
    entries, first = _table(file, table)
    values = entries[np.clip(stored.astype(np.int64) - first, 0, len(entries) - 1)]
    return values, 0.0, float(entries.max())


def _table(file: DicomFile, table: pydicom.Dataset) -> tuple[np.ndarray, int]:
    """The entries (n,) of a look-up table, and the stored value of the first (PS3.3 C.11.1.1)."""
    descriptor = file.numbers("LUTDescriptor", table)
    data = file.value("LUTData", table)
    if isinstance(data, bytes):
        data = np.frombuffer(data[: len(data) // 2 * 2], "<u2")
    entries = np.array([] if data is None else data).ravel()
    count = int(descriptor[0]) % 65536 or 65536 if len(descriptor) == 3 else -1
    if len(entries) != count or entries.dtype.kind not in "iu" or np.ptp(entries) == 0:
        raise InputError(
            f"{file.path}: has a look-up table that does not fit its LUTDescriptor, expected as many entries as that says; "
            "export it again."
        )
    return entries.astype(np.int64) & 0xFFFF, int(descriptor[1])


def _pixel_mm(frame: DicomFrame) -> tuple[float, float] | None:
    """(between columns, between rows) on the detector, where the header says it: PixelSpacing may be that of a plane in the patient."""
    spacing = frame.numbers("ImagerPixelSpacing", PROPERTIES)
    return (float(spacing[1]), float(spacing[0])) if len(spacing) == 2 and spacing.min() > 0 else None


GROUP = "FrameDisplayShutterSequence"
EDGES = (
    "ShutterLeftVerticalEdge",
    "ShutterRightVerticalEdge",
    "ShutterUpperHorizontalEdge",
    "ShutterLowerHorizontalEdge",
)


def open_pixels(frame: DicomFrame, shape: tuple[int, int]) -> np.ndarray | None:
    """bool (rows, columns), True where no shutter hides the pixel; None without shutters.

    Of several shutters the least is left. Edges count as open; DICOM counts rows and columns from 1.

    Raises
    ------
    InputError
        For a shutter without its numbers, and one that leaves nothing.
    """
    shapes = frame.texts("ShutterShape", GROUP)
    known = [name for name in shapes if name in _SHUTTERS]
    if not known:
        return None
    is_open = np.ones(shape, bool)
    rows, columns = (np.arange(1, size + 1) for size in shape)
    for name in known:
        is_open &= _SHUTTERS[name](frame, rows[:, None], columns)
    if not is_open.any():
        frame.file.refuse(
            "its shutters hide every pixel, expected something to be left; export the image without them."
        )
    return is_open


def _rectangular(frame: DicomFrame, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    left, right, upper, lower = (_numbers(frame, edge, 1)[0] for edge in EDGES)
    return (columns >= left) & (columns <= right) & (rows >= upper) & (rows <= lower)


def _circular(frame: DicomFrame, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The radius counts pixels along a row; where pixels are not square it has fewer or more rows."""
    row, column = _numbers(frame, "CenterOfCircularShutter", 2)
    (radius,) = _numbers(frame, "RadiusOfCircularShutter", 1)
    spacing = frame.numbers("ImagerPixelSpacing", "FramePixelDataPropertiesSequence")
    tall = spacing[0] / spacing[1] if len(spacing) == 2 and spacing.min() > 0 else 1.0
    return (columns - column) ** 2 + (tall * (rows - row)) ** 2 <= radius**2


def _polygonal(frame: DicomFrame, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """By how often a ray to the right crosses the polygon's sides."""
    numbers = frame.numbers("VerticesOfThePolygonalShutter", GROUP)
    if len(numbers) < 6 or len(numbers) % 2:
        frame.file.refuse(
            "its polygonal shutter has no VerticesOfThePolygonalShutter, rows and columns of three or more, expected them; "
            "export the image again."
        )
    vertices = numbers.reshape(-1, 2)
    inside = np.zeros((len(rows), len(columns)), bool)
    for (row_a, column_a), (row_b, column_b) in zip(vertices, np.roll(vertices, -1, axis=0)):
        if row_a == row_b:
            continue
        crosses = (rows >= min(row_a, row_b)) & (rows < max(row_a, row_b))
        inside ^= crosses & (columns <= column_a + (rows - row_a) * (column_b - column_a) / (row_b - row_a))
    return inside


def _bitmap(frame: DicomFrame, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """What an overlay has set is hidden (PS3.3 C.9.2 for the overlay)."""
    file, group = frame.file, frame.numbers("ShutterOverlayGroup", GROUP)
    is_overlay = len(group) == 1 and 0x6000 <= group[0] <= 0x60FE
    elements = file.header.group_dataset(int(group[0])) if is_overlay else ()
    data: dict[int, Any] = {element.tag.element: element.value for element in elements}
    packed, size = data.get(0x3000), (data.get(0x0010), data.get(0x0011))
    count = int(data.get(0x0015) or 1)
    if not isinstance(packed, bytes) or not all(isinstance(number, int) and number > 0 for number in size):
        file.refuse(
            "its bitmap shutter names an overlay (ShutterOverlayGroup) that is not there, expected one with OverlayData; export "
            "the image again."
        )
    number = frame.index - int(data.get(0x0051) or 1) + 1 if count > 1 else 0
    height, width = size
    area = height * width
    if 8 * len(packed) < area * count:
        file.refuse(
            "the overlay of its bitmap shutter ends early, expected a bit for each of its pixels; export the image again."
        )
    hidden = np.zeros((len(rows), len(columns)), bool)
    if 0 <= number < count:
        first = number * area
        bits = np.unpackbits(np.frombuffer(packed[first // 8 : (first + area + 7) // 8], np.uint8), bitorder="little")
        plane = bits[first % 8 :][:area].reshape(height, width).astype(bool)
        row, column = (int(part) - 1 for part in data.get(0x0050) or (1, 1))
        top, left = max(row, 0), max(column, 0)
        part = plane[max(-row, 0) :, max(-column, 0) :][
            : max(hidden.shape[0] - top, 0), : max(hidden.shape[1] - left, 0)
        ]
        hidden[top : top + part.shape[0], left : left + part.shape[1]] = part
    return ~hidden


def _numbers(frame: DicomFrame, keyword: str, count: int) -> np.ndarray:
    numbers = frame.numbers(keyword, GROUP)
    if len(numbers) != count:
        frame.file.refuse(
            f"its shutter has no usable {keyword}, expected {count} number{'s' * (count > 1)}; export the image again."
        )
    return numbers


_SHUTTERS = {"RECTANGULAR": _rectangular, "CIRCULAR": _circular, "POLYGONAL": _polygonal, "BITMAP": _bitmap}
