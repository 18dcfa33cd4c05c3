from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def oblique():
    """(4, 4) ct_from_index: axes turned every way, a voxel of 0.7 x 0.9 x 2.5 mm, origin off."""
    axes = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    affine = np.eye(4)
    affine[:3, :3] = axes * [0.7, 0.9, 2.5]
    affine[:3, 3] = [-30.5, 12.25, 801.0]
    return affine
