"""Search a range of poses at one coarse resolution for its distinct minima.

Rounds of quasi-random poses (Sobol, USSR Comput. Math. Math. Phys. 7, 1967) are scored, one kernel for a whole pose, and the most promising
of them refined, until one minimum is found again and again and no other is nearly as good, or the budget is spent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numba as nb
import numpy as np

from ..geometry import rigid
from ..imaging.view import View
from ..rendering import cpu, threads
from ..rendering.drr import Projector
from . import similarity
from .cameras import CameraCorrections
from .objective import MIN_PIXELS, MIN_SHARE, Objective, PoseFit, Settings, silhouette_margin
from .optimizer import Step, levenberg_marquardt, run_descents
from .schedule import Range, ResolutionLevel, SearchBudget

#: Two poses are one answer if they lie nearer than this; starts of descents lie farther apart (mm, an angle counting at RADIUS_MM).
SAME_MM, APART_MM, RADIUS_MM = 3.0, 8.0, 60.0
#: An answer is sure if so many descents led to it, and has so many times the evidence of the next one.
CONVERGED_DESCENTS, CONVERGED_RATIO = 2, 1.25


@dataclass(frozen=True)
class Descent:
    """One descent at one resolution: where it ended, with which corrections of the cameras, the fit there, and the accepted steps.

    origins: the numbers of the starts that led here.
    """

    world_from_ct: np.ndarray
    corrections: np.ndarray
    fit: PoseFit
    steps: list[Step]
    origins: frozenset[int] = frozenset()


@dataclass
class LocalMinimum:
    """A distinct minimum: its best descent, and how many descents ended there."""

    descent: Descent
    n_descents: int = 1


@dataclass(frozen=True)
class SearchResult:
    """What a search found: the distinct minima, most evidence first, how many poses were scored, and how many refined.

    converged: whether several descents led to the best answer, and no other is nearly as good.
    """

    minima: list[LocalMinimum]
    scored: int
    refined: int
    converged: bool


def search(
    objective: Objective,
    scorer: Scorer,
    level: ResolutionLevel,
    centroid: np.ndarray,
    world_from_ct: np.ndarray,
    reach: Range,
    budget: SearchBudget,
    *,
    with_start: bool,
    seed: int,
    report: Callable[[float, np.ndarray, float], None],
) -> SearchResult:
    """Search `reach` about a pose; each round scores as many poses as all before it.

    Parameters
    ----------
    centroid : (3,) CT mm.
    world_from_ct : (4, 4), the middle of the range.
    with_start : whether that pose is among the first to be refined.
    seed : of the quasi-random poses.
    report : called after each round with the share of the budget that is spent, and the best pose so far with its cost.
    """
    from scipy.stats import qmc  # slow to import, and a registration from a given start needs none

    sequence = qmc.Sobol(6, seed=seed)
    poses, scores = np.empty((0, 4, 4)), np.empty(0)
    started: list[np.ndarray] = []
    minima: list[LocalMinimum] = []
    while len(poses) < budget.max_poses:
        fresh = reach.poses(world_from_ct, centroid, sequence.random(max(len(poses), budget.poses)))
        poses, scores = np.concatenate([poses, fresh]), np.concatenate([scores, scorer.scores(fresh).mean(axis=0)])
        first = [world_from_ct] if with_start and not started else []
        chosen = first + _promising(poses, scores, started + first, centroid, budget.refined - len(first))
        descents = descend(objective, level, chosen, centroid)
        minima = cluster_minima(
            minima,
            [descent for descent in descents if reach.holds(descent.world_from_ct, world_from_ct, centroid)],
            centroid,
        )
        started += chosen
        if minima:
            report(len(poses) / budget.max_poses, minima[0].descent.world_from_ct, minima[0].descent.fit.cost)
        if _is_converged(minima):
            break
    return SearchResult(minima, len(poses), len(started), _is_converged(minima))


def distance(pose: np.ndarray, other: np.ndarray, centroid: np.ndarray) -> float:
    """How far apart two poses of the CT are: mm between the centres, and an angle counting at RADIUS_MM."""
    to_centroid = rigid.from_rotation_translation(np.eye(3), centroid)
    return float(rigid.geodesic_distance(pose @ to_centroid, other @ to_centroid, RADIUS_MM))


def _promising(
    poses: np.ndarray, scores: np.ndarray, started: list[np.ndarray], centroid: np.ndarray, count: int
) -> list[np.ndarray]:
    """The `count` best poses that lie apart from each other and from those that were refined already."""
    chosen: list[np.ndarray] = []
    for index in np.argsort(-scores, kind="stable"):
        if len(chosen) == count or scores[index] <= 0:
            break
        if all(distance(poses[index], other, centroid) > APART_MM for other in [*started, *chosen]):
            chosen.append(poses[index])
    return chosen


def descend(
    objective: Objective,
    level: ResolutionLevel,
    poses: Sequence[np.ndarray],
    centroid: np.ndarray,
    on_step: Callable[[Step], None] | None = None,
    unknowns: CameraCorrections | None = None,
    corrections: list[np.ndarray] | None = None,
    origins: list[frozenset[int]] | None = None,
) -> list[Descent]:
    """Run a descent from each pose, side by side; those that show too little of the CT are left out.

    Parameters
    ----------
    poses : (4, 4) each.
    centroid : (3,) CT mm, about which the pose turns.
    on_step : called after each step of a single descent; not called for several, which run in other threads.
    unknowns, corrections : what is not known of the cameras, and the corrections with which each descent begins; exact by default.
    origins : of each pose, see `Descent`.
    """
    steps: list[list[Step]] = [[] for _ in poses]

    def taken(number: int, step: Step) -> None:
        steps[number].append(step)
        if on_step and len(poses) == 1:
            on_step(step)

    # An objective remembers which pixels count: each descent needs its own.
    objectives = [objective.with_pivot(rigid.transform_points(pose, centroid)) for pose in poses]
    ends = run_descents(
        objectives,
        [
            levenberg_marquardt(
                own,
                pose,
                iterations=level.iterations,
                tolerance_mm=level.tolerance_mm,
                on_step=partial(taken, number),
                unknowns=unknowns,
                corrections=corrections and corrections[number],
            )
            for number, (own, pose) in enumerate(zip(objectives, poses, strict=True))
        ],
    )
    descents = [
        Descent(*end, steps[number], origins[number] if origins else frozenset()) for number, end in enumerate(ends)
    ]
    return [descent for descent in descents if np.isfinite(descent.fit.cost)]


def cluster_minima(minima: list[LocalMinimum], descents: list[Descent], centroid: np.ndarray) -> list[LocalMinimum]:
    """Add descents to minima: those within SAME_MM of each other are one minimum. The best comes first."""
    minima = list(minima)
    for descent in descents:
        same = next(
            (a for a in minima if distance(a.descent.world_from_ct, descent.world_from_ct, centroid) < SAME_MM), None
        )
        if same is None:
            minima.append(LocalMinimum(descent))
        else:
            same.n_descents += 1
            same.descent = replace(
                max(same.descent, descent, key=_evidence), origins=same.descent.origins | descent.origins
            )
    return sorted(minima, key=lambda minimum: -_evidence(minimum.descent))


def _evidence(descent: Descent) -> float:
    return descent.fit.evidence


def _is_converged(minima: list[LocalMinimum]) -> bool:
    if not minima or minima[0].n_descents < CONVERGED_DESCENTS:
        return False
    return len(minima) == 1 or _evidence(minima[0].descent) > CONVERGED_RATIO * _evidence(minima[1].descent)


#: Poses that a thread takes at a time.
_BLOCK = 32


class Scorer:
    """Views and a volume at one resolution.

    A pose's score in a view is the local NCC of X-ray and DRR, of their gradients, or of both, as `settings` says;
    1 is perfect. Of a body it is multiplied by the square root of the share of the X-ray that can be compared at that pose, or poses
    that hide most of the CT would win; of a structure only the surroundings of its silhouette count.

    centroid: (3,) CT mm, of the anatomy, at whose depth `settings.silhouette_mm` is measured.   rest: as in `Objective`.
    """

    def __init__(
        self,
        projector: Projector,
        views: list[View],
        settings: Settings,
        centroid: np.ndarray,
        rest: Sequence[np.ndarray] | None = None,
    ) -> None:
        self._projector = projector
        self._settings = settings
        self._views = views
        self._centroid = centroid
        self._rest = rest or [np.empty((0, 0), np.float32)] * len(views)

    def scores(self, poses: np.ndarray) -> np.ndarray:
        """(views, N) the scores of the poses world_from_ct (N, 4, 4); 0 where a view shows nothing of the CT."""
        found = np.empty((len(self._views), len(poses)), np.float32)
        blocks = [slice(first, first + _BLOCK) for first in range(0, len(poses), _BLOCK)]
        threads.run(
            [
                partial(self._score, view, rest, poses[block], out[block])
                for view, rest, out in zip(self._views, self._rest, found, strict=True)
                for block in blocks
            ]
        )
        return found

    def _score(self, view: View, rest: np.ndarray, poses: np.ndarray, out: np.ndarray) -> None:
        projector, settings = self._projector, self._settings
        rays = projector.grid.rays(view.camera, poses)
        margins = np.zeros(len(poses), int)
        if settings.silhouette_mm is not None:
            margins = silhouette_margin(settings, view.camera, rigid.transform_points(poses, self._centroid))
        cut = projector.cut_across(view.camera, poses)
        score_poses(
            projector.values,
            projector.shape,
            projector.grid.stored,
            cut,
            projector.end_slices,
            rays.source,
            rays.directions,
            rays.world_from_index,
            rays.depth_mm,
            view.xray.line_integrals,
            view.xray.valid.view(np.uint8),
            rest,
            settings.intensity_radius,
            settings.intensity_floor,
            settings.gradient_radius,
            settings.gradient_floor,
            margins,
            out,
        )


@nb.njit(nogil=True, cache=True)
def score_poses(
    values,
    shape,
    stored,
    cut,
    end_slices,
    sources,
    directions,
    world_from_index,
    depths,
    fixed,
    valid,
    rest,
    intensity_radius,
    intensity_floor,
    gradient_radius,
    gradient_floor,
    margins,
    out,
):
    """Fill `out` (N,) with the scores of N poses in one view.

    shape, stored: of the volume, and as it is stored, see `Grid`.
    cut (N, 6), sources (N, 3), world_from_index (N, 3, 3), depths (N,), directions (N, 3, 3): for each pose what
    `cpu.project_rows` and `cpu.mark_unseen` need.   fixed, valid: (rows, columns), the X-ray and its valid pixels.
    rest: (rows, columns), added to the DRR, or (0, 0) for none.
    margins: (N,) pixels about the silhouette within which to compare; 0 for the whole image.
    """
    rows, columns = fixed.shape
    image = np.empty((rows, columns), np.float32)
    mask = np.empty((rows, columns), np.float32)
    nothing = np.empty((6, 0, 0), np.float32)
    usable = 0
    for r in range(rows):
        for c in range(columns):
            usable += valid[r, c]
    for n in range(len(out)):
        source = sources[n]
        seen = valid.copy()
        if cut[n].any():
            cpu.mark_unseen(
                cut[n], end_slices, shape, source, directions[n], world_from_index[n], depths[n], (0, rows), seen
            )
        cpu.project_rows(
            values, stored, source, directions[n], world_from_index[n], source, (0, rows), seen, image, nothing
        )
        similarity.erode(seen, mask)
        share = mask.sum() / max(usable, 1)
        if margins[n]:
            share = 1.0
            similarity.keep_near(image, margins[n], mask)
        out[n] = 0.0
        if share < MIN_SHARE or mask.sum() < MIN_PIXELS:
            continue
        if rest.size:
            image += rest
        products = np.zeros(3)
        if intensity_radius:
            weight = similarity.window_weight(mask, intensity_radius)
            products += similarity.intensity_residual(
                image, nothing, fixed, mask, weight, intensity_radius, intensity_floor
            )[2]
        if gradient_radius:
            weight = similarity.window_weight(mask, gradient_radius)
            products += similarity.gradient_residual(
                image, nothing, fixed, mask, weight, gradient_radius, gradient_floor
            )[2]
        out[n] = products[0] / math.sqrt(products[1] * products[2] + 1e-12) * math.sqrt(share)
