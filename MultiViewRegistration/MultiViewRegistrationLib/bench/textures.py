"""Hardware textures beside plain loads, on a device: the rows tell whether they pay there, see `rendering.warp_textures`."""

from __future__ import annotations

from functools import partial
from time import perf_counter

import numpy as np

from ..assessment.metrics import mtre
from ..registration import kernels
from ..registration.anatomy import Anatomy
from ..registration.pipeline import refine
from .job import Job, Measured, Tell
from .rows import alternated, compared
from .setting import Setting

PLAIN = "by plain loads"
#: Share of the brightest pixel by which an image may differ from that by plain loads.
MOST_APART = 1e-3
#: So far may a final pose lie from the processor's.
MOST_MM = 0.02


def jobs(setting: Setting, batches: tuple[tuple[int, int], ...], repeats: int) -> list[Job]:
    """A job for each size and batch, and one for registrations.   batches: pixels a side, and how many images at once."""
    found = []
    for pixels, batch in batches:
        rows = tuple(
            f"{what} {pixels}x{pixels}, {batch} at a time, by textures" for what in ("image", "image+jacobian")
        )
        found.append(Job("textures", rows, 5, partial(_images, setting, pixels, batch, repeats, rows)))
    rows = ("two-view registration, by textures",)
    return [*found, Job("textures", rows, 20, partial(_registrations, setting, rows[0]))]


def _images(setting: Setting, pixels: int, batch: int, repeats: int, names: tuple[str, ...], tell: Tell) -> Measured:
    from ..rendering.gpu import BatchProjector

    renderers = [setting.batch, BatchProjector(setting.projector, setting.device, textures=True)]
    cameras, poses = [setting.camera(pixels)] * batch, setting.poses(batch)
    plain, textured = (renderer.render(cameras, poses)[0] for renderer in renderers)
    apart = float((textured - plain).abs().max() / plain.max())
    works = [
        setting.finished(partial(renderer.render, cameras, poses, jacobian=jacobian))
        for jacobian in (False, True)
        for renderer in renderers
    ]
    times = alternated(works, repeats, 1e3 / batch)
    failed = f"the images do not agree, {apart:.2g} of the brightest pixel apart" if apart > MOST_APART else ""
    return Measured(
        [
            compared(
                name,
                "ms",
                times[2 * number + 1],
                times[2 * number],
                PLAIN,
                paired=True,
                failed=failed,
                note=f"images at most {apart:.1e} of the brightest pixel apart",
            )
            for number, name in enumerate(names)
        ]
    )


def _registrations(setting: Setting, name: str, tell: Tell) -> Measured:
    """From all starts, beside those by plain loads, held against the processor's."""
    from ..registration.on_device import Device

    case, starts, on_cpu = setting.case, setting.starts(), Anatomy(setting.case.ct)
    ways = [setting.anatomy, on_cpu.on(Device(setting.device, textures=True))]
    kernels.prepare()
    for way in ways:
        refine(way, case.views, starts[0])
    times: list[list[float]] = [[], []]
    apart: list[list[float]] = [[], []]
    for number, start in enumerate(starts):
        expected = refine(on_cpu, case.views, start).world_from_ct
        for way, spent, errors in zip(ways, times, apart, strict=True):
            began = perf_counter()
            pose = refine(way, case.views, start).world_from_ct
            spent.append(perf_counter() - began)
            errors.append(mtre(pose, expected, case.targets))
        tell((number + 1) / len(starts))
    plain, textured = (float(np.max(errors)) for errors in apart)
    failed = f"a pose is {textured:.3f} mm from the processor's" if textured > MOST_MM else ""
    return Measured(
        [
            compared(
                name,
                "s",
                times[1],
                times[0],
                PLAIN,
                paired=True,
                failed=failed,
                note=(f"poses at most {textured:.4f} mm from the processor's, {PLAIN} {plain:.4f} mm"),
            )
        ]
    )
