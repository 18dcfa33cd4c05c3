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
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.body import Body
from ..imaging.ct import WATER, Volume, pyramid
from ..imaging.structures import Structures
from ..imaging.xray import View, with_cameras
from ..rendering.devices import Lock, run_each, run_tasks
from ..rendering.drr import Projector, Rendering, cut_ends, intrinsics_jacobian, part_tasks
from . import similarity
from .objective import EvaluationPoint, Fit, TrialEvaluation
from .prepared_ct import VOLUME_LEVELS, PreparedCT, level_of
from .problem import Tie
from .similarity import Residual, Settings, local_ncc

#: So many points of a bone stand for its surface where neighbours are looked for; those this much
#: farther apart than the nearest are part of the joint.
SURFACE_POINTS = 300
JOINT_MM = 5.0
#: A bone is shown by a view that compares at least this share of its shadow.
SHOWN = 0.5
#: Voxels of an implant may be so many times as large as those of bones: with 1 the turn of one of
#: eight simulated screws about itself was off by 0.7 degrees, with this by 0.15.
IMPLANT_VOXELS = 0.55
NO_CUT = np.zeros(6, bool)
NOTHING = np.empty((6, 0, 0), np.float32)
NO_CHANGE = np.empty((0, 1, 0, 0), np.float32)
#: How far bones are moved to see how their gradient changes, rad and mm: 0.4 mm at their surface.
DIFFERENCE = np.repeat([0.01, 0.4], 3)
#: The rest of the CT is rendered so many pixels farther than it is compared, as bones move on.
REST_AHEAD = 4


class Bone:
    """One structure of a CT, by what it attenuates more than what is in its place without it.

    Parameters
    ----------
    name
        Of the structure.
    attenuation
        Of the whole CT, 1/mm.
    mask
        bool (nk, nj, ni) on the CT's grid, or on the part of it that begins at `first`.
    first
        (k, j, i) of the mask's first voxel.
    replaced
        Attenuation of what is in its place without it, 1/mm: by default soft tissue.
    cut
        (6,) bool, the ends of its CT at which the bone goes on, see `drr.cut_ends`.
    saturates_at
        As of a `Projector`.
    device
        Of PyTorch, that compares it; "" for this machine's threads.

    Attributes
    ----------
    centroid
        (3,) CT mm.
    corners
        (8, 3) CT mm, of the box about it.
    surface
        (N, 3) CT mm, some of its voxels.
    finest
        What it attenuates more, on its part of the CT's grid.
    """

    def __init__(
        self,
        name: str,
        attenuation: Volume,
        mask: np.ndarray,
        first: Sequence[int] = (0, 0, 0),
        replaced: float = WATER,
        cut: np.ndarray = NO_CUT,
        saturates_at: float = np.inf,
        device: str = "",
    ) -> None:
        self.name = name
        self.device = device
        self.cut = cut
        self.saturates_at = saturates_at
        places = np.argwhere(mask)
        low = places.min(axis=0)
        high = places.max(axis=0) + 1
        part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        whole = tuple(slice(f + a, f + b) for f, a, b in zip(first, low, high, strict=True))
        values = np.maximum(attenuation.values[whole] - np.float32(replaced), 0) * mask[part]
        placed = attenuation.ct_from_index.copy()
        placed[:3, 3] += placed[:3, :3] @ [each.start for each in whole[::-1]]
        self.finest = Volume(values, placed)
        points = rigid.transform_points(placed, (places - low)[:, ::-1].astype(float))
        self.centroid = points.mean(axis=0)
        self.surface = rigid.some_of(points, SURFACE_POINTS)
        ends = [(-0.5, size - 0.5) for size in values.shape[::-1]]
        self.corners = rigid.transform_points(placed, rigid.grid_points(*ends))
        self._projectors: dict[int, Projector] = {}
        self._making = Lock()

    @classmethod
    def of_ct(cls, name: str, anatomy: PreparedCT) -> Bone:
        """Return the bone of a CT that shows nothing else.

        Relative values do not say what soft tissue attenuates.
        """
        attenuation = anatomy.attenuation(0)
        replaced = 0.0 if anatomy.relative else WATER
        return cls(
            name,
            attenuation,
            attenuation.values > replaced,
            replaced=replaced,
            cut=cut_ends(attenuation),
            saturates_at=anatomy.saturates_at,
            device=anatomy.device,
        )

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Return bool (N,), which of the points (N, 3), CT mm, lie in a voxel of the bone."""
        values = self.finest.values
        index = np.rint(rigid.transform_points(self.finest.index_from_ct, points)).astype(int)[
            :, ::-1
        ]
        inside = ((index >= 0) & (index < values.shape)).all(axis=1)
        inside[inside] = values[tuple(index[inside].T)] > 0
        return inside

    def apart(self, pose: np.ndarray, other: np.ndarray) -> float:
        """Return how far its surface at two poses (4, 4) is apart, mm, root mean square."""
        points = [rigid.transform_points(each, self.surface) for each in (pose, other)]
        return float(np.sqrt(np.sum((points[0] - points[1]) ** 2, axis=1).mean()))

    def gap_mm(self, pose: np.ndarray, other: Bone, there: np.ndarray) -> float:
        """Return the distance of its surface at a pose (4, 4) from that of another bone at its own."""
        points = rigid.transform_points(pose, self.surface)
        return float(_distances(points, rigid.transform_points(there, other.surface)).min())

    def thirds(self) -> list[Bone]:
        """Return its lower, middle and upper third, by what they attenuate."""
        values = self.finest.values
        places = np.argwhere(values > 0)
        places = places[np.argsort(places[:, ::-1] @ self.finest.ct_from_index[2, :3])]
        below = np.cumsum(values[tuple(places.T)])
        thirds = []
        for part in np.split(places, np.searchsorted(below, below[-1] / 3 * np.array([1, 2]))):
            mask = np.zeros(values.shape, bool)
            mask[tuple(part.T)] = True
            thirds.append(Bone(self.name, self.finest, mask, replaced=0.0))
        return thirds

    @property
    def is_implant(self) -> bool:
        """Whether the bone is of a material, behind which X-rays saturate, and none of a patient."""
        return np.isfinite(self.saturates_at)

    @property
    def size_mm(self) -> float:
        """The middle one of the sides of its box."""
        return float(np.median(np.ptp(self.corners, axis=0)))

    @cached_property
    def _volumes(self) -> list[Volume]:
        return pyramid(self.finest, VOLUME_LEVELS)

    def projector(self, level: int) -> Projector:
        """Return the projector of one level of the CT's pyramid, 0 being its own resolution."""
        with self._making:
            if level not in self._projectors:
                self._projectors[level] = Projector(
                    self._volumes[level], self.cut, self.saturates_at
                )
            return self._projectors[level]

    def level(self, voxel_mm: float) -> int:
        """Return the level of the pyramid for a voxel size, as `PreparedCT.level`."""
        voxel_mm *= IMPLANT_VOXELS if self.is_implant else 1
        return level_of(self._volumes, voxel_mm)


def bones_of(structures: Structures, whole: PreparedCT) -> list[Bone]:
    """Return the structures of a CT as bones."""
    attenuation = whole.attenuation(0)
    found = []
    for n, (name, box) in enumerate(zip(structures.names, structures.boxes, strict=True), start=1):
        corner = [side.start for side in box]
        mask = structures.labels[box] == n
        found.append(Bone(name, attenuation, mask, corner, device=whole.device))
    return found


def bones_of_bodies(bodies: Sequence[Body], anatomies: Sequence[PreparedCT]) -> list[Bone]:
    """Return what has a pose of its own beside others: of each body its bones, or itself where it is one."""
    found = []
    for body, own in zip(bodies, anatomies, strict=True):
        found += [Bone.of_ct(body.name, own)] if body.name else bones_of(body.bones, own)
    return found


def ties_of(bones: Sequence[Bone]) -> list[Tie]:
    """Return the tree that connects all bones by the shortest distances between them (Prim, Bell Syst. Tech. J. 36, 1957)."""
    apart: dict[tuple[int, int], np.ndarray] = {}
    for a, b in combinations(range(len(bones)), 2):
        distances = _distances(bones[a].surface, bones[b].surface)
        apart[a, b], apart[b, a] = distances.min(axis=0), distances.min(axis=1)
    joined = [0]
    ties: list[Tie] = []
    while len(joined) < len(bones):
        pairs = [pair for pair in apart if pair[0] in joined and pair[1] not in joined]
        a, b = min(pairs, key=lambda pair: apart[pair].min())
        near = bones[b].surface[apart[a, b] < apart[a, b].min() + JOINT_MM]
        ties.append(Tie(a, b, near.mean(axis=0)))
        joined.append(b)
    return ties


def _distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the distances (N, M), mm, between points (N, 3) and (M, 3)."""
    middle = points.mean(axis=0)
    points = points - middle
    others = others - middle
    squares = np.sum(points**2, axis=1)[:, None] + np.sum(others**2, axis=1) - 2 * points @ others.T
    return np.sqrt(np.maximum(squares, 0))


class Shadow(NamedTuple):
    """A bone in one view.

    Attributes
    ----------
    part
        The part of the image that the bone changes.
    around
        A wider one, in which the bone is judged.
    image, jacobian
        The DRR of the bone in `part`, and its derivative by the pose.
    """

    part: tuple[slice, slice]
    around: tuple[slice, slice]
    image: np.ndarray
    jacobian: np.ndarray | None


Shadows = list[list[Shadow | None]]
"""By view, by bone; None where a view does not show it."""


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


@dataclass(eq=False)
class _Rest:
    """The rest of the CT in one view, rendered only where it is compared.

    Parameters
    ----------
    projector, camera, world_from_ct
        Of the whole CT.
    shadows
        Of the bones where that pose has them.
    """

    _projector: Projector
    _camera: Camera
    _pose: np.ndarray
    _shadows: Sequence[Shadow]

    def __post_init__(self) -> None:
        self.image = np.zeros(self._camera.size[::-1], np.float32)
        self._known = np.zeros(self.image.shape, bool)

    def fill(self, mask: np.ndarray) -> None:
        """Fill the image in at the pixels that are set and their neighbours."""
        if not (_grown(mask, 1) & ~self._known).any():
            return
        wanted = _grown(mask, 1 + REST_AHEAD) & ~self._known
        image = self._projector.render(self._camera, self._pose, wanted=wanted).image
        for shadow in self._shadows:
            image[shadow.part] -= shadow.image
        np.copyto(self.image, image, where=wanted)
        self._known |= wanted


def _grown(mask: np.ndarray, margin: int) -> np.ndarray:
    """Return bool (rows, columns), the pixels up to so many, in rows and columns, from one that is set."""
    near = np.empty(mask.shape, np.float32)
    similarity.box_sum(mask, margin, near)
    return near > 0.5


class BonesObjective:
    """Views, bones and the rest of their CT at one resolution.

    Parameters
    ----------
    whole
        The whole CT; None for bones with a CT each.
    views
        Pooled to that resolution.
    voxel_mm
        How large voxels may be.
    world_from_ct
        (4, 4), where the rest of the CT lies.
    moving_rest
        The rest has a pose, too, after those of the bones.
    """

    def __init__(
        self,
        whole: PreparedCT | None,
        bones: Sequence[Bone],
        views: Sequence[View],
        voxel_mm: float,
        settings: Settings,
        world_from_ct: np.ndarray,
        ties: Sequence[Tie],
        *,
        moving_rest: bool = False,
    ) -> None:
        self.views = views
        self.settings = settings
        self.voxel_mm = voxel_mm
        self._moving_rest = moving_rest
        self._take(bones, ties)
        self._selected: Sequence[_Selected] = ()
        self._rest: list[_Rest] | None = None
        self._whole: Projector | None = None
        if whole is not None:
            self._whole = whole.projector(whole.level(voxel_mm))
            if not moving_rest:
                of_views = self.shadows([world_from_ct] * len(bones), jacobian=False)
                self._rest = []
                for view, shadows in zip(views, of_views, strict=True):
                    held = self._held(shadows)
                    self._rest.append(_Rest(self._whole, view.camera, world_from_ct, held))
        self._look(world_from_ct)

    def _held(self, shadows: Sequence[Shadow | None]) -> list[Shadow]:
        """Return the shadows of what the whole CT holds, too, which implants are not."""
        both = zip(self.bones, shadows)
        return [shadow for bone, shadow in both if shadow and not bone.is_implant]

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
        if self._whole is not None:
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

    @property
    def radius(self) -> int:
        """The radius of the wider windows."""
        return max(self.settings.intensity_radius, self.settings.gradient_radius)

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
                shadows[:] = map(partial(_with_intrinsics, view), shadows, pivots)
        return found

    def _shadows(self, placed: np.ndarray, pivots: np.ndarray, jacobian: bool) -> Shadows:
        """Return the shadows of the bones at poses (n, 4, 4), with derivatives about pivots (n, 3)."""
        corners = rigid.transform_points(placed[:, None], self._corners)
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
        assert self._whole is not None
        drawn = self._whole.render(view.camera, world_from_ct, jacobian=True, pivot=pivot)
        jacobian = np.asarray(drawn.jacobian)
        for shadow in filter(None, held):
            drawn.image[shadow.part] -= shadow.image
            jacobian[(slice(None), *shadow.part)] -= shadow.jacobian
        everywhere = _part(np.zeros(2), np.array(view.camera.size))
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
        room = np.maximum(margins + self.radius + 1, 2 * self.radius + 2)
        low = np.floor(pixels.min(axis=1))
        high = np.ceil(pixels.max(axis=1)) + 1
        (lows, highs), (far_lows, far_highs) = (
            [
                np.clip(end, 0, view.camera.size).astype(int)
                for end in (low - wide[:, None], high + wide[:, None])
            ]
            for wide in (room, margins + 2 * self.radius + 2)
        )
        shadows: list[Shadow | None] = []
        for b, shown in enumerate(before & (highs - lows >= 3).all(axis=1)):
            part = _part(lows[b], highs[b])
            around = _part(far_lows[b], far_highs[b])
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
                ahead, behind = (
                    self._own_gradient(b, rigid.moved(poses[b], twist, pivots[b]), shadows)
                    for twist in (step, -step)
                )
                found[b, n] = (ahead - behind) / (2 * DIFFERENCE[n])

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
            box = _box_of(mask)
            parts = [None if each is None else np.ascontiguousarray(each[box]) for each in windows]
            fixed = np.ascontiguousarray(view.xray.line_integrals[box])
            within = np.ascontiguousarray(mask[box]), fixed, parts
            return _Selected(mask, windows, box, within), shown

        selected, shown = zip(*run_each(select, range(len(self.views))), strict=True)
        self._selected = selected
        for rest, each in zip(self._rest or (), selected, strict=self._rest is not None):
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
                valid[shadow.part] &= projector.seen(_part_of(self.views[v], shadow.part), pose)
        similarity.erode(valid, usable)
        return usable

    def whole_shadow(
        self, b: int, view: View, pose: np.ndarray, part: tuple[slice, slice], dark: int
    ) -> float:
        """Return how many pixels a bone's shadow has that has so many in its part of the image."""
        (columns, rows) = view.camera.size
        (down, across) = part
        if down.start and across.start and down.stop < rows and across.stop < columns:
            return dark
        pixels = view.camera.project(rigid.transform_points(pose, self.bones[b].surface))
        inside = ((pixels >= 0) & (pixels <= np.array(view.camera.size) - 1)).all(axis=1).mean()
        return float(dark / max(inside, 1e-3))

    def _image(self, v: int, shadows: Sequence[Shadow | None]) -> np.ndarray:
        image = (
            np.zeros(self._valid[v].shape, np.float32)
            if self._rest is None
            else self._rest[v].image.copy()
        )
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
        (rows, columns) = compared.parts[b]
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
            both = _overlap(compared.parts[b], compared.parts[c])
            if both is None:
                continue
            block = np.zeros((n, n))
            there = slice(n * c, n * c + n)
            (rows, columns) = both
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


def _with_intrinsics(view: View, shadow: Shadow | None, pivot: np.ndarray) -> Shadow | None:
    """Return a shadow whose derivatives are by the camera's intrinsics, too."""
    if shadow is None or shadow.jacobian is None:
        return shadow
    jacobian = np.empty((9, *shadow.image.shape), np.float32)
    jacobian[:6] = shadow.jacobian
    intrinsics_jacobian(_part_of(view, shadow.part), pivot, jacobian[:6], jacobian[6:])
    return shadow._replace(jacobian=jacobian)


def _part(low: np.ndarray, high: np.ndarray) -> tuple[slice, slice]:
    """Return the part of an image between two corners (2,), column and row."""
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _part_of(view: View, part: tuple[slice, slice]) -> Camera:
    """Return the camera of a part of a view."""
    rows, columns = part
    return view.camera.cropped(
        columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
    )


def _overlap(one: tuple[slice, slice], other: tuple[slice, slice]) -> tuple[slice, slice] | None:
    rows, columns = (
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )
    return (rows, columns) if rows.stop > rows.start and columns.stop > columns.start else None


def _box_of(mask: np.ndarray) -> tuple[slice, slice]:
    """Return the part of an image (rows, columns) that holds all pixels that are set, and their neighbours."""
    ends = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    if not len(ends[0]):
        return slice(0, 1), slice(0, 1)
    rows, columns = (slice(max(int(held[0]) - 1, 0), int(held[-1]) + 2) for held in ends)
    return rows, columns
