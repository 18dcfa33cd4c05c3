"""Models of beads: their places from CSV, JSON and Slicer's markups."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, naming
from ..geometry.bead_match import check_model, symmetries
from .files import describe, parse_numbers, printable, read_json, read_text
from .points import csv_rows, labelled_points

EXPECTED = "a model of beads: lines of name,x,y,z in mm"
HEADING = ["name", "x", "y", "z"]
#: Beads nearer to each other than this are one, and the model has it twice.
MIN_APART_MM = 0.5


@dataclass(frozen=True, eq=False)
class BeadModel:
    """Beads whose places are known.

    Attributes
    ----------
    names
        Of the beads.
    points
        (n, 3) mm, in a frame of the model's own; LPS of Slicer's markups.
    file
        Where it was read, for messages.

    Raises
    ------
    InputError
        Where they are too few or too many, on a line, twice at one place, or the same after a turn, so that no
        image could tell them apart.
    """

    names: tuple[str, ...]
    points: np.ndarray
    file: str = "model"

    def __post_init__(self) -> None:
        with naming(self.file):
            check_model(self.points)
            apart = np.linalg.norm(self.points[:, None] - self.points, axis=-1)
            apart[np.diag_indices(len(apart))] = np.inf
            first, second = np.unravel_index(apart.argmin(), apart.shape)
            if apart[first, second] < MIN_APART_MM:
                raise InputError(
                    f'has "{self.names[first]}" and "{self.names[second]}" at one place, expected '
                    "beads apart, in mm; correct it."
                )
            for renamed in symmetries(self.points):
                other = int(np.flatnonzero(renamed != np.arange(len(renamed)))[0])
                raise InputError(
                    f'is symmetric: turned, "{self.names[other]}" lies where '
                    f'"{self.names[renamed[other]]}" was, so that no image tells which is which; '
                    "add or take away a bead, and measure the model again."
                )


def read_bead_model(path: str | os.PathLike) -> BeadModel:
    """Read a model of beads.

    CSV or text with name, x, y, z in mm a line, under a heading or not; JSON with a list of points
    or points by name; Slicer's .mrk.json and .fcsv.

    Raises
    ------
    InputError
        For anything else, and as `BeadModel`.
    """
    file = printable(path)
    name = os.fspath(path).lower()
    if name.endswith((".fcsv", ".mrk.json")):
        beads = labelled_points(path)
    elif name.endswith(".json"):
        beads = _of_json(file, read_json(path))
    else:
        beads = _of_lines(file, read_text(path, EXPECTED).splitlines())
    names = [name.strip() or str(number) for number, (name, _) in enumerate(beads, start=1)]
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(
                f"{file}: has the name {describe(name)} twice, expected one for each bead; rename "
                "it."
            )
    points = np.array([point for _, point in beads], float).reshape(-1, 3)
    return BeadModel(tuple(names), points, file)


def is_bead_model(path: Path) -> bool:
    """Return whether a file that is nothing else is a model of beads, or begins as one."""
    try:
        first = read_text(path, EXPECTED).lstrip().partition("\n")[0]
        if [cell.strip().lower() for cell in first.split(",")[:4]] == HEADING:
            return True  # what is wrong with it is said by what reads it
        read_bead_model(path)
    except InputError:
        return False
    return True


def _of_lines(file: str, lines: Iterable[str]) -> list[tuple[str, np.ndarray]]:
    beads = []
    for number, row in enumerate(csv_rows(file, lines), start=1):
        cells = [cell.strip() for cell in row]
        point = parse_numbers(" ".join(cells[1:4]), 3)
        if point is not None and len(cells) >= 4:
            beads.append((cells[0], np.array(point)))
        elif number > 1 or [cell.lower() for cell in cells[:4]] != HEADING:
            raise InputError(
                f"{file}: line {number} is {describe(','.join(row))}, expected name,x,y,z with "
                "numbers of mm; correct it."
            )
    return beads


def _of_json(file: str, content: Any) -> list[tuple[str, np.ndarray]]:
    if isinstance(content, dict):
        entries = list(content.items())
    elif isinstance(content, list):
        entries = [(str(number), point) for number, point in enumerate(content, start=1)]
    else:
        entries = []
    beads = []
    for name, place in entries:
        words = " ".join(map(str, place)) if isinstance(place, list) else str(place)
        point = parse_numbers(words, 3)
        if point is None:
            raise InputError(
                f"{file}: {describe(name)} is {describe(str(place))}, expected [x, y, z] in mm; "
                "correct it."
            )
        beads.append((name, np.array(point)))
    return beads
