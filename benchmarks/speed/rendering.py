"""Images, and images with their derivative by the six numbers of a pose, beside nanodrr and RTK.

By size, by batch, and how times grow.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import numpy as np

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.ct import Volume, pyramid
from MultiViewRegistrationLib.rendering.devices import available_threads
from MultiViewRegistrationLib.rendering.drr import Projector

from . import nanodrr_peer
from .measurement import BenchmarkJob, Measured, Poses, Row, Setting, alternated, compared

#: Pixels a side, and how often each is measured.
SIZES = {64: 15, 128: 9, 200: 9, 512: 3}
COMPILED_AT = 200
MIN_NCC = 0.99
#: What is measured on a card: pixels a side, and how many images are rendered at once.
BATCHES = ((64, 1), (64, 256), (128, 1), (128, 128), (200, 1), (200, 64), (512, 1), (512, 16))
BATCH_REPEATS = 15
#: nanodrr's variants on a card: what a row says of each, whether the volume is in bfloat16, whether
#: torch compiles it.
VARIANTS = (
    ("Triton", False, False),
    ("Triton, bf16", True, False),
    ("Triton, bf16, torch.compile", True, True),
)
#: How often RTK projects for an image and central differences in six directions.
IMAGES_FOR_A_JACOBIAN = 13
PIXELS, REPEATS, LEVELS = 200, 5, 4
VIEWS, VIEW_PIXELS = (1, 2, 3, 4), 128
POSES = (1, 4, 16, 64)

FIGURE = "time of an image against pixels"
GROWTH = {
    "voxels": "time of an image with Jacobian against voxels",
    "views": "time of images with Jacobian against views",
    "threads": "time of an image with Jacobian against threads",
    "poses": "time of images with Jacobian against poses",
}
OURS, OURS_JACOBIAN = "ours, image", "ours, image + Jacobian"
FORWARD, BACKWARD = "nanodrr, forward", "nanodrr, forward + backward"

Times = dict[str, list[float]]
"""ms of each repeat, by the line of a figure."""


def jobs(setting: Setting, sizes: dict[int, int] = SIZES) -> list[BenchmarkJob]:
    """A job for each image size, and one with nanodrr compiled by torch."""
    found = []
    for pixels, repeats in sizes.items():
        rows = tuple(
            f"{what} {pixels}x{pixels}{peer}"
            for peer in ("", ", RTK")
            for what in ("image", "image+jacobian")
        )
        seconds = 3 + 1e-4 * pixels**2 * (repeats + 1)
        found.append(
            BenchmarkJob("render", rows, seconds, partial(_size, setting, pixels, repeats, rows))
        )
    if COMPILED_AT in sizes:
        name = f"image+jacobian {COMPILED_AT}x{COMPILED_AT}, nanodrr compiled"
        found.append(BenchmarkJob("render", (name,), 90, partial(_compiled, setting, name)))
    return found


def jobs_in_batches(
    setting: Setting, batches: Sequence[tuple[int, int]] = BATCHES
) -> list[BenchmarkJob]:
    """A job for each size and batch, on a device."""
    found = []
    for pixels, batch in batches:
        size = f"{pixels}x{pixels}, {'one' if batch == 1 else batch} at a time"
        variants = [variant for variant in VARIANTS if pixels == COMPILED_AT or not variant[2]]
        names = [f"{what} {size}" for what in ("image", "image+jacobian")]
        rows = tuple(f"{name}, nanodrr {variant}" for variant, *_ in variants for name in names)
        found.append(
            BenchmarkJob(
                "render", rows, 30, partial(_batch, setting, pixels, batch, rows, variants)
            )
        )
    return found


def growth_jobs(setting: Setting, last: str = "threads") -> list[BenchmarkJob]:
    """A job for each of voxels, views, and "threads" or "poses".

    A device renders all poses at once.
    """
    counts, points = {"threads": (_thread_counts(), _by_threads), "poses": (POSES, _by_poses)}[last]
    variables: dict[str, tuple[str, list[str], Callable]] = {
        "voxels": (
            f"{PIXELS}x{PIXELS}",
            [f"volume at 1/{2**level}" for level in range(LEVELS)],
            _by_voxels,
        ),
        "views": (
            f"{VIEW_PIXELS}x{VIEW_PIXELS}",
            [_counted(count, "view") for count in VIEWS],
            _by_views,
        ),
        last: (
            f"{PIXELS}x{PIXELS}",
            [_counted(count, last[:-1]) for count in counts],
            partial(points, counts=counts),
        ),
    }
    found = []
    for variable, (size, labels, by) in variables.items():
        rows = tuple(f"image+jacobian {size}, {label}" for label in labels)
        found.append(
            BenchmarkJob(
                "growth",
                rows,
                10 * len(rows),
                partial(_growth, setting, GROWTH[variable], rows, by),
            )
        )
    return found


def measure(
    setting: Setting,
    names: tuple[str | None, str],
    cameras: Sequence[Camera],
    poses: Poses,
    repeats: int,
    *,
    peer: str = "nanodrr",
    volume: Volume | None = None,
    subject: object = None,
    compiled: bool = False,
    factor: float = 1e3,
    others: dict[str, Callable[[], object]] | None = None,
) -> tuple[list[Row], Times]:
    """Images of the CT, ours beside nanodrr's, in turns.

    Parameters
    ----------
    names : of the row of images, None for none, and of that of images with Jacobians.
    peer : nanodrr's variant, in words.
    volume : another than the CT's.
    subject : nanodrr's side of it.
    compiled : whether torch compiles nanodrr; compiling is not counted.
    factor : by which seconds are multiplied.
    others : further works to be timed, by the line of a figure.

    Returns
    -------
    Rows, which have failed where nanodrr does not work or the images do not agree; and all times,
    none where it does not work.
    """
    projector = setting.projector if volume is None else Projector(volume)
    volume = setting.volume if volume is None else volume
    steps = [
        nanodrr_peer.samples_for_step(volume, camera, pose)
        for camera, pose in zip(cameras, poses, strict=True)
    ]
    samples, our_step, peer_step = np.mean(steps, axis=0)
    ours = setting.renderer(projector, cameras, poses)
    subject = setting.subject if subject is None else subject
    peers = {names[0]: f"{peer} forward", names[1]: f"{peer} forward + backward"}
    try:
        nanodrr = nanodrr_peer.Renderer(
            subject, volume, cameras, poses, round(samples), compiled=compiled
        )
        theirs = nanodrr.images()
        nanodrr.run_backward()
    except Exception as error:  # whatever a compiler, or a device that is too small, may raise
        failed = f"{peer} does not work here ({type(error).__name__})"
        return [
            compared(name, "ms", [], [], peers[name], failed=failed) for name in names if name
        ], {}
    images = ours(False)
    agreement = min(ncc(np.asarray(_on_cpu(images[n])), theirs[n]) for n in (0, -1))
    failed = "" if agreement > MIN_NCC else f"the images do not agree, NCC {agreement:.3f}"
    note = (
        f"images agree, NCC {agreement:.5f}; mean step {our_step:.3f} mm, nanodrr {peer_step:.3f} "
        f"mm ({samples:.0f} samples a ray)"
    )
    works: dict[str, Callable[[], object]] = {
        OURS_JACOBIAN: setting.finished(ours, True),
        BACKWARD: setting.finished(nanodrr.run_backward),
    }
    if names[0]:
        works |= {OURS: setting.finished(ours, False), FORWARD: setting.finished(nanodrr.run)}
    works |= others or {}
    times = dict(zip(works, alternated(list(works.values()), repeats, factor), strict=True))
    lines = {names[0]: (OURS, FORWARD), names[1]: (OURS_JACOBIAN, BACKWARD)}
    rows = []
    for name in filter(None, names):
        ours_line, peer_line = lines[name]
        found = times[ours_line], times[peer_line]
        rows.append(
            compared(name, "ms", *found, peers[name], paired=True, failed=failed, note=note)
        )
    return rows, times


def _size(setting: Setting, pixels: int, repeats: int, names: tuple[str, ...]) -> Measured:
    camera, pose, rtk = setting.camera(pixels), setting.pose, setting.joseph
    projection = rtk.prepared(camera, pose)
    projection.InPlaceOff()  # in place, a second run would find its input gone

    def joseph() -> None:
        projection.Modified()
        projection.Update()

    rows, times = measure(
        setting, (names[0], names[1]), [camera], [pose], repeats, others={"RTK, image": joseph}
    )
    differences = f"RTK, image x {IMAGES_FOR_A_JACOBIAN}"
    times[differences] = [IMAGES_FOR_A_JACOBIAN * time for time in times["RTK, image"]]
    agreement = ncc(setting.projector.render(camera, pose).image, rtk.project(camera, pose)[0])
    failed = "" if agreement > MIN_NCC else f"the images do not agree, NCC {agreement:.3f}"
    for name, ours, peer, peer_name in (
        (names[2], OURS, "RTK, image", "RTK Joseph"),
        (names[3], OURS_JACOBIAN, differences, f"RTK Joseph x {IMAGES_FOR_A_JACOBIAN}"),
    ):
        note = f"images agree, NCC {agreement:.5f}"
        rows.append(
            compared(
                name,
                "ms",
                times[ours],
                times[peer],
                peer_name,
                paired=True,
                failed=failed,
                note=note,
            )
        )
    return Measured(rows, {FIGURE: _points(pixels**2, times)})


def _compiled(setting: Setting, name: str) -> Measured:
    """nanodrr names torch.compile as its fastest mode."""
    camera = setting.camera(COMPILED_AT)
    rows, _ = measure(
        setting,
        (None, name),
        [camera],
        [setting.pose],
        7,
        peer="nanodrr, torch.compile,",
        compiled=True,
    )
    return Measured(rows)


def _batch(
    setting: Setting, pixels: int, batch: int, names: tuple[str, ...], variants: Sequence[tuple]
) -> Measured:
    cameras, poses = [setting.camera(pixels)] * batch, setting.poses(batch)
    rows: list[Row] = []
    first: Times = {}
    for number, (variant, half, compiled) in enumerate(variants):
        found, times = measure(
            setting,
            (names[2 * number], names[2 * number + 1]),
            cameras,
            poses,
            BATCH_REPEATS,
            peer=f"nanodrr {variant}",
            subject=setting.half_subject if half else setting.subject,
            compiled=compiled,
            factor=1e3 / batch,
        )
        rows += [replace(row, note=f"{_pace(row)}; {row.note}") if times else row for row in found]
        first = first or times
    return Measured(rows, {FIGURE: _points(pixels**2, first)} if batch > 1 else {})


def _pace(row: Row) -> str:
    return f"{1e3 / (row.ours or np.nan):,.0f} a second, the peer {1e3 / (row.peer or np.nan):,.0f}"


def _growth(setting: Setting, figure: str, names: tuple[str, ...], points: Callable) -> Measured:
    rows: list[Row] = []
    curve: dict[str, list] = {}
    for name, (x, cameras, poses, more) in zip(names, points(setting), strict=True):
        found, times = measure(setting, (None, name), cameras, poses, REPEATS, **more)
        rows += found
        for line, spent in times.items():
            curve.setdefault(line, []).append([x, float(np.median(spent))])
    return Measured(rows, {figure: curve} if curve else {})


def _by_voxels(setting: Setting) -> Iterator[tuple]:
    for volume in pyramid(setting.volume, LEVELS):
        more = {
            "volume": volume,
            "subject": nanodrr_peer.subject_of(volume, setting.device or "cpu"),
        }
        yield volume.values.size, [setting.camera(PIXELS)], [setting.pose], more


def _by_views(setting: Setting) -> Iterator[tuple]:
    for count in VIEWS:
        cameras = [
            _turned(setting.camera(VIEW_PIXELS), 180 * view / count) for view in range(count)
        ]
        yield count, cameras, [setting.pose] * count, {}


def _by_poses(setting: Setting, counts: Sequence[int]) -> Iterator[tuple]:
    for count in counts:
        yield count, [setting.camera(PIXELS)] * count, setting.poses(count), {}


def _by_threads(setting: Setting, counts: Sequence[int]) -> Iterator[tuple]:
    for count in counts:
        with _threads_set_to(count):
            yield count, [setting.camera(PIXELS)], [setting.pose], {}


def _points(x: float, times: Times) -> dict[str, list]:
    return {line: [[x, float(np.median(spent))]] for line, spent in times.items()}


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count > 1)}"


def _thread_counts() -> list[int]:
    """1, 2, 4, ... up to the threads that may be used, and that number."""
    most = available_threads()
    return sorted({2**n for n in range(most.bit_length())} | {most})


@contextmanager
def _threads_set_to(count: int) -> Iterator[None]:
    """So many threads for us and for torch."""
    torch = nanodrr_peer.modules().torch
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with patch.dict(os.environ, MVREG_THREADS=str(count)):
            yield
    finally:
        torch.set_num_threads(before)


def _turned(camera: Camera, degrees: float) -> Camera:
    """The camera gone round the world's long axis, the patient's."""
    turn = rigid.turn_and_shift([0, 0, np.radians(degrees)], np.zeros(3))
    return replace(camera, camera_from_world=camera.camera_from_world @ turn)


def _on_cpu(image):
    return image.cpu() if hasattr(image, "cpu") else image


def ncc(a: np.ndarray, b: np.ndarray) -> float:
    """The normalised cross-correlation of two images."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
