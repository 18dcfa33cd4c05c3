"""Compare X-rays with the DRRs of a pose at one resolution: with derivatives, and scores of many poses for a search."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import compress
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.xray import View
from ..rendering import cpu
from ..rendering.devices import run_each, run_tasks
from ..rendering.drr import Projector, intrinsics_jacobian
from . import similarity
from .similarity import (
    MIN_PIXELS,
    MIN_SHARE,
    Residual,
    Settings,
    box_sum,
    erode,
    keep_near,
    local_ncc,
    ncc_of,
    silhouette_margin,
)

#: Poses that a thread takes at a time.
_BLOCK = 32


@dataclass(eq=False)
class Scorer:
    """Views and a volume at one resolution.

    A pose's score in a view is the local NCC of X-ray and DRR, of their gradients, or of both, as
    `settings` says; 1 is perfect. Of a body it is multiplied by the square root of the share of the
    X-ray that can be compared at that pose, or poses that hide most of the CT would win; of a
    structure only the surroundings of its silhouette count.

    Parameters
    ----------
    centroid
        (3,) CT mm, of the anatomy, at whose depth `settings.silhouette_mm` is measured.
    """

    projector: Projector
    views: list[View]
    settings: Settings
    centroid: np.ndarray

    def scores(self, poses: np.ndarray) -> np.ndarray:
        """Return (views, N) the scores of the poses world_from_ct (N, 4, 4).

        0 where a view shows nothing of the CT.
        """
        found = np.empty((len(self.views), len(poses)), np.float32)
        tasks = []
        for view, out in zip(self.views, found, strict=True):
            for first in range(0, len(poses), _BLOCK):
                block = slice(first, first + _BLOCK)
                tasks.append(partial(self._score, view, poses[block], out[block]))
        run_tasks(tasks)
        return found

    def _score(self, view: View, poses: np.ndarray, out: np.ndarray) -> None:
        settings = self.settings
        centres = rigid.transform_points(poses, self.centroid)
        margins = silhouette_margin(settings, view.camera, centres)
        xray = view.xray
        score_poses(
            self.projector.placed(view.camera, poses),
            Fixed(xray.line_integrals, xray.valid.view(np.uint8)),
            settings.windows,
            margins,
            out,
        )


class Fixed(NamedTuple):
    """What DRRs are compared with: an X-ray and its valid pixels (rows, columns)."""

    image: np.ndarray
    valid: np.ndarray


@cpu.kernel
def _count(mask: np.ndarray):
    """Return the number of pixels that are 1 in a mask of 0 and 1.

    Loops are compiled in half the time of expressions of arrays.
    """
    rows, columns = mask.shape
    total = 0.0
    for r in range(rows):
        for c in range(columns):
            total += mask[r, c]
    return total


@cpu.kernel
def score_poses(placed, xray, windows, margins, out):
    """Fill `out` (N,) with the scores of N poses in one view.

    Parameters
    ----------
    placed
        `cpu.Placed`.
    xray
        `Fixed`.
    windows
        See `Settings.windows`.
    margins
        (N,) pixels about the silhouette within which to compare; 0 for the whole image.
    """
    fixed, valid = xray
    rows, columns = fixed.shape
    image = np.empty((rows, columns), np.float32)
    mask = np.empty((rows, columns), np.float32)
    usable = 0
    for r in range(rows):
        for c in range(columns):
            usable += valid[r, c]
    for n in range(len(out)):
        seen = valid.copy()
        cpu.draw_pose(placed, n, seen, image)
        erode(seen, mask)
        compared = _count(mask)
        share = compared / max(usable, 1)
        if margins[n]:
            share = 1.0
            keep_near(image, margins[n], mask)
            compared = _count(mask)
        out[n] = 0.0
        if share < MIN_SHARE or compared < MIN_PIXELS:
            continue
        out[n] = ncc_of(image, fixed, mask, windows) * math.sqrt(share)


#: Similarities count as no less and no more than this in `PoseFit.evidence`: what is less is
#: chance.
NCC_LIMITS = (0.1, 0.9999)

#: A pixel is an outlier if the normalised intensities differ by so much in the root mean square of
#: the pixels up to WINDOW from it, which is a correlation of a half; with it go those up to GROWN
#: from it.
OUTLYING = 1.0
WINDOW = 2
GROWN = 2
#: A smaller share of outliers does no harm worth another descent: noise and a CT's own errors make
#: up to a fiftieth.
MIN_OUTLIER_SHARE = 0.05

#: No view bends less than this share of what Gauss and Newton give it.
LEAST_SHARPNESS = 0.05


@dataclass(frozen=True)
class Projection:
    """One view at one pose: DRR, its Jacobian, and the rays that can be compared (1) or not (0).

    Attributes
    ----------
    jacobian
        (6, rows, columns) by the pose, or (9, rows, columns) with scale and principal point
        (`intrinsics_jacobian`).
    """

    image: np.ndarray
    jacobian: np.ndarray
    comparable: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Fit:
    """The fit of bodies at their poses.

    Attributes
    ----------
    cost
        Mean over the compared pixels of the robust square of the residual.
    by_view
        Each view's share in the gradient and in the Hessian: of half the cost by (omega rad, v mm)
        of each body about its pivot, or by nine numbers where the projections have nine
        derivatives.
    pixels
        By view, the number of pixels compared.
    sharpness
        By view, about which share of Gauss and Newton's curvature is there, see
        `similarity.slope_products`; at least LEAST_SHARPNESS. Empty where it is not known.
    """

    cost: float
    by_view: tuple[tuple[np.ndarray, np.ndarray], ...] = field(repr=False)
    pixels: tuple[int, ...]
    sharpness: tuple[float, ...] = ()

    @property
    def known(self) -> np.ndarray:
        """(B,) bool, which of the bodies any view shows."""
        return np.ones(1, bool)

    @cached_property
    def gradient(self) -> np.ndarray:
        """(n,), of half the cost."""
        return np.sum([gradient for gradient, _ in self.by_view], axis=0)

    @cached_property
    def hessian(self) -> np.ndarray:
        """(n, n), of half the cost."""
        return np.sum([hessian for _, hessian in self.by_view], axis=0)


@dataclass(frozen=True, eq=False, kw_only=True)
class PoseFit(Fit):
    """The fit of one body at its pose.

    Attributes
    ----------
    shown
        By view, in how many pixels the CT shows; the others see air beside it. Of a structure, all
        that are compared.
    similarity
        By view, the local NCC.
    """

    shown: tuple[int, ...]
    similarity: tuple[float, ...]

    @property
    def min_similarity(self) -> float:
        """The smallest similarity of the views that show enough of the CT to be compared.

        0 where none does.
        """
        enough = [shown >= MIN_PIXELS for shown in self.shown]
        return float(min(compress(self.similarity, enough), default=0.0))

    @property
    def evidence(self) -> float:
        """The score that ranks solutions, higher is better.

        The information that the DRRs give about the X-rays, in nats.

        The mutual information of two Gaussian variables of correlation r is -log(1 - r^2) / 2 a
        sample (Cover and Thomas, Elements of Information Theory, 2nd ed., example 8.5.1). The
        samples are the pixels that show the CT: a pose that hides most of it has a low cost, but
        adds little information. r is the harmonic mean of the views' similarities, by those pixels:
        a wrong pose can be made to look like one X-ray, not like all of them.
        """
        shown = np.array(self.shown, float)
        if not shown.any():
            return 0.0
        similarity = np.clip(self.similarity, *NCC_LIMITS)
        mean = shown.sum() / (shown / similarity).sum()
        return float(-0.5 * shown.sum() * np.log(1 - mean**2))


class EvaluationPoint(NamedTuple):
    """A point at which a descent evaluates the objective.

    Poses (B, 4, 4) of the bodies, the views' cameras, and whether nine derivatives are needed.
    """

    poses: np.ndarray | Sequence[np.ndarray]
    cameras: list[Camera] | None = None
    intrinsics: bool = False


class TrialEvaluation(NamedTuple):
    """Trial poses.

    Attributes
    ----------
    cost
        The cost there over the pixels that were selected last.
    linearise
        Accept the poses: select their pixels, and give the fit.
    """

    cost: Callable[[], float]
    linearise: Callable[[], Any]


class Comparison(Protocol):
    """Views compared with bodies: an `Objective`, or a `bones.BonesObjective`."""

    settings: Settings

    @property
    def views(self) -> Sequence[View]:
        """With the cameras that the case gives."""

    def pivots(self, poses: np.ndarray) -> np.ndarray:
        """Return (B, 3) world mm, about which the bodies turn at poses (B, 4, 4)."""

    def evaluate(self, point: EvaluationPoint) -> TrialEvaluation:
        """Render a trial."""


@dataclass(eq=False)
class Objective:
    """Views and a volume at one resolution, ready to be compared at any pose.

    Which pixels count changes with the pose. `linearise` selects them; `cost` keeps to them, so
    that two costs can be compared.

    Parameters
    ----------
    pivot
        (3,) world mm, the point about which the pose turns: the centre of the imaged anatomy.
    """

    projector: Projector
    views: list[View]
    settings: Settings
    pivot: np.ndarray
    evaluate_together: (
        Callable[[list[Objective], list[EvaluationPoint]], list[TrialEvaluation]] | None
    ) = field(default=None, init=False)
    """Evaluates a pose for each of several objectives in one batch, where that is better than a
    thread for each."""

    def __post_init__(self) -> None:
        self._take_views()

    def _take_views(self) -> None:
        self._valid = [view.xray.valid.astype(np.uint8) for view in self.views]
        self._usable = sum(int(valid.sum()) for valid in self._valid)
        self._select_none()

    def _select_none(self) -> None:
        self.masks = [np.zeros(valid.shape, np.float32) for valid in self._valid]
        """The pixels that were selected last, by view: (rows, columns) float32, 1 or 0."""
        self._shown = [0] * len(self.views)
        self._weights: list = [None] * len(self.views)

    def project(
        self,
        world_from_ct: np.ndarray,
        cameras: list[Camera] | None = None,
        *,
        jacobian: bool = True,
        intrinsics: bool = False,
    ) -> list[Projection]:
        """Render every view at a pose, by its own camera or by others.

        Parameters
        ----------
        intrinsics
            Add to the Jacobian the derivatives by the camera's scale and principal point.
        """
        cameras = cameras or [view.camera for view in self.views]
        derivatives = 9 if intrinsics else 6
        projections = []
        tasks = []
        for camera, valid, mask in zip(cameras, self._valid, self.masks, strict=True):
            image = np.empty(valid.shape, np.float32)
            changes = np.empty((derivatives, *(valid.shape if jacobian else (0, 0))), np.float32)
            comparable = valid.copy()
            projections.append(Projection(image, changes, comparable))
            tasks += self.projector.tasks(
                camera,
                world_from_ct,
                image,
                changes[:6],
                pivot=self.pivot,
                wanted=_dilated(mask),
                comparable=comparable,
            )
        run_tasks(tasks)
        if jacobian and intrinsics:
            for camera, projection in zip(cameras, projections, strict=True):
                intrinsics_jacobian(
                    camera, self.pivot, projection.jacobian[:6], projection.jacobian[6:]
                )
        return projections

    def pivots(self, poses: np.ndarray) -> np.ndarray:
        """Return the pivot (1, 3), whatever the pose."""
        return self.pivot[None]

    def with_pivot(self, pivot: np.ndarray) -> Objective:
        """Return the objective about another pivot, no pixels selected yet."""
        other = copy(self)
        other.pivot = pivot
        other._select_none()
        return other

    def excluding(self, pixels: Sequence[np.ndarray]) -> Objective:
        """Return the objective without some pixels of each view, bool (rows, columns).

        No pixels selected yet.
        """
        other = copy(self)
        both = zip(self.views, pixels, strict=True)
        other.views = [view.with_xray(valid=view.xray.valid & ~out) for view, out in both]
        other._take_views()
        return other

    def evaluate(self, point: EvaluationPoint) -> TrialEvaluation:
        """Evaluate a trial pose: its cost over the pixels selected last, and its linearisation if the descent accepts it."""
        projections = self.project(point.poses[0], point.cameras, intrinsics=point.intrinsics)
        return TrialEvaluation(
            partial(self.cost, projections), partial(self.linearise, projections)
        )

    def linearise(self, projections: list[Projection]) -> PoseFit:
        """Return the cost, gradient and Hessian over the pixels that can be compared at this pose."""
        run_tasks([partial(self._select_pixels, *each) for each in enumerate(projections)])
        parts = self._compared(projections, derivative=True)
        return self._fit(parts, self._pixels, tuple(self._shown))

    def cost(self, projections: list[Projection]) -> float:
        """Return the cost over the pixels that were selected last."""
        parts = self._compared(projections, derivative=False)
        return self._mean([part[0] for part in parts], self._pixels, self._shown)

    @property
    def _pixels(self) -> tuple[int, ...]:
        return tuple(int(mask.sum()) for mask in self.masks)

    def _select_pixels(self, index: int, projection: Projection) -> None:
        """Choose the view's pixels: comparable together with their neighbours, and near the structure if so set."""
        settings = self.settings
        camera = self.views[index].camera
        mask = np.empty(projection.image.shape, np.float32)
        similarity.erode(projection.comparable, mask)
        if settings.silhouette_mm is not None:
            similarity.keep_near(
                projection.image, int(silhouette_margin(settings, camera, self.pivot)), mask
            )
        self.masks[index] = mask
        seen = (
            mask > 0
            if settings.silhouette_mm is not None
            else (projection.image > settings.intensity_floor) & (mask > 0)
        )
        self._shown[index] = int(np.count_nonzero(seen))
        self._weights[index] = similarity.window_weights(settings, mask)

    def _compared(self, projections: list[Projection], *, derivative: bool) -> list[tuple]:
        return run_each(
            lambda index: self._compare(index, projections[index], derivative),
            range(len(self.views)),
        )

    def _mean(self, costs: Sequence[float], pixels: Sequence[int], shown: Sequence[int]) -> float:
        """Return the cost, infinite where too little is compared."""
        count = max(sum(pixels), 1)
        share = 1.0 if self.settings.silhouette_mm is not None else count / max(self._usable, 1)
        enough = count >= MIN_PIXELS and share >= MIN_SHARE and any(shown)
        return sum(costs) / count if enough else np.inf

    def _fit(self, parts: list[tuple], pixels: tuple[int, ...], shown: tuple[int, ...]) -> PoseFit:
        """Return the fit over all views, from what `_compare` returns of each."""
        count = max(sum(pixels), 1)
        bent, plain = np.transpose([part[4] for part in parts])
        sharpness = np.clip(bent / np.maximum(plain, 1e-12), LEAST_SHARPNESS, 1.0)
        return PoseFit(
            cost=self._mean([part[0] for part in parts], pixels, shown),
            by_view=tuple((part[1] / count, symmetric(part[2]) / count) for part in parts),
            pixels=pixels,
            shown=shown,
            similarity=tuple(part[3] for part in parts),
            sharpness=tuple(sharpness.tolist()),
        )

    def residuals(
        self, index: int, projection: Projection, *, derivative: bool = True
    ) -> Iterator[Residual]:
        """Return the residuals of a view's selected pixels, for each kind of comparison."""
        nothing = np.empty((len(projection.jacobian), 0, 0), np.float32)
        return similarity.residuals(
            self.settings,
            projection.image,
            projection.jacobian if derivative else nothing,
            self.views[index].xray.line_integrals,
            self.masks[index],
            self._weights[index],
        )

    def _compare(self, index: int, projection: Projection, derivative: bool) -> tuple:
        """Return a view's sum of robust squares, gradient, Hessian, local NCC and products of slopes."""
        settings = self.settings
        mask = self.masks[index]
        derivatives = len(projection.jacobian)
        gradient = np.zeros(derivatives)
        hessian = np.zeros((derivatives, derivatives))
        products = np.zeros(3)
        slopes = np.zeros(2)
        cost = 0.0
        for residual, change, sums, drr in self.residuals(index, projection, derivative=derivative):
            cost += similarity.normal_equations(
                residual, change, mask, settings.cauchy, gradient, hessian
            )
            products += sums
            if derivative:
                slopes += similarity.slope_products(residual, drr, mask, settings.cauchy)
        return cost, gradient, hessian, float(local_ncc(products)), slopes


def symmetric(half: np.ndarray) -> np.ndarray:
    """Return the symmetric matrix of its lower triangle, the rest of which is 0."""
    return half + half.T - np.diag(np.diag(half))


def outliers(objective: Objective, projections: Sequence[Projection]) -> list[np.ndarray] | None:
    """Return the objects that the X-rays show and the CT does not hold, mostly instruments, by the residuals at a nearly correct pose.

    Cauchy's weights keep such pixels from pulling at the pose by themselves. But their values enter
    the local means of all pixels about them, which are then a little wrong along an instrument's
    edge.

    Parameters
    ----------
    objective
        Compares intensities, and was linearised at the pose.
    projections
        By view, at that pose.

    Returns
    -------
    list[ndarray] or None
        list of (rows, columns) bool, by view; None where the outliers are too few to matter.
    """
    found = []
    outlying = 0
    for n, (projection, mask) in enumerate(zip(projections, objective.masks, strict=True)):
        residual = next(objective.residuals(n, projection, derivative=False)).residual[0]
        found.append(_outlying(residual, mask))
        outlying += int(np.count_nonzero(found[n] & (mask > 0)))
    if outlying < MIN_OUTLIER_SHARE * sum(map(np.count_nonzero, objective.masks)):
        return None
    return [scipy.ndimage.maximum_filter(each, 2 * GROWN + 1) for each in found]


def _outlying(residual: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return where (rows, columns) the residual is an outlier's.

    Parameters
    ----------
    residual, mask
        (rows, columns), the latter 1 or 0.
    """
    side = 2 * WINDOW + 1
    squares, pixels = (
        scipy.ndimage.uniform_filter(each, side) for each in (residual**2 * mask, mask)
    )
    return squares > OUTLYING**2 * np.maximum(pixels, 1 / side**2)


def _dilated(mask: np.ndarray) -> np.ndarray:
    """Return the mask with the neighbours that its central differences need."""
    grown = np.empty(mask.shape, np.float32)
    box_sum(mask, 1, grown)
    return (grown > 0.5).view(np.uint8)
