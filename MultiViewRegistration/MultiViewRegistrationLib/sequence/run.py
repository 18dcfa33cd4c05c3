"""The way through for a sequence of frames, the same in a script and behind `mvreg track`.

sequence = FrameSequence.of_images(Path("case.json"))
track = Track(sequence, PreparedCT(sequence.first.ct))
for frame in follow(sequence, track.anatomy):      # a frame as soon as it is done
    track.frames.append(frame)
track.save("out")
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..api import register
from ..errors import InputError, unseen
from ..geometry.slot_scan import require_single_source
from ..imaging.xray import View
from ..io.case import Case
from ..reasons import Reason, doubted
from ..registration.cameras import CameraCorrections
from ..registration.prepared_ct import PreparedCT
from ..registration.refinement import Report
from ..registration.warm_up import warm_up
from ..rendering.devices import ComputeDevice
from .bone_tracker import BodiesTracker, with_structures, without_structures
from .tracker import PACES, Frames, Tracked, lost


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
    compute_device = (
        device if isinstance(device, ComputeDevice) else ComputeDevice(device, registering=True)
    )
    tracker = BodiesTracker(case, anatomy, PACES[pace], compute_device)
    geometry = _Geometry(case)
    for number in range(len(sequence)):
        try:
            frame = sequence.load(number)
        except InputError as error:
            if number == 0:
                raise
            yield without_structures(lost(number, str(error)), case.bone_names)
            continue
        if tracker.begun:
            views = geometry.corrected(frame.views, sequence.names[number])
            found = tracker.follow(number, views, frame, progress)
        else:
            here = tracker.placed(replace(case, views=frame.views), number, frame)
            found = _registered(
                number, here, anatomy, start, seed, progress, geometry, compute_device
            )
        found = _with_identity(found, case.identity_reasons)
        tracker.keep(found, frame.views)
        yield found


def _with_identity(found: Tracked, reasons: list[Reason]) -> Tracked:
    """Return the result with these reasons as well, for which neither it nor a bone is "accept"."""
    bones = {name: doubted(bone, reasons) for name, bone in found.bones.items()}
    return replace(doubted(found, reasons), bones=bones)


def _registered(
    number: int,
    case: Case,
    anatomy: PreparedCT,
    start: str,
    seed: int,
    progress: Report,
    geometry: _Geometry,
    compute_device: ComputeDevice,
) -> Tracked:
    try:
        result = register(
            case,
            start,
            progress,
            anatomy,
            seed,
            device=compute_device,
        )
    except InputError as error:
        if number == 0:
            raise
        return without_structures(lost(number, str(error)), case.bone_names)
    if result.verdict != "reject":
        geometry.learn(result.views)
    cameras = tuple(view.camera for view in result.views)
    found = result.refinement
    background = None
    there = found.world_from_background
    if there is not None and anatomy.full_ct is not None:
        similarity = anatomy.full_ct.fit(result.views, there, there).similarity
        background = Tracked(number, "registered", there, "check", [], similarity, cameras=cameras)
    whole = Tracked(
        number,
        "registered",
        found.world_from_ct,
        result.verdict or "check",
        result.reasons,
        found.fit.similarity,
        result.uses[result.use].upper95_mm if result.use else None,
        cameras,
        result.seconds["total"] - result.seconds["load"],
        background,
    )
    how = {body.name: "registered" for body in result.together.bodies}
    return with_structures(whole, result.together, result.views, how, whole.seconds)


class _Geometry:
    """The cameras as the frame that was registered first left them.

    What is not known of them is solved for once.
    """

    def __init__(self, case: Case) -> None:
        self._given = {view.name: view.camera for view in case.views}
        self._exact = not CameraCorrections(case.views, case.shared_unknowns).free.size
        self._corrected: dict[str, View] = {}

    def learn(self, views: list[View]) -> None:
        self._corrected = {view.name: view for view in views}

    def corrected(self, views: list[View], name: str) -> list[View]:
        """Return the views of a later frame, with cameras whose angles and place are as corrected.

        Raises
        ------
        InputError
            For another camera than before.
        """
        if self._exact:
            return views
        for view in views:
            if not np.allclose(
                view.camera.projection_matrix, self._given[view.name].projection_matrix
            ):
                raise InputError(
                    f'{name}: the camera of view "{view.name}" is another one than in the first frame, expected the same in '
                    "all frames where it is not known exactly; register such frames one by one."
                )
        return [
            replace(
                view,
                camera=self._corrected[view.name].camera,
                rotation_sd_deg=0.0,
                translation_sd_mm=0.0,
            )
            for view in views
        ]
