"""How a registration descends, and what it finds and tells while it runs.

The ranges and budgets of searches were chosen on simulated radiographs and on real ones of a wrist.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.xray import View
from ..known import without_none
from ..rendering.devices import AUTO, ComputeDevice, run_each
from .cameras import CameraCorrections
from .objective import Objective, PoseFit, TrialEvaluation
from .problem import Problem, State, descending, finished

if TYPE_CHECKING:
    from scipy.stats import qmc

#: Two poses are one answer if they lie nearer than SAME_MM, an angle counting at RADIUS_MM.
SAME_MM = 3.0
RADIUS_MM = 60.0
#: A pose lies at the rim of a range from this share of it on.
RIM = 0.95


@dataclass(frozen=True)
class Range:
    """All poses turned by up to rotation_deg about the centroid of the anatomy, whose centre moves by up to translation_mm.

    InputError for an empty range, or a turn by more than 180 degrees.
    """

    rotation_deg: float
    translation_mm: float

    def __post_init__(self) -> None:
        turn = self.rotation_deg
        shift = self.translation_mm
        if not (0 <= turn <= 180 and 0 <= shift < np.inf and turn + shift > 0):
            raise InputError(
                f"search: found a range of {turn:g} degrees and {shift:g} mm, expected 0 to 180 "
                "degrees and 0 mm or more, not both 0; widen it."
            )

    def poses(
        self, world_from_ct: np.ndarray, centroid: np.ndarray, points: np.ndarray
    ) -> np.ndarray:
        """Return the poses (N, 4, 4) at points (N, 6) of the unit cube, evenly spread in rotation and translation about a pose.

        Turns are uniform in the Haar measure: the angle has the density 1 - cos (Miles, Biometrika
        52, 1965).
        """
        grid = np.linspace(0, np.radians(self.rotation_deg), 1000)
        below = grid - np.sin(grid)
        angle = np.interp(points[:, 0] * below[-1], below, grid)
        distance = self.translation_mm * np.cbrt(points[:, 3])
        motion = rigid.turn_and_shift(
            angle[:, None] * _directions(points[:, 1:3]),
            distance[:, None] * _directions(points[:, 4:6]),
        )
        return rigid.about(rigid.transform_points(world_from_ct, centroid), motion) @ world_from_ct

    def holds(self, pose: np.ndarray, world_from_ct: np.ndarray, centroid: np.ndarray) -> bool:
        """Return whether a pose lies within the range about a pose, or beyond it by not more than half and 10 degrees or mm."""
        mm, turned = rigid.pose_difference(pose, world_from_ct, centroid)
        return mm <= 1.5 * self.translation_mm + 10 and turned <= 1.5 * self.rotation_deg + 10

    def rim(self, pose: np.ndarray, world_from_ct: np.ndarray, centroid: np.ndarray) -> str:
        """Return what puts a pose at the rim of the range about a pose, or beyond it, in words.

        "" where nothing does.
        """
        mm, turned = rigid.pose_difference(pose, world_from_ct, centroid)
        found = []
        if mm > RIM * self.translation_mm:
            found.append(f"{mm:.0f} mm from its middle, {self.translation_mm:g} mm were searched")
        if turned > RIM * self.rotation_deg:
            found.append(
                f"turned by {turned:.0f} degrees, {self.rotation_deg:g} degrees were searched"
            )
        return "; ".join(found)

    def shown(
        self, camera: Camera, world_from_ct: np.ndarray, centroid: np.ndarray, corners: np.ndarray
    ) -> bool:
        """Return whether a camera sees anything of a CT's box, with `corners` (8, 3) CT mm, at any of the poses about a pose."""
        poses = self.poses(world_from_ct, centroid, search_points(0).random(256))
        points = rigid.transform_points(poses[:, None], corners)
        pixels = np.where(camera.depth(points)[..., None] > 0, camera.project(points), np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a box behind the source
            low = np.nanmin(pixels, axis=1)
            high = np.nanmax(pixels, axis=1)
        return bool(((low < camera.size) & (high > 0)).all(axis=1).any())


def search_points(seed: int) -> qmc.Sobol:
    """Return the scrambled Sobol sequence of a seed, whose points fill the six-dimensional unit cube."""
    from scipy.stats import qmc  # slow to import, and refinements without a search need none

    return qmc.Sobol(6, seed=seed)


def _directions(points: np.ndarray) -> np.ndarray:
    """Return unit vectors (N, 3), evenly spread, at points (N, 2) of the unit square."""
    z = 2 * points[:, 0] - 1
    turn = 2 * np.pi * points[:, 1]
    ring = np.sqrt(1 - z * z)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), z], axis=1)


@dataclass(frozen=True)
class SearchBudget:
    """The poses that a search scores and refines.

    `poses` in the first round, `max_poses` in all, `refined` of them in each round.
    """

    poses: int
    max_poses: int
    refined: int


#: Searched about a given start.
LOCAL_RANGE = Range(15.0, 25.0)
LOCAL_BUDGET = SearchBudget(poses=128, max_poses=512, refined=2)
STRUCTURE_LOCAL_RANGE = Range(10.0, 12.0)
STRUCTURE_LOCAL_BUDGET = SearchBudget(poses=128, max_poses=128, refined=8)

#: Where the coarsest level's search does not converge, or its answer has a smaller NCC at the
#: second level, that level is searched, too: metal, or a CT that is cut off, mislead most where a
#: window holds much of the image.
SECOND_LEVEL_BUDGET = SearchBudget(poses=1024, max_poses=1024, refined=12)
MIN_CONVINCING_NCC = 0.75
#: A search has converged if so many descents led to its best answer, with so many times the
#: evidence of the next one.
CONVERGED_DESCENTS = 2
CONVERGED_RATIO = 1.25

#: A pose of a body is plausible if every X-ray has at least this NCC: 612 of 626 such registrations
#: were within 2 mm, the others had a wrong geometry or had moved between the X-rays; of 201 with a
#: smaller NCC 27 were.
MIN_PLAUSIBLE_NCC = 0.5
#: Searched about a given start where the second level's answer is not plausible.
FALLBACK_RANGE = Range(30.0, 50.0)

#: A start that is expected to be off by no more (root mean square, of points 60 mm from the
#: anatomy's centre) is refined from the second level on: there all starts up to twice as far off
#: arrived, and three of four up to three times as far.
CAPTURE_RADIUS_MM = 4.0
#: A start that is expected to be farther off gains nothing from a search about it.
MAX_EXPECTED_MM = 25.0
#: A search that goes along with starts, in case all of them are wrong.
SIDE_SEARCH_BUDGET = SearchBudget(poses=256, max_poses=256, refined=4)

#: Steps of such a size tell the curvature near a minimum, see `Problem`.
NEAR_MM = (0.05, 1.5)

#: Minima go on to the next level if the best has at most so many times their evidence, and at most
#: so many: first from the coarsest level, where a bone's minima are hard to distinguish, then from
#: each finer one.
KEEP_AFTER_COARSEST = (1.6, 12)
KEEP_AFTER_FINER = (1.3, 3)


def search_budget(reach: Range, *, structure: bool) -> SearchBudget:
    """Return the budget of a search through a range.

    More poses for a larger range, up to some seconds of work.
    """
    room = (reach.rotation_deg / 18) ** 3 * (reach.translation_mm / 55) ** 3
    most = 2 ** int(np.clip(np.ceil(np.log2(1024 * max(room, 1e-9))), 10, 15))
    return SearchBudget(512, most, 16) if structure else SearchBudget(256, most, 4)


def range_for_error(expected_mm: float, *, structure: bool) -> Range:
    """Return the search range about a pose with this expected error (root mean square, as `CAPTURE_RADIUS_MM`).

    Turn and shift have equal shares in it, and each goes to twice its own root mean square. A
    structure has like neighbours and minima all along its shaft: farther about it than usual, the
    wrong ones are more than the right one.
    """
    expected_mm = min(expected_mm, MAX_EXPECTED_MM)
    turn_deg = np.degrees(np.sqrt(3) * expected_mm / 60)
    shift_mm = np.sqrt(2) * expected_mm
    if structure:
        turn_deg = min(turn_deg, LOCAL_RANGE.rotation_deg)
        shift_mm = min(shift_mm, LOCAL_RANGE.translation_mm)
    return Range(float(turn_deg), float(shift_mm))


def local_budget(reach: Range, *, structure: bool) -> SearchBudget:
    """Return the budget of a local search about a start.

    Smaller than that of a search, as the start is likely near.
    """
    if structure:
        return STRUCTURE_LOCAL_BUDGET
    return replace(
        LOCAL_BUDGET,
        max_poses=max(LOCAL_BUDGET.max_poses, search_budget(reach, structure=False).max_poses // 2),
    )


@dataclass(frozen=True)
class Step:
    """One accepted step: the pose after it, its cost, how far a point at LEVER_MM from the pivot moved at most, each view's local NCC."""

    world_from_ct: np.ndarray
    cost: float
    moved_mm: float
    similarity: tuple[float, ...]


class DescentStart(NamedTuple):
    """The start of a descent: the pose (4, 4), the numbers of the starts it stands for, and the cameras' corrections; None for none."""

    world_from_ct: np.ndarray
    origins: frozenset[int] = frozenset()
    corrections: np.ndarray | None = None


@dataclass(frozen=True)
class Descent:
    """The end of a descent at one resolution, which is a start for the next one.

    Parameters
    ----------
    world_from_ct
        (4, 4) rigid, mm.
    corrections
        The camera corrections.
    fit
        The fit at the pose.
    steps
        The accepted steps.
    origins
        The numbers of the starts that led here.
    n_descents
        How many descents ended here, see `cluster_minima`.
    """

    world_from_ct: np.ndarray
    corrections: np.ndarray
    fit: PoseFit
    steps: list[Step]
    origins: frozenset[int] = frozenset()
    n_descents: int = 1


def _descending(
    problem: Problem,
    start: DescentStart | Descent,
    corrections: np.ndarray,
    iterations: int,
    tolerance_mm: float,
    on_step: Callable[[Step], object],
) -> Generator[State, TrialEvaluation, Descent]:
    """Descend from the pose of a start and from corrections, see `problem.descending`."""
    steps: list[Step] = []

    def keep(state: State, fit: PoseFit, size_mm: float) -> None:
        steps.append(Step(state.poses[0], fit.cost, size_mm, fit.similarity))
        on_step(steps[-1])

    state = State(start.world_from_ct[None], corrections)
    end, fit = yield from descending(problem, state, iterations, tolerance_mm, keep)
    return Descent(end.poses[0], end.corrections, fit, steps, start.origins)


def minimise(
    objective: Objective,
    world_from_ct: np.ndarray,
    iterations: int,
    tolerance_mm: float,
    unknowns: CameraCorrections | None = None,
    *,
    second_order: bool = False,
) -> Descent:
    """Run one descent about the objective's own pivot, see `descend`."""
    start = DescentStart(world_from_ct)
    return descend(
        objective, [start], iterations, tolerance_mm, unknowns=unknowns, second_order=second_order
    )[0]


def descend(
    objective: Objective,
    starts: Sequence[DescentStart | Descent],
    iterations: int,
    tolerance_mm: float,
    centroid: np.ndarray | None = None,
    unknowns: CameraCorrections | None = None,
    on_step: Callable[[Step], object] = lambda step: None,
    *,
    second_order: bool = False,
) -> list[Descent]:
    """Run a descent from each start, side by side.

    A thread for each, or step by step in one batch (`evaluate_together`).

    Parameters
    ----------
    iterations, tolerance_mm
        The most steps, and the size of the last one.
    centroid
        (3,) CT mm, about which each pose turns, or one for each start (N, 3); None: about the
        objective's pivot, for one start.
    unknowns
        The free camera corrections; by default the cameras are exact.
    on_step
        Called after each step of a single descent; not called for several, which run in other
        threads.
    second_order
        Steps as long as the curvature that is there has them, see `Problem`.
    """
    objectives = [objective]
    if centroid is not None:
        objectives = []  # each remembers which pixels count: each descent needs its own
        for start, own in zip(starts, np.broadcast_to(centroid, (len(starts), 3)), strict=True):
            pivot = rigid.transform_points(start.world_from_ct, own)
            objectives.append(objective.with_pivot(pivot))
    unknowns = unknowns or CameraCorrections.exact(objective.views)
    report_step = on_step if len(starts) == 1 else lambda step: None
    near_mm = NEAR_MM if second_order else None
    problems = [Problem(own, unknowns, near_mm=near_mm) for own in objectives]
    descents = []
    for problem, start in zip(problems, starts, strict=True):
        corrections = unknowns.none if start.corrections is None else start.corrections
        way = (iterations, tolerance_mm, report_step)
        descents.append(_descending(problem, start, corrections, *way))
    ends: list = [None] * len(descents)
    every = range(len(descents))
    together = objective.evaluate_together

    def run(number: int) -> Any:
        return finished(problems[number], descents[number])

    def advance(number: int, evaluation: Any) -> State | None:
        try:
            return descents[number].send(evaluation)
        except StopIteration as end:
            ends[number] = end.value
            return None

    if together is None:
        # A single one in this thread, where `on_step` may raise.
        return run_each(run, every) if len(every) > 1 else list(map(run, every))
    following = {number: advance(number, None) for number in every}
    while states := without_none(following):
        points = [problems[number].point(state) for number, state in states.items()]
        evaluations = together([objectives[number] for number in states], points)
        following = {
            number: advance(number, one) for number, one in zip(states, evaluations, strict=True)
        }
    return ends


def distance(pose: np.ndarray, other: np.ndarray, centroid: np.ndarray) -> float:
    """Return the distance of two poses of the CT.

    Mm between the centres, and an angle counting at RADIUS_MM.
    """
    to_centroid = rigid.translation(centroid)
    return float(rigid.geodesic_distance(pose @ to_centroid, other @ to_centroid, RADIUS_MM))


def cluster_minima(
    minima: Sequence[Descent], descents: Sequence[Descent], centroid: np.ndarray
) -> list[Descent]:
    """Add descents to distinct minima: of those within SAME_MM of each other the best is kept.

    Most evidence first.
    """
    minima = list(minima)
    for descent in descents:
        pose = descent.world_from_ct
        apart = (distance(each.world_from_ct, pose, centroid) for each in minima)
        same = next((n for n, mm in enumerate(apart) if mm < SAME_MM), None)
        if same is None:
            minima.append(replace(descent, n_descents=1))
        else:
            old = minima[same]
            best = max(old, descent, key=lambda each: each.fit.evidence)
            minima[same] = replace(
                best, origins=old.origins | descent.origins, n_descents=old.n_descents + 1
            )
    return sorted(minima, key=lambda minimum: -minimum.fit.evidence)


def is_clear(minima: Sequence[Descent]) -> bool:
    """Return whether the best minimum was found again, and no other is nearly as good."""
    if not minima or minima[0].n_descents < CONVERGED_DESCENTS:
        return False
    return len(minima) == 1 or minima[0].fit.evidence > CONVERGED_RATIO * minima[1].fit.evidence


def is_plausible(minima: list[Descent], least_ncc: float = MIN_CONVINCING_NCC) -> bool:
    """Return whether the best minimum of the second level or a finer one looks like every X-ray."""
    return bool(minima) and min(minima[0].fit.similarity) > least_ncc


def prune(
    minima: list[Descent], limit: float, most: int
) -> tuple[list[Descent], list[tuple[float, np.ndarray]]]:
    """Keep the best minimum and those with at least 1 / `limit` of its evidence, `most` at the most.

    Returns
    -------
    kept
        The minima.
    pruned
        The evidence ratio and the pose of each other one.
    """
    ratios = [minima[0].fit.evidence / max(minimum.fit.evidence, 1e-9) for minimum in minima]
    kept = [n == 0 or (ratio <= limit and n < most) for n, ratio in enumerate(ratios)]
    pruned = [(ratios[n], each.world_from_ct) for n, each in enumerate(minima) if not kept[n]]
    return [*compress(minima, kept)], pruned


@dataclass(frozen=True)
class Progress:
    """The progress of a registration: the fraction done, the stage, and the current pose."""

    fraction: float
    stage: str
    world_from_ct: np.ndarray
    cost: float

    def __str__(self) -> str:
        return f"{100 * self.fraction:3.0f} %  {self.stage}, cost {self.cost:.4f}"


#: Is told where a registration is; `Cancelled` where it returns False.
Report = Callable[[Progress], object]


@dataclass(frozen=True)
class LevelTrace:
    """The steps that were accepted at one resolution."""

    name: str
    steps: list[Step]


@dataclass(frozen=True)
class AlternativeSolution:
    """The best of the other answers.

    Attributes
    ----------
    evidence_ratio
        How many times its evidence (`PoseFit.evidence`) the answer has, at the finest resolution
        that compared both: near 1, the two cannot be distinguished.
    distance_mm, rotation_deg
        From the answer, between the centres of the anatomy and about it.
    """

    world_from_ct: np.ndarray
    evidence_ratio: float
    distance_mm: float
    rotation_deg: float


@dataclass(frozen=True)
class Refinement:
    """The registered pose, the fit there, and how it was reached.

    Parameters
    ----------
    candidates
        The number of scored poses.
    refined
        The number of them refined at the coarsest level.
    alternative
        The next different answer, None where all descents led to one.
    search_seconds
        Seconds spent at the coarsest level, looking for candidates.
    selected_start
        The index of the start that led here, the first of several, see `variants.refine_from`; None where none did.
    views
        With their cameras as they were corrected.
    corrections
        Of the cameras, see `CameraCorrections`.
    world_from_background
        (4, 4) where the rest of the CT lies before which a structure was registered; None without it.
    rim
        What puts the pose at the rim of what was searched, in words; "" where nothing does.
    """

    world_from_ct: np.ndarray
    fit: PoseFit = field(repr=False)
    levels: list[LevelTrace] = field(repr=False)
    views: list[View]
    corrections: np.ndarray
    candidates: int = 1
    refined: int = 1
    alternative: AlternativeSolution | None = None
    search_seconds: float = 0.0
    selected_start: int | None = None
    world_from_background: np.ndarray | None = None
    rim: str = ""


@dataclass(frozen=True)
class RefinementMethod:
    """A refinement by its name.

    Attributes
    ----------
    run
        Takes what `pipeline.refine` takes, and gives a `Refinement`; the published ones take cameras as exact, and warn.
    torch_device
        Where a published one runs, by torch; "" for the joint one.
    compute_device
        Where the joint one works.
    """

    name: str
    run: Callable[..., Refinement]
    torch_device: str = ""
    compute_device: ComputeDevice = field(default_factory=ComputeDevice)

    @property
    def trains_on(self) -> str:
        """The device that trains its regressor, see `training.train`: the same one, where that can train networks."""
        if self.torch_device.startswith("cuda"):
            return self.torch_device
        device = self.compute_device
        return ComputeDevice(AUTO).name if device.requested == AUTO else device.name

    def missing_pose(self) -> InputError:
        """Return that a published refinement needs a pose to start from."""
        return InputError(
            f'refinement "{self.name}": found a search as its start, expected a pose; use the '
            'refinement "joint", or another start.'
        )
