"""The numba kernels, made ready before a clock starts."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.view import View
from ..imaging.volume import Volume
from ..imaging.xray import XRay
from ..rendering.drr import Projector
from .objective import Objective, Settings
from .scoring import Scorer


@lru_cache(maxsize=1)
def prepare() -> None:
    """Compile all kernels of a registration, which takes some ten seconds once after installation, or load them from numba's cache."""
    view, projector = warm_up_drr()
    everything = Settings(intensity_radius=2, gradient_radius=2, silhouette_mm=1.0)
    objective = Objective(projector, [view], everything, np.zeros(3))
    objective.linearise(objective.project(np.eye(4)))
    Scorer(projector, [view], everything, np.zeros(3)).scores(np.eye(4)[None])


@lru_cache(maxsize=1)
def warm_up_drr() -> tuple[View, Projector]:
    """The same of those of a DRR alone. Returns a view, and what was projected into it."""
    intrinsics = np.array([[100.0, 0, 7.5], [0, 100, 7.5], [0, 0, 1]])
    camera = Camera(intrinsics, rigid.from_rotation_translation(np.eye(3), [0, 0, 100.0]), (16, 16))
    view = View("warm-up", XRay(np.zeros((16, 16), np.float32), np.ones((16, 16), bool)), camera)
    # Tissue up to the faces: a body that goes on, so that the kernel for cut ends is among them.
    volume = Volume(np.full((4, 4, 4), 0.02, np.float32), np.diag([4.0, 4, 4, 1]))
    projector = Projector(volume)
    projector.render(camera, np.eye(4), wanted=projector.seen(camera, np.eye(4)))
    return view, projector
