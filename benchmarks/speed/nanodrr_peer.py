"""The peer nanodrr (github.com/eigenvivek/nanodrr).

DRRs in PyTorch, their gradient by autograd, and a registration by it.

It works in RAS, counts pixel centres from 0.5, and takes `n_samples` equally far apart along the
part of each ray that lies in the volume: no sample is spent between source and volume. Volume and
camera are ours; only frames and types change.

The registration is nanodrr's renderer and metrics in the loop of xvr, with xvr's published
settings, over two views. xvr (Gopalakrishnan et al., arXiv 2503.16309; github.com/eigenvivek/xvr,
register/register.py and losses/gmncc.py) registers one view. Here its views share one pose: the
rotation vector and shift that nanodrr's own `Registration` solves for, about the volume's centre,
applied to all cameras at once; the objective is the mean over the views. Everything else is as
published: three scales, each half the one before, Adam with 1e-2 (rotation) and 1.0 (mm), halved at
each scale, divided by 10 when the similarity has not risen by 1e-4 (relative) for 5 steps, on to
the next scale the second time, 500 steps at most; images stretched to 0..1, resized bilinearly;
similarity half of NCC (global and patches of 9, half each) and half of gradient NCC (patches of
11).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from types import SimpleNamespace

import numpy as np

from MultiViewRegistrationLib.errors import InputError, install_command
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.ct import Volume
from MultiViewRegistrationLib.imaging.xray import View
from MultiViewRegistrationLib.rendering.devices import available_threads

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SCALES = (8, 4, 2)
ITERATIONS = 500
ROTATION_RATE, TRANSLATION_RATE = 1e-2, 1.0
DECAY, PATIENCE, THRESHOLD, PLATEAUS = 0.1, 5, 1e-4, 2
SAMPLES = 500


@lru_cache(maxsize=1)
def modules() -> SimpleNamespace:
    """torch, with as many threads as our own kernels, and what is used of nanodrr.

    InputError where they are missing.
    """
    try:
        import torch
        from nanodrr import data, drr, geometry, metrics
        from torchio import ScalarImage
    except ImportError as error:
        raise InputError(
            "the benchmark runs beside its peers, but the Python package "
            f"{error.name or 'nanodrr'} is missing; run {install_command('bench')}."
        ) from error
    torch.set_num_threads(available_threads())
    return SimpleNamespace(
        torch=torch, data=data, drr=drr, geometry=geometry, metrics=metrics, ScalarImage=ScalarImage
    )


def subject_of(volume: Volume, device: str = "cpu", *, half: bool = False):
    """nanodrr's Subject of an attenuation volume (1/mm), at full resolution, on a device of torch.

    half: the volume in bfloat16, the geometry in float32, as nanodrr advises; else all in float32.
    """
    m = modules()
    tensor = m.torch.from_numpy(np.ascontiguousarray(volume.values.transpose(2, 1, 0)))[None]
    image = m.ScalarImage(tensor=tensor, affine=RAS_FROM_LPS @ volume.ct_from_index)
    subject = m.data.Subject.from_images(image, convert_to_mu=False).to(device)
    if half:
        subject._image_hu = subject._image_hu.to(m.torch.bfloat16)
    return subject


def inverse_intrinsics(camera: Camera) -> np.ndarray:
    """(3, 3) K^-1 with pixel centres at 0.5."""
    K = camera.intrinsics.copy()
    K[:2, 2] += 0.5
    return np.linalg.inv(K)


def ras_from_camera(camera: Camera, world_from_ct: np.ndarray) -> np.ndarray:
    """(4, 4) camera mm to the CT's RAS mm, the `rt_inv` of nanodrr."""
    return RAS_FROM_LPS @ rigid.inverse(camera.camera_from_world @ world_from_ct)


def depth_behind(volume: Volume, camera: Camera, world_from_ct: np.ndarray) -> float:
    """A depth in mm behind the volume. nanodrr's rays must end somewhere.

    Clipped to the volume, it does not matter where.
    """
    size = np.array(volume.size)
    corners = rigid.grid_points(*[(-1, n) for n in size])
    there = rigid.transform_points(world_from_ct @ volume.ct_from_index, corners)
    return 1.1 * float(camera.depth(there).max())


def _tensor(subject, values):
    torch = modules().torch
    return torch.tensor(np.stack(values), dtype=torch.float32, device=subject.image.device)


def _placed(subject, volume, cameras, poses):
    """Tensors of cameras at poses: K^-1, depths behind the volume, and RAS from each camera."""
    seen = list(zip(cameras, poses, strict=True))
    k_inv = [inverse_intrinsics(camera) for camera in cameras]
    sdd = [depth_behind(volume, *each) for each in seen]
    ras = [ras_from_camera(*each) for each in seen]
    return (_tensor(subject, each) for each in (k_inv, sdd, ras))


class Renderer:
    """Cameras of nanodrr on a subject, one batch, their poses the variable."""

    def __init__(
        self,
        subject,
        volume: Volume,
        cameras: Sequence[Camera],
        poses: Sequence[np.ndarray] | np.ndarray,
        samples: int,
        *,
        compiled: bool = False,
    ) -> None:
        """All on the subject's device.

        Parameters
        ----------
        cameras : all of one size.
        poses : (4, 4) world_from_ct for each camera.
        samples : along each ray's part within the volume.
        compiled : whether by torch.compile, on a card in the mode that nanodrr names as its
        fastest.
        """
        m = modules()
        columns, rows = cameras[0].size
        self._torch, self._subject = m.torch, subject
        k_inv, sdd, ras = _placed(subject, volume, cameras, poses)
        drr = m.drr.DRR(k_inv, sdd, rows, columns)
        on_card = subject.image.device.type == "cuda"
        # By name: left to choose, nanodrr takes its slow way where Triton is missing, and does not
        # say so.
        self._how = {"n_samples": samples, "backend": "triton" if on_card else "torch"}
        mode = "reduce-overhead" if on_card else None
        self._drr = m.torch.compile(drr, mode=mode) if compiled else drr
        self._pose = ras.requires_grad_()

    def run(self):
        """The images (cameras, 1, rows, columns) on the device, which may still be at work.

        No gradient kept.
        """
        with self._torch.no_grad():
            return self._drr(self._subject, self._pose, **self._how)

    def run_backward(self):
        """The work of one optimiser step.

        The images, and the gradient of a number made of them by each pose (cameras, 4, 4).
        """
        self._pose.grad = None
        self._drr(self._subject, self._pose, **self._how).sum().backward()
        return self._pose.grad

    def images(self) -> np.ndarray:
        """(cameras, rows, columns)"""
        return self.run()[:, 0].float().cpu().numpy()


def samples_for_step(
    volume: Volume, camera: Camera, world_from_ct: np.ndarray
) -> tuple[int, float, float]:
    """The number of samples a ray with which nanodrr steps as far as we do, our mean step and its mean step in mm.

    Means over the rays that cross the volume. We sample where a ray crosses the voxel planes of the
    axis that it follows most closely: the step is the planes' spacing over the cosine. nanodrr's
    step is the part of a ray within the volume, which for it ends one voxel beyond the outermost
    centres as for us, over the number of samples.
    """
    ct_from_camera = rigid.inverse(camera.camera_from_world @ world_from_ct)
    columns, rows = camera.size
    pixels = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2)
    rays = rigid.rotate(camera.camera_from_world, camera.ray_directions(pixels))
    index_from_camera = volume.index_from_ct @ ct_from_camera
    directions = rigid.rotate(ct_from_camera, rays) @ volume.index_from_ct[:3, :3].T
    source = index_from_camera[:3, 3]
    size = np.array(volume.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        faces = np.stack([(-1 - source) / directions, (size - source) / directions])
    enter, leave = faces.min(axis=0).max(axis=1), faces.max(axis=0).min(axis=1)
    inside = np.maximum(leave - np.maximum(enter, 0), 0)
    crossing = inside > 0
    step = 1 / np.abs(directions[crossing]).max(axis=1)
    samples = max(2, round(inside[crossing].mean() / step.mean()))
    return samples, float(step.mean()), float(inside[crossing].mean() / samples)


def register(
    subject,
    volume: Volume,
    views: Sequence[View],
    world_from_ct: np.ndarray,
    note: Callable[[np.ndarray], bool] = lambda pose: True,
    iterations: int = ITERATIONS,
) -> bool:
    """Whether the schedule came to its end.

    Parameters
    ----------
    subject : on the device of the work.
    views : all of one size.
    note : called with the pose (4, 4) `world_from_ct` after each step; False ends the schedule.
    iterations : at each scale, at most.
    """
    m = modules()
    torch, device = m.torch, subject.image.device
    images = _tensor(subject, [view.xray.line_integrals[None] for view in views])
    cameras = [view.camera for view in views]
    k_inv, sdd, ras = _placed(subject, volume, cameras, [world_from_ct] * len(views))
    pose = _SharedPose(subject, ras)
    multiscale = m.metrics.MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5]).to(device)
    gradient = m.metrics.GradientNormalizedCrossCorrelation2d(11, 0.0).to(device)
    for stage, scale in enumerate(SCALES):
        rows, columns = (size // scale for size in images.shape[-2:])
        scaled = k_inv * torch.tensor([scale, scale, 1.0], device=device)
        fixed = _prepared(torch, images, rows, columns)
        optimiser = torch.optim.Adam(
            [
                {"params": [pose.rotation], "lr": ROTATION_RATE / 2**stage},
                {"params": [pose.shift], "lr": TRANSLATION_RATE / 2**stage},
            ],
            maximize=True,
        )
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, "max", DECAY, PATIENCE, THRESHOLD
        )
        rates = set()
        for _ in range(iterations):
            optimiser.zero_grad()
            rendered = m.drr.render(
                subject, scaled, pose.ras_from_camera(), sdd, rows, columns, SAMPLES
            )
            moving = _prepared(torch, rendered, rows, columns)
            score = (0.5 * multiscale(fixed, moving) + 0.5 * gradient(fixed, moving)).mean()
            score.backward()
            optimiser.step()
            schedule.step(score.detach())
            if not note(pose.world_from_ct(world_from_ct)):
                return False
            rates.add(min(schedule.get_last_lr()))
            if len(rates) > PLATEAUS:
                break
    return True


class _SharedPose:
    """The cameras (n, 4, 4), RAS mm, all moved by one rotation vector and shift about the centre of the volume."""

    def __init__(self, subject, ras_from_camera) -> None:
        m = modules()
        self._convert, torch = m.geometry.convert, m.torch
        device, self._start = subject.image.device, ras_from_camera
        self._pivot = torch.eye(4, device=device)
        self._pivot[:3, 3] = subject.isocenter
        self.rotation = torch.nn.Parameter(torch.full((1, 3), 1e-8, device=device))
        self.shift = torch.nn.Parameter(torch.full((1, 3), 1e-8, device=device))

    def _moved(self):
        moved = self._convert(self.rotation, self.shift, "so3_log")
        return self._pivot @ moved @ self._pivot.inverse()

    def ras_from_camera(self):
        return self._moved() @ self._start

    def world_from_ct(self, start: np.ndarray) -> np.ndarray:
        moved = RAS_FROM_LPS @ self._moved()[0].detach().cpu().double().numpy() @ RAS_FROM_LPS
        return start @ rigid.inverse(moved)


def _prepared(torch, images, rows, columns):
    """Each image stretched to 0..1, resized, and shifted by xvr's mean and deviation of an X-ray."""
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    stretched = (images - low) / (high - low + 1e-6)
    resized = torch.nn.functional.interpolate(
        stretched, (rows, columns), mode="bilinear", align_corners=False
    )
    return (resized - 0.15) / 0.1
