"""Any pose, for hypothesis: also turns of nothing, of almost nothing, and of half a circle."""

import numpy as np
from hypothesis import strategies as st

from MultiViewRegistrationLib import Camera
from MultiViewRegistrationLib.geometry import rigid

SIZE = (640, 480)
directions = (
    st.tuples(*3 * [st.integers(-99, 99)])
    .filter(any)
    .map(lambda d: np.array(d) / np.linalg.norm(d))
)
angles = st.one_of(
    st.just(0.0),
    st.floats(1e-100, 1e-3),
    st.floats(1e-3, np.pi),
    st.floats(0.09, 0.11),
    st.floats(0, 1e-3).map(lambda e: np.pi - e),
)
points = st.tuples(*3 * [st.floats(-500, 500)]).map(np.array)
twists = st.builds(lambda d, a, v: np.concatenate([a * d, v]), directions, angles, points)
poses = twists.map(rigid.exp_se3)


@st.composite
def cameras(draw, least_focal=500, principal=2000):
    """Skewed or not, mirrored or not, anywhere, seeing the world's origin or not."""
    number = lambda low, high: draw(st.floats(low, high))  # noqa: E731
    fx, fy = (number(least_focal, 9000) for _ in range(2))
    u, v = (number(-principal, principal) for _ in range(2))
    K = [[fx * draw(st.sampled_from([-1, 1])), number(-50, 50), u], [0, fy, v], [0, 0, 1]]
    twist = [number(-3, 3) for _ in range(3)] + [number(-1500, 1500) for _ in range(3)]
    return Camera(K, rigid.exp_se3(twist), SIZE)
