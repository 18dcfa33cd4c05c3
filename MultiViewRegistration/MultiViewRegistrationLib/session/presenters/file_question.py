"""What is done with files that were dropped or chosen together, and the one question about them.

`decide` is a pure function of the recognised files, the answers and the open registration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...io.calibration.calibrated import CalibratedView
from ...io.dicom_identity import doubt_about_segmentation, read_volume
from ...io.files import redact_upload_paths
from ...io.recognise import (
    BEADS,
    CALIBRATION,
    CASE,
    CT,
    LANDMARKS,
    MASK,
    POSE,
    SURFACE,
    XRAY,
    XRAY_MASK,
    RecognisedFile,
    of_kind,
    prefer,
    whole_files,
)
from ...mrml.identity import OTHER, UNKNOWN
from ...translation import _
from .external_files import (
    COMPANION_FILE,
    NO_FILE,
    PLACE_QUESTION,
    Answers,
    Question,
    ask_for_file,
    match,
    read_cameras,
    read_pose,
    with_paths,
)

#: Kinds of a file that may be of several kinds.
KIND_NAMES = {
    CT: _("CT"),
    XRAY: _("X-rays"),
    CALIBRATION: _("Calibration of an X-ray"),
    POSE: _("Start pose of the CT"),
}
#: Materials of implants, see `imaging.ct.MATERIALS`.
MATERIALS = {
    "titanium": _("Implant of titanium"),
    "cobalt-chrome": _("Implant of cobalt-chrome"),
    "steel": _("Implant of steel"),
    "polyethylene": _("Implant of polyethylene"),
}
#: The answer in place of a material.
MODEL = "model"
IMPLANT = "implant"
NEW, ADD, USE, LEAVE_OUT, OPEN = "new", "add", "use", "leave_out", "open"
#: The reason to ask, and what adding the images means, by `identity.doubt_about`.
PATIENT_DOUBTS = {
    OTHER: (
        _("The headers name another patient than the open registration."),
        _(" (another patient)"),
    ),
    UNKNOWN: (
        _("The headers do not show whether these files are of the same patient."),
        _(" (same patient)"),
    ),
    "": (_("The open registration already has a CT."), ""),
}
SINGLE_SLICE = _("{file} is a single CT slice. Drop the whole series, or choose it as an X-ray.")
UNRECOGNISED = _(
    "{file}: not recognised as a CT, X-ray, mask, surface, calibration, pose, landmarks, case or "
    "scene. Export it in one of these formats."
)


@dataclass(frozen=True)
class OpenXRay:
    """An X-ray of the open registration, or of the files.

    Attributes
    ----------
    id
        ID of its node, or the path of its file.
    size
        (columns, rows).
    """

    id: str
    name: str
    size: tuple[int, int]
    needs_geometry: bool


@dataclass(frozen=True)
class OpenCase:
    """A registration, as far as it matters for new files.

    Attributes
    ----------
    there
        Whether a registration is open.
    replaces
        Whether a new registration takes its place.
    ct_header
        Of its CT, see `identity.ct_header`; None without a CT.
    xrays
        Its X-rays.
    doubt
        Whether the files may be of another patient, see `identity.doubt_about`.
    """

    there: bool = False
    replaces: bool = True
    ct_header: Mapping[str, str] | None = None
    xrays: tuple[OpenXRay, ...] = ()
    doubt: str = ""


@dataclass(frozen=True)
class Drop:
    """Files that were dropped or chosen together.

    Attributes
    ----------
    files
        The recognised files.
    xrays
        Those that are X-rays.
    preferred
        Kind that the user chose them as; "" if they were dropped.
    replacing
        Whether the user chose to close the open registration first.
    folder
        Folder into which a page sent them.
    """

    files: tuple[RecognisedFile, ...]
    xrays: tuple[OpenXRay, ...] = ()
    preferred: str = ""
    replacing: bool = False
    folder: Path | None = None


@dataclass(frozen=True)
class Use:
    """How a file is used.

    Attributes
    ----------
    kind
        Kind of `io.recognise`, IMPLANT or MODEL.
    file
        The file.
    target
        ID of the X-ray, CT, or the material of an implant.
    value
        The camera, the pose (4, 4), LPS mm, or the place of landmarks, see PLACE_QUESTION.
    """

    kind: str
    file: RecognisedFile
    target: str = ""
    value: Any = None

    @property
    def needs_ct(self) -> bool:
        """Whether it is placed on the CT."""
        return self.kind in (MASK, IMPLANT, MODEL, POSE) or self.target == CT


@dataclass
class Decision:
    """What is done with the files.

    Attributes
    ----------
    answers
        The user's answers and preselected ones, by question key.
    title
        What is asked, in sentences.
    questions
        The fields of the question; none if the files have one reading only.
    left_out
        Why files are not used, one sentence per file.
    opens
        Case, result, track or scene to open.
    begins
        Whether the files begin a new registration.
    same_patient
        Whether the user states that images of unknown patients are of the open registration's.
    uses
        The files to add, in their order.
    """

    answers: Answers
    title: list[str] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    opens: Path | None = None
    begins: bool = False
    same_patient: bool = False
    uses: list[Use] = field(default_factory=list)

    @property
    def replaces_ct(self) -> bool:
        """Whether a CT is among the files to add."""
        return any(use.kind == CT for use in self.uses)

    @property
    def unanswered(self) -> list[str]:
        """Keys of the questions without an answer."""
        return [each.key for each in self.questions if not self.answers.get(each.key, "").strip()]

    def choose(self, key: str, label: str, choices: Iterable[tuple[str, str]], likely: str) -> str:
        """Ask for one of several choices, and return the answer, which is the likely one at first."""
        choices = tuple(choices)
        self.questions.append(Question(key, label, "", choices))
        if self.answers.get(key) not in dict(choices):
            self.answers[key] = likely
        return self.answers[key]

    def choose_image(self, key: str, file: RecognisedFile, images: Mapping[str, str]) -> str:
        """Return the ID of the image that a file belongs to: the only one, or the user's choice.

        Parameters
        ----------
        images
            Names by ID; at least one.
        """
        ids = list(images)
        if len(ids) == 1:
            return ids[0]
        found = match(list(images.values()), [file.name.partition(".")[0]], lambda i, j: True)
        label = _("{file} belongs to").format(file=file.name)
        return self.choose(key, label, images.items(), ids[next(iter(found), 0)])

    def leave_out(self, sentence: str, **values: object) -> None:
        """Report a file that is not used."""
        self.left_out.append(redact_upload_paths(sentence.format(**values)))


def decide(drop: Drop, answers: Answers, opened: OpenCase) -> Decision:
    """Return what is done with files, with the question about them.

    Files that need others are left out, with the reason.

    Parameters
    ----------
    answers
        The user's answers, by question key.
    """
    decision = Decision(dict(answers))
    if wholes := whole_files(drop.files):
        decision.left_out = [file.problem for file in drop.files if file.problem]
        _decide_whole(decision, drop, wholes, opened)
    else:
        _decide_parts(decision, drop, opened)
    return decision


def _decide_whole(
    decision: Decision, drop: Drop, wholes: list[RecognisedFile], opened: OpenCase
) -> None:
    """Decide on files that each hold a registration."""
    are_cases = wholes[0].kinds == (CASE,)
    if drop.preferred == XRAY and opened.there and are_cases and not opened.doubt:
        decision.uses = [Use(XRAY, file) for file in wholes]
        return
    whole = wholes[0]
    if len(wholes) > 1:
        names = [(str(n), _name(file.path, drop.folder)) for n, file in enumerate(wholes)]
        decision.title.append(_("One of these can be opened."))
        whole = wholes[int(decision.choose("file", _("File"), names, "0"))]
    if opened.there and opened.replaces and not drop.replacing:
        choices = [(OPEN, _("Close the open registration, and open this one"))]
        choices += [(XRAY, _("Add its X-rays"))] if are_cases else []
        decision.title.append(_("{file} holds a whole registration.").format(file=whole.name))
        if opened.doubt:
            decision.title.append(_("Its X-rays may be of another patient."))
        if decision.choose("how", _("Action"), choices, OPEN) == XRAY:
            decision.uses = [Use(XRAY, whole)]
            return
    decision.opens = whole.path


def _decide_parts(decision: Decision, drop: Drop, opened: OpenCase) -> None:
    """Decide on images, and on files that belong to them."""
    files = _with_one_kind(decision, drop, opened)
    cts = of_kind(files, CT)
    decision.uses = [Use(XRAY, file) for file in of_kind(files, XRAY)]
    decision.begins = drop.replacing
    if opened.there and not drop.replacing:
        _ask_for_place(decision, drop, cts, opened)
    case = OpenCase() if decision.begins else opened
    if cts:
        names = [(str(n), f"{ct.name} ({ct.facts})") for n, ct in enumerate(cts)]
        number = decision.choose("ct", _("CT series"), names, "0") if len(cts) > 1 else "0"
        ct = cts[int(number)]
        decision.uses.append(Use(CT, ct))
        case = replace(case, ct_header=read_volume(ct.path))
    case = replace(case, xrays=(*case.xrays, *drop.xrays))
    for kind, use in USES.items():
        of_this_kind = of_kind(files, kind)
        needed = _("a CT") if kind in (MASK, POSE) else _("an X-ray")
        is_there = case.ct_header is not None if kind in (MASK, POSE) else bool(case.xrays)
        if is_there or kind in (LANDMARKS, SURFACE):
            use(decision, of_this_kind, case)
        else:
            for file in of_this_kind:
                why = _("{file} needs {needed}. Drop both together.")
                decision.leave_out(why, file=file.name, needed=needed)


def _with_one_kind(decision: Decision, drop: Drop, opened: OpenCase) -> list[RecognisedFile]:
    """Return the usable files with one kind each, and ask for the kind if a file may be of several."""
    xrays = (*opened.xrays, *drop.xrays)
    has_ct = opened.ct_header is not None or bool(of_kind(drop.files, CT))
    tracked = CALIBRATION if any(xray.needs_geometry for xray in xrays) else XRAY
    likely_kinds = {
        (CT, XRAY): XRAY if has_ct else CT,
        (CALIBRATION, XRAY): tracked,
        (POSE, CALIBRATION): POSE,
    }
    found = []
    for file in drop.files:
        if file.kinds in likely_kinds:
            choices = [(kind, KIND_NAMES[kind]) for kind in file.kinds]
            likely = likely_kinds[file.kinds]
            found += prefer(
                [file], decision.choose(f"kind.{file.name}", file.name, choices, likely)
            )
        elif len(file.kinds) == 1:
            found.append(file)
        elif file.problem:
            decision.leave_out("{problem}", problem=file.problem)
        else:
            decision.leave_out(SINGLE_SLICE if file.kinds else UNRECOGNISED, file=file.path.name)
    return found


def _ask_for_place(
    decision: Decision, drop: Drop, cts: list[RecognisedFile], opened: OpenCase
) -> None:
    """Ask whether images belong to the open registration, unless only that makes sense."""
    xrays = bool(decision.uses)
    # A CT alone that the user chose as such replaces the one before.
    another_ct = bool(cts) and opened.ct_header is not None and (drop.preferred != CT or xrays)
    if not (cts or xrays) or not (opened.doubt or another_ct):
        return
    title, patient = PATIENT_DOUBTS[opened.doubt]
    decision.title.append(title)
    begin = _("Start a new registration")
    if opened.replaces:
        begin = _("Close this registration, and start a new one")
    add = _("Replace the CT") if cts else _("Add the X-rays")
    if cts and xrays:
        add = _("Replace the CT, and add the X-rays")
    choices = [(NEW, begin), (ADD, add + patient)]
    two_cases = another_ct and xrays and opened.xrays
    likely = NEW if opened.doubt == OTHER or two_cases else ADD
    decision.begins = decision.choose("place", _("Action"), choices, likely) == NEW
    decision.same_patient = opened.doubt == UNKNOWN and not decision.begins


def _use_segmentations(decision: Decision, files: list[RecognisedFile], case: OpenCase) -> None:
    for number, file in enumerate(files):
        use = USE
        if doubt := doubt_about_segmentation(dict(case.ct_header or {}), file.path):
            decision.title.append(doubt)
            choices = [(LEAVE_OUT, _("Leave it out")), (USE, _("Use it all the same"))]
            use = decision.choose(f"mask{number}", file.name, choices, LEAVE_OUT)
        if use == USE:
            decision.uses.append(Use(MASK, file))


def _use_xray_masks(decision: Decision, files: list[RecognisedFile], case: OpenCase) -> None:
    images = {xray.id: xray.name for xray in case.xrays}
    for number, file in enumerate(files):
        xray = decision.choose_image(f"xray_mask{number}", file, images)
        decision.uses.append(Use(XRAY_MASK, file, xray))


def _use_poses(decision: Decision, files: list[RecognisedFile], case: OpenCase) -> None:
    for file in files[1:]:
        why = _("{file}: a registration has one start pose. Drop one file only.")
        decision.leave_out(why, file=file.name)
    for file in files[:1]:
        reading = read_pose(file.path, decision.answers)
        decision.questions += reading.questions
        if reading.questions:
            decision.title.append(_("{file} is a start pose of the CT.").format(file=file.name))
        if reading.problem:
            decision.leave_out("{problem}", problem=reading.problem)
        else:
            decision.uses.append(Use(POSE, file, value=reading.found))


def _use_landmarks(decision: Decision, files: list[RecognisedFile], case: OpenCase) -> None:
    images = {} if case.ct_header is None else {CT: _("the CT")}
    images |= {xray.id: xray.name for xray in case.xrays if not xray.needs_geometry}
    for number, file in enumerate(files):
        if not images:
            why = _("{file} needs a CT, or an X-ray with geometry. Add one first.")
            decision.leave_out(why, file=file.name)
            continue
        image = decision.choose_image(f"landmarks{number}", file, images)
        if image != CT and PLACE_QUESTION not in decision.questions:
            decision.questions.append(PLACE_QUESTION)
        place = decision.answers.get(PLACE_QUESTION.key)
        decision.uses.append(Use(LANDMARKS, file, image, place))


def _use_surfaces(decision: Decision, files: list[RecognisedFile], case: OpenCase) -> None:
    choices = [*MATERIALS.items()]
    if case.ct_header is not None:
        choices.append((MODEL, _("Model on the CT, not registered")))
    for number, file in enumerate(files):
        material = decision.choose(f"surface{number}", file.name, choices, "titanium")
        decision.uses.append(Use(MODEL if material == MODEL else IMPLANT, file, material))


def _use_beads(decision: Decision, files: list[RecognisedFile], case: OpenCase) -> None:
    decision.uses += [Use(BEADS, file) for file in files]


def _use_calibrations(decision: Decision, files: list[RecognisedFile], case: OpenCase) -> None:
    """Assign cameras to the X-rays without geometry (or to all X-rays if all have one)."""
    xrays = [xray for xray in case.xrays if xray.needs_geometry] or list(case.xrays)
    names = {file.name: file.path for file in files}
    answers = with_paths(decision.answers, names)
    companion = decision.answers.get(COMPANION_FILE)
    used = [file for file in files if file.name != companion] or files
    readings = {file.name: read_cameras(file.path, xrays[0].size, answers) for file in used}
    questions: dict[str, Question] = {}
    cameras = []
    for file in used:
        reading = readings[file.name]
        if reading.problem:
            decision.leave_out("{problem}", problem=reading.problem)
        others = [name for name in names if name != file.name]
        questions |= {each.key: ask_for_file(each, others) for each in reading.questions}
        cameras += [(file, number, each) for number, each in enumerate(reading.found or [])]
    decision.questions += questions.values()
    pairs = _matching_cameras(decision, xrays, cameras)
    if files and decision.questions:
        listing = ", ".join(names)
        decision.title.append(_("Calibration: {files}").format(files=listing))
    for xray, (file, number, _camera) in pairs:
        fitting = read_cameras(file.path, xray.size, answers).found or []
        decision.uses += [Use(CALIBRATION, file, xray.id, each) for each in fitting[number:][:1]]


#: A file, and the number of a camera in it.
CameraOfFile = tuple[RecognisedFile, int, CalibratedView]


def _matching_cameras(
    decision: Decision, xrays: list[OpenXRay], cameras: list[CameraOfFile]
) -> list[tuple[OpenXRay, CameraOfFile]]:
    """Return the X-rays with their cameras: known by name or number, or chosen by the user."""

    def fits(i: int, j: int) -> bool:
        size = cameras[j][2].size
        return cameras[j][2].camera is None or size is None or tuple(size) == tuple(xrays[i].size)

    names = [camera.name for _file, _number, camera in cameras]
    likely = match([xray.name for xray in xrays], names, fits) if cameras else {}
    lacking = xrays[0].needs_geometry
    pairs = likely if lacking else {}  # a geometry that is there is replaced only on request
    free = [j for j in range(len(cameras)) if j not in pairs.values()]
    choices = [(NO_FILE, _("none of these"))]
    choices += [(str(j), f"{cameras[j][0].name}: {names[j]}") for j in free]
    for i, xray in enumerate(xrays):
        if free and i not in pairs:
            key = f"camera.{xray.id}"
            decision.answers.setdefault(key, "" if lacking else str(likely.get(i, NO_FILE)))
            label = _("Camera of {name}").format(name=xray.name)
            tip = _("The names do not show which camera took the X-ray.")
            decision.questions.append(Question(key, label, tip, tuple(choices)))
            if decision.answers[key] in map(str, free):
                pairs = {**pairs, i: int(decision.answers[key])}
    return [(xrays[i], cameras[j]) for i, j in pairs.items()]


#: Images first: the other files belong to them.
USES: dict[str, Callable[[Decision, list[RecognisedFile], OpenCase], None]] = {
    CALIBRATION: _use_calibrations,
    XRAY_MASK: _use_xray_masks,
    BEADS: _use_beads,
    MASK: _use_segmentations,
    SURFACE: _use_surfaces,
    POSE: _use_poses,
    LANDMARKS: _use_landmarks,
}


def _name(path: Path, folder: Path | None) -> str:
    """Return the name of a file for display; for uploaded files with their folders."""
    if folder is not None and path.is_relative_to(folder):
        return path.relative_to(folder).as_posix()
    return path.name if path.name != "case.json" else f"{path.parent.name}/{path.name}"
