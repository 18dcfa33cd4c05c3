"""Any pose, for hypothesis: also turns of nothing, of almost nothing, and of half a circle."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from MultiViewRegistrationLib.geometry import rigid

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
