"""A CT as the registration sees it.

A picture of its attenuation from the front, and what was found in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..imaging.ct import BONE_HU, BONE_SHARE_OF_LARGEST, CT, Volume, attenuation
from ..translation import _
from .case import take_ct
from .identity import of_ct
from .registration import Registration

#: About the longest side of the picture, in voxels of the CT taken for it.
PICTURE = 256
GAMMA = 1.4
UNDER_STRUCTURE = 0.35  # brightness of what is not registered
TINT = np.array([1.0, 0.75, 0.3])


@dataclass(frozen=True, eq=False)
class CTPreview:
    """The values found in a CT.

    Attributes
    ----------
    size
        Voxels along i, j, k.
    spacing_mm
        Along the same.
    bone_ml
        Millilitres of bone, of the structure if one was chosen.
    structure_ml
        Of the structure; None for the whole CT.
    picture
        Uint8 (rows, columns, 3), the head up, the patient's right on its left.
    aspect
        Height of its pixels over their width.
    """

    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    bone_ml: float
    structure_ml: float | None
    picture: np.ndarray
    aspect: float


def seen_in(registration: Registration) -> str:
    """Return the key of the CT's preview: the same text means the same preview."""
    parent = registration.ct and registration.ct.GetParentTransformNode()
    return f"{of_ct(registration)} {parent is None or bool(parent.IsTransformToWorldLinear())}"


def take_preview(registration: Registration) -> Callable[[], CTPreview]:
    """Return the preview in two steps, as `take_ct`.

    What needs the scene is done now, what takes long in the function returned, in any thread.

    Both raise InputError where the CT cannot be used.
    """
    work = take_ct(registration)
    return lambda: preview(work())


def preview(ct: CT) -> CTPreview:
    """Look at a CT."""
    values, spacing = ct.volume.values, ct.volume.spacing_mm
    voxel_ml = float(np.prod(spacing)) / 1000
    threshold = BONE_HU if ct.unit == "hu" else BONE_SHARE_OF_LARGEST * values.max()
    bone = np.count_nonzero(
        values > threshold if ct.mask is None else (values > threshold) & ct.mask
    )
    picture, aspect = _picture(ct)
    return CTPreview(
        values.shape[::-1],
        tuple(spacing.tolist()),
        bone * voxel_ml,
        None if ct.mask is None else np.count_nonzero(ct.mask) * voxel_ml,
        picture,
        aspect,
    )


def facts(found: CTPreview, unit: str) -> list[str]:
    """Return the findings, a line each.

    Parameters
    ----------
    unit
        Of the CT, as in a case.json.
    """
    size = " \u00d7 ".join(str(n) for n in found.size)
    spacing = " \u00d7 ".join(f"{mm:.2f}" for mm in found.spacing_mm)
    extent = " \u00d7 ".join(
        f"{n * mm:.0f}" for n, mm in zip(found.size, found.spacing_mm, strict=True)
    )
    lines = [
        _("Voxels: {size}").format(size=size),
        _("Spacing: {spacing} mm").format(spacing=spacing),
        _("Extent: {extent} mm").format(extent=extent),
    ]
    if found.structure_ml is not None:
        lines.append(_("Structure: {ml:.0f} ml").format(ml=found.structure_ml))
    if unit == "hu":
        bone = (
            _("Bone: {ml:.0f} ml (above {hu:.0f} HU)")
            if found.bone_ml
            else _("No bone above {hu:.0f} HU: are the values right?")
        )
        lines.append(bone.format(ml=found.bone_ml, hu=BONE_HU))
    return lines


def _picture(ct: CT) -> tuple[np.ndarray, float]:
    """Return a picture, uint8 (rows, columns, 3), and the height of its pixels over their width."""
    thin = _thinned(ct)
    everything, along = _projected(attenuation(replace(thin, mask=None)))
    bright = _bright(everything)
    if ct.mask is None:
        picture = np.repeat(bright[..., None], 3, 2)
    else:
        structure = np.sqrt(_bright(_projected(attenuation(thin))[0]))
        picture = np.maximum(UNDER_STRUCTURE * bright[..., None], structure[..., None] * TINT)
    return (255 * picture).astype(np.uint8), along


def _thinned(ct: CT) -> CT:
    """Return every few voxels of a CT."""
    size_mm = np.array(ct.volume.values.shape[::-1]) * ct.volume.spacing_mm
    steps = np.maximum(1, np.rint(size_mm.max() / PICTURE / ct.volume.spacing_mm)).astype(int)
    part = tuple(slice(None, None, step) for step in steps[::-1])
    place = ct.volume.ct_from_index @ np.diag([*steps, 1.0])
    return CT(
        Volume(ct.volume.values[part], place), ct.unit, None if ct.mask is None else ct.mask[part]
    )


def _projected(mu: Volume) -> tuple[np.ndarray, float]:
    """Return sums (rows, columns) from front to back along the voxels' axes nearest to LPS, and their pixels' height over width."""
    cosines = mu.ct_from_index[:3, :3] / mu.spacing_mm
    axis_of = np.abs(cosines).argmax(1)  # of i, j, k (0, 1, 2): the one along x, y, z
    if len(set(axis_of.tolist())) < 3:  # halfway between two axes
        axis_of = np.arange(3)
    across, depth, up = axis_of
    image = mu.values.transpose(2 - up, 2 - across, 2 - depth).sum(2)
    image = image[::-1] if cosines[2, up] > 0 else image  # the head, at high z, in the first row
    image = (
        image if cosines[0, across] > 0 else image[:, ::-1]
    )  # the patient's right, at low x, in the first column
    return np.ascontiguousarray(image), float(mu.spacing_mm[up] / mu.spacing_mm[across])


def _bright(image: np.ndarray) -> np.ndarray:
    """Return the slice's brightness, 0 to 1, for display."""
    lit = image[image > 0]
    return np.clip(image / (np.percentile(lit, 99.5) if lit.size else 1), 0, 1) ** GAMMA
