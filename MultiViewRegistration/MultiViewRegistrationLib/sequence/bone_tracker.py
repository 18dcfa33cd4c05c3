"""Track the bodies of a case, and the bones of a CT, through the frames of a sequence, each at its own pose.

The whole CT is tracked first. In each frame all bones are then solved for together, see
`registration.bones`, from where the frames before lead each of them, so near that the coarsest
resolution would not help. Bones that do not look as in the frames before begin once more from where
the whole CT has taken them, at all resolutions. A lost bone starts nothing, and stops no other one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import zip_longest
from time import perf_counter
from typing import NamedTuple, cast

import numpy as np

from ..assessment.bodies import Alone, BodyResult, Together
from ..assessment.bone_features import MaskEdge, mask_edges
from ..assessment.together import judge_together, register_together, with_together
from ..assessment.verdict import Assessment
from ..errors import unseen
from ..geometry import rigid
from ..imaging.body import Body
from ..imaging.structures import Structures
from ..imaging.xray import View, with_cameras
from ..io.case import Case
from ..io.sequence import Frame
from ..reasons import UNUSABLE, BoneVerdict, Reason, Verdict, doubted
from ..registration.bone import Bone, bones_of, ties_of
from ..registration.bones import SHOWN
from ..registration.optimizer import Range
from ..registration.prepared_ct import PreparedCT, anatomies_of
from ..registration.problem import Tie
from ..registration.refinement import Report
from ..registration.register_bones import LEVELS, BoneLevel, register_bones
from ..rendering.devices import ComputeDevice
from .tracker import FOLLOWED, MAX_SIMILARITY_DROP, Memory, Pace, Tracked, Tracker

#: Simulated vertebrae that turn by 2.5 degrees and 1 mm a frame against their neighbours are
#: followed at these, but not at the last alone.
FOLLOWING = LEVELS[-2:]
REST_LOST = Reason("rest-lost", "The rest of the CT, its background, was not found in this frame.")


class _Fit(NamedTuple):
    """The bones in a frame, and the names of those that X-rays show elsewhere than they were found."""

    bones: Together
    lost: set[str]


class BoneTracker:
    """The bones of a CT through a sequence.

    Parameters
    ----------
    anatomy
        The whole CT.
    structures
        Its bones.
    pace
        As of a `Tracker`.
    """

    def __init__(self, anatomy: PreparedCT, structures: Structures, pace: Pace) -> None:
        self._anatomy = anatomy
        self._structures = structures
        self._pace = pace
        self._memory = {name: Memory() for name in structures.names}
        self._ct_from_bone = {name: np.eye(4) for name in structures.names}

    @cached_property
    def _bones(self) -> list[Bone]:
        return bones_of(self._structures, self._anatomy)

    @cached_property
    def _edges(self) -> list[MaskEdge]:
        return mask_edges(self._structures, self._anatomy.attenuation(0))

    @cached_property
    def _ties(self) -> list[Tie]:
        return ties_of(self._bones)

    def keep(self, found: Tracked) -> None:
        """Let the bones of the next frame begin from those of this one."""
        for name in self._memory:
            bone = found.bones[name]
            self._memory[name].keep(bone)
            both = bone.kept and found.kept
            if both and bone.world_from_ct is not None and found.world_from_ct is not None:
                self._ct_from_bone[name] = rigid.inverse(found.world_from_ct) @ bone.world_from_ct

    def follow(
        self,
        whole: Tracked,
        views: Sequence[View],
        expected: np.ndarray,
        progress: Report = unseen,
    ) -> Tracked:
        """Return the result of a frame with its bones.

        Parameters
        ----------
        whole
            The result of the whole CT.
        views
            With exact cameras.
        expected
            (4, 4), where the frames before lead the whole CT: the place of the background where it
            was not found.
        progress
            Called after each step; `Cancelled` is raised where it returns False.
        """
        if not self._bones:
            return whole
        began = perf_counter()
        begun = {name for name, memory in self._memory.items() if memory.kept}
        rest = whole.world_from_ct if whole.kept and whole.world_from_ct is not None else expected
        starts = {bone.name: self._start(bone.name, whole.number, rest) for bone in self._bones}
        levels = FOLLOWING if starts.keys() <= begun else LEVELS
        found = self._fitted(views, rest, starts, levels, progress)
        again = set[str]()
        if found.lost & begun:
            starts = {bone.name: bone.world_from_ct for bone in found.bones.bodies}
            starts |= {name: rest @ self._ct_from_bone[name] for name in found.lost}
            second = self._fitted(views, rest, starts, LEVELS, progress)
            if len(second.lost) < len(found.lost):
                again = found.lost - second.lost
                found = second
        how = {name: "followed" if name in begun else "registered" for name in starts}
        how |= dict.fromkeys(again, "found again")
        reasons = [
            *([] if whole.kept else [REST_LOST]),
            FOLLOWED,
        ]  # another level is not looked for here
        bodies = [
            bone if bone.verdict in UNUSABLE else doubted(bone, reasons)
            for bone in found.bones.bodies
        ]
        bones = replace(found.bones, bodies=bodies)
        if whole.kept and (bones.displaced or bones.of("reject")):
            judged = with_together(Assessment(cast(Verdict, whole.verdict), whole.reasons), bones)
            off_mm = max((bone.displaced_mm for bone in bones.displaced), default=0.0)
            upper95 = whole.upper95_mm and max(whole.upper95_mm, off_mm)
            whole = replace(
                whole, verdict=judged.verdict, reasons=judged.reasons, upper95_mm=upper95
            )
        seconds = perf_counter() - began
        whole = replace(whole, seconds=whole.seconds + seconds)
        return with_structures(whole, bones, views, how, seconds)

    def _start(self, name: str, number: int, rest: np.ndarray) -> np.ndarray:
        """Return (4, 4), where the last two frames lead a bone.

        Where it was lost, where the whole CT takes it.
        """
        memory = self._memory[name]
        if memory.kept and memory.kept[-1][0] == number - 1:
            return memory.expected(number)
        return rest @ self._ct_from_bone[name]

    def _fitted(
        self,
        views: Sequence[View],
        rest: np.ndarray,
        starts: dict[str, np.ndarray],
        levels: Sequence[BoneLevel],
        progress: Report,
    ) -> _Fit:
        finest = self._pace.tolerance_mm
        paced = [each._replace(tolerance_mm=max(each.tolerance_mm, finest)) for each in levels]
        poses = [starts[bone.name] for bone in self._bones]
        found = register_bones(
            self._anatomy, self._bones, views, rest, progress, poses, paced, self._ties
        )
        assessed = judge_together(found, views, self._edges)
        lost = set[str]()
        for n, bone in enumerate(assessed.bodies):
            shown = found.fit.shown[n] >= SHOWN
            if unlike := self._unlike(bone, views, shown):
                bone = replace(
                    bone, room="reject", overlay="reject", reasons=[unlike, *bone.reasons]
                )
                assessed.bodies[n] = bone
            if shown.any() and bone.verdict == "reject":
                lost.add(bone.name)
        return _Fit(assessed, lost)

    def _unlike(self, bone: BodyResult, views: Sequence[View], shown: np.ndarray) -> Reason | None:
        """Return why a bone is lost that does not look as in the frames before; None if it does."""
        before = np.reshape(self._memory[bone.name].similarity, (-1, len(views)))
        for n, view in enumerate(views):
            known = before[np.isfinite(before[:, n]), n]
            if (
                shown[n]
                and len(known)
                and (now := bone.similarity[view.name])
                < (usual := np.median(known)) - MAX_SIMILARITY_DROP
            ):
                return Reason(
                    "lost",
                    f"Lost: {bone.name} fits {view.name} worse (similarity "
                    f"{now:.2f}) than in the frames before ({usual:.2f}).",
                )
        return None


def with_structures(
    whole: Tracked, found: Together, views: Sequence[View], how: dict[str, str], seconds: float
) -> Tracked:
    """Return the result of a frame with the bones that were found in it.

    Parameters
    ----------
    views
        Of the frame.
    how
        Each was found, by its name.
    seconds
        That they took, all together.
    """
    bones = {}
    for bone in found.bodies:
        predicted = bone.predicted_tre_mm
        bones[bone.name] = Tracked(
            whole.number,
            {"reject": "lost", "not shown": "not shown"}.get(bone.verdict or "", how[bone.name]),
            bone.world_from_ct,
            bone.verdict or "check",
            bone.reasons,
            tuple(bone.similarity.get(view.name, np.nan) for view in views),
            predicted.upper95 if predicted else None,
            whole.cameras,
            seconds,
        )
    kept = {bone.name for bone in found.usable}
    motions = [motion for motion in found.motions if motion.name in kept and motion.against in kept]
    return replace(whole, bones=bones, motions=motions)


def without_structures(lost: Tracked, names: Sequence[str]) -> Tracked:
    """Return the result of a frame in which nothing was found, with its bones."""
    return replace(lost, bones={name: replace(lost) for name in names})


class BodiesTracker:
    """The bodies of a case through a sequence.

    Parameters
    ----------
    case
        Of the first frame.
    anatomy
        The CT of the first body.
    pace
        As of a `Tracker`.
    device
        On which each is followed alone.

    Attributes
    ----------
    begun
        Whether there was a frame that may be used: from then on all are followed.
    """

    def __init__(self, case: Case, anatomy: PreparedCT, pace: Pace, device: ComputeDevice) -> None:
        self._bodies = case.bodies
        self._device = device
        self._anatomies = anatomies_of(case.bodies, anatomy)
        self._trackers = []
        for each, targets in zip_longest(self._anatomies, [case.targets]):
            reach = Range(**case.search_range)
            self._trackers.append(Tracker(each, pace, reach, targets, case.masks_misfit))
        self._of_ct = BoneTracker(anatomy, case.structures, pace)
        pairs = zip(self._bodies, self._anatomies, strict=True)
        self._apart = [Bone.of_ct(body.name, own) for body, own in pairs if body.name]
        self.begun = False

    def placed(self, case: Case, number: int, frame: Frame) -> Case:
        """Return the case of a frame that is to be registered.

        A body begins where the frames before lead it; before any where this frame, or the case,
        says.
        """
        bodies = []
        given = _given(case.starts, self._bodies, frame)
        for tracker, body, start in zip(self._trackers, case.bodies, given, strict=True):
            pose = tracker.memory.expected(number) if tracker.memory.kept else start
            bodies.append(replace(body, world_from_ct=pose))
        return replace(case, world_from_ct=bodies[0].world_from_ct, bodies=tuple(bodies))

    def keep(self, found: Tracked, views: Sequence[View]) -> None:
        """Let the next frame begin from this one.

        Parameters
        ----------
        views
            Of the frame; their cameras are taken as `found` has them.
        """
        self.begun |= found.kept
        self._of_ct.keep(found)
        for n, body in enumerate(self._bodies):
            each = found.bones.get(body.name, found)
            if each is not found and each.kept and each.world_from_ct is not None:
                seen = with_cameras(views, each.cameras)
                fit = self._anatomies[n].fit(seen, each.world_from_ct, each.world_from_ct)
                each = replace(each, similarity=tuple(map(float, fit.similarity)))
            self._trackers[n].keep(each)

    def follow(
        self,
        number: int,
        views: list[View],
        frame: Frame,
        progress: Report = unseen,
    ) -> Tracked:
        """Return the result of a frame: that of the first body, with all bones in `Tracked.bones`.

        Parameters
        ----------
        views
            With exact cameras.
        frame
            Whose start poses are used for bodies that are lost.
        progress
            As of `register_together`.
        """
        began = perf_counter()
        given = _given([None] * len(self._bodies), self._bodies, frame)
        alone = [self._alone(n, number, views, pose) for n, pose in enumerate(given)]
        if self._bodies[0].name:
            return self._together(alone, views, began, progress)
        expected = self._trackers[0].memory.expected(number)
        found = self._of_ct.follow(alone[0], views, expected, progress)
        if not self._apart:
            return found
        implants = self._together(alone[1:], views, began, progress)
        whole = Assessment(cast(Verdict, found.verdict), found.reasons)
        told = with_together(whole, Together(_states(implants.bones)), of_ct=True)
        return replace(
            found,
            verdict=told.verdict,
            reasons=told.reasons,
            seconds=perf_counter() - began,
            bones={**found.bones, **implants.bones},
        )

    def _together(
        self,
        alone: Sequence[Tracked],
        views: list[View],
        began: float,
        progress: Report,
    ) -> Tracked:
        """Return the result of a frame in which bones with a CT each were followed alone."""
        names = [bone.name for bone in self._apart]
        bones = dict(zip(names, alone, strict=True))
        seen = [n for n, each in enumerate(alone) if each.kept]
        beside = len(self._bodies) - len(alone)
        judged = [self._judged(n, each) for n, each in enumerate(alone, beside)]
        if seen:
            shapes = [self._apart[n] for n in seen]
            found = register_together([judged[n] for n in seen], views, progress, bones=shapes)
            how = {name: each.how for name, each in bones.items()}
            seconds = perf_counter() - began
            joined = with_structures(alone[seen[0]], found, views, how, seconds).bones
            for name, each in joined.items():
                bones[name] = replace(each, upper95_mm=bones[name].upper95_mm)
        first = bones[names[0]]
        told = with_together(self._judged(beside, first).assessment, Together(_states(bones)))
        return replace(
            first,
            verdict=told.verdict,
            reasons=told.reasons,
            seconds=perf_counter() - began,
            bones=bones,
        )

    def _judged(self, n: int, found: Tracked) -> Alone:
        """Return what was found of one body by itself."""
        assessment = Assessment(cast(Verdict, found.verdict), found.reasons)
        pose = np.eye(4) if found.world_from_ct is None else found.world_from_ct
        return Alone(self._bodies[n], self._anatomies[n], pose, assessment)

    def _alone(self, n: int, number: int, views: list[View], given: np.ndarray | None) -> Tracked:
        """Return the result of one body by itself."""
        return self._anatomies[n].run_on(
            self._device, lambda there: self._trackers[n].on(there).follow(number, views, given)
        )


def _states(bones: Mapping[str, Tracked]) -> list[BodyResult]:
    """Return the verdicts of bones in a frame."""
    return [
        BodyResult(name, np.eye(4), cast(BoneVerdict, each.verdict), each.reasons)
        for name, each in bones.items()
    ]


def _given(
    starts: Sequence[np.ndarray | None], bodies: Sequence[Body], frame: Frame
) -> list[np.ndarray | None]:
    """Return the start pose (4, 4) of each body that a frame says, else that in `starts`."""
    first, *others = starts
    first = first if frame.given is None else frame.given
    further = zip(bodies[1:], others, strict=True)
    return [first, *(frame.given_bones.get(body.name, start) for body, start in further)]
