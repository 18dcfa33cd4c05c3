"""Part (c): how the time of an image with its Jacobian grows with voxels, views and threads. (With pixels: see the images above.)

As there: same step on both sides, nanodrr forward and backward. Coarser volumes are the levels of the CT's pyramid; the step grows
with the voxels. Several views are one batch for nanodrr.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
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
from .rows import alternated, compared
from .setting import Setting

PIXELS, REPEATS, LEVELS = 200, 5, 4
VIEWS, VIEW_PIXELS = (1, 2, 3, 4), 128
FIGURES = {
    "voxels": "time of an image with Jacobian against voxels",
    "views": "time of images with Jacobian against views",
    "threads": "time of an image with Jacobian against threads",
}
PEER = "nanodrr forward + backward"
OURS, THEIRS = "ours, image + Jacobian", "nanodrr, forward + backward"


def jobs(setting: Setting) -> list[Job]:
    """A job for each of voxels, views and threads."""
    threads = _thread_counts()
    voxels = tuple(f"image+jacobian {PIXELS}x{PIXELS}, volume at 1/{2**level}" for level in range(LEVELS))
    views = tuple(f"image+jacobian {VIEW_PIXELS}x{VIEW_PIXELS}, {count} view{'s' * (count > 1)}" for count in VIEWS)
    by_threads = tuple(f"image+jacobian {PIXELS}x{PIXELS}, {count} thread{'s' * (count > 1)}" for count in threads)
    return [
        Job("growth", voxels, 40, partial(_voxels, setting, voxels)),
        Job("growth", views, 45, partial(_views, setting, views)),
        Job("growth", by_threads, 20 * len(threads), partial(_threads, setting, by_threads, threads)),
    ]


def _voxels(setting: Setting, names: tuple[str, ...], tell: Tell) -> Measured:
    camera, pose = setting.camera(PIXELS), setting.pose
    rows, ours_line, peer_line = [], [], []
    for level, volume in enumerate(pyramid(setting.volume, LEVELS)):
        samples, our_step, peer_step = nanodrr_peer.samples_for_step(volume, camera, pose)
        projector = Projector(volume)
        nanodrr = nanodrr_peer.Renderer(nanodrr_peer.subject_of(volume), volume, [camera], pose, samples)
        ours, theirs = alternated([partial(projector.render, camera, pose, jacobian=True), nanodrr.forward_backward], REPEATS)
        rows.append(compared(names[level], "ms", ours, theirs, PEER, paired=True, note=(
            f"{volume.values.size / 1e6:.2g} million voxels, mean step {our_step:.2f} mm, nanodrr {peer_step:.2f} mm")))
        ours_line.append((volume.values.size, float(np.median(ours))))
        peer_line.append((volume.values.size, float(np.median(theirs))))
        tell((level + 1) / LEVELS)
    return Measured(rows, {FIGURES["voxels"]: {OURS: ours_line, THEIRS: peer_line}})


def _views(setting: Setting, names: tuple[str, ...], tell: Tell) -> Measured:
    pose = setting.pose
    rows, ours_line, peer_line = [], [], []
    for number, count in enumerate(VIEWS):
        cameras = [_turned(setting.camera(VIEW_PIXELS), 180 * view / count) for view in range(count)]
        samples = round(np.mean([nanodrr_peer.samples_for_step(setting.volume, camera, pose)[0] for camera in cameras]))
        nanodrr = nanodrr_peer.Renderer(setting.subject, setting.volume, cameras, pose, samples)

        def all_views(cameras: list[Camera] = cameras) -> None:
            for camera in cameras:
                setting.projector.render(camera, pose, jacobian=True)

        ours, theirs = alternated([all_views, nanodrr.forward_backward], REPEATS)
        rows.append(compared(names[number], "ms", ours, theirs, PEER, paired=True))
        ours_line.append((count, float(np.median(ours))))
        peer_line.append((count, float(np.median(theirs))))
        tell((number + 1) / len(VIEWS))
    return Measured(rows, {FIGURES["views"]: {OURS: ours_line, THEIRS: peer_line}})


def _threads(setting: Setting, names: tuple[str, ...], counts: list[int], tell: Tell) -> Measured:
    camera, pose = setting.camera(PIXELS), setting.pose
    samples, *_ = nanodrr_peer.samples_for_step(setting.volume, camera, pose)
    nanodrr = nanodrr_peer.Renderer(setting.subject, setting.volume, [camera], pose, samples)
    rows, ours_line, peer_line = [], [], []
    for number, count in enumerate(counts):
        with _threads_set_to(count):
            ours, theirs = alternated([partial(setting.projector.render, camera, pose, jacobian=True), nanodrr.forward_backward], REPEATS)
        rows.append(compared(names[number], "ms", ours, theirs, PEER, paired=True))
        ours_line.append((count, float(np.median(ours))))
        peer_line.append((count, float(np.median(theirs))))
        tell((number + 1) / len(counts))
    return Measured(rows, {FIGURES["threads"]: {OURS: ours_line, THEIRS: peer_line}})


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
