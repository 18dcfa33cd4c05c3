"""DRRs of many poses at once, with their Jacobians, in NVIDIA Warp: the sums of `cpu.py`, a thread for each ray.

    images, jacobians = BatchProjector(projector, "cuda").render(cameras, poses, jacobian=True)

The kernels are compiled when first used, for CUDA without a toolkit and for the CPU; there they run on one thread, which tests them where
no GPU is. Tensors of torch go in and out without copies, on torch's own stream. What a batch sends to the device are 33 numbers for each
pose. Where a ray begins and which planes it crosses is computed in double precision, the sums along it in single, as in `cpu.py`.

The same bits come out every time, but for `back_project` on CUDA: there many rays add to one voxel, in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch
import warp as wp
from torch import Tensor

from ..errors import InputError
from ..geometry.camera import Camera
from .drr import NOT_FINITE, Grid, Projector
from .warp_kernels import BEAM, back_project_rays, mark_unseen_rays, project_rays

#: Launches that are remembered, see `launch`.
MAX_PACKED = 4096
_packed: dict[tuple, wp.Launch] = {}


class BufferPool:
    """Makes the tensors of a batch.

    kept: the next batch of the same shape gets the same ones, in the same places; else each gets its own.
    """

    def __init__(self, device: str, *, kept: bool = False) -> None:
        self._device, self._kept = device, kept
        self._tensors: dict[tuple, Tensor] = {}

    def empty(self, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Of any content."""
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


class BatchRenderer:
    """A grid on a device, made ready for projection.

    device: as torch has it, "cuda", "cuda:1" or "cpu". InputError for one that is not there.
    """

    def __init__(self, grid: Grid, device: str = "cuda") -> None:
        self.device, self.grid = known_device(device), grid
        self._values = sent(grid.values, self.device)
        self._place: WeakKeyDictionary[Camera, list[Tensor]] = WeakKeyDictionary()

    def render(
        self,
        cameras: Sequence[Camera],
        world_from_ct,
        *,
        jacobian: bool = False,
        pivot=(0.0, 0.0, 0.0),
        rays: Tensor | None = None,
        wanted: Tensor | None = None,
        buffers: BufferPool | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The line integrals (n, rows, columns), float32, and their derivatives (6, n, rows, columns) by the pose if asked for.

        cameras: n, of one size.   world_from_ct: (n, 4, 4) rigid, mm.
        pivot: (3,) or (n, 3) world mm, see `drr.render`.
        rays: (m,) int32 on the device, the rays to follow, each by its place in the flattened images; then results are (m,) and (6, m).
        wanted: (n, rows, columns) uint8 on the device, the rays to follow in whole images; the others are 0. All by default.
        buffers: of the results, a new one by default.

        InputError for a pose that is not finite. ValueError for cameras of several sizes.
        """
        buffers = buffers or BufferPool(self.device)
        beams = buffers.sent("beams", self._beams(cameras, world_from_ct, pivot))
        return self._followed(beams, _size(cameras), jacobian, rays, wanted, buffers)

    def render_there(
        self, camera: Camera, world_from_ct: Tensor, pivots: Tensor, *, jacobian: bool
    ) -> tuple[Tensor, Tensor | None]:
        """The same at poses that are on the device already, and do not leave it.

        world_from_ct: (n, 4, 4) and pivots: (n, 3) float64, mm, on the device. InputError for a pose that is not finite.
        """
        if not torch.isfinite(world_from_ct).all():
            raise InputError(NOT_FINITE)
        if camera not in self._place:
            self._place[camera] = [
                sent(array, self.device)
                for array in (
                    self.grid.index_from_ct,
                    self.grid.ct_from_index[:3, :3],
                    camera.ray_matrix,
                    camera.source,
                )
            ]
        index_from_ct, along_index, ray_matrix, source = self._place[camera]
        turn, shift = world_from_ct[:, :3, :3], world_from_ct[:, :3, 3:]
        index_from_world = index_from_ct[:3, :3] @ turn.mT
        from_source = index_from_world @ (source[:, None] - shift) + index_from_ct[:3, 3:]
        parts = from_source, (index_from_world @ ray_matrix).mT, index_from_world, turn @ along_index, source - pivots
        beams = torch.cat([part.reshape(len(world_from_ct), -1) for part in parts], dim=1)
        return self._followed(beams, tuple(camera.size), jacobian, None, None, BufferPool(self.device))

    def _followed(
        self,
        beams: Tensor,
        size: tuple[int, int],
        jacobian: bool,
        rays: Tensor | None,
        wanted: Tensor | None,
        buffers: BufferPool,
    ) -> tuple[Tensor, Tensor | None]:
        """See `render`.   beams: (n, BEAM) float64 on the device."""
        n, (columns, rows) = len(beams), size
        count = n * rows * columns if rays is None else len(rays)
        image, derivative = buffers.empty("image", count), buffers.empty("derivative", 6, count if jacobian else 0)
        asked = buffers.empty("no rays", 0, dtype=torch.int32) if rays is None else rays.contiguous()
        followed = buffers.empty("all rays", 0, dtype=torch.uint8) if wanted is None else wanted.contiguous().view(-1)
        launch(
            project_rays,
            count,
            self.device,
            [self._values, *self.grid.stored, beams, rows, columns, asked, followed, image, derivative],
        )
        if rays is None:
            image, derivative = (
                image.view(n, rows, columns),
                derivative.view(6, *([n, rows, columns] if jacobian else [0])),
            )
        return image, derivative if jacobian else None

    def _beams(self, cameras: Sequence[Camera], world_from_ct, pivot) -> np.ndarray:
        return _beams(self.grid, cameras, world_from_ct, np.broadcast_to(np.asarray(pivot, float), (len(cameras), 3)))


class BatchProjector(BatchRenderer):
    """A `Projector`'s volume on a device, whose cut ends are known."""

    def __init__(self, projector: Projector, device: str = "cuda") -> None:
        super().__init__(projector.grid, device)
        self._projector = projector
        self._end_slices = [sent(tissue, self.device) for tissue in projector.end_slices]

    def seen(self, cameras: Sequence[Camera], world_from_ct, buffers: BufferPool | None = None) -> Tensor:
        """(n, rows, columns) uint8: 0 for rays that go on through tissue where the CT was cut off, as `Projector.seen`.

        buffers: of the result, a new one by default.
        """
        columns, rows = _size(cameras)
        poses, buffers = np.asarray(world_from_ct, float), buffers or BufferPool(self.device)
        seen = buffers.empty("seen", len(cameras), rows, columns, dtype=torch.uint8).fill_(1)
        cut, depth = np.zeros((len(cameras), 6), np.uint8), np.empty(len(cameras))
        for camera, of_it in _by_camera(cameras):
            cut[of_it] = self._projector.cut_across(camera, poses[of_it])
            depth[of_it] = self.grid.rays(camera, poses[of_it]).depth_mm
        if cut.any():
            launch(
                mark_unseen_rays,
                seen.numel(),
                self.device,
                [
                    buffers.sent("cut", cut),
                    *self._end_slices,
                    *self.grid.shape,
                    buffers.sent("beams", self._beams(cameras, poses, (0.0, 0.0, 0.0))),
                    buffers.sent("depth", depth),
                    rows,
                    columns,
                    seen.view(-1),
                ],
            )
        return seen


def back_project(
    gradient: Tensor, cameras: Sequence[Camera], world_from_ct, shape, ct_from_index: np.ndarray
) -> Tensor:
    """A^T g, summed over the images: what a gradient by images comes to for the volume that they show. See `autograd.back_project`.

    gradient: (n, rows, columns) float32, on the device of the work.   cameras: n.   world_from_ct: (n, 4, 4), mm.
    shape: (nk, nj, ni) of the volume.   ct_from_index: (4, 4), mm, of the volume.   Returns (nk, nj, ni) float32, there.
    """
    columns, rows = _size(cameras)
    nk, nj, ni = (size + 2 for size in shape)
    into_air = np.eye(4)
    into_air[:3, 3] = -1
    grid = Grid(np.empty(0, np.float32), (ni, nj, nk), ct_from_index @ into_air, (ni, nj, nk))
    values = torch.zeros((nk + 2) * nj * ni, device=gradient.device)
    beams = sent(_beams(grid, cameras, world_from_ct, np.zeros((len(cameras), 3))), str(gradient.device))
    launch(
        back_project_rays,
        gradient.numel(),
        str(gradient.device),
        [values, ni, nj, nk, beams, rows, columns, gradient.contiguous().view(-1)],
    )
    return values.view(nk + 2, nj, ni)[1 : nk - 1, 1:-1, 1:-1].contiguous()


def known_device(device: str) -> str:
    """The device by its full name. InputError where it is not there."""
    wp.init()
    if device == "cuda" and torch.cuda.is_available():
        device = f"cuda:{torch.cuda.current_device()}"
    known = [str(one) for one in wp.get_devices()]
    if device not in known:
        raise InputError(
            f'the device is "{device}", but one of {", ".join(known)} is expected; choose one of them, or look whether its '
            "driver works."
        )
    return device


def _size(cameras: Sequence[Camera]) -> tuple[int, int]:
    sizes = {tuple(camera.size) for camera in cameras}
    if len(sizes) != 1:
        raise ValueError(f"cameras: expected some of one size, not of the sizes {sorted(sizes)}")
    return sizes.pop()


def _by_camera(cameras: Sequence[Camera]) -> list[tuple[Camera, list[int]]]:
    """Each camera once, with the numbers of its images."""
    images: dict[int, list[int]] = {}
    for number, camera in enumerate(cameras):
        images.setdefault(id(camera), []).append(number)
    return [(cameras[numbers[0]], numbers) for numbers in images.values()]


def _beams(grid: Grid, cameras: Sequence[Camera], world_from_ct, pivots: np.ndarray) -> np.ndarray:
    """(n, BEAM)."""
    beams, poses = np.empty((len(cameras), BEAM)), np.asarray(world_from_ct, float)
    for camera, of_it in _by_camera(cameras):
        rays = grid.rays(camera, poses[of_it])
        parts = (
            rays.source,
            rays.directions,
            np.linalg.inv(rays.world_from_index),
            rays.world_from_index,
            camera.source - pivots[of_it],
        )
        beams[of_it] = np.concatenate([part.reshape(len(of_it), -1) for part in parts], axis=1)
    return beams


def sent(array: np.ndarray, device: str) -> Tensor:
    """An array on the device."""
    return torch.from_numpy(array).to(device)


def _memory_layout(argument):
    """Where and how a tensor lies; any other argument itself."""
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
