"""A movement of the CT as the page asks for it."""

from __future__ import annotations

import math

import numpy as np

from ...errors import InputError
from ...mrml import manual_pose
from ...mrml.registration import Registration
from ...mrml.xray import XRayView

#: What can be asked for, and how many numbers say how far: pixels of the X-ray (columns, rows), mm along these, degrees counter-clockwise,
#: degrees (right, down), mm away from the source.
NUMBERS = {"shift": 2, "shift_mm": 2, "turn": 1, "tilt": 2, "beam": 1}
#: Nobody moves a CT farther at once.
FARTHEST = 1e5


def move(registration: Registration, view: XRayView, movement: dict) -> None:
    """Move the CT as seen in a view. InputError as `mrml.manual_pose`.

    movement: some of NUMBERS, each with its numbers, as `checked`.
    """
    for kind, numbers in movement.items():
        if kind == "shift":
            manual_pose.shift(registration, view, *numbers)
        elif kind == "shift_mm":
            manual_pose.shift(registration, view, *np.divide(numbers, manual_pose.mm_per_pixel(registration, view)))
        elif kind == "turn":
            manual_pose.turn(registration, view, *numbers)
        elif kind == "tilt":
            manual_pose.tilt(registration, view, *numbers)
        else:
            manual_pose.along_beam(registration, view, *numbers)


def checked(movement) -> dict[str, list[float]]:
    """A movement from the page. InputError for any that is none."""
    if not isinstance(movement, dict):
        raise InputError(f"Movement: found {type(movement).__name__}, expected what moves, and how far.")
    for kind, numbers in movement.items():
        if kind not in NUMBERS:
            raise InputError(f"Movement: expected one of {', '.join(NUMBERS)}, found another.")
        if not are_numbers(numbers, NUMBERS[kind]):
            raise InputError(
                f"Movement: {kind} needs {NUMBERS[kind]} finite numbers up to {FARTHEST:g}; found something else."
            )
    return movement


def are_numbers(values, how_many: int) -> bool:
    """Whether this is a list of so many finite numbers of a size that occurs."""
    return (
        isinstance(values, list)
        and len(values) == how_many
        and all(
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and math.isfinite(value)
            and abs(value) <= FARTHEST
            for value in values
        )
    )
