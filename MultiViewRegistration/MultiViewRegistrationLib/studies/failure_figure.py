"""What a wrong answer looks like beside the truth."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..imaging.xray import XRay
from ..report.overlays import overlays

_SIDE = 420
_GAP = 8


def failure_figure(xrays: Sequence[XRay], found: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> bytes:
    """JPEG: a column for each view, contours of the CT over the X-ray, above at the pose that was found, below at the true one.

    found, true: DRRs (rows, columns) on the X-rays' pixels, NaN where they have no value.
    """
    columns = []
    for xray, *drrs in zip(xrays, found, true, strict=True):
        pictures = [pair.edges for pair in overlays(xray, drrs, longest_side=_SIDE)]
        columns.append(_joined([_squared(picture) for picture in pictures], axis=0))
    file = io.BytesIO()
    Image.fromarray(_joined(columns, axis=1)).save(file, "JPEG", quality=80)
    return file.getvalue()


def _squared(picture: np.ndarray) -> np.ndarray:
    square = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    rows, columns = (min(size, _SIDE) for size in picture.shape[:2])
    top, left = (_SIDE - rows) // 2, (_SIDE - columns) // 2
    square[top : top + rows, left : left + columns] = picture[:rows, :columns]
    return square


def _joined(pictures: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Side by side, with a white gap."""
    shape = list(pictures[0].shape)
    shape[axis] = _GAP
    parts = [part for picture in pictures for part in (np.full(shape, 255, np.uint8), picture)]
    return np.concatenate(parts[1:], axis=axis)
