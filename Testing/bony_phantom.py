"""A CT with two bones of their own shapes, a rod, and a vessel with contrast agent; HU, as a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

SPACING = (2.5, 2.5, 3.0)
#: Centres (i, j, k) and half axes of the bones, voxels.
BONES = ((30, 36, 32), (14, 11, 12)), ((63, 40, 28), (11, 12, 12))


def write_bony_ct(path: Path) -> Path:
    k, j, i = np.indices((60, 70, 92))
    hu = np.where(np.hypot((i - 46) / 42, (j - 35) / 30) < 1, 40, -1000).astype(np.int16)

    def within(centre, axes):
        return sum(((each - c) / a) ** 2 for each, c, a in zip((i, j, k), centre, axes, strict=True)) < 1

    for centre, axes in BONES:
        hu[within(centre, axes)] = 900
        hu[within(centre, np.array(axes) - 2)] = 180  # marrow
        hu[within(np.array(centre) + (4, -2, 3), (3, 5, 4))] = 1100  # so that no turn leaves it as it is
    hu[np.hypot(i - 46, j - 52) < 3] = 700
    hu[within((46, 20, 30), (9, 8, 12))] = 300  # evenly filled
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(SPACING)
    image.SetOrigin((-110.0, 60.0, 400.0))
    sitk.WriteImage(image, str(path))
    return path
