"""What a person is shown of a CT.

The right way round, with the right numbers, and a sentence where it cannot be used.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.mrml.ct_preview import preview

SPACING = (2.0, 3.0, 4.0)


def ct_with_a_spot(axes, signs) -> CT:
    """Water with a bone at the patient's right and the head's end, at low x and high z.

    With this orientation of its grid.
    """
    rotation = np.zeros((3, 3))
    rotation[list(axes), range(3)] = signs
    place = np.eye(4)
    place[:3, :3] = rotation * SPACING
    size = np.array((20, 24, 28))
    values = np.zeros(size[::-1], np.float32)
    values[:] = -1000
    values[3:-3, 3:-3, 3:-3] = 0
    index = np.argwhere(values == 0)
    world = index[:, ::-1] @ place[:3, :3].T
    chosen = (world[:, 0] < np.percentile(world[:, 0], 25)) & (
        world[:, 2] > np.percentile(world[:, 2], 75)
    )
    values[tuple(index[chosen].T)] = 1500
    return CT(Volume(values, place))


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (1, -1, -1)])
def test_head_up_and_right_on_the_left(slicer_app, axes, signs):
    found = preview(ct_with_a_spot(axes, signs))
    grey = found.picture.astype(float).mean(2)
    rows, columns = grey.shape
    assert np.unravel_index(grey.argmax(), grey.shape) < (rows / 2, columns / 2)
    half = rows // 2, columns // 2
    opposite = max(grey[: half[0], -half[1] :].sum(), grey[-half[0] :, : half[1]].sum())
    assert grey[: half[0], : half[1]].sum() > 1.2 * opposite
    along = {axis: SPACING[k] for k, axis in enumerate(axes)}  # mm by LPS axis
    assert found.aspect == pytest.approx(along[2] / along[0])


def test_numbers(slicer_app):
    ct = ct_with_a_spot((0, 1, 2), (1, 1, 1))
    bone = ct.volume.values == 1500
    found = preview(ct)
    assert (found.size, found.spacing_mm, found.structure_ml) == ((20, 24, 28), SPACING, None)
    assert found.bone_ml == pytest.approx(bone.sum() * 24 / 1000)
    mask = bone.copy()
    mask[:, :12] = False
    mask[4, 4, 18] = True  # not bone
    chosen = preview(CT(ct.volume, "hu", mask))
    assert chosen.structure_ml == pytest.approx(mask.sum() * 24 / 1000)
    assert chosen.bone_ml == pytest.approx((mask & bone).sum() * 24 / 1000)
    assert not np.array_equal(
        chosen.picture[..., 0], chosen.picture[..., 2]
    )  # the structure is tinted
    assert np.array_equal(found.picture[..., 0], found.picture[..., 2])
