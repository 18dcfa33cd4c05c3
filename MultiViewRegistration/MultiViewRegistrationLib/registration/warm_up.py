"""Compiles the kernels of a registration, once after installation, or loads them from numba's cache.

A child process compiles one half at the same time, and publishes it through the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from subprocess import Popen

import numpy as np
import scipy.linalg  # noqa: F401 - whole before numba asks for a part of it while another thread has the rest: Python calls that a deadlock

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.ct import Volume
from ..imaging.xray import View, XRay
from ..jobs import start_compiling
from ..rendering.devices import available_threads, when_compiling
from ..rendering.drr import Projector
from ..rendering.kernel_cache import clear_kernels, fetch_kernels, publish_kernels
from .objective import Objective, Projection, Scorer
from .pose_table import ShiftTable
from .similarity import Settings, add_products, box_sum
from .tiles import moved_detail, tiles

SIDE = 16


@lru_cache(maxsize=1)
def warm_up() -> None:
    """Compile all kernels of a registration, which takes some seconds once after installation, or load them.

    Raises
    ------
    InputError
        The cache on disk is corrupt; it is deleted.
    """
    fetch_kernels()
    try:
        with _helped() as wait:
            warm_up_drr()
            _warm_up_scores()
            wait()
            warm_up_other_half()
    except SystemError:  # raised by numba for files that it cannot load
        clear_kernels()
        raise InputError(
            "The cache of compiled kernels was corrupt and has been deleted. Start the program again."
        ) from None
    publish_kernels()


def warm_up_other_half() -> None:
    """Compile or load the child process's half, first what the other one's scores need, too."""
    _warm_up_gradients()
    _warm_up_shifts()
    _warm_up_intensities()
    _warm_up_moved()


@lru_cache(maxsize=1)
def warm_up_drr() -> None:
    """Compile or load the kernels of a DRR."""
    fetch_kernels()
    camera = _view().camera
    projector = _projector()
    projector.render(camera, np.eye(4), wanted=projector.seen(camera, np.eye(4)))
    publish_kernels()


def _warm_up_intensities() -> None:
    _compare(Settings(intensity_radius=2, silhouette_mm=1.0))


def _warm_up_gradients() -> None:
    _compare(Settings(gradient_radius=2, silhouette_mm=1.0))


def _warm_up_scores() -> None:
    everything = Settings(intensity_radius=2, gradient_radius=2, silhouette_mm=1.0)
    Scorer(_projector(), [_view()], everything, np.zeros(3)).scores(np.eye(4)[None])


def _warm_up_shifts() -> None:
    for task in ShiftTable(_view(), np.zeros(3), np.zeros((1, 3)), 1).tasks(
        _projector(), np.eye(4)[None]
    ):
        task()


def _compare(settings: Settings) -> None:
    image = np.zeros((SIDE, SIDE), np.float32)
    jacobian = np.zeros((6, SIDE, SIDE), np.float32)
    projections = [Projection(image, jacobian, np.ones((SIDE, SIDE), np.uint8))]
    objective = Objective(_projector(), [_view()], settings, np.zeros(3))
    objective.linearise(projections)
    tiles(objective, projections)
    box_sum(image, 1, np.empty_like(image))  # of `Objective.project`
    # of `bones`
    changes = jacobian[:, None]
    corner = (0, 0)
    add_products(
        changes, corner, changes, corner, image, (0, SIDE, 0, SIDE), np.zeros((len(changes),) * 2)
    )


def _warm_up_moved() -> None:
    shells = np.zeros((1, SIDE, SIDE), np.float32)
    moved_detail(shells, np.zeros((1, 2)), shells[0], shells[0])


def _view() -> View:
    intrinsics = np.array([[100.0, 0, 7.5], [0, 100, 7.5], [0, 0, 1]])
    camera = Camera(intrinsics, rigid.translation([0, 0, 100.0]), (SIDE, SIDE))
    return View(
        "warm-up", XRay(np.zeros((SIDE, SIDE), np.float32), np.ones((SIDE, SIDE), bool)), camera
    )


@lru_cache(maxsize=1)
def _projector() -> Projector:
    """Return a projector of tissue up to the faces.

    A body that goes on, so that the kernel for cut ends is needed.
    """
    return Projector(Volume(np.full((4, 4, 4), 0.02, np.float32), np.diag([4.0, 4, 4, 1])))


@contextmanager
def _helped() -> Iterator[Callable[[], None]]:
    """Have a child process begin to compile as soon as this thread does, where there is a processor for it.

    Yields what waits for its end: to compile the same again would take longer.
    """
    children: list[Popen | None] = []

    def begin() -> None:
        if not children and available_threads() > 1:
            children.append(start_compiling("warm_up_other_half"))

    def wait() -> None:
        for child in filter(None, children):
            child.wait()
        fetch_kernels()

    try:
        with when_compiling(begin):
            yield wait
    finally:
        for child in filter(None, children):
            child.kill()
            child.wait()
