"""Autoscoper trials and tracked poses (.tra)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, warn
from ...geometry import rigid
from ...geometry.camera import Camera
from ...imaging.ct import CT, ct_from_array
from ...imaging.image_source import inside
from ...imaging.reading import RawImage, read_image
from ...imaging.xray import load_image
from ..calibration.calibrated import CalibrationOptions
from ..calibration.programs import read_mayacam
from ..files import MAX_NUMBER, parse_numbers, printable, read_text, write_atomically
from . import Imported, view_entry

EXPECTED = "16 numbers a volume in each line, a matrix by rows or by columns"


def read_tra(
    path: str | os.PathLike, frame: int, volume: int, volumes: int, unit_mm: float
) -> np.ndarray:
    """Read the pose (4, 4) of a volume in one frame.

    Autoscoper's frame of the volume to the world, mm.

    Matrices by rows, Autoscoper's default, and by columns are distinguished by their 0, 0, 0, 1.

    Parameters
    ----------
    frame
        From 0.
    volume, volumes
        Which of how many the trial has; a file may also have one alone.
    unit_mm
        Of the file's lengths.

    Raises
    ------
    InputError
        Where the frame was not tracked (NaN), for x, y, z and three angles, whose unit the file
        does not say, and for anything else.
    """
    name = printable(path)
    lines = [line for line in read_text(path, EXPECTED).splitlines() if line.strip()]
    if not 0 <= frame < len(lines):
        raise InputError(
            f"{name}: frame {frame} was requested, but the file has {len(lines)} lines, expected "
            "one for each frame; give the tracking of this trial."
        )
    words = lines[frame].replace(",", " ").split()
    if len(words) in (6, 6 * volumes):
        raise InputError(
            f"{name}: has x, y, z and angles without their unit, expected {EXPECTED}; save the "
            "tracking as matrices."
        )
    first = 16 * volume if len(words) > 16 else 0
    own = " ".join(words[first : first + 16])
    if len(words) in (16, 16 * volumes) and set(own.lower().split()) == {"nan"}:
        raise InputError(
            f"{name}: frame {frame} was not tracked, expected a pose; choose another frame."
        )
    numbers = parse_numbers(own, 16)
    if len(words) not in (16, 16 * volumes) or numbers is None:
        raise InputError(
            f"{name}: line {frame + 1} has {len(words)} numbers, or something that is no number up "
            f"to {MAX_NUMBER:g}, expected {EXPECTED}; save the tracking again."
        )
    pose = _by_rows(np.reshape(numbers, (4, 4)), name)
    pose[:3, 3] *= unit_mm
    return rigid.check_rigid(pose, f"{name}: line {frame + 1}")


def write_tra(path: str | os.PathLike, poses: Sequence[np.ndarray | None], unit_mm: float) -> None:
    """Write the poses (4, 4) of a volume, `world_from_autoscoper` in mm, one for each frame, None where there is none.

    As Autoscoper saves and opens it by default: a matrix by rows in each line, commas between,
    lengths in the trial's unit, which has `unit_mm` mm.
    """
    lines = []
    for pose in poses:
        matrix = np.full((4, 4), np.nan) if pose is None else np.array(pose, float)
        matrix[:3, 3] /= unit_mm
        lines.append(
            ",".join(
                "NaN" if np.isnan(number) else repr(float(number)) for number in matrix.ravel()
            )
        )
    write_atomically(path, "".join(f"{line}\n" for line in lines))


def autoscoper_from_ct(
    shape: tuple[int, int, int], voxel_mm: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Return the transform (4, 4) to Autoscoper's frame of a volume from ours.

    Ours has voxel (0, 0, 0) at its origin, and its axes are those of the file. Autoscoper's x runs
    along i, y against j, z against k, and the volume fills 0 to its width, 0 to its height, and
    minus its depth to 0 (VolumeDescription.cpp, RayCaster_kernels.cu): turned by half about x, with
    the origin at the corner of the last row of the first slice.

    Parameters
    ----------
    shape
        (nk, nj, ni).
    voxel_mm
        Along i, j, k.
    """
    x, y, z = voxel_mm
    matrix = np.diag([1.0, -1.0, -1.0, 1.0])
    matrix[:3, 3] = 0.5 * x, (shape[1] - 0.5) * y, -0.5 * z
    return matrix


def _by_rows(matrix: np.ndarray, name: str) -> np.ndarray:
    rows, columns = ((last == (0, 0, 0, 1)).all() for last in (matrix[3], matrix[:, 3]))
    if rows == columns:
        raise InputError(
            f"{name}: does not show whether its matrices are by rows or by columns, expected 0, 0, "
            "0, 1 at the end of one of them; save the tracking again."
        )
    return np.array(matrix if rows else matrix.T)


LISTS = ("mayaCam_csv", "CameraRootDir", "VolumeFile", "VolumeFlip", "VoxelSize")
#: Which say nothing of the geometry.
IGNORED = ("Version", "MeshFile", "RenderResolution", "OptimizationOffsets")
TIFF = (".tif", ".tiff")


@dataclass(frozen=True)
class TrialVolume:
    """A line VolumeFile with its VoxelSize, and by VolumeFlip the axes along which Autoscoper turns it round."""

    path: Path
    voxel: tuple[float, ...]
    flip: tuple[bool, ...]


@dataclass(frozen=True)
class AutoscoperTrial:
    """The files of a trial, cameras and folders of images in the same order."""

    name: str
    cameras: list[Path]
    folders: list[Path]
    volumes: list[TrialVolume]


def read_trial(path: str | os.PathLike) -> AutoscoperTrial:
    """Read a .cfg, its paths relative to its folder. Unknown keys warn.

    Raises
    ------
    InputError
        For invalid content.
    """
    path, name = Path(path), printable(path)
    text = read_text(path, "an Autoscoper trial (.cfg)")
    found: dict[str, list[str]] = {key: [] for key in LISTS}
    for line in text.splitlines():
        key, _, value = line.strip().partition(" ")
        if key in found:
            found[key].append(value.strip())
        elif key and not key.startswith("#") and key not in IGNORED:
            warn(
                f'{name}: the key "{printable(key[:40])}" is not known and was ignored; correct or remove it.'
            )
    cameras, folders, files, flips, sizes = (found[key] for key in LISTS)
    if not cameras or len(cameras) != len(folders):
        raise InputError(
            f"{name}: has {len(cameras)} mayaCam_csv and {len(folders)} CameraRootDir, expected "
            "one of each for every camera; correct it."
        )
    if not files or len(files) != len(sizes) or len(flips) not in (0, len(files)):
        raise InputError(
            f"{name}: has {len(files)} VolumeFile, {len(sizes)} VoxelSize and {len(flips)} "
            "VolumeFlip, expected one of each for every volume; correct it."
        )
    volumes = []
    for file, size, flip in zip(files, sizes, flips or ["0 0 0"] * len(files), strict=True):
        voxel = tuple(_three(name, "VoxelSize", size, 1e-5, 50))
        turned = tuple(flag > 0 for flag in _three(name, "VolumeFlip", flip, 0, 1))
        volumes.append(TrialVolume(_path(path, file), voxel, turned))
    return AutoscoperTrial(
        name,
        [_path(path, camera) for camera in cameras],
        [_path(path, folder) for folder in folders],
        volumes,
    )


def read_autoscoper(
    path: str | os.PathLike,
    frame: int,
    intensity: str,
    unit: str,
    volume: str | None = None,
    start: str | os.PathLike | None = None,
    truth: str | os.PathLike | None = None,
) -> Imported:
    """Read a case of one volume of a trial and its radiographs of one instant.

    The CT is the volume with voxel (0, 0, 0) at the origin and its axes along those of the file.
    Autoscoper's own frame of a volume is turned against that by 180 degrees about the first axis.
    The world is that of the calibration, in mm; the cameras were calibrated. The trial itself has
    no pose: neither a truth nor a start.

    Parameters
    ----------
    frame
        Which file of each camera's folder, from 0, in the order of their names, as Autoscoper
        counts them.
    intensity
        Of the radiographs, as in a case.json: the trial does not say whether bone is dark or
        bright.
    unit
        One of `calibration.calibrated.UNITS`, of both calibration and voxels, which have the same
        but do not say which.
    volume
        Name of the volume's file without its ending; needed where the trial has several.
    start, truth
        Tracked poses (.tra) that are the case's start pose, or its truth.

    Raises
    ------
    InputError
        For what differs from the layout.
    """
    trial = read_trial(path)
    options = CalibrationOptions(unit=unit)
    chosen = _chosen(trial, volume)
    unit_mm = options.scale(trial.name)
    ct = _ct(chosen, unit_mm)
    files = [_radiograph(trial, folder, frame) for folder in trial.folders]
    names = [file.name for file in files]
    entries = []
    images = {}
    for number, (calibration, file) in enumerate(zip(trial.cameras, files, strict=True), start=1):
        image = load_image(file)
        camera = read_camera(calibration, image.values.shape[::-1], options)
        name = f"camera{number}"
        entries.append(view_entry(name, camera, intensity))
        # without pixel_mm: a TIFF's dots per inch are those of paper
        images[name] = RawImage(image.values, image.step, image.white)
    if len({tuple(re.findall(r"\d+", name)[-1:]) for name in names}) > 1:
        warn(
            f"{trial.name}: frame {frame} is {', '.join(map(printable, names))}, whose numbers "
            "differ; check that they are of one instant."
        )
    content: dict[str, Any] = {"views": entries}
    if len(entries) > 1:
        content["relative_geometry"] = "calibrated"
    notes = [
        f"Frame {frame} is {', '.join(map(printable, names))}.",
        "The volume's values are taken as relative, 0 for nothing.",
    ]

    from_ct = autoscoper_from_ct(ct.volume.values.shape, ct.volume.spacing_mm)
    nth = trial.volumes.index(chosen)

    def tracked(file: str | os.PathLike) -> list:
        return (read_tra(file, frame, nth, len(trial.volumes), unit_mm) @ from_ct).tolist()

    if start is not None:
        content["world_from_ct"] = tracked(start)
    else:
        notes.append(
            "The case has no start pose: add world_from_ct to it, or search (mvreg register "
            "--start search)."
        )
    if truth is not None:
        content["truth"] = {"world_from_ct": tracked(truth)}
        notes.append(
            "What Autoscoper tracked is taken as the truth: errors say how far a result is from "
            "that."
        )
    return Imported(content, ct, images, notes)


def read_camera(
    path: str | os.PathLike, size: tuple[int, int], options: CalibrationOptions
) -> Camera:
    """Read the camera in a MayaCam file, of an image of `size` (columns, rows).

    The image size stands there as height, width by Autoscoper's documentation and as width, height
    by its program: either order is taken where the image has it.

    Parameters
    ----------
    options
        Its unit.

    Raises
    ------
    InputError
        For a file that is none, or is of images of another size.
    """
    name = printable(path)
    camera = read_mayacam(read_text(path, "a MayaCam file"), name, "camera", options)[0].camera
    assert camera is not None  # as the file says the size
    if sorted(camera.size) != sorted(size):
        raise InputError(
            f"{name}: has the image size {camera.size[0]} x {camera.size[1]}, expected that of the "
            f"image, {size[0]} x {size[1]}; give the calibration of these images."
        )
    return Camera(camera.intrinsics, camera.camera_from_world, size)


def _path(trial: Path, written: str) -> Path:
    if inside(written, trial.parent) is None:
        raise InputError(
            f"{printable(trial)}: names {printable(written)[:80]}, which is not in its own folder, "
            "expected all files of the trial there; put them there, and name them relative to it."
        )
    return trial.parent / written.replace("\\", "/")


def _three(name: str, key: str, text: str, least: float, most: float) -> list[float]:
    values = parse_numbers(text, 3)
    if values is None or not all(least <= value <= most for value in values):
        raise InputError(
            f'{name}: has {key} "{printable(text[:40])}", expected three numbers from {least:g} to {most:g}; correct it.'
        )
    return values


def _chosen(trial: AutoscoperTrial, name: str | None) -> TrialVolume:
    names = [volume.path.stem for volume in trial.volumes]
    if name is None and len(names) == 1:
        return trial.volumes[0]
    if name not in names:
        what = "has several volumes" if name is None else f'has no volume "{printable(name)}"'
        raise InputError(
            f"{trial.name}: {what}, expected one of {', '.join(map(printable, names))}; choose one "
            "of these."
        )
    return trial.volumes[names.index(name)]


def _ct(volume: TrialVolume, unit_mm: float) -> CT:
    values = read_image(volume.path).values
    axes = tuple(2 - axis for axis, flip in enumerate(volume.flip) if flip)  # of the array: k, j, i
    return ct_from_array(
        np.flip(values, axes),
        np.diag([*(unit_mm * np.array(volume.voxel)), 1.0]),
        "relative",
        name=volume.path,
    )


def _radiograph(trial: AutoscoperTrial, folder: Path, frame: int) -> Path:
    try:
        images = (file for file in folder.iterdir() if file.suffix.lower() in TIFF)
        files = sorted(file for file in images if not file.name.startswith("."))
    except OSError as error:
        raise InputError(
            f"{trial.name}: the folder {printable(folder)} cannot be read ({error.strerror}), "
            "expected TIFF images in it; correct CameraRootDir."
        ) from None
    if not 0 <= frame < len(files):
        raise InputError(
            f"{trial.name}: frame {frame} was requested, but {printable(folder)} has "
            f"{len(files) or 'no'} TIFF images; give a frame from 0 to {max(0, len(files) - 1)}."
        )
    return files[frame]
