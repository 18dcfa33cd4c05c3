"""Track a structure through the frames of a sequence.

Each frame starts at the pose that the frames before it predict, so near that neither a search nor
the coarsest resolution would help. The result must be as similar to the X-rays as in the frames
before; otherwise the structure is searched for about the last pose. A lost or rejected frame starts
nothing: the next one starts from the last kept frame.

What a mask of a CT holds is tracked as a bone of that CT is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..assessment import verdict
from ..assessment.bodies import BodyResult
from ..assessment.error_by_cause import PoseError
from ..assessment.joint_motion import NeighbourMotion
from ..assessment.records import FAILURE, UNUSABLE, Assessment, Finding
from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.body import Body
from ..imaging.xray import View
from ..io.result_json import AssessedPose
from ..registration.bone import placed
from ..registration.cameras import LEVER_MM
from ..registration.objective import EvaluationPoint, Objective, PoseFit
from ..registration.optimizer import MAX_EXPECTED_MM, Range, Refinement, minimise
from ..registration.prepared_ct import PreparedCT
from ..registration.variants import Start, refine_from
from . import Pace

#: A view's local NCC may drop this much from the frames before, as the tissue over a moving bone
#: changes. Of 96 descents from up to 18 mm and 18 degrees off, in X-rays of a pelvis and a real
#: wrist, the 27 correct ones dropped by at most 0.004, the 69 wrong ones by 0.19.
MAX_SIMILARITY_DROP = 0.1
#: Frames whose median is the usual similarity.
MEDIAN_FRAMES = 15
#: Coarser levels leave smaller steps to the finest one; not for a structure, whose last level
#: captures little.
COARSE_TOLERANCE_MM = 0.5
#: Frames after which an earlier motion no longer predicts the next one.
MAX_MOTION_AGE = 3
FOLLOWED = Finding("followed")
#: Where no X-ray shows a CT (4, 4).
NOWHERE = rigid.translation([1e9] * 3)
TRACKED_ONLY = Assessment((FOLLOWED,))


@dataclass(frozen=True, eq=False)
class Tracked(AssessedPose):
    """The result of a frame.

    Parameters
    ----------
    number
        Of the frame, from 0.
    how
        "registered", "followed", "found again", "lost" or "not shown".
    world_from_ct
        (4, 4); None where nothing was found; the best pose of a rejected frame.
    similarity
        Local NCC of each view.
    cameras
        Corrected, of each view.
    seconds
        From loaded images to the verdict.
    background
        The result of the whole CT, for a structure in front of it.
    bones
        The results of the case's structures, each at its own pose, by name.
    motions
        Of those that are neighbours and were both found, against each other since the CT.
    pose_error
        The error of the pose relative to the X-rays, by its causes; None where it is not known.
    assessment
        Assessment of the pose; its evidence, which is large, is dropped once the frame is done.
    body
        The registered bone; dropped with the evidence.
    """

    number: int
    how: str
    world_from_ct: np.ndarray | None
    similarity: tuple[float, ...] = ()
    cameras: tuple[Camera, ...] = ()
    seconds: float = 0.0
    background: Tracked | None = None
    bones: Mapping[str, Tracked] = field(default_factory=dict)
    motions: Sequence[NeighbourMotion] = ()
    pose_error: PoseError | None = None
    assessment: Assessment | None = None
    body: BodyResult | None = field(default=None, repr=False)

    @property
    def upper95_mm(self) -> float | None:
        """95 % bound of the error of the 3D position; None if unknown."""
        position = self.uses.get("position")
        return position.upper95_mm if position else None

    def without_evidence(self) -> Tracked:
        """Return the frame without the measurements behind its assessment."""
        assessment = self.assessment and replace(self.assessment, evidence=None, cause=None)
        bones = {name: bone.without_evidence() for name, bone in self.bones.items()}
        return replace(self, assessment=assessment, bones=bones, body=None)

    def with_findings(self, findings: Sequence[Finding]) -> Tracked:
        """Return the frame with further findings."""
        assessment = self.assessment and self.assessment.with_findings(findings)
        return replace(self, assessment=assessment)

    @property
    def kept(self) -> bool:
        """Whether it may be used, and starts the next frame."""
        return self.verdict not in UNUSABLE

    @property
    def pose(self) -> np.ndarray | None:
        """(4, 4) world_from_ct where it may be used."""
        return self.world_from_ct if self.kept else None

    @property
    def found(self) -> bool:
        """Whether the whole CT or a bone of it has a pose."""
        return self.world_from_ct is not None or bool(self.bone_poses)

    @property
    def bone_poses(self) -> dict[str, np.ndarray]:
        """The same of the bones that have one, by name."""
        return {name: bone.pose for name, bone in self.bones.items() if bone.pose is not None}

    def drawn(
        self, bodies: Sequence[Body], parts: Mapping[str, Any]
    ) -> tuple[PreparedCT, np.ndarray]:
        """Return the `bone.parts_of` bodies to be drawn as one CT, see `bone.placed`; the CT's bones without a pose lie as it does."""
        pose = NOWHERE if self.world_from_ct is None else self.world_from_ct
        whole = dict.fromkeys(("", *bodies[0].bone_names), pose)
        return placed(parts, whole | self.bone_poses)


class Memory:
    """Where a body was in the last frames that were kept, and how it looked in those before."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, np.ndarray]] = []
        self.similarity: list[tuple[float, ...]] = []

    def keep(self, found: Tracked) -> None:
        """Let the next frame begin from this one, if it may be used."""
        if found.pose is not None:
            self.kept = [*self.kept[-1:], (found.number, found.pose)]
            self.similarity = [*self.similarity[1 - MEDIAN_FRAMES :], found.similarity]

    def expected(self, number: int) -> np.ndarray:
        """Return the pose (4, 4) where the frames before lead the body."""
        return predict_pose(self.kept, number)

    def unlike(
        self, name: str, views: Sequence[View], similarity: Sequence[float]
    ) -> list[Finding]:
        """Return the finding that the body is lost if it is less similar than in the frames before."""
        for n, view in enumerate(views):
            known = [frame[n] for frame in self.similarity if np.isfinite(frame[n])]
            if known and not similarity[n] >= (usual := np.median(known)) - MAX_SIMILARITY_DROP:
                statement = (
                    f"{name} fits {view.name} worse (local NCC {similarity[n]:.2f}) than in the frames "
                    f"before ({usual:.2f})"
                )
                return [lost_because(statement)]
        return []


def lost_because(statement: str) -> Finding:
    """Return the finding that a body is lost."""
    return Finding("lost", FAILURE, values={"statement": statement})


@dataclass(eq=False)
class Tracker:
    """One structure through a sequence.

    Cameras are not corrected.

    Parameters
    ----------
    anatomy
        On the device that is used for the frame.
    search
        How far a lost structure may have moved.
    assess
        Assesses a pose, by the first arguments of `assessment.verdict.assess`.
    """

    anatomy: PreparedCT
    _pace: Pace
    _search: Range
    assess: Callable[..., Assessment] = verdict.assess
    memory: Memory = field(init=False, default_factory=Memory)

    def follow(self, number: int, views: list[View], given: np.ndarray | None = None) -> Tracked:
        """Find the structure in a frame, from the frames kept before it.

        Parameters
        ----------
        views
            With their cameras as the first frame has corrected them.
        given
            (4, 4) start pose of this frame, used if the structure is lost.
        """
        last = self.memory.kept[-1][1]
        expected = self.memory.expected(number)
        found = self._followed(number, views, [expected, last])
        if found is None:
            starts = [expected, last, *([] if given is None else [given])]
            found = self._found_again(number, views, starts)
        return found

    def _followed(self, number: int, views: list[View], starts: list[np.ndarray]) -> Tracked | None:
        for start in starts:
            found = self._descended(views, start)
            if found is None or self.memory.unlike("it", views, found.fit.similarity):
                continue
            assessment = TRACKED_ONLY
            if self._pace.assessed:
                assessment = self.assess(self.anatomy, views, found, start)
            if not assessment.is_likely_wrong:
                return tracked(number, "followed", found, assessment)
        return None

    def _descended(self, views: list[View], pose: np.ndarray) -> Refinement | None:
        """Return the refinement from a start nearby, without the coarsest resolution.

        None where the X-rays show too little of the CT.
        """
        levels = self.anatomy.levels(views, pose)[1:]
        for level in levels:
            objective = self.anatomy.objective(views, level, pose)
            tolerance_mm = level.tolerance_mm if self.anatomy.structure else COARSE_TOLERANCE_MM
            ended = None
            if level is levels[-1]:
                tolerance_mm = self._pace.tolerance_mm
                ended = _in_one_step(objective, pose, tolerance_mm)
            if ended is None:
                found = minimise(objective, pose, level.iterations, tolerance_mm, second_order=True)
                ended = found.world_from_ct, found.fit
            pose, fit = ended
            if not np.isfinite(fit.cost):
                return None
        return Refinement(pose, fit, [], views, np.zeros(6))

    def _found_again(self, number: int, views: list[View], poses: Sequence[np.ndarray]) -> Tracked:
        starts = [Start(pose, MAX_EXPECTED_MM) for pose in poses]
        exact = [view.exact() for view in views]
        try:
            found = refine_from(self.anatomy, exact, starts, centre=poses[1], reach=self._search)
        except InputError:
            none = lost(number, "the X-rays show too little of the CT within the search range.")
            return replace(none, cameras=tuple(view.camera for view in views))
        found = replace(found, views=views)
        assessment = self.assess(self.anatomy, views, found, poses[1])
        unlike = self.memory.unlike("the best pose", views, found.fit.similarity)
        if assessment.has("most-likely-wrong"):
            unlike.append(lost_because("the pose is most likely wrong"))
        assessment = assessment.with_findings(unlike)
        how = "lost" if assessment.verdict == "reject" else "found again"
        return tracked(number, how, found, assessment)


def _in_one_step(
    objective: Objective, pose: np.ndarray, tolerance_mm: float
) -> tuple[np.ndarray, PoseFit] | None:
    """Return the pose (4, 4) by one Gauss-Newton step and the fit before it; None where the step is above the tolerance."""
    fit = objective.evaluate(EvaluationPoint([pose])).linearise()
    if not np.isfinite(fit.cost):
        return None
    step = -np.linalg.solve(fit.hessian + 1e-12 * np.eye(6), fit.gradient)
    if np.linalg.norm(step[3:]) + LEVER_MM * np.linalg.norm(step[:3]) > tolerance_mm:
        return None
    return rigid.moved(pose, step, objective.pivot), fit


def lost(number: int, why: str) -> Tracked:
    """Return the result of a frame in which nothing was found."""
    return Tracked(number, "lost", None, assessment=Assessment((lost_because(why),)))


def tracked(number: int, how: str, found: Refinement, assessment: Assessment) -> Tracked:
    """Return the result of a frame in which a body was found by itself."""
    return Tracked(
        number,
        how,
        found.world_from_ct,
        similarity=tuple(map(float, found.fit.similarity)),
        cameras=tuple(view.camera for view in found.views),
        pose_error=assessment.evidence.pose_error if assessment.evidence else None,
        assessment=assessment,
    )


def predict_pose(kept: Sequence[tuple[int, np.ndarray]], number: int) -> np.ndarray:
    """Return the pose (4, 4) expected in a frame, by constant velocity on SE(3).

    The last one without a recent motion.

    The motion between the last two is one screw of the world, which goes on as it was (Murray, Li
    and Sastry, A Mathematical Introduction to Robotic Manipulation, 1994, 2.3): exact for a bone
    that turns evenly about its joint, and for one that moves straight.

    Parameters
    ----------
    kept
        The frames' numbers and poses (4, 4) so far, one or more in order.
    """
    last, pose = kept[-1]
    if len(kept) < 2 or number - kept[-2][0] > MAX_MOTION_AGE:
        return pose
    before, earlier = kept[-2]
    twist = rigid.log_se3(pose @ rigid.inverse(earlier))
    return rigid.exp_se3((number - last) / (last - before) * twist) @ pose
