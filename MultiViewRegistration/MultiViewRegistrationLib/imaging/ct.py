"""The CT: a regular grid of values that knows where it lies, reading it, and turning it into linear attenuation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import ArrayLike

from ..errors import InputError, UnitMismatch, warn
from ..geometry import rigid
from .ct_series import ct_slices
from .image_source import is_surface
from .reading import StoredImage, check_right_angles, read_image, read_series

Run = Callable[[Sequence[Callable[[], object]]], object]
"""Calls functions, in any order, side by side or one after another."""


def one_after_another(tasks: Sequence[Callable[[], object]]) -> None:
    """Call each function."""
    for task in tasks:
        task()


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxel values and their place.

    Attributes
    ----------
    values
        float32, C-contiguous, shape (nk, nj, ni): k is the slowest axis (slices), i the fastest
        (columns).
    ct_from_index
        (4, 4) float64, takes (i, j, k, 1) to CT LPS mm; voxel centres are at integer indices. Its
        axes are orthogonal, in any direction and of either handedness, with any spacing.

    Raises
    ------
    InputError
        `values` is not a volume of numbers, or `ct_from_index` is not a finite 4x4 matrix.
    """

    values: np.ndarray = field(repr=False)
    ct_from_index: np.ndarray

    def __post_init__(self) -> None:
        values = rigid.array_of("values", self.values)
        if values.ndim != 3:
            raise InputError(
                f"values: found {rigid.kind_of(values)}, not a volume of shape (nk, nj, ni). Pass "
                "three axes, slices first."
            )
        place = rigid.check_numbers(self.ct_from_index, (4, 4), "ct_from_index")
        object.__setattr__(self, "values", np.ascontiguousarray(values, dtype=np.float32))
        object.__setattr__(self, "ct_from_index", place)

    @property
    def size(self) -> tuple[int, ...]:
        """(ni, nj, nk): how many voxels there are along i, j, k."""
        return self.values.shape[::-1]

    @property
    def index_from_ct(self) -> np.ndarray:
        """(4, 4): CT LPS mm to voxel index (i, j, k)."""
        return np.linalg.inv(self.ct_from_index)

    @property
    def spacing_mm(self) -> np.ndarray:
        """(3,): distance of neighbouring voxel centres along i, j, k."""
        return rigid.steps(self.ct_from_index)

    def pooled(self, factors: tuple[int, int, int], run: Run = one_after_another) -> Volume:
        """Return means over blocks of (fi, fj, fk) voxels.

        The new centres are the centres of the blocks.

        Where the grid ends inside a block, the mean is over the voxels that exist: the body is
        taken to go on as it ends. Nothing is cut off, and tissue at a cut end keeps its density, by
        which the renderer knows a cut end.
        """
        fi, fj, fk = factors
        shape = -(-np.array(self.values.shape) // (fk, fj, fi))
        values = np.empty(shape, np.float32)

        # One slab at a time: they fit the cache, and no second volume is needed.
        def pool(slabs: slice) -> None:
            for k, slab in enumerate(values[slabs], start=slabs.start):
                slices = self.values[k * fk : (k + 1) * fk]
                slab[:] = _block_mean(_block_mean(_block_mean(slices, fk, 0), fj, 1), fi, 2)[0]

        run([partial(pool, slabs) for slabs in _parts(len(values))])
        index_from_pooled = np.diag([fi, fj, fk, 1.0])
        index_from_pooled[:3, 3] = (np.array(factors) - 1) / 2
        return Volume(values, self.ct_from_index @ index_from_pooled)


def voxels_in(mm: float, spacing_mm: ArrayLike) -> np.ndarray:
    """Return (3,) how many voxels along i, j, k are about so wide, at least one."""
    return np.maximum(1, np.rint(mm / np.asarray(spacing_mm))).astype(int)


def _parts(count: int) -> list[slice]:
    """Divide so many slices into parts that are worth a thread each."""
    firsts = range(0, count, SLICES_PER_TASK)
    return [slice(first, min(first + SLICES_PER_TASK, count)) for first in firsts]


def pyramid(volume: Volume, levels: int, run: Run = one_after_another) -> list[Volume]:
    """Return the volume, then `levels` - 1 coarser ones, each with about twice the voxel size of the one before.

    The target size of level n is 2^n times the median spacing (the pixel size, for a CT with square
    pixels), and each axis is pooled by the whole number that comes nearest: a thick slice waits
    until the pixels have caught up. Every level is as if pooled from the finest, so no error adds
    up: from another only where each block is made of whole ones of its.
    """
    spacing = volume.spacing_mm
    size = np.array(volume.size)
    made = [(np.ones(3, int), volume)]
    for level in range(1, levels):
        factors = voxels_in(np.median(spacing) * 2.0**level, spacing)
        of, source = next(each for each in reversed(made) if _is_multiple(factors, each[0], size))
        i, j, k = (int(by) for by in factors // of)
        made.append((factors, source.pooled((i, j, k), run)))
    return [pooled for _, pooled in made]


def _is_multiple(factors: np.ndarray, of: np.ndarray, size: np.ndarray) -> bool:
    """Return whether blocks are made of whole ones of others."""
    return not ((factors % of).any() or (size % of)[factors > of].any())


def _block_mean(values: np.ndarray, factor: int, axis: int) -> np.ndarray:
    """Return means over blocks of `factor` along one axis; the last block may be shorter."""
    if factor == 1:
        return values
    along = np.moveaxis(values, axis, 0)
    whole = len(along) - len(along) % factor
    total = along[0:whole:factor] + along[1:whole:factor]
    for offset in range(2, factor):
        total += along[offset:whole:factor]
    total /= np.float32(factor)
    if whole < len(along):
        total = np.concatenate([total, along[whole:].mean(0, keepdims=True)])
    return np.moveaxis(total, 0, axis)


def whole_numbers(values: np.ndarray) -> np.ndarray:
    """Return float32 values (slices, rows, columns) as int16, where they are the same."""
    if values.dtype != np.float32:
        return values
    whole = np.empty(values.shape, np.int16)
    for of, into in zip(values, whole, strict=True):  # by slices: they fit the cache
        into[:] = of
        if not np.array_equal(of, into):
            return values
    return whole


# Linear attenuation in 1/mm. Water: NIST (XCOM; Hubbell and Seltzer) gives 0.0206 at 60 keV and
# 0.0184 at 80 keV, so 0.0192 is about 70 keV, the effective energy of a C-arm behind a patient.
# Bone at 1000 HU: 0.0573, cortical bone of 1.92 g/cm3 (ICRU 44: 0.0604 at 60 keV, 0.0428 at 80 keV)
# near 62 keV. That is steeper than the water-to-bone line of the CT's own scale, because a CT's
# beam is harder than a C-arm's.
WATER = 0.0192
DENSE_BONE = 0.0573
#: Of what implants are made of, at 70 keV: Ti-6Al-4V, Co-28Cr-6Mo, 316L and UHMWPE, by their elements
#: (NIST; Hubbell and Seltzer) and densities of 4.43, 8.3, 8.0 and 0.94 g/cm3.
MATERIALS = {"titanium": 0.230, "cobalt-chrome": 0.779, "steel": 0.685, "polyethylene": 0.0178}
#: The line integral to which scatter, and the hardest of the spectrum, limit an X-ray behind metal:
#: of 2, 2.5, 3 and 4 the one whose worst of 12 simulated components and screws was nearest.
METAL_SATURATES_AT = 2.5
#: What the values of a CT may mean, or what it is made of by its attenuation, as 0.05/mm.
UNITS = ("hu", "relative", *MATERIALS)
PER_MM = "/mm"
#: From lung to tungsten at 70 keV.
PER_MM_RANGE = (0.001, 20.0)
#: What is said of such a unit.
MATERIAL = f"one of {', '.join(MATERIALS)}, or an attenuation as 0.05{PER_MM}"
AIR_BELOW_HU = -850.0
HU_RANGE = (-1000.0, 3000.0)
#: The values of a CT in Hounsfield units go farther from 0, whatever it shows.
LEAST_HU_RANGE = 20.0

SLICES_PER_TASK = 16

BONE_HU = 200.0
BONE_SHARE_OF_LARGEST = 0.25
#: Linear attenuation at BONE_HU, 1/mm.
BONE_PER_MM = WATER + BONE_HU / 1000 * (DENSE_BONE - WATER)


@dataclass(frozen=True, eq=False)
class CT:
    """A CT and what its values mean.

    Attributes
    ----------
    volume
        Values in HU (unit "hu"), in any unit where 0 is nothing and larger is denser
        ("relative"), or of how much of a voxel is of a material, see `per_mm_of`.
    mask
        bool (nk, nj, ni) on the same grid, True where the structure to register is; None for
        everything.
    """

    volume: Volume
    unit: str = "hu"
    mask: np.ndarray | None = field(default=None, repr=False)

    def centroid(self) -> np.ndarray:
        """Return (3,) CT LPS mm: mean position of the mask's voxels.

        Without a mask of the bone's, else of everything.
        """
        return self._centroid.copy()

    @cached_property
    def _centroid(self) -> np.ndarray:
        selected = self.mask
        if selected is None:
            values = self.volume.values
            hu = self.unit == "hu"
            selected = values > (BONE_HU if hu else BONE_SHARE_OF_LARGEST * values.max())
            if not selected.any():
                selected = values > (AIR_BELOW_HU if hu else 0)
        counts = (selected.sum(axis=axes) for axes in ((0, 1), (0, 2), (1, 2)))
        index = [np.average(np.arange(len(along)), weights=along) for along in counts]
        return (self.volume.ct_from_index @ [*index, 1.0])[:3]


def load_ct(
    path: str | Path | Sequence[Path],
    unit: str = "hu",
    mask: str | Path | None = None,
    series: str | None = None,
) -> CT:
    """Read a CT from a file of any format that SimpleITK knows, from a folder of DICOM slices, or from a surface.

    Parameters
    ----------
    path
        Also the files of the slices, in any order.
    unit
        What the values mean, "hu", "relative" (0 = nothing, larger = denser), or a material, see
        `per_mm_of`, which a surface must name.
    mask
        Image file, non-zero where the structure to register is. On another grid it is resampled
        (nearest neighbour) by its own position in space.
    series
        SeriesInstanceUID of the one to take of a DICOM folder with several.

    Raises
    ------
    InputError
        For anything that is not a three-dimensional grey image on a rectangular grid, with some
        matter in it, in the unit that was named; for what is refused in a DICOM folder, see
        `dicom_file.ct_slices`.
    """
    _check_unit(unit)
    if isinstance(path, (str, Path)):
        path = Path(path)
        if is_surface(path):
            if per_mm_of(unit) is None:
                raise InputError(
                    f'{path}: is a surface, whose material is not named (its unit is "{unit}"), '
                    f"expected {MATERIAL}; set ct_unit to it."
                )
            from .surface import read_surface

            return _checked(*read_surface(path), unit, path)
        image = (
            read_series(path, ct_slices(path, series)) if path.is_dir() else read_volume(path, "CT")
        )
    else:
        slices = ct_slices(path, series)
        path = slices[0].parent
        image = read_series(path, slices)
    ct = _checked(image.values, image.ct_from_index, unit, path)
    return (
        ct
        if mask is None
        else masked(ct, load_mask(Path(mask), image.ct_from_index, image.values.shape), mask)
    )


def ct_from_array(
    values: np.ndarray, ct_from_index: np.ndarray, unit: str = "hu", *, name: str | Path = "the CT"
) -> CT:
    """Return the CT in an array, by the rules for one in a file.

    Parameters
    ----------
    values
        (nk, nj, ni) of any type, k the slowest axis; they are copied, as float32. With a fourth
        axis they are colour, or vectors.
    ct_from_index
        (4, 4), takes (i, j, k, 1) to CT LPS mm.
    name
        Begins the sentence where something is wrong.

    Raises
    ------
    InputError
        For an image that is not a three-dimensional grid at right angles, has voxels that are not
        finite, is nothing but air, or does not fit the unit. A structure of it is chosen with
        `masked`.
    """
    _check_unit(unit)
    values = np.asarray(values)
    return _checked(
        values.copy() if values.dtype == np.float32 else values, ct_from_index, unit, name
    )


def _checked(values: np.ndarray, ct_from_index: np.ndarray, unit: str, name: str | Path) -> CT:
    """Return the CT in an array, which is its own from now on if it is float32."""
    check_grid(name, "CT", values.shape[::-1], values.shape[3] if values.ndim == 4 else 1)
    ct_from_index = np.asarray(ct_from_index, float)
    spacing = rigid.steps(ct_from_index)
    if not np.isfinite(ct_from_index).all() or not spacing.all():
        raise InputError(
            f"{name}: its position is not given by finite numbers and a spacing above 0 mm, but it "
            "must be; correct it."
        )
    check_right_angles(name, ct_from_index[:3, :3] / spacing)
    with np.errstate(over="ignore"):  # beyond float32 is not finite
        values = values.astype(np.float32, copy=False)
    _check_values(name, values, unit)
    if unit == "hu":  # padding outside the scanner's round field, often -2000 or -3024
        np.maximum(values, -1024, out=values)
    ct = CT(Volume(values, ct_from_index), unit)
    _check_matter(ct, f"{name}: the CT")
    return ct


def masked(ct: CT, mask: np.ndarray, name: str | Path = "the mask") -> CT:
    """Return the CT with one structure of it to register.

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
        size = " x ".join(map(str, mask.shape[::-1]))
        expected = " x ".join(map(str, ct.volume.size))
        raise InputError(
            f"{name}: the mask has {size} voxels, but the CT's {expected} are expected; export it "
            "on the CT's grid."
        )
    selected = mask != 0
    if not selected.any():
        raise _empty(name)
    ct = replace(ct, mask=selected)
    _check_matter(ct, f"{name}: the CT inside the mask")
    return ct


def attenuation(ct: CT, run: Run = one_after_another) -> Volume:
    """Return linear attenuation in 1/mm on the CT's grid; 0 outside the mask.

    HU, clipped to [-1000, 3000], go through two straight lines: air 0, water (0 HU) 0.0192, bone
    (1000 HU) 0.0573. Below -850 HU it is exactly 0: there is only air, and over the half metre of
    it that a ray crosses, the CT's noise, its table foam and a scale that is off by a few HU would
    add up.

    Other values are scaled so that the largest becomes dense bone, 0.0573, or its material; 0 stays
    0, and below 0 is 0.
    """
    values = ct.volume.values
    if ct.unit != "hu":
        mu = np.maximum(values, 0)
        mu *= np.float32((per_mm_of(ct.unit) or DENSE_BONE) / values.max())
    else:
        mu = np.empty_like(values)
        run([partial(_attenuate, values[slices], mu[slices]) for slices in _parts(len(values))])
    if ct.mask is not None:
        mu *= ct.mask
    return Volume(mu, ct.volume.ct_from_index)


def _attenuate(values: np.ndarray, mu: np.ndarray) -> None:
    low, high, air, water = map(np.float32, (*HU_RANGE, AIR_BELOW_HU, WATER))
    for hu, out in zip(values, mu, strict=True):  # by slices: they fit the cache
        bone = np.clip(hu, low, high)
        np.multiply(bone, np.float32(WATER / 1000), out=out)
        bone *= np.float32((DENSE_BONE - WATER) / 1000)
        np.maximum(out, bone, out=out)  # bone's is the steeper one; they cross at water
        out += water
        out *= hu >= air


def read_volume(path: Path, what: str) -> StoredImage:
    """Return the grey volume in a file.

    Parameters
    ----------
    what
        It should be, for messages: "CT", "mask".

    Raises
    ------
    InputError
        As `read_image`, and for a single slice, colour, and a multi-frame DICOM file.
    """
    image = read_image(path)
    if image.components == 1 and "0008|0016" in image.said and image.size[-1] > 1:
        raise InputError(
            f"{path}: a multi-frame DICOM file, whose frames may lie anywhere, but a volume is "
            "expected; export the series as single slices and name their folder, or convert it to "
            "NIfTI or NRRD."
        )
    check_grid(path, what, image.size, image.components)
    return image


def check_grid(name: str | Path, what: str, size: tuple[int, ...], components: int = 1) -> None:
    """Check that an image is a grey volume.

    Parameters
    ----------
    name
        Begins the sentence where something is wrong.
    what
        It should be, "CT" for one.
    size
        Along i, j, k.
    components
        Values in each voxel.

    Raises
    ------
    InputError
        For a single slice, and for colour.
    """
    if components > 1:
        raise InputError(
            f"{name}: has {components} values a voxel (colour or vectors), but a grey volume is "
            f"expected; name the {what} itself."
        )
    if len(size) != 3 or min(size) < 2:
        raise InputError(
            f"{name}: has {' x '.join(map(str, size))} pixels, but a three-dimensional "
            f"{what} is expected; if this is one slice of a series, name the folder that holds "
            "them all."
        )


def per_mm_of(unit: str) -> float | None:
    """Return the attenuation, 1/mm, of a unit that is one of MATERIALS or says it, as 0.05/mm; None of others."""
    number, is_given, rest = unit.partition(PER_MM)
    if not is_given or rest:
        return MATERIALS.get(unit)
    try:
        per_mm = float(number)
    except ValueError:
        return None
    low, high = PER_MM_RANGE
    return per_mm if low <= per_mm <= high else None


def _check_unit(unit: str) -> None:
    if unit not in UNITS and per_mm_of(unit) is None:
        raise InputError(
            f'the CT\'s unit is "{unit}", expected hu or relative, of a surface {MATERIAL}; correct it.'
        )


def _check_values(name: str | Path, values: np.ndarray, unit: str) -> None:
    # both NaN where a single voxel is
    low = float(values.min())
    high = float(values.max())
    if not np.isfinite([low, high]).all():
        raise InputError(
            f"{name}: has voxels that are not finite numbers, but every voxel needs a value; fill "
            "or crop them."
        )
    if unit == "hu" and low >= 0:
        raise UnitMismatch(
            f"{name}: has no voxel below 0 (values {low:g} to {high:g}), but in Hounsfield units "
            "fat and air are; if 0 stands "
            'for nothing, set the unit to "relative", otherwise subtract the offset (often 1024).',
            "relative",
        )
    if unit == "hu" and max(-low, high) < LEAST_HU_RANGE:
        raise InputError(
            f"{name}: has values from {low:.3g} to {high:.3g}, expected Hounsfield units, in which "
            "air is -1000 and bone some hundred or more; multiply them by 1000 if they are "
            "thousandths of these."
        )
    if unit != "hu" and low < -0.1 * abs(high):
        raise UnitMismatch(
            f"{name}: has values down to {low:g}, but relative values begin at 0 for nothing; if "
            "they are Hounsfield units, "
            'set the unit to "hu".',
            "hu",
        )


def _check_matter(ct: CT, where: str) -> None:
    values = ct.volume.values if ct.mask is None else ct.volume.values[ct.mask]
    if not values.max() > (AIR_BELOW_HU if ct.unit == "hu" else 0):
        raise InputError(
            f"{where} is nothing but air, but a body is expected; check the file and its unit."
        )


def _empty(name: str | Path) -> InputError:
    return InputError(
        f"{name}: the mask is empty, but voxels other than 0 are expected where the structure is."
    )


def load_mask(path: Path, ct_from_index: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the mask (nk, nj, ni) in a file on the grid of a CT, True where it is not 0.

    See `load_ct`. Warns of a file of labels.

    Parameters
    ----------
    ct_from_index
        (4, 4), takes (i, j, k, 1) to CT LPS mm.
    shape
        (nk, nj, ni) of the CT.

    Raises
    ------
    InputError
        For what is no volume, and a mask that is empty or lies outside.
    """
    image = read_volume(path, "mask")
    if not np.any(image.values):
        raise _empty(path)
    _warn_of_labels(path, image.values)
    mask = on_grid(image.values, image.ct_from_index, ct_from_index, shape) != 0
    if not mask.any():
        raise InputError(
            f"{path}: the mask lies wholly outside the CT, but it must overlap it; export the mask "
            "in the CT's own space."
        )
    return mask


def _warn_of_labels(path: Path, values: np.ndarray) -> None:
    selected = values[values != 0]
    if (selected == selected[0]).all():
        return
    labels = np.unique(selected)
    if (labels % 1 == 0).all():  # a probability is none
        warn(
            f"{path}: the mask has {len(labels)} labels, {labels[0]:g} to {labels[-1]:g}, and is "
            "taken as one structure; for bones that have a pose each give it as labels, with the "
            "structures to register."
        )


#: How far the matrices of one grid may differ.
SAME_GRID = 1e-3


def on_grid(
    values: np.ndarray, place: np.ndarray, ct_from_index: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Return the nearest values of a volume at the voxels of another grid, 0 outside; of the same grid its own.

    Parameters
    ----------
    values
        (nk, nj, ni) of the volume.
    place
        (4, 4), takes its (i, j, k, 1) to CT LPS mm.
    ct_from_index
        (4, 4) of the other grid.
    shape
        (nk, nj, ni) of the other grid.
    """
    if values.shape == tuple(shape) and np.allclose(place, ct_from_index, rtol=0, atol=SAME_GRID):
        return values
    index = np.linalg.inv(place) @ ct_from_index
    return scipy.ndimage.affine_transform(
        values, index[2::-1, 2::-1], index[2::-1, 3], tuple(shape), order=0, mode="grid-constant"
    )
