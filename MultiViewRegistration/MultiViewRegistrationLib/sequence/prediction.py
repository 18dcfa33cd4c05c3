"""Where a structure is expected in the next frame, by how it moved before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..geometry import rigid

#: What moved so long ago, in frames, says nothing of how it moves now.
OLDEST = 3


def predicted(kept: Sequence[tuple[int, np.ndarray]], number: int) -> np.ndarray:
    """The pose (4, 4) expected in a frame, by constant velocity on SE(3); the last one where it is not known how it moved.

    kept: the frames' numbers and poses (4, 4) so far, one or more in order.

    The motion between the last two is one screw of the world, which goes on as it was (Murray, Li and Sastry, A Mathematical Introduction
    to Robotic Manipulation, 1994, 2.3): exact for a bone that turns evenly about its joint, and for one that moves straight.
    """
    last, pose = kept[-1]
    if len(kept) < 2 or number - kept[-2][0] > OLDEST:
        return pose
    before, earlier = kept[-2]
    twist = rigid.log_se3(pose @ rigid.inverse(earlier))
    return rigid.exp_se3((number - last) / (last - before) * twist) @ pose
