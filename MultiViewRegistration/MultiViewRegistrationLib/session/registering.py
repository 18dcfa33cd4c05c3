"""Registrations and trackings under way: what a thread does, what it began from, and what in the scene stops it.

What has to be there before, and the registration of a new case without a click.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..finding import REGRESSOR_STARTS
from ..imaging.body import Body
from ..io.case import Case
from ..io.files import printable
from ..io.sequence import Frame, FrameFiles, Frames
from ..jobs import ProgressRecord
from ..mrml import landmarks, manual_pose
from ..mrml.case import searches_whole_ct
from ..mrml.ct_3d import places_of, same_places
from ..mrml.fingerprints import body_fingerprint, fingerprint
from ..mrml.identity import patients_in_doubt
from ..mrml.image import FileImages, SliceImages, frames_in
from ..mrml.registration import CT_TRANSFORM, Registration
from ..translation import _
from .inputs import PREPARING, Inputs, camera_of, problem_of_twins
from .tasks import Task

if TYPE_CHECKING:
    from ..registration.optimizer import Progress
    from ..report.result import Result
    from ..sequence.track_files import Track
    from .session import Session


#: Where a registration may begin: the pose as it is ("given", or set "by hand"), or one that is
#: found; "auto" is regressor and search.
STARTS = ("given", "search", "landmarks", "by hand", *REGRESSOR_STARTS)
#: Of these the pose as it is need not mean anything.
POSELESS_STARTS = ("landmarks", *REGRESSOR_STARTS)
#: The start of `api.register` where it has another name: a pose that a person set is a given one.
API_START = {"by hand": "given"}


def write_child_case(case: Case, world_from_ct: np.ndarray | None, folder: str) -> Path:
    """Return the path of a case.json with what a child needs of a case.

    Its CT, its X-rays as line integrals, how far to search, a start pose.
    """
    from ..geometry.fields import UNCERTAINTY
    from ..imaging.xray import raw_image
    from ..io.case_writer import write_case

    views = [
        {
            "name": view.name,
            "camera": view.camera,
            "intensity": "log",
            **{key: getattr(view, key) for key in UNCERTAINTY},
        }
        for view in case.views
    ]
    return write_case(
        folder,
        {"version": 1, "views": views, "search": case.search_range},
        [Body(case.ct, world_from_ct=world_from_ct)],
        {view.name: raw_image(view.xray.line_integrals, view.xray.pixel_mm) for view in case.views},
        {view.name: view.xray.valid for view in case.views},
    )


@dataclass(eq=False)
class RunningRegistration:
    """One registration from the pose and the inputs that the scene has now.

    Parameters
    ----------
    start
        One of session.STARTS.
    refinement
        "joint" or a published one.
    task
        Does it.
    preparing
        Gives what the CT is being made ready by, in words.
    warnings
        From before it began.

    Attributes
    ----------
    fingerprint, of_body, geometry
        Of the inputs: of all, of all but the bones, and by the view's name.
    """

    _registration: Registration
    start: str
    refinement: str
    task: Task[tuple[Result, float]]
    _preparing: Callable[[], str]
    warnings: list[str]

    def __post_init__(self) -> None:
        registration = self._registration
        self.fingerprint = fingerprint(registration)
        self.of_body = body_fingerprint(registration)
        self.geometry = {view.name: view.record.geometry_fingerprint for view in registration.xrays}
        self._before = self._shown = registration.world_from_ct
        #: The nodes without which there is nothing to register, or nothing to show it on, by what
        #: they are.
        self._needed = {
            _("the CT"): registration.ct,
            _("the CT's transform"): registration.node.GetNodeReference(CT_TRANSFORM),
            **{view.name: view.node for view in registration.used_xrays},
        }
        self._began = monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return monotonic() - self._began

    @property
    def stage(self) -> str:
        """The stage, in a few words."""
        progress = self.task.progress
        return progress.stage if progress else self._preparing() or PREPARING

    def show(self, progress: Progress) -> None:
        """Take the CT to the pose of a step."""
        self._registration.world_from_ct = self._shown = progress.world_from_ct

    def obstacle(self) -> str:
        """Return why it makes no sense to go on, a sentence; "" while it does."""
        registration = self._registration
        there = [registration.ct, registration.node.GetNodeReference(CT_TRANSFORM)]
        there += [view.node for view in registration.xrays]
        for what, node in self._needed.items():
            if not any(node is other for other in there):
                return _("The registration was stopped, as {what} was removed or replaced.").format(
                    what=what
                )
        return _("The registration was stopped, as the CT was moved.") if self._moved() else ""

    def put_back(self) -> None:
        """Take the CT back to where it was, unless it was moved by others, or is there no more."""
        if self._registration.scene is not None and not self.obstacle():
            self._registration.world_from_ct = self._shown = self._before

    @contextmanager
    def as_before(self) -> Iterator[None]:
        """Put the CT meanwhile where it was, unless it was moved by others."""
        if self.obstacle():
            yield
            return
        self._registration.world_from_ct = self._before
        try:
            yield
        finally:
            self._registration.world_from_ct = self._shown

    def _moved(self) -> bool:
        return not np.allclose(self._shown, self._registration.world_from_ct, rtol=0, atol=1e-6)


def register_bones(session: Session) -> None:
    """Begin to register each bone by itself, from where it is now; CT and cameras stay.

    It becomes an entry of the history with its verdict.

    Raises
    ------
    InputError
        As `Session.find_result`, without bones, and while other work is under way.
    """
    session.require_idle()
    case = session.case()
    if not case.bone_names:
        raise InputError(_("Bones: none is chosen, expected one or more; choose them first."))
    inputs = fingerprint(session.registration)
    pose = session.registration.world_from_ct
    places = places_of(session.registration)
    whole = _whole_here(session)
    finding = (lambda: replace(whole, case=case)) if whole else session.find_result(again=True)

    def find() -> Result:
        from ..api import register_bones

        return register_bones(finding(), places)

    def keep(result: Result) -> None:
        session.history.note_here()
        before = session.history.current
        cameras = {} if before is None else before.cameras
        of: dict[str, Any] = {"fingerprint" if whole else "assessed": inputs}
        session.add_result("bones", pose, result, cameras=cameras, **of)

    session.run(find, keep)


def _whole_here(session: Session) -> Result | None:
    """Return the last registration of the CT, where that lies there still and nothing but its bones has changed."""
    registration = session.registration
    if session.whole is None or session.whole[0] != body_fingerprint(registration):
        return None
    result = session.whole[1]
    there = {"": result.world_from_ct}
    return result if same_places(there, {"": registration.world_from_ct}) else None


#: X-rays that a case needs to be registered without being asked: one leaves the depth along its
#: beam open.
MIN_XRAYS = 2
#: Starts that need nothing more from a person.
UNATTENDED_STARTS = ("given", "search")


class AutomaticRegistration:
    """Centres and registers a new case once it is complete, and once more where an X-ray was added.

    A case is new while its history is empty, or holds nothing but what was done here. Once a person
    has cancelled, undone, moved the CT or registered, it is left alone for good.

    Parameters
    ----------
    session
        Its session.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._done: set[tuple] = set()  # the inputs that were registered, or could not be
        self._run: RunningRegistration | None = None
        self._left = (
            None if session.history.entries else _place(session)
        )  # the history as it was left; None for good

    def may_begin(self) -> bool:
        """Return whether there is a new case with new and complete inputs; call it from a timer.

        Ends a run of its own that lacks an X-ray.
        """
        session = self._session
        if self._run is not None and self._run is not session.running_registration:
            self._run = None
            self._left = _place(session) if session.ended == "done" else None
        if self._left is None or session.sequence.player is not None:
            return False
        if self._run is None and (
            session.running_registration is not None or _place(session) != self._left
        ):
            self._left = None
            return False
        if self._run is None and session.running:
            return False
        inputs = _inputs(session.registration)
        if (
            inputs in self._done
            or session.registration.start not in UNATTENDED_STARTS
            or not _complete(session)
        ):
            return False
        if self._run is not None:
            session.cancel()
            session.ended = ""
            self._run = None
            self._left = _place(session)
        return True

    def begin(self) -> None:
        """Centre the CT where it was never placed, and register.

        Raises
        ------
        InputError
            As `Session.register`.
        """
        session = self._session
        registration = self._session.registration
        self._done.add(_inputs(registration))
        if (
            not session.history.entries
            and registration.start == "search"
            and not manual_pose.centre_is_seen(registration)
        ):
            session.centre()
        session.register(registration.start)
        self._run = session.running_registration


def _place(session: Session) -> tuple:
    """Return where a session's history is, and whether the CT lies there."""
    history = session.history
    return len(history.entries), history.position, bool(history.entries) and history.moved


def _inputs(registration: Registration) -> tuple:
    """Return the CT, the structure in it, and the X-rays that are used."""
    nodes = [
        registration.ct,
        registration.segmentation,
        *(view.node for view in registration.used_xrays),
    ]
    return registration.segment_id, *(node and node.GetID() for node in nodes)


def _complete(session: Session) -> bool:
    used = session.registration.used_xrays
    if len(used) < MIN_XRAYS or any(not view.placed or session.problem(view) for view in used):
        return False
    return not missing_inputs(session)


#: Landmarks that a start from them needs, and positions of them in the X-rays.
MIN_LANDMARKS = 3
MIN_POSITIONS = 4


def missing_inputs(session: Session) -> str:
    """Return the steps missing before a registration can begin, in a sentence.

    "" for none, as far as known without the voxels.
    """
    registration = session.registration
    return missing_images(registration) or missing_at_start(session, registration.start)


def missing_images(registration: Registration) -> str:
    """Return the part of `missing_inputs` that concerns the CT and the X-rays, for any start.

    A regressor is trained for them, too.
    """
    if registration.ct is None:
        return _("Choose a CT first.")
    views = registration.used_xrays
    if not views:
        return _("Add an X-ray first, better two, or use one that is skipped.")
    if patients_in_doubt(registration):
        return _("CT and X-rays are of different patients.")
    try:
        for view in views:
            camera_of(view)
    except InputError as error:
        return str(error)
    return problem_of_twins(registration)


def missing_at_start(session: Session, start: str) -> str:
    """Return the part of `missing_inputs` that concerns the start alone."""
    return session.refused(start) or (
        _missing_landmarks(session.registration) if start == "landmarks" else ""
    )


def is_outside(registration: Registration, start: str) -> bool:
    """Return whether a start begins where the CT is, and no X-ray shows it there."""
    if start == "search" and searches_whole_ct(registration):
        return False
    there = registration.ct is not None and registration.placed_xrays
    if start in POSELESS_STARTS or not there:
        return False
    return not manual_pose.ct_is_seen(registration)


def _missing_landmarks(registration: Registration) -> str:
    """Return what landmarks lack; one in the CT counts once for each X-ray that shows it."""
    if landmarks.outside_ct(registration):
        return _("A landmark was clicked outside the CT: keep it or remove it first.")
    in_ct, *in_xrays = landmarks.clicked(registration).values()
    pairs = [label for label in chain(*in_xrays) if label in in_ct]
    count = len(set(pairs))
    if count >= MIN_LANDMARKS and len(pairs) >= MIN_POSITIONS:
        return ""
    so_far = {0: _("none so far"), 1: _("1 so far, with 1 position")}
    more = _("{count} so far, with {positions} positions")
    hint = _(
        "Click four landmarks in the CT and in an X-ray, or three with one of them in two X-rays; "
        "{so_far}."
    )
    said = so_far.get(len(pairs), more).format(count=count, positions=len(pairs))
    return hint.format(so_far=said)


#: Line integrals of one image may differ by so much from those of the same in memory, but for a
#: constant.
IMAGE_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class SceneSequence(Frames):
    """A sequence of images in the scene; the cameras are those of the first frame."""

    images: SliceImages = field(kw_only=True)

    @property
    def names(self) -> list[str]:
        """The names of the frames."""
        return self.images.names

    def read(self, number: int) -> Frame:
        """Read a frame."""
        images = self.images.read(number)
        return Frame([replace(view, xray=images[view.name].xray) for view in self.first.views])


@dataclass(eq=False)
class Tracking:
    """Frames are followed one after another, from the case and the pose that the scene has now, until the last one or `cancel`.

    Parameters
    ----------
    images
        Of the frames.

    Attributes
    ----------
    track
        The `track_files.Track`, whose frames grow; None while the first is prepared.
    task
        Does it.
    """

    _case: Case
    _given: SliceImages | FrameFiles | Path
    _ready: Callable
    _start: str
    _pace: str
    _device: str
    track: Track | None = None
    images: FileImages | SliceImages | None = None

    def __post_init__(self) -> None:
        self._start = API_START.get(self._start, self._start)
        self.task = Task(self._run)

    @property
    def step(self) -> ProgressRecord:
        """How far it is."""
        return self.task.progress or ProgressRecord(0.0, _("preparing"))

    def _run(self, on_progress: Callable) -> None:
        from ..rendering.devices import ComputeDevice
        from ..sequence.run import follow
        from ..sequence.track_files import Track

        device = ComputeDevice(self._device, registering=True)
        anatomy = self._ready(lambda progress: on_progress(ProgressRecord(0.0, PREPARING)))
        sequence, self.images = self._sequence()
        track = self.track = Track(
            sequence, anatomy, self._pace, self._start, compute_device=device
        )
        frames = track.frames
        count = len(sequence)

        def registering(progress: Progress) -> bool:
            return on_progress(
                ProgressRecord((len(frames) + progress.fraction) / count, progress.stage)
            )

        stage = _("{done} of {count} frames are done")
        how = self._start, self._pace, 0, registering, device
        for frame in follow(sequence, anatomy, *how):
            frames.append(frame)
            done = len(frames)
            said = stage.format(done=done, count=count)
            if on_progress(ProgressRecord(done / count, said)) is False:
                return

    def _sequence(self) -> tuple[Frames, FileImages | SliceImages]:
        if isinstance(self._given, SliceImages):
            return SceneSequence(self._case, None, images=self._given), self._given
        from ..io.case import hashes
        from ..io.sequence import FrameSequence

        files = self._given
        if not isinstance(files, FrameFiles):
            files = FrameFiles.of_images(files)
        case = replace(self._case, inputs=hashes(files.file(0))[0])
        sequence = FrameSequence(case, files)
        for here, there in zip(case.views, sequence.read(0).views, strict=True):
            difference = (here.xray.line_integrals - there.xray.line_integrals)[here.xray.valid]
            if np.ptp(difference) > IMAGE_TOLERANCE or not here.camera.same_as(there.camera):
                raise InputError(
                    _(
                        "{name}: its image or geometry is not that of {case} any more, expected "
                        "the same, as the other frames have them from there; open the case again."
                    ),
                    name=here.name,
                    case=printable(files.cases[0].name),
                )
        return sequence, FileImages(files, {view.name: view.xray.valid for view in case.views})


def frames_of(inputs: Inputs) -> SliceImages | Path:
    """Return the images of the used X-rays' frames.

    Raises
    ------
    InputError
        Where they are still images.
    """
    views = inputs.registration.used_xrays
    if frames_in(inputs.registration) > 1:
        turning = next((view.name for view in views if view.record.header.frames), None)
        if turning:
            raise InputError(
                _(
                    "Track: the C-arm of {name} turns from frame to frame, expected one geometry "
                    "for all frames; make a case.json, and open that."
                ),
                name=turning,
            )
        return SliceImages({view.name: (view, inputs.xray(view)) for view in views})
    if inputs.case_path is None:
        raise InputError(
            _(
                "Track: the X-rays have one frame each, expected multi-frame images; add such "
                "X-rays, or open a case.json that names them."
            )
        )
    return inputs.case_path
