"""Matrices and points of `Case.from_arrays` in RAS axes, as nibabel and Slicer have them, brought to LPS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.c_arm import CArm
from ..geometry.camera import Camera
from ..geometry.rigid import array_of, kind_of

#: Its own inverse.
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
AXES = ("lps", "ras")


def in_lps(axes: Any, **given: Any) -> dict[str, Any]:
    """Return matrices and points, by their names, in LPS.

    What has another shape than is described there is left as it is, to be refused for it.

    Raises
    ------
    InputError
        For axes that are none of AXES.
    """
    if axes not in AXES:
        shown = f'"{axes}"' if isinstance(axes, str) else kind_of(axes)
        raise InputError(f'axes: found {shown}, expected "lps" or "ras"; name one of them.')
    if axes == "lps":
        return given
    return {name: _converted(name, value) for name, value in given.items()}


def _converted(name: str, value: Any) -> Any:
    if value is None or isinstance(value, (Camera, CArm)):
        return value
    array = array_of(name, value)
    shape, convert = _CONVERSIONS[name]
    fits = array.ndim == len(shape) and all(
        wanted in (None, found) for wanted, found in zip(shape, array.shape, strict=True)
    )
    return convert(array) if fits else value


def _pose(pose: np.ndarray) -> np.ndarray:
    return LPS_FROM_RAS @ pose @ LPS_FROM_RAS


#: The shape that each is to have, and what it becomes.
_CONVERSIONS: dict[str, tuple[tuple[int | None, ...], Callable[[np.ndarray], np.ndarray]]] = {
    "ct_from_index": ((4, 4), lambda matrix: LPS_FROM_RAS @ matrix),
    "projection": ((3, 4), lambda matrix: matrix @ LPS_FROM_RAS),
    "world_from_ct": ((4, 4), _pose),
    "truth_world_from_ct": ((4, 4), _pose),
    "targets": ((None, 3), lambda points: points * [-1, -1, 1]),
}
