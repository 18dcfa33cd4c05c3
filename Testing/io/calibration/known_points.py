"""A camera's parts, and points that it sees.

Each test projects them by the formula of the format it is about.
"""

import numpy as np
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

SIZE = (640, 480)
K = np.array([[1500.0, 0, 322.5], [0, 1480, 236.25], [0, 0, 1]])
R = Rotation.from_euler("xyz", (95, 12, -20), degrees=True).as_matrix()
T = np.array([12.0, -7.5, 700])
POSE = np.vstack([np.c_[R, T], [0, 0, 0, 1]])
POINTS = np.random.default_rng(5).uniform(-60, 60, (20, 3))  # mm
LPS_FROM_RAS = np.diag([-1.0, -1, 1])


def pinhole(points, intrinsics=K, rotation=R, translation=T):
    """Pixels (n, 2) by OpenCV's documentation, calib3d: s (u, v, 1) = K (R X + t)."""
    u, v, s = intrinsics @ (rotation @ np.asarray(points).T + np.asarray(translation)[:, None])
    return np.stack([u / s, v / s], 1)


def in_python(P, points):
    """Pixels (n, 2) by a matrix (3, 4)."""
    u, v, w = P @ np.c_[points, np.ones(len(points))].T
    return np.stack([u / w, v / w], 1)


def rows(matrix, between=" "):
    return "\n".join(between.join(map(repr, row)) for row in np.asarray(matrix).tolist())


def check(view, points=POINTS, pixels=None, atol=1e-6):
    """The view's camera, or its matrix without one, projects points (mm, world) so, and has them before the source.

    As the pinhole of this module projects its points, unless other pixels are given.
    """
    pixels = pinhole(POINTS) if pixels is None else pixels
    assert_allclose(in_python(view.projection_matrix, points), pixels, rtol=0, atol=atol)
    if view.camera is not None:
        assert_allclose(view.camera.project(points), pixels, rtol=0, atol=atol)
        assert (view.camera.depth(points) > 0).all()
