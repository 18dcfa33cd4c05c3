"""What a scene has of the sequence that is played in it: one that is saved meanwhile brings it back, and all that was there before it."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..imaging.xray import XRay
from ..io.json_reader import printable
from ..mrml.nodes import remove_with_products
from ..mrml.registration import Registration
from ..mrml.xray import FRAME, SOURCE, STILL, XRayView
from .inputs import Inputs
from .tracking import FileImages, FrameImage, SliceImages

#: Parameters of the registration: the content of a track.json, the number of the frame that is shown, and the pose from before.
TRACK, NUMBER, POSE = "sequence", "sequenceFrame", "poseBeforeSequence"
#: Attribute of an X-ray: its content from before.
BEFORE = "MultiViewRegistration.beforeSequence"
OTHER_FILES = "Sequence: its files are not those that were tracked, expected the same; the poses may not fit them."
PUT_BACK = "The X-rays and CT are as they were before the sequence."


def refuse_lost(registration: Registration) -> None:
    """InputError where an X-ray has lost the volume that could be put back."""
    lost = next((view.name for view in registration.xrays if view.used and view.source is None), None)
    if lost:
        raise InputError(
            f"{lost}: the volume of its image was removed, expected it while frames are shown in its place; add the X-ray "
            "again."
        )


def keep_before(registration: Registration, names: list[str]) -> None:
    """Keep X-rays, cameras and CT as they are; only content changes from now on, and sources give way to volumes of frames."""
    registration.node.SetParameter(POSE, json.dumps(registration.world_from_ct.tolist()))
    for view in registration.xrays:
        if view.name in names:
            view.node.SetAttribute(BEFORE, json.dumps(view.content))
            view.node.SetNodeReferenceID(STILL, view.source and view.source.GetID())


def put_back(inputs: Inputs, known: Mapping[str, XRay]) -> None:
    """Put X-rays, cameras and CT back as `keep_before` found them; an image that has been replaced since stays.

    known: the `XRay` that an X-ray had then, by its node's ID; made anew where it is missing.
    """
    registration = inputs.registration
    for view in registration.xrays:
        before = view.node.GetAttribute(BEFORE)
        if before is not None:
            its_own = _put_back(view, json.loads(before))
            with suppress(InputError):  # its file is gone: that is told of the X-ray itself
                xray = known.get(view.node.GetID()) if its_own else None
                FrameImage(xray or inputs.xray(view), {}).show(view, inputs)
            view.place()
    if pose := registration.parameter(POSE):
        registration.world_from_ct = np.array(json.loads(pose))
        registration.node.UnsetParameter(POSE)


def _put_back(view: XRayView, content: dict) -> bool:
    """Whether the X-ray has its own image again."""
    source, frame, still = view.source, view.node.GetNodeReference(FRAME), view.node.GetNodeReference(STILL)
    its_own = still is not None and source in (frame, still)
    if its_own:
        view.node.SetNodeReferenceID(SOURCE, still.GetID())
        view.content = content
    else:
        view.change(corrected=content.get("corrected"))
    for role in (FRAME, STILL):
        view.node.SetNodeReferenceID(role, None)
    view.node.RemoveAttribute(BEFORE)
    if frame is not None and view.source is not frame:
        remove_with_products(frame)
    return its_own


def keep_track(registration: Registration, content: dict) -> None:
    """Keep the content of a track.json that names its files by absolute paths; one without files is of the volumes in the scene."""
    _set_quietly(registration, TRACK, json.dumps(content, separators=(",", ":")))


def keep_number(registration: Registration, number: int) -> None:
    """Keep which frame is shown."""
    _set_quietly(registration, NUMBER, str(number))


def forget(registration: Registration) -> None:
    """The scene has no sequence any more."""
    for parameter in (TRACK, NUMBER):
        registration.node.UnsetParameter(parameter)


def forget_files(registration: Registration) -> None:
    """Have the sequence name no files: the scene was sent by somebody, and would have this computer read its own."""
    content = json.loads(registration.parameter(TRACK, "{}"))
    if "sequence" in content:
        keep_track(registration, {**content, "sequence": None})


def saved(registration: Registration) -> tuple[int, Callable[[], tuple]] | None:
    """The number of the frame that is to be shown, and what finds the sequence, in any thread; None where there is none.

    That gives the `track_files.StoredTrack`, its `FrameFiles` or None, and what is to be told, "" or a sentence. InputError where the files
    are not there.
    """
    text, url = registration.parameter(TRACK), registration.scene.GetURL()
    beside = Path(url).absolute().parent if url else None
    return (int(registration.parameter(NUMBER, "0")), lambda: _find(json.loads(text), beside)) if text else None


def images_of(inputs: Inputs, track, files) -> FileImages | SliceImages:
    """Of what `saved` has found. InputError where the X-rays are not those that were tracked any more."""
    xrays = {view.name: (view, inputs.xray(view)) for view in inputs.registration.xrays if view.name in track.views}
    if files is not None and xrays:
        return FileImages(files, {name: xray.valid for name, (_, xray) in xrays.items()})
    if not xrays or len(SliceImages(xrays)) < track.count:
        raise InputError(
            "Sequence: its X-rays are not those that were tracked, expected the same; add them again, and track them."
        )
    return SliceImages(xrays)


def _find(content: dict, beside: Path | None) -> tuple:
    from ..io.case import hashes
    from ..sequence.track_files import StoredTrack

    if "sequence" not in content:
        return StoredTrack.of(content, "Sequence", Path()), None, ""
    where = content["sequence"]
    if where is None:
        raise InputError(
            "Sequence: the scene was sent without the files of its frames, expected them on this computer; start mvreg view "
            "with the path of the scene, or open its track.json."
        )
    names = [*where["cases"], *(name for files in where.get("images", {}).values() for name in files)]
    for moved, there in _homes(names, beside):
        if all(path.exists() for path in there.values()):
            track = StoredTrack.of({**content, "sequence": _at(where, there)}, "Sequence", Path())
            files = track.files()
            same = not track.inputs or hashes(files.file(0))[0] == track.inputs
            if same or not moved:
                return track, files, "" if same else OTHER_FILES
    lost = next((name for name in names if not Path(name).exists()), names[0])
    raise InputError(
        f"Sequence: {printable(lost)} is not there, expected the files that were tracked; put them back and open the scene again, "
        "or open its track.json."
    )


def _at(where: dict, there: dict[str, Path]) -> dict:
    """The section "sequence" of a track.json whose files are there."""
    images = {view: [str(there[name]) for name in names] for view, names in where.get("images", {}).items()}
    return {"cases": [str(there[name]) for name in where["cases"]], **({"images": images} if images else {})}


def _homes(names: list[str], beside: Path | None) -> Iterator[tuple[bool, dict[str, Path]]]:
    """Where each file may be, and whether it was moved there: with the scene, into its folder or one of their own in it or beside it."""
    yield False, {name: Path(name) for name in names}
    with suppress(ValueError):  # of several drives
        home = posixpath.commonpath([posixpath.dirname(name) for name in names])
        for folder in (
            ()
            if beside is None
            else (beside, beside / posixpath.basename(home), beside.parent / posixpath.basename(home))
        ):
            yield True, {name: folder / posixpath.relpath(name, home) for name in names}


def _set_quietly(registration: Registration, parameter: str, value: str) -> None:
    """Set a parameter of which nobody need hear, many times a second."""
    node = registration.node
    was = node.GetDisableModifiedEvent()
    node.SetDisableModifiedEvent(1)
    node.SetParameter(parameter, value)
    node.SetDisableModifiedEvent(was)
