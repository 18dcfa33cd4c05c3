"""The CT: reading it, and turning it into linear attenuation.

Of the slices in a DICOM folder SimpleITK stacks whatever it is given: it straightens a tilted gantry into a sheared patient,
closes the gap of a missing slice, and before 2.5.4 (Slicer 5.10 has 2.5.2) makes up the end of a slice that was cut short, all without
an error. So the headers are checked here, before a pixel is read.
Source: DICOM PS3.3, C.7.6.2 (image plane) and C.8.2 (CT image).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError, UnitMismatch
from .dicom_file import DicomFile, read_dicom
from .reading import affine_of, check_right_angles, read_image, read_series
from .volume import Volume

# Linear attenuation in 1/mm. Water: NIST (XCOM; Hubbell and Seltzer) gives 0.0206 at 60 keV and 0.0184 at 80
# keV, so 0.0192 is about 70 keV, the effective energy of a C-arm behind a patient. Bone at 1000 HU: 0.0573,
# cortical bone of 1.92 g/cm3 (ICRU 44: 0.0604 at 60 keV, 0.0428 at 80 keV) near 62 keV. That is steeper than
# the water-to-bone line of the CT's own scale, because a CT's beam is harder than a C-arm's.
WATER = 0.0192
DENSE_BONE = 0.0573
AIR_BELOW_HU = -850.0
HU_RANGE = (-1000.0, 3000.0)

BONE_HU = 200.0
BONE_SHARE_OF_LARGEST = 0.25
#: Linear attenuation at BONE_HU, 1/mm.
BONE_PER_MM = WATER + BONE_HU / 1000 * (DENSE_BONE - WATER)

TILT_TOLERANCE_DEG = 0.1
POSITION_TOLERANCE_MM = 0.1  # headers round positions to 0.1 mm at worst
#: What places a slice: how many numbers, and how far those of two slices of a volume may differ; None for any.
_GRID = {
    "ImagePositionPatient": (3, None),
    "ImageOrientationPatient": (6, 1e-3),
    "PixelSpacing": (2, 1e-3),
    "Rows": (1, 0),
    "Columns": (1, 0),
}


@dataclass(frozen=True, eq=False)
class CT:
    """A CT and what its values mean.

    Attributes
    ----------
    volume
        Values in HU (unit "hu"), or in any unit where 0 is nothing and larger is denser ("relative").
    mask
        bool (nk, nj, ni) on the same grid, True where the structure to register is; None for everything.
    """

    volume: Volume
    unit: str = "hu"
    mask: np.ndarray | None = None

    def centroid(self) -> np.ndarray:
        """(3,) CT LPS mm: mean position of the mask's voxels; without a mask of the bone's, else of everything."""
        return self._centroid.copy()

    @cached_property
    def _centroid(self) -> np.ndarray:
        values = self.volume.values
        if self.mask is not None:
            columns, slices = _counts(self.mask, False)
        else:
            columns, slices = _counts(values, BONE_HU if self.unit == "hu" else BONE_SHARE_OF_LARGEST * values.max())
            if not slices.any():
                columns, slices = _counts(values, AIR_BELOW_HU if self.unit == "hu" else 0)
        counts = columns.sum(axis=0), columns.sum(axis=1), slices
        index = [np.average(np.arange(len(along)), weights=along) for along in counts]
        return (self.volume.ct_from_index @ [*index, 1.0])[:3]


def _counts(values: np.ndarray, above) -> tuple[np.ndarray, np.ndarray]:
    """(nj, ni) and (nk,): how many voxels lie above a value, over each (j, i), and in each slice."""
    columns, slices = np.zeros(values.shape[1:], np.int32), np.zeros(len(values), int)
    for k, of in enumerate(values):  # by slices: they fit the cache
        selected = of > above
        columns += selected
        slices[k] = np.count_nonzero(selected)
    return columns, slices


def load_ct(path: str | Path, unit: str = "hu", mask: str | Path | None = None) -> CT:
    """Reads a CT from a file of any format that SimpleITK knows or from a folder of DICOM slices.

    Parameters
    ----------
    unit
        What the values mean, "hu" or "relative" (0 = nothing, larger = denser).
    mask
        Image file, non-zero where the structure to register is. On another grid it is resampled (nearest neighbour)
        by its own position in space.

    Raises
    ------
    InputError
        For anything that is not a three-dimensional grey image on a rectangular grid, with some matter in it, in
        the unit that was named; for what is refused in a DICOM folder, see `ct_slices`.
    """
    _check_unit(unit)
    path = Path(path)
    image = read_series(path, ct_slices(path)) if path.is_dir() else _read_volume(path, "CT")
    ct = ct_from_array(sitk.GetArrayViewFromImage(image), affine_of(image), unit, name=path)
    return ct if mask is None else masked(ct, _load_mask(Path(mask), image), mask)


def ct_from_array(
    values: np.ndarray, ct_from_index: np.ndarray, unit: str = "hu", *, name: str | Path = "the CT"
) -> CT:
    """The CT in an array, by the rules for one in a file.

    Parameters
    ----------
    values
        (nk, nj, ni) of any type, k the slowest axis; they are copied, as float32. With a fourth axis they are
        colour, or vectors.
    ct_from_index
        (4, 4), takes (i, j, k, 1) to CT LPS mm.
    name
        Begins the sentence where something is wrong.

    Raises
    ------
    InputError
        For what is no three-dimensional grid at right angles, has voxels that are not finite, is nothing but air,
        or does not fit the unit. A structure of it is chosen with `masked`.
    """
    _check_unit(unit)
    values = np.asarray(values)
    _check_grid(name, "CT", values.shape[::-1], values.shape[3] if values.ndim == 4 else 1)
    ct_from_index = np.asarray(ct_from_index, float)
    spacing = np.linalg.norm(ct_from_index[:3, :3], axis=0)
    if not np.isfinite(ct_from_index).all() or not spacing.all():
        raise InputError(
            f"{name}: its position is not given by finite numbers and a spacing above 0 mm, but it must be; correct it."
        )
    check_right_angles(name, ct_from_index[:3, :3] / spacing)
    with np.errstate(over="ignore"):  # beyond float32 is not finite
        values = values.astype(np.float32)
    _check_values(name, values, unit)
    if unit == "hu":  # padding outside the scanner's round field, often -2000 or -3024
        np.maximum(values, -1024, out=values)
    ct = CT(Volume(values, ct_from_index), unit)
    _check_matter(ct, f"{name}: the CT")
    return ct


def masked(ct: CT, mask: np.ndarray, name: str | Path = "the mask") -> CT:
    """The CT with one structure of it to register.

    Parameters
    ----------
    mask
        (nk, nj, ni) on the CT's grid, other than 0 where the structure is.
    name
        Begins the sentence where something is wrong.

    Raises
    ------
    InputError
        Where the mask has another shape than the CT, is empty, or has nothing but air inside.
    """
    mask = np.asarray(mask)
    if mask.shape != ct.volume.values.shape:
        size, expected = (" x ".join(str(n) for n in shape[::-1]) for shape in (mask.shape, ct.volume.values.shape))
        raise InputError(
            f"{name}: the mask has {size} voxels, but the CT's {expected} are expected; export it on the CT's grid."
        )
    selected = mask != 0
    if not selected.any():
        raise _empty(name)
    ct = replace(ct, mask=selected)
    _check_matter(ct, f"{name}: the CT inside the mask")
    return ct


def attenuation(ct: CT) -> Volume:
    """Linear attenuation in 1/mm on the CT's grid; 0 outside the mask.

    HU, clipped to [-1000, 3000], go through two straight lines: air 0, water (0 HU) 0.0192, bone (1000 HU)
    0.0573. Below -850 HU it is exactly 0: there is only air, and over the half metre of it that a ray
    crosses, the CT's noise, its table foam and a scale that is off by a few HU would add up.

    Relative values are scaled so that the largest becomes dense bone, 0.0573; 0 stays 0, and below 0 is 0.
    """
    values = ct.volume.values
    if ct.unit == "relative":
        mu = np.maximum(values, 0)
        mu *= np.float32(DENSE_BONE / values.max())
    else:
        mu = np.empty_like(values)
        for hu, out in zip(values, mu, strict=True):  # by slices: they fit the cache
            _attenuate(hu, out)
    if ct.mask is not None:
        mu *= ct.mask
    return Volume(mu, ct.volume.ct_from_index)


def _attenuate(hu: np.ndarray, out: np.ndarray) -> None:
    low, high, air, water = map(np.float32, (*HU_RANGE, AIR_BELOW_HU, WATER))
    bone = np.clip(hu, low, high)
    np.multiply(bone, np.float32(WATER / 1000), out=out)
    bone *= np.float32((DENSE_BONE - WATER) / 1000)
    np.maximum(out, bone, out=out)  # bone's is the steeper one; they cross at water
    out += water
    out[hu < air] = 0


def _read_volume(path: Path, what: str) -> sitk.Image:
    image = read_image(path)
    components = image.GetNumberOfComponentsPerPixel()
    if components == 1 and image.HasMetaDataKey("0008|0016") and image.GetSize()[-1] > 1:
        raise InputError(
            f"{path}: a multi-frame DICOM file, whose frames may lie anywhere, but a volume is expected; export the series "
            "as single slices and name their folder, or convert it to NIfTI or NRRD."
        )
    _check_grid(path, what, image.GetSize(), components)
    return image


def _check_grid(name: str | Path, what: str, size: tuple[int, ...], components: int) -> None:
    """size: along i, j, k.   components: values in each voxel."""
    if components > 1:
        raise InputError(
            f"{name}: has {components} values a voxel (colour or vectors), but a grey volume is expected; name the {what} itself."
        )
    if len(size) != 3 or min(size) < 2:
        raise InputError(
            f"{name}: has {' x '.join(str(n) for n in size)} pixels, but a three-dimensional {what} is expected; if this is one "
            "slice of a series, name the folder that holds them all."
        )


def _check_unit(unit: str) -> None:
    if unit not in ("hu", "relative"):
        raise InputError(f'the CT\'s unit is "{unit}", but "hu" or "relative" is expected.')


def _check_values(name: str | Path, values: np.ndarray, unit: str) -> None:
    low, high = float(values.min()), float(values.max())  # both NaN where a single voxel is
    if not np.isfinite([low, high]).all():
        raise InputError(
            f"{name}: has voxels that are not finite numbers, but every voxel needs a value; fill or crop them."
        )
    if unit == "hu" and low >= 0:
        raise UnitMismatch(
            f"{name}: has no voxel below 0 (values {low:g} to {high:g}), but in Hounsfield units fat and air are; if 0 stands "
            'for nothing, set the unit to "relative", otherwise subtract the offset (often 1024).',
            "relative",
        )
    if unit == "relative" and low < -0.1 * abs(high):
        raise UnitMismatch(
            f"{name}: has values down to {low:g}, but relative values begin at 0 for nothing; if they are Hounsfield units, "
            'set the unit to "hu".',
            "hu",
        )


def _check_matter(ct: CT, where: str) -> None:
    values = ct.volume.values if ct.mask is None else ct.volume.values[ct.mask]
    if not values.max() > (AIR_BELOW_HU if ct.unit == "hu" else 0):
        raise InputError(f"{where} is nothing but air, but a body is expected; check the file and its unit.")


def _empty(name: str | Path) -> InputError:
    return InputError(f"{name}: the mask is empty, but voxels other than 0 are expected where the structure is.")


def _load_mask(path: Path, ct_image: sitk.Image) -> np.ndarray:
    image = _read_volume(path, "mask")
    array = sitk.GetArrayViewFromImage(image)
    if not np.any(array):
        raise _empty(path)
    if image.GetSize() == ct_image.GetSize() and np.allclose(affine_of(image), affine_of(ct_image), rtol=0, atol=1e-3):
        return array != 0
    resampled = sitk.Resample(image, ct_image, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0)
    mask = sitk.GetArrayViewFromImage(resampled) != 0
    if not mask.any():
        raise InputError(
            f"{path}: the mask lies wholly outside the CT, but it must overlap it; export the mask in the CT's own space."
        )
    return mask


def ct_slices(folder: str | Path) -> list[Path]:
    """Files of the one CT series in a folder (not in its subfolders), ordered along the slice normal.

    Localizers and other modalities are passed over.

    Raises
    ------
    InputError
        For no CT slices, several series, multi-frame files, missing or differing geometry, gantry tilt (by its tag
        or by the slices' positions), two slices at one position, and missing or unevenly spaced slices.
    """
    folder = Path(folder)
    slices, others = [], 0
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        file = read_dicom(path)
        if file is None or file.text("Modality") != "CT" or "LOCALIZER" in file.texts("ImageType"):
            others += 1
            continue
        if file.whole("NumberOfFrames", 1) > 1:
            file.refuse(
                "a multi-frame DICOM CT, but one file for each slice is expected; export the series as single slices, or "
                "convert it to NIfTI or NRRD."
            )
        _check_slice(file)
        slices.append(file)
    if not slices:
        raise InputError(
            f"{folder}: found no DICOM CT slices ({others} other files); name the folder that holds the slices themselves, "
            "subfolders are not searched."
        )
    _check_one_series(folder, slices)
    return _stacked(folder, slices)


def _check_slice(file: DicomFile) -> None:
    for keyword, (count, _) in _GRID.items():
        if len(file.numbers(keyword)) != count:
            file.refuse(
                f"the DICOM slice has no usable {keyword}, without which it has no place in the patient; export the series again "
                "with its geometry."
            )
    if not file.compressed:
        expected = file.whole("Rows") * file.whole("Columns") * file.whole("BitsAllocated") // 8
        rest = file.path.stat().st_size - file.pixels_at if file.pixels_at else 0
        if rest < expected:
            file.refuse(
                f"the DICOM slice is cut short and cannot be read, its pixels need {expected} bytes and {rest} are there; copy or "
                "export the series again."
            )


def _check_one_series(folder: Path, slices: list[DicomFile]) -> None:
    series = defaultdict(list)
    for file in slices:
        series[file.value("SeriesInstanceUID")].append(file.value("SeriesNumber"))
    if len(series) > 1:
        found = sorted(series.values(), key=len, reverse=True)
        listed = ", ".join(f"number {numbers[0]} with {len(numbers)} slices" for numbers in found)
        raise InputError(
            f"{folder}: found {len(series)} CT series ({listed}), but one is expected; put the slices of the one to "
            "register into a folder of their own."
        )
    first = slices[0]
    if len(slices) == 1:
        raise InputError(f"{folder}: found a single CT slice, but a volume is expected; give all slices of the series.")
    for file in slices:
        for keyword, (_, tolerance) in _GRID.items():
            same = tolerance is None or np.abs(file.numbers(keyword) - first.numbers(keyword)).max() <= tolerance
            if not same:
                raise InputError(
                    f"{folder}: the slices {first.path.name} and {file.path.name} of one series differ in {keyword}, but a "
                    "volume needs it the same for all; leave out the slices that do not belong."
                )
        tilt = file.numbers("GantryDetectorTilt")
        if len(tilt) and abs(tilt[0]) > TILT_TOLERANCE_DEG:
            raise _tilted(folder, f"{abs(tilt[0]):.1f} degrees by the header of {file.path.name}")


def _tilted(folder: Path, how_much: str) -> InputError:
    return InputError(
        f"{folder}: the CT was taken with a tilted gantry ({how_much}), but slices stacked at right angles are expected; "
        "convert it with a program that resamples tilted CTs (such as dcm2niix) and give that volume."
    )


def _stacked(folder: Path, slices: list[DicomFile]) -> list[Path]:
    """The slices' files by growing depth along their normal, if they are evenly spaced on a line along it."""
    normal = np.cross(*slices[0].numbers("ImageOrientationPatient").reshape(2, 3))
    slices = sorted(slices, key=lambda item: item.numbers("ImagePositionPatient") @ normal)
    positions = np.array([item.numbers("ImagePositionPatient") for item in slices])
    depth = positions @ normal
    gaps = np.diff(depth)
    spacing = float(np.median(gaps))
    length = depth[-1] - depth[0]

    narrowest = int(np.argmin(gaps))
    if gaps[narrowest] < 0.01:
        raise InputError(
            f"{folder}: the slices {slices[narrowest].path.name} and {slices[narrowest + 1].path.name} lie at the same "
            "position, but one slice for each is expected; keep one copy, or one phase, of the series."
        )
    aside = np.linalg.norm(positions - positions[0] - np.outer(depth - depth[0], normal), axis=1).max()
    if aside > POSITION_TOLERANCE_MM + np.tan(np.radians(TILT_TOLERANCE_DEG)) * length:
        raise _tilted(folder, f"{np.degrees(np.arctan2(aside, length)):.1f} degrees by the positions of its slices")
    index = np.arange(len(depth))
    uneven = np.abs(depth - np.polyval(np.polyfit(index, depth, 1), index)).max()
    if uneven > min(POSITION_TOLERANCE_MM, 0.2 * spacing):
        widest = int(np.argmax(np.abs(gaps - spacing)))
        raise InputError(
            f"{folder}: the slices are not evenly spaced ({gaps[widest]:.2f} mm between {slices[widest].path.name} and "
            f"{slices[widest + 1].path.name}, {spacing:.2f} mm elsewhere), so slices are missing or of several series; give "
            "a complete series."
        )
    return [item.path for item in slices]
