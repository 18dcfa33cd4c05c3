"""CTs with a small field of view: the body goes on sideways beyond them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..io.files import written_atomically


def crop_sideways(ct_path: Path, written: Path, centre: np.ndarray, rng: np.random.Generator) -> None:
    """Writes a part of a CT that ends within the body, as drawn from `rng`.

    centre: (3,) CT LPS mm, from which the cuts are measured. One of three: both sides are cut off 65 to 95 mm out; one side
    35 to 65 mm out; one side and the front or the back, 45 to 75 and 40 to 60 mm out. A C-arm's image shows about 100 mm to
    each side.
    """
    image = sitk.ReadImage(str(ct_path))
    size, spacing = np.array(image.GetSize()), np.array(image.GetSpacing())
    middle = np.array(image.TransformPhysicalPointToContinuousIndex(centre.tolist()))
    box = np.stack([np.zeros(3, int), size], axis=1)

    def cut(axis: int, end: int, nearest_mm: float, farthest_mm: float) -> None:
        away = rng.uniform(nearest_mm, farthest_mm) / spacing[axis]
        index = round(middle[axis] + (away if end else -away))
        box[axis, end] = np.clip(index, 0, size[axis])

    kind, side = rng.integers(3), rng.integers(2)
    if kind == 0:
        cut(0, 0, 65, 95)
        cut(0, 1, 65, 95)
    elif kind == 1:
        cut(0, side, 35, 65)
    else:
        cut(0, side, 45, 75)
        cut(1, rng.integers(2), 40, 60)
    (i, i_end), (j, j_end), _ = box.tolist()
    with written_atomically(written) as path:
        sitk.WriteImage(image[i:i_end, j:j_end], str(path), useCompression=True)


def within(image_path: Path, points: np.ndarray) -> np.ndarray:
    """(N,) bool: which points (N, 3), CT LPS mm, lie in an image's grid, 5 mm or more from its faces."""
    image = sitk.ReadImage(str(image_path))
    spacing = np.array(image.GetSpacing())
    direction = np.array(image.GetDirection()).reshape(3, 3)
    index = (points - image.GetOrigin()) @ direction / spacing
    return ((index >= 5 / spacing) & (index <= np.array(image.GetSize()) - 1 - 5 / spacing)).all(axis=1)
