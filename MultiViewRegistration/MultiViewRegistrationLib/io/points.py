"""Points that a case is given in files: targets in the CT, and the pixels of landmarks."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import numpy as np

from ..errors import InputError
from .axes import AXES
from .fields import LARGEST_NUMBER, shown
from .markups import labelled_points, text_lines

EXPECTED = "a list of points"
MARKUPS = (".fcsv", ".json")

_COMMENT = re.compile(r"(#|%).*")
_BETWEEN = re.compile(r"[\s,;]+")
_SIGNS = {"lps": (1.0, 1.0, 1.0), "ras": (-1.0, -1.0, 1.0)}


def read_targets(path: str | os.PathLike, axes: str | None = None) -> np.ndarray:
    """Points (N, 3) in CT LPS mm: of Slicer's .fcsv and .mrk.json, which say their axes, or of a text with x, y, z in mm a line.

    axes: "lps" or "ras", of a text, which does not say them.   InputError for anything else, and for no points.
    """
    if Path(path).suffix.lower() in MARKUPS:
        if axes is not None:
            raise InputError(f"--targets: found {axes} behind {shown(path)}, which says its axes itself; leave it out.")
        points = np.array([point for _, point in labelled_points(path)])
    else:
        if axes not in AXES:
            what = (
                "does not say whether its axes are LPS (DICOM, ITK) or RAS (Slicer's scene)"
                if axes is None
                else f'is "{shown(axes)}"'
            )
            raise InputError(
                f"--targets: {shown(path)} {what}, and a wrong guess would not show; add lps or ras behind the file."
            )
        points = _rows(path) * _SIGNS[axes]
    if not len(points):
        raise InputError(f"{shown(path)}: has no points, expected targets in the CT; choose another file.")
    return points


def read_pixels(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Pixels (2,) [column, row] by the landmark's name, from a text with "name, column, row" a line. InputError for anything else."""
    pixels: dict[str, np.ndarray] = {}
    try:
        rows = list(
            csv.reader(line for line in text_lines(path, EXPECTED) if line.strip() and not line.startswith("#"))
        )
    except csv.Error as error:
        raise InputError(
            f"{shown(path)}: is no list of pixels ({error}), expected lines of name, column, row; correct it."
        ) from None
    for number, row in enumerate(rows, start=1):
        try:
            name, *words = (word.strip() for word in row)
            column, line = (float(word) for word in words)
        except ValueError:
            raise InputError(
                f"{shown(path)}: line {number} is {shown(','.join(row))[:60]}, expected name, column, row; correct it."
            ) from None
        if not name or name in pixels or not max(abs(column), abs(line)) <= LARGEST_NUMBER:
            raise InputError(
                f"{shown(path)}: line {number} is {shown(','.join(row))[:60]}, expected a name of its own and two pixels that "
                "are finite; correct it."
            )
        pixels[name] = np.array([column, line])
    return pixels


def _rows(path: str | os.PathLike) -> np.ndarray:
    rows = [[word for word in _BETWEEN.split(_COMMENT.sub(" ", line)) if word] for line in text_lines(path, EXPECTED)]
    try:
        points = (
            np.array([row for row in rows if row], float).reshape(-1, 3)
            if all(len(row) in (0, 3) for row in rows)
            else None
        )
    except ValueError:
        points = None
    if points is None or not (np.abs(points) <= LARGEST_NUMBER).all():
        raise InputError(f"{shown(path)}: is no list of points, expected x, y and z in mm a line, finite; correct it.")
    return points
