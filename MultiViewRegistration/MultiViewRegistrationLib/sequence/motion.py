"""Motion of one tracked structure relative to another.

It is computed frame by frame, and written as a table (CSV) and as a page with plots.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ..assessment.error_by_cause import (
    HALF_TURN_DEG,
    ErrorByCause,
    not_determined,
    relative_error,
    with_bound,
)
from ..assessment.records import WRONG_DEG, WRONG_MM, Verdict, least_reliable
from ..geometry import rigid
from ..io.folders import staged
from ..report.html import page as html_page
from ..report.html import table as html_table
from ..report.html import tag
from ..report.plot import Curves, curve_plot, image_of
from .tracker import Tracked

#: Heads of a table's columns with the first three rows of a pose, by rows.
MATRIX = tuple(f"m{row}{column}" for row, column in product(range(3), range(4)))


def table(header: Sequence[str], lines: Sequence[Sequence]) -> str:
    """Return CSV text of rows of numbers and trusted text."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()


#: A screw axis of a smaller turn, in radians, is mostly noise.
MIN_ROTATION = np.radians(1.0)
#: Steps of the numerical derivatives of a screw, rad and mm.
STEPS = np.repeat([1e-6, 1e-4, 1e-4], 3)

ROTATION = ("rotation_x_deg", "rotation_y_deg", "rotation_z_deg")
SHIFT = ("shift_x_mm", "shift_y_mm", "shift_z_mm")
SCREW = (
    "axis_x",
    "axis_y",
    "axis_z",
    "along_axis_mm",
    "axis_point_x_mm",
    "axis_point_y_mm",
    "axis_point_z_mm",
)
NUMBERS = ("angle_deg", *ROTATION, *SHIFT, "distance_mm", *SCREW, *MATRIX)
#: Those that are not determined where they are smaller than their bound.
COMPONENTS = ("angle_deg", *ROTATION, *SHIFT, "distance_mm", "along_axis_mm")


@dataclass(frozen=True, eq=False)
class Relative:
    """Pose of the moving structure relative to the fixed one in a frame, and its motion since the first frame with poses of both.

    Attributes
    ----------
    verdict
        "accept", "check" or "reject"; None for a frame that was not tracked.
    how, against_how
        How the poses of the moving and the fixed structure were estimated, see `tracker.Tracked`;
        "" for a frame that was not tracked.
    fixed_from_moving
        (4, 4) CT mm to CT mm. This and all numbers below are None for a frame without both poses.
    rotation_deg
        (3,) rotation vector along the axes of the fixed structure's CT; its length is the angle.
    shift_mm
        (3,) shift of the moving structure's centroid, along the same axes.
    axis, along_mm, point
        Finite helical axis of the motion: direction (3,), translation along it, and its point (3,)
        in the fixed CT nearest to the moving centroid; None for a rotation below MIN_ROTATION or
        below the bound of its error.
    bounds
        95 % bounds of the errors of NUMBERS, by name; empty if unknown.
    """

    number: int
    verdict: str | None = None
    how: str = ""
    against_how: str = ""
    fixed_from_moving: np.ndarray | None = None
    rotation_deg: np.ndarray | None = None
    shift_mm: np.ndarray | None = None
    axis: np.ndarray | None = None
    along_mm: float | None = None
    point: np.ndarray | None = None
    bounds: dict[str, float] = field(default_factory=dict)

    @property
    def numbers(self) -> dict[str, float]:
        """Numbers of the table, by column name; those of the helical axis only if it is defined."""
        if self.fixed_from_moving is None or self.rotation_deg is None or self.shift_mm is None:
            return {}
        found = {"angle_deg": np.linalg.norm(self.rotation_deg)}
        found |= dict(zip(ROTATION, self.rotation_deg, strict=True))
        found |= dict(zip(SHIFT, self.shift_mm, strict=True))
        found["distance_mm"] = np.linalg.norm(self.shift_mm)
        if self.axis is not None and self.point is not None:
            screw = [*self.axis, self.along_mm, *self.point]
            found |= dict(zip(SCREW, screw, strict=True))
        found |= dict(zip(MATRIX, self.fixed_from_moving[:3].ravel(), strict=True))
        return {name: float(number) for name, number in found.items()}

    def is_determined(self, name: str) -> bool:
        """Return whether a component of the motion is at least as large as the bound of its error; True for numbers without a bound."""
        return name not in COMPONENTS or abs(self.numbers[name]) >= self.bounds.get(name, 0.0)

    def in_words(self, name: str, digits: int = 2) -> str:
        """Return a component of the motion as text with the bound of its error; "" if the component is undefined."""
        if name not in self.numbers:
            return ""
        number = self.numbers[name]
        if name not in self.bounds:
            return f"{number + 0.0:.{digits}f}"
        return with_bound(number, self.bounds[name], unit_of(name), digits)


def unit_of(name: str) -> str:
    """Return the unit of a component of a motion, as written after a number."""
    return "\u00b0" if name.endswith("_deg") else " mm"


@dataclass(frozen=True, eq=False)
class Motion:
    """Motion of one tracked structure relative to another.

    Attributes
    ----------
    fixed, moving
        Names of the structures.
    frames
        Every frame of the sequence.
    """

    fixed: str
    moving: str
    frames: list[Relative]

    @classmethod
    def of(
        cls,
        fixed: tuple[str, Sequence[Tracked]],
        moving: tuple[str, Sequence[Tracked]],
        centroid: np.ndarray,
        count: int,
    ) -> Motion:
        """Compute the motion since the first frame with usable poses of both structures.

        The finite helical axis is that of Woltring et al., J. Biomechanics 18 (1985).

        Parameters
        ----------
        fixed, moving
            Name of each structure, and the frames in which it was tracked.
        centroid
            (3,) centroid of the moving structure, in its CT, mm.
        count
            Number of frames of the sequence.
        """
        of_fixed, of_moving = ({each.number: each for each in own} for _, own in (fixed, moving))
        frames = []
        first: _Pair | None = None
        for number in range(count):
            if number not in of_fixed or number not in of_moving:
                frames.append(Relative(number))
                continue
            a = of_fixed[number]
            b = of_moving[number]
            if a.pose is None or b.pose is None:
                frames.append(Relative(number, "reject", b.how, a.how))
                continue
            pair = _Pair(a, b, a.pose, b.pose, centroid)
            first = first or pair
            frames.append(_relative(number, pair, first))
        return cls(fixed[0], moving[0], frames)

    @property
    def found(self) -> list[Relative]:
        """The frames in which the relative motion is known."""
        return [each for each in self.frames if each.fixed_from_moving is not None]

    @property
    def title(self) -> str:
        """Title that names both structures."""
        return f"{self.moving} against {self.fixed}"

    def write(self, folder: str | os.PathLike, before: str = "") -> list[Path]:
        """Write motion.csv and motion.html, both or neither, and return their paths.

        Parameters
        ----------
        before
            Prefix of the file names.
        """
        paths = [Path(folder) / f"{before}motion.{kind}" for kind in ("csv", "html")]
        with staged(folder, last=paths[0].name) as staging:
            (staging / paths[1].name).write_text(self.page(), encoding="utf-8")
            text = self.table()
            (staging / paths[0].name).write_text(text, encoding="utf-8", newline="")
        return paths

    def table(self) -> str:
        """Return CSV text with a line per frame, each number followed by the 95 % bound of its error.

        Lines of frames without a motion have no numbers.
        """
        header = ["frame", "verdict", "how", "against_how"]
        header += [f"{name}{end}" for name in NUMBERS for end in ("", "_upper95")]
        lines = []
        for each in self.frames:
            numbers = each.numbers
            line: list[Any] = [each.number, each.verdict or "", each.how, each.against_how]
            for name in NUMBERS:
                if name not in numbers:
                    line += ["", ""]
                    continue
                number = f"{numbers[name]:.6g}"
                if not each.is_determined(name):
                    number = not_determined(each.bounds[name], unit_of(name))
                bound = each.bounds.get(name)
                line += [number, "" if bound is None else f"{bound:.3g}"]
            lines.append([*line, self.moving, self.fixed])
        return table([*header, "moving", "against"], lines)

    def to_json(self) -> list[dict]:
        """Return the motion of every frame as plain data for JSON."""
        return [_json_of(each) for each in self.frames]

    def curves(self) -> Sequence[tuple[str, str, Curves]]:
        """Return the plots of the motion against the frame number: name, unit and curves of each.

        Numbers smaller than the bound of their error are omitted.
        """
        groups = []
        for name, unit, columns in (
            ("Rotation", "degrees", (*ROTATION, "angle_deg")),
            ("Shift of the centroid", "mm", (*SHIFT, "distance_mm")),
        ):
            lines = []
            for label, column in zip(("x", "y", "z", "size"), columns, strict=True):
                shown = [
                    (each.number, each.numbers[column] if each.is_determined(column) else np.nan)
                    for each in self.found
                ]
                lines.append((label, shown))
            groups.append((f"{name} of {self.title}", unit, lines))
        return groups

    def page(self) -> str:
        """Return the HTML page with rotation and shift against the frame number, as plots and a table."""
        plots = []
        for name, unit, lines in self.curves():
            plot = image_of(curve_plot(f"{name}, {unit}", "frame", unit, lines))
            plots.append(tag("figure", tag("figcaption", f"{name}, {unit}"), plot))
        missing = len(self.frames) - len(self.found)
        note = (
            f"Since frame {self.found[0].number}, along the axes of the fixed structure's CT. "
            "Each number is given with the 95 % bound of its error; one below its bound is not "
            "determined, and not plotted. "
        )
        if missing:
            note += (
                f"{missing} of {len(self.frames)} frames are missing: one of the two structures "
                "was lost or rejected there."
            )
        columns = ("angle_deg", *ROTATION, "distance_mm", *SHIFT)
        heads = ["Frame", "Verdict", "Pose from", "Angle (\u00b0)"]
        heads += [f"{axis} (\u00b0)" for axis in "xyz"]
        heads += ["Distance (mm)", *(f"{axis} (mm)" for axis in "xyz")]
        rows = [
            [str(each.number), each.verdict, each.how, *map(each.in_words, columns)]
            for each in self.frames
        ]
        parts = [tag("div", *plots, class_="plots"), html_table(heads, rows)]
        return html_page(self.title, [note], parts)


@dataclass(frozen=True, eq=False)
class _Pair:
    """Tracking results of both structures in a frame, with their poses (4, 4) world_from_ct."""

    fixed: Tracked
    moving: Tracked
    world_from_fixed: np.ndarray
    world_from_moving: np.ndarray
    centroid: np.ndarray

    @property
    def pose(self) -> np.ndarray:
        """(4, 4) pose of the moving structure in the fixed structure's CT."""
        return rigid.inverse(self.world_from_fixed) @ self.world_from_moving

    @property
    def verdict(self) -> Verdict | None:
        """Worse verdict on the two structures: on their relative pose if it was assessed, else on the overlay."""
        verdicts = []
        for structure in (self.fixed, self.moving):
            use = structure.uses.get("relative") or structure.uses.get("overlay")
            verdicts.append(use.verdict if use else structure.verdict)
        return least_reliable(verdicts)

    def error(self, point: np.ndarray) -> ErrorByCause | None:
        """Return the error (6,) of the rotation and of a point (3,) of the moving CT, along the axes of the fixed CT."""
        if self.fixed.pose_error is None or self.moving.pose_error is None:
            return None
        place = rigid.transform_points(self.world_from_moving, point)
        axes = self.world_from_fixed[:3, :3]
        return relative_error(self.fixed.pose_error, self.moving.pose_error, place, axes)


def _relative(number: int, pair: _Pair, first: _Pair) -> Relative:
    motion = pair.pose @ rigid.inverse(first.pose)
    turn = rigid.log_so3(motion[:3, :3])
    at = rigid.transform_points(first.pose, pair.centroid)
    shift = rigid.transform_points(motion, at) - at
    bounds = _bounds(pair, first, turn, shift, at)
    screw = None
    if np.linalg.norm(turn) >= max(MIN_ROTATION, np.radians(bounds.get("angle_deg", 0.0))):
        screw = _screw(np.concatenate([turn, shift, at]))
    verdict = least_reliable([pair.verdict, first.verdict])
    far = {"angle_deg": WRONG_DEG, "distance_mm": WRONG_MM}
    if verdict == "accept" and any(bounds.get(name, np.inf) > most for name, most in far.items()):
        verdict = "check"
    return Relative(
        number,
        verdict,
        pair.moving.how,
        pair.fixed.how,
        pair.pose,
        np.degrees(turn),
        shift,
        None if screw is None else screw[:3],
        None if screw is None else float(screw[3]),
        None if screw is None else screw[4:],
        bounds,
    )


def _screw(motion: np.ndarray) -> np.ndarray:
    """Return the helical axis of a motion: direction (3,), translation and point (3,).

    The motion is a rotation vector (3,), rad, and a shift (3,) of the centroid (3,).
    """
    turn, shift, at = np.split(motion, 3)
    angle = np.linalg.norm(turn)
    axis = turn / angle
    along = shift @ axis
    across = shift - along * axis
    # The centroid goes round the axis by the angle: the chord is `across`.
    point = at + across / 2 + np.cross(axis, across) / (2 * np.tan(angle / 2))
    return np.array([*axis, along, *point])


def _bounds(
    pair: _Pair, first: _Pair, turn: np.ndarray, shift: np.ndarray, at: np.ndarray
) -> dict[str, float]:
    """Return the first-order 95 % bounds of the numbers of a motion."""
    here = pair.error(pair.centroid)
    before = first.error(pair.centroid)
    if here is None or before is None:
        return {}
    # By rotation and place of the centroid here, then before: turn, shift, and place before.
    to_turn = np.linalg.inv(rigid.left_jacobian(turn))
    nothing = np.zeros((3, 3))
    ends = np.block([[to_turn, nothing], [nothing, np.eye(3)], [nothing, nothing]])
    begins = np.block(
        [[to_turn @ rigid.exp_so3(turn), nothing], [nothing, np.eye(3)], [nothing, -np.eye(3)]]
    )
    error = here.propagated_by(ends) - before.propagated_by(begins)
    if pair is first:
        error = error.propagated_by(np.diag([0.0] * 6 + [1.0] * 3))
    degrees = np.degrees(1.0)
    turned, shifted = (error.propagated_by(np.eye(9)[part]) for part in (slice(0, 3), slice(3, 6)))
    bounds = {"angle_deg": degrees * turned.length_bound, "distance_mm": shifted.length_bound}
    bounds |= dict(zip(ROTATION, degrees * turned.bounds, strict=True))
    bounds |= dict(zip(SHIFT, shifted.bounds, strict=True))
    for name in ("angle_deg", *ROTATION):
        bounds[name] = min(bounds[name], HALF_TURN_DEG)
    if np.degrees(np.linalg.norm(turn)) >= max(np.degrees(MIN_ROTATION), bounds["angle_deg"]):
        values = np.concatenate([turn, shift, at])
        ways = np.diag(STEPS)
        changes = [(_screw(values + way) - _screw(values - way)) / 2 for way in ways]
        screw = error.propagated_by(np.transpose(changes) / STEPS)
        bounds |= dict(zip(SCREW, screw.bounds, strict=True))
        # A unit vector hardly changes along itself, to first order.
        axis = screw.propagated_by(np.eye(3, 7)).length_bound
        bounds |= dict.fromkeys(SCREW[:3], axis)
    bounds |= dict(zip(MATRIX, _matrix_bounds(pair), strict=True))
    return {name: float(bound) for name, bound in bounds.items()}


def _matrix_bounds(pair: _Pair) -> np.ndarray:
    """Return the error bounds (12,) of the first three rows of the pose matrix."""
    error = pair.error(np.zeros(3))
    assert error is not None
    changes = np.zeros((3, 4, 6))
    changes[:, 3, 3:] = np.eye(3)
    for column, vector in enumerate(pair.pose[:3, :3].T):
        changes[:, column, :3] = -rigid.hat(vector)
    return error.propagated_by(changes.reshape(12, 6)).bounds


def _json_of(each: Relative) -> dict:
    return {
        "frame": each.number,
        "verdict": each.verdict,
        "how": each.how,
        "against_how": each.against_how,
        "fixed_from_moving": each.fixed_from_moving,
        "rotation_deg": each.rotation_deg,
        "shift_mm": each.shift_mm,
        "axis": each.axis,
        "along_axis_mm": each.along_mm,
        "axis_point": each.point,
        "upper95": each.bounds or None,
        "not_determined": [name for name in each.numbers if not each.is_determined(name)],
    }
