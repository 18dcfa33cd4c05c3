"""The files of studies: records as JSON files, each whole or not there, so that a study can be stopped anywhere; and pictures of misses."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..imaging.xray import View
from ..io.files import write_json
from ..registration.prepared_ct import PreparedCT
from ..report.html import jpeg
from ..report.overlays import DRRs, overlays

_SIDE = 420
_GAP = 8


def write_record(path: Path, content: dict) -> None:
    """Write plain data, with None in place of numbers that JSON does not know."""
    write_json(path, _finite(content))


def read_record(path: Path) -> dict:
    """Read what was written.

    Raises
    ------
    OSError
        If there is no file.
    InputError
        If it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(
            f"{path}: found no JSON, expected what an evaluation wrote there; remove the file."
        ) from None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def failure_figure(
    anatomy: PreparedCT, views: Sequence[View], found: np.ndarray, truth: np.ndarray
) -> bytes:
    """Draw a JPEG with a column for each view.

    Contours of the CT over the X-ray, above at the found, below at the true pose.

    Parameters
    ----------
    found, truth
        (4, 4) world_from_ct.
    """
    columns = []
    for view in views:
        drrs = [DRRs.of(anatomy, view.camera, pose) for pose in (found, truth)]
        columns.append(
            [_squared(pair["edges"]) for pair in overlays(view.xray, drrs, longest_side=_SIDE)]
        )
    gaps = [(0, 0), (0, 0), (0, _GAP), (0, _GAP), (0, 0)]
    joined = np.pad(np.array(columns), gaps, constant_values=255).transpose(1, 2, 0, 3, 4)
    return jpeg(joined.reshape(2 * (_SIDE + _GAP), -1, 3)[:-_GAP, :-_GAP])


def _squared(picture: np.ndarray) -> np.ndarray:
    """Return a picture in the middle of a black square."""
    rows, columns = picture.shape[:2]
    top = (_SIDE - rows) // 2
    left = (_SIDE - columns) // 2
    return np.pad(picture, [(top, _SIDE - rows - top), (left, _SIDE - columns - left), (0, 0)])
