"""xReg's projection data and camera models in HDF5."""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError
from ...geometry import rigid
from ..hdf5 import Hdf5, opened
from ..json_reader import printable
from .calibrated import CalibratedView, from_matrix

LAYOUT = "xReg's projection data"
#: The sign of the depth in each of xReg's camera frames.
DEPTHS = {"origin-at-focal-pt-det-pos-z": 1.0, "origin-at-focal-pt-det-neg-z": -1.0}
MAX_VIEWS = 10_000
MAX_SIZE_PX = 1e6  # pixels


def read_xreg(path: Path) -> list[CalibratedView]:
    """A view for each proj-000, proj-001, ..., or the one camera model of the file.

    A group "cam" has `intrinsic` (3x3) and `extrinsic` (4x4, mm, camera from world), `num-cols`, `num-rows` and `cam-coord-frame-type`
    (xReg, lib/file_formats/xregH5CamModelIO.cpp). The pixel is intrinsic @ (extrinsic @ x) with integer pixel centres; in the frame that
    xReg prefers z runs toward the source, so what is projected has a negative one. Nothing has to be asked.

    Raises
    ------
    InputError
        Where h5py is missing, or a data set is, or is of another shape; for the frame with its origin on the
        detector, whose rows run up.
    """
    with opened(path, LAYOUT) as file:
        cameras = {name: f"{name}/cam/" for name in sorted(file.names("")) if name.startswith("proj-")}
        if not cameras and file.has("intrinsic"):
            cameras = {"camera": ""}
        if not cameras:
            raise InputError(
                f"{printable(path)} has neither proj-000 nor a camera model, expected xReg's projection data; name the file that "
                "has it."
            )
        return [_view(file, name, group) for name, group in list(cameras.items())[:MAX_VIEWS]]


def _view(file: Hdf5, name: str, group: str) -> CalibratedView:
    """group: where it is, "" or with a slash at its end."""
    frames = " or ".join(DEPTHS)
    frame = file.text(f"{group}cam-coord-frame-type", frames)
    if frame not in DEPTHS:
        file.refuse(
            f"{group}cam-coord-frame-type", f'is "{printable(frame)[:40]}"', frames, "save it with one of these"
        )
    intrinsic = file.matrix(f"{group}intrinsic", (3, 3), "3x3 numbers, in pixels")
    extrinsic = file.matrix(f"{group}extrinsic", (4, 4), "4x4 numbers, in mm")
    size = tuple(
        int(file.number(f"{group}{key}", "a number of pixels", 1, MAX_SIZE_PX)) for key in ("num-cols", "num-rows")
    )
    pose = rigid.check_rigid(extrinsic, f"{file.name}: {group}extrinsic")
    notes = ("The world is that of the file's extrinsic.",)
    return from_matrix(file.name, printable(name), DEPTHS[frame] * intrinsic @ pose[:3], size, signed=True, notes=notes)
