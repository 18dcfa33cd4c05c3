"""All the files of an export, each with its frames and its direction in its name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from ..axes import AXES, DIRECTIONS
from ..files import staged
from ..matrix_files import NamedMatrix, write_json, write_npy, write_text
from ..transforms import write_h5_transform, write_transform
from . import KINDS
from .handover import Handover

if TYPE_CHECKING:  # the panel opens without pydicom
    from pydicom import Dataset

_MATRIX_WRITERS = {"txt": write_text, "npy": write_npy, "json": write_json}


def write_exports(
    handover: Handover,
    folder: str | os.PathLike,
    kinds: Sequence[str] = KINDS,
    directions: Sequence[str] = DIRECTIONS,
    axes: Sequence[str] = AXES,
    further: Mapping[str, Callable[[Path], object]] | None = None,
    identity: Dataset | None = None,
) -> list[Path]:
    """Write a result's poses as files that appear together or not at all; returns them.

    kinds: of `KINDS`. ITK transforms (.tfm, .h5) come as NAME.forward.tfm, whose TransformPoint takes CT points to the target, and
        NAME.resampling.tfm, the inverse, which ITK's resampling filters and Slicer want; both are LPS, as all of ITK is. Matrices come
        under the name of what they are, world_from_ct or ct_from_world, .lps or .ras. DICOM comes forward in LPS, as its standard has it.
    directions: "forward", "resampling" or both.   axes: of the matrices, "lps", "ras" or both.
    further: files by their name that belong with these, each with what writes it to a path, see `case_exports.case_files`.
    identity: patient and study for DICOM, see `dicom_objects.identity_of`.

    Every file carries the result's caution, if it has one.

    Raises InputError where the folder cannot be written.
    """
    if "dicom" in kinds:
        handover = handover.with_uids()
    jobs = {}
    for name, pose in handover.poses.items():
        for kind in kinds:
            if kind in _MATRIX_WRITERS:
                jobs |= _matrices(name, pose, kind, directions, axes, handover.caution)
            elif kind == "dicom":
                jobs[f"{name}.dcm"] = partial(_dicom, handover=handover, target=name.split("_")[0], identity=identity)
            else:
                jobs |= {
                    f"{name}.{direction}.{kind}": partial(
                        _itk, kind=kind, name=name, pose=pose, direction=direction, caution=handover.caution
                    )
                    for direction in directions
                }
    jobs |= further or {}
    try:
        with staged(folder, last=list(jobs)[-1]) as staging:
            for file, write in jobs.items():
                write(staging / file)
    except OSError as error:
        raise InputError(
            f"{folder}: the export cannot be written there ({error.strerror or error}), expected a folder with room that "
            "may be written to; free some space, or choose another folder."
        ) from None
    return [Path(folder) / file for file in jobs]


def _matrices(
    name: str,
    pose: np.ndarray,
    kind: str,
    directions: Sequence[str],
    axes: Sequence[str],
    caution: str | None,
) -> dict[str, partial]:
    jobs = {}
    for direction in directions:
        named = NamedMatrix(pose, name, "lps")
        if direction == "resampling":
            named = NamedMatrix(rigid.inverse(pose), "_from_".join(reversed(name.split("_from_"))), "lps")
        for each in axes:
            jobs[f"{named.name}.{each}.{kind}"] = partial(
                _MATRIX_WRITERS[kind], named=named.in_axes(each), caution=caution
            )
    return jobs


def _itk(path: Path, kind: str, name: str, pose: np.ndarray, direction: str, caution: str | None) -> None:
    target, source = name.split("_from_")
    if direction == "resampling":
        pose, target, source = rigid.inverse(pose), source, target
    meaning = f"{name}, {direction}: TransformPoint takes {source} LPS mm to {target} LPS mm."
    comment = f"Override: {caution} {meaning}" if caution else meaning
    (write_transform if kind == "tfm" else write_h5_transform)(path, pose, comment)


def _dicom(path: Path, handover: Handover, target: str, identity: Dataset | None) -> None:
    from .spatial_registration import write_spatial_registration

    write_spatial_registration(path, handover, target, identity)
