"""Rigid transforms as ITK transform files (.tfm, .h5), in LPS or RAS."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from .files import write_atomically, written_atomically
from .hdf5 import is_hdf5, refuse_other_files
from .json_reader import printable

AXES = ("lps", "ras")
DIRECTIONS = ("forward", "resampling")

_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])


def turned(target_from_source: np.ndarray) -> np.ndarray:
    """The same rigid transform (4, 4) with the axes of both its frames turned from LPS to RAS, or back."""
    return _TURN @ target_from_source @ _TURN


MAX_LINEAR_BYTES = 1 << 20  # bytes of a file; a grid of displacements has more
REACH_MM = 1000.0  # how far from the origin a read transform is probed; the answer does not depend on it


def write_transform(path: str | os.PathLike, world_from_ct: np.ndarray, comment: str | None = None) -> None:
    """Write world_from_ct (4, 4) so that SimpleITK's TransformPoint takes CT LPS mm to world LPS mm.

    ITK's own writer leaves a short file on a full disk without a word.

    Parameters
    ----------
    comment
        A line for people, after the file's first; ITK's TxtTransformIO skips lines that begin with #.
    """
    parameters = [*world_from_ct[:3, :3].ravel(), *world_from_ct[:3, 3]]
    lines = [
        "#Insight Transform File V1.0",
        *([] if comment is None else ["# " + printable(" ".join(comment.split()))]),
        "#Transform 0",
        "Transform: AffineTransform_double_3_3",
        "Parameters: " + " ".join(repr(float(parameter)) for parameter in parameters),
        "FixedParameters: 0 0 0",
    ]
    write_atomically(path, "\n".join(lines) + "\n")


def write_slicer_transform(path: str | os.PathLike, world_from_ct: np.ndarray, comment: str | None = None) -> None:
    """Write the inverse of world_from_ct (4, 4), for Slicer: it takes a transform file for ITK's resampling
    direction, so the node that it makes of this one moves the CT into the world. `comment` as in `write_transform`."""
    write_transform(path, rigid.inverse(world_from_ct), comment)


def write_h5_transform(path: str | os.PathLike, target_from_source: np.ndarray, comment: str) -> None:
    """Write a matrix (4, 4) as ITK's HDF5, with `comment` as plain text in a block before the data.

    HDF5 leaves such a block to the user (File Format Specification III.A: the superblock may lie at 512, 1024, ... bytes), and ITK's own
    layout has no place for a word.
    """
    import SimpleITK as sitk  # takes a while, and the command line knows the axes without

    transform = sitk.AffineTransform(3)
    transform.SetMatrix(target_from_source[:3, :3].ravel().tolist())
    transform.SetTranslation(target_from_source[:3, 3].tolist())
    text = (printable(" ".join(comment.split())) + "\n").encode()
    block = 512
    while block < len(text):
        block *= 2
    with written_atomically(path) as temporary:
        sitk.WriteTransform(transform, str(temporary))
        data = temporary.read_bytes()
        temporary.write_bytes(text.ljust(block, b"\0") + data)
        _matrix(temporary)  # ITK's writer leaves a short file on a full disk without a word


def read_transform(path: str | os.PathLike) -> np.ndarray:
    """The matrix (4, 4) of the one rigid 3D transform in a file, as TransformPoint applies it.

    Raises
    ------
    InputError
        For anything else, and for HDF5 of which a part lies in another file.
    """
    if os.path.isfile(path) and is_hdf5(path):
        refuse_other_files(path, "a transform")
    return _matrix(path)


def _matrix(path: str | os.PathLike) -> np.ndarray:
    import SimpleITK as sitk

    file, wanted = printable(path), "expected one rigid 3D transform that SimpleITK can read"
    if _count(path) > 1:  # of which SimpleITK would take the first, or make one
        raise InputError(
            f"{file} holds several transforms, {wanted}; harden them to one linear transform and save that."
        )
    try:
        transform = sitk.ReadTransform(os.fspath(path))
    except (RuntimeError, UnicodeDecodeError):  # the second where ITK quotes bytes that are no text
        raise InputError(f"{file} cannot be read as a transform, {wanted}; check the path and the format.") from None
    kind = transform.Downcast().GetName()
    if transform.GetDimension() != 3 or not transform.IsLinear() or kind == "CompositeTransform":
        raise InputError(
            f"{file} holds a {transform.GetDimension()}D {kind}, {wanted}; "
            "harden it to one linear transform and save that."
        )
    forth = np.array([transform.TransformPoint(point) for point in (REACH_MM * np.eye(3)).tolist()])
    back = np.array([transform.TransformPoint(point) for point in (-REACH_MM * np.eye(3)).tolist()])
    matrix = np.eye(4)
    matrix[:3, :3] = (forth - back).T / (2 * REACH_MM)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    return rigid.check_rigid(matrix, f"The transform in {file}")


def _count(path: str | os.PathLike) -> int:
    """How many transforms a file of ITK holds, by the name that each has in text and in HDF5; 1 where that need not be known."""
    try:
        data = Path(path).read_bytes() if os.path.getsize(path) <= MAX_LINEAR_BYTES else b""
    except OSError:
        return 1
    text, binary = len(re.findall(rb"^Transform:", data, re.MULTILINE)), data.count(b"TransformType")
    return max(text, binary, 1)
