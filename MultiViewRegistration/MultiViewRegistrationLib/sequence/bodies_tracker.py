"""Follow all bodies of a case through the frames of a sequence.

In each frame every body is followed alone, see `tracker`. The bones of a CT are then solved for
together, see `bone_tracker`; bones with a CT each, or implants, that were found are registered
together from there, as `api.register` does it without the rest of a CT. A lost bone starts nothing,
and stops no other one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from time import perf_counter
from typing import cast

import numpy as np

from ..assessment.bodies import (
    Alone,
    BodyResult,
    Together,
    register_together,
    with_together,
)
from ..assessment.verdict import Assessment
from ..errors import unseen
from ..imaging.body import Body
from ..imaging.xray import View, with_cameras
from ..io.case import Case
from ..io.sequence import Frame
from ..reasons import BoneVerdict, Verdict
from ..registration.bones import Bone
from ..registration.optimizer import Range
from ..registration.pipeline import Report
from ..registration.prepared_ct import PreparedCT, anatomies_of
from ..rendering.devices import ComputeDevice
from .bone_tracker import BoneTracker, with_structures
from .tracker import Pace, Tracked, Tracker


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
        self._trackers = [
            Tracker(each, pace, Range(**case.search_range), targets, masked=case.masks_misfit)
            for each, targets in zip_longest(self._anatomies, [case.targets])
        ]
        self._of_ct = BoneTracker(anatomy, case.structures, pace)
        pairs = zip(self._bodies, self._anatomies, strict=True)
        self._apart = [Bone.of_ct(body.name, own) for body, own in pairs if body.name]
        self.begun = False

    def placed(self, case: Case, number: int, frame: Frame) -> Case:
        """Return the case of a frame that is to be registered.

        A body begins where the frames before lead it; before any where this frame, or the case,
        says.
        """
        starts = [
            tracker.memory.expected(number) if tracker.memory.kept else given
            for tracker, given in zip(
                self._trackers, _given(case.starts, self._bodies, frame), strict=True
            )
        ]
        bodies = tuple(
            replace(body, world_from_ct=start)
            for body, start in zip(case.bodies, starts, strict=True)
        )
        return replace(case, world_from_ct=starts[0], bodies=bodies)

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
            bones |= {
                name: replace(each, upper95_mm=bones[name].upper95_mm)
                for name, each in joined.items()
            }
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
