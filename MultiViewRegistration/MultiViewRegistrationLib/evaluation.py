"""Registering many cases from many starts: how often it succeeds, how exact it is, how long it takes.

Cases with truth follow van de Kraats et al. (IEEE TMI 2005): starts of every size up to a reach. Cases without truth, real
radiographs, are asked whether all starts lead to one pose, and, where one camera took several images of the structure, whether
the poses predict the motion that is tracked in the images.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from time import perf_counter

import numpy as np

from .assessment import metrics, protocol
from .assessment.miss_picture import miss_picture
from .assessment.motion import Motion, check_motion
from .errors import InputError
from .imaging.view import View
from .io.case import Case
from .io.case_file import CaseFile
from .refinements import Refiner, refiner
from .registration import kernels
from .registration.apart import register_views
from .registration.pipeline import Anatomy, Refinement, refine_anywhere
from .registration.ranges import Range

INTERVAL_MM = 2.0
#: Starts of a case without truth agree if they end this near their consensus.
WITHIN_DEG, WITHIN_MM = 1.5, 0.3
#: Misses beyond this many are told without a picture.
MOST_PICTURES = 20


@dataclass(frozen=True)
class Run:
    """One registration of a case with truth; errors and seconds are None where it gave no answer.

    candidates: how many poses were scored.   gap: see `Rival`, None without one.   picture: name in `Evaluation.pictures`, of a miss.
    """

    start_mtre_mm: float
    errors: metrics.Errors | None
    seconds: float | None
    candidates: int = 0
    gap: float | None = None
    picture: str | None = None

    @property
    def mtre_mm(self) -> float:
        """The final mTRE, NaN without an answer."""
        return self.errors.mtre_mm if self.errors else float("nan")


@dataclass(frozen=True)
class Agreement:
    """Registrations of a case without truth: each start's rotation and distance from their consensus."""

    rotation_deg: list[float]
    distance_mm: list[float]
    seconds: list[float]

    @property
    def agreeing(self) -> np.ndarray:
        """(n,) bool, the starts that ended near the consensus."""
        return (np.array(self.rotation_deg) <= WITHIN_DEG) & (np.array(self.distance_mm) <= WITHIN_MM)


@dataclass(frozen=True)
class CaseOutcome:
    """Either `runs` (with truth) or `agreement` (without)."""

    name: str
    views: int
    runs: list[Run]
    agreement: Agreement | None

    @property
    def group(self) -> str:
        """The name without a running number at its end."""
        return re.sub(r"[-_ ]*\d+$", "", self.name) or self.name


@dataclass(frozen=True)
class MotionOutcome:
    """Tracked against predicted motion between two cases of one structure, in one view."""

    first: str
    second: str
    view: str
    motion: Motion


@dataclass(frozen=True)
class Evaluation:
    """All that was measured, and how.

    refinement: by its name, on torch's device where it ran by torch.   search: the range, if the start was searched for.
    pictures: JPEG files of misses, by name.
    """

    cases: list[CaseOutcome]
    motions: list[MotionOutcome]
    starts: int
    reach_mm: float
    off: tuple[float, float]
    seed: int
    refinement: str = "joint"
    torch_device: str | None = None
    search: Range | None = None
    pictures: dict[str, bytes] = field(default_factory=dict)

    def to_json(self) -> dict:
        """Everything but the pictures, as plain data."""
        return asdict(replace(self, pictures={}))


def evaluate(
    paths: Sequence[Path], *, starts: int, reach_mm: float, off: tuple[float, float], seed: int,
    progress: Callable[[float, str], object] = lambda fraction, stage: None, refinement: str = "joint", device: str = "cpu",
    search: Range | None = None,
) -> Evaluation:
    """Register every case from `starts` starts.

    reach_mm: with truth, start mTREs are uniform from 0 to this.
    off: without truth, (degrees, mm) by which starts differ from the pose to which the case's own start leads.
    refinement, device: see `refinements.refiner`.
    search: search this range instead of starting from a pose. With truth, the centres of the ranges are spread evenly about it.

    Raises InputError for a bad case: for what its case.json says before any registration, for its images when their turn comes.
    """
    if starts < 1 or reach_mm <= 0 or min(off) < 0:
        raise InputError("--starts, --reach, --off: found a number that is too small, expected one start or more and a reach above 0.")
    by = refiner(refinement, device)
    method = _Method(by, search, starts, reach_mm, off, seed)
    for path in paths:
        file = CaseFile.read(path)
        if file.world_from_ct is None and (file.truth_world_from_ct is None or file.targets is None):
            raise InputError(f"{path}: found neither truth with targets nor a start pose, expected one of them; add it to the case.")
    kernels.prepare()
    outcomes: list[CaseOutcome] = []
    pictures: dict[str, bytes] = {}
    unknown: list[tuple[Case, np.ndarray]] = []
    case = anatomy = None
    for number, path in enumerate(paths):
        last, case = case, Case.load(path, case)
        if last is None or last.anatomy_key != case.anatomy_key:
            anatomy = Anatomy(case.ct)

        def tell(fraction: float, done: int = number, name: str = case.name) -> None:
            progress((done + fraction) / len(paths), name)

        if case.truth_world_from_ct is not None and case.targets is not None:
            outcomes.append(_with_truth(case, anatomy, method, pictures, tell))
        else:
            outcome, pose = _without_truth(case, anatomy, method, tell)
            outcomes.append(outcome)
            unknown.append((case, pose))
    return Evaluation(outcomes, _motions(unknown), starts, reach_mm, off, seed, by.name, by.torch_device, search, pictures)


@dataclass(frozen=True)
class _Method:
    """How each registration starts and is done."""

    by: Refiner
    search: Range | None
    starts: int
    reach_mm: float
    off: tuple[float, float]
    seed: int

    def starts_about_truth(self, case: Case, anatomy: Anatomy) -> np.ndarray:
        """(starts, 4, 4): with an mTRE uniform up to the reach, or from which a search finds the truth within its range."""
        truth = case.truth_world_from_ct
        if self.search:
            return self.search.poses(truth, anatomy.centroid, np.random.default_rng(self.seed).random((self.starts, 6)))
        intervals = max(1, round(self.reach_mm / INTERVAL_MM))
        edges = np.linspace(0, self.reach_mm, intervals + 1)
        poses = protocol.starting_poses(truth, case.targets, edges, -(-self.starts // intervals), self.seed)
        return poses.world_from_ct[np.unique(np.linspace(len(poses.mtre_mm) - 1, 0, self.starts).round().astype(int))]

    def run(self, case: Case, anatomy: Anatomy, start: np.ndarray, number: int = 0) -> tuple[Refinement, float]:
        """The registration from a start, and the seconds it took."""
        shared = case.shared_unknowns

        def find(views: list[View], tell: Callable) -> Refinement:
            if self.search:
                return refine_anywhere(anatomy, views, start, self.search, tell, shared, seed=self.seed + number)
            return self.by.run(anatomy, views, start, tell, shared)

        anatomy.prepare(case.views, start)
        began = perf_counter()
        refinement = register_views(case.views, find, shared=shared)
        return refinement, perf_counter() - began


def _with_truth(
    case: Case, anatomy: Anatomy, method: _Method, pictures: dict[str, bytes], tell: Callable[[float], object]
) -> CaseOutcome:
    truth, pixels = case.truth_world_from_ct, [view.xray.pixel_mm for view in case.views]
    runs = []
    for start in method.starts_about_truth(case, anatomy):
        run = Run(metrics.mtre(start, truth, case.targets), None, None)
        try:
            found, seconds = method.run(case, anatomy, start, len(runs))
        except InputError:  # this start shows too little of the CT
            pass
        else:
            cameras = [view.camera for view in found.views]
            errors = metrics.errors(cameras, found.world_from_ct, truth, case.targets, pixels)
            run = replace(run, errors=errors, seconds=seconds, candidates=found.candidates, gap=found.rival and found.rival.gap)
            if not run.mtre_mm < protocol.SUCCESS_MM and len(pictures) < MOST_PICTURES:
                run = replace(run, picture=f"{case.name}-{method.by.name}-from-{run.start_mtre_mm:.1f}mm.jpg")
                pictures[run.picture] = _picture(found.views, anatomy, found.world_from_ct, truth)
        runs.append(run)
        tell(len(runs) / method.starts)
    return CaseOutcome(case.name, len(case.views), runs, None)


def _picture(views: list[View], anatomy: Anatomy, found: np.ndarray, truth: np.ndarray) -> bytes:
    drrs = [[anatomy.drr(view.camera, pose) for view in views] for pose in (found, truth)]
    return miss_picture([view.xray for view in views], *drrs)


def _without_truth(
    case: Case, anatomy: Anatomy, method: _Method, tell: Callable[[float], object]
) -> tuple[CaseOutcome, np.ndarray]:
    reference = replace(method, search=None).run(case, anatomy, case.world_from_ct)[0].world_from_ct
    found, seconds = [], []
    for start in protocol.perturbed(reference, anatomy.centroid, *method.off, method.starts, method.seed):
        refinement, spent = method.run(case, anatomy, start, len(found))
        found.append(refinement.world_from_ct)
        seconds.append(spent)
        tell(len(found) / method.starts)
    agreed = protocol.consensus(np.stack(found), anatomy.centroid, WITHIN_DEG, WITHIN_MM)
    agreement = Agreement(agreed.rotation_deg.tolist(), agreed.distance_mm.tolist(), seconds)
    return CaseOutcome(case.name, len(case.views), [], agreement), agreed.world_from_ct


def _motions(registered: list[tuple[Case, np.ndarray]]) -> list[MotionOutcome]:
    """The motion check for every two cases of one structure and each camera that they share."""
    outcomes = []
    for (first, pose), (second, other_pose) in combinations(registered, 2):
        if first.anatomy_key != second.anatomy_key:
            continue
        for view, other in zip(first.views, second.views, strict=False):
            if np.allclose(view.camera.projection_matrix, other.camera.projection_matrix):
                motion = check_motion(first.ct, view, other, pose, other_pose)
                if motion.patches:
                    outcomes.append(MotionOutcome(first.name, second.name, view.name, motion))
    return outcomes
