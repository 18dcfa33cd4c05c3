"""The body that is X-rayed: densities of water and bone from a CT, their attenuation and that of iron, and its single bones.

Coefficients: J. H. Hubbell, S. M. Seltzer, Tables of X-Ray Mass Attenuation Coefficients, NIST SRD
126, https://doi.org/10.18434/T4D01F, tables 3 and 4 (liquid water; cortical bone of ICRU Report 44;
iron).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import (
    binary_closing,
    binary_dilation,
    binary_fill_holes,
    binary_opening,
    distance_transform_edt,
    gaussian_filter,
    generate_binary_structure,
    label,
    shift,
)

from MultiViewRegistrationLib.geometry.rigid import transform_points
from MultiViewRegistrationLib.imaging.ct import Volume

ENERGIES_KEV = np.array([30.0, 40.0, 50.0, 60.0, 80.0, 100.0])

# Share of each energy in the signal of an open field: roughly 100 kV, 3 mm Al + 0.1 mm Cu, a CsI
# detector.
SIGNAL_SHARE = np.array([0.06, 0.18, 0.23, 0.27, 0.18, 0.08])

# Mass attenuation coefficients in cm^2/g at ENERGIES_KEV
WATER = np.array([0.3756, 0.2683, 0.2269, 0.2059, 0.1837, 0.1707])
BONE = np.array([1.331, 0.6655, 0.4242, 0.3148, 0.2229, 0.1855])
IRON = np.array([8.176, 3.629, 1.958, 1.205, 0.5952, 0.3717])

# Densities in g/cm^3
BONE_DENSITY = 1.92
IRON_DENSITY = 7.874


def at_energy(coefficients: np.ndarray, energy_kev: float) -> float:
    """A coefficient between the tabulated energies (linear in the logarithms)."""
    return float(np.exp(np.interp(np.log(energy_kev), np.log(ENERGIES_KEV), np.log(coefficients))))


def transmission(water: np.ndarray, bone: np.ndarray, iron: np.ndarray) -> np.ndarray:
    """Share of the open field's signal left behind so many g/cm^2 of each material (arrays of one shape)."""
    total = np.zeros_like(water)
    for share, mu_water, mu_bone, mu_iron in zip(SIGNAL_SHARE, WATER, BONE, IRON, strict=True):
        total += share * np.exp(-(mu_water * water + mu_bone * bone + mu_iron * iron))
    return total


CT_ENERGY_KEV = 70.0  # mean energy of a CT at 120 kV, to which the Hounsfield units refer
# Denser is bone mineral, or contrast agent, which attenuates in much the same way.
SOFT_TISSUE_HU = 100.0
AIR_HU = -900.0
COARSE_MM = 3.0  # voxel size that is fine enough to separate bone, vessels and couch
# Smooths the repeated end slices: noise drawn out over centimetres would be streaks.
BEYOND_SD_MM = 3.0


@dataclass(frozen=True, eq=False)
class Body:
    """Densities in g/cm^3, float32 (k, j, i) each, and (4, 4) `ct_from_index` as in Volume."""

    water: np.ndarray
    bone: np.ndarray
    ct_from_index: np.ndarray

    @staticmethod
    def from_hu(ct: Volume, beyond_mm: float = 130.0, drift: Sequence[float] = (0.0, 0.0)) -> Body:
        """The body of a CT in Hounsfield units, without the air beside it, which goes on for `beyond_mm` above and below it.

        The end slices are repeated, moving sideways by `drift` (along i, along j) mm for each mm
        away from the CT.
        """
        away = np.array(drift)
        whole = _continued(_cropped(ct, np.abs(away) * beyond_mm), beyond_mm, away)
        water, bone = base_materials(whole.values)
        return Body(water, bone, whole.ct_from_index)


def base_materials(hu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Densities of water and of cortical bone in g/cm^3 that attenuate as `hu` says at the CT's energy.

    Up to SOFT_TISSUE_HU all is water, above the share of bone rises linearly to 1 for cortical
    bone.
    """
    bone_per_water = at_energy(BONE, CT_ENERGY_KEV) / at_energy(WATER, CT_ENERGY_KEV)
    cortical_hu = 1000 * (BONE_DENSITY * bone_per_water - 1)
    bone = np.maximum(hu - SOFT_TISSUE_HU, 0) * np.float32(
        BONE_DENSITY / (cortical_hu - SOFT_TISSUE_HU)
    )
    water = np.maximum(hu / np.float32(1000) + 1, 0)
    water -= bone * np.float32(bone_per_water)
    return np.maximum(water, 0, out=water), bone


def without_couch(ct: Volume) -> Volume:
    """The CT with air for all but the largest piece: the patient without the scanner's couch."""
    fi, fj, _ = _coarse_factors(ct)
    coarse = ct.pooled((fi, fj, 1))
    patient = largest(binary_opening(coarse.values > -400, np.ones((1, 3, 3))))
    patient = np.stack([binary_fill_holes(slice_) for slice_ in binary_dilation(patient)])
    patient = _finer(patient, (fi, fj, 1), ct.values.shape)
    return Volume(np.where(patient, ct.values, -1000), ct.ct_from_index)


def largest(mask: np.ndarray) -> np.ndarray:
    """The largest piece of a mask that hangs together."""
    pieces, _ = label(mask)
    return pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])


def bone_points(ct: Volume, seed: int = 0) -> np.ndarray:
    """(N, 3) CT LPS mm: up to 20,000 points in bone, in random order.

    Heart and vessels with contrast agent are left out: it fills thick things evenly, where bone has
    marrow.
    """
    coarse = ct.pooled(tuple(_coarse_factors(ct)))
    filled = binary_opening(coarse.values > 200, generate_binary_structure(3, 1), iterations=2)
    bone = (coarse.values > 300) & ~binary_dilation(filled, iterations=3)
    return np.random.default_rng(seed).permutation(_centres(coarse, bone))[:20000]


def middle(ct: Volume) -> np.ndarray:
    """(3,) CT LPS mm: centroid of the body."""
    coarse = ct.pooled(tuple(2 * _coarse_factors(ct)))
    return _centres(coarse, coarse.values > -300).mean(axis=0)


def _coarse_factors(ct, voxel_mm=COARSE_MM):
    return np.maximum(1, np.rint(voxel_mm / ct.spacing_mm)).astype(int)


def _centres(ct, selected):
    return transform_points(ct.ct_from_index, np.argwhere(selected)[:, ::-1])


def _cropped(ct, margin_mm):
    """Without the air beside the body, but for a margin along i and j.

    Padding below air becomes air.
    """
    margin_i, margin_j = np.ceil(margin_mm / ct.spacing_mm[:2]).astype(int) + 1
    tissue = (ct.values > AIR_HU).any(axis=0)
    rows, columns = (np.flatnonzero(np.any(tissue, axis=axis)) for axis in (1, 0))
    body = ct.values[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    margins = ((0, 0), (margin_j, margin_j), (margin_i, margin_i))
    values = np.pad(np.maximum(body, -1000), margins, constant_values=-1000)
    return Volume(values, _moved(ct.ct_from_index, [columns[0] - margin_i, rows[0] - margin_j, 0]))


def _continued(ct, beyond_mm, drift):
    di, dj, dk = ct.spacing_mm
    count = round(beyond_mm / dk)

    def beyond(end):
        smooth = gaussian_filter(end, BEYOND_SD_MM / np.array([dj, di]), mode="nearest")
        away_mm = np.arange(1, count + 1) * dk
        shifts = np.outer(away_mm, drift[::-1] / [dj, di])
        slices = [shift(smooth, s, order=1, cval=-1000) if s.any() else smooth for s in shifts]
        return np.reshape(slices, (count, *end.shape))

    values = np.concatenate([beyond(ct.values[0])[::-1], ct.values, beyond(ct.values[-1])])
    return Volume(values, _moved(ct.ct_from_index, [0, 0, -count]))


def _moved(ct_from_index, first):
    """ct_from_index of the part of a grid that begins at index `first` (i, j, k)."""
    moved = ct_from_index.copy()
    moved[:3, 3] += moved[:3, :3] @ first
    return moved


BONE_HU = 250.0
SOFT_HU = 40.0
#: Voxel size at which bones are separated; how much narrower than the bones a joint must be to
#: divide them, and what is thinner than twice the last is no part of a bone (ribs at the spine,
#: noise).
SINGLE_BONE_VOXEL_MM, NECK_MM, THIN_MM = 2.0, 3.0, 3.5
#: Smaller pieces are hands and fragments.
LEAST_ML = 100.0
#: A tenth of a bone is marrow and less dense than this; contrast agent fills heart and vessels
#: evenly.
MARROW_HU = 230.0


def single_bones(ct: Volume, most: int = 2) -> list[np.ndarray]:
    """Masks, bool (k, j, i) each, of the largest bones in a CT in Hounsfield units.

    [] where there is none.

    A joint whose space the CT does not show stays whole. Thresholded, closed, and divided at the
    necks by the watershed of the distance to the surface (Beucher and Lantuéjoul 1979).
    """
    factors = _coarse_factors(ct, SINGLE_BONE_VOXEL_MM)
    coarse = ct.pooled(tuple(factors))
    spacing = coarse.spacing_mm[::-1]
    bone = np.stack([binary_fill_holes(each) for each in binary_closing(coarse.values > BONE_HU)])
    # The body goes on above and below, but not beside the CT.
    padded = np.pad(bone, ((0, 0), (1, 1), (1, 1)))
    deep = distance_transform_edt(padded, sampling=spacing)[:, 1:-1, 1:-1]
    hills = sitk.GetImageFromArray(-gaussian_filter(deep, 1).astype(np.float32))
    divided = sitk.MorphologicalWatershed(hills, NECK_MM, markWatershedLine=False)
    pieces = sitk.GetArrayFromImage(divided) * bone
    ml = np.prod(coarse.spacing_mm) / 1000
    sizes = np.bincount(pieces.ravel()) * ml
    sizes[0] = 0
    found = []
    for piece in np.flatnonzero(sizes >= LEAST_ML):
        bone = _thick(pieces == piece, spacing)
        if bone.sum() * ml >= LEAST_ML and np.percentile(coarse.values[bone], 10) < MARROW_HU:
            found.append(bone)
    found.sort(key=np.sum, reverse=True)
    return [_finer(bone, factors, ct.values.shape) for bone in found[:most]]


def _thick(piece, spacing):
    """The largest part of a piece without its thin parts."""
    core = distance_transform_edt(piece, sampling=spacing) > THIN_MM
    if not core.any():
        return core
    return largest(piece & (distance_transform_edt(~core, sampling=spacing) <= THIN_MM + 1))


def _finer(mask, factors, shape):
    """The mask on the grid from which it was pooled."""
    for axis, factor in enumerate(factors[::-1]):
        mask = mask.repeat(factor, axis=axis)
    return np.ascontiguousarray(mask[: shape[0], : shape[1], : shape[2]])
