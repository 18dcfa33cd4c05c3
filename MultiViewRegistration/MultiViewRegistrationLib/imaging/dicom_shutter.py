"""Display shutters of a DICOM X-ray: which of its pixels are meant to be seen (PS3.3 C.7.6.11, C.7.6.15)."""

from __future__ import annotations

import numpy as np

from .dicom_frame import DicomFrame

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

    InputError for a shutter without its numbers, and one that leaves nothing.
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
    plane = file.header.group_dataset(int(group[0])) if len(group) == 1 and 0x6000 <= group[0] <= 0x60FE else {}
    data = {element.tag.element: element.value for element in plane}
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
