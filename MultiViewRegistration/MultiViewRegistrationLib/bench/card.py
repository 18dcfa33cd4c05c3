"""Part (f): the same on a CUDA device, beside nanodrr there, whose fused Triton kernel then renders.

Same volume, same cameras and poses, same mean step along the ray, on one card in one run, in turns; the clock stops when the card is done.
Images are rendered in batches, of poses up to 2 degrees and 5 mm apart, and the time is that of one image. nanodrr's variants: all in
single precision; its volume kept in bfloat16, which its kernel reads in place; and that compiled by torch, which its authors name as
the fastest. Of nanodrr the derivative is what one step of an optimiser needs, ours is that of each pixel. A row counts only if the
images agree. Registration and search are those of the other parts, refined on the card.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from ..geometry import rigid
from ..geometry.camera import Camera
from . import nanodrr_peer, registration, search
from .job import Job, Measured, Tell
from .render import COMPILED_AT, LEAST_NCC, ncc
from .rows import Row, alternated, compared
from .setting import Setting

PART, WHERE = "card", ", on the card"
COMMAND = "mvreg bench --device cuda --page docs/benchmarks.md"
#: Pixels a side, and how many images are rendered at once.
BATCHES = ((64, 1), (64, 256), (128, 1), (128, 128), (200, 1), (200, 64), (512, 1), (512, 16))
REPEATS = 15
APART_DEG, APART_MM = 2.0, 5.0
#: nanodrr's variants: what a row says of each, whether the volume is in bfloat16, whether torch compiles it.
VARIANTS = (("Triton", False, False), ("Triton, bf16", True, False), ("Triton, bf16, torch.compile", True, True))

#: Of what another script measures: the row, its command, and the mark on the page that tells that it was done.
TRACKING = ("tracking of two 512x512 views" + WHERE,
            "python Testing/benchmarks/tracking.py --device cuda --page docs/benchmarks.md", "<!-- tracking-chest-cuda: begin -->")


def jobs(setting: Setting, batches: tuple[tuple[int, int], ...] = BATCHES, repeats: int = REPEATS) -> list[Job]:
    """A job for each size and batch, and those of registration and search."""
    found = []
    for pixels, batch in batches:
        of_batch = f" {pixels}x{pixels}, {'one' if batch == 1 else batch} at a time{WHERE}"
        variants = [variant for variant in VARIANTS if pixels == COMPILED_AT or not variant[2]]
        rows = tuple(f"{what}{of_batch}, nanodrr {variant}" for variant, *_ in variants for what in ("image", "image+jacobian"))
        found.append(Job(PART, rows, 30, partial(_measure, setting, pixels, batch, repeats, rows, variants)))
    return found + [_on_card(job) for part in (registration, search) for job in part.jobs(setting)]


def unmeasured(measured: set[str], page: str) -> str:
    """The rows that are not among those measured, with what measures them, in Markdown; "" where there are none.

    page: what others have put on the page.
    """
    rows = dict.fromkeys(name.partition(", nanodrr ")[0] for job in jobs(Setting()) for name in job.rows if name not in measured)
    told = []
    for names, command in ((list(rows), COMMAND), ([] if TRACKING[2] in page else [TRACKING[0]], TRACKING[1])):
        if names:
            told += [f"Not measured yet; `{command}` does it, on a machine with a card:", "",
                     "|  |  |", "| --- | --- |", *(f"| {name} | not measured |" for name in names), ""]
    return "\n".join(told).rstrip()


def _on_card(job: Job) -> Job:
    """Another part's job, its rows told as those of the card; its figures are those of the processor."""
    def run(tell: Tell) -> Measured:
        return Measured([replace(row, name=row.name + WHERE) for row in job.run(tell).rows])

    return Job(PART, tuple(row + WHERE for row in job.rows), job.seconds, run)


def _measure(
    setting: Setting, pixels: int, batch: int, repeats: int, names: tuple[str, ...], variants: list[tuple[str, bool, bool]], tell: Tell,
) -> Measured:
    camera, poses = setting.camera(pixels), _poses(setting, batch)
    samples, our_step, peer_step = nanodrr_peer.samples_for_step(setting.volume, camera, setting.pose)
    ours, _ = setting.batch.render([camera] * batch, poses, jacobian=True)
    images = ours.cpu().numpy()
    rows: list[Row] = []
    for number, (variant, half, compiled) in enumerate(variants):
        peer, subject = f"nanodrr {variant}", setting.half_subject if half else setting.subject
        try:
            nanodrr = nanodrr_peer.Renderer(subject, setting.volume, [camera] * batch, poses, samples, compiled=compiled)
            theirs = nanodrr.forward()
            nanodrr.forward_backward()
        except Exception as error:  # whatever a compiler may raise: none installed, a version that it does not know
            failed = f"{peer} does not work here ({type(error).__name__})"
            rows += [compared(name, "ms", [], [], peer, failed=failed) for name in names[2 * number : 2 * number + 2]]
            continue
        agreement = min(ncc(images[n], theirs[n]) for n in (0, batch - 1))
        rows += _rows(setting, camera, poses, nanodrr, repeats, names[2 * number : 2 * number + 2], peer,
                      failed="" if agreement > LEAST_NCC else f"the images do not agree, NCC {agreement:.3f}",
                      note=f"images agree, NCC {agreement:.5f}; mean step {our_step:.3f} mm, nanodrr {peer_step:.3f} mm")
        tell((number + 1) / len(variants))
    return Measured(rows)


def _rows(
    setting: Setting, camera: Camera, poses: np.ndarray, nanodrr: nanodrr_peer.Renderer, repeats: int, names: tuple[str, ...], peer: str,
    **said: str,
) -> list[Row]:
    batch = len(poses)

    def done(work: Callable[[], object]) -> Callable[[], None]:
        def timed() -> None:
            work()
            setting.wait()

        return timed

    image, jacobian, forward, backward = alternated([
        done(lambda: setting.batch.render([camera] * batch, poses)),
        done(lambda: setting.batch.render([camera] * batch, poses, jacobian=True)),
        done(nanodrr.run), done(nanodrr.run_backward)], repeats, 1e3 / batch)
    told = []
    for name, mine, theirs, what in ((names[0], image, forward, "forward"), (names[1], jacobian, backward, "forward + backward")):
        pace = f"{1e3 / np.median(mine):,.0f} a second, the peer {1e3 / np.median(theirs):,.0f}"
        note = f"{pace}; {said['note']}"
        told.append(compared(name, "ms", mine, theirs, f"{peer}, {what}", paired=True, failed=said["failed"], note=note))
    return told


def _poses(setting: Setting, count: int) -> np.ndarray:
    """(count, 4, 4) about the true pose, the first of them itself."""
    random, centre = np.random.default_rng(0), rigid.transform_points(setting.pose, setting.anatomy.centroid)
    twists = random.uniform(-1, 1, (count, 6)) * np.repeat([np.radians(APART_DEG), APART_MM], 3)
    twists[0] = 0
    return np.stack([rigid.about(centre, rigid.exp_se3(twist)) @ setting.pose for twist in twists])
