"""The peers' registration: nanodrr's renderer and metrics in the loop of xvr, with xvr's published settings, over two views.

xvr (Gopalakrishnan et al., arXiv 2503.16309; github.com/eigenvivek/xvr, register/register.py and losses/gmncc.py) registers one view.
Here its views share one pose: the rotation vector and shift that nanodrr's own `Registration` solves for, about the volume's centre,
applied to all cameras at once; the objective is the mean over the views. Everything else is as published: three scales, each half the
one before, Adam with 1e-2 (rotation) and 1.0 (mm), halved at each scale, divided by 10 when the similarity has not risen by 1e-4
(relative) for 5 steps, on to the next scale the second time, 500 steps at most; images stretched to 0..1, resized bilinearly;
similarity half of NCC (global and patches of 9, half each) and half of gradient NCC (patches of 11).
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from ..geometry import rigid
from ..imaging.view import View
from ..imaging.volume import Volume
from . import nanodrr_peer as peer

SCALES = (8, 4, 2)
ITERATIONS = 500
ROTATION_RATE, TRANSLATION_RATE = 1e-2, 1.0
DECAY, PATIENCE, THRESHOLD, PLATEAUS = 0.1, 5, 1e-4, 2
SAMPLES = 500


def register(
    subject,
    volume: Volume,
    views: list[View],
    world_from_ct: np.ndarray,
    limit_s: float,
    tell: Callable[[float], object] = lambda seconds: None,
    iterations: int = ITERATIONS,
) -> tuple[list[tuple[float, np.ndarray]], bool]:
    """Seconds since the start and pose (4, 4) `world_from_ct` after each step, and whether the schedule came to its end in `limit_s`.

    subject: on the device of the work.   views: all of one size.   iterations: at each scale, at most.
    """
    m = peer.modules()
    torch = m.torch
    began = perf_counter()
    on_device = {"dtype": torch.float32, "device": subject.image.device}
    images = torch.tensor(np.stack([view.xray.line_integrals for view in views])[:, None], **on_device)
    pose = _SharedPose(subject, np.stack([peer.ras_from_camera(view.camera, world_from_ct) for view in views]))
    k_inv = torch.tensor(np.stack([peer.inverse_intrinsics(view.camera) for view in views]), **on_device)
    sdd = torch.tensor([peer.beyond(volume, view.camera, world_from_ct) for view in views], **on_device)
    similarity = _similarity(m, subject.image.device)
    trace: list[tuple[float, np.ndarray]] = []
    for stage, scale in enumerate(SCALES):
        rows, columns = (size // scale for size in images.shape[-2:])
        scaled = k_inv.clone()
        scaled[:, 0, 0] *= scale
        scaled[:, 1, 1] *= scale
        fixed = _prepared(torch, images, rows, columns)
        optimiser = torch.optim.Adam(
            [
                {"params": [pose.rotation], "lr": ROTATION_RATE / 2**stage},
                {"params": [pose.shift], "lr": TRANSLATION_RATE / 2**stage},
            ],
            maximize=True,
        )
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, "max", DECAY, PATIENCE, THRESHOLD)
        plateaus, rate = 0, np.inf
        for _ in range(iterations):
            optimiser.zero_grad()
            moving = m.drr.render(subject, scaled, pose.ras_from_camera(), sdd, rows, columns, SAMPLES)
            score = similarity(fixed, _prepared(torch, moving, rows, columns)).mean()
            score.backward()
            optimiser.step()
            schedule.step(score.detach())
            trace.append((perf_counter() - began, pose.world_from_ct(world_from_ct)))
            tell(trace[-1][0])
            if trace[-1][0] > limit_s:
                return trace, False
            lowest = min(schedule.get_last_lr())
            if lowest < rate:
                rate, plateaus = lowest, plateaus + 1
            if plateaus > PLATEAUS:
                break
    return trace, True


class _SharedPose:
    """The cameras (n, 4, 4), RAS mm, all moved by one rotation vector and shift about the centre of the volume."""

    def __init__(self, subject, ras_from_camera: np.ndarray) -> None:
        m = peer.modules()
        self._convert, torch = m.geometry.convert, m.torch
        device = subject.image.device
        self._start = torch.tensor(ras_from_camera, dtype=torch.float32, device=device)
        self._pivot = torch.eye(4, device=device)
        self._pivot[:3, 3] = subject.isocenter
        self.rotation = torch.nn.Parameter(torch.full((1, 3), 1e-8, device=device))
        self.shift = torch.nn.Parameter(torch.full((1, 3), 1e-8, device=device))

    def _moved(self):
        return self._pivot @ self._convert(self.rotation, self.shift, "so3_log") @ self._pivot.inverse()

    def ras_from_camera(self):
        return self._moved() @ self._start

    def world_from_ct(self, start: np.ndarray) -> np.ndarray:
        moved = peer.RAS_FROM_LPS @ self._moved()[0].detach().cpu().double().numpy() @ peer.RAS_FROM_LPS
        return start @ rigid.inverse(moved)


def _similarity(m, device):
    multiscale = m.metrics.MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5]).to(device)
    gradient = m.metrics.GradientNormalizedCrossCorrelation2d(11, 0.0).to(device)
    return lambda fixed, moving: 0.5 * multiscale(fixed, moving) + 0.5 * gradient(fixed, moving)


def _prepared(torch, images, rows: int, columns: int):
    """Each image stretched to 0..1, resized, and shifted by xvr's mean and deviation of an X-ray."""
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    stretched = (images - low) / (high - low + 1e-6)
    resized = torch.nn.functional.interpolate(stretched, (rows, columns), mode="bilinear", align_corners=False)
    return (resized - 0.15) / 0.1
