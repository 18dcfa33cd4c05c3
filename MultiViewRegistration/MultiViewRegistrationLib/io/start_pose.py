"""A start pose from a file of another program: what the file cannot say is asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError, Unsaid
from ..geometry import rigid
from .axes import AXES, DIRECTIONS, turned
from .fields import shown
from .matrix_files import NamedMatrix, read_named_matrix
from .transforms import read_transform

ITK_TEXT = b"#Insight Transform File"
ITK_ENDINGS = (".h5", ".hdf5", ".hdf", ".tfm")
DIRECTION_OF = {"world_from_ct": "forward", "ct_from_world": "resampling"}


def read_start_pose(path: str | os.PathLike, frame: str | None = None, direction: str | None = None) -> np.ndarray:
    """world_from_ct (4, 4), LPS mm, from an ITK or Slicer transform (.tfm, .txt, .h5) or a 4x4 matrix (text, .npy, .json).

    frame: "lps" or "ras", the axes of both sides.   direction: "forward" where the file takes points of the CT to the world, "resampling"
    where it takes points of the world to the CT, as ITK's resampling filters and Slicer's files do. Neither is ever guessed: both may be
    left out only where the file says them itself, as those of `mvreg export` do, and must not contradict it. A centre of rotation is
    carried into the translation.

    Raises InputError for what is not there, and for a transform that is not rigid; Unsaid, of "frame" or "direction", where nobody says.
    """
    named = _read(path)
    frame = _agreed(
        path, "--frame", named.axes, frame, {"lps": "its axes are LPS (DICOM, ITK)", "ras": "RAS (Slicer's scene)"}
    )
    if named.name is not None and named.name not in DIRECTION_OF:
        raise InputError(
            f"{shown(path)}: holds {named.name}, expected world_from_ct or ct_from_world; choose another file."
        )
    direction = _agreed(
        path,
        "--direction",
        DIRECTION_OF.get(named.name),
        direction,
        {"forward": "it takes points of the CT to the world", "resampling": "points of the world to the CT, ITK's way"},
    )
    matrix = rigid.check_rigid(named.matrix, f"The transform in {shown(path)}")
    matrix = turned(matrix) if frame == "ras" else matrix
    return rigid.inverse(matrix) if direction == "resampling" else matrix


def read_pose(path: str | os.PathLike, name: str, words: Sequence[str] = ()) -> np.ndarray:
    """The transform (4, 4), LPS mm, that `name` says, as "reference_from_world", from the files of `read_start_pose`.

    words: "lps" or "ras", the axes, which text, NumPy and JSON must have unless they say them, and ITK's files, always LPS, need not;
        "forward" (so without a word) where the file takes points as `name` says, "resampling" where it takes them back.

    Raises InputError as `read_start_pose`.
    """
    unknown = [word for word in words if word not in (*AXES, *DIRECTIONS)]
    if unknown or len(words) > 2 or set(words) in (set(AXES), set(DIRECTIONS)):
        raise InputError(
            f"--{name.replace('_', '-')}: found {shown(' '.join(words))} behind the file, expected one of {', '.join(AXES)} "
            f"and one of {', '.join(DIRECTIONS)} at most; correct it."
        )
    said = {
        "frame": next((word for word in words if word in AXES), None),
        "direction": next((w for w in words if w in DIRECTIONS), None),
    }
    target, source = name.split("_from_")
    named = _read(path)
    directions = {name: "forward", f"{source}_from_{target}": "resampling"}
    if named.name is not None and named.name not in directions:
        raise InputError(f"{shown(path)}: holds {named.name}, expected {' or '.join(directions)}; choose another file.")
    axes = named.axes or ("lps" if _is_itk(path) else None)
    frame = _agreed(
        path, "the word", axes, said["frame"], {"lps": "its axes are LPS (DICOM, ITK)", "ras": "RAS (Slicer's scene)"}
    )
    direction = _agreed(
        path, "the word", directions.get(named.name), said["direction"] or (None if named.name else "forward"), {}
    )
    matrix = rigid.check_rigid(named.matrix, f"The transform in {shown(path)}")
    matrix = turned(matrix) if frame == "ras" else matrix
    return rigid.inverse(matrix) if direction == "resampling" else matrix


def _read(path: str | os.PathLike) -> NamedMatrix:
    return NamedMatrix(read_transform(path)) if _is_itk(path) else read_named_matrix(path)


def _is_itk(path: str | os.PathLike) -> bool:
    try:
        with open(path, "rb") as stream:
            begin = stream.read(len(ITK_TEXT))
    except OSError as error:
        raise InputError(
            f"{shown(path)}: cannot be read ({error.strerror}), expected a transform; check the path."
        ) from None
    return begin == ITK_TEXT or Path(path).suffix.lower() in ITK_ENDINGS


def _agreed(path: str | os.PathLike, option: str, said: str | None, given: str | None, choices: dict[str, str]) -> str:
    if said is None and given is None:
        (first, meaning), (second, other) = choices.items()
        raise Unsaid(
            f"{shown(path)}: does not say whether {meaning} or {other}, and a wrong guess would not show; add {option} {first} or "
            f"{option} {second}.",
            option.removeprefix("--"),
        )
    if said is not None and given is not None and said != given:
        raise InputError(
            f"{shown(path)}: says {said} itself, expected the same as {option} {given}; leave out {option}, or choose another "
            "file."
        )
    return said or given
