"""A tracked sequence shown in its registration's scene, which keeps it, and all that was there before it."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..geometry.camera import Camera
from ..imaging.xray import XRay
from ..io.files import printable
from ..io.sequence import FrameFiles
from ..mrml.ct_3d import Places, places_of, put_bones, same_places
from ..mrml.fingerprints import of_ct
from ..mrml.image import FileImages, FrameImage, SliceImages, show_frame
from ..mrml.nodes import remove_with_products
from ..mrml.registration import Registration
from ..mrml.xray import ATTRIBUTE, FRAME, SOURCE, STILL, XRayView
from ..mrml.xray_record import XRayRecord, record_of
from ..translation import _
from .inputs import Inputs
from .tasks import Task, ended

if TYPE_CHECKING:
    from ..sequence.track_files import StoredTrack, Track
    from ..sequence.tracker import Tracked

#: Parameters of the registration: the content of a track.json, the number of the frame that is
#: shown, and the poses of CT and bones from before.
TRACK = "sequence"
NUMBER = "sequenceFrame"
POSE = "poseBeforeSequence"
BONE_POSES = "bonePosesBeforeSequence"
#: Attribute of an X-ray: its record from before.
BEFORE = "MultiViewRegistration.beforeSequence"
OTHER_FILES = _(
    "Sequence: its files are not those that were tracked, expected the same; the poses may not fit "
    "them."
)
PUT_BACK = _("The X-rays and CT are as they were before the sequence.")


def refuse_lost(registration: Registration) -> None:
    """Refuse X-rays that have lost the volume that could be put back.

    Raises
    ------
    InputError
        Naming the X-ray.
    """
    lost = next((view.name for view in registration.used_xrays if view.source is None), None)
    if lost:
        raise InputError(
            _(
                "{name}: the volume of its image was removed while frames were shown in it; add "
                "the X-ray again."
            ),
            name=lost,
        )


def keep_before(registration: Registration, names: list[str]) -> None:
    """Keep X-rays, cameras and CT as they are.

    Only content changes from now on, and sources give way to volumes of frames.
    """
    places = {name: pose.tolist() for name, pose in places_of(registration).items()}
    registration.keep(POSE, places.pop(""))
    registration.keep(BONE_POSES, places)
    for view in registration.xrays:
        if view.name in names:
            view.node.SetAttribute(BEFORE, view.node.GetAttribute(ATTRIBUTE))
            view.node.SetNodeReferenceID(STILL, view.source and view.source.GetID())


def put_back(inputs: Inputs, known: Mapping[str, XRay]) -> None:
    """Put X-rays, cameras and CT back as `keep_before` found them.

    An image that has been replaced since stays.

    Parameters
    ----------
    known
        The `XRay` that an X-ray had then, by its node's ID; made again where it is missing.
    """
    registration = inputs.registration
    for view in registration.xrays:
        before = view.node.GetAttribute(BEFORE)
        if before is not None:
            its_own = _put_back(view, record_of(view.name, before))
            with suppress(InputError):  # its file is gone, which the X-ray's own status says
                xray = known.get(view.id) if its_own else None
                show_image(view, FrameImage(xray or inputs.xray(view), {}), inputs)
            view.place()
    if pose := registration.kept(POSE):
        registration.world_from_ct = np.array(pose)
        bones = registration.kept(BONE_POSES, {})
        put_bones(registration, {name: np.array(pose) for name, pose in bones.items()})
        registration.keep(POSE, None)


def _put_back(view: XRayView, before: XRayRecord) -> bool:
    """Return whether the X-ray has its own image again."""
    source = view.source
    frame = view.node.GetNodeReference(FRAME)
    still = view.node.GetNodeReference(STILL)
    its_own = still is not None and source in (frame, still)
    if its_own:
        view.node.SetNodeReferenceID(SOURCE, still.GetID())
        view.record = before
    else:
        view.correct(before.corrected)
    for role in (FRAME, STILL):
        view.node.SetNodeReferenceID(role, None)
    view.node.RemoveAttribute(BEFORE)
    if frame is not None and view.source is not frame:
        remove_with_products(frame)
    return its_own


def keep_track(registration: Registration, content: dict) -> None:
    """Keep the content of a track.json that names its files by absolute paths.

    One without files is of the volumes in the scene.
    """
    _set_quietly(registration, TRACK, json.dumps(content, separators=(",", ":")))


def forget_files(registration: Registration) -> None:
    """Have the sequence name no files.

    The scene was sent from elsewhere, and would have this computer read its own.
    """
    content = json.loads(registration.parameter(TRACK, "{}"))
    if "sequence" in content:
        keep_track(registration, {**content, "sequence": None})


def saved(registration: Registration) -> tuple[int, Callable[[], tuple]] | None:
    """Return the number of the frame that is to be shown, and what finds the sequence, in any thread; None where there is none.

    That gives the `track_files.StoredTrack`, its `FrameFiles` or None, and a warning or "".
    InputError where the files are not there.
    """
    text = registration.parameter(TRACK)
    url = registration.scene.GetURL()
    beside = Path(url).absolute().parent if url else None
    if not text:
        return None
    return int(registration.parameter(NUMBER, "0")), lambda: _find(json.loads(text), beside)


def images_of(
    inputs: Inputs, track: StoredTrack, files: FrameFiles | None
) -> FileImages | SliceImages:
    """Return the images of what `saved` has found."""
    views = [view for view in inputs.registration.xrays if view.name in track.views]
    xrays = {view.name: (view, inputs.xray(view)) for view in views}
    if files is not None and xrays:
        return FileImages(files, {name: xray.valid for name, (_, xray) in xrays.items()})
    if not xrays or len(SliceImages(xrays)) < track.count:
        raise InputError(
            _(
                "Sequence: its X-rays are not those that were tracked, expected the same; add them "
                "again, and track them."
            )
        )
    return SliceImages(xrays)


def _find(content: dict, beside: Path | None) -> tuple:
    from ..io.case import changed_inputs
    from ..sequence.track_files import StoredTrack

    if "sequence" not in content:
        return StoredTrack.of(content, "Sequence", Path()), None, ""
    where = content["sequence"]
    if where is None:
        raise InputError(
            _(
                "Sequence: the scene was sent without the files of its frames, expected them on "
                "this computer; start mvreg view with the path of the scene, or open its "
                "track.json."
            )
        )
    images = where.get("images", {})
    names = [*where["cases"], *chain(*images.values())]
    home = posixpath.commonpath([posixpath.dirname(name) for name in names])
    own = posixpath.basename(home)
    folders = [Path(home)]
    if (
        beside is not None
    ):  # moved with the scene, into its folder or one of their own in it or beside it
        folders += [beside, beside / own, beside.parent / own]
    for folder in folders:
        there = {name: str(folder / posixpath.relpath(name, home)) for name in names}
        if all(Path(path).exists() for path in there.values()):
            moved: dict[str, Any] = {"cases": [there[name] for name in where["cases"]]}
            if "images" in where:
                moved["images"] = {
                    view: [there[name] for name in files] for view, files in images.items()
                }
            track = StoredTrack.of({**content, "sequence": moved}, "Sequence", Path())
            files = track.files()
            same = not track.inputs or not changed_inputs(track.inputs, files.file(0))
            if same or folder is folders[0]:
                return track, files, "" if same else OTHER_FILES
    lost = next((name for name in names if not Path(name).exists()), names[0])
    raise InputError(
        _(
            "Sequence: {path} is not there, expected the files that were tracked; put them back "
            "and open the scene again, or open its track.json."
        ),
        path=printable(lost),
    )


def _set_quietly(registration: Registration, parameter: str, value: str) -> None:
    """Set a parameter, many times a second, without an event."""
    node = registration.node
    was = node.GetDisableModifiedEvent()
    node.SetDisableModifiedEvent(1)
    node.SetParameter(parameter, value)
    node.SetDisableModifiedEvent(was)


#: Frames a second that may be requested, and how many are shown at first. A slow machine shows
#: fewer, and leaves none out.
RATES = (1, 2, 5, 10, 20)
RATE = 5


@dataclass(eq=False)
class Played:
    """A sequence and what was found in it.

    Attributes
    ----------
    frames
        Those that are done, in order, from the first; more may come.
    count
        How many the sequence has.
    views
        The names of the X-rays, in the order of a frame's cameras and similarities.
    track
        The `track_files.Track` or `StoredTrack` that has them.
    """

    name: str
    frames: list[Tracked]
    count: int
    views: list[str]
    images: FileImages | SliceImages
    track: Track | StoredTrack

    @classmethod
    def of(cls, track: StoredTrack, views: list[str], images: FileImages | SliceImages) -> Played:
        """Return what a track.json holds, with its images."""
        return cls(track.name, track.frames, track.count, views, images, track)

    def content(self, folder: Path | None) -> dict:
        """Return the content of track.json, with paths relative to `folder` (absolute if None)."""
        from ..sequence.track_files import StoredTrack

        if isinstance(self.track, StoredTrack):
            return {**self.track.to_json(folder, self.images.files), "views": self.views}
        return replace(self.track, frames=list(self.frames)).to_json(folder)


class Player:
    """Goes to frames, and plays them. `tick` is called from a timer.

    Images are read in a thread, one frame ahead.

    Attributes
    ----------
    number
        Of the frame that is shown, None before the first.
    playing, rate, loop
        Whether, at how many frames a second, and whether it begins again at the end.
    problem
        Why the X-rays do not show it, a sentence; "" where they do.
    """

    def __init__(self, inputs: Inputs, played: Played) -> None:
        self._inputs = inputs
        self.played = played
        self.number: int | None = None
        self.playing = False
        self.rate = RATE
        self.loop = False
        self.problem = ""
        self._requested: int | None = None
        self._newest = True
        self._put: Places | None = None
        self._shown_at: Places | None = None
        self._due = 0.0
        self._read: tuple[int, Task] | None = None
        self._before = {view.id: inputs.xray(view) for view in self._views}
        keep_before(inputs.registration, played.views)
        self._given = self._inputs_given()

    @property
    def _views(self) -> list[XRayView]:
        xrays = self._inputs.registration.xrays
        return [view for view in xrays if view.name in self.played.views]

    @property
    def last(self) -> int:
        """The number of the last frame that is done; -1 without any."""
        return len(self.played.frames) - 1

    @property
    def wanted(self) -> int:
        """The number of the requested frame, else of the one that is shown; 0 before the first."""
        return (self.number if self._requested is None else self._requested) or 0

    @property
    def frame(self) -> Tracked | None:
        """The result of the shown frame."""
        return None if self.number is None else self.played.frames[self.number]

    # What a person does

    def go(self, number: int) -> None:
        """Show a frame, the nearest there is, as soon as its images are read; playing ends."""
        number = min(max(int(number), 0), self.last)
        self.playing = False
        self._requested = number if number >= 0 else None
        self._newest = number == self.last

    def step(self, by: int) -> None:
        """Go so many frames on, or back."""
        self.go(self.wanted + by)

    def play(self) -> None:
        """Play from the frame that is shown; from the first one where that is the last."""
        self.playing = True
        self._due = monotonic()
        self._newest = False
        self._put = None
        if self.number == self.last:
            self._requested = 0

    def pause(self) -> None:
        """Stay at the frame that is shown."""
        self.playing = False
        self._requested = None

    def show_newest(self) -> None:
        """Show the frame that came last, as while they are tracked, unless a person has gone to another one, or plays."""
        if self._newest and self.number != self.last:
            self._requested = self.last

    def close(self) -> None:
        """Put X-rays, cameras and CT back as they were before."""
        self.pause()
        put_back(self._inputs, self._before)
        for parameter in (TRACK, NUMBER):
            self._inputs.registration.node.UnsetParameter(parameter)

    # What follows

    def tick(self) -> bool:
        """Show the frame that is due; whether anything has changed."""
        by_hand = self._put is not None and not self._at(self._put)
        changed = self.playing and by_hand
        self.playing &= not by_hand
        wanted = self._requested
        if wanted is None and self.playing and monotonic() >= self._due:
            wanted = self._next()
            if wanted is None:
                self.playing = False
                changed = True
        ready = self._read is not None and ended(self._read[1])
        if self._read is not None and ready and self._read[0] == wanted:
            self._show(wanted, self._read[1])
            self._read = None
            ready = False
            wanted = None
            changed = True
        ahead = wanted
        if wanted is None and self.playing:
            ahead = self._next()
        if ahead is not None and (self._read is None or (ready and self._read[0] != ahead)):
            images = self.played.images
            self._read = ahead, Task(lambda on_progress: images.read(ahead))
        return changed

    def _next(self) -> int | None:
        """Return the frame after the one that is shown; None at the end."""
        number = 0 if self.number is None else self.number + 1
        if number <= self.last:
            return number
        return 0 if self.loop and self.last > 0 else None

    def _show(self, number: int, read: Task) -> None:
        self.number = number
        self._requested = None
        self._due = max(self._due + 1 / self.rate, monotonic())
        self.problem = read.message
        views = {view.name: view for view in self._views}
        if not read.message:
            for name, view in views.items():
                _show_image(view, read.result[name], self._inputs)
        frame = self.played.frames[number]
        for name, camera in zip(self.played.views, frame.cameras, strict=False):
            if name in views:
                _correct(views[name], camera)
        if frame.world_from_ct is not None:
            self._inputs.registration.world_from_ct = frame.world_from_ct
        put_bones(self._inputs.registration, frame.bone_poses)
        self._put = self._shown_at = places_of(self._inputs.registration)
        _set_quietly(self._inputs.registration, NUMBER, str(number))

    @property
    def at_frame(self) -> bool:
        """Whether CT and bones lie where they were found in the frame that is shown, or where that left the CT as it was lost."""
        return self._shown_at is not None and self._at(self._shown_at)

    @property
    def has_same_inputs(self) -> bool:
        """Whether CT and geometry of the X-rays are unchanged since the sequence was opened."""
        return self._given == self._inputs_given()

    def _inputs_given(self) -> list[str]:
        geometries = (view.record.geometry_fingerprint for view in self._views)
        return [of_ct(self._inputs.registration), *geometries]

    def _at(self, places: Places) -> bool:
        return same_places(places, places_of(self._inputs.registration))


def show_image(view: XRayView, image: FrameImage, inputs: Inputs) -> None:
    """Have a view show an image from now on.

    Brightness and contrast stay, so that nothing flashes.
    """
    show_frame(view, image)
    inputs.cache_xray(view, image.xray)


def _show_image(view: XRayView, image: FrameImage, inputs: Inputs) -> None:
    shown = [view.node.GetNodeReference(role) for role in (FRAME, STILL)]
    replaced = view.source not in shown or view.size != image.xray.valid.shape[::-1]
    if not replaced:
        show_image(view, image, inputs)


def _correct(view: XRayView, camera: Camera) -> None:
    """Have a view the camera in which a frame's pose holds."""
    try:
        given = view.given_camera
    except InputError:  # it was taken away meanwhile
        return
    same = np.allclose(given.projection_matrix, camera.projection_matrix, rtol=1e-9)
    if view.correct(None if same else camera):
        view.place()
