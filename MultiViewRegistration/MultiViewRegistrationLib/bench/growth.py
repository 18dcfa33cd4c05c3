"""Part (c): how the time of an image with its Jacobian grows with voxels, views and threads. (With pixels: see the images above.)

As there: same step on both sides, nanodrr forward and backward. Coarser volumes are the levels of the CT's pyramid; the step grows
with the voxels. Several views are one batch for nanodrr.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.volume import pyramid
from ..rendering.drr import Projector
from ..rendering.threads import available_threads
from . import nanodrr_peer
from .job import Job, Measured, Tell
from .rows import Row, alternated, compared
from .setting import Setting

PIXELS, REPEATS, LEVELS = 200, 5, 4
VIEWS, VIEW_PIXELS = (1, 2, 3, 4), 128
POSES = (1, 4, 16, 64)
FIGURES = {
    "voxels": "time of an image with Jacobian against voxels",
    "views": "time of images with Jacobian against views",
    "threads": "time of an image with Jacobian against threads",
    "poses": "time of images with Jacobian against poses",
}
PEER = "nanodrr forward + backward"
OURS, THEIRS = "ours, image + Jacobian", "nanodrr, forward + backward"


def jobs(setting: Setting) -> list[Job]:
    """A job for each of voxels, views and threads."""
    threads = _thread_counts()
    names = tuple(f"image+jacobian {PIXELS}x{PIXELS}, {count} thread{'s' * (count > 1)}" for count in threads)
    return [*_on_any(setting), Job("growth", names, 20 * len(threads), partial(_threads, setting, names, threads))]


def on_device(setting: Setting) -> list[Job]:
    """A job for each of voxels, views and poses, which a device renders at once."""
    names = tuple(f"image+jacobian {PIXELS}x{PIXELS}, {count} pose{'s' * (count > 1)}" for count in POSES)
    return [*_on_any(setting), Job("growth", names, 30, partial(_poses, setting, names))]


def _on_any(setting: Setting) -> list[Job]:
    voxels = tuple(f"image+jacobian {PIXELS}x{PIXELS}, volume at 1/{2**level}" for level in range(LEVELS))
    views = tuple(f"image+jacobian {VIEW_PIXELS}x{VIEW_PIXELS}, {count} view{'s' * (count > 1)}" for count in VIEWS)
    return [
        Job("growth", voxels, 40, partial(_voxels, setting, voxels)),
        Job("growth", views, 45, partial(_views, setting, views)),
    ]


def _voxels(setting: Setting, names: tuple[str, ...], tell: Tell) -> Measured:
    cameras, poses, curve = [setting.camera(PIXELS)], [setting.pose], _Curve(setting, FIGURES["voxels"])
    for level, volume in enumerate(pyramid(setting.volume, LEVELS)):
        samples, our_step, peer_step = nanodrr_peer.samples_for_step(volume, cameras[0], setting.pose)
        subject = nanodrr_peer.subject_of(volume, setting.device or "cpu")
        nanodrr = partial(nanodrr_peer.Renderer, subject, volume, cameras, setting.pose, samples)
        curve.add(
            names[level],
            volume.values.size,
            setting.renders(Projector(volume), cameras, poses),
            nanodrr,
            f"{volume.values.size / 1e6:.2g} million voxels, mean step {our_step:.2f} mm, nanodrr {peer_step:.2f} mm",
        )
        tell((level + 1) / LEVELS)
    return curve.measured()


def _views(setting: Setting, names: tuple[str, ...], tell: Tell) -> Measured:
    curve = _Curve(setting, FIGURES["views"])
    for number, count in enumerate(VIEWS):
        cameras = [_turned(setting.camera(VIEW_PIXELS), 180 * view / count) for view in range(count)]
        curve.add(names[number], count, *_both(setting, cameras, [setting.pose] * count))
        tell((number + 1) / len(VIEWS))
    return curve.measured()


def _poses(setting: Setting, names: tuple[str, ...], tell: Tell) -> Measured:
    curve = _Curve(setting, FIGURES["poses"])
    for number, count in enumerate(POSES):
        curve.add(names[number], count, *_both(setting, [setting.camera(PIXELS)] * count, setting.poses(count)))
        tell((number + 1) / len(POSES))
    return curve.measured()


def _threads(setting: Setting, names: tuple[str, ...], counts: list[int], tell: Tell) -> Measured:
    both, curve = _both(setting, [setting.camera(PIXELS)], [setting.pose]), _Curve(setting, FIGURES["threads"])
    for number, count in enumerate(counts):
        with _threads_set_to(count):
            curve.add(names[number], count, *both)
        tell((number + 1) / len(counts))
    return curve.measured()


def _both(setting: Setting, cameras: list[Camera], poses: Sequence[np.ndarray]) -> tuple[Callable, Callable]:
    """What renders the volume for us, and what makes nanodrr's renderer of it, which takes as many samples as our mean ray."""
    samples = round(
        np.mean(
            [
                nanodrr_peer.samples_for_step(setting.volume, camera, pose)[0]
                for camera, pose in zip(cameras, poses, strict=True)
            ]
        )
    )
    nanodrr = partial(nanodrr_peer.Renderer, setting.subject, setting.volume, cameras, np.stack(poses), samples)
    return setting.renders(setting.projector, cameras, poses), nanodrr


class _Curve:
    """Our times and nanodrr's against a variable: rows, and the points of a figure."""

    def __init__(self, setting: Setting, figure: str) -> None:
        self._setting, self._figure = setting, figure
        self._rows: list[Row] = []
        self._lines: dict[str, list[tuple[float, float]]] = {}

    def add(
        self, name: str, x: float, ours: Callable, nanodrr: Callable[[], nanodrr_peer.Renderer], note: str = ""
    ) -> None:
        """Measure at x what renders for us, beside what is made for nanodrr."""
        try:
            peer = self._setting.finished(nanodrr().run_backward)
            peer()
        except Exception as error:  # whatever a compiler or too small a device may raise
            self._rows.append(
                compared(name, "ms", [], [], PEER, failed=f"nanodrr does not work here ({type(error).__name__})")
            )
            return
        mine, theirs = alternated([ours, peer], REPEATS)
        self._rows.append(compared(name, "ms", mine, theirs, PEER, paired=True, note=note))
        for line, times in ((OURS, mine), (THEIRS, theirs)):
            self._lines.setdefault(line, []).append((x, float(np.median(times))))

    def measured(self) -> Measured:
        return Measured(self._rows, {self._figure: self._lines})


def _thread_counts() -> list[int]:
    """1, 2, 4, ... up to the threads that may be used, and that number."""
    most = available_threads()
    return sorted({2**n for n in range(most.bit_length())} | {most})


@contextmanager
def _threads_set_to(count: int) -> Iterator[None]:
    """So many threads for us and for torch."""
    torch = nanodrr_peer.modules().torch
    before, torch_before = os.environ.get("MVREG_THREADS"), torch.get_num_threads()
    os.environ["MVREG_THREADS"] = str(count)
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(torch_before)
        if before is None:
            del os.environ["MVREG_THREADS"]
        else:
            os.environ["MVREG_THREADS"] = before


def _turned(camera: Camera, degrees: float) -> Camera:
    """The camera gone round the world's long axis, the patient's."""
    turn = rigid.from_rotation_translation(rigid.exp_so3([0, 0, np.radians(degrees)]), np.zeros(3))
    return replace(camera, camera_from_world=camera.camera_from_world @ turn)
