"""The place of a learned start: what a network has to offer to be one."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Regressor(Protocol):
    """A network that tells a pose from the X-rays of one patient's CT."""

    def __call__(self, case) -> np.ndarray:
        """(4, 4) world_from_ct, LPS mm, of an `io.case.Case` without one. InputError where it is not for this CT or these views.

        It is called in a worker's thread, and may take its time.
        """
