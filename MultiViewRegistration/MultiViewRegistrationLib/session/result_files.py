"""Results written to files, and a result.json read back into the scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, warn
from ..io.case import Case, hashes
from ..io.case_file import CaseFile
from ..io.files import JsonObject, printable, read_json, write_json
from ..io.folders import RESULT, earlier_files, staged
from ..io.navigation import CASE_KINDS, VOLUME_FORMATS
from ..io.navigation.exports import write_together as write_files_together
from ..io.navigation.igtl import Messages, messages_of
from ..io.result_json import REJECTED, RegistrationExport, result_content
from ..io.sequence import FrameFiles
from ..io.transforms import AXES, DIRECTIONS
from ..mrml.case import assumptions_of, drawn, image_for_file, settings_of
from ..mrml.fingerprints import fingerprint, of_image
from ..mrml.identity import ct_images, recorded_patient
from ..mrml.image import FileImages
from ..mrml.loading import ReadCase, case_of_files, read_case
from ..mrml.registration import Registration
from ..mrml.xray import XRayView
from ..translation import _
from .assessment import reason_not_to_use
from .history import History, HistoryEntry
from .player import Played
from .session import Session
from .tasks import Writer, within_sentence

if TYPE_CHECKING:
    from ..sequence.track_files import StoredTrack

#: All kinds of files that `mvreg export` writes, and what each is called.
KIND_NAMES = {
    "tfm": _("ITK transform, text (.tfm)"),
    "h5": _("ITK transform, HDF5 (.h5)"),
    "txt": _("4\u00d74 matrix, text (.txt)"),
    "npy": _("4\u00d74 matrix, NumPy (.npy)"),
    "json": _("4\u00d74 matrix, JSON (.json)"),
    "dicom": _("DICOM Spatial Registration (.dcm)"),
    "resampled-ct": _("CT, resampled where it lies (.{ending})").format(ending=VOLUME_FORMATS[0]),
    "resampled-mask": _("Structure, resampled where it lies (.{ending})").format(
        ending=VOLUME_FORMATS[0]
    ),
    "drr": _("DRRs, DICOM Secondary Capture (.dcm)"),
    "cameras": _("Cameras of the X-rays for Slicer (.mrml)"),
}


def missing_for_kind(registration: Registration, kind: str) -> str:
    """Return what a kind of file lacks, or why it cannot be, in a sentence; "" for nothing."""
    if kind == "resampled-mask" and registration.segmentation is None:
        return _("Choose a structure in section 1. CT first.")
    if kind == "cameras" and any(
        view.record.kind == "slot_scan" for view in registration.used_xrays
    ):
        return _("No camera of Slicer's can show a slot scan, whose source moves from row to row.")
    return ""


def write_result(
    session: Session,
    folder: Path,
    kinds: Sequence[str] = (),
    *,
    override: bool = False,
    names: bool = False,
) -> Writer:
    """Return a function that writes result.json, transforms, overlays and report.html for the pose as it is now, for a thread.

    Returns the files but for the overlays.

    It takes another folder, see `write_together`.

    InputError, now, where that is not requested, or `Session.case` has one; later, where the views
    show too little of the CT, or the folder cannot be written.

    Parameters
    ----------
    kinds
        Of `KIND_NAMES`, for other programs: beside the others, in both directions and both axes by
        name, and, with a tracker's frame, as reference_from_ct, too.
    override
        Also where `assessment.reason_not_to_use` has something against it, or the pose is only now
        found to be one to reject; the files then carry that. Without, they have no transforms of
        such a pose.
    names
        Name the case in the report.
    """
    reason = require_settled(session, override)
    finding = session.find_checked_result()
    case = session.case() if set(kinds) & set(CASE_KINDS) else None
    slices = ct_images(session.registration)

    def write(folder: Path = folder) -> list[Path]:
        from ..report.exports import files_of
        from ..report.result_page import save_result  # it needs Pillow

        result = finding()
        against = reason or (REJECTED if override and result.withheld() else None)
        content = save_result(result, folder, against, names=names)
        written = (RESULT, *content["files"])
        files = [folder / name for name in written if not name.endswith(".png")]
        _whole, exports = RegistrationExport.every(files[0], content)
        usable = [each for each in exports if not each.refused]
        how = DIRECTIONS, AXES, slices
        further = files_of(usable, kinds, *how, case, VOLUME_FORMATS[0], {})
        return files + (write_files_together(further, folder, files[0]) if further else [])

    return write


def take_messages(
    session: Session, *, override: bool = False
) -> Callable[[], tuple[RegistrationExport, Messages]]:
    """Return a function that makes the OpenIGTLink messages of the pose as it is now, its overlays among them, for a thread.

    InputError as `write_result`, and later where pyigtl is missing.
    """
    reason = require_settled(session, override)
    finding = session.find_checked_result()

    def make() -> tuple[RegistrationExport, Messages]:
        from ..report.result_page import Entry

        result = finding()
        exported, every = RegistrationExport.every(RESULT, result.to_json(reason or None))
        usable = [each for each in every if not each.refused]
        if exported.refused and usable:  # bones alone are sent
            exported = max(usable, key=attrgetter("doubt"))
        pictures = [shown[-1]["edges"] for shown in Entry(result).pictures]
        return exported, messages_of(exported, usable, pictures)

    return make


def poses_offered(session: Session) -> list[str]:
    """Return the names of the poses that an export has."""
    tracked = settings_of(session.registration).reference_from_world is not None
    return ["world_from_ct", *(["reference_from_ct"] if tracked else [])]


def write_case_folder(session: Session, folder: Path) -> Writer:
    """Return a function that writes a case.json that starts at the pose as it is now, and all files that it names, for a thread.

    It returns the case.json alone, and takes another folder, see `write_together`.

    InputError, now, as `Session.case`; later, as `write_case`.
    """
    from ..io.case_writer import write_case

    case = session.case()
    content = case_content(session)
    views = session.registration.used_xrays
    images = {view.name: image_for_file(view) for view in views}
    masks = {view.name: mask for view in views if (mask := drawn(view)) is not None}
    return lambda folder=folder: [write_case(folder, content, case.bodies, images, masks)]


def write_together(session: Session, folder: Path, writers: Sequence[Writer]) -> Writer:
    """Return a function that writes what several of the functions above write, into one folder, all at once, for a thread.

    Returns their files.
    """
    images = [of_image(view) for view in session.registration.used_xrays]

    def write() -> list[Path]:
        with staged(
            folder, RESULT, partial(earlier_files, case_file=None, images=images)
        ) as staging:
            files = list(chain(*(write(staging) for write in writers)))
            case = staging / "case.json"
            if case in files and staging / RESULT in files:
                _know_inputs(staging / RESULT, case)
        return [folder / file.name for file in files]

    return write


def _know_inputs(result: Path, case: Path) -> None:
    """Have a result know the files of the case that is written beside it as its inputs."""
    content = read_json(result)
    content["inputs"] |= hashes(CaseFile.read(case))[0]
    write_json(result, content)


def case_content(session: Session) -> dict:
    """Return the content of a case.json for the scene, without its files."""
    case = session.case()
    registration = session.registration
    known = case.structure_truths
    chosen = {name: known[name] for name in case.bone_names if name in known}
    settings = case.settings_json(
        structure_truths=chosen, patient_digests=recorded_patient(registration)
    )
    return {"views": list(map(_view_content, registration.used_xrays)), **settings}


def _view_content(view: XRayView) -> dict:
    intensity = "log" if view.source is None else view.record.intensity
    return replace(
        view.record.flat, frame=None, intensity=intensity, assumptions=assumptions_of(view)
    ).to_json()


def require_settled(session: Session, override: bool) -> str:
    """Return why not to export the pose, "" for no reason.

    Raises
    ------
    InputError
        Where there is a reason and it is not overridden.
    """
    reason = reason_not_to_use(session)
    if reason and not override:
        raise InputError(
            _("Export: {reason}, expected a result that stands; register again, or override this."),
            reason=within_sentence(reason),
        )
    return reason


def read_result(path: Path, case: Path | None = None) -> ReadCase:
    """Read a result.json and its case, in any thread.

    What is returned puts them into a scene, in the main thread.

    Parameters
    ----------
    case
        The case.json that it was found from, or its folder; None for the one beside the result.

    Raises
    ------
    InputError
        If either is invalid, where there is no case, and where that has other views.
    """
    path, fields = result_content(path)
    exported = RegistrationExport.of(path, fields)
    case = case or path.with_name("case.json")
    if not case.exists():
        raise InputError(
            _(
                "{path}: found no case.json beside it, expected the case that the result was found "
                "from; name it (--case CASE), or put both into one folder."
            ),
            path=path.name,
        )
    found = exported.with_changes(exported.changes(case))
    return replace(read_case(case), then=partial(_put, found, fields))


def _put(exported: RegistrationExport, fields: JsonObject, registration: Registration) -> None:
    """Put a registration where its result.json has it, as an entry of its history.

    One with a warning does not count as a result of the scene's inputs.

    Raises
    ------
    InputError
        Where the result is of other views.
    """
    warning = exported.warning
    views = {view.name: view for view in registration.xrays}
    cameras = {}
    for of_view, told in zip(fields.values["views"], exported.views, strict=True):
        view = views.get(told.name)
        if view is None:
            raise InputError(
                _(
                    "result.json: has views that its case does not have, expected the case that it "
                    "was found from; name that one."
                )
            )
        if "given_camera_from_world" in of_view or "given_intrinsics" in of_view:
            corrected = told.corrected(view.camera).to_json()
            cameras[view.name] = {**corrected, "of": view.record.geometry_fingerprint}
    entry = HistoryEntry.of_content(
        str(fields.values.get("start", {}).get("method", "given")),
        exported.world_from_ct,
        fields,
        cameras=cameras,
        fingerprint="" if warning else fingerprint(registration),
    )
    if warning:
        entry = replace(entry, notes=[warning, *entry.notes])
    history = History(registration)
    history.note("before")
    history.add(entry)
    history.put(entry)


def read_track(path: Path, case: Path | None = None) -> ReadCase:
    """Read a track.json, or the one in a folder, with its case, in any thread.

    Warns where the case's files are others than those that were tracked.

    Parameters
    ----------
    case
        The case.json with multi-frame images that was tracked, where it is not any more where the
        track has it.

    Raises
    ------
    InputError
        If either is invalid.
    """
    from ..io.sequence import FrameSequence
    from ..sequence.track_files import StoredTrack

    track = StoredTrack.read(path)
    files = track.files() if case is None else FrameFiles.of_images(case)
    sequence = (
        FrameSequence.of_cases(files.cases)
        if files.own_cases
        else FrameSequence.of_images(files.cases[0], files.images)
    )
    first = sequence.first
    names = [view.name for view in first.views]
    if track.views and not set(track.views) <= set(names):
        raise InputError(
            _(
                "{path}: has the views {views}, but its case has {names}, expected the same; put "
                "the case back, or track it again."
            ),
            path=printable(Path(path).name),
            views=", ".join(map(printable, track.views)),
            names=", ".join(names),
        )
    if track.inputs and first.inputs != track.inputs:
        warn(
            _(
                "{name}: its files are not those that were tracked; the poses may not fit them."
            ).format(name=first.name)
        )
    read = case_of_files(first, files.file(0))
    return replace(read, play=partial(_play, track, files, first))


def _play(track: StoredTrack, files: FrameFiles, case: Case, session: Session) -> None:
    """Open the sequence of a track.json in the session of its case."""
    views = {view.name: view for view in case.views}
    names = track.views or list(views)
    images = FileImages(files, {name: views[name].xray.valid for name in names})
    session.sequence.open(Played.of(track, names, images))
