"""The derivative of a DRR by the scale and the principal point of its camera."""

from __future__ import annotations

import numpy as np

from ..geometry.camera import Camera


def by_intrinsics(camera: Camera, pivot: np.ndarray, jacobian: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` (3, rows, columns): d image / d (log scale, principal point u, v in pixels), from its derivative by the pose.

    pivot: (3,) world mm.   jacobian: (6, rows, columns) by (omega, v) about the pivot, as `Projector.render` gives it.

    The ray through pixel u has the direction q = R^T K^-1 (u, v, 1). To its neighbour it turns about the source s by
    w_u = q x dq/du / |q|^2, which changes the image as a turn of the CT by -w_u about s does: the renderer's own derivative, without
    differences between pixels. A principal point moved by d shows at u what was at u - d, and a detector farther away by the factor e^a
    what was at c + e^-a (u - c), so that dI/da = -(u - c) . dI/du.
    """
    directions = (camera.camera_from_world[:3, :3].T @ np.linalg.inv(camera.intrinsics)).astype(np.float32)
    lever = (pivot - camera.source).astype(np.float32)
    columns, rows = camera.size
    u, v = np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32)[:, None]
    q = [a * u + b * v + c for a, b, c in directions]
    # dI/dw about the source: a turn about s is one about the pivot and a shift by w x (pivot - s).
    turn = [
        jacobian[i] + lever[(i + 1) % 3] * jacobian[3 + (i + 2) % 3] - lever[(i + 2) % 3] * jacobian[3 + (i + 1) % 3]
        for i in range(3)
    ]
    # -dI/du = turn . (q x q_u) / |q|^2 = q_u . (turn x q) / |q|^2
    square = q[0] ** 2 + q[1] ** 2 + q[2] ** 2
    across = [(turn[(i + 1) % 3] * q[(i + 2) % 3] - turn[(i + 2) % 3] * q[(i + 1) % 3]) / square for i in range(3)]
    for axis in (0, 1):
        a, b, c = directions[:, axis]
        out[1 + axis] = a * across[0] + b * across[1] + c * across[2]
    centre_u, centre_v = camera.principal_point.astype(np.float32)
    out[0] = (u - centre_u) * out[1] + (v - centre_v) * out[2]
