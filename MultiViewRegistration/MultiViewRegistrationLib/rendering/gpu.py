"""DRRs of many poses at once, with their Jacobians, in NVIDIA Warp: the sums of `cpu.py`, a thread for each ray.

    images, jacobians = BatchProjector(projector, "cuda").render(cameras, poses, jacobian=True)

The kernels are compiled when first used, for CUDA without a toolkit and for the CPU; there they run on one thread, which tests them where
no GPU is. Tensors of torch go in and out without copies, on torch's own stream. What a batch sends to the device are 36 numbers for each
pose. Where a ray begins and which planes it crosses is computed in double precision, the sums along it in single, as in `cpu.py`.

The same bits come out every time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import warp as wp
from torch import Tensor

from ..errors import InputError
from ..geometry.camera import Camera
from .drr import FIRST_ROW, Projector
from .warp_kernels import BEAM, mark_unseen_rays, project_rays

#: Launches that are remembered, see `launch`.
MAX_PACKED = 4096
_packed: dict[tuple, wp.Launch] = {}


class BufferPool:
    """Makes the tensors of a batch.

    Parameters
    ----------
    kept
        The next batch of the same shape gets the same ones, in the same places; else each gets its own.
    """

    def __init__(self, device: str, *, kept: bool = False) -> None:
        self._device, self._kept = device, kept
        self._tensors: dict[tuple, Tensor] = {}

    def empty(self, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """A tensor with undefined content."""
        if not self._kept:
            return torch.empty(shape, dtype=dtype, device=self._device)
        key = name, shape, dtype
        if key not in self._tensors:
            self._tensors[key] = torch.empty(shape, dtype=dtype, device=self._device)
        return self._tensors[key]

    def sent(self, name: str, array: np.ndarray) -> Tensor:
        """An array on the device."""
        tensor = torch.from_numpy(array)
        return self.empty(name, *tensor.shape, dtype=tensor.dtype).copy_(tensor)

    def clear(self) -> None:
        """Give up what was kept."""
        self._tensors.clear()


class BatchProjector:
    """A `Projector`'s volume on a device.

    Parameters
    ----------
    device
        As torch has it, "cuda", "cuda:1" or "cpu".

    Raises
    ------
    InputError
        For a device that is not there.
    """

    def __init__(self, projector: Projector, device: str = "cuda") -> None:
        wp.init()
        if device == "cuda" and torch.cuda.is_available():
            device = f"cuda:{torch.cuda.current_device()}"
        known = [str(one) for one in wp.get_devices()]
        if device not in known:
            raise InputError(
                f'the device is "{device}", but one of {", ".join(known)} is expected; choose one of them, or look whether its '
                "driver works."
            )
        self.device, self._projector, self._grid = device, projector, projector.grid
        self._values, self._end_slices = (sent(array, device) for array in (self._grid.values, projector.end_slices))

    def render(
        self,
        cameras: Sequence[Camera],
        world_from_ct,
        *,
        jacobian: bool = False,
        pivot=(0.0, 0.0, 0.0),
        wanted: Tensor | None = None,
        buffers: BufferPool | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The line integrals (n, rows, columns), float32, and their derivatives (6, n, rows, columns) by the pose if requested.

        Parameters
        ----------
        cameras
            n, of one size.
        world_from_ct
            (n, 4, 4) rigid, mm.
        pivot
            (3,) or (n, 3) world mm, see `Projector.render`.
        wanted
            (n, rows, columns) uint8 on the device, the rays to follow; the others are 0. All by default.
        buffers
            Of the results, a new one by default.

        Raises
        ------
        InputError
            For a pose that is not finite.
        ValueError
            For cameras of several sizes.
        """
        buffers = buffers or BufferPool(self.device)
        shape = _shape(cameras)
        image = buffers.empty("image", *shape)
        derivative = buffers.empty("derivative", 6, *(shape if jacobian else [0]))
        followed = buffers.empty("all rays", 0, dtype=torch.uint8) if wanted is None else wanted.contiguous().view(-1)
        beams = buffers.sent("beams", self._beams(cameras, world_from_ct, pivot))
        out = image.view(-1), derivative.view(6, -1)
        launch(
            project_rays,
            image.numel(),
            self.device,
            [self._values, *self._grid.stored, beams, *shape[1:], followed, *out],
        )
        return image, derivative if jacobian else None

    def seen(self, cameras: Sequence[Camera], world_from_ct, buffers: BufferPool | None = None) -> Tensor:
        """(n, rows, columns) uint8: 0 for rays that go on through tissue where the CT was cut off, as `Projector.seen`.

        Parameters
        ----------
        buffers
            Of the result, a new one by default.
        """
        poses, buffers, shape = np.asarray(world_from_ct, float), buffers or BufferPool(self.device), _shape(cameras)
        seen = buffers.empty("seen", *shape, dtype=torch.uint8).fill_(1)
        cut, depth = np.zeros((len(cameras), 6), np.uint8), np.empty(len(cameras))
        for camera, of_it in _by_camera(cameras):
            cut[of_it] = self._projector.cut_across(camera, poses[of_it])
            depth[of_it] = self._grid.rays(camera, poses[of_it]).depth_mm
        if cut.any():
            beams = buffers.sent("beams", self._beams(cameras, poses, (0.0, 0.0, 0.0)))
            ends = buffers.sent("cut", cut), self._end_slices, buffers.sent("depth", depth)
            arguments = [*ends, *self._grid.shape, beams, *shape[1:], seen.view(-1)]
            launch(mark_unseen_rays, seen.numel(), self.device, arguments)
        return seen

    def _beams(self, cameras: Sequence[Camera], world_from_ct, pivot) -> np.ndarray:
        """(n, BEAM)."""
        beams, poses = np.empty((len(cameras), BEAM)), np.asarray(world_from_ct, float)
        pivots = np.broadcast_to(np.asarray(pivot, float), (len(cameras), 3))
        for camera, of_it in _by_camera(cameras):
            rays = self._grid.rays(camera, poses[of_it])
            index_from_world, lever = np.linalg.inv(rays.world_from_index), camera.sources(FIRST_ROW) - pivots[of_it]
            parts = rays.source, rays.directions, index_from_world, rays.world_from_index, lever, rays.source_step
            beams[of_it] = np.concatenate([part.reshape(len(of_it), -1) for part in parts], axis=1)
        return beams


def _shape(cameras: Sequence[Camera]) -> tuple[int, int, int]:
    """(n, rows, columns)."""
    sizes = {tuple(camera.size) for camera in cameras}
    if len(sizes) != 1:
        raise ValueError(f"cameras: expected some of one size, not of the sizes {sorted(sizes)}")
    columns, rows = sizes.pop()
    return len(cameras), rows, columns


def _by_camera(cameras: Sequence[Camera]) -> list[tuple[Camera, list[int]]]:
    """Each camera once, with the numbers of its images."""
    images: dict[int, list[int]] = {}
    for number, camera in enumerate(cameras):
        images.setdefault(id(camera), []).append(number)
    return [(cameras[numbers[0]], numbers) for numbers in images.values()]


def sent(array: np.ndarray, device: str) -> Tensor:
    """An array on the device."""
    return torch.from_numpy(array).to(device)


def _memory_layout(argument):
    """A tensor's address, shape and type; any other argument itself."""
    if isinstance(argument, Tensor):
        return argument.data_ptr(), argument.dtype, *argument.shape, *argument.stride()
    return argument


def launch(kernel: wp.Kernel, threads: int | tuple[int, ...], device: str, arguments: list) -> None:
    """Start a kernel on torch's stream, tensors among its arguments; what follows there waits for it.

    Packing arguments takes longer than small kernels do: where they lie in the same places as before (see `BufferPool`), the packed ones
    are used again.
    """
    if threads == 0:
        return
    key = (kernel, threads, device, *map(_memory_layout, arguments))
    packed = _packed.get(key)
    if packed is None:
        # As bare descriptors: those that hold their tensors would keep their places from being used again.
        bare = [
            wp.from_torch(argument, return_ctype=True) if isinstance(argument, Tensor) else argument
            for argument in arguments
        ]
        packed = wp.launch(kernel, dim=threads, inputs=bare, device=device, record_cmd=True)
        if len(_packed) >= MAX_PACKED:
            _packed.clear()
        _packed[key] = packed
    packed.launch(wp.stream_from_torch(torch.cuda.current_stream(device)) if device.startswith("cuda") else None)
