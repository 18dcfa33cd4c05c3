"""Several bones at once, compared by PyTorch on a device: all bones in all views, and the rest of their CT behind them.

`bones.py` defines what is computed. Each bone is rendered and locally normalised in a window about
its shadow, all of a view's windows are of one size.

What only an assessment needs, such as the similarity of each bone, is done on the processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.xray import View, with_cameras
from ..rendering.torch_drr import TorchProjector, by_intrinsics_of
from .bones import BonesFit, BonesObjective
from .objective import EvaluationPoint, TrialEvaluation
from .torch_backend import Images, eroded, grown, kinds_of, on_device, sums_of, within_memory

Part = tuple[slice, slice]
#: A window has so many rows and columns at least, as gradients need two.
LEAST_PIXELS = 2


class _Windows(NamedTuple):
    """A part of each image (rows, columns) for each body, all (h, w), beyond the image, too.

    Attributes
    ----------
    parts
        By view and body.
    cameras
        Of the parts, by body and view.
    places
        Body, view, rows and columns as an index of frames, which broadcasts to (bodies, views, h, w).
    frame
        (rows, columns) of the images.
    size
        (h, w).
    """

    parts: list[list[Part]]
    cameras: list[list[Camera]]
    places: tuple[Tensor, Tensor, Tensor, Tensor]
    frame: tuple[int, int]
    size: tuple[int, int]

    def placed(self, parts: Tensor) -> Tensor:
        """Return (..., bodies, views, rows, columns) of parts (..., bodies, views, h, w), 0 elsewhere."""
        rows, columns = self.frame
        h, w = self.size
        frames = parts.new_zeros(*parts.shape[:-2], rows + h, columns + w)
        body, view, down, across = self.places
        frames[..., body, view, down, across] = parts
        return frames[..., :rows, :columns]

    def taken(self, images: Tensor) -> Tensor:
        """Return the parts (bodies, views, h, w) of images (views, rows, columns), 0 beyond these."""
        h, w = self.size
        return F.pad(images, (0, w, 0, h))[self.places[1:]]


class TorchBonesObjective(BonesObjective):
    """An objective that the device of its first bone evaluates.

    A MemoryError where the device cannot hold the work.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._device = self.bones[0].device
        self._kept: Tensor | None = None

    def evaluate(self, point: EvaluationPoint) -> TrialEvaluation:
        """Render trial poses, see `BonesObjective.evaluate`."""
        return within_memory(partial(self._evaluate, point))

    @cached_property
    def _images(self) -> Images:
        there = on_device(self._whole, self._device)
        return Images(there, list(self.views), self.settings)

    @cached_property
    def _behind(self) -> Tensor:
        for rest in self._rest:  # by numba, as the judgement needs it there
            rest.fill(np.ones_like(rest.image))
        return self._images.sent([rest.image for rest in self._rest], torch.float32)

    @cached_property
    def _usable_there(self) -> Tensor:
        """The rest's pose is fixed, so that this is."""
        return self._images.sent(self._valid, torch.bool)

    def _windows(self, views: Sequence[View], poses: np.ndarray, pivots: np.ndarray) -> _Windows:
        """Return the parts about the bodies' shadows; whole images where the rest has a pose, too."""
        _, rows, columns = self._images.fixed.shape
        parts: list[list[Part]] = [[(slice(0, rows), slice(0, columns))] * len(poses)] * len(views)
        if not self._moving_rest:
            corners = rigid.transform_points(poses[:, None], self._corners)
            nowhere = slice(rows, rows), slice(columns, columns)
            drawn = [self._empty_shadows(view, corners, pivots, False) for view in views]
            parts = [[each.part if each else nowhere for each in shadows] for shadows in drawn]
        ends = [[[(side.start, side.stop) for side in part] for part in row] for row in parts]
        starts, stops = np.moveaxis(np.array(ends), -1, 0)
        h, w = map(int, np.maximum((stops - starts).max(axis=(0, 1)), LEAST_PIXELS))
        cameras = []
        for of_body in starts.swapaxes(0, 1):
            at_views = zip(views, of_body, strict=True)
            cameras.append([view.camera.cropped(x, y, w, h) for view, (y, x) in at_views])
        device = self._images.fixed.device
        at = torch.from_numpy(starts).to(device).swapaxes(0, 1)[..., None, None, :]
        down = at[..., 0] + torch.arange(h, device=device)[:, None]
        across = at[..., 1] + torch.arange(w, device=device)
        body, view = (torch.arange(count, device=device) for count in at.shape[:2])
        places = body[:, None, None, None], view[:, None, None], down, across
        return _Windows(parts, cameras, places, (rows, columns), (h, w))

    def _drawn(
        self,
        projector: TorchProjector,
        pose: np.ndarray,
        pivot: np.ndarray,
        windows: _Windows,
        body: int,
        intrinsics: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the images (views, h, w) in a body's windows, their derivatives (n, views, h, w), and which rays are seen."""
        cameras = windows.cameras[body]
        beams = projector.beams(cameras, [pose] * len(cameras), pivot)
        image, slopes = projector.project(beams, *windows.size, jacobian=True)
        assert slopes is not None
        if intrinsics:
            slopes = torch.cat([slopes, by_intrinsics_of(beams, slopes)])
        return image, slopes, projector.unhidden(beams, *windows.size)

    def _drawn_rest(
        self, everywhere: _Windows, pose: np.ndarray, pivot: np.ndarray, intrinsics: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return `_drawn` of the whole CT without the bones that it holds."""
        how = pose, pivot, everywhere, 0, intrinsics
        image, slopes, seen = self._drawn(self._images.projector, *how)
        for bone in self._projectors:
            held, held_slopes, _ = self._drawn(on_device(bone, self._device), *how)
            image = image - held
            slopes = slopes - held_slopes
        return image, slopes, seen

    def _evaluate(self, point: EvaluationPoint) -> TrialEvaluation:
        poses = np.asarray(point.poses, float)
        pivots = self.pivots(poses)
        count = len(self.bones)
        views = self.views
        if self._moving_rest and point.cameras is not None:
            views = with_cameras(views, point.cameras)
        windows = self._windows(views, poses, pivots)
        drawn = []
        for n, (bone, pose, pivot) in enumerate(zip(self._projectors, poses, pivots)):
            there = on_device(bone, self._device)
            drawn.append(self._drawn(there, pose, pivot, windows, n, point.intrinsics))
        usable = self._usable_there
        if self._moving_rest:
            drawn.append(self._drawn_rest(windows, poses[-1], pivots[-1], point.intrinsics))
            usable = self._images.valid
        hidden = windows.placed(~torch.stack([seen for *_, seen in drawn]))
        usable = eroded(usable & ~hidden.any(0))
        images = torch.stack([image for image, *_ in drawn])
        dark = (images * windows.taken(torch.ones_like(usable)) > 0)[:count]
        near = windows.taken(usable)[:count]
        mask = usable
        margins = self._images.margins([view.camera for view in views], pivots[:count])
        if margins is not None:
            about = grown(dark.flatten(0, 1), margins).view(near.shape)
            mask = windows.placed(near * about).amax(0)
        image = windows.placed(images).sum(0) + self._behind
        slopes = torch.stack([slopes for _, slopes, _ in drawn], 1)
        shown = torch.cat([dark, near * dark]).sum((2, 3)).T
        sums = [shown, *self._compared(windows, image, slopes, mask)]
        numbers = torch.cat([each.to(sums[-1]) for each in sums], dim=1).cpu().numpy()
        return self._answer(numbers, mask, poses, views, windows.parts)

    def _compared(
        self, windows: _Windows, image: Tensor, slopes: Tensor, mask: Tensor
    ) -> list[Tensor]:
        """Return of each view the cost over the pixels selected before, and number and `sums_of` of those selected now."""
        settings = self.settings
        fixed = self._images.fixed
        nothing = image.new_empty(0, *image.shape)
        before = image.new_zeros(len(image), 1)
        if self._kept is not None:
            kinds = kinds_of(settings, image, nothing, fixed, self._kept)
            before = sums_of(settings, kinds, self._kept)[:, :1]
        within = [windows.taken(each).flatten(0, 1) for each in (image, fixed, mask)]
        parts = kinds_of(settings, within[0], slopes.flatten(1, 2), *within[1:])
        kinds = []
        for (drr, xray, _), (*_, change) in zip(
            kinds_of(settings, image, nothing, fixed, mask), parts, strict=True
        ):
            placed = windows.placed(change.unflatten(2, slopes.shape[1:3]))
            kinds.append((drr, xray, placed.movedim(2, 0).flatten(0, 1)))
        pixels = mask.sum((1, 2), dtype=self._images.projector.real)[:, None]
        return [before, pixels, sums_of(settings, kinds, mask)]

    def _answer(
        self,
        numbers: np.ndarray,
        mask: Tensor,
        poses: np.ndarray,
        views: Sequence[View],
        parts: list[list[Part]],
    ) -> TrialEvaluation:
        """Return the evaluation of what came back of each view."""
        count = len(self.bones)
        dark, usable = np.split(numbers[:, : 2 * count].T, 2)
        before, pixels, costs = numbers[:, 2 * count : 2 * count + 3].T
        total = max(float(pixels.sum()), 1.0)
        systems = numbers[:, 2 * count + 8 :] / total  # after products and slopes

        def cost() -> float:
            kept = 0.0 if self._kept is None else float(self._kept.sum())
            return float(before.sum()) / max(kept, 1.0)

        def measure() -> np.ndarray:
            by_numba = copy(self)
            return by_numba.linearise(poses, by_numba.shadows(poses, jacobian=False)).similarity

        def linearise() -> BonesFit:
            self._kept = mask
            shown = np.ones((len(poses), len(views)))
            for b, v in np.ndindex(dark.shape):
                whole = self.whole_shadow(b, views[v], poses[b], parts[v][b], int(dark[b, v]))
                shown[b, v] = usable[b, v] / max(whole, 1)
            n = int(systems.shape[1] ** 0.5)  # n and n * n numbers
            return BonesFit(
                cost=float(costs.sum()) / total,
                by_view=tuple((each[:n], each[n:].reshape(n, n)) for each in systems),
                pixels=tuple(map(int, pixels)),
                shown=shown,
                measure=measure,
            )

        return TrialEvaluation(cost, linearise)
