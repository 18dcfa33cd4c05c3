"""A CT or its mask on a grid along the axes of the frame that a pose takes it to."""

from __future__ import annotations

import os

import numpy as np
import SimpleITK as sitk

from ...errors import InputError
from ...geometry import rigid
from ...imaging.ct import CT
from ..case_writer import smallest
from ..files import written_atomically

AIR_HU = -1024
MAX_VOXELS = 2**31 - 1
NOTES = "ITK_FileNotes"  # what ITK writes as NIfTI's descrip, and by this name into NRRD and MetaImage
MAX_DESCRIP_LENGTH = 79


def resampled_ct(ct: CT, target_from_ct: np.ndarray) -> sitk.Image:
    """The whole CT in the target's LPS mm, linearly between voxels; air (-1024 HU, or 0 of relative values) where there is none.

    The grid holds all of the CT, its axes along the target's, its voxels cubes of the CT's median spacing. Whole
    numbers stay int16.

    Raises
    ------
    InputError
        Where that has more voxels than a program will open.
    """
    values = smallest(ct.volume.values)
    image = _resampled(values, ct, target_from_ct, sitk.sitkLinear, AIR_HU if ct.unit == "hu" else 0)
    return sitk.Cast(sitk.Round(image), sitk.sitkInt16) if values.dtype == np.int16 else image


def resampled_mask(ct: CT, target_from_ct: np.ndarray) -> sitk.Image:
    """The CT's mask (uint8, 1 within) on the grid of `resampled_ct`, by the nearest voxel.

    Raises
    ------
    InputError
        Where the CT has none.
    """
    if ct.mask is None:
        raise InputError(
            "resampled-mask: the case has no mask, expected one; leave resampled-mask out, or name the mask in the case."
        )
    return _resampled(ct.mask.astype(np.uint8), ct, target_from_ct, sitk.sitkNearestNeighbor, 0)


def write_volume(path: str | os.PathLike, image: sitk.Image, notes: str) -> None:
    """In the format of the path's ending, compressed, with `notes` in its header (of which NIfTI keeps 79 bytes).

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
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
            sitk.ReadImage(str(temporary))  # ITK's writers leave a short file on a full disk without a word
        except RuntimeError:
            raise OSError("a volume was not written whole") from None


def _resampled(values: np.ndarray, ct: CT, target_from_ct: np.ndarray, interpolator: int, outside: int) -> sitk.Image:
    target_from_index = target_from_ct @ ct.volume.ct_from_index
    spacing, low, size = _grid(target_from_index, values.shape[::-1], float(np.median(ct.volume.spacing_mm)))
    index_from_target = np.linalg.inv(target_from_index)
    transform = sitk.AffineTransform(3)  # of the voxels' indices, which are the places of an image without a place
    transform.SetMatrix(index_from_target[:3, :3].ravel().tolist())
    transform.SetTranslation(index_from_target[:3, 3].tolist())
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
    """Spacing, centre of the first voxel (3,) and size (3,) of a grid that holds a box of voxels to their outer faces.

    They are numbers of single precision, all that NIfTI keeps of a grid's place.
    """
    ends = np.stack(np.meshgrid(*[(-0.5, n - 0.5) for n in shape], indexing="ij"), -1).reshape(-1, 3)
    corners = rigid.transform_points(target_from_index, ends)
    spacing = float(np.float32(spacing))
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = np.maximum(np.ceil((high - low) / spacing - 1e-6), 1).astype(int)
    if size.prod(dtype=float) > MAX_VOXELS:
        raise InputError(
            f"the resampled CT would have {size.prod(dtype=float):.3g} voxels, expected at most {MAX_VOXELS:.3g}; crop the "
            "CT."
        )
    first = (low + high - spacing * (size - 1)) / 2
    return spacing, first.astype(np.float32).astype(float), size
