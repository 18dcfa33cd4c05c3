"""What was found in a CT as the registration sees it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..imaging.ct import BONE_HU, CT
from ..translation import _
from .case import take_ct
from .registration import Registration


def take_facts(registration: Registration) -> Callable[[], list[str]]:
    """Return the facts in two steps, as `take_ct`.

    What needs the scene is done now, what takes long in the function returned, in any thread.

    Both raise InputError where the CT cannot be used.
    """
    work = take_ct(registration)
    return lambda: facts(work())


def facts(ct: CT) -> list[str]:
    """Return the size of a CT and how much of it, or of its structure, is bone, a line each."""
    values = ct.volume.values
    voxel_ml = float(np.prod(ct.volume.spacing_mm)) / 1000
    voxels = np.array(values.shape[::-1])
    lines = [
        _("Voxels: {size}").format(size=_times(voxels, "d")),
        _("Spacing: {spacing} mm").format(spacing=_times(ct.volume.spacing_mm, ".2f")),
        _("Extent: {extent} mm").format(extent=_times(voxels * ct.volume.spacing_mm, ".0f")),
    ]
    if ct.mask is not None:
        structure_ml = np.count_nonzero(ct.mask) * voxel_ml
        lines.append(_("Structure: {ml:.0f} ml").format(ml=structure_ml))
    if ct.unit != "hu":
        return lines
    bone = values > BONE_HU
    bone_ml = np.count_nonzero(bone if ct.mask is None else bone & ct.mask) * voxel_ml
    found = (
        _("Bone: {ml:.0f} ml (above {hu:.0f} HU)")
        if bone_ml
        else _("No bone above {hu:.0f} HU: are the values right?")
    )
    return [*lines, found.format(ml=bone_ml, hu=BONE_HU)]


def _times(numbers: np.ndarray, form: str) -> str:
    return " \u00d7 ".join(f"{number:{form}}" for number in numbers)
