"""Points from files: Slicer's markups (.fcsv, .mrk.json), targets, pixels of landmarks, and models of beads."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, naming
from ..geometry.bead_match import check_model, symmetries
from ..geometry.landmarks import Landmark
from .files import (
    MAX_SMALL_TEXT_BYTES,
    JsonObject,
    describe,
    parse_numbers,
    printable,
    read_json,
    read_text,
)
from .transforms import AXES

#: By the words of all versions: before Slicer 4.11 a number was written.
SIGNS = {
    "RAS": (-1.0, -1.0, 1.0),
    "0": (-1.0, -1.0, 1.0),
    "LPS": (1.0, 1.0, 1.0),
    "1": (1.0, 1.0, 1.0),
}
MARKUPS_EXPECTED = "a .fcsv or .mrk.json file"
#: Columns where no line names them, as Slicer 4 wrote them.
COLUMNS = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID".split(",")

_HEAD = re.compile(r"#\s*([\w ]+?)\s*=\s*(.*?)\s*$")


def read_markups(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Return points (3,) in LPS mm by their label.

    .fcsv: Slicer's fiducial lists, versions 3 to 5; its header must have a CoordinateSystem (0 or
    RAS, 1 or LPS). Slicer 3 had none, and wrote RAS. .mrk.json: Slicer's markups, schema 1.0;
    points that were not placed are left out.

    Raises
    ------
    InputError
        Where the axes are unknown or IJK, a label is missing or there twice, and for anything else.
    """
    by_label: dict[str, np.ndarray] = {}
    for label, point in labelled_points(path):
        if not label.strip() or label in by_label:
            what = (
                f"has the label {describe(label)} twice"
                if label.strip()
                else "has a point without a label"
            )
            raise InputError(
                f"{printable(path)}: {what}, expected a name of its own for each point; rename it "
                "in Slicer."
            )
        by_label[label] = point
    if not by_label:
        raise InputError(
            f"{printable(path)}: has no points, expected landmarks of the CT; choose another file."
        )
    return by_label


def labelled_points(path: str | os.PathLike) -> list[tuple[str, np.ndarray]]:
    """Return the labels and points (3,) in LPS mm in the order of the file, whatever the labels are."""
    return _from_json(path) if Path(path).suffix.lower() == ".json" else _from_fcsv(path)


def with_ct_points(landmarks: list[Landmark], path: str | os.PathLike) -> list[Landmark]:
    """Return the landmarks with those places in the CT that a file of `read_markups` has for their names.

    Raises
    ------
    InputError
        Where it has none of the names.
    """
    points = read_markups(path)
    known = [landmark.name for landmark in landmarks]
    if not set(known) & points.keys():
        names = ", ".join(describe(name) for name in known[:6]) or "none"
        raise InputError(
            f"{printable(path)}: names none of the case's landmarks, expected one or more of "
            f"theirs ({names}); rename the points, or add landmarks with their pixels to the case."
        )
    return [replace(landmark, ct=points.get(landmark.name, landmark.ct)) for landmark in landmarks]


def _from_fcsv(path: str | os.PathLike) -> list[tuple[str, np.ndarray]]:
    file = printable(path)
    lines = read_text(path, MARKUPS_EXPECTED).splitlines()
    heads = {match[1]: match[2] for match in map(_HEAD.match, lines) if match}
    system = heads.get("CoordinateSystem", heads.get("coordinateSystem"))
    if system is None and not any(line.startswith("# Fiducial List file") for line in lines):
        raise InputError(
            f'{file}: has no line "# CoordinateSystem = ...", expected LPS or RAS; add that line if you know which, or save '
            "it again with Slicer."
        )
    signs = _signs(file, "RAS" if system is None else system)
    columns = (
        [name.strip() for name in heads["columns"].split(",")] if "columns" in heads else COLUMNS
    )
    try:
        places = [columns.index(name) for name in ("label", "x", "y", "z")]
    except ValueError:
        raise InputError(
            f"{file}: has the columns {describe(', '.join(columns))}, expected label, x, y and z "
            "among them; save it again with Slicer."
        ) from None
    points = []
    rows = [row for row in csv_rows(file, lines) if any(cell.strip() for cell in row)]
    for number, row in enumerate(rows, start=1):
        label, *words = (row[place].strip() if place < len(row) else "" for place in places)
        point = parse_numbers(" ".join(words), 3)
        if point is None:
            raise InputError(
                f"{file}: point {number} is {describe(','.join(row))}, expected a label and finite "
                "numbers for x, y and z; correct it."
            )
        points.append((label, signs * point))
    return points


def csv_rows(file: str, lines: Iterable[str]) -> list[list[str]]:
    """Return the cells of each line that is neither empty nor a comment."""
    try:
        return list(csv.reader(line for line in lines if line.strip() and not line.startswith("#")))
    except csv.Error as error:
        raise InputError(
            f"{file}: is not a list of points ({error}), expected values between commas; correct "
            "it."
        ) from None


def _signs(file: str, system: str) -> np.ndarray:
    if system.upper() not in SIGNS:
        raise InputError(
            f"{file}: has the coordinate system {describe(system)}, expected LPS or RAS; save it "
            "again with one of these."
        )
    return np.array(SIGNS[system.upper()])


def _from_json(path: str | os.PathLike) -> list[tuple[str, np.ndarray]]:
    points = []
    content = JsonObject.read(path, "Slicer's markups")
    for markup in content.sections("markups", "a list of markups, as Slicer saves it"):
        signs = _signs(
            f"{markup.file}: {markup.name}", str(markup.value("coordinateSystem", '"LPS" or "RAS"'))
        )
        if markup.has("coordinateUnits") and markup.values["coordinateUnits"] not in (
            "mm",
            ["mm", "mm", "mm"],
        ):
            markup.refuse(
                "coordinateUnits",
                f"is {describe(markup.values['coordinateUnits'])}",
                '"mm"',
                "save it in mm",
            )
        given = markup.value("controlPoints", "a list of points")
        for point in markup.sections("controlPoints", "a list of points") if given else []:
            placed = point.values.get("positionStatus", "defined") == "defined"
            if placed:
                label = point.text("label", "the landmark's name")
                points.append(
                    (label, signs * point.array("position", (3,), "a point [x, y, z] in mm"))
                )
    return points


EXPECTED = "a list of points"
MARKUPS = (".fcsv", ".json")


def read_targets(path: str | os.PathLike, axes: str | None = None) -> np.ndarray:
    """Return points (N, 3) in CT LPS mm.

    Of Slicer's .fcsv and .mrk.json, which say their axes, or of a text with x, y, z in mm a line.

    Parameters
    ----------
    axes
        "lps" or "ras", of a text, which does not say them.

    Raises
    ------
    InputError
        For anything else, and for no points.
    """
    if Path(path).suffix.lower() in MARKUPS:
        if axes is not None:
            raise InputError(
                f"--targets: found {axes} behind {printable(path)}, which says its axes itself; "
                "leave it out."
            )
        points = np.array([point for _, point in labelled_points(path)])
    else:
        if axes not in AXES:
            what = (
                "does not say whether its axes are LPS (DICOM, ITK) or RAS (Slicer's scene)"
                if axes is None
                else f'is "{printable(axes)}"'
            )
            raise InputError(
                f"--targets: {printable(path)} {what}, and a wrong guess would not show; add lps "
                "or ras behind the file."
            )
        points = _point_rows(path) * _signs(printable(path), axes)
    if not len(points):
        raise InputError(
            f"{printable(path)}: has no points, expected targets in the CT; choose another file."
        )
    return points


def read_pixels(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Return pixels (2,) [column, row] by the landmark's name, from a text with "name, column, row" a line.

    Raises
    ------
    InputError
        For anything else.
    """
    pixels: dict[str, np.ndarray] = {}
    for number, row in enumerate(
        csv_rows(printable(path), read_text(path, EXPECTED, MAX_SMALL_TEXT_BYTES).splitlines()),
        start=1,
    ):
        name, *words = (word.strip() for word in row)
        pixel = parse_numbers(" ".join(words), 2)
        if pixel is None or not name or name in pixels:
            raise InputError(
                f"{printable(path)}: line {number} is {printable(','.join(row))[:60]}, expected "
                "name, column, row, with a name of its own and finite numbers; correct it."
            )
        pixels[name] = np.array(pixel)
    return pixels


def _point_rows(path: str | os.PathLike) -> np.ndarray:
    rows = []
    for line in read_text(path, EXPECTED).splitlines():
        numbers = re.sub("[#%].*", "", line).strip(" \t,;")
        row = parse_numbers(numbers, 3) if numbers else []
        if row is None:
            raise InputError(
                f"{printable(path)}: is no list of points, expected x, y and z in mm a line, "
                "finite; correct it."
            )
        if row:
            rows.append(row)
    return np.array(rows).reshape(-1, 3)


BEADS_EXPECTED = "a model of beads: lines of name,x,y,z in mm"
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
        beads = _of_lines(file, read_text(path, BEADS_EXPECTED, MAX_SMALL_TEXT_BYTES).splitlines())
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
        first = read_text(path, BEADS_EXPECTED, MAX_SMALL_TEXT_BYTES).lstrip().partition("\n")[0]
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
