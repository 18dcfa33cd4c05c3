"""The files of studies: records as JSON files, each whole or not there, so that a study can be stopped anywhere; and pictures of misses."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import InputError
from ..imaging.xray import View
from ..io.files import write_atomically
from ..registration.prepared_ct import PreparedCT
from ..report.overlays import DRRs, overlays

_CHARACTERS = 32
_SIDE = 420
_GAP = 8


def digest(content: object) -> str:
    """Return the hash, in hex, of plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:_CHARACTERS]


def write_record(path: Path, content: dict) -> None:
    """Write plain data, with None in place of numbers that JSON does not know; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(_finite(content), indent=1, allow_nan=False) + "\n")


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
        raise InputError(f"{path}: found no JSON, expected what an evaluation wrote there; remove the file.") from None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def failure_figure(anatomy: PreparedCT, views: Sequence[View], found: np.ndarray, truth: np.ndarray) -> bytes:
    """Draw a JPEG with a column for each view: contours of the CT over the X-ray, above at the found, below at the true pose.

    Parameters
    ----------
    found, truth
        (4, 4) world_from_ct.
    """
    columns = []
    for view in views:
        drrs = [DRRs.of(anatomy, view.camera, pose) for pose in (found, truth)]
        pictures = [pair["edges"] for pair in overlays(view.xray, drrs, longest_side=_SIDE)]
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
    """Lay images side by side, with a white gap."""
    shape = list(pictures[0].shape)
    shape[axis] = _GAP
    parts = [part for picture in pictures for part in (np.full(shape, 255, np.uint8), picture)]
    return np.concatenate(parts[1:], axis=axis)
