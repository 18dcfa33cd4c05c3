"""xReg's projection data and camera models in HDF5."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from ..fields import LARGEST_NUMBER, shown
from .calibrated import Calibrated, from_matrix

MAGIC = b"\x89HDF\r\n\x1a\n"
#: The sign of the depth in each of xReg's camera frames.
DEPTHS = {"origin-at-focal-pt-det-pos-z": 1.0, "origin-at-focal-pt-det-neg-z": -1.0}
MOST_VIEWS = 10_000
LONGEST_TEXT = 1000


def read_xreg(path: Path) -> list[Calibrated]:
    """A view for each proj-000, proj-001, ..., or the one camera model of the file.

    A group "cam" has `intrinsic` (3x3) and `extrinsic` (4x4, mm, camera from world), `num-cols`, `num-rows` and `cam-coord-frame-type`
    (xReg, lib/file_formats/xregH5CamModelIO.cpp). The pixel is intrinsic @ (extrinsic @ x) with integer pixel centres; in the frame that
    xReg prefers z runs toward the source, so what is projected has a negative one. Nothing has to be asked.

    InputError where h5py is missing, or a data set is, or is of another shape; for the frame with its origin on the detector, whose rows
    run up.
    """
    try:
        import h5py
    except ImportError:
        raise InputError(f"{shown(path)} is HDF5, which the package h5py reads, expected that to be installed; pip install h5py.") from None
    try:
        with h5py.File(path, "r") as file:
            groups = _cameras(file, shown(path))
            return [_view(group, name, shown(path)) for name, group in groups.items()]
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:  # as a damaged part makes h5py raise
        if isinstance(error, InputError):
            raise
        raise InputError(f"{shown(path)} cannot be read as HDF5 ({_one_line(error)}), expected a whole file; copy it again.") from None


def _cameras(file, path: str) -> dict:
    names = sorted(name for name in file if name.startswith("proj-"))[:MOST_VIEWS]
    found = {name: _member(_member(file, name, path), "cam", path) for name in names}
    if not found and "intrinsic" in file:
        found = {"camera": file}
    if not found:
        raise InputError(f"{path} has neither proj-000 nor a camera model, expected xReg's projection data; name the file that has it.")
    return found


def _view(group, name: str, path: str) -> Calibrated:
    where = f"{path}: {name}"
    frame = _text(_member(group, "cam-coord-frame-type", where))
    if frame not in DEPTHS:
        raise InputError(f'{where}: cam-coord-frame-type is "{shown(frame)[:40]}", expected {" or ".join(DEPTHS)}; save it with one of '
                         "these.")
    intrinsic, extrinsic = _array(group, "intrinsic", (3, 3), where), _array(group, "extrinsic", (4, 4), where)
    size = tuple(int(_array(group, key, (), where)) for key in ("num-cols", "num-rows"))
    pose = rigid.check_rigid(extrinsic, f"{where}: extrinsic")
    notes = ("The world is that of the file's extrinsic.",)
    return from_matrix(path, name, DEPTHS[frame] * intrinsic @ pose[:3], size, signed=True, notes=notes)


def _member(group, key: str, where: str):
    """What lies in this file under a name; a link into another file is not followed."""
    import h5py

    if not isinstance(group, h5py.Group) or not isinstance(group.get(key, getlink=True), h5py.HardLink):
        raise InputError(f"{where} has no {key}, expected xReg's projection data; save it again.")
    return group[key]


def _text(data) -> str:
    """One short text; another kind of data by its name, which then is none of those that are known."""
    if getattr(data, "shape", None) != () or data.dtype.itemsize > LONGEST_TEXT:
        return _what(data)
    value = data[()]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _array(group, key: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    data = _member(group, key, where)
    if getattr(data, "shape", None) not in (shape, (1,) if shape == () else shape) or data.dtype.kind not in "iuf":
        raise InputError(f"{where}: {key} is {_what(data)}, expected {'x'.join(map(str, shape)) or 'one number'}; save it again.")
    values = np.asarray(data[()], float).reshape(shape)
    if not np.isfinite(values).all() or np.abs(values).max() > LARGEST_NUMBER:
        raise InputError(f"{where}: {key} has a number that is not finite or beyond 1e9, expected millimetres and pixels; save it again.")
    return values


def _what(data) -> str:
    return f"{data.dtype} of shape {data.shape}" if hasattr(data, "shape") else "a group"


def _one_line(error: Exception) -> str:
    return shown(" ".join(str(error).split()))[:80].strip("'\".")
