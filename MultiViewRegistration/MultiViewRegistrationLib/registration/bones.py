"""Several bones at once, each at its own pose.

Of one CT before the rest of that, or each with a CT of its own.

X-rays add up what lies behind one another: an image is the rest of the body plus the sum of the
bones, each by what it attenuates more than soft tissue does. So the background of a bone is the
rest and all other bones where they are now. All poses are solved for together, by Gauss-Newton over
the pixels near any bone's silhouette. The normal equations are block sparse: two bones meet only
where their shadows overlap. Neighbours are tied by a soft prior on their relative motion, which
decides only what the X-rays leave open.

Bones with a CT each have nothing behind them but each other: what else the X-rays show is unknown.
Nor does any prior tie them, as each CT has a frame of its own. Implants beside bones of a CT are
added to these and to the rest of it, which does not show them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from ..geometry import rigid
from ..imaging.field import overlap
from ..imaging.xray import View, with_cameras
from ..rendering.devices import run_each, run_tasks
from ..rendering.drr import Rendering, part_tasks
from . import similarity
from .bone import (
    Background,
    Bone,
    Rest,
    Shadow,
    Shadows,
    air,
    box_of,
    camera_of_part,
    part_between,
    ties_of,
    with_intrinsics,
)
from .objective import EvaluationPoint, Fit, TrialEvaluation
from .problem import Tie
from .similarity import Residual, Settings, local_ncc

#: A bone is shown by a view that compares at least this share of its shadow.
SHOWN = 0.5
NOTHING = np.empty((6, 0, 0), np.float32)
NO_CHANGE = np.empty((0, 1, 0, 0), np.float32)
#: How far bones are moved to see how their gradient changes, rad and mm: 0.4 mm at their surface.
DIFFERENCE = np.repeat([0.01, 0.4], 3)


class _Selected(NamedTuple):
    """The pixels of a view that are compared.

    Attributes
    ----------
    mask
        (rows, columns), 1 where pixels are compared.
    windows
        (rows, columns) by kind of comparison, see `similarity.window_weight`; None for a kind that
        is left out.
    box
        The part of the image that holds them and their neighbours.
    within
        Mask, X-ray and windows of that part.
    """

    mask: np.ndarray
    windows: list[np.ndarray | None]
    box: tuple[slice, slice]
    within: tuple[np.ndarray, np.ndarray, list[np.ndarray | None]]


class ViewComparison(NamedTuple):
    """A view compared with all bones at their poses.

    Attributes
    ----------
    mask
        (rows, columns), 1 where pixels are compared.
    residuals, weights
        By kind of comparison: (k, rows, columns), and (rows, columns).
    cost
        Sum of the robust squares.
    parts, around, changes
        By bone that is shown: its parts of the image as of a `Shadow`, and in `part` the
        derivatives (6, k, rows, columns) by kind of comparison.
    """

    mask: np.ndarray
    residuals: list[np.ndarray]
    weights: list[np.ndarray]
    cost: float
    parts: dict[int, tuple[slice, slice]]
    around: dict[int, tuple[slice, slice]]
    changes: dict[int, list[np.ndarray]]


@dataclass(frozen=True, eq=False, kw_only=True)
class BonesFit(Fit):
    """The fit of all bones at their poses, and of the rest where it moves, too.

    Attributes
    ----------
    shown
        (B, views) share of each bone's shadow that is compared.
    """

    shown: np.ndarray
    measure: Callable[[], np.ndarray] = field(repr=False)

    @property
    def known(self) -> np.ndarray:
        """(B,) bool, which of the bodies any view shows."""
        return self.shown.max(axis=1) >= SHOWN

    @cached_property
    def similarity(self) -> np.ndarray:
        """(B, views) local NCC about each bone; NaN where a view does not show it.

        Measured when it is asked for.
        """
        return self.measure()


class BonesObjective:
    """Views, bones and the rest of their CT at one resolution.

    Parameters
    ----------
    behind
        What lies behind the bones.
    bones
        Those that it holds, and those with a CT each after them.
    views
        Pooled to that resolution.
    voxel_mm
        How large voxels may be.
    """

    def __init__(
        self,
        behind: Background,
        bones: Sequence[Bone],
        views: Sequence[View],
        voxel_mm: float,
        settings: Settings,
    ) -> None:
        self.views = views
        self.settings = settings
        self.voxel_mm = voxel_mm
        self._moving_rest = behind.moves
        self._take(bones, behind.ties)
        self._selected: Sequence[_Selected] = ()
        self._whole = behind.ct.projector(behind.ct.level(voxel_mm))
        self._rest = self._still(Background(air(), np.eye(4)) if behind.moves else behind)
        self._look(behind.world_from_ct)

    def _still(self, behind: Background) -> list[Rest]:
        """Return what lies behind the bodies that move, in each view."""
        count = len(behind.bones)
        pose = behind.world_from_ct
        pivots = rigid.transform_points(pose, self._centroids[:count])
        of_views = self._shadows(np.repeat(pose[None], count, axis=0), pivots, jacobian=False)
        projector = behind.ct.projector(behind.ct.level(self.voxel_mm))
        still = []
        for view, shadows in zip(self.views, of_views, strict=True):
            still.append(Rest(projector, view.camera, pose, list(filter(None, shadows))))
        return still

    def _take(self, bones: Sequence[Bone], ties: Sequence[Tie]) -> None:
        self.bones = bones
        self.ties = ties
        self._projectors = [bone.projector(bone.level(self.voxel_mm)) for bone in bones]
        self._corners = np.array([bone.corners for bone in bones])
        self._centroids = np.array([bone.centroid for bone in bones])
        if self._moving_rest:
            self._centroids = np.vstack([self._centroids, self._centroids.mean(axis=0)])

    def _look(self, world_from_ct: np.ndarray) -> None:
        """Find which pixels are valid with the rest at a pose (4, 4)."""
        self._valid = [view.xray.valid.astype(np.uint8) for view in self.views]
        for valid, view in zip(self._valid, self.views, strict=True):
            valid &= self._whole.seen(view.camera, world_from_ct)

    def of_parts(self, parts: Sequence[Bone]) -> BonesObjective:
        """Return the same of parts, of which the bones are the sum, tied to each other."""
        other = copy(self)
        other._take(parts, ties_of(parts))
        return other

    def pivots(self, poses: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Return (B, 3) world mm, the centres about which the bodies turn."""
        return rigid.transform_points(np.asarray(poses, float), self._centroids)

    def evaluate(self, point: EvaluationPoint) -> TrialEvaluation:
        """Render trial poses, by corrected cameras only where the rest moves, too."""
        there = self
        if self._moving_rest and point.cameras is not None:
            there = copy(self)
            there.views = with_cameras(self.views, point.cameras)
            there._look(point.poses[-1])
        shadows = there.shadows(point.poses, intrinsics=point.intrinsics)

        def linearise() -> BonesFit:
            fit = there.linearise(point.poses, shadows, intrinsics=point.intrinsics)
            self._selected = there._selected
            return fit

        return TrialEvaluation(partial(there.cost, shadows), linearise)

    def shadows(
        self,
        poses: Sequence[np.ndarray] | np.ndarray,
        *,
        jacobian: bool = True,
        intrinsics: bool = False,
    ) -> Shadows:
        """Return the shadows of the bodies at these poses (4, 4), with derivatives by the cameras' intrinsics, too, if asked for."""
        pivots = self.pivots(poses)
        count = len(self.bones)
        found = self._shadows(np.asarray(poses[:count], float), pivots[:count], jacobian)
        if self._moving_rest:
            placed = np.repeat(np.array(poses[-1:]), count, axis=0)
            there = self._shadows(placed, np.repeat(pivots[-1:], count, axis=0), jacobian)
            for view, shadows, held in zip(self.views, found, there, strict=True):
                shadows.append(self._rest_shadow(view, poses[-1], pivots[-1], held))
        if intrinsics:
            for view, shadows in zip(self.views, found, strict=True):
                shadows[:] = map(partial(with_intrinsics, view), shadows, pivots)
        return found

    def _shadows(self, placed: np.ndarray, pivots: np.ndarray, jacobian: bool) -> Shadows:
        """Return the shadows of the bones at poses (n, 4, 4), with derivatives about pivots (n, 3)."""
        corners = rigid.transform_points(placed[:, None], self._corners[: len(placed)])
        found = []
        tasks = []
        for view in self.views:
            shadows = self._empty_shadows(view, corners, pivots, jacobian)
            shown = [b for b, shadow in enumerate(shadows) if shadow]
            drawn = [shadow for shadow in shadows if shadow]
            projectors = [self._projectors[b] for b in shown]
            parts = [shadow.part for shadow in drawn]
            renderings = [Rendering(shadow.image, shadow.jacobian) for shadow in drawn]
            if shown:
                tasks += part_tasks(
                    projectors, view.camera, placed[shown], pivots[shown], parts, renderings
                )
            found.append(shadows)
        run_tasks(tasks)
        return found

    def _rest_shadow(
        self,
        view: View,
        world_from_ct: np.ndarray,
        pivot: np.ndarray,
        held: Sequence[Shadow | None],
    ) -> Shadow:
        """Return what the whole CT shows at a pose without the bones that it holds there."""
        drawn = self._whole.render(view.camera, world_from_ct, jacobian=True, pivot=pivot)
        jacobian = np.asarray(drawn.jacobian)
        for shadow in filter(None, held):
            drawn.image[shadow.part] -= shadow.image
            jacobian[(slice(None), *shadow.part)] -= shadow.jacobian
        everywhere = part_between(np.zeros(2), np.array(view.camera.size))
        return Shadow(everywhere, everywhere, drawn.image, jacobian)

    def _empty_shadows(
        self, view: View, corners: np.ndarray, pivots: np.ndarray, jacobian: bool
    ) -> list[Shadow | None]:
        """Return shadows to be drawn, by the corners (B, 8, 3) of the bones and their centres (B, 3), world mm."""
        before = (view.camera.depth(corners) > 0).all(axis=1)
        pixels = view.camera.project(corners)
        margins = similarity.silhouette_margin(self.settings, view.camera, pivots)
        # The windows of all that is compared, and of the pixels whose windows hold some of the
        # shadow; gradients read a neighbour.
        room = np.maximum(margins + self.settings.radius + 1, 2 * self.settings.radius + 2)
        low = np.floor(pixels.min(axis=1))
        high = np.ceil(pixels.max(axis=1)) + 1

        def within(wide: np.ndarray) -> np.ndarray:
            ends = np.stack([low - wide[:, None], high + wide[:, None]])
            return np.clip(ends, 0, view.camera.size).astype(int)

        lows, highs = within(room)
        far_lows, far_highs = within(margins + 2 * self.settings.radius + 2)
        shadows: list[Shadow | None] = []
        for b, shown in enumerate(before & (highs - lows >= 3).all(axis=1)):
            part = part_between(lows[b], highs[b])
            around = part_between(far_lows[b], far_highs[b])
            shape = tuple(side.stop - side.start for side in part)
            images = (
                np.empty(shape, np.float32),
                np.empty((6, *shape), np.float32) if jacobian else None,
            )
            shadows.append(Shadow(part, around, *images) if shown else None)
        return shadows

    def cost(self, shadows: Shadows) -> float:
        """Return the mean robust square over the pixels selected last, of the bones with these shadows."""
        nothing = self.settings.cauchy, np.zeros(0), np.zeros((0, 0))

        def cost(v: int) -> float:
            mask = self._selected[v].within[0]
            residuals = self._residuals_within(v, self._image(v, shadows[v]))
            return sum(
                similarity.normal_equations(each, NO_CHANGE, mask, *nothing) for each in residuals
            )

        return sum(run_each(cost, range(len(self.views)))) / self.pixels

    @property
    def pixels(self) -> int:
        """How many were selected last, at least 1."""
        return max(sum(int(selected.mask.sum()) for selected in self._selected), 1)

    def linearise(
        self,
        poses: Sequence[np.ndarray] | np.ndarray,
        shadows: Shadows,
        *,
        intrinsics: bool = False,
    ) -> BonesFit:
        """Return the fit at these poses, of which these are the shadows, over the pixels near the bones' silhouettes there."""
        shown = self._select(poses, shadows)
        pixels = self.pixels

        def linearise(v: int) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
            compared = self.compare_view(v, shadows[v])
            system = _normal_equations(compared, len(self._centroids), 9 if intrinsics else 6)
            return compared.cost, (system[0] / pixels, system[1] / pixels)

        costs, systems = zip(*run_each(linearise, range(len(self.views))), strict=True)
        return BonesFit(
            cost=sum(costs) / pixels,
            by_view=systems,
            pixels=tuple(int(selected.mask.sum()) for selected in self._selected),
            shown=shown,
            measure=partial(self._similarity, self._selected, shadows),
        )

    def _similarity(self, selected: Sequence[_Selected], shadows: Shadows) -> np.ndarray:
        """Compute `BonesFit.similarity`."""

        def measure(v: int) -> np.ndarray:
            ncc = np.full(len(self.bones), np.nan)
            image = self._image(v, shadows[v])
            fixed = self.views[v].xray.line_integrals
            for b, shadow in zip(range(len(self.bones)), shadows[v]):
                if shadow is not None:
                    found = self._residuals_in(shadow.around, image, NOTHING, fixed, selected[v])
                    products = np.sum([each.products for each in found], axis=0)
                    ncc[b] = local_ncc(products) if products[2] else np.nan
            return ncc

        return np.stack(run_each(measure, range(len(self.views))), axis=1)

    def compare(self, poses: Sequence[np.ndarray]) -> list[ViewComparison]:
        """Compare each view; `linearise` sums what this returns."""
        shadows = self.shadows(poses)
        self._select(poses, shadows)
        return [self.compare_view(v, shadows[v]) for v in range(len(self.views))]

    def curvatures(self, poses: np.ndarray) -> np.ndarray:
        """Return the Hessian (B, 6, 6) of half the sum of robust squares by each bone's own pose, over the pixels selected last.

        By central differences of the gradient, over steps as long as right bones are off: Gauss and
        Newton's, which takes what the X-rays show and the CT does not for noise, is two to six
        times that.
        """
        shadows = self.shadows(poses, jacobian=False)
        pivots = self.pivots(poses)
        found = np.empty((len(self.bones), 6, 6))

        def fill(b: int) -> None:
            for n, step in enumerate(np.diag(DIFFERENCE)):
                ahead = rigid.moved(poses[b], step, pivots[b])
                behind = rigid.moved(poses[b], -step, pivots[b])
                change = self._own_gradient(b, ahead, shadows)
                change -= self._own_gradient(b, behind, shadows)
                found[b, n] = change / (2 * DIFFERENCE[n])

        run_tasks([partial(fill, b) for b in range(len(self.bones))])
        return (found + np.swapaxes(found, 1, 2)) / 2

    def _own_gradient(self, b: int, pose: np.ndarray, shadows: Shadows) -> np.ndarray:
        """Return the gradient (6,) of half the sum of robust squares by the pose (4, 4) of one bone, the others with these shadows."""
        alone = self.of_parts([self.bones[b]])
        own = slice(6 * b, 6 * b + 6)
        gradient = np.zeros(6)
        for v, there in enumerate(alone.shadows(pose[None])):
            compared = self.compare_view(v, [*shadows[v][:b], *there, *shadows[v][b + 1 :]])
            gradient += _normal_equations(compared, len(self.bones), 6)[0][own]
        return gradient

    def _select(self, poses: Sequence[np.ndarray] | np.ndarray, shadows: Shadows) -> np.ndarray:
        """Choose the pixels that can be compared and are near a silhouette, and return their share (B, views) of each shadow.

        A rest that moves is shown.
        """
        bones = range(len(self.bones))
        pivots = self.pivots(poses)

        def select(v: int) -> tuple[_Selected, np.ndarray]:
            shown = np.ones(len(self._centroids))
            shown[: len(bones)] = 0
            view = self.views[v]
            usable = self._usable(v, poses, shadows[v])
            mask = np.zeros_like(usable)
            margins = similarity.silhouette_margin(self.settings, view.camera, pivots)
            for b, shadow in zip(bones, shadows[v]):
                if shadow is None:
                    continue
                near = usable[shadow.part].copy()
                dark = shadow.image > 0
                whole = self.whole_shadow(b, view, poses[b], shadow.part, int(dark.sum()))
                shown[b] = near[dark].sum() / max(whole, 1)
                similarity.keep_near(shadow.image, margins[b], near)
                np.maximum(mask[shadow.part], near, out=mask[shadow.part])
            if self.settings.silhouette_mm is None:
                mask = usable
            windows = similarity.window_weights(self.settings, mask)
            box = box_of(mask)
            parts = [None if each is None else np.ascontiguousarray(each[box]) for each in windows]
            fixed = np.ascontiguousarray(view.xray.line_integrals[box])
            within = np.ascontiguousarray(mask[box]), fixed, parts
            return _Selected(mask, windows, box, within), shown

        selected, shown = zip(*run_each(select, range(len(self.views))), strict=True)
        self._selected = selected
        for rest, each in zip(self._rest, selected, strict=True):
            rest.fill(each.mask)  # one after another, each by all threads
        return np.stack(shown, axis=1)

    def _usable(
        self, v: int, poses: Sequence[np.ndarray] | np.ndarray, shadows: Sequence[Shadow | None]
    ) -> np.ndarray:
        """Return 1 for the pixels (rows, columns) that can be compared, with their neighbours.

        Not those through the cut end of a bone.
        """
        valid = self._valid[v].copy()
        usable = np.empty(self._valid[v].shape, np.float32)
        for bone, projector, pose, shadow in zip(self.bones, self._projectors, poses, shadows):
            if shadow is not None and bone.cut.any():
                valid[shadow.part] &= projector.seen(
                    camera_of_part(self.views[v], shadow.part), pose
                )
        similarity.erode(valid, usable)
        return usable

    def whole_shadow(
        self, b: int, view: View, pose: np.ndarray, part: tuple[slice, slice], dark: int
    ) -> float:
        """Return how many pixels a bone's shadow has that has so many in its part of the image."""
        columns, rows = view.camera.size
        down, across = part
        if down.start and across.start and down.stop < rows and across.stop < columns:
            return dark
        pixels = view.camera.project(rigid.transform_points(pose, self.bones[b].surface))
        inside = ((pixels >= 0) & (pixels <= np.array(view.camera.size) - 1)).all(axis=1).mean()
        return float(dark / max(inside, 1e-3))

    def _image(self, v: int, shadows: Sequence[Shadow | None]) -> np.ndarray:
        image = self._rest[v].image.copy()
        for shadow in filter(None, shadows):
            image[shadow.part] += shadow.image
        return image

    def _residuals_within(self, v: int, image: np.ndarray) -> Iterable[np.ndarray]:
        """Return the residual in the selected pixels' box, for each kind of comparison."""
        _, _, box, (mask, fixed, windows) = self._selected[v]
        here = np.ascontiguousarray(image[box])
        for found in similarity.residuals(self.settings, here, NOTHING, fixed, mask, windows):
            yield found.residual

    def compare_view(self, v: int, shadows: Sequence[Shadow | None]) -> ViewComparison:
        """Compare a view over the pixels selected last."""
        mask, _, (rows, columns), within = self._selected[v]
        cauchy = self.settings.cauchy
        image = self._image(v, shadows)
        fixed = self.views[v].xray.line_integrals
        cost = 0.0
        residuals = []
        weights = []
        for there in self._residuals_within(v, image):
            square = np.einsum("irc,irc->rc", there, there)
            ratio = 1 + square / cauchy**2 if cauchy else np.ones_like(square)
            cost += float(np.sum(within[0] * (cauchy**2 * np.log(ratio) if cauchy else square)))
            residual = np.zeros((len(there), *mask.shape), np.float32)
            weight = np.zeros_like(mask)
            residual[:, rows, columns] = there
            weight[rows, columns] = within[0] / ratio
            residuals.append(residual)
            weights.append(weight)
        parts: dict[int, tuple[slice, slice]] = {}
        changes: dict[int, list[np.ndarray]] = {}
        around: dict[int, tuple[slice, slice]] = {}
        for b, shadow in enumerate(shadows):
            if shadow is None or shadow.jacobian is None:
                continue
            parts[b] = shadow.part
            around[b] = shadow.around
            found = self._residuals_in(
                shadow.part, image, shadow.jacobian, fixed, self._selected[v]
            )
            changes[b] = [each.derivative for each in found]
        return ViewComparison(mask, residuals, weights, cost, parts, around, changes)

    def _residuals_in(
        self,
        part: tuple[slice, slice],
        image: np.ndarray,
        jacobian: np.ndarray,
        fixed: np.ndarray,
        selected: _Selected,
    ) -> Iterable[Residual]:
        """Return the residuals of the part of a view to which `jacobian` belongs, by whole images."""
        drr, xray, mask = (each[part].copy() for each in (image, fixed, selected.mask))
        mask[[0, -1]] = mask[:, [0, -1]] = 0  # gradients read the neighbours
        windows = [
            None if each is None else np.ascontiguousarray(each[part]) for each in selected.windows
        ]
        return similarity.residuals(self.settings, drr, jacobian, xray, mask, windows)


def _normal_equations(
    compared: ViewComparison, bodies: int, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return gradient (n B,) and Hessian (n B, n B) of a view, by n derivatives of each body."""
    gradient = np.zeros(n * bodies)
    hessian = np.zeros((n * bodies, n * bodies))
    for b, changes in compared.changes.items():
        rows, columns = compared.parts[b]
        here = slice(n * b, n * b + n)
        corner = (rows.start, columns.start)
        box = (rows.start, rows.stop, columns.start, columns.stop)
        sums = np.zeros((n, 1))
        for change, weight, residual in zip(
            changes, compared.weights, compared.residuals, strict=True
        ):
            similarity.add_products(change, corner, residual[None], (0, 0), weight, box, sums)
        gradient[here] += sums[:, 0]
        for c in (c for c in compared.changes if c <= b):
            both = overlap(compared.parts[b], compared.parts[c])
            if both is None:
                continue
            block = np.zeros((n, n))
            there = slice(n * c, n * c + n)
            rows, columns = both
            other_corner = tuple(side.start for side in compared.parts[c])
            box = rows.start, rows.stop, columns.start, columns.stop
            for change, other, weight in zip(
                changes, compared.changes[c], compared.weights, strict=True
            ):
                similarity.add_products(change, corner, other, other_corner, weight, box, block)
            hessian[here, there] += block
            if c < b:
                hessian[there, here] += block.T
    return gradient, hessian
