"""The published refinements need torch.

And a smooth body, oblique, before a camera that sees all of it and more.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.ct import Volume

if find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def scene() -> tuple[Volume, Camera, np.ndarray]:
    """Volume, camera and pose; voxels of uneven size, a left-handed grid far from the origin, a mirrored image."""
    rng = np.random.default_rng(3)
    values = np.zeros((26, 36, 30))
    values[4:-4, 4:-4, 4:-4] = rng.normal(size=(18, 28, 22))
    values = np.maximum(gaussian_filter(values, 2.0), 0)
    ct_from_index = np.diag([1.2, 1.0, -1.6, 1.0])
    ct_from_index[:3, 3] = [100, -50, 400]
    volume = Volume((0.05 / values.max() * values).astype(np.float32), ct_from_index)
    world_from_ct = rigid.turn_and_shift([0.5, -0.3, 0.8], [-60, 10, -300])
    centre = rigid.transform_points(world_from_ct @ ct_from_index, [14.5, 17.5, 12.5])
    R = rigid.exp_so3([1.0, 0.4, -0.2])
    camera_from_world = rigid.from_rotation_translation(R, [3, -2, 300] - R @ centre)
    return (
        volume,
        Camera([[-220, 0, 20], [0, 220, 16], [0, 0, 1]], camera_from_world, (41, 33)),
        world_from_ct,
    )
