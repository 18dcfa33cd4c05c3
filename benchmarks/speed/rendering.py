"""Images, and images with their derivative by the six numbers of a pose, beside nanodrr and RTK.

By size, by batch, and how times grow.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import NamedTuple
from unittest.mock import patch

import numpy as np

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.ct import Volume, pyramid
from MultiViewRegistrationLib.rendering.devices import available_threads
from MultiViewRegistrationLib.rendering.drr import Projector

from . import nanodrr_peer
from .measurement import Job, Poses, Setting, alternated, compared

#: Pixels a side, how many images are rendered at once, and how often each is measured: on the
#: processor, and on a card.
SIZES = ((64, 1, 15), (128, 1, 9), (200, 1, 9), (512, 1, 3))
BATCHES = tuple(
    (pixels, batch, 15)
    for pixels, largest in ((64, 256), (128, 128), (200, 64), (512, 16))
    for batch in (1, largest)
)
MIN_NCC = 0.99


class Variant(NamedTuple):
    """A way of nanodrr: what a row says of it, whether the volume is in bfloat16, whether torch compiles it."""

    name: str
    half: bool = False
    compiled: bool = False


PLAIN, COMPILED = Variant("nanodrr"), Variant("nanodrr compiled", compiled=True)
ON_CARD = (
    Variant("nanodrr Triton"),
    Variant("nanodrr Triton, bf16", half=True),
    Variant("nanodrr Triton, bf16, torch.compile", half=True, compiled=True),
)
COMPILED_AT = 200
#: How often RTK projects for an image and central differences in six directions.
IMAGES_FOR_A_JACOBIAN = 13
PIXELS, REPEATS, LEVELS = 200, 5, 4
VIEWS, VIEW_PIXELS = (1, 2, 3, 4), 128
POSES = (1, 4, 16, 64)
#: The field of the images of tissue alone is narrower by this factor, and no voxel is less dense.
NARROWING = 8
TISSUE_PER_MM = 0.005


def jobs(setting: Setting) -> list[Job]:
    """A job for each image size and batch beside each peer."""
    found = []
    on_card = setting.device is not None
    for pixels, batch, repeats in BATCHES if on_card else SIZES:
        size = f"{pixels}x{pixels}"
        if on_card:
            size += f", {'one' if batch == 1 else batch} at a time"
        for variant in ON_CARD if on_card else (PLAIN, COMPILED):
            if variant.compiled and pixels != COMPILED_AT:
                continue
            named = size if variant is PLAIN else f"{size}, {variant.name}"
            work = partial(_batch, setting, pixels, batch, repeats, named, variant)
            found.append(Job(f"render: image {named}", work))
        if not on_card:
            work = partial(_beside_rtk, setting, pixels, repeats, f"{size}, RTK")
            found.append(Job(f"render: image {size}, RTK", work))
    if not on_card:
        found.append(Job("render: tissue alone", partial(_of_tissue, setting)))
    return found


def growth_jobs(setting: Setting) -> list[Job]:
    """A job for each of voxels, views, and threads or, on a device, which renders all at once, poses."""
    last = _by_threads if setting.device is None else _by_poses
    return [
        Job(f"growth: {by.__name__.removeprefix('_by_')}", partial(_growth, setting, by))
        for by in (_by_voxels, _by_views, last)
    ]


def measure(
    setting: Setting,
    name: str,
    cameras: Sequence[Camera],
    poses: Poses,
    repeats: int,
    variant: Variant = PLAIN,
    volume: Volume | None = None,
    factor: float = 1e3,
) -> list[dict]:
    """Images of the CT, or of another volume, ours beside nanodrr's, in turns.

    factor: by which seconds are multiplied.

    Returns
    -------
    Rows of images and of images with Jacobians. They have failed where nanodrr does not work or the
    images do not agree. What torch needs to compile is not counted.
    """
    if volume is None:
        projector, volume = setting.projector, setting.volume
        subject = setting.half_subject if variant.half else setting.subject
    else:
        projector = Projector(volume)
        subject = nanodrr_peer.subject_of(volume, setting.device or "cpu")
    named = (f"image {name}", "forward"), (f"image+jacobian {name}", "forward + backward")
    steps = [
        nanodrr_peer.samples_for_step(volume, camera, pose)
        for camera, pose in zip(cameras, poses, strict=True)
    ]
    samples, our_step, peer_step = np.mean(steps, axis=0)
    ours = setting.renderer(projector, cameras, poses)
    try:
        nanodrr = nanodrr_peer.Renderer(
            subject, volume, cameras, poses, round(samples), compiled=variant.compiled
        )
        theirs = nanodrr.images()
        nanodrr.run_backward()
    except Exception as error:  # whatever a compiler, or a device that is too small, may raise
        failed = f"{variant.name} does not work here ({type(error).__name__})"
        return [compared(row, "ms", ([], []), variant.name, failed=failed) for row, _ in named]
    images = ours(False)
    agreed = agreement(*((_on_cpu(images[n]), theirs[n]) for n in (0, -1)))
    agreed["note"] += (
        f"; mean step {our_step:.3f} mm, nanodrr {peer_step:.3f} mm ({samples:.0f} samples a ray)"
    )
    works = [
        setting.finished(each)
        for each in (partial(ours, False), nanodrr.run, partial(ours, True), nanodrr.run_backward)
    ]
    image, forward, jacobian, backward = alternated(works, repeats, factor)
    return [
        compared(row, "ms", times, f"{variant.name} {what}", paired=True, **agreed)
        for (row, what), times in zip(named, ((image, forward), (jacobian, backward)), strict=True)
    ]


def agreement(*pairs: tuple[np.ndarray, np.ndarray]) -> dict[str, str]:
    """What rows of these pairs of images say: `note`, and `failed` where they do not agree."""
    ncc = min(float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]) for a, b in pairs)
    failed = "" if ncc > MIN_NCC else f"the images do not agree, NCC {ncc:.3f}"
    return {"failed": failed, "note": f"images agree, NCC {ncc:.5f}"}


def _batch(setting, pixels, batch, repeats, name, variant):
    cameras, poses = [setting.camera(pixels)] * batch, setting.poses(batch)
    return measure(setting, name, cameras, poses, repeats, variant, factor=1e3 / batch)


def _beside_rtk(setting, pixels, repeats, name):
    camera, pose, rtk = setting.camera(pixels), setting.pose, setting.joseph
    projection = rtk.prepared(camera, pose)
    projection.InPlaceOff()  # in place, a second run would find its input gone

    def joseph():
        projection.Modified()
        projection.Update()

    ours = setting.renderer(setting.projector, [camera], [pose])
    works = (partial(ours, False), partial(ours, True), joseph)
    image, jacobian, theirs = alternated(works, repeats)
    more = agreement((ours(False)[0], rtk.project(camera, pose)[0]))
    differences = [IMAGES_FOR_A_JACOBIAN * time for time in theirs]
    peer = f"RTK Joseph x {IMAGES_FOR_A_JACOBIAN}"
    return [
        compared(f"image {name}", "ms", (image, theirs), "RTK Joseph", paired=True, **more),
        compared(
            f"image+jacobian {name}", "ms", (jacobian, differences), peer, paired=True, **more
        ),
    ]


def _of_tissue(setting):
    """The rows of rays that meet no air: through the middle of the chest, by a narrow field.

    Around a whole body our renderer skips planes of air.
    """
    whole = setting.volume
    first = np.array(whole.size) // 4
    within = tuple(slice(low, size - low) for low, size in zip(first[::-1], whole.values.shape))
    place = whole.ct_from_index @ rigid.translation(first.astype(float))
    box = Volume(np.maximum(whole.values[within], TISSUE_PER_MM), place)
    middle = rigid.transform_points(setting.pose @ place, (np.array(box.size) - 1) / 2)
    wide = setting.camera(NARROWING * PIXELS)
    column, row = np.rint(wide.project(middle)).astype(int) - PIXELS // 2
    camera = wide.cropped(column, row, PIXELS, PIXELS)
    name = f"{PIXELS}x{PIXELS}, tissue alone"
    return measure(setting, name, [camera], [setting.pose], REPEATS, volume=box)


def _growth(setting, by):
    """The rows of images with Jacobians; the time of several is that of all."""
    rows = []
    for name, cameras, poses, volume in by(setting):
        rows += measure(setting, name, cameras, poses, REPEATS, volume=volume)[1:]
    return rows


def _by_voxels(setting):
    for level, volume in enumerate(pyramid(setting.volume, LEVELS)):
        name = f"{PIXELS}x{PIXELS}, volume at 1/{2**level}"
        yield name, [setting.camera(PIXELS)], [setting.pose], volume


def _by_views(setting):
    camera = setting.camera(VIEW_PIXELS)
    for count in VIEWS:
        cameras = [_turned_image_hypotheses(camera, 180 * view / count) for view in range(count)]
        name = f"{VIEW_PIXELS}x{VIEW_PIXELS}, {_counted(count, 'view')}"
        yield name, cameras, [setting.pose] * count, None


def _by_poses(setting):
    for count in POSES:
        name = f"{PIXELS}x{PIXELS}, {_counted(count, 'pose')}"
        yield name, [setting.camera(PIXELS)] * count, setting.poses(count), None


def _by_threads(setting):
    """1, 2, 4, ... up to the threads that may be used, and that number."""
    most = available_threads()
    for count in sorted({2**n for n in range(most.bit_length())} | {most}):
        with _threads_set_to(count):
            name = f"{PIXELS}x{PIXELS}, {_counted(count, 'thread')}"
            yield name, [setting.camera(PIXELS)], [setting.pose], None


def _counted(count, word):
    return f"{count} {word}{'s' * (count > 1)}"


@contextmanager
def _threads_set_to(count):
    """So many threads for us and for torch."""
    torch = nanodrr_peer.modules().torch
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with patch.dict(os.environ, MVREG_THREADS=str(count)):
            yield
    finally:
        torch.set_num_threads(before)


def _turned_image_hypotheses(camera, degrees):
    """The camera gone round the world's long axis, the patient's."""
    turn = rigid.turn_and_shift([0, 0, np.radians(degrees)], np.zeros(3))
    return replace(camera, camera_from_world=camera.camera_from_world @ turn)


def _on_cpu(image):
    return image.cpu() if hasattr(image, "cpu") else image
