"""Signs that an X-ray was cropped or resampled after it was taken, so that its matrix is another image's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .field import outermost

#: Detectors are square, or longer by more than this share; and no side of theirs that is not square
#: has a number of pixels that this does not divide.
NEARLY_SQUARE = 0.06
MULTIPLE = 4
#: Share of a side by which an image of another length may have lost its middle.
LOST_SHARE = 0.01
#: Of a round field: share of its rows whose rim the image must show, how far the rim may be from a
#: circle as a share of the radius, and how far the circle's middle may be from the image's, px and
#: as a share of the image.
RIM_ROWS = 0.3
RIM_SD_SHARE = 0.005
OFF_PX = 2.0
OFF_SHARE = 0.003
#: Pixels at the edge of an image at which a field's rim is the image's.
EDGE_PX = 3
#: Share by which the distance to the detector by the matrix may be off that by the header, and one
#: of the matrix's two scales off the other.
DISTANCE_SHARE = 0.05
SCALE_SHARE = 0.01


@dataclass(frozen=True)
class Doubt:
    """A sign that an image is not the one that its geometry is for.

    Attributes
    ----------
    sentence
        What is found, after the name of the view.
    off_px
        By how many pixels its principal point may be off, one standard deviation.
    """

    sentence: str
    off_px: float


def signs_of_cropping(valid: np.ndarray) -> Doubt | None:
    """Return why an image may have been cropped, None where nothing says so.

    Parameters
    ----------
    valid
        bool (rows, columns), the field.
    """
    return _unlike_a_detector(valid.shape[1], valid.shape[0]) or _off_the_field(valid)


def signs_of_resampling(
    intrinsics: np.ndarray,
    pixel_mm: tuple[float, float] | None,
    source_to_detector_mm: float | None,
    size: tuple[int, int],
) -> Doubt | None:
    """Return why pixels may be of another size than the matrix takes them for.

    Parameters
    ----------
    intrinsics
        (3, 3).
    pixel_mm
        Between columns, and between rows, on the detector, as the image's file has it.
    source_to_detector_mm
        As the image's header has it.
    size
        Columns, rows.
    """
    if pixel_mm is None:
        return None
    across = abs(intrinsics[0, 0]) * pixel_mm[0]
    down = abs(intrinsics[1, 1]) * pixel_mm[1]
    lost = LOST_SHARE * max(size)
    if abs(across / down - 1) > SCALE_SHARE:
        return Doubt(
            f"has a detector {across:.0f} mm away by its matrix and the width of its pixels, but "
            f"{down:.0f} mm by their height: it may be resampled.",
            lost,
        )
    if source_to_detector_mm and abs(down / source_to_detector_mm - 1) > DISTANCE_SHARE:
        return Doubt(
            f"has a detector {down:.0f} mm away by its matrix and pixels, but "
            f"{source_to_detector_mm:.0f} mm by its header: it may be resampled.",
            lost,
        )
    return None


def _unlike_a_detector(columns: int, rows: int) -> Doubt | None:
    apart = abs(columns - rows)
    if not apart:
        return None
    nearly = apart <= NEARLY_SQUARE * max(columns, rows)
    if not nearly and not (columns % MULTIPLE or rows % MULTIPLE):
        return None
    return Doubt(
        f"has {columns} x {rows} pixels, unlike a detector: it may be cropped.",
        float(apart) if nearly else LOST_SHARE * max(columns, rows),
    )


def _off_the_field(valid: np.ndarray) -> Doubt | None:
    """Return that a round field that the image's edge cuts lies off the middle of the image.

    One that is whole may: undistorted images of calibrated image intensifiers are such.
    """
    middle = _middle_of_rim(valid)
    rows, columns = valid.shape
    edge = valid.copy()
    edge[EDGE_PX : rows - EDGE_PX, EDGE_PX : columns - EDGE_PX] = False
    if middle is None or not edge.any():
        return None
    off = float(np.abs(middle - (np.array([columns, rows]) - 1) / 2).max())
    if off <= max(OFF_PX, OFF_SHARE * max(rows, columns)):
        return None
    return Doubt(
        f"has a round field whose middle is {off:.0f} px off the image's: it may be cropped.",
        2 * off,
    )


def _middle_of_rim(valid: np.ndarray) -> np.ndarray | None:
    """Return the middle (2,), column and row, of a round field, None of another."""
    rim = outermost(valid).astype(float)
    size = np.array(valid.shape[::-1])
    rim = rim[((rim >= EDGE_PX) & (rim < size - EDGE_PX)).all(axis=1)]
    if len(rim) < 2 * RIM_ROWS * valid.shape[0]:
        return None
    # |p|^2 = 2 p . m + c of a circle about m.
    system = np.column_stack([2 * rim, np.ones(len(rim))])
    (column, row, constant), *_ = np.linalg.lstsq(system, np.square(rim).sum(axis=1), rcond=None)
    middle = np.array([column, row])
    radius = np.sqrt(max(constant + middle @ middle, 0.0))
    away = np.linalg.norm(rim - middle, axis=1) - radius
    is_round = np.sqrt(np.mean(away**2)) <= max(1.0, RIM_SD_SHARE * radius)
    return middle if is_round and radius < max(valid.shape) else None
