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
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.xray import View
from ..rendering.drr import Projector
from ..rendering.torch_drr import TorchProjector, by_intrinsics_of, real_of
from .objective import EvaluationPoint, Objective, PoseFit, TrialEvaluation
from .similarity import MIN_PIXELS, MIN_SHARE, Settings, local_ncc, silhouette_margin

#: Pixels that are added up in single precision, before their sums are in double.
LANE_PIXELS = 256
#: Pixels that are compared at a time, some 200 bytes each, and 500 with derivatives.
PIXELS_AT_ONCE = 2**22
#: What comes back of an image, before gradient (n,) and Hessian (n, n).
COST_BEFORE = 0
PIXELS = 1
SHOWN = 2
COST = 3
PRODUCTS = 4
SLOPES = 7
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

    def __init__(self, projector: Projector, *given: Any, device: str) -> None:
        self._on_device = on_device(projector, device)
        super().__init__(projector, *given)

    def _take_views(self) -> None:
        super()._take_views()
        self._images = Images(self._on_device, self.views, self.settings)

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
        pairs = list(zip(objectives, points, strict=True))
        return _in_halves(_evaluate_batch, pairs, objectives[0]._images)

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
            slopes = numbers[:, SLOPES:SYSTEM]
            self._linearised = self._fit(
                list(zip(costs, gradients, hessians, products, slopes, strict=True)),
                *(tuple(map(int, numbers[:, column])) for column in (PIXELS, SHOWN)),
            )
            return self._linearised

        return TrialEvaluation(cost, linearise)


class TorchScorer:
    """See `objective.Scorer`."""

    def __init__(
        self,
        projector: Projector,
        views: list[View],
        settings: Settings,
        centroid: np.ndarray,
        device: str = "cpu",
    ) -> None:
        self._images = Images(on_device(projector, device), views, settings)
        self._centroid = centroid

    def scores(self, poses: np.ndarray) -> np.ndarray:
        """See `objective.Scorer.scores`."""
        if not len(poses):
            return np.empty((self._images.views, 0), np.float32)
        return np.stack(_in_halves(self._of, list(poses), self._images), axis=1)

    def _of(self, poses: list[np.ndarray]) -> list[np.ndarray]:
        images = self._images
        pivots = rigid.transform_points(np.stack(poses), self._centroid)
        numbers = images.compared(poses, [images.cameras] * len(poses), pivots, None, 0)[0]
        pixels = numbers[..., PIXELS]
        products = numbers[..., PRODUCTS:SLOPES]
        share = pixels / np.maximum(images.usable, 1)
        if images.settings.silhouette_mm is not None:
            share = np.ones_like(pixels)
        scores = local_ncc(np.moveaxis(products, -1, 0)) * np.sqrt(share)
        return list(
            np.where((share < MIN_SHARE) | (pixels < MIN_PIXELS), 0, scores).astype(np.float32)
        )


def on_device(projector: Projector, device: str) -> TorchProjector:
    """Return the projector's volume on the device, where it stays while the projector lives."""
    if device not in projector.on_devices:
        projector.on_devices[device] = within_memory(partial(TorchProjector, projector, device))
    return projector.on_devices[device]


Compared = tuple[Tensor, Tensor, Tensor]
"""DRR and X-ray as they are compared (k, B, rows, columns), and the DRR's derivatives (n, k, B, rows, columns)."""


class _Inputs(NamedTuple):
    """What the device needs for B images, n poses of all views, the views of a pose one after the other.

    beams (B, BEAM) see `TorchProjector`.
    margins (B,) pixels about the silhouette, or None.   kept (B, rows, columns) the pixels selected before, 1 or 0, or None.
    fixed, valid : (views, rows, columns), see `Images`.
    """

    beams: Tensor
    margins: Tensor | None
    kept: Tensor | None
    fixed: Tensor
    valid: Tensor


class Images:
    """X-rays on the device, and what they are compared with.

    Where they differ in size, the smaller ones get pixels beyond their last row and column, which
    are not valid.
    """

    def __init__(
        self,
        projector: TorchProjector,
        views: list[View],
        settings: Settings,
    ) -> None:
        self.settings = settings
        self.views = len(views)
        self.projector = projector
        self._columns, self._rows = (
            max(view.camera.size[axis] for view in views) for axis in (0, 1)
        )
        self.cameras = [self._padded(view.camera) for view in views]
        self.usable = np.array([np.count_nonzero(view.xray.valid) for view in views])
        self.fixed = self.sent([view.xray.line_integrals for view in views], torch.float32)
        self.valid = self.sent([view.xray.valid for view in views], torch.bool)

    def compared(
        self,
        poses: Sequence[np.ndarray],
        cameras: Sequence[Sequence[Camera]],
        pivots: np.ndarray,
        kept: Tensor | None,
        derivatives: int,
    ) -> tuple[np.ndarray, Tensor]:
        """Return what comes back of all views at n poses, (n, views, SYSTEM + ...), and the pixels selected (n, views, rows, columns).

        Parameters
        ----------
        cameras
            By pose and view.
        pivots
            (n, 3) world mm.
        kept
            (n, views, rows, columns), as in `_Inputs`.
        derivatives
            0, 6 or 9.
        """
        projector = self.projector
        count = len(poses)
        seen_by = list(map(self._padded, chain.from_iterable(cameras)))
        everywhere = np.repeat(np.stack(poses), self.views, axis=0)
        about = np.repeat(pivots, self.views, axis=0)
        inputs = _Inputs(
            projector.beams(seen_by, everywhere, about),
            self.margins(self.cameras, pivots),
            None if kept is None else kept.flatten(0, 1),
            self.fixed,
            self.valid,
        )
        found, mask = _compare(projector, self.settings, derivatives, inputs)
        shape = count, self.views
        return found.cpu().numpy().reshape(*shape, -1), mask.view(*shape, *mask.shape[1:])

    def margins(self, cameras: Sequence[Camera], pivots: np.ndarray) -> Tensor | None:
        """Return how far from a silhouette is compared, in pixels, by pivot (n, 3) and camera; None everywhere."""
        if self.settings.silhouette_mm is None:
            return None
        by_view = [silhouette_margin(self.settings, camera, pivots) for camera in cameras]
        return torch.from_numpy(np.stack(by_view, axis=1).ravel()).to(self.projector.device)

    def _padded(self, camera: Camera) -> Camera:
        size = (self._columns, self._rows)
        return camera if tuple(camera.size) == size else replace(camera, size=size)

    def sent(self, images: Sequence[np.ndarray], dtype: torch.dtype) -> Tensor:
        """Return images of all views on the device."""
        padded = []
        for image in images:
            height, width = image.shape
            room = (0, self._columns - width, 0, self._rows - height)
            padded.append(F.pad(torch.tensor(image), room))
        return torch.stack(padded).to(self.projector.device, dtype)


def _evaluate_batch(pairs: list[tuple[TorchObjective, EvaluationPoint]]) -> list[TrialEvaluation]:
    """Return one batch."""
    images = pairs[0][0]._images
    derivatives = 9 if pairs[0][1].intrinsics else 6
    nothing = torch.zeros(images.fixed.shape, device=images.fixed.device)
    numbers, masks = images.compared(
        [point.poses[0] for _, point in pairs],
        [point.cameras or images.cameras for _, point in pairs],
        np.stack([own.pivot for own, _ in pairs]),
        torch.stack([nothing if own._kept is None else own._kept for own, _ in pairs]),
        derivatives,
    )
    answers = []
    for (own, _), of_it, mask in zip(pairs, numbers, masks, strict=True):
        answers.append(own.answer(of_it, derivatives, mask))
    return answers


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
    elif derivatives == 9:
        jacobian = torch.cat([jacobian, by_intrinsics_of(inputs.beams, jacobian)])
    mask = eroded(comparable)
    if inputs.margins is not None:
        mask = mask * grown(image > 0, inputs.margins)
    before = image.new_zeros(len(image), 1)
    if inputs.kept is not None:
        kinds = kinds_of(settings, image, jacobian[:0], fixed, inputs.kept)
        before = sums_of(settings, kinds, inputs.kept)[:, :1]
    kinds = kinds_of(settings, image, jacobian, fixed, mask)
    shown = mask > 0
    if settings.silhouette_mm is None:
        shown = shown & (image > settings.intensity_floor)
    counts = torch.stack([mask, shown], 1).sum((2, 3), dtype=projector.real)
    return torch.cat([before, counts, sums_of(settings, kinds, mask)], 1), mask


def eroded(comparable: Tensor) -> Tensor:
    """Return 1 for the pixels (B, rows, columns) that are set together with all their neighbours."""
    return F.pad((_largest_near((~comparable).float()) == 0).float()[:, 1:-1, 1:-1], (1, 1, 1, 1))


def kinds_of(
    settings: Settings, image: Tensor, jacobian: Tensor, fixed: Tensor, mask: Tensor
) -> list[Compared]:
    """Return for each kind of comparison what is compared of images (B, rows, columns) and derivatives (n, B, rows, columns)."""
    found = []
    for compared, window in zip((_intensities, _gradients), settings.windows, strict=True):
        if window.radius:
            found.append(compared(image, jacobian, fixed, mask, *window))
    return found


def sums_of(settings: Settings, kinds: Sequence[Compared], mask: Tensor) -> Tensor:
    """Return the sums of each image in a row, see `similarity`.

    They are robust squares, m f, m m, f f, two products of slopes, gradient (n,) and Hessian (n,
    n), and without derivatives the first four.
    """
    first, *others = (_sums_of(settings, kind, mask) for kind in kinds)
    return sum(others, first)


def _sums_of(settings: Settings, kind: Compared, mask: Tensor) -> Tensor:
    drr, xray, slopes = kind
    real = real_of(mask.device)
    residual = (drr - xray) * mask
    square = (residual**2).sum(0)
    weight = mask
    if settings.cauchy:
        share = square / settings.cauchy**2
        square = settings.cauchy**2 * torch.log1p(share)
        weight = mask / (1 + share)
    products = (mask * each.sum(0) for each in (drr * xray, drr**2, xray**2))
    sums = torch.stack([square, *products], 1).sum((2, 3), dtype=real)
    if not len(slopes):
        return sums
    system: Any = 0
    w = _lanes(weight)[:, :, None]
    for component in torch.cat([slopes * mask, residual[None]]).unbind(1):
        a = _lanes(component.transpose(0, 1)).transpose(1, 2)  # (B, lanes, n + 1, pixels)
        system = system + ((a[:, :, :-1] * w) @ a.transpose(2, 3)).sum(1, dtype=real)
    bends = _slope_products(residual, drr, mask, settings.cauchy, real)
    return torch.cat([sums, bends, system[:, :, -1], system[:, :, :-1].flatten(1)], 1)


def _slope_products(
    residual: Tensor, drr: Tensor, mask: Tensor, cauchy: float, real: torch.dtype
) -> Tensor:
    """Return (B, 2), see `similarity.slope_products`; residual and DRR are (k, B, rows, columns)."""
    robust = 1 / cauchy**2 if cauchy else 0.0
    found: Any = 0
    for axis in (-1, -2):
        before, after = (
            partial(torch.narrow, dim=axis, start=n, length=mask.shape[axis] - 1) for n in (0, 1)
        )
        both = before(mask) * after(mask)
        e = 0.5 * (before(residual) + after(residual))
        m = drr.diff(dim=axis)
        f = m - residual.diff(dim=axis)
        weight = both / (1 + robust * (e**2).sum(0))
        bend = 2 * robust * weight**2 * (e * m).sum(0) * (e * f).sum(0)
        pair = torch.stack([weight * (m * f).sum(0) - bend, weight * (m**2).sum(0)], 1)
        found = found + pair.sum((2, 3), dtype=real)
    return found


def _lanes(images: Tensor) -> Tensor:
    """Return the pixels of images (..., rows, columns) by lanes, (..., lanes, LANE_PIXELS), with 0 after the last."""
    flat = images.flatten(-2)
    missing = -flat.shape[-1] % LANE_PIXELS
    return F.pad(flat, (0, missing)).unflatten(-1, (-1, LANE_PIXELS))


def _intensities(
    image: Tensor, jacobian: Tensor, fixed: Tensor, mask: Tensor, radius: int, floor: float
) -> Compared:
    """Compare intensities, k being 1."""
    drr = image * mask
    xray = fixed * mask
    slopes = jacobian * mask
    own = torch.stack([mask, drr, drr * image, xray, xray * fixed])
    local = _local_means(torch.cat([own, slopes, slopes * image]), radius)
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
) -> Compared:
    """Compare gradients, k being 2."""
    drr, xray, slopes = (_central_differences(each) * mask for each in (image, fixed, jacobian))
    growth = (drr[:, None] * slopes).sum(0)
    squares = torch.stack([mask, (drr**2).sum(0), (xray**2).sum(0)])
    local = _local_means(torch.cat([squares, growth]), radius)
    scale, fixed_scale = (1 / (each + floor**2).sqrt() for each in local[1:3])
    shrink = local[3:] * scale**2
    by_pose = (slopes - drr[:, None] * shrink) * scale
    return drr * scale, xray * fixed_scale, by_pose.transpose(0, 1)


def _central_differences(images: Tensor) -> Tensor:
    """Return (2, ...) by columns and by rows; nothing is compared at the border."""
    return torch.stack(torch.gradient(images, dim=(-1, -2)))


def _local_means(images: Tensor, radius: int) -> Tensor:
    """Return the means (k, B, rows, columns) over the square window about each pixel, of what is 0 where the first image, a mask, is."""
    side = 2 * radius + 1
    flat = images.flatten(0, 1)[:, None]
    across = F.avg_pool2d(flat, (1, side), 1, (0, radius), divisor_override=1)
    sums = F.avg_pool2d(across, (side, 1), 1, (radius, 0), divisor_override=1).view(images.shape)
    return sums * torch.where(sums[0] > 0.5, 1 / sums[0], 0)


def grown(marks: Tensor, radii: Tensor) -> Tensor:
    """Return bool (B, rows, columns), the pixels up to each image's own radius (B,), in rows and columns, from one that is set."""
    near = marks.float()
    for _ in range(2):  # along the columns, then along the rows
        size = near.shape[2]
        place = torch.arange(size, device=near.device)
        high = (place + radii[:, None]).clamp(max=size - 1) + 1
        low = (place - radii[:, None]).clamp(min=0)
        running = F.pad(near.cumsum(2), (1, 0))
        ends = [running.gather(2, end[:, None].expand(near.shape)) for end in (high, low)]
        near = (ends[0] - ends[1]).mT
    return near > 0.5


def _largest_near(images: Tensor) -> Tensor:
    """Return the largest of each pixel (B, rows, columns) and its neighbours."""
    return F.max_pool2d(images[:, None], 3, 1, 1)[:, 0]


def _in_halves(work: Callable[[list], list], items: list, images: Images) -> list:
    """Return the results of `work` for the items, a pose of all images each.

    In halves where they are more than PIXELS_AT_ONCE, or the device has too little memory for all.
    """
    if len(items) == 1 or len(items) * images.fixed.numel() <= PIXELS_AT_ONCE:
        try:
            return within_memory(partial(work, items))
        except MemoryError:
            if len(items) == 1:
                raise
        torch.cuda.empty_cache()  # outside, so that what the error holds is free
    middle = len(items) // 2
    first = _in_halves(work, items[:middle], images)
    return first + _in_halves(work, items[middle:], images)


def within_memory(work: Callable[[], Any]) -> Any:
    """Return the result of `work`; a MemoryError where the device has too little memory for it.

    Where another program has it all, CUDA itself says so, not torch's allocator.
    """
    try:
        return work()
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error):
            raise MemoryError(str(error)) from error
        raise
