"""The way through for a sequence of frames, the same in a script and behind `mvreg track`.

sequence = FrameSequence.of_images(Path("case.json"))
track = Track(sequence, PreparedCT(sequence.first.ct))
for frame in follow(sequence, track.anatomy):      # a frame as soon as it is done
    track.frames.append(frame)
track.save("out")
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ..api import register
from ..assessment.together import of_bone
from ..errors import InputError, unseen
from ..geometry.camera import Camera
from ..geometry.slot_scan import require_single_source
from ..imaging.body import MASKED
from ..imaging.xray import View, with_cameras
from ..io.case import Case
from ..io.sequence import Frames
from ..reasons import doubted
from ..registration.cameras import CameraCorrections
from ..registration.prepared_ct import PreparedCT
from ..registration.refinement import Report
from ..registration.warm_up import warm_up
from ..rendering.devices import ComputeDevice
from ..report.result import Result
from .bone_tracker import BodiesTracker, with_structures
from .tracker import PACES, Tracked, tracked


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
    case = sequence.first
    if anatomy.full_ct and not case.bodies[0].name:
        case = case.with_mask_as_bone()
        anatomy = anatomy.full_ct
    compute_device = (
        device if isinstance(device, ComputeDevice) else ComputeDevice(device, registering=True)
    )
    for_caller = partial(_for_caller, case=case, masked=case is not sequence.first)
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
            yield for_caller(tracker.lost(number, str(error)), [])
            continue
        if found is None:
            views = _corrected(case, frame.views, cameras, sequence.names[number])
            found = tracker.follow(number, here, views, frame, progress)
        if found.kept:
            cameras = found.cameras
        tracker.keep(found, frame.views)
        yield for_caller(found, frame.views)


def _registered(number: int, result: Result) -> Tracked:
    """Return the result of a frame that was registered."""
    assert result.assessment is not None
    whole = tracked(number, "registered", result.refinement, result.assessment)
    seconds = result.seconds["total"] - result.seconds["load"]
    whole = replace(whole, reasons=result.reasons, seconds=seconds)
    how = {body.name: "registered" for body in result.together.bodies}
    return with_structures(whole, result.together, result.views, how)


def _for_caller(found: Tracked, views: Sequence[View], case: Case, masked: bool) -> Tracked:
    """Return the result of a frame, with the reasons of the patients' identity on it and on its bones."""
    if masked:
        found = _of_masked(found, views, case)
    reasons = case.identity_reasons
    bones = {name: doubted(bone, reasons) for name, bone in found.bones.items()}
    return replace(doubted(found, reasons), bones=bones)


def _of_masked(found: Tracked, views: Sequence[View], case: Case) -> Tracked:
    """Return the result of a frame as that of the bone that the CT's mask holds, the rest of the CT as its background."""
    bones = dict(found.bones)
    bone = bones.pop(MASKED)
    judged = found.assessment
    if judged and bone.pose is not None:
        corrected = with_cameras(views, found.cameras)
        whole = judged.body or judged
        bone = bone.assessed(of_bone(whole, bone.assessment, corrected, case.targets))
    rest = replace(found, bones={}, motions=(), assessment=None)
    return replace(bone, cameras=found.cameras, seconds=found.seconds, background=rest, bones=bones)


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
