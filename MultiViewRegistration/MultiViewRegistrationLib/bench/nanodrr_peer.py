"""The peer nanodrr (github.com/eigenvivek/nanodrr): DRRs in PyTorch, their gradient by autograd, through its documented interface.

It works in RAS, counts pixel centres from 0.5, and takes `n_samples` equally far apart along the part of each ray that lies in the
volume: no sample is spent between source and volume. Volume and camera are ours; only frames and types change.
"""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.volume import Volume
from ..rendering.threads import available_threads

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@lru_cache(maxsize=1)
def modules() -> SimpleNamespace:
    """torch, with as many threads as our own kernels, and what is used of nanodrr. InputError where they are missing."""
    try:
        import torch
        from nanodrr import data, drr, geometry, metrics
        from torchio import ScalarImage
    except ImportError as error:
        raise InputError(
            f"the benchmark runs beside its peers, but the Python package {error.name or 'nanodrr'} is missing; run "
            'pip install "multiview-registration[bench]".'
        ) from error
    torch.set_num_threads(available_threads())
    return SimpleNamespace(torch=torch, data=data, drr=drr, geometry=geometry, metrics=metrics, ScalarImage=ScalarImage)


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


def beyond(volume: Volume, camera: Camera, world_from_ct: np.ndarray) -> float:
    """A depth in mm behind the volume. nanodrr's rays must end somewhere; clipped to the volume, it does not matter where."""
    size = np.array(volume.values.shape[::-1])
    corners = np.stack(np.meshgrid(*[(-1, n) for n in size], indexing="ij"), -1).reshape(-1, 3)
    return 1.1 * float(camera.depth(rigid.transform_points(world_from_ct @ volume.ct_from_index, corners)).max())


class Renderer:
    """Cameras of nanodrr on a subject, one batch, their poses the variable."""

    def __init__(
        self,
        subject,
        volume: Volume,
        cameras: list[Camera],
        world_from_ct: np.ndarray,
        samples: int,
        *,
        compiled: bool = False,
    ) -> None:
        """cameras: all of one size.   world_from_ct: (4, 4), or one for each camera (n, 4, 4).
        samples: along each ray's part within the volume.   compiled: by torch.compile, on a card in the mode that nanodrr names as its
            fastest. All on the subject's device.
        """
        m = modules()
        columns, rows = cameras[0].size
        self._torch, self._subject = m.torch, subject

        poses = np.broadcast_to(world_from_ct, (len(cameras), 4, 4))

        def batch(values):
            return m.torch.tensor(np.stack(values), dtype=m.torch.float32, device=subject.image.device)

        sdd = batch([beyond(volume, camera, pose) for camera, pose in zip(cameras, poses, strict=True)])
        drr = m.drr.DRR(batch([inverse_intrinsics(camera) for camera in cameras]), sdd, rows, columns)
        on_card = subject.image.device.type == "cuda"
        # By name: left to choose, nanodrr takes its slow way where Triton is missing, and does not say so.
        self._how = {"n_samples": samples, "backend": "triton" if on_card else "torch"}
        self._drr = m.torch.compile(drr, mode="reduce-overhead" if on_card else None) if compiled else drr
        self._pose = batch(
            [ras_from_camera(camera, pose) for camera, pose in zip(cameras, poses, strict=True)]
        ).requires_grad_()

    def run(self):
        """The images (cameras, 1, rows, columns) on the device, which may still be at work; no gradient kept."""
        with self._torch.no_grad():
            return self._drr(self._subject, self._pose, **self._how)

    def run_backward(self):
        """What one step of an optimiser needs: the images, and the gradient of a number made of them by each pose (cameras, 4, 4)."""
        self._pose.grad = None
        self._drr(self._subject, self._pose, **self._how).sum().backward()
        return self._pose.grad

    def forward(self) -> np.ndarray:
        """The images (cameras, rows, columns)."""
        return self.run()[:, 0].float().cpu().numpy()

    def forward_backward(self) -> np.ndarray:
        """The gradient (cameras, 4, 4) of `run_backward`."""
        return self.run_backward().cpu().numpy()


def samples_for_step(volume: Volume, camera: Camera, world_from_ct: np.ndarray) -> tuple[int, float, float]:
    """The number of samples a ray with which nanodrr steps as far as we do, our mean step and its mean step in mm.

    Means over the rays that cross the volume. We sample where a ray crosses the voxel planes of the axis that it follows most
    closely: the step is the planes' spacing over the cosine. nanodrr's step is the part of a ray within the volume, which for it
    ends one voxel beyond the outermost centres as for us, over the number of samples.
    """
    ct_from_camera = rigid.inverse(camera.camera_from_world @ world_from_ct)
    columns, rows = camera.size
    pixels = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2)
    rays = rigid.rotate(camera.camera_from_world, camera.ray_directions(pixels))
    index_from_camera = volume.index_from_ct @ ct_from_camera
    directions = rigid.rotate(ct_from_camera, rays) @ volume.index_from_ct[:3, :3].T
    source = index_from_camera[:3, 3]
    size = np.array(volume.values.shape[::-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        faces = np.stack([(-1 - source) / directions, (size - source) / directions])
    inside = np.maximum(faces.max(axis=0).min(axis=1) - np.maximum(faces.min(axis=0).max(axis=1), 0), 0)
    crossing = inside > 0
    step = 1 / np.abs(directions[crossing]).max(axis=1)
    samples = max(2, round(inside[crossing].mean() / step.mean()))
    return samples, float(step.mean()), float(inside[crossing].mean() / samples)
