"""Track the bodies of a case, and the bones of a CT, through the frames of a sequence, each at its own pose.

The same way through in a script and behind `mvreg track`:

sequence = FrameSequence.of_images(Path("case.json"))
track = Track(sequence, PreparedCT(sequence.first.ct))
for frame in follow(sequence, track.anatomy):      # a frame as soon as it is done
    track.frames.append(frame)
track.save("out")

The whole CT is tracked first. In each frame all bones are then solved for together, see
`registration.bones`, from where the frames before lead each of them, so near that the coarsest
resolution would not help. Bones that do not look as in the frames before begin once more from where
the whole CT has taken them, at all resolutions. A lost bone starts nothing, and stops no other one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter

import numpy as np

from ..api import assess_alone, for_case, register
from ..assessment.bodies import BodyRegistration, BodyResult, JointResult
from ..assessment.bone_features import MaskEdge, mask_edges
from ..assessment.combine import assess_masked_bone, rejected_bodies, with_bones, with_motions
from ..assessment.error_by_cause import PoseError
from ..assessment.features import ReliabilityFeatures
from ..assessment.records import UNASSESSED, UNUSABLE, Assessment, Finding
from ..assessment.together import (
    assess_together,
    register_together,
    with_contradicted_name,
    with_findings,
)
from ..assessment.uncertainty import SDS_95
from ..errors import InputError, unseen
from ..finding import with_whole_ct
from ..geometry import rigid
from ..geometry.camera import Camera
from ..geometry.machines import require_single_source
from ..imaging.body import Structures
from ..imaging.xray import View, with_cameras
from ..io.case import Case
from ..io.sequence import Frame, Frames
from ..registration.bone import Background, Bone
from ..registration.bones import SHOWN
from ..registration.cameras import LEVER_MM, CameraCorrections
from ..registration.optimizer import Range, Report
from ..registration.prepared_ct import PreparedCT, anatomies_of
from ..registration.register_bones import LEVELS, BoneLevel, register_bones
from ..registration.warm_up import warm_up
from ..rendering.devices import ComputeDevice
from ..report.result import Result
from . import PACES, Pace
from .tracker import FOLLOWED, Memory, Tracked, Tracker, lost, tracked

#: Simulated vertebrae that turn by 2.5 degrees and 1 mm a frame against their neighbours are
#: followed at these, but not at the last alone.
FOLLOWING = LEVELS[-2:]
#: A refinement ends within this share of its last step: at the quick pace mTRE was 0.15 mm at most
#: (docs/tables/benchmarks.md).
UNCONVERGED = 0.5
REST_LOST = Finding("rest-lost")


@dataclass(eq=False)
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

    _anatomy: PreparedCT
    _structures: Structures
    _pace: Pace

    def __post_init__(self) -> None:
        names = self._structures.names
        self._memory = {name: Memory() for name in names}
        self._ct_from_bone = dict.fromkeys(names, np.eye(4))
        self._of_cameras: ReliabilityFeatures | None = None

    def move_to(self, anatomy: PreparedCT) -> None:
        """Go on with the CT on another device, see `PreparedCT.on_device`."""
        self._anatomy = anatomy
        for bone in self._bones:
            bone.device = anatomy.device

    @cached_property
    def _behind(self) -> Background:
        return Background.of(self._structures, self._anatomy, np.eye(4))

    @property
    def _bones(self) -> Sequence[Bone]:
        return self._behind.bones

    @cached_property
    def _edges(self) -> list[MaskEdge]:
        return mask_edges(self._structures, self._anatomy.attenuation(0))

    def keep(self, found: Tracked) -> None:
        """Let the bones of the next frame begin from those of this one."""
        if found.kept and found.assessment and found.assessment.evidence:
            self._of_cameras = found.assessment.evidence.features
        for name, memory in self._memory.items():
            bone = found.bones[name]
            memory.keep(bone)
            if bone.pose is not None and found.pose is not None:
                self._ct_from_bone[name] = rigid.inverse(found.pose) @ bone.pose

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
            With their cameras as corrected.
        expected
            (4, 4), where the frames before lead the whole CT: the place of the background where it
            was not found.
        progress
            Called after each step; `Cancelled` is raised where it returns False.
        """
        if not self._bones:
            return whole
        begun = {name for name, memory in self._memory.items() if memory.kept}
        assessment = whole.assessment or UNASSESSED
        if not whole.kept:  # nothing is known from it
            assessment = replace(assessment, evidence=None)
        rest = expected if whole.pose is None else whole.pose
        starts = {bone.name: self._start(bone.name, whole.number, rest) for bone in self._bones}
        levels = FOLLOWING if starts.keys() <= begun else LEVELS
        found, missed = self._fitted(assessment, views, rest, starts, levels, progress)
        again = set[str]()
        if missed & begun:
            starts = {bone.name: bone.world_from_ct for bone in found.bodies}
            starts |= {name: rest @ self._ct_from_bone[name] for name in missed}
            second, left = self._fitted(assessment, views, rest, starts, LEVELS, progress)
            if len(left) < len(missed):
                again = missed - left
                found = second
        how = {name: "followed" if name in begun else "registered" for name in starts}
        how |= dict.fromkeys(again, "found again")
        # Another level is not looked for here.
        findings = [FOLLOWED] if whole.kept else [REST_LOST, FOLLOWED]
        bodies = [
            bone if bone.verdict in UNUSABLE else with_findings(bone, findings)
            for bone in found.bodies
        ]
        bodies = [with_contradicted_name(bone, self._structures) for bone in bodies]
        bones = with_motions(replace(found, bodies=bodies))
        if whole.kept:
            whole = replace(whole, assessment=with_bones(assessment, bones))
        return with_structures(whole, bones, views, how)

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
        whole: Assessment,
        views: Sequence[View],
        rest: np.ndarray,
        starts: dict[str, np.ndarray],
        levels: Sequence[BoneLevel],
        progress: Report,
    ) -> tuple[JointResult, set[str]]:
        """Return the bones in a frame, and the names of those that X-rays show elsewhere than they were found."""
        finest = self._pace.tolerance_mm
        paced = [each._replace(tolerance_mm=max(each.tolerance_mm, finest)) for each in levels]
        poses = [starts[bone.name] for bone in self._bones]
        behind = self._behind._replace(ct=self._anatomy, world_from_ct=rest)
        found = register_bones(behind, views, (), progress, poses, paced)
        result = assess_together(found, self._edges, whole=whole, cameras=self._of_cameras)
        missed = set[str]()
        for n, bone in enumerate(result.bodies):
            shown = found.fit.shown[n] >= SHOWN
            compared = np.where(shown, found.fit.similarity[n], np.inf).tolist()
            unlike = self._memory[bone.name].unlike(bone.name, views, compared)
            result.bodies[n] = bone = with_findings(bone, unlike)
            if shown.any() and bone.verdict == "reject":
                missed.add(bone.name)
        return result, missed


def with_structures(
    whole: Tracked, found: JointResult, views: Sequence[View], how: dict[str, str]
) -> Tracked:
    """Return the result of a frame with the bones that were found in it.

    Parameters
    ----------
    views
        Of the frame.
    how
        Each was found, by its name.
    """
    bones = dict(whole.bones)
    for bone in found.bodies:
        bones[bone.name] = Tracked(
            whole.number,
            {"reject": "lost", "not shown": "not shown"}.get(bone.verdict or "", how[bone.name]),
            bone.world_from_ct,
            similarity=tuple(bone.similarity.get(view.name, np.nan) for view in views),
            cameras=whole.cameras,
            seconds=whole.seconds,
            pose_error=bone.pose_error,
            assessment=bone.assessment,
            body=bone,
        )
    kept = {bone.name for bone in found.usable}
    motions = [motion for motion in found.motions if motion.name in kept and motion.against in kept]
    return replace(whole, bones=bones, motions=[*whole.motions, *motions])


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
        On which they are followed.

    Attributes
    ----------
    begun
        Whether there was a frame that may be used: from then on all are followed.
    """

    def __init__(self, case: Case, anatomy: PreparedCT, pace: Pace, device: ComputeDevice) -> None:
        self._case = case
        self._device = device
        self._anatomies = anatomies_of(case.bodies, anatomy)
        reach = Range(**case.search_range)
        self._trackers = [Tracker(each, pace, reach) for each in self._anatomies]
        self._of_ct = BoneTracker(anatomy, case.structures, pace)
        pairs = enumerate(zip(case.bodies, self._anatomies, strict=True))
        self._separate_bones = {
            n: Bone.of_ct(body.name, own) for n, (body, own) in pairs if body.apart
        }
        self._tolerance_mm = pace.tolerance_mm
        self._errors: dict[str, tuple[PoseError, np.ndarray]] = {}
        self.begun = False

    def placed(self, case: Case, number: int, frame: Frame) -> Case:
        """Return the case of a frame that is to be registered.

        A body begins where the frames before lead it; before any where this frame, or the case,
        says.
        """
        bodies = []
        for tracker, body in zip(self._trackers, case.bodies, strict=True):
            given = frame.starts.get(body.name)
            pose = body.world_from_ct if given is None else given
            if tracker.memory.kept:
                pose = tracker.memory.expected(number)
            bodies.append(replace(body, world_from_ct=pose))
        return replace(case, bodies=tuple(bodies))

    def with_errors(self, found: Tracked) -> Tracked:
        """Return the result of a frame with errors of poses that were not assessed: those of the last assessed frame."""
        bones = {name: self._with_error(name, bone) for name, bone in found.bones.items()}
        return replace(self._with_error("", found), bones=bones)

    def _with_error(self, name: str, found: Tracked) -> Tracked:
        if found.pose is None:
            return found
        if found.pose_error is not None:
            self._errors[name] = found.pose_error, found.pose
            return found
        if name not in self._errors:
            return found
        error, pose = self._errors[name]
        within_mm = UNCONVERGED * self._tolerance_mm
        more = np.repeat([within_mm / LEVER_MM, within_mm], 3) / SDS_95
        moved = error.propagated(found.pose @ rigid.inverse(pose), more)
        return replace(found, pose_error=moved)

    def keep(self, found: Tracked, views: Sequence[View]) -> None:
        """Let the next frame begin from this one.

        Parameters
        ----------
        views
            Of the frame; their cameras are taken as `found` has them.
        """
        self.begun |= found.kept
        self._of_ct.keep(found)
        for n, body in enumerate(self._case.bodies):
            each = found.bones.get(body.name, found)
            if each is not found and each.pose is not None:
                seen = with_cameras(views, each.cameras)
                fit = self._anatomies[n].fit(seen, each.pose, each.pose)
                each = replace(each, similarity=tuple(map(float, fit.similarity)))
            self._trackers[n].memory.keep(each)

    def follow(
        self,
        number: int,
        case: Case,
        views: list[View],
        frame: Frame,
        progress: Report = unseen,
    ) -> Tracked:
        """Return the result of a frame: that of the first body, with all bones in `Tracked.bones`.

        Parameters
        ----------
        case
            Of the frame.
        views
            With their cameras as the first frame has corrected them.
        frame
            Whose start poses are used for bodies that are lost.
        progress
            As of `register_together`.
        """
        began = perf_counter()
        given = [frame.starts.get(body.name) for body in case.bodies]

        def follow(_anatomy: PreparedCT) -> Tracked:
            there = [each.on_device(self._device.name) for each in self._anatomies]
            alone = [
                self._alone(n, number, case, views, given[n], there[n]) for n in range(len(there))
            ]
            self._of_ct.move_to(there[0])
            expected = self._trackers[0].memory.expected(number)
            whole = self._of_ct.follow(alone[0], views, expected, progress)
            for n, bone in self._separate_bones.items():
                bone.device = there[n].device
            return self._add_separate_bones(whole, alone, views, progress)

        found = self._of_case(self._anatomies[0].run_on(self._device, follow))
        seconds = perf_counter() - began
        bones = {name: replace(bone, seconds=seconds) for name, bone in found.bones.items()}
        return replace(found, seconds=seconds, bones=bones).without_evidence()

    def lost(self, number: int, why: str) -> Tracked:
        """Return the result of a frame in which nothing was found, with its bones."""
        found = lost(number, why)
        found = self._of_case(found)
        return replace(found, bones=dict.fromkeys(self._case.bone_names, found))

    def _of_case(self, found: Tracked) -> Tracked:
        """Return a result with why nothing of the case is accepted."""
        return found.with_findings(self._case.identity_findings)

    def _add_separate_bones(
        self, first: Tracked, single_results: Sequence[Tracked], views: list[View], progress: Report
    ) -> Tracked:
        """Return the result of a frame with the bones that have a separate CT, registered together.

        Parameters
        ----------
        first
            Result of the first CT and its structures.
        single_results
            Result of each body of the case, each tracked by itself.
        """
        tracked = {bone.name: single_results[n] for n, bone in self._separate_bones.items()}
        bodies = {
            name: BodyResult(name, np.eye(4), result.assessment) for name, result in tracked.items()
        }
        frame = replace(first, bones={**first.bones, **tracked})
        registrations = []
        shapes = []
        for n, bone in self._separate_bones.items():
            result = self._of_case(single_results[n])
            if result.pose is not None:
                assessment = result.assessment or UNASSESSED
                registration = BodyRegistration(
                    self._case.bodies[n], self._anatomies[n], result.pose, assessment
                )
                registrations.append(registration)
                shapes.append(bone)
        joint = register_together(registrations, views, progress, shapes=shapes)
        methods = {name: result.how for name, result in tracked.items()}
        frame = with_structures(frame, joint, views, methods)
        name = self._case.first_bone
        reference = frame.bones.get(name, frame)
        all_bodies = JointResult([*(bodies | joint.by_name).values()])
        return replace(
            frame,
            world_from_ct=reference.world_from_ct,
            pose_error=reference.pose_error,
            assessment=with_bones(frame.assessment or UNASSESSED, all_bodies, name),
        )

    def _alone(
        self,
        n: int,
        number: int,
        case: Case,
        views: list[View],
        given: np.ndarray | None,
        anatomy: PreparedCT,
    ) -> Tracked:
        """Return the result of one body by itself."""
        tracker = self._trackers[n]
        tracker.anatomy = anatomy
        tracker.assess = lambda there, _, *found: assess_alone(case, n, there, *found)
        found = tracker.follow(number, views, given)
        assessment = for_case(found.assessment or UNASSESSED, self._case, anatomy)
        return replace(found, assessment=assessment)


def follow(
    sequence: Frames,
    anatomy: PreparedCT,
    start: str = "given",
    pace: str = "thorough",
    seed: int = 0,
    progress: Report = unseen,
    device: str | ComputeDevice = "cpu",
) -> Iterator[Tracked]:
    """Return the frames of a sequence one after another, each as soon as it is done.

    The first frame is registered as `api.register` does it, and so is each further one until one is
    kept; from then on they are followed. A frame that cannot be read, or in which nothing is found,
    is lost, and says why. The structures of the case are followed after its whole CT in each frame.
    Bones with a CT each are followed together; they are registered until a frame has them all.

    Parameters
    ----------
    anatomy
        Of the sequence's CT.
    start, seed
        Of the frames that are registered, see `api.register`.
    pace
        One of PACES.
    progress
        Of a frame that is registered, see `api.register`, and of its bones.
    device
        See there, or a `ComputeDevice`, which says where it was done.

    Raises
    ------
    InputError
        Where the first frame cannot be registered; where a camera that is not known exactly is
        another one in a later frame; and for a pace that is not there, and slot scans.
    """
    if pace not in PACES:
        raise InputError(f'pace: found "{pace}", expected one of {", ".join(PACES)}.')
    require_single_source(sequence.first.cameras.values(), "tracking")
    warm_up()
    case, anatomy = with_whole_ct(sequence.first, anatomy)
    compute_device = (
        device if isinstance(device, ComputeDevice) else ComputeDevice(device, registering=True)
    )
    tracker = BodiesTracker(case, anatomy, PACES[pace], compute_device)
    cameras: Sequence[Camera] = ()
    for number in range(len(sequence)):
        found = None
        try:
            frame = sequence.load(number)
            here = replace(case, views=frame.views)
            if not tracker.begun:
                placed = tracker.placed(here, number, frame)
                result = register(placed, start, progress, anatomy, seed, device=compute_device)
                found = _registered(number, result)
        except InputError as error:
            if number == 0:
                raise
            yield _with_identity_findings(tracker.lost(number, str(error)), [], case)
            continue
        if found is None:
            views = _corrected(case, frame.views, cameras, sequence.names[number])
            found = tracker.follow(number, here, views, frame, progress)
        if found.kept:
            cameras = found.cameras
        found = tracker.with_errors(found)
        tracker.keep(found, frame.views)
        yield _with_identity_findings(found, frame.views, case)


def _registered(number: int, result: Result) -> Tracked:
    """Return the result of a frame that was registered."""
    assert result.assessment is not None
    whole = tracked(number, "registered", result.refinement, result.assessment)
    seconds = result.seconds["total"] - result.seconds["load"]
    assessment = result.assessment.with_findings(result.notes, first=False)
    whole = replace(whole, assessment=assessment, seconds=seconds)
    how = {body.name: "registered" for body in result.together.bodies}
    return with_structures(whole, result.together, result.views, how)


def _with_identity_findings(found: Tracked, views: Sequence[View], case: Case) -> Tracked:
    """Return the result of a frame with the findings on the patient's identity, for it and its bones.

    If a single bone was requested, its result is returned, with the rest of the CT as
    `background`.
    """
    bones = dict(found.bones)
    bone = bones.pop(case.bodies[0].asked, None)
    if bone:
        assessment = bone.assessment or UNASSESSED
        whole = found.assessment
        if bone.body and whole and whole.evidence and bone.pose is not None:
            corrected = with_cameras(views, found.cameras)
            assessment = assess_masked_bone(whole, bone.body, corrected, case.targets)
        implants = [BodyResult(name, np.eye(4), each.assessment) for name, each in bones.items()]
        bone = replace(bone, assessment=assessment.with_findings(rejected_bodies(implants)))
        rest = replace(found, bones={}, motions=())
        found = replace(bone, cameras=found.cameras, seconds=found.seconds, background=rest)
    findings = case.identity_findings
    bones = {name: each.with_findings(findings) for name, each in bones.items()}
    return replace(found.with_findings(findings), bones=bones).without_evidence()


def _corrected(
    case: Case, views: Sequence[View], cameras: Sequence[Camera], name: str
) -> list[View]:
    """Return the views of a later frame with these cameras, as the frame that was registered left them.

    What is not known of cameras is solved for once.

    Raises
    ------
    InputError
        For another camera than before.
    """
    if not CameraCorrections(case.views, case.shared_unknowns).free.size:
        return list(views)
    for view in views:
        given = case.cameras[view.name]
        if not np.allclose(view.camera.projection_matrix, given.projection_matrix):
            raise InputError(
                f'{name}: the camera of view "{view.name}" is another one than in the first frame, expected the same in '
                "all frames where it is not known exactly; register such frames one by one."
            )
    return with_cameras(views, cameras)
