"""Objectives and scorers whose work a device does: rendering, local normalisation, weights and normal equations, for all views of several
poses at once. `objective.py` and `similarity.py` define what they compute.

    anatomy.on_device("cuda")

What goes to the device for each pose and view are 36 numbers, what comes back, once for each step, are some sixty. Of a step the cost
over the pixels selected before and the whole fit over the new selection are computed together, so that one transfer suffices.

The same input gives the same bits on the same device: every sum has a fixed order. Another device rounds otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.xray import View
from ..rendering.drr import FIRST_ROW, Projector
from ..rendering.gpu import BatchProjector, BufferPool, launch, sent
from . import warp_similarity as kernels
from .objective import EvaluationPoint, Objective, PoseFit, TrialEvaluation, local_ncc
from .similarity import MIN_PIXELS, MIN_SHARE, Settings, silhouette_margin

#: Pixels of an image that are added up one after the other, before the lanes are.
LANE_PIXELS = 64
#: Of a search's poses so many pixels at a time, some 100 bytes each.
PIXELS_AT_ONCE = 2**23


class WarpObjective(Objective):
    """An objective that the device evaluates; everything else is done on the CPU, as the caller wants each pixel.

    device: as torch has it: "cuda:1"; "cpu" runs the same kernels there, on one thread, which tests them where no GPU is.
    images: on the device, of another objective that differs in its pivot alone.

    InputError for a device that is not there. A MemoryError where it cannot hold the work of a single pose.
    """

    def __init__(
        self,
        projector: Projector,
        views: list[View],
        settings: Settings,
        pivot: np.ndarray,
        rest: Sequence[np.ndarray] | None = None,
        device: str = "cuda",
        images: _ImageBatch | None = None,
    ) -> None:
        super().__init__(projector, views, settings, pivot, rest)
        self._device, buffers = device, BufferPool(device, kept=True)
        self._images = images or _ImageBatch(_batch(projector, device), views, settings, buffers, rest)
        self._kept: Tensor | None = None
        self._linearised: PoseFit | None = None

    def with_pivot(self, pivot: np.ndarray) -> WarpObjective:
        arguments = self.projector, self.views, self.settings, pivot, self.rest
        return WarpObjective(*arguments, self._device, self._images)

    def excluding(self, pixels: Sequence[np.ndarray]) -> WarpObjective:
        views = self._views_without(pixels)
        return WarpObjective(self.projector, views, self.settings, self.pivot, self.rest, self._device)

    def evaluate(self, point: EvaluationPoint) -> TrialEvaluation:
        return self.evaluate_together([self], [point])[0]

    @staticmethod
    def evaluate_together(  # type: ignore[override]
        objectives: list[WarpObjective], points: list[EvaluationPoint]
    ) -> list[TrialEvaluation]:
        """See `Objective.evaluate_together`; they differ in their pivots alone."""
        return _in_smaller_batches(
            _evaluate_batch, list(zip(objectives, points, strict=True)), objectives[0]._images.buffers
        )

    def answer(self, before: np.ndarray, after: np.ndarray, derivatives: int, mask: Tensor) -> TrialEvaluation:
        """The evaluation of the device's sums: before (views,), robust squares over the pixels kept so far, and after (views, SUMS)."""

        def cost() -> float:
            fit = self._linearised
            return float(before.sum() / sum(fit.pixels)) if fit is not None and np.isfinite(fit.cost) else np.inf

        def linearise() -> PoseFit:
            self._kept = mask
            self._linearised = self._fit(
                [_part(sums, derivatives) for sums in after],
                *(tuple(int(number) for number in after[:, column]) for column in (kernels.PIXELS, kernels.SHOWN)),
            )
            return self._linearised

        return TrialEvaluation(cost, linearise)


class WarpScorer:
    """See `similarity.Scorer`."""

    def __init__(
        self,
        projector: Projector,
        views: list[View],
        settings: Settings,
        centroid: np.ndarray,
        rest: Sequence[np.ndarray] | None = None,
        device: str = "cuda",
    ) -> None:
        self._images = _ImageBatch(_batch(projector, device), views, settings, BufferPool(device), rest)
        self._centroid = centroid

    def scores(self, poses: np.ndarray) -> np.ndarray:
        """See `similarity.Scorer.scores`."""
        most = max(1, PIXELS_AT_ONCE // self._images.pixels)
        found = [
            _in_smaller_batches(self._of, list(poses[first : first + most]), self._images.buffers)
            for first in range(0, len(poses), most)
        ]
        return np.concatenate(found).T if found else np.empty((self._images.views, 0), np.float32)

    def _of(self, poses: list[np.ndarray]) -> list[np.ndarray]:
        images = self._images
        rendered = images.rendered(poses, None, rigid.transform_points(np.stack(poses), self._centroid))
        sums = (
            images.compared(rendered, rendered.mask, derivatives=0).cpu().numpy().reshape(len(poses), images.views, -1)
        )
        pixels, products = sums[..., kernels.PIXELS], sums[..., kernels.PRODUCTS : kernels.PRODUCTS + 3]
        whole = images.settings.silhouette_mm is not None
        share = np.ones_like(pixels) if whole else pixels / np.maximum(images.usable, 1)
        scores = products[..., 0] / np.sqrt(products[..., 1] * products[..., 2] + 1e-12) * np.sqrt(share)
        return list(np.where((share < MIN_SHARE) | (pixels < MIN_PIXELS), 0, scores).astype(np.float32))


def _batch(projector: Projector, device: str) -> BatchProjector:
    """The projector's volume on the device, where it stays while the projector lives."""
    if device not in projector.on_devices:
        projector.on_devices[device] = _within_memory(partial(BatchProjector, projector, device))
    return projector.on_devices[device]


class _RenderedBatch(NamedTuple):
    """DRRs of all views at n poses: images (n * views, rows, columns), their derivatives (0, 6 or 9, n * views * rows * columns), and the
    pixels that count, like the images, 1 or 0.
    """

    image: Tensor
    jacobian: Tensor
    mask: Tensor


class _ImageBatch:
    """X-rays on the device, and what they are compared with.

    Where they differ in size, the smaller ones get pixels beyond their last row and column, which are not valid.

    buffers: of what is worked on; where it keeps that, what was rendered lasts until the next time.   rest: as in `Objective`.
    """

    def __init__(
        self,
        projector: BatchProjector,
        views: list[View],
        settings: Settings,
        buffers: BufferPool,
        rest: Sequence[np.ndarray] | None,
    ) -> None:
        self.settings, self.views, self.device, self.buffers = settings, len(views), projector.device, buffers
        self.projector, self._cameras = projector, [view.camera for view in views]
        self._columns, self._rows = (max(view.camera.size[axis] for view in views) for axis in (0, 1))
        self._given = [self._padded(camera) for camera in self._cameras]
        self.pixels = self.views * self._rows * self._columns
        fixed = np.zeros((self.views, self._rows, self._columns), np.float32)
        valid = np.zeros(fixed.shape, np.uint8)
        for place, known, view in zip(fixed, valid, views, strict=True):
            columns, rows = view.camera.size
            place[:rows, :columns], known[:rows, :columns] = view.xray.line_integrals, view.xray.valid
        self.usable = valid.sum(axis=(1, 2), dtype=int)
        self._fixed, self._valid = sent(fixed, self.device).view(-1), sent(valid, self.device)
        self._rest = None
        if rest is not None:
            added = np.zeros_like(fixed)
            for place, image in zip(added, rest, strict=True):
                place[: image.shape[0], : image.shape[1]] = image
            self._rest = sent(added, self.device)

    def rendered(
        self,
        poses: Sequence[np.ndarray],
        cameras: Sequence[Sequence[Camera]] | None,
        pivots: np.ndarray,
        *,
        kept: Tensor | None = None,
        derivatives: int = 0,
    ) -> _RenderedBatch:
        """All views at n poses.

        cameras: by pose and view, the given ones by default.   pivots: (n, 3) world mm.
        kept: (n, views, rows, columns), pixels that are to be rendered in any case, with their neighbours.   derivatives: 0, 6 or 9.
        """
        seen_by = [
            camera for by_view in (cameras or [self._given] * len(poses)) for camera in map(self._padded, by_view)
        ]
        everywhere, about = np.repeat(poses, self.views, axis=0), np.repeat(pivots, self.views, axis=0)
        comparable = self.projector.seen(seen_by, everywhere, self.buffers).view(len(poses), *self._valid.shape)
        comparable &= self._valid
        wanted = comparable
        if kept is not None:
            wanted = self.buffers.empty("wanted", *comparable.shape, dtype=torch.uint8).copy_(comparable)
            self._launch(
                kernels.add_neighbours, wanted.numel(), [kept.view(-1), self._rows, self._columns, wanted.view(-1)]
            )
        image, jacobian = self.projector.render(
            seen_by,
            everywhere,
            jacobian=derivatives > 0,
            pivot=about,
            wanted=wanted.view(-1, self._rows, self._columns),
            buffers=self.buffers,
        )
        if jacobian is None:
            jacobian = self.buffers.empty("no derivatives", 0, 0)
        elif derivatives == 6:
            jacobian = jacobian.view(6, -1)
        else:
            all_nine = self.buffers.empty("nine derivatives", 9, image.numel())
            all_nine[:6] = jacobian.view(6, -1)
            jacobian = all_nine
            numbers = np.stack([_beam(camera, pivot) for camera, pivot in zip(seen_by, about, strict=True)])
            self._launch(
                kernels.slopes_by_intrinsics,
                image.numel(),
                [self.buffers.sent("cameras", numbers), self._rows, self._columns, jacobian],
            )
        mask = self.buffers.empty("mask", *image.shape)
        self._launch(kernels.erode, mask.numel(), [comparable.view(-1), self._rows, self._columns, mask.view(-1)])
        if self.settings.silhouette_mm is not None:
            self._keep_near(image, pivots, mask)
        if self._rest is not None:
            image.view(len(poses), *self._rest.shape).add_(self._rest)
        return _RenderedBatch(image, jacobian, mask)

    def compared(self, rendered: _RenderedBatch, mask: Tensor, *, derivatives: int) -> Tensor:
        """(n * views, SUMS) float64: what `warp_similarity` adds up over the pixels of a mask."""
        settings, pixels = self.settings, self._rows * self._columns
        image, mask = rendered.image.view(-1), mask.view(-1)
        count, lanes = len(image) // pixels, -(-pixels // LANE_PIXELS)
        sums = self.buffers.empty("sums", count * lanes, kernels.SUMS)
        shows = -1.0 if settings.silhouette_mm is not None else settings.intensity_floor
        self._launch(kernels.count_pixels, len(sums), [image, mask, shows, pixels, lanes, sums])
        common = [image, rendered.jacobian, self._fixed, mask]
        for radius, floor, shape, terms_of, number, add in (
            (
                settings.intensity_radius,
                settings.intensity_floor,
                [pixels, self.views],
                kernels.intensity_terms,
                kernels.INTENSITY_TERMS + 2 * derivatives,
                kernels.add_intensity,
            ),
            (
                settings.gradient_radius,
                settings.gradient_floor,
                [pixels, self.views, self._columns],
                kernels.gradient_terms,
                kernels.GRADIENT_TERMS + derivatives,
                kernels.add_gradient,
            ),
        ):
            if radius:
                terms = self.buffers.empty("terms", number, len(image))
                self._launch(terms_of, len(image), [*common, *shape, derivatives, terms])
                radii = self.buffers.empty(f"radius {radius}", count, dtype=torch.int32).fill_(radius)
                terms = self._window_sums(terms, radii)
                self._launch(add, len(sums), [*common, terms, *shape, derivatives, floor, settings.cauchy, lanes, sums])
        return sums.view(count, lanes, -1).sum(dim=1, dtype=torch.float64)

    def _keep_near(self, image: Tensor, pivots: np.ndarray, mask: Tensor) -> None:
        """See `similarity.keep_near`."""
        margins = np.stack([silhouette_margin(self.settings, camera, pivots) for camera in self._cameras], axis=1)
        marks = self.buffers.empty("marks", 1, image.numel())
        self._launch(kernels.mark_positive, image.numel(), [image.view(-1), marks])
        near = self._window_sums(marks, self.buffers.sent("margins", margins.ravel().astype(np.int32)))
        self._launch(kernels.keep_where, image.numel(), [near, mask.view(-1)])

    def _window_sums(self, images: Tensor, radii: Tensor) -> Tensor:
        """Of k terms of all images (k, pixels) over windows of each image's radius; `images` is written over."""
        across = self.buffers.empty("across", *images.shape)
        size = self._rows, self._columns
        self._launch(kernels.sum_along, tuple(images.shape), [images, radii, *size, 1, across])
        self._launch(kernels.sum_along, tuple(images.shape), [across, radii, *size, self._columns, images])
        return images

    def _padded(self, camera: Camera) -> Camera:
        size = (self._columns, self._rows)
        return camera if tuple(camera.size) == size else replace(camera, size=size)

    def _launch(self, kernel, threads: int | tuple[int, ...], arguments: list) -> None:
        launch(kernel, threads, self.device, arguments)


def _evaluate_batch(pairs: list[tuple[WarpObjective, EvaluationPoint]]) -> list[TrialEvaluation]:
    """One batch."""
    images, derivatives = pairs[0][0]._images, 9 if pairs[0][1].intrinsics else 6
    cameras = [point.cameras or images._given for _, point in pairs]
    kept = [own._kept for own, _ in pairs if own._kept is not None]
    before = None
    if len(kept) == len(pairs):
        before = images.buffers.empty("kept", len(kept), *kept[0].shape)
        torch.stack(kept, out=before)
    rendered = images.rendered(
        [point.world_from_ct for _, point in pairs],
        cameras,
        np.stack([own.pivot for own, _ in pairs]),
        kept=before,
        derivatives=derivatives,
    )
    after = images.compared(rendered, rendered.mask, derivatives=derivatives)
    costs = after[:, :1] if before is None else images.compared(rendered, before, derivatives=0)[:, : kernels.COST + 1]
    numbers = torch.cat([costs, after], dim=1).cpu().numpy().reshape(len(pairs), images.views, -1)
    masks = rendered.mask.view(len(pairs), images.views, *rendered.mask.shape[1:]).clone()
    return [
        own.answer(of_it[:, 0], of_it[:, 1:], derivatives, mask)
        for (own, _), of_it, mask in zip(pairs, numbers, masks, strict=True)
    ]


def _part(sums: np.ndarray, derivatives: int) -> tuple[float, np.ndarray, np.ndarray, float]:
    """A view's part in `Objective._fit`."""
    hessian = np.zeros((derivatives, derivatives))
    lower = np.tril_indices(derivatives)
    hessian[lower] = sums[kernels.HESSIAN : kernels.HESSIAN + len(lower[0])]
    gradient = sums[kernels.GRADIENT : kernels.GRADIENT + derivatives]
    return float(sums[kernels.COST]), gradient, hessian, local_ncc(sums[kernels.PRODUCTS : kernels.PRODUCTS + 3])


def _beam(camera: Camera, pivot: np.ndarray) -> np.ndarray:
    """(18,) float32, what `slopes_by_intrinsics` needs of a camera."""
    lever = pivot - camera.sources(FIRST_ROW)
    parts = camera.ray_matrix.ravel(), lever, camera.principal_point, camera.source_step, [camera.fan_axes]
    return np.concatenate(parts).astype(np.float32)


def _in_smaller_batches(work: Callable[[list], list], items: list, buffers: BufferPool) -> list:
    """The results of `work` for the items with a buffer pool, in halves where the device has too little memory for all."""
    if len(items) == 1:
        return _within_memory(partial(work, items))
    try:
        return work(items)
    except RuntimeError as error:
        if not _is_full(error):
            raise
    buffers.clear()  # outside, so that what the error holds is free
    torch.cuda.empty_cache()
    middle = len(items) // 2
    return [*_in_smaller_batches(work, items[:middle], buffers), *_in_smaller_batches(work, items[middle:], buffers)]


def _within_memory(work: Callable):
    try:
        return work()
    except RuntimeError as error:
        if not _is_full(error):
            raise
        raise MemoryError(str(error)) from error


def _is_full(error: RuntimeError) -> bool:
    """Whether the device's memory is; where another program has it all, CUDA itself says so, not torch's allocator."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in str(error)
