"""The Jacobian is the change of the image when the CT moves, as `render` says.

Turned by omega about the pivot, shifted by v.
"""

from __future__ import annotations

import numpy as np
import pytest
from scenes import random_scene

from MultiViewRegistrationLib.rendering.drr import Projector

#: Half the length of the central difference, in rad and mm: large against float32's rounding of an
#: image, small against a voxel.
STEP = np.repeat([1e-4, 0.005], 3)


@pytest.mark.parametrize(
    "leading, mirrored, left_handed",
    [(0, False, False), (1, True, False), (2, False, True), (None, True, True)],
)
def test_of_the_kernels_own_image(leading, mirrored, left_handed):
    scene = random_scene(20, leading=leading, mirrored=mirrored, left_handed=left_handed)
    projector = Projector(scene.volume)
    jacobian = projector.render(
        scene.camera, scene.world_from_ct, jacobian=True, pivot=scene.pivot
    ).jacobian
    for ours, twist in zip(jacobian, np.diag(STEP), strict=True):
        ahead, behind = (
            projector.render(scene.camera, scene.moved(way * twist)).image.astype(float)
            for way in (1, -1)
        )
        expected = (ahead - behind) / (2 * twist.sum())
        assert np.linalg.norm(ours - expected) < 0.01 * np.linalg.norm(expected)
