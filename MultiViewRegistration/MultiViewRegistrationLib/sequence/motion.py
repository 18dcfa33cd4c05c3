"""The motion of one tracked structure against another.

Computed frame by frame, as a table (CSV), and as a page with plots.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..io.folders import staged
from ..report.html import page as html_page
from ..report.html import tag
from ..report.plot import Curves, curve_plot

#: Heads of a table's columns with the first three rows of a pose, by rows.
MATRIX = tuple(f"m{row}{column}" for row, column in product(range(3), range(4)))


def table(header: Sequence[str], lines: Sequence[Sequence]) -> str:
    """Return CSV text of numbers and words of our own."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()


#: A screw axis of a smaller turn, in radians, is mostly noise.
MIN_ROTATION = np.radians(1.0)


@dataclass(frozen=True, eq=False)
class Relative:
    """The pose of the moving structure against the fixed one in a frame, and how it came there from the first such frame.

    Attributes
    ----------
    fixed_from_moving
        (4, 4) CT mm to CT mm.
    rotation_deg
        (3,) rotation vector along the axes of the fixed structure's CT; its length is the angle.
    shift_mm
        (3,) of the moving structure's centroid, along the same axes.
    axis, along_mm, point
        Of the screw (finite helical axis) that is this motion: its direction (3,), how far it goes
        along it, and its point (3,) in the fixed CT that is nearest to the moving centroid; None
        for a turn below MIN_ROTATION.
    """

    number: int
    fixed_from_moving: np.ndarray
    rotation_deg: np.ndarray
    shift_mm: np.ndarray
    axis: np.ndarray | None = None
    along_mm: float | None = None
    point: np.ndarray | None = None


def relative_motion(
    fixed: Sequence[np.ndarray | None],
    moving: Sequence[np.ndarray | None],
    centroid: np.ndarray,
) -> list[Relative]:
    """Return the motion since the first frame that has both poses world_from_ct (4, 4), for each frame that has them.

    The finite helical axis is that of Woltring et al., J. Biomechanics 18 (1985).

    Parameters
    ----------
    centroid
        (3,) of the moving structure, in its CT, mm.
    """
    pairs = enumerate(zip(fixed, moving, strict=True))
    both = [(n, rigid.inverse(a) @ b) for n, (a, b) in pairs if a is not None and b is not None]
    return [_relative(number, pose, both[0][1], centroid) for number, pose in both]


def _relative(number: int, pose: np.ndarray, first: np.ndarray, centroid: np.ndarray) -> Relative:
    motion = pose @ rigid.inverse(first)
    turn = rigid.log_so3(motion[:3, :3])
    at = rigid.transform_points(first, centroid)
    shift = rigid.transform_points(motion, at) - at
    angle = float(np.linalg.norm(turn))
    if angle < MIN_ROTATION:
        return Relative(number, pose, np.degrees(turn), shift)
    axis = turn / angle
    along = float(shift @ axis)
    across = shift - along * axis
    # The centroid goes round the axis by the angle: the chord is `across`.
    point = at + across / 2 + np.cross(axis, across) / (2 * np.tan(angle / 2))
    return Relative(number, pose, np.degrees(turn), shift, axis, along, point)


HEADER = (
    "frame",
    "angle_deg",
    "rotation_x_deg",
    "rotation_y_deg",
    "rotation_z_deg",
    "shift_x_mm",
    "shift_y_mm",
    "shift_z_mm",
    "distance_mm",
    "axis_x",
    "axis_y",
    "axis_z",
    "along_axis_mm",
    "axis_point_x_mm",
    "axis_point_y_mm",
    "axis_point_z_mm",
    *MATRIX,
)


class Moving(Protocol):
    """A tracked structure."""

    @property
    def centroid(self) -> np.ndarray:
        """(3,) of the structure, CT mm."""

    @property
    def poses(self) -> list[np.ndarray | None]:
        """(4, 4) world_from_ct in each frame, None where it has none."""


def motion_against(
    fixed: Sequence[np.ndarray | None], moving: Moving, fixed_name: str, moving_name: str
) -> list[Relative]:
    """Return the motion of a tracked structure against another one.

    Parameters
    ----------
    fixed
        (4, 4) world_from_ct of the other in each frame, None where it has none.
    fixed_name, moving_name
        For messages.

    Raises
    ------
    InputError
        For tracks of other frames, and where no two frames have both poses.
    """
    if len(fixed) != len(moving.poses):
        raise InputError(
            f"{moving_name}: is of {len(moving.poses)} frames, expected the {len(fixed)} of "
            f"{fixed_name}; track both structures through the same frames."
        )
    motion = relative_motion(fixed, moving.poses, moving.centroid)
    if len(motion) < 2:
        raise InputError(
            f"{moving_name}: {len(motion) or 'no'} frame{'s' * (len(motion) != 1)} of it and of "
            f"{fixed_name} have both a pose that was not rejected, expected two or more; track "
            "them again."
        )
    return motion


def write_files(
    folder: str | os.PathLike,
    motion: Sequence[Relative],
    fixed: str,
    moving: str,
    count: int,
    before: str = "",
) -> None:
    """Write motion.csv and motion.html; both appear, or none.

    Parameters
    ----------
    fixed, moving
        The structures' names.
    count
        Of all frames.
    before
        What the names of the files begin with.
    """
    names = f"{before}motion.csv", f"{before}motion.html"
    with staged(folder, last=names[0]) as staging:
        (staging / names[1]).write_text(page(motion, fixed, moving, count), encoding="utf-8")
        text = motion_table(motion, fixed, moving, count)
        (staging / names[0]).write_text(text, encoding="utf-8", newline="")


def motion_table(motion: Sequence[Relative], fixed: str, moving: str, count: int) -> str:
    """Return CSV: a line for each of `count` frames, with no numbers where there is no motion."""
    empty = [""] * (len(HEADER) - 1)
    lines = {n: [n, *empty] for n in range(count)} | {each.number: _line(each) for each in motion}
    return table(
        (*HEADER, "moving", "against"), [[*line, moving, fixed] for line in lines.values()]
    )


def _line(each: Relative) -> list:
    screw = (
        [""] * 7
        if each.axis is None or each.point is None
        else [*each.axis, each.along_mm, *each.point]
    )
    numbers = [
        np.linalg.norm(each.rotation_deg),
        *each.rotation_deg,
        *each.shift_mm,
        np.linalg.norm(each.shift_mm),
        *screw,
        *each.fixed_from_moving[:3].ravel(),
    ]
    return [each.number, *(number if number == "" else f"{number:.6g}" for number in numbers)]


def to_json(each: Relative) -> dict:
    """Return a frame's motion as plain data."""
    return {
        "frame": each.number,
        "fixed_from_moving": each.fixed_from_moving,
        "rotation_deg": each.rotation_deg,
        "shift_mm": each.shift_mm,
        "axis": each.axis,
        "along_axis_mm": each.along_mm,
        "axis_point": each.point,
    }


def curves(motion: Sequence[Relative], title: str) -> Sequence[tuple[str, str, Curves]]:
    """Return the plots of a motion against its frames: a name, a unit, and curves.

    Parameters
    ----------
    title
        Which structure moves against which.
    """
    numbers = [each.number for each in motion]
    groups = []
    for name, unit, vectors in (
        ("Rotation", "degrees", [each.rotation_deg for each in motion]),
        ("Shift of the centroid", "mm", [each.shift_mm for each in motion]),
    ):
        columns = [*np.transpose(vectors), np.linalg.norm(vectors, axis=1)]
        lines = [list(zip(numbers, column.tolist(), strict=True)) for column in columns]
        named = list(zip(("x", "y", "z", "size"), lines, strict=True))
        groups.append((f"{name} of {title}", unit, named))
    return groups


def page(motion: Sequence[Relative], fixed: str, moving: str, count: int) -> str:
    """Return the page: turn and shift against the frame."""
    title = f"{moving} against {fixed}"
    plots = []
    for name, unit, lines in curves(motion, title):
        plot = curve_plot(name, "frame", unit, lines)
        plots.append(tag("figure", tag("figcaption", f"{name}, {unit}"), plot))
    missing = count - len(motion)
    note = f"Since frame {motion[0].number}, along the axes of the fixed structure's CT. " + (
        f"{missing} of {count} frames are missing: one of the two structures was lost or rejected "
        "there."
        if missing
        else ""
    )
    return html_page(title, [note], [tag("div", *plots, class_="plots")])
