"""Track the bones of a CT through the frames of a sequence, each at its own pose.

The whole CT is tracked first. In each frame all bones are then solved for together, see
`registration.bones`, from where the frames before lead each of them, so near that the coarsest
resolution would not help. Bones that do not look as in the frames before begin once more from where
the whole CT has taken them, at all resolutions. A lost bone starts nothing, and stops no other one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from time import perf_counter
from typing import NamedTuple, cast

import numpy as np

from ..assessment.bodies import BodyResult, Together, judge_together, with_together
from ..assessment.bone_features import MaskEdge, mask_edges
from ..assessment.verdict import Assessment
from ..errors import unseen
from ..geometry import rigid
from ..imaging.structures import Structures
from ..imaging.xray import View
from ..reasons import UNUSABLE, Reason, Verdict, doubted
from ..registration.bones import SHOWN, Bone, Tie, bones_of, ties_of
from ..registration.pipeline import Report
from ..registration.prepared_ct import PreparedCT
from ..registration.register_bones import LEVELS, BoneLevel, register_bones
from .tracker import FOLLOWED, MAX_SIMILARITY_DROP, Memory, Pace, Tracked

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
                found, again = second, found.lost - second.lost
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
    bones = {
        bone.name: Tracked(
            whole.number,
            {"reject": "lost", "not shown": "not shown"}.get(bone.verdict or "", how[bone.name]),
            bone.world_from_ct,
            bone.verdict or "check",
            bone.reasons,
            tuple(bone.similarity.get(view.name, np.nan) for view in views),
            predicted.upper95 if (predicted := bone.predicted_tre_mm) else None,
            whole.cameras,
            seconds,
        )
        for bone in found.bodies
    }
    kept = {bone.name for bone in found.usable}
    motions = [motion for motion in found.motions if motion.name in kept and motion.against in kept]
    return replace(whole, bones=bones, motions=motions)


def without_structures(lost: Tracked, names: Sequence[str]) -> Tracked:
    """Return the result of a frame in which nothing was found, with its bones."""
    return replace(lost, bones={name: replace(lost) for name in names})
