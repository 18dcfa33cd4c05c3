"""Objectives and scorers whose work a device does by PyTorch.

That is rendering, local normalisation, weights and normal equations, for all views of several poses
at once. `objective.py` and `similarity.py` define what they compute.

    anatomy.on_device("cuda")

What goes to the device for each pose and view are some sixty numbers, what comes back, once for
each step, as many. Of a step the cost over the pixels selected before and the whole fit over the
new selection are computed together, so that one transfer suffices.

A step is some three hundred small kernels, whose launches would take far longer than they do: on
CUDA they are recorded once for images of a size, and replayed.

Without compiled kernels the same input gives the same bits on the same device: every sum has a
fixed order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.xray import View
from ..rendering.cuda_graph import Recorded
from ..rendering.drr import Beam, Projector, by_intrinsics
from ..rendering.torch_drr import TorchProjector
from .objective import EvaluationPoint, Objective, PoseFit, TrialEvaluation
from .similarity import MIN_PIXELS, MIN_SHARE, Settings, local_ncc, silhouette_margin

#: Pixels that are added up in single precision, before their sums are in double.
LANE_PIXELS = 256
#: Pixels of a search's poses that are scored at a time, some 200 bytes each.
PIXELS_AT_ONCE = 2**22
#: What comes back of an image, before gradient (n,) and Hessian (n, n).
COST_BEFORE = 0
COST = 1
PRODUCTS = 2
SLOPES = 5
PIXELS = 7
SHOWN = 8
SYSTEM = 9


class TorchObjective(Objective):
    """An objective that the device evaluates.

    Everything else is done on the CPU, as the caller wants each pixel.

    A MemoryError where the device cannot hold the work of a single pose.

    Parameters
    ----------
    device
        As torch has it: "cuda:1", "cpu".
    """

    def __init__(
        self,
        projector: Projector,
        views: list[View],
        settings: Settings,
        pivot: np.ndarray,
        rest: Sequence[np.ndarray] | None = None,
        device: str = "cpu",
    ) -> None:
        self._on_device = on_device(projector, device)
        super().__init__(projector, views, settings, pivot, rest)

    def _take_views(self) -> None:
        super()._take_views()
        self._images = _Images(self._on_device, self.views, self.settings, self.rest)

    def _select_none(self) -> None:
        super()._select_none()
        self._kept: Tensor | None = None
        self._linearised: PoseFit | None = None

    def evaluate(self, point: EvaluationPoint) -> TrialEvaluation:
        """Evaluate one point."""
        return self.evaluate_together([self], [point])[0]

    @staticmethod
    def evaluate_together(  # type: ignore[override]
        objectives: list[TorchObjective], points: list[EvaluationPoint]
    ) -> list[TrialEvaluation]:
        """See `Objective.evaluate_together`; they differ in their pivots alone."""
        return _in_halves(
            _evaluate_batch,
            list(zip(objectives, points, strict=True)),
            objectives[0]._images.projector,
        )

    def answer(self, numbers: np.ndarray, derivatives: int, mask: Tensor) -> TrialEvaluation:
        """Return the evaluation of what came back: (views, SYSTEM + n + n * n)."""

        def cost() -> float:
            fit = self._linearised
            if fit is None or not np.isfinite(fit.cost):
                return np.inf
            return float(numbers[:, COST_BEFORE].sum() / sum(fit.pixels))

        def linearise() -> PoseFit:
            self._kept = mask
            gradients, hessians = np.split(numbers[:, SYSTEM:], [derivatives], axis=1)
            hessians = np.tril(hessians.reshape(-1, derivatives, derivatives))
            products = map(local_ncc, numbers[:, PRODUCTS:SLOPES])
            costs = map(float, numbers[:, COST])
            slopes = numbers[:, SLOPES:PIXELS]
            self._linearised = self._fit(
                list(zip(costs, gradients, hessians, products, slopes, strict=True)),
                *(tuple(map(int, numbers[:, column])) for column in (PIXELS, SHOWN)),
            )
            return self._linearised

        return TrialEvaluation(cost, linearise)


class TorchScorer:
    """See `similarity.Scorer`."""

    def __init__(
        self,
        projector: Projector,
        views: list[View],
        settings: Settings,
        centroid: np.ndarray,
        rest: Sequence[np.ndarray] | None = None,
        device: str = "cpu",
    ) -> None:
        self._images = _Images(on_device(projector, device), views, settings, rest)
        self._centroid = centroid

    def scores(self, poses: np.ndarray) -> np.ndarray:
        """See `similarity.Scorer.scores`."""
        most = max(1, PIXELS_AT_ONCE // self._images.fixed.numel())
        found = [
            _in_halves(self._of, list(poses[first : first + most]), self._images.projector)
            for first in range(0, len(poses), most)
        ]
        return np.concatenate(found).T if found else np.empty((self._images.views, 0), np.float32)

    def _of(self, poses: list[np.ndarray]) -> list[np.ndarray]:
        images = self._images
        pivots = rigid.transform_points(np.stack(poses), self._centroid)
        numbers = images.compared(poses, None, pivots, None, 0)[0]
        pixels = numbers[..., PIXELS]
        products = numbers[..., PRODUCTS:SLOPES]
        whole = images.settings.silhouette_mm is not None
        share = np.ones_like(pixels) if whole else pixels / np.maximum(images.usable, 1)
        scores = local_ncc(np.moveaxis(products, -1, 0)) * np.sqrt(share)
        return list(
            np.where((share < MIN_SHARE) | (pixels < MIN_PIXELS), 0, scores).astype(np.float32)
        )


def on_device(projector: Projector, device: str) -> TorchProjector:
    """Return the projector's volume on the device, where it stays while the projector lives."""
    if device not in projector.on_devices:
        projector.on_devices[device] = _within_memory(partial(TorchProjector, projector, device))
    return projector.on_devices[device]


class _Inputs(NamedTuple):
    """What the device needs for B images, n poses of all views, the views of a pose one after the other.

    beams (B, BEAM) see `TorchProjector`.   intrinsics (B, 18) or None, see `_by_intrinsics`.
    margins (B,) pixels about the silhouette, or None.   kept (B, rows, columns) the pixels selected before, 1 or 0, or None.
    fixed, valid, rest : (views, rows, columns), see `_Images`.
    """

    beams: Tensor
    intrinsics: Tensor | None
    margins: Tensor | None
    kept: Tensor | None
    fixed: Tensor
    valid: Tensor
    rest: Tensor | None


class _Images:
    """X-rays on the device, and what they are compared with.

    Where they differ in size, the smaller ones get pixels beyond their last row and column, which
    are not valid.
    """

    def __init__(
        self,
        projector: TorchProjector,
        views: list[View],
        settings: Settings,
        rest: Sequence[np.ndarray] | None,
    ) -> None:
        self.settings = settings
        self.views = len(views)
        self.projector = projector
        self._columns, self._rows = (
            max(view.camera.size[axis] for view in views) for axis in (0, 1)
        )
        self._cameras = [self._padded(view.camera) for view in views]
        self.usable = np.array([np.count_nonzero(view.xray.valid) for view in views])
        self.fixed = self._sent([view.xray.line_integrals for view in views], np.float32)
        self.valid = self._sent([view.xray.valid for view in views], bool)
        self.rest = None if rest is None else self._sent(rest, np.float32)

    def compared(
        self,
        poses: Sequence[np.ndarray],
        cameras: Sequence[Sequence[Camera] | None] | None,
        pivots: np.ndarray,
        kept: Tensor | None,
        derivatives: int,
    ) -> tuple[np.ndarray, Tensor]:
        """Return what comes back of all views at n poses, (n, views, SYSTEM + ...), and the pixels selected (n, views, rows, columns).

        Parameters
        ----------
        cameras
            By pose and view, the given ones by default.
        pivots
            (n, 3) world mm.
        kept
            (n, views, rows, columns), as in `_Inputs`.
        derivatives
            0, 6 or 9.
        """
        projector = self.projector
        count = len(poses)
        seen_by = [
            camera
            for by_view in (cameras or [None] * count)
            for camera in (self._cameras if by_view is None else map(self._padded, by_view))
        ]
        everywhere = np.repeat(np.stack(poses), self.views, axis=0)
        about = np.repeat(pivots, self.views, axis=0)
        margins = None
        if self.settings.silhouette_mm is not None:
            by_view = [silhouette_margin(self.settings, camera, pivots) for camera in self._cameras]
            margins = torch.from_numpy(np.stack(by_view, axis=1).ravel()).to(projector.device)
        numbers = (
            [
                np.hstack([np.ravel(part) for part in Beam.of(*each)])
                for each in zip(seen_by, about, strict=True)
            ]
            if derivatives == 9
            else []
        )
        inputs = _Inputs(
            projector.beams(seen_by, everywhere, about),
            torch.from_numpy(np.stack(numbers)).to(projector.device) if numbers else None,
            margins,
            None if kept is None else kept.flatten(0, 1),
            self.fixed,
            self.valid,
            self.rest,
        )
        found, mask = _replayed(projector, self.settings, derivatives, inputs)
        shape = count, self.views
        return found.cpu().numpy().reshape(*shape, -1), mask.view(*shape, *mask.shape[1:])

    def _padded(self, camera: Camera) -> Camera:
        size = (self._columns, self._rows)
        return camera if tuple(camera.size) == size else replace(camera, size=size)

    def _sent(self, images: Sequence[np.ndarray], dtype: type) -> Tensor:
        padded: np.ndarray = np.zeros((len(images), self._rows, self._columns), dtype)
        for place, image in zip(padded, images, strict=True):
            place[: image.shape[0], : image.shape[1]] = image
        return torch.from_numpy(padded).to(self.projector.device)


def _evaluate_batch(pairs: list[tuple[TorchObjective, EvaluationPoint]]) -> list[TrialEvaluation]:
    """Return one batch."""
    images = pairs[0][0]._images
    derivatives = 9 if pairs[0][1].intrinsics else 6
    nothing = torch.zeros(images.fixed.shape, device=images.fixed.device)
    numbers, masks = images.compared(
        [point.poses[0] for _, point in pairs],
        [point.cameras for _, point in pairs],
        np.stack([own.pivot for own, _ in pairs]),
        torch.stack([nothing if own._kept is None else own._kept for own, _ in pairs]),
        derivatives,
    )
    return [
        own.answer(of_it, derivatives, mask)
        for (own, _), of_it, mask in zip(pairs, numbers, masks, strict=True)
    ]


def _compare(
    projector: TorchProjector, settings: Settings, derivatives: int, inputs: _Inputs
) -> tuple[Tensor, Tensor]:
    """Return what comes back of each image, (B, SYSTEM + n + n * n), and the pixels selected (B, rows, columns)."""
    rows, columns = inputs.fixed.shape[1:]
    poses = len(inputs.beams) // len(inputs.fixed)
    comparable = inputs.valid.repeat(poses, 1, 1)
    fixed = inputs.fixed.repeat(poses, 1, 1)
    if projector.projector.cut.any():
        comparable = comparable & projector.unhidden(inputs.beams, rows, columns)
    wanted = comparable if inputs.kept is None else comparable | (_largest_near(inputs.kept) > 0)
    image, jacobian = projector.project(
        inputs.beams, rows, columns, jacobian=derivatives > 0, wanted=wanted
    )
    if jacobian is None:
        jacobian = image.new_empty(0, *image.shape)
    elif inputs.intrinsics is not None:
        jacobian = torch.cat([jacobian, _by_intrinsics(inputs.intrinsics, jacobian)])
    mask = (_largest_near((~comparable).float()) == 0).float()
    for border in (mask[:, 0], mask[:, -1], mask[:, :, 0], mask[:, :, -1]):
        border.zero_()
    if inputs.margins is not None:
        mask = torch.where(_window_sums((image > 0).float(), inputs.margins) > 0.5, mask, 0)
    if inputs.rest is not None:
        image = image + inputs.rest.repeat(poses, 1, 1)
    before = image.new_zeros(len(image), dtype=projector.real)
    if inputs.kept is not None:
        before = _sums_of(settings, projector.real, image, jacobian[:0], fixed, inputs.kept)[:, 0]
    sums = _sums_of(settings, projector.real, image, jacobian, fixed, mask)
    shown = (
        mask > 0
        if settings.silhouette_mm is not None
        else (mask > 0) & (image > settings.intensity_floor)
    )
    counts = [each.sum(dim=(1, 2), dtype=projector.real)[:, None] for each in (mask, shown)]
    return torch.cat([before[:, None], sums[:, :6], *counts, sums[:, 6:]], dim=1), mask


def _sums_of(
    settings: Settings,
    real: torch.dtype,
    image: Tensor,
    jacobian: Tensor,
    fixed: Tensor,
    mask: Tensor,
) -> Tensor:
    """Return the sums of each image in a row, see `similarity`.

    They are robust squares, m f, m m, f f, two products of slopes, gradient (n,) and Hessian (n,
    n).
    """
    kinds = [
        compared(image, jacobian, fixed, mask, *window)
        for compared, window in zip((_intensities, _gradients), settings.windows, strict=True)
        if window.radius
    ]
    count = len(image)
    derivatives = len(jacobian)
    cost = image.new_zeros(count, dtype=real)
    products = cost.new_zeros(count, 3)
    bends = cost.new_zeros(count, 2)
    system = cost.new_zeros(count, derivatives, derivatives + 1)
    for drr, xray, slopes in kinds:
        residual = (drr - xray) * mask
        square = (residual**2).sum(0)
        weight = mask
        if settings.cauchy:
            share = square / settings.cauchy**2
            square = settings.cauchy**2 * torch.log1p(share)
            weight = mask / (1 + share)
        cost = cost + square.sum((1, 2), dtype=real)
        pairs = (drr * xray * mask).sum(0), (drr**2 * mask).sum(0), (xray**2 * mask).sum(0)
        products = products + torch.stack([pair.sum((1, 2), dtype=real) for pair in pairs], dim=1)
        if derivatives:
            bends = bends + _slope_products(residual, drr, mask, settings.cauchy, real)
            columns = torch.cat([slopes * mask, residual[None]])  # (n + 1, k, B, rows, columns)
            for component in columns.unbind(1):
                a = _lanes(component.transpose(0, 1)).transpose(1, 2)  # (B, lanes, n + 1, pixels)
                w = _lanes(weight)[:, :, None]
                system = system + ((a[:, :, :-1] * w) @ a.transpose(2, 3)).sum(1, dtype=real)
    return torch.cat(
        [cost[:, None], products, bends, system[:, :, -1], system[:, :, :-1].flatten(1)], dim=1
    )


def _slope_products(
    residual: Tensor, drr: Tensor, mask: Tensor, cauchy: float, real: torch.dtype
) -> Tensor:
    """Return (B, 2), see `similarity.slope_products`; residual and DRR are (k, B, rows, columns)."""
    here = (..., slice(None, -1), slice(None, -1))
    found = []
    for there in (
        (..., slice(None, -1), slice(1, None)),
        (..., slice(1, None), slice(None, -1)),
    ):
        both = mask[here] * mask[there]
        e = 0.5 * (residual[here] + residual[there])
        m = drr[there] - drr[here]
        f = m - residual[there] + residual[here]
        weight = both
        bend = torch.zeros_like(both)
        if cauchy:
            weight = both / (1 + (e**2).sum(0) / cauchy**2)
            bend = 2 * weight**2 / cauchy**2 * (e * m).sum(0) * (e * f).sum(0)
        pair = weight * (m * f).sum(0) - bend, weight * (m**2).sum(0)
        found.append(torch.stack([each.sum((1, 2), dtype=real) for each in pair], dim=1))
    return found[0] + found[1]


def _lanes(images: Tensor) -> Tensor:
    """Return the pixels of images (..., rows, columns) by lanes, (..., lanes, LANE_PIXELS), with 0 after the last."""
    flat = images.flatten(-2)
    missing = -flat.shape[-1] % LANE_PIXELS
    return F.pad(flat, (0, missing)).unflatten(-1, (-1, LANE_PIXELS))


def _intensities(
    image: Tensor, jacobian: Tensor, fixed: Tensor, mask: Tensor, radius: int, floor: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return DRR and X-ray as they are compared (k, B, rows, columns), and the DRR's derivatives (n, k, B, rows, columns), k being 1."""
    drr = image * mask
    xray = fixed * mask
    slopes = jacobian * mask
    own = torch.stack([mask, drr, drr * image, xray, xray * fixed])
    local = box_sums(torch.cat([own, slopes, slopes * image]), radius)
    local = local * torch.where(local[0] > 0.5, 1 / local[0], 0)
    _, mean, square, fixed_mean, fixed_square = local[:5]
    scale = 1 / ((square - mean**2).clamp(min=0) + floor**2).sqrt()
    fixed_scale = 1 / ((fixed_square - fixed_mean**2).clamp(min=0) + floor**2).sqrt()
    m = (image - mean) * scale
    f = (fixed - fixed_mean) * fixed_scale
    mean_j, mean_ij = local[5:].tensor_split(2)
    by_pose = (jacobian - mean_j - m * ((mean_ij - mean * mean_j) * scale)) * scale
    return m[None], f[None], by_pose[:, None]


def _gradients(
    image: Tensor, jacobian: Tensor, fixed: Tensor, mask: Tensor, radius: int, floor: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `_intensities` does, of the images' gradients, k being 2."""
    drr, xray, slopes = (_central_differences(each) * mask for each in (image, fixed, jacobian))
    growth = (drr[:, None] * slopes).sum(0)
    local = box_sums(
        torch.cat([torch.stack([mask, (drr**2).sum(0), (xray**2).sum(0)]), growth]), radius
    )
    local = local * torch.where(local[0] > 0.5, 1 / local[0], 0)
    scale, fixed_scale = (1 / (each + floor**2).sqrt() for each in local[1:3])
    shrink = local[3:] * scale**2
    by_pose = (slopes - drr[:, None] * shrink) * scale
    return drr * scale, xray * fixed_scale, by_pose.transpose(0, 1)


def _central_differences(images: Tensor) -> Tensor:
    """Return (2, ...) by columns and by rows; 0 at the border."""
    across = torch.zeros_like(images)
    down = torch.zeros_like(images)
    across[..., 1:-1] = 0.5 * (images[..., 2:] - images[..., :-2])
    down[..., 1:-1, :] = 0.5 * (images[..., 2:, :] - images[..., :-2, :])
    return torch.stack([across, down])


def box_sums(images: Tensor, radius: int) -> Tensor:
    """Return sums (..., rows, columns) over the square window about each pixel, cut off at the border."""
    side = 2 * radius + 1
    flat = images.flatten(0, -3)[:, None]
    across = F.avg_pool2d(flat, (1, side), 1, (0, radius), divisor_override=1)
    return F.avg_pool2d(across, (side, 1), 1, (radius, 0), divisor_override=1).view(images.shape)


def _window_sums(marks: Tensor, radii: Tensor) -> Tensor:
    """Return sums of marks (B, rows, columns), 1 or 0, over a window of each image's own radius (B,)."""
    for dim in (1, 2):
        size = marks.shape[dim]
        place = torch.arange(size, device=marks.device)
        high = (place + radii[:, None]).clamp(max=size - 1) + 1
        low = (place - radii[:, None]).clamp(min=0)
        running = F.pad(marks.cumsum(dim), (1, 0) if dim == 2 else (0, 0, 1, 0))
        high, low = (each[:, None] if dim == 2 else each[:, :, None] for each in (high, low))
        high, low = (each.expand(marks.shape) for each in (high, low))
        marks = running.gather(dim, high) - running.gather(dim, low)
    return marks


def _largest_near(images: Tensor) -> Tensor:
    """Return the largest of each pixel (B, rows, columns) and its neighbours."""
    return F.max_pool2d(images[:, None], 3, 1, 1)[:, 0]


def _by_intrinsics(cameras: Tensor, jacobian: Tensor) -> Tensor:
    """Return (3, B, rows, columns) from the derivatives by the pose (6, B, rows, columns), see `drr.intrinsics_jacobian`.

    Parameters
    ----------
    cameras
        (B, 18), the numbers of a `Beam` each.
    """
    numbers = cameras.T[:, :, None, None]
    matrix = numbers[:9].unflatten(0, (3, 3))
    beam = Beam(matrix, numbers[9:12], numbers[12:15], numbers[15:17], numbers[17])
    u = torch.arange(jacobian.shape[3], device=jacobian.device, dtype=jacobian.dtype)
    v = torch.arange(jacobian.shape[2], device=jacobian.device, dtype=jacobian.dtype)[:, None]
    return torch.stack(by_intrinsics(beam, u, v, jacobian))


def _replayed(
    projector: TorchProjector, settings: Settings, derivatives: int, inputs: _Inputs
) -> tuple[Tensor, Tensor]:
    """Return the result of `_compare`, on CUDA by what was recorded for inputs of the same shapes."""
    if projector.device.type != "cuda":
        return _compare(projector, settings, derivatives, inputs)
    key = settings, derivatives, *(None if each is None else each.shape for each in inputs)
    if key not in projector.recorded:
        projector.recorded[key] = Recorded(
            lambda *each: _compare(projector, settings, derivatives, _Inputs(*each)),
            inputs,
            projector.device,
        )
    numbers, mask = projector.recorded[key](*inputs)
    return numbers.clone(), mask.clone()


def _in_halves(work: Callable[[list], list], items: list, projector: TorchProjector) -> list:
    """Return the results of `work` for the items, in halves where the device has too little memory for all."""
    if len(items) == 1:
        return _within_memory(partial(work, items))
    try:
        return work(items)
    except RuntimeError as error:
        if not _is_full(error):
            raise
    projector.recorded.clear()  # outside, so that what the error holds is free
    torch.cuda.empty_cache()
    middle = len(items) // 2
    return [
        *_in_halves(work, items[:middle], projector),
        *_in_halves(work, items[middle:], projector),
    ]


def _within_memory(work: Callable):
    try:
        return work()
    except RuntimeError as error:
        if not _is_full(error):
            raise
        raise MemoryError(str(error)) from error


def _is_full(error: RuntimeError) -> bool:
    """Return whether the device's memory is.

    Where another program has it all, CUDA itself says so, not torch's allocator.
    """
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
