"""The motion of one tracked structure against another, as a table and as a page with plots."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..figures.html_tree import tag
from ..figures.line_plot import Axis, Line, legend, line_plot
from ..io.files import staged
from ..io.json_reader import printable
from ..report.html import page as html_page
from .relative_motion import Relative, relative_motion
from .track_files import MATRIX, StoredTrack, table

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


def write_motion(fixed: str | os.PathLike, moving: str | os.PathLike, folder: str | os.PathLike) -> dict:
    """Write motion.csv and motion.html; returns what they tell as plain data.

    fixed, moving: track.json or its folder, of the same frames.

    InputError as `motion_against`.
    """
    a, b = StoredTrack.read(fixed), StoredTrack.read(moving)
    motion = motion_against(a.poses, b, printable(fixed), printable(moving))
    write_files(folder, motion, a.name, b.name, len(a.poses))
    return {
        "fixed": a.name,
        "moving": b.name,
        "frames_in_all": len(a.poses),
        "files": [str(Path(folder) / "motion.csv"), str(Path(folder) / "motion.html")],
        "motion": [_plain(each) for each in motion],
    }


def motion_against(
    fixed: Sequence[np.ndarray | None], moving: StoredTrack, fixed_name: str, moving_name: str
) -> list[Relative]:
    """The motion of a tracked structure against another one.

    fixed: (4, 4) world_from_ct of the other in each frame, None where it has none.   fixed_name, moving_name: for messages.

    InputError for tracks of other frames, and where no two frames have both poses.
    """
    if len(fixed) != len(moving.poses):
        raise InputError(
            f"{moving_name}: is of {len(moving.poses)} frames, expected the {len(fixed)} of {fixed_name}; track both "
            "structures through the same frames."
        )
    motion = relative_motion(fixed, moving.poses, moving.centroid)
    if len(motion) < 2:
        raise InputError(
            f"{moving_name}: {len(motion) or 'no'} frame{'s' * (len(motion) != 1)} of it and of {fixed_name} have both a "
            "pose that was not rejected, expected two or more; track them again."
        )
    return motion


def write_files(folder: str | os.PathLike, motion: Sequence[Relative], fixed: str, moving: str, count: int) -> None:
    """Write motion.csv and motion.html; both appear, or none.   fixed, moving: the structures' names.   count: of all frames."""
    with staged(folder, last="motion.csv") as staging:
        (staging / "motion.html").write_text(page(motion, fixed, moving, count), encoding="utf-8")
        (staging / "motion.csv").write_text(motion_table(motion, count), encoding="utf-8", newline="")


def motion_table(motion: Sequence[Relative], count: int) -> str:
    """CSV: a line for each of `count` frames, empty but for its number where there is no motion."""
    by_number = {each.number: each for each in motion}
    return table(
        HEADER, [_line(by_number[n]) if n in by_number else [n, *[""] * (len(HEADER) - 1)] for n in range(count)]
    )


def _line(each: Relative) -> list:
    screw = [""] * 7 if each.axis is None else [*each.axis, each.along_mm, *each.point]
    numbers = [
        np.linalg.norm(each.rotation_deg),
        *each.rotation_deg,
        *each.shift_mm,
        np.linalg.norm(each.shift_mm),
        *screw,
        *each.fixed_from_moving[:3].ravel(),
    ]
    return [each.number, *(number if number == "" else f"{number:.6g}" for number in numbers)]


def _plain(each: Relative) -> dict:
    return {
        "frame": each.number,
        "fixed_from_moving": each.fixed_from_moving.tolist(),
        "rotation_deg": each.rotation_deg.tolist(),
        "shift_mm": each.shift_mm.tolist(),
        "axis": None if each.axis is None else each.axis.tolist(),
        "along_axis_mm": each.along_mm,
        "axis_point": None if each.point is None else each.point.tolist(),
    }


def curves(motion: Sequence[Relative]) -> list[tuple[str, str, list[tuple[str, list[float]]]]]:
    """What is plotted against the frames of a motion: a name, a unit, and lines, each with its name and a value for each frame."""
    told = []
    for name, unit, vectors in (
        ("Turn", "degrees", [each.rotation_deg for each in motion]),
        ("Shift of the centroid", "mm", [each.shift_mm for each in motion]),
    ):
        values = np.array(vectors)
        columns = [*values.T, np.linalg.norm(values, axis=1)]
        told.append(
            (
                name,
                unit,
                [(label, column.tolist()) for label, column in zip(("x", "y", "z", "size"), columns, strict=True)],
            )
        )
    return told


def page(motion: Sequence[Relative], fixed: str, moving: str, count: int) -> str:
    """The page: turn and shift against the frame."""
    frames, title = [each.number for each in motion], f"{moving} against {fixed}"
    plots = []
    for name, unit, lines in curves(motion):
        plot = line_plot(
            [Line(label, frames, values) for label, values in lines], f"{name} of {title}", Axis("frame"), Axis(unit)
        )
        plots.append(tag("figure", tag("figcaption", f"{name}, {unit}"), plot, legend([label for label, _ in lines])))
    missing = count - len(motion)
    said = f"Since frame {frames[0]}, along the axes of the fixed structure's CT. " + (
        f"{missing} of {count} frames are left out: one of the two was lost or rejected there." if missing else ""
    )
    return html_page(title, [said], [tag("div", *plots, class_="plots")])
