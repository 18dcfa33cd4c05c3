"""All files of an export, each with its frames and its direction in its name, and the CT resampled to the target frame."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ...errors import InputError
from ...geometry import rigid
from ...geometry.camera import Camera
from ...imaging.ct import CT, whole_numbers
from ...imaging.reading import write_image
from ..files import printable, write_atomically, written_atomically
from ..folders import list_files, staged
from ..result_json import RegistrationExport
from ..transforms import (
    ITK_WRITERS,
    LPS_FROM_RAS,
    MATRIX_WRITERS,
    NamedMatrix,
    itk_transform,
)

if TYPE_CHECKING:
    from pydicom import Dataset


Writers = dict[str, Callable[[Path], object]]

VERSION = "Slicer 5.12.0 0"  # whose camera nodes these are


def write_cameras(
    path: str | os.PathLike,
    cameras: Sequence[Camera],
    target_from_world: np.ndarray,
    centre: np.ndarray,
    exported: RegistrationExport,
) -> None:
    """Write a vtkMRMLCameraNode for each camera, "X-ray 1" and so on, in the target's RAS mm.

    A node stands at the source and looks along the camera's axis; its focal point is at the depth
    of `centre` (3,), world LPS mm; its view up is that of the image, its view angle 2 atan(H / 2
    SDD) with the height H of the detector. A node knows neither a principal point off the middle
    nor a mirrored image: where there is one, its description says so, with the window centre that
    vtkCamera wants for it.
    """
    root = ElementTree.Element("MRML", version=VERSION, userTags="")
    for number, camera in enumerate(cameras, start=1):
        ElementTree.SubElement(
            root,
            "Camera",
            {
                "id": f"vtkMRMLCameraNode{number}",
                "name": f"X-ray {number}",
                "description": exported.marked(_described(camera)),
                "hideFromEditors": "false",
                **_placed(camera, LPS_FROM_RAS @ target_from_world, centre),
                "parallelProjection": "false",
                "appliedTransform": _text(np.eye(4)),
            },
        )
    ElementTree.indent(root)
    write_atomically(
        path, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"
    )


def _placed(camera: Camera, ras_from_world: np.ndarray, centre: np.ndarray) -> dict[str, str]:
    _, down, forward = camera.camera_from_world[:3, :3]
    focal_point = camera.source + max(float(camera.depth(centre)), 1.0) * forward
    rows = camera.size[1]
    fy = camera.intrinsics[1, 1]
    return {
        "position": _text(rigid.transform_points(ras_from_world, camera.source)),
        "focalPoint": _text(rigid.transform_points(ras_from_world, focal_point)),
        "viewUp": _text(-ras_from_world[:3, :3] @ down),
        "viewAngle": _text(np.degrees(2 * np.arctan(rows / (2 * fy)))),
    }


def _described(camera: Camera) -> str:
    columns, rows = camera.size
    off = (camera.middle - camera.principal_point) / (np.array(camera.size) / 2)
    x = np.sign(camera.intrinsics[0, 0]) * off[0]
    y = -off[1]
    sentences = [f"The beam of an X-ray of {columns} x {rows} pixels, seen from its source."]
    if max(abs(x), abs(y)) > 1e-9:
        sentences.append(
            f"Its principal point is off the middle: GetCamera().SetWindowCenter({x:.9g}, {y:.9g}) "
            "in a view as wide as the image."
        )
    if camera.intrinsics[0, 0] < 0:
        sentences.append("The image is stored mirrored: what this camera sees is its mirror image.")
    return " ".join(sentences)


def _text(numbers: npt.ArrayLike) -> str:
    return " ".join(repr(number) for number in np.ravel(numbers).tolist())


def write_together(files: Writers, folder: str | os.PathLike, result: Path) -> list[Path]:
    """Write files that appear together or not at all, and return them.

    Parameters
    ----------
    files
        Each by its name with what writes it to a path.
    result
        The result.json that they are made of.

    Raises
    ------
    InputError
        Where the folder cannot be written.
    """
    with staged(folder, last=list(files)[-1]) as staging:
        for file, write in files.items():
            write(staging / file)
    if Path(folder).resolve() == result.parent.resolve():
        list_files(result, files)  # the next result there replaces them, too
    return [Path(folder) / file for file in files]


def export_files(
    exported: RegistrationExport,
    kinds: Sequence[str],
    directions: Sequence[str],
    axes: Sequence[str],
    further: Writers | None = None,
    identity: Dataset | None = None,
) -> Writers:
    """Return a result's poses as files by their name, each with what writes it to a path.

    Every file carries the result's warning, if it has one; those of a structure are called by it.

    Parameters
    ----------
    kinds
        Of `POSE_FORMATS`. ITK transforms (.tfm, .h5) come as NAME.forward.tfm, whose TransformPoint takes
        CT points to the target, and NAME.resampling.tfm, the inverse, which ITK's resampling
        filters and Slicer want; both are LPS, as all of ITK is. Matrices come under the name of
        what they are, world_from_ct or ct_from_world, .lps or .ras. DICOM comes forward in LPS, as
        its standard has it.
    directions
        "forward", "resampling" or both.
    axes
        Of the matrices, "lps", "ras" or both.
    further
        Files by their name that belong with these, each with what writes it to a path, see
        `report.exports.case_files`.
    identity
        Patient and study for DICOM, see `dicom_objects.identity_of`.
    """
    if "dicom" in kinds:
        from .dicom_objects import write_spatial_registration

        exported = exported.with_uids()
    warning = {"override": " ".join(exported.warning.split())} if exported.warning else {}
    of = "" if exported.structure is None else f"{printable(exported.structure)} alone, "
    jobs: Writers = {}
    for name, pose in exported.poses.items():
        target, _ = name.split("_from_")
        by_direction = {
            "forward": (target, "ct", pose),
            "resampling": ("ct", target, rigid.inverse(pose)),
        }
        for kind in kinds:
            if kind == "dicom":
                jobs[f"{name}.dcm"] = partial(
                    write_spatial_registration, exported=exported, target=target, identity=identity
                )
                continue
            for direction in directions:
                to, source, matrix = by_direction[direction]
                if kind in MATRIX_WRITERS:
                    named = NamedMatrix(
                        matrix,
                        f"{to}_from_{source}",
                        "lps",
                        exported.structure,
                        {**warning, **exported.said},
                    )
                    for each in axes:
                        jobs[f"{named.name}.{each}.{kind}"] = partial(
                            MATRIX_WRITERS[kind], named=named.in_axes(each)
                        )
                else:
                    meaning = f"{of}{name}, {direction}: TransformPoint takes {source} LPS mm to {to} LPS mm."
                    jobs[f"{name}.{direction}.{kind}"] = partial(
                        _itk,
                        write=ITK_WRITERS[kind],
                        matrix=matrix,
                        comments=exported.comments(meaning),
                    )
    return {
        f"{exported.prefix}{file}": write for file, write in {**jobs, **(further or {})}.items()
    }


def _itk(path: Path, write: Callable, matrix: np.ndarray, comments: Sequence[str]) -> None:
    write(path, matrix, *comments)


AIR_HU = -1024
MAX_VOXELS = 2**31 - 1
NOTES = (
    "ITK_FileNotes"  # what ITK writes as NIfTI's descrip, and by this name into NRRD and MetaImage
)
MAX_DESCRIP_LENGTH = 79


def resampled_ct(ct: CT, target_from_ct: np.ndarray) -> sitk.Image:
    """Resample the whole CT to the target's LPS mm, linearly between voxels.

    Air (-1024 HU, or 0 of relative values) beside it.

    The grid holds all of the CT, its axes along the target's, its voxels cubes of the CT's median
    spacing. Whole numbers stay int16.

    Raises
    ------
    InputError
        Where that has more voxels than a program will open.
    """
    values = whole_numbers(ct.volume.values)
    image = _resampled(
        values, ct, target_from_ct, sitk.sitkLinear, AIR_HU if ct.unit == "hu" else 0
    )
    return sitk.Cast(sitk.Round(image), sitk.sitkInt16) if values.dtype == np.int16 else image


def resampled_mask(ct: CT, target_from_ct: np.ndarray) -> sitk.Image:
    """Resample the CT's mask (uint8, 1 within) to the grid of `resampled_ct`, by the nearest voxel.

    Raises
    ------
    InputError
        Where the CT has none.
    """
    if ct.mask is None:
        raise InputError(
            "resampled-mask: the case has no mask, expected one; leave resampled-mask out, or name "
            "the mask in the case."
        )
    return _resampled(ct.mask.astype(np.uint8), ct, target_from_ct, sitk.sitkNearestNeighbor, 0)


def write_volume(path: str | os.PathLike, image: sitk.Image, notes: str) -> None:
    """Write a volume in the format of the path's ending, compressed, with `notes` in its header (NIfTI keeps 79 bytes).

    Raises
    ------
    OSError
        Where it does not come back from the disk.
    """
    encoded = " ".join(notes.split()).encode()
    if ".nii" in os.path.basename(path):
        encoded = encoded[:MAX_DESCRIP_LENGTH]
    image.SetMetaData(NOTES, encoded.decode("utf-8", "ignore"))
    with written_atomically(path) as temporary:
        write_image(temporary, image)


def _resampled(
    values: np.ndarray, ct: CT, target_from_ct: np.ndarray, interpolator: int, outside: int
) -> sitk.Image:
    target_from_index = target_from_ct @ ct.volume.ct_from_index
    spacing, low, size = _grid(
        target_from_index, values.shape[::-1], float(np.median(ct.volume.spacing_mm))
    )
    # Of the voxels' indices, which are the places of an image without a place.
    transform = itk_transform(np.linalg.inv(target_from_index))
    image = sitk.GetImageFromArray(values)
    kind = (
        sitk.sitkFloat32 if interpolator == sitk.sitkLinear else image.GetPixelID()
    )  # ITK cuts the fractions off of whole numbers
    return sitk.Resample(
        image,
        size.tolist(),
        transform,
        interpolator,
        low.tolist(),
        [spacing] * 3,
        np.eye(3).ravel().tolist(),
        outside,
        kind,
    )


def _grid(
    target_from_index: np.ndarray, shape: tuple[int, ...], spacing: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the spacing, centre of the first voxel (3,) and size (3,) of a grid that holds a box of voxels to their outer faces.

    They are numbers of single precision, all that NIfTI keeps of a grid's place.
    """
    ends = rigid.grid_points(*[(-0.5, n - 0.5) for n in shape])
    corners = rigid.transform_points(target_from_index, ends)
    spacing = float(np.float32(spacing))
    low = corners.min(axis=0)
    high = corners.max(axis=0)
    size = np.maximum(np.ceil((high - low) / spacing - 1e-6), 1).astype(int)
    if size.prod(dtype=float) > MAX_VOXELS:
        raise InputError(
            f"the resampled CT would have {size.prod(dtype=float):.3g} voxels, expected at most "
            f"{MAX_VOXELS:.3g}; crop the CT."
        )
    first = (low + high - spacing * (size - 1)) / 2
    return spacing, first.astype(np.float32).astype(float), size
