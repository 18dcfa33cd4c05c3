"""Arguments of `Case.from_arrays` in RAS axes, as nibabel and Slicer have them, brought to LPS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.c_arm import CArm
from ..geometry.camera import Camera
from ..geometry.rigid import array_of, kind_of

#: Its own inverse.
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
AXES = ("lps", "ras")


def in_lps(axes: Any, **arguments: Any) -> dict[str, Any]:
    """Return matrices and points of `Case.from_arrays`, by their names, in LPS.

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
        return arguments
    converted = {}
    for name, value in arguments.items():
        convert = partial(_CONVERSIONS[name], name)
        is_by_bone = isinstance(value, Mapping)
        converted[name] = (
            dict(zip(value, map(convert, value.values()))) if is_by_bone else convert(value)
        )
    return converted


def _of_shape(
    shape: tuple[int | None, ...], convert: Callable[[np.ndarray], np.ndarray]
) -> Callable[[str, Any], Any]:
    def of(name: str, value: Any) -> Any:
        if value is None or isinstance(value, (Camera, CArm)):
            return value
        array = array_of(name, value)
        fits = array.ndim == len(shape) and all(
            wanted in (None, found) for wanted, found in zip(shape, array.shape, strict=True)
        )
        return convert(array) if fits else value

    return of


_projection = _of_shape((3, 4), lambda matrix: matrix @ LPS_FROM_RAS)
_pose = _of_shape((4, 4), lambda pose: LPS_FROM_RAS @ pose @ LPS_FROM_RAS)


def _projections(name: str, values: Any) -> Any:
    return (
        None
        if values is None
        else [_projection(f"{name}[{n}]", each) for n, each in enumerate(values)]
    )


_CONVERSIONS: dict[str, Callable[[str, Any], Any]] = {
    "ct_from_index": _of_shape((4, 4), lambda matrix: LPS_FROM_RAS @ matrix),
    "projections": _projections,
    "world_from_ct": _pose,
    "truth_world_from_ct": _pose,
    "targets": _of_shape((None, 3), lambda points: points * [-1, -1, 1]),
}
