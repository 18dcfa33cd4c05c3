"""Handling of files that are opened together.

`plan` returns the questions or actions for the files, the user's answers and the open registration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import InputError
from ...io.calibration.calibrated import CalibratedView
from ...io.dicom_identity import doubt_about_segmentation
from ...io.files import redact_upload_paths
from ...io.recognise import (
    BEADS,
    CALIBRATION,
    CASE,
    CT,
    LANDMARKS,
    MASK,
    POSE,
    SLICE,
    SURFACE,
    XRAY,
    XRAY_MASK,
    FoundFiles,
)
from ...mrml.identity import UNKNOWN
from ...mrml.registration import MAX_VIEWS
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
    unanswered,
    with_paths,
)
from .file_actions import (
    SCOUTS,
    Action,
    AddImplant,
    CTs,
    Dropped,
    Files,
    FindBeads,
    Keep,
    Open,
    OpenCase,
    OpenXRay,
    Part,
    PendingQuestion,
    Place,
    Plan,
    ReadCT,
    ReadMask,
    ReadXRays,
    ShowModel,
    Step,
    UseCamera,
    UseLandmarks,
    UseXRayMask,
)

#: What a file may be that may be of several kinds, and how a person says that it is.
FILE_MEANINGS = {
    CT: (_("a CT"), _("It is a CT")),
    XRAY: (_("X-rays"), _("They are X-rays")),
    CALIBRATION: (_("where an X-ray was taken from"), _("Where an X-ray was taken from")),
    POSE: (_("where the CT is to begin"), _("Where the CT is to begin")),
}
#: What an implant may be made of, see `imaging.ct.MATERIALS`.
MATERIALS = {
    "titanium": _("Titanium"),
    "cobalt-chrome": _("Cobalt-chrome"),
    "steel": _("Steel"),
    "polyethylene": _("Polyethylene"),
}
#: The answer in place of a material: no implant.
MODEL = "model"
MAX_NAMED = 4


def plan(files: Files, answers: Answers, opened: OpenCase) -> Plan:
    """Return the questions about files, or the actions for them.

    None if they depend on files that are still being read.

    This function has no side effects. It raises an InputError for files that cannot be used.

    Parameters
    ----------
    answers
        The user's answers, by question key.
    """
    if isinstance(files, CTs):
        return _cts(files, answers, opened)
    if isinstance(files, Part):
        return _PARTS.get(files.kinds, _unclear)(files, answers, opened)
    return (_whole if files.found.whole else _dropped)(files, answers, opened)


def unused(found: FoundFiles) -> list[str]:
    """Return the reasons why files cannot be used, one sentence per file."""
    if found.whole:
        return found.problems
    what = _(
        "{file}: not recognised as a CT, X-ray, mask, surface, calibration, pose, landmarks, case "
        "or scene."
    )
    return [*found.problems, *(what.format(file=path.name) for path in found.unknown)]


def _ask(
    title: str, key: str, label: str, choices: Iterable[tuple[str, str]], tip: str = ""
) -> PendingQuestion:
    return PendingQuestion(title, (Question(key, label, tip, tuple(choices)),))


def _whole(dropped: Dropped, answers: Answers, opened: OpenCase) -> Plan:
    """Plan files that replace the open registration."""
    files = dropped.found.whole
    cases = dropped.found.of(CASE)
    if dropped.preferred == XRAY and opened.there and cases and not dropped.doubt:
        return (ReadXRays(tuple(cases)),)
    number = answers.get("file", "" if len(files) > 1 else "0")
    if not number:
        names = ((str(n), _name(path, dropped.folder)) for n, path in enumerate(files))
        return _ask(_("Several can be opened, one at a time:"), "file", _("Open"), names)
    path = files[int(number)]
    how = answers.get("how", "")
    if how == "xrays":
        return (ReadXRays((path,)),)
    if how or not opened.there or dropped.replacing or not opened.replaces:
        return (Open(path, dropped.folder),)
    choices = [("open", _("Close what is open, and open it"))]
    if path in cases:
        choices.append(("xrays", _("Add its X-rays")))
    title = _("{file} is a whole registration.").format(file=path.name)
    if dropped.doubt:
        title += " " + _("Its X-rays may be of another patient than what is open.")
    return _ask(title, "how", "", choices, _("Save what is open first, if it is to be kept."))


def _dropped(dropped: Dropped, answers: Answers, opened: OpenCase) -> Plan:
    """Plan files that may be added to the open registration, replace it, or belong to another case."""
    found = dropped.found
    how = answers.get("how", "")
    if dropped.replacing or how == "new":
        return Step.CLOSE, *_parts(found, dropped.preferred, OpenCase())
    if how == "replace":
        if not (found.of(XRAY) or found.scouts):
            return _parts(found, CT, opened)
        return Step.REMOVE_XRAYS, *_parts(found, CT, replace(opened, xrays=()))
    two_cases = found.cts and found.of(XRAY) and opened.ct and opened.xrays
    if how or not (two_cases or dropped.doubt):
        answered = (Step.OF_THIS_PATIENT,) if dropped.doubt == UNKNOWN else ()
        return *answered, *_parts(found, dropped.preferred, opened)
    choices = [_new_case(opened), ("replace", _("Replace the images of this case"))]
    unknown = dropped.doubt == UNKNOWN and not two_cases
    if unknown:
        choices.insert(0, ("add", _("They are of this patient: add them")))
    elif not found.cts:
        choices.append(("add", _("Add as views")))
    tip = _(
        "By their headers, or since there are a CT and X-rays already. Save what is open first, if "
        "it is to be kept."
    )
    title = _("These files look like another patient's, or another case.")
    if unknown:
        title = _("Nothing tells whether these files and what is open are of one patient.")
    return _ask(title, "how", _("What is to be done?"), choices, tip)


def _new_case(opened: OpenCase) -> tuple[str, str]:
    """Return the answer that starts another case with the files."""
    if opened.replaces:
        return "new", _("Close what is open, and begin a new case")
    return "new", _("Begin a new case beside it")


def _parts(found: FoundFiles, preferred: str, opened: OpenCase) -> tuple[Action, ...]:
    """Plan each kind of files separately."""
    xrays = found.of(XRAY)
    if len(xrays) > MAX_VIEWS:
        sentence = _("Found {count} X-rays, expected at most {most} of one case; choose those.")
        raise InputError(sentence, count=len(xrays), most=MAX_VIEWS)
    parts: list[Files] = []
    if found.cts:
        parts.append(CTs(tuple(found.cts), preferred == CT, bool(found.scouts)))
        if found.scouts and not (xrays or opened.xrays):
            parts.append(Part((SCOUTS,)))
    for kinds, paths in found.files.items():
        if len(kinds) > 1 or kinds == (CALIBRATION,):
            parts.append(Part(kinds, tuple(paths)))
        elif kinds != (XRAY,):
            parts += [Part(kinds, (path,)) for path in paths]
    read = (ReadXRays(tuple(xrays)),) if xrays else ()
    return (Step.BEGIN, *read, Keep(tuple(parts))) if parts or xrays else ()


def _cts(files: CTs, answers: Answers, opened: OpenCase) -> Plan:
    cts = files.files
    there = opened.ct or opened.ct_coming
    number = answers.get("ct", "0" if len(cts) == 1 and (files.preferred or not there) else "")
    scouts = (Part((SCOUTS,)),) if files.scouts else ()
    if number == "new":
        return Step.CLOSE, Step.BEGIN, Keep((CTs(cts), *scouts))
    with_scouts, _dot, number = number.rpartition(".")
    if with_scouts:
        return Step.REMOVE_XRAYS, ReadCT(cts[int(number)]), Keep(scouts)
    if number:
        return (ReadCT(cts[int(number)]),)
    choices = [(str(n), f"{ct.name} ({ct.facts})") for n, ct in enumerate(cts)]
    if scouts and opened.xrays:
        named = _("{name}, and its scouts in place of the X-rays")
        choices += [(f"{SCOUTS}.{n}", named.format(name=ct.name)) for n, ct in enumerate(cts)]
    title = _("{count} CT series were found. Which is to be registered?").format(count=len(cts))
    if there:
        title = _("There is a CT already. Register this one in its place?")
        choices.append(_new_case(opened))
    return _ask(title, "ct", _("CT"), choices)


def _unclear(unclear: Part, answers: Answers, opened: OpenCase) -> Plan:
    if kind := answers.get("kind"):
        found = FoundFiles()
        for path in unclear.files:
            found.put(path, kind)
        return _parts(found, "", opened)
    choices = [(kind, FILE_MEANINGS[kind][1]) for kind in unclear.kinds if kind in FILE_MEANINGS]
    if SLICE in unclear.kinds:
        title = _("{files}: a single slice of a CT, of which no volume can be made.")
    else:
        kinds = _(" or ").join(FILE_MEANINGS[kind][0] for kind in unclear.kinds)
        title = _("{files}: may be {kinds}.").replace("{kinds}", kinds)
    return _ask(title.format(files=listed(unclear.files)), "kind", _("What is it?"), choices)


def _scouts(scouts: Part, answers: Answers, opened: OpenCase) -> Plan:
    """Plan the CT's scouts, which are not used together with other X-rays."""
    if opened.xrays or (opened.ct_ready and opened.scouts == ()):
        return ()
    if opened.scouts is None or not opened.ct_ready:
        return None
    if answers.get("use"):
        return (Step.USE_SCOUTS,)
    title = _("The CT has scouts: {names}.").format(names=", ".join(opened.scouts))
    return _ask(title, "use", "", [("use", _("Use them as X-rays"))])


def _mask(mask: Part, answers: Answers, opened: OpenCase) -> Plan:
    path = mask.files[0]
    if not opened.ct_ready:
        return None
    doubt = "" if answers.get("use") else doubt_about_segmentation(dict(opened.ct_header), path)
    if doubt:
        return _ask(doubt, "use", "", [("use", _("Use it all the same"))])
    return (ReadMask(path),)


def _xray_mask(mask: Part, answers: Answers, opened: OpenCase) -> Plan:
    if opened.xrays_coming or not opened.xrays:
        return None
    path = mask.files[0]
    if xray := answers.get("view"):
        return (UseXRayMask(path, xray),)
    choices = ((xray.id, xray.name) for xray in opened.xrays)
    title = _("{file}: a mask of an X-ray.").format(file=path.name)
    return _ask(title, "view", _("Mask of"), choices, _("Only what it covers is used."))


def _pose(pose: Part, answers: Answers, opened: OpenCase) -> Plan:
    if opened.xrays_coming or not opened.ct_ready:
        return None
    path = pose.files[0]
    reading = read_pose(path, answers)
    if unanswered(reading.questions, answers):
        return PendingQuestion(
            _("{file}: where the CT is to begin.").format(file=path.name), tuple(reading.questions)
        )
    if reading.problem:
        raise InputError(redact_upload_paths(reading.problem))
    return (Place(reading.found),)


def _landmarks(landmarks: Part, answers: Answers, opened: OpenCase) -> Plan:
    path = landmarks.files[0]
    xrays = [(xray.id, xray.name) for xray in opened.xrays if not xray.needs_geometry]
    images = [*([(CT, _("the CT"))] if opened.ct else []), *xrays]
    if opened.xrays_coming or not (opened.ct_settled and images):
        return None
    questions = [Question("of", _("Landmarks of"), "", tuple(images))]
    of = answers.get("of", "" if xrays else CT)
    if of not in ("", CT):
        questions.append(PLACE_QUESTION)
    if of != CT and unanswered(questions, answers):
        title = _("{file}: landmarks; those of a name that is there are moved.")
        return PendingQuestion(title.format(file=path.name), tuple(questions))
    return (UseLandmarks(path, of, answers.get(PLACE_QUESTION.key, "")),)


def _beads(beads: Part, answers: Answers, opened: OpenCase) -> Plan:
    path = beads.files[0]
    if opened.xrays_coming:
        return None
    if not opened.xrays:
        return PendingQuestion(_("{file}: beads of a phantom.").format(file=path.name))
    return (FindBeads(path),)


def _surface(surface: Part, answers: Answers, opened: OpenCase) -> Plan:
    path = surface.files[0]
    if not opened.ct_settled:
        return None
    if material := answers.get("material"):
        return (ShowModel(path) if material == MODEL else AddImplant(path, material),)
    title = _("{file}: a surface. What is the implant made of?")
    choices = [*MATERIALS.items()]
    if opened.ct:
        title = _(
            "{file}: a surface. Register it as an implant of this material, or show it as a model "
            "on the CT (a bone, a planned screw)?"
        )
        choices.append((MODEL, _("Show as model")))
    return _ask(title.format(file=path.name), "material", "", choices)


# Calibrations


@dataclass(frozen=True)
class _Camera:
    """A camera in a file, with a unique name."""

    path: Path
    camera: CalibratedView
    label: str


def _calibrations(calibrations: Part, answers: Answers, opened: OpenCase) -> Plan:
    """Assign cameras to the X-rays without geometry (or to all X-rays if all have one) if the assignment is unambiguous."""
    files = calibrations.files
    if not files:
        return None
    title = _("Calibration: {files}").format(files=listed(files))
    xrays = [xray for xray in opened.xrays if xray.needs_geometry] or list(opened.xrays)
    if not xrays:
        return PendingQuestion(title)
    given = with_paths(answers, {path.name: path for path in opened.companions})
    used = [path for path in files if path.name != answers.get(COMPANION_FILE)] or list(files)
    readings = {path: read_cameras(path, xrays[0].size, given) for path in used}
    problem = next((reading.problem for reading in readings.values() if reading.problem), "")
    if problem and not opened.xrays_coming:
        raise InputError(redact_upload_paths(problem))
    beside = [path.name for path in opened.companions if path not in files[:1]]
    every = [question for reading in readings.values() for question in reading.questions]
    questions = [
        ask_for_file(question, beside) for question in {each.key: each for each in every}.values()
    ]
    cameras: list[_Camera] = []
    for path, reading in readings.items():
        found = reading.found or []
        for each in found:
            label = path.name if len(found) == 1 else f"{path.name}: {each.name}"
            cameras.append(_Camera(path, each, label))
    known = _known_pairs(xrays, cameras)
    pairs = _questions_of_pairs(xrays, cameras, known)
    if opened.xrays_coming or unanswered([*questions, *pairs], answers):
        return PendingQuestion(title, (*questions, *pairs))
    for question in pairs:
        what, _dot, number = question.key.partition(".")
        answer = answers[question.key]
        if answer != NO_FILE:
            known |= {int(number): int(answer)} if what == "view" else {int(answer): int(number)}
    actions = []
    for i, j in known.items():
        own = read_cameras(cameras[j].path, xrays[i].size, given).found or []
        same = [each for each in own if each.name == cameras[j].camera.name]
        actions += [UseCamera(xrays[i].id, each, cameras[j].path) for each in same[:1]]
    return tuple(actions)


def _known_pairs(xrays: Sequence[OpenXRay], cameras: Sequence[_Camera]) -> dict[int, int]:
    """Return the camera indices that are known without a question, by X-ray index."""
    if not xrays[0].needs_geometry:  # all have one: which is to be replaced, a person says
        return {}

    def fits(i: int, j: int) -> bool:
        camera = cameras[j].camera
        size = None if camera.camera is None else camera.size
        return size is None or tuple(size) == tuple(xrays[i].size)

    return match([xray.name for xray in xrays], [each.camera.name for each in cameras], fits)


def _questions_of_pairs(
    xrays: Sequence[OpenXRay], cameras: Sequence[_Camera], known: dict[int, int]
) -> list[Question]:
    """Return a question for each remaining X-ray or camera, whichever are fewer, about its counterpart."""
    free = [(str(j), each.label) for j, each in enumerate(cameras) if j not in known.values()]
    open_ = [(str(i), xray.name) for i, xray in enumerate(xrays) if i not in known]
    if not (free and open_):
        return []
    tip = _("Nothing in their names tells which belong together.")
    none = (NO_FILE, _("none of these"))
    of_which = ("view", _("{name} was taken by"), open_, free)
    if len(free) < len(open_):
        of_which = ("camera", _("{name} took"), free, open_)
    what, label, asked, choices = of_which
    return [
        Question(f"{what}.{n}", label.format(name=name), tip, (*choices, none)) for n, name in asked
    ]


def _name(path: Path, folder: Path | None) -> str:
    """Return the name of a file for display; for uploaded files with their folders."""
    if folder is not None and path.is_relative_to(folder):
        return path.relative_to(folder).as_posix()
    return path.name if path.name != "case.json" else f"{path.parent.name}/{path.name}"


def listed(files: Sequence[Path]) -> str:
    """Return a comma-separated list of file names; of many files the first names and the number omitted."""
    names = ", ".join(path.name for path in files[:MAX_NAMED])
    more = len(files) - MAX_NAMED
    return _("{names} and {count} more").format(names=names, count=more) if more > 0 else names


_PARTS: dict[tuple[str, ...], Callable[[Part, Answers, OpenCase], Plan]] = {
    (SCOUTS,): _scouts,
    (MASK,): _mask,
    (XRAY_MASK,): _xray_mask,
    (POSE,): _pose,
    (LANDMARKS,): _landmarks,
    (BEADS,): _beads,
    (SURFACE,): _surface,
    (CALIBRATION,): _calibrations,
}
