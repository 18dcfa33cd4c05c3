"""Track bones that have a CT each through the frames of a sequence.

In each frame every bone is followed alone, see `tracker`, and those that were found are then
registered together from there, as `api.register` does it. A lost bone starts nothing, and stops no
other one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import cast

import numpy as np

from ..assessment.bone_cts import BoneAlone, assess_bone_cts, with_bone_cts
from ..assessment.verdict import Assessment
from ..imaging.xray import View
from ..io.case import Case
from ..io.sequence import Frame
from ..reasons import Verdict
from ..registration.bones import Bone, register_bone_cts
from ..registration.optimizer import Range
from ..registration.pipeline import Progress
from ..registration.prepared_ct import PreparedCT
from ..rendering.devices import ComputeDevice
from .bone_tracker import with_structures
from .tracker import Pace, Tracked, Tracker


class BoneCTTracker:
    """Bones with a CT each through a sequence.

    Parameters
    ----------
    case
        Of the first frame.
    anatomy
        The CT of the first bone.
    pace
        As of a `Tracker`.
    device
        On which each is followed alone.

    Attributes
    ----------
    begun
        Whether there was a frame in which no bone was rejected: from then on all are followed.
    """

    def __init__(self, case: Case, anatomy: PreparedCT, pace: Pace, device: ComputeDevice) -> None:
        self._bone_cts = case.bone_cts
        self._device = device
        self.begun = False
        self._anatomies = anatomies_of(case, anatomy)
        self._bones = bones_of_cts(case, self._anatomies)
        self._trackers = [
            Tracker(each, pace, Range(**case.search_range), masked=case.masks_misfit)
            for each in self._anatomies
        ]

    def placed(self, case: Case, number: int, frame: Frame) -> Case:
        """Return the case of a frame that is to be registered.

        A bone begins where the frames before lead it; before any where this frame, or the case,
        says.
        """
        starts = [
            tracker.expected(number)
            if tracker.begun
            else frame.given_bones.get(bone.name, bone.world_from_ct)
            for bone, tracker in zip(case.bone_cts, self._trackers, strict=True)
        ]
        bone_cts = tuple(
            replace(bone, world_from_ct=start)
            for bone, start in zip(case.bone_cts, starts, strict=True)
        )
        return replace(case, world_from_ct=starts[0], bone_cts=bone_cts)

    def keep(self, found: Tracked, views: Sequence[View]) -> None:
        """Let the next frame begin from this one.

        Parameters
        ----------
        views
            Of the frame; their cameras are taken as `found` has them.
        """
        self.begun |= found.kept
        for bone, tracker, anatomy in zip(
            self._bones, self._trackers, self._anatomies, strict=True
        ):
            each = found.bones[bone.name]
            if each.kept and each.world_from_ct is not None:
                seen = [
                    replace(view, camera=camera)
                    for view, camera in zip(views, each.cameras, strict=True)
                ]
                fit = anatomy.fit(seen, each.world_from_ct, each.world_from_ct)
                tracker.keep(replace(each, similarity=tuple(map(float, fit.similarity))))

    def follow(
        self,
        number: int,
        views: list[View],
        frame: Frame,
        progress: Callable[[Progress], object] = lambda _: None,
    ) -> Tracked:
        """Return the result of a frame: that of the first bone, with all in `Tracked.bones`.

        Parameters
        ----------
        views
            With exact cameras.
        frame
            Whose start poses are used for bones that are lost.
        progress
            As of `register_bone_cts`.
        """
        began = perf_counter()
        bones = {
            bone.name: self._alone(n, number, views, frame.given_bones.get(bone.name))
            for n, bone in enumerate(self._bones)
        }
        seen = [n for n, bone in enumerate(self._bones) if bones[bone.name].kept]
        if seen:
            alone = [bones[self._bones[n].name] for n in seen]
            poses = [cast(np.ndarray, each.world_from_ct) for each in alone]
            together = register_bone_cts([self._bones[n] for n in seen], views, poses, progress)
            singly = [
                BoneAlone(pose, Assessment(cast(Verdict, each.verdict), each.reasons))
                for pose, each in zip(poses, alone, strict=True)
            ]
            found = assess_bone_cts(together, singly, [self._bone_cts[n] for n in seen])
            how = {name: each.how for name, each in bones.items()}
            joined = with_structures(alone[0], found, how, perf_counter() - began).bones
            bones |= {
                name: replace(each, upper95_mm=bones[name].upper95_mm)
                for name, each in joined.items()
            }
        first = bones[self._bones[0].name]
        judged = with_bone_cts(
            Assessment(cast(Verdict, first.verdict), first.reasons),
            {name: each.verdict for name, each in bones.items()},
        )
        return replace(
            first,
            verdict=judged.verdict,
            reasons=judged.reasons,
            seconds=perf_counter() - began,
            bones=bones,
        )

    def _alone(self, n: int, number: int, views: list[View], given: np.ndarray | None) -> Tracked:
        """Return the result of one bone by itself."""
        return self._anatomies[n].run_on(
            self._device, lambda there: self._trackers[n].on(there).follow(number, views, given)
        )


def anatomies_of(case: Case, first: PreparedCT) -> list[PreparedCT]:
    """Return the CTs of a case's bones, ready for registration; that of the first is."""
    return [first, *(PreparedCT(bone.ct) for bone in case.bone_cts[1:])]


def bones_of_cts(case: Case, anatomies: Sequence[PreparedCT]) -> list[Bone]:
    """Return the bones of a case that have a CT each."""
    return [Bone.of_ct(bone.name, own) for bone, own in zip(case.bone_cts, anatomies, strict=True)]
