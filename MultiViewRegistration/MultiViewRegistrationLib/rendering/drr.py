"""Digitally reconstructed radiographs (DRRs), with their derivatives by the pose.

image = Projector(volume).render(camera, world_from_ct).image
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.ct import CT, Volume, attenuation
from . import cpu
from .cpu import Ends, Placed, Rays, Voxels
from .devices import row_blocks, run_tasks

#: Attenuation (1/mm) from which a voxel counts as tissue: about a quarter of water.
TISSUE_PER_MM = 0.005
#: Distance from an end of the CT at which `cut_ends` looks at the body's cross-section.
INWARDS_MM = 20.0
#: A face of the volume faces the beam if the cosine between its normal and the camera's axis is
#: more than this.
FACING_COSINE = 0.6
#: Rows of more voxels than this are lengthened to a multiple of ROW, a cache line in single
#: precision.
LONG_ROW = 128
ROW = 16
#: The kernel counts voxels in 32 bits.
MAX_VOXELS = 2**31 - 1
#: A pixel of row 0, whose source a kernel is given.
FIRST_ROW = (0.0, 0.0)
#: For a kernel: all rays, and no derivatives.
NO_RAYS = np.empty((0, 0), np.uint8)
NO_JACOBIAN = np.empty((6, 0, 0), np.float32)


@dataclass(frozen=True)
class Rendering:
    """A DRR in line integrals (rows, columns), float32, and its derivative by the pose (6, rows, columns) if requested."""

    image: np.ndarray
    jacobian: np.ndarray | None


#: What is wrong with such a pose.
NOT_FINITE = "world_from_ct: has numbers that are not finite, but a rigid transform is expected."


@dataclass(frozen=True)
class Grid:
    """A volume as the kernel takes it, in the precision of its values.

    Trimmed to its content, in a layer of air.

    Parameters
    ----------
    values
        Flat, see cpu.project_rows.
    shape
        (ni, nj, nk).
    ct_from_index
        (4, 4) mm, of the grid with its layer of air.
    stored
        The same shape with more air at the ends of long rows, so that each begins a cache line.
    """

    values: np.ndarray
    shape: tuple[int, int, int]
    ct_from_index: np.ndarray
    stored: tuple[int, int, int]

    @classmethod
    def of(cls, values: np.ndarray, ct_from_index: np.ndarray) -> Grid:
        """Return a grid of values (nk, nj, ni) at ct_from_index.

        Raises
        ------
        InputError
            For more than 2^31 - 1 voxels.
        """
        box = extents(values)
        trimmed = values[tuple(slice(low, high) for low, high in box)]
        nk, nj, ni = (size + 2 for size in trimmed.shape)
        row = -(-ni // ROW) * ROW if ni > LONG_ROW else ni
        if (nk + 2) * nj * row > MAX_VOXELS:
            raise InputError(
                f"the CT has {trimmed.size:.3g} voxels, but at most {MAX_VOXELS:.3g} can be "
                "projected; crop it to what the X-rays show, or resample it to larger voxels."
            )
        with_slack = np.zeros(
            (nk + 2, nj, row), values.dtype
        )  # two slices more, see cpu.project_rows
        with_slack[1 : nk - 1, 1:-1, 1 : ni - 1] = trimmed
        shift = np.eye(4)
        shift[:3, 3] = [box[2][0] - 1, box[1][0] - 1, box[0][0] - 1]
        return cls(with_slack.ravel(), (ni, nj, nk), ct_from_index @ shift, (row, nj, nk))

    @property
    def padded(self) -> np.ndarray:
        """The values (nk, nj, ni), a view."""
        ni, nj, nk = self.shape
        return self.values.reshape(-1, nj, self.stored[0])[:nk, :, :ni]

    @cached_property
    def voxels(self) -> Voxels:
        """What kernels take of it."""
        return Voxels(self.values, self.stored, self.occupied)

    @cached_property
    def occupied(self) -> np.ndarray:
        """Which blocks of cpu.BLOCK voxels a side rays have to be followed through, uint8 (k, j, i).

        1 where a voxel other than 0 lies in the block, or at most half of its side before it, or
        as many and one voxel behind it.
        """
        half = cpu.BLOCK // 2
        found = self.padded != 0
        for axis in range(3):  # of blocks of half the side
            found = np.moveaxis(found, axis, 0)
            count = len(found)
            blocks = np.zeros((-(-count // cpu.BLOCK) * 2 + 3, *found.shape[1:]), bool)
            for first in range(half):
                part = found[first::half]
                blocks[1 : len(part) + 1] |= part
            around = np.logical_or.reduce([blocks[n : len(blocks) - 4 + n : 2] for n in range(5)])
            found = np.moveaxis(around, 0, axis)
        return np.ascontiguousarray(found).view(np.uint8)

    @cached_property
    def _corners_ct(self) -> np.ndarray:
        index = rigid.grid_points(*[(0, size) for size in self.shape])
        return rigid.transform_points(self.ct_from_index, index)

    def rays(self, camera: Camera, world_from_ct: ArrayLike) -> Rays:
        """Return the rays of a camera at poses (..., 4, 4).

        Raises
        ------
        InputError
            For a pose that is not finite.
        """
        return camera_rays(camera, world_from_ct, self.ct_from_index)

    def depth_mm(self, camera: Camera, world_from_ct: ArrayLike) -> np.ndarray:
        """Return (...) depths beyond the far end of the volume at poses (..., 4, 4)."""
        corners = rigid.transform_points(
            np.asarray(world_from_ct, float)[..., None, :, :], self._corners_ct
        )
        return 2 * camera.depth(corners).max(axis=-1)


def camera_rays(camera: Camera, world_from_ct: ArrayLike, ct_from_index: np.ndarray) -> Rays:
    """Return the rays of a camera at poses (..., 4, 4) of grids (..., 4, 4).

    Raises
    ------
    InputError
        For a pose that is not finite.
    """
    poses = np.asarray(world_from_ct, float)
    if not np.isfinite(poses).all():
        raise InputError(NOT_FINITE)
    index_from_world = np.linalg.inv(ct_from_index) @ rigid.inverse(poses)
    directions = index_from_world[..., :3, :3] @ camera.ray_matrix
    return Rays(
        source=rigid.transform_points(index_from_world, camera.sources(FIRST_ROW)),
        source_step=index_from_world[..., :3, :3] @ camera.source_step,
        directions=np.ascontiguousarray(np.swapaxes(directions, -1, -2)),
        world_from_index=np.ascontiguousarray((poses @ ct_from_index)[..., :3, :3]),
    )


class Projector:
    """A volume made ready for projection: trimmed to its content, and padded by a layer of air.

    The layer makes every ray run from air to air, so that no boundary term is missing from the
    Jacobian.

    Parameters
    ----------
    cut
        (6,) bool as `cut_ends` gives it; of the finest volume, where this is a coarser level of it.
    saturates_at
        Line integral that the image comes near and never reaches.

    Raises
    ------
    InputError
        For more than 2^31 - 1 voxels.
    """

    def __init__(
        self, volume: Volume, cut: np.ndarray | None = None, saturates_at: float = np.inf
    ) -> None:
        self.saturates_at = saturates_at
        self.grid = grid = Grid.of(volume.values, volume.ct_from_index)
        self.shape = grid.shape
        self.ct_from_index = grid.ct_from_index
        self._axes = self.ct_from_index[:3, :3] / rigid.steps(self.ct_from_index)
        self.end_slices = np.zeros((6, *[max(grid.shape)] * 2), np.uint8)
        for side, slices in enumerate(self.end_slices):
            end = np.moveaxis(grid.padded, 2 - side // 2, 0)[-2 if side % 2 else 1]
            slices[: end.shape[0], : end.shape[1]] = end > TISSUE_PER_MM
        self.cut = cut_ends(volume) if cut is None else cut
        self.on_devices: dict = {}
        """Copies of the volume on devices, see `torch_drr.TorchProjector`."""

    def render(
        self,
        camera: Camera,
        world_from_ct: ArrayLike,
        *,
        jacobian: bool = False,
        pivot: ArrayLike = (0.0, 0.0, 0.0),
        wanted: np.ndarray | None = None,
    ) -> Rendering:
        """Project the volume into a camera.

        Only what lies before the source counts. For a source within the body the Jacobian leaves
        out the tissue that a motion brings before it.

        Parameters
        ----------
        world_from_ct
            (4, 4) rigid, mm.
        jacobian
            Also give d image / d (omega, v) for the motion `x -> pivot + exp(omega) (x - pivot) +
            v` of the CT in the world, omega in rad, v in mm, at (0, 0).
        pivot
            (3,) world mm.
        wanted
            (rows, columns) bool, the rays to follow; the others are 0. All by default.

        Raises
        ------
        InputError
            For a pose that is not finite.
        """
        columns, rows = camera.size
        image = np.empty((rows, columns), np.float32)
        derivative = np.empty((6, rows, columns), np.float32) if jacobian else NO_JACOBIAN
        run_tasks(self.tasks(camera, world_from_ct, image, derivative, pivot=pivot, wanted=wanted))
        return Rendering(image, derivative if jacobian else None)

    def tasks(
        self,
        camera: Camera,
        world_from_ct: ArrayLike,
        image: np.ndarray,
        jacobian: np.ndarray,
        *,
        pivot: ArrayLike = (0.0, 0.0, 0.0),
        wanted: np.ndarray | None = None,
        comparable: np.ndarray | None = None,
    ) -> list:
        """Return the work of `render` as functions without arguments, one for each block of rows, that fill `image` and `jacobian`.

        Parameters
        ----------
        comparable
            (rows, columns) uint8, 1 or 0, in and out: rays with a false value (`seen`) are set to
            0; `wanted` adds to those left.
        """
        rays = self.grid.rays(camera, world_from_ct)
        wanted = NO_RAYS if wanted is None else np.array(wanted, bool, order="C").view(np.uint8)
        if wanted.size and wanted.shape != image.shape:
            raise ValueError(f"wanted has the shape {wanted.shape}, but the image {image.shape}")
        followed = (
            image.size
            if not wanted.size
            else int(np.count_nonzero(wanted if comparable is None else comparable))
        )
        mark = None if comparable is None else self._marking(camera, world_from_ct, rays)
        lever = camera.sources(FIRST_ROW) - np.asarray(pivot, float)

        def fill(rows: tuple[int, int]) -> None:
            if comparable is not None:
                if mark is not None:
                    mark(rows, comparable)
                part = slice(*rows)
                np.bitwise_or(wanted[part], comparable[part], out=wanted[part])
            self.fill(rays, lever, rows, wanted, image, jacobian)

        return [
            partial(fill, rows) for rows in row_blocks(image.shape[0], followed * max(self.shape))
        ]

    def fill(
        self,
        rays: Rays,
        lever: np.ndarray,
        rows: tuple[int, int],
        wanted: np.ndarray,
        image: np.ndarray,
        jacobian: np.ndarray,
    ) -> None:
        """Fill some rows of an image, and of its derivatives if they have a size, see `cpu.project_rows`."""
        cpu.project_rows(self.grid.voxels, rays, lever, rows, wanted, image, jacobian)
        if np.isfinite(self.saturates_at):
            part = image[slice(*rows)]
            left = np.exp(-part / np.float32(self.saturates_at))
            part[:] = self.saturates_at * (1 - left)
            if jacobian.size:
                jacobian[:, slice(*rows)] *= left

    def seen(self, camera: Camera, world_from_ct: ArrayLike) -> np.ndarray:
        """Return rays with a true value (rows, columns), uint8.

        0 for those that go on through tissue where the CT was cut off.
        """
        columns, rows = camera.size
        seen = np.ones((rows, columns), np.uint8)
        if mark := self._marking(camera, world_from_ct, self.grid.rays(camera, world_from_ct)):
            mark((0, rows), seen)
        return seen

    def _marking(
        self, camera: Camera, world_from_ct: ArrayLike, rays: Rays
    ) -> Callable[[tuple[int, int], np.ndarray], object] | None:
        """Return what sets `seen` to 0 in some rows, see `cpu.mark_unseen`.

        None where no cut end takes rays their value.
        """
        if not self.cut_across(camera, world_from_ct).any():
            return None
        return partial(cpu.mark_unseen, self._ends(camera, world_from_ct), rays)

    def placed(self, camera: Camera, world_from_ct: ArrayLike) -> Placed:
        """Return what kernels take of the volume at poses (N, 4, 4)."""
        rays = self.grid.rays(camera, world_from_ct)
        return Placed(self.grid.voxels, self._ends(camera, world_from_ct), rays)

    def _ends(self, camera: Camera, world_from_ct: ArrayLike) -> Ends:
        cut = self.cut_across(camera, world_from_ct)
        return Ends(cut, self.end_slices, self.shape, self.grid.depth_mm(camera, world_from_ct))

    def cut_across(self, camera: Camera, world_from_ct: ArrayLike) -> np.ndarray:
        """Return (..., 6) bool, the cut ends that take rays their value at poses (..., 4, 4).

        One that faces the beam does not: what is missing before or behind it changes slowly across
        the image.
        """
        cosines = (
            camera.camera_from_world[2, :3]
            @ np.asarray(world_from_ct, float)[..., :3, :3]
            @ self._axes
        )
        return self.cut & ~np.repeat(np.abs(cosines) > FACING_COSINE, 2, axis=-1)


def part_tasks(
    projectors: Sequence[Projector],
    camera: Camera,
    world_from_ct: np.ndarray,
    pivots: np.ndarray,
    parts: Sequence[tuple[slice, slice]],
    renderings: Sequence[Rendering],
) -> list:
    """Return the work of rendering several volumes into a part of an image each, as of `Projector.tasks`.

    Parameters
    ----------
    world_from_ct, pivots
        (n, 4, 4) and (n, 3) of each volume, see `Projector.render`.
    parts
        Rows and columns of each.
    renderings
        To be filled, with a Jacobian or without.
    """
    grids = np.array([projector.ct_from_index for projector in projectors])
    rays = camera_rays(camera, world_from_ct, grids)
    levers = camera.sources(FIRST_ROW) - pivots
    tasks = []
    for n, (projector, (rows, columns), rendering) in enumerate(
        zip(projectors, parts, renderings, strict=True)
    ):
        directions = rays.directions[n]
        jacobian = rendering.jacobian
        directions[2] += columns.start * directions[0] + rows.start * directions[1]
        step = rays.source_step[n]
        own = Rays(rays.source[n] + rows.start * step, step, directions, rays.world_from_index[n])
        lever = levers[n] + rows.start * camera.source_step
        fill = partial(projector.fill, own, lever)
        followed = rendering.image.size
        jacobian = NO_JACOBIAN if jacobian is None else jacobian
        blocks = row_blocks(len(rendering.image), followed * max(projector.shape))
        tasks += [partial(fill, block, NO_RAYS, rendering.image, jacobian) for block in blocks]
    return tasks


def volume_of(ct: CT | Volume) -> Volume:
    """Return the linear attenuation (1/mm) of a CT.

    Raises
    ------
    InputError
        For anything else.
    """
    if isinstance(ct, CT):
        return attenuation(ct)
    if isinstance(ct, Volume):
        return ct
    raise InputError(
        f"ct: found {type(ct).__name__}, expected the CT of a case, case.ct, or a Volume of "
        "attenuation in 1/mm."
    )


def check_camera(camera: Camera) -> None:
    """Refuse what is no camera.

    Raises
    ------
    InputError
        For anything but a `Camera`.
    """
    if not isinstance(camera, Camera):
        raise InputError(
            f"camera: found {type(camera).__name__}, expected a Camera; "
            "Camera.from_projection_matrix(matrix, (columns, rows)) makes one."
        )


def intrinsics_jacobian(
    camera: Camera, pivot: np.ndarray, jacobian: np.ndarray, out: np.ndarray
) -> None:
    """Write the derivative of a DRR by the intrinsics of its camera, from that by the pose.

    Parameters
    ----------
    pivot
        (3,) world mm.
    jacobian
        (6, rows, columns) by (omega, v) about the pivot, as `Projector.render` gives it.
    out
        (3, rows, columns), filled with d image / d (log scale, principal point u, v in pixels); of
        a slot scan with d image / d (log scale of the fan, its centre u in pixels, log scale of the
        rows about the principal point's).

    Notes
    -----
    The ray through pixel u has the direction q = R^T K^-1 (u, v, 1). To its neighbour it turns
    about the source s by w_u = q x dq/du / |q|^2, which changes the image as a turn of the CT by
    -w_u about s does: the renderer's own derivative, without differences between pixels. A
    principal point moved by d shows at u what was at u - d, and a detector farther away by the
    factor e^a what was at c + e^-a (u - c), so that dI/da = -(u - c) . dI/du. Rows of a slot scan
    are farther along its scan, as if the CT had moved back.
    """
    columns, rows = camera.size
    u = np.arange(columns, dtype=np.float32)
    v = np.arange(rows, dtype=np.float32)[:, None]
    found = by_intrinsics(Beam.of(camera, pivot), u, v, jacobian)
    for place, each in zip(out, found, strict=True):
        place[:] = each


class Beam(NamedTuple):
    """What `by_intrinsics` needs of a camera, float32.

    Attributes
    ----------
    matrix
        (3, 3), its ray_matrix.
    lever
        (3,) pivot minus the source of row 0, mm.
    step
        (3,) by how much the source moves from row to row.
    centre
        (2,) the principal point.
    slot
        1 for a slot scan, else 0.
    """

    matrix: Any
    lever: Any
    step: Any
    centre: Any
    slot: Any

    @classmethod
    def of(cls, camera: Camera, pivot: np.ndarray) -> Beam:
        """Return that of a camera and a pivot (3,), world mm."""
        lever = pivot - camera.sources(FIRST_ROW)
        numbers = (camera.ray_matrix, lever, camera.source_step, camera.principal_point)
        matrix, lever, step, centre = (each.astype(np.float32) for each in numbers)
        return cls(matrix, lever, step, centre, 2 - camera.fan_axes)


def by_intrinsics(beam: Beam, u: Any, v: Any, jacobian: Any) -> list:
    """Return the derivatives of `intrinsics_jacobian`, by arrays of NumPy or by tensors.

    Parameters
    ----------
    u, v
        Of the pixels, (columns,) and (rows, 1).
    """
    lever = [at - v * each for at, each in zip(beam.lever, beam.step, strict=True)]
    q = [a * u + b * v + c for a, b, c in beam.matrix]
    # dI/dw about the source: a turn about s is one about the pivot and a shift by w x (pivot - s).
    turn = [one + more for one, more in zip(jacobian[:3], cross(lever, jacobian[3:]), strict=True)]
    # -dI/du = turn . (q x q_u) / |q|^2 = q_u . (turn x q) / |q|^2
    square = q[0] ** 2 + q[1] ** 2 + q[2] ** 2
    across = [each / square for each in cross(turn, q)]
    to_u, to_v = (_dot([row[axis] for row in beam.matrix], across) for axis in (0, 1))
    up = v - beam.centre[1]
    fan = 1 - beam.slot
    scale = (u - beam.centre[0]) * to_u + fan * up * to_v
    return [scale, to_u, fan * to_v + beam.slot * up * _dot(beam.step, jacobian[3:])]


def cross(one: Any, other: Any) -> list:
    """Return the cross product of vectors of arrays or tensors."""
    turns = ((1, 2), (2, 0), (0, 1))
    return [one[a] * other[b] - one[b] * other[a] for a, b in turns]


def _dot(one: Any, other: Any) -> Any:
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


def cut_ends(volume: Volume) -> np.ndarray:
    """Find the faces of a volume at which the CT was cut off although the body goes on.

    A body that merely touches a face, as skin does on a table, has there only a small part of its
    cross-section 20 mm further inwards; one that was cut off has most of it. Decide this on the
    finest volume: pooling smears skin into the face.

    Parameters
    ----------
    volume
        Attenuation in 1/mm.

    Returns
    -------
    ndarray
        (6,) bool, for the faces -i, +i, -j, +j, -k, +k.
    """
    cut = []
    for axis, spacing in zip((2, 1, 0), volume.spacing_mm, strict=True):
        size = volume.values.shape[axis]
        inwards = min(max(1, round(INWARDS_MM / spacing)), size - 1)
        for end, inner in ((0, inwards), (size - 1, size - 1 - inwards)):
            at_end, further_in = (
                np.count_nonzero(volume.values.take(n, axis) > TISSUE_PER_MM) for n in (end, inner)
            )
            cut.append(at_end > 0.5 * further_in > 0)
    return np.array(cut)


def extents(values: np.ndarray) -> list[tuple[int, int]]:
    """Return first and past-the-last index of values other than 0 along each axis.

    One voxel where there is none.
    """
    slices = range(len(values))
    first = next((k for k in slices if values[k].any()), None)
    if first is None:
        return [(0, 1)] * 3
    last = next(k for k in reversed(slices) if values[k].any())
    shadow = np.zeros(values.shape[1:], bool)
    for each in values[first : last + 1]:
        shadow |= each != 0
    return [
        (first, last + 1),
        *((int(n[0]), int(n[-1]) + 1) for n in map(np.flatnonzero, (shadow.any(1), shadow.any(0)))),
    ]
