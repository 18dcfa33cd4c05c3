"""Part (f): the same on a CUDA device, beside nanodrr there, whose fused Triton kernel then renders.

Same volume, same cameras and poses, same mean step along the ray, on one card in one run, in turns; the clock stops when the card is done.
Images are rendered in batches, of poses up to 2 degrees and 5 mm apart, and the time is that of one image. nanodrr's variants: all in
single precision; its volume kept in bfloat16, which its kernel reads in place; and that compiled by torch, which its authors name as
the fastest. Of nanodrr the derivative is what one step of an optimiser needs, ours is that of each pixel. A row counts only if the
images agree. Registration, growth, memory and search are those of the other parts, on the card; growth is told with poses in place of
threads, and several views or poses are one batch. Peak memory is that of the card which tensors took at once, without what CUDA, PyTorch
and Triton need for themselves. Hardware textures are set beside our own plain loads: an image by them, and a registration, whose poses
must lie within 0.02 mm of the processor's.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from ..geometry.camera import Camera
from . import growth, memory, nanodrr_peer, registration, render, search, textures
from .job import Job, Measured, Tell
from .render import COMPILED_AT, LEAST_NCC, ncc
from .rows import Row, alternated, compared
from .setting import Setting

PART, WHERE = "card", ", on the card"
COMMAND = "mvreg bench --device cuda --page docs/benchmarks.md"
#: Pixels a side, and how many images are rendered at once.
BATCHES = ((64, 1), (64, 256), (128, 1), (128, 128), (200, 1), (200, 64), (512, 1), (512, 16))
#: Of these sizes memory is measured.
LARGE = (200, 512)
REPEATS = 15
#: nanodrr's variants: what a row says of each, whether the volume is in bfloat16, whether torch compiles it.
VARIANTS = (("Triton", False, False), ("Triton, bf16", True, False), ("Triton, bf16, torch.compile", True, True))

#: Of what another script measures: the row, its command, and the mark on the page that tells that it was done.
TRACKING = (
    "tracking of two 512x512 views" + WHERE,
    "python Testing/benchmarks/tracking.py --device cuda --page docs/benchmarks.md",
    "<!-- tracking-chest-cuda: begin -->",
)


def jobs(setting: Setting, batches: tuple[tuple[int, int], ...] = BATCHES, repeats: int = REPEATS) -> list[Job]:
    """A job for each size and batch, and those of the other parts."""
    found = []
    for pixels, batch in batches:
        of_batch = f" {pixels}x{pixels}, {'one' if batch == 1 else batch} at a time{WHERE}"
        variants = [variant for variant in VARIANTS if pixels == COMPILED_AT or not variant[2]]
        rows = tuple(
            f"{what}{of_batch}, nanodrr {variant}" for variant, *_ in variants for what in ("image", "image+jacobian")
        )
        found.append(Job(PART, rows, 30, partial(_measure, setting, pixels, batch, repeats, rows, variants), "render"))
    many = tuple(of_size for of_size in batches if of_size[1] > 1)
    large = tuple(of_size for of_size in batches if of_size[0] in LARGE)
    others = [
        *textures.jobs(setting, many, repeats),
        *registration.jobs(setting),
        *growth.on_device(setting),
        *memory.jobs(setting, large),
        *search.jobs(setting),
    ]
    return found + [_on_card(job) for job in others]


def unmeasured(measured: set[str], page: str) -> str:
    """The rows that are not among those measured, with what measures them, in Markdown; "" where there are none.

    page: what others have put on the page.
    """
    rows = dict.fromkeys(
        name.partition(", nanodrr ")[0] for job in jobs(Setting()) for name in job.rows if name not in measured
    )
    told = []
    for names, command in ((list(rows), COMMAND), ([] if TRACKING[2] in page else [TRACKING[0]], TRACKING[1])):
        if names:
            told += [
                f"Not measured yet; `{command}` does it, on a machine with a card:",
                "",
                "|  |  |",
                "| --- | --- |",
                *(f"| {name} | not measured |" for name in names),
                "",
            ]
    return "\n".join(told).rstrip()


def _on_card(job: Job) -> Job:
    """Another part's job, its rows and figures told as those of the card."""

    def run(tell: Tell) -> Measured:
        measured = job.run(tell)
        return Measured(
            [replace(row, name=row.name + WHERE) for row in measured.rows],
            {figure + WHERE: lines for figure, lines in measured.curves.items()},
        )

    return Job(PART, tuple(row + WHERE for row in job.rows), job.seconds, run, job.part)


def _measure(
    setting: Setting,
    pixels: int,
    batch: int,
    repeats: int,
    names: tuple[str, ...],
    variants: list[tuple[str, bool, bool]],
    tell: Tell,
) -> Measured:
    camera, poses = setting.camera(pixels), setting.poses(batch)
    samples, our_step, peer_step = nanodrr_peer.samples_for_step(setting.volume, camera, setting.pose)
    ours, _ = setting.batch.render([camera] * batch, poses, jacobian=True)
    images = ours.cpu().numpy()
    rows: list[Row] = []
    for number, (variant, half, compiled) in enumerate(variants):
        peer, subject = f"nanodrr {variant}", setting.half_subject if half else setting.subject
        try:
            nanodrr = nanodrr_peer.Renderer(
                subject, setting.volume, [camera] * batch, poses, samples, compiled=compiled
            )
            theirs = nanodrr.forward()
            nanodrr.forward_backward()
        except Exception as error:  # whatever a compiler may raise: none installed, a version that it does not know
            failed = f"{peer} does not work here ({type(error).__name__})"
            rows += [compared(name, "ms", [], [], peer, failed=failed) for name in names[2 * number : 2 * number + 2]]
            continue
        agreement = min(ncc(images[n], theirs[n]) for n in (0, batch - 1))
        rows += _rows(
            setting,
            camera,
            poses,
            nanodrr,
            repeats,
            names[2 * number : 2 * number + 2],
            peer,
            failed="" if agreement > LEAST_NCC else f"the images do not agree, NCC {agreement:.3f}",
            note=f"images agree, NCC {agreement:.5f}; mean step {our_step:.3f} mm, nanodrr {peer_step:.3f} mm",
        )
        tell((number + 1) / len(variants))
    return Measured(rows, {render.FIGURE + WHERE: _points(pixels, rows)} if batch > 1 else {})


def _points(pixels: int, rows: list[Row]) -> dict[str, list[tuple[float, float]]]:
    """Those of a figure, of a batch and beside nanodrr's first variant."""
    image, jacobian = rows[:2]
    lines = {
        "ours, image": image.ours,
        "ours, image + Jacobian": jacobian.ours,
        "nanodrr, forward": image.peer,
        "nanodrr, forward + backward": jacobian.peer,
    }
    return {line: [(pixels**2, time)] for line, time in lines.items() if time is not None}


def _rows(
    setting: Setting,
    camera: Camera,
    poses: np.ndarray,
    nanodrr: nanodrr_peer.Renderer,
    repeats: int,
    names: tuple[str, ...],
    peer: str,
    **said: str,
) -> list[Row]:
    cameras = [camera] * len(poses)
    image, jacobian, forward, backward = alternated(
        [
            setting.finished(work)
            for work in (
                partial(setting.batch.render, cameras, poses),
                partial(setting.batch.render, cameras, poses, jacobian=True),
                nanodrr.run,
                nanodrr.run_backward,
            )
        ],
        repeats,
        1e3 / len(poses),
    )
    told = []
    for name, mine, theirs, what in (
        (names[0], image, forward, "forward"),
        (names[1], jacobian, backward, "forward + backward"),
    ):
        pace = f"{1e3 / np.median(mine):,.0f} a second, the peer {1e3 / np.median(theirs):,.0f}"
        note = f"{pace}; {said['note']}"
        told.append(
            compared(name, "ms", mine, theirs, f"{peer}, {what}", paired=True, failed=said["failed"], note=note)
        )
    return told
