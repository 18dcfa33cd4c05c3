"""Files of any kind, dropped or chosen together: told apart by content, taken where they belong, and what is unclear is asked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ...errors import InputError
from ...imaging.ct import load_mask
from ...io.calibration.calibrated import CalibratedView
from ...io.dicom_identity import read_identity
from ...io.files import as_sent
from ...io.recognise import (
    CALIBRATION,
    CASE,
    CT,
    POSE,
    XRAY,
    CTFiles,
    FoundFiles,
    kinds_of,
    recognise,
)
from ...mrml.identity import is_of_another_patient
from ...mrml.image import segmentation_node
from ...mrml.loading import name_of
from ...mrml.nodes import lps_from_ras
from ...mrml.registration import MAX_VIEWS
from ...mrml.xray import XRayView
from ..adding import use_mask
from ..external_files import (
    BESIDE,
    NO_FILE,
    FileReading,
    Question,
    ask_for_file,
    match,
    read_cameras,
    read_pose,
    use_camera,
    with_paths,
)
from ..geometry import needs_geometry
from ..host import Host
from ..scouts import Scouts
from ..tasks import Task, ended
from ..translation import _
from .form import PLAIN, QUIET, STRONG, Button, Files, Form, Text, row
from .section import Presenter, question_controls, unanswered
from .sections import Sections

#: What a file may be that may be of several kinds, and how a person says that it is.
KINDS = {
    CT: (_("a CT"), _("It is a CT")),
    XRAY: (_("X-rays"), _("They are X-rays")),
    CALIBRATION: (_("where an X-ray was taken from"), _("Where an X-ray was taken from")),
    POSE: (_("where the CT is to begin"), _("Where the CT is to begin")),
}
READING = _("Reading files\u2026")
#: What an empty page and panel say; the last line belongs to the demo.
WELCOME = (
    _("Drop a CT and its X-rays here, with calibration files."),
    _("Or a case, a result or a scene: their content tells."),
)
DEMO = _("Nothing at hand? The demo is a chest CT and two X-rays of it.")
MAX_NAMED = 4
#: Answers that are buttons; of these, characters of the longest where they are beside each other.
MAX_BUTTONS, MAX_BESIDE = 6, 32


@dataclass(eq=False)
class Asked:
    """Files that wait for answers.

    Attributes
    ----------
    title
        Which files, and what is unclear.
    questions
        Returns the open and the answered questions.
    take
        Called with all answers, by the questions' keys.
    of_scouts
        Whether it is about scouts, which were read with their CT.
    """

    title: str
    questions: Callable[[], list[Question]]
    take: Callable[[dict[str, str]], object]
    answers: dict[str, str] = field(default_factory=dict)
    of_scouts: bool = False


@dataclass(eq=False)
class Looking:
    """Files that are being told apart in a thread.

    Attributes
    ----------
    preferred
        The kind that an unclear one is taken as.
    replacing
        See `take`.
    """

    task: Task[FoundFiles]
    count: int
    folder: Path | None
    preferred: str
    replacing: bool


class FilesPresenter(Presenter):
    """Hands files on to the presenters of CT and X-rays; `tick` follows what threads read.

    Files that a page has sent are removed once nothing waits for them.

    Parameters
    ----------
    host
        See `Presenter`.
    sections
        The steps of the work; those of CT, X-rays and start take files.
    """

    TITLE = _("Files")
    BEGINS = True

    def __init__(self, host: Host, sections: Sections) -> None:
        self._ct, self._xrays, self._start = sections.ct, sections.xrays, sections.start
        self._folders: list[Path] = []
        self._beginning = False
        super().__init__(host)

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        if self._beginning:  # of the registration that the files themselves begin
            return
        self._looking: list[Looking] = []
        self._asked: list[Asked] = []
        self._unused = ""
        self._masks: list[Path] = []
        self._xray_masks: list[Path] = []
        self._calibrations = Calibrations()
        self._poses: list[Path] = []
        self._mask_reading: tuple[Task, Path] | None = None
        self._ask_scouts = False
        self._remove_folders()

    def exit(self) -> None:
        """Files that wait, and what was asked of them, are forgotten."""
        self.reset()

    @property
    def asking(self) -> bool:
        """Whether something is asked, or said."""
        return bool(self._asked or self._unused or self._calibrations.files or self._ct.mismatch)

    @property
    def waiting(self) -> str:
        """What files wait for, in a sentence; "" for nothing: what is open is whole."""
        if self._idle():
            return ""
        return _("The files wait for an answer.") if self.asking else READING

    # The form

    def form(self) -> Form:
        """Return the controls."""
        asked = [control for number, each in enumerate(self._asked) for control in self._form_of(number, each)]
        return [
            *(self._welcome() if self.host.registration is None and self.in_slicer else []),
            Text("looking", self.looking, tone=QUIET),
            *self._ct.unit_question(),
            *asked,
            *self._calibration_form(),
            *self._unused_form(),
        ]

    @property
    def looking(self) -> str:
        """What is being done, in a sentence; "" for nothing."""
        if not self._looking:
            return ""
        count = self._looking[0].count
        return _("Looking at 1 file…") if count == 1 else _("Looking at {count} files…").format(count=count)

    def files_control(self) -> Files:
        """Return a control that takes any files."""
        return Files(
            "any",
            _("Choose files..."),
            self.take,
            hint=_("CT, X-rays, calibration, case or scene"),
            several=True,
            folders=True,
        )

    def _welcome(self) -> Form:
        lines = [Text(f"welcome{n}", line, tone=PLAIN) for n, line in enumerate(WELCOME)]
        demo = Button("demo", _("Open the demo"), self.host.open_demo)
        return [*lines, self.files_control(), Text("demo_hint", DEMO, tone=QUIET), demo]

    def _form_of(self, number: int, asked: Asked) -> Form:
        key, questions = f"asked{number}", asked.questions()
        title, question = Text(f"{key}.title", asked.title, tone=STRONG), questions[0]
        forget = partial(self._forget, asked)
        end = row(f"{key}.end", Button(f"{key}.leave_out", _("Leave out"), forget))
        if len(questions) > 1 or not 0 < len(question.choices) <= MAX_BUTTONS:
            fields = question_controls(key, questions, asked.answers, partial(self._answer, asked))
            return [title, *fields, end]
        below = max(len(label) for _value, label in question.choices) > MAX_BESIDE
        buttons = [
            Button(
                f"{key}.{'line' if below else ''}{n}",
                label,
                partial(self._answer, asked, question.key, value),
                tip=question.tip,
            )
            for n, (value, label) in enumerate(question.choices)
        ]
        if below:
            return [title, *(row(f"{button.key}.row", button) for button in buttons), end]
        return [title, row(f"{key}.row", *buttons, Button(f"{key}.leave", _("Leave out"), forget))]

    def _calibration_form(self) -> Form:
        waiting = self._calibrations
        if not waiting.files:
            return []
        views = self._calibrated_views()
        content: Form = [Text("calibrations.waiting", _("Kept for the X-rays that are still to come."), tone=QUIET)]
        if views:
            questions = waiting.questions(views)
            content = question_controls("calibrations", questions, waiting.answers, waiting.answers.__setitem__)
        return [
            Text("calibrations.title", _("Calibration: {files}").format(files=_listed(waiting.files)), tone=STRONG),
            *content,
            row("calibrations.end", Button("calibrations.leave", _("Leave out"), self._leave_calibrations)),
        ]

    def _unused_form(self) -> Form:
        if not self._unused:
            return []
        return [Text("unused", self._unused), row("unused_end", Button("close", _("Close"), self._close))]

    # What a person does

    def take(
        self, paths: Iterable[Path], folder: Path | None = None, preferred: str = "", replacing: bool = False
    ) -> None:
        """Take files and folders of any kind.

        Parameters
        ----------
        paths
            Of them.
        folder
            That a page sent them into; it is removed once they are taken.
        preferred
            CT or XRAY where a person said so: what may be of several kinds is that one.
        replacing
            Whether what is open is closed first, which the person knows.
        """
        paths = list(paths)
        self._unused = ""
        if folder is not None:
            self._folders.append(folder)
        task = Task(lambda on_progress: recognise(paths))
        self._looking.append(Looking(task, len(paths), folder, preferred, replacing))
        if not task.wait(min(self.host.patience_s, MAX_PATIENCE_S)):
            return
        self.tick()

    def _answer(self, asked: Asked, key: str, answer: str) -> None:
        asked.answers[key] = answer
        if not unanswered(asked.questions(), asked.answers):
            self._asked.remove(asked)
            asked.take(asked.answers)

    def _forget(self, asked: Asked) -> None:
        self._asked.remove(asked)

    def _leave_calibrations(self) -> None:
        self._calibrations = Calibrations()

    def _close(self) -> None:
        self._unused = ""

    # What threads have done

    def tick(self) -> bool:
        """Take what has been told apart, and what can be taken now; whether there is something new to show."""
        changed = False
        if self._looking and ended(self._looking[0].task):
            looking = self._looking.pop(0)
            with self.host.ui_action():
                self._take_found(looking, looking.task.result)
            changed = True
        if self.host.registration is not None:
            changed |= self._go_on()
        if self._folders and self._idle():
            self._remove_folders()
        return changed

    def _go_on(self) -> bool:
        """Take what had to wait for the CT, or for the X-rays."""
        ready = self.registration.ct is not None and not self._ct.reading
        if self.registration.xrays:  # which may be the scouts
            self._asked = [each for each in self._asked if not each.of_scouts]
        if self._mask_reading is not None and ended(self._mask_reading[0]):
            self._take_mask(*self._mask_reading)
            return True
        if self._masks and ready and self._mask_reading is None:
            self._read_mask(self._masks.pop(0))
        if self._poses and ready and not self._xrays.reading:
            self._ask_pose(self._poses.pop(0))
            return True
        scouts = self.session.scouts
        if self._ask_scouts and ready and scouts is not None:
            return self._ask_for_scouts(scouts)
        if self._xrays.reading:
            return False
        if self._xray_masks and self.registration.xrays:
            self._ask_xray_mask(self._xray_masks.pop(0))
            return True
        return self._take_calibrations()

    def _idle(self) -> bool:
        """Return whether nothing waits for files any more."""
        asked = any(not each.of_scouts for each in self._asked)
        waits = self._looking or asked or self._masks or self._xray_masks or self._poses or self._mask_reading
        return not (waits or self._calibrations.files or self._xrays.reading or self._ct.reading or self._ct.mismatch)

    def _remove_folders(self) -> None:
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._folders = []

    # What the files are

    def _take_found(self, looking: Looking, found: FoundFiles) -> None:
        for path, kinds in list(found.unclear.items()):
            if looking.preferred in kinds:
                found.put(path, looking.preferred)
                del found.unclear[path]
        self._say_unused(found)
        if found.whole and looking.preferred == XRAY and self.host.registration is not None and CASE in found.wholes:
            self._xrays.read_files(found.wholes[CASE])
            return
        if found.whole:
            self._open(looking, found.whole)
            return
        if looking.replacing:
            self._close_registration()
        elif self._is_another_case(found):
            self._ask_other_case(found, looking.preferred)
            return
        self._take_parts(found, looking.preferred)

    def _close_registration(self) -> None:
        folders, self._folders = self._folders, []  # which would go with what is open
        self.host.close_registration()
        self._folders = folders

    def _is_another_case(self, found: FoundFiles) -> bool:
        """Return whether files are of another patient than what is open by their headers, or a CT with X-rays beside one that has both."""
        registration = self.host.registration
        if registration is None:
            return False
        whole = bool(found.cts and found.xrays and registration.ct is not None and registration.xrays)
        images = [*(ct.files[0] for ct in found.cts), *found.xrays]
        return whole or is_of_another_patient(registration, [read_identity(path) for path in images])

    def _ask_other_case(self, found: FoundFiles, preferred: str) -> None:
        """Ask whether the files are a new case, or go in place of the images of the same kind, or beside them."""
        new = _("Close what is open, and begin a new case") if self.host.replaces else _("Begin a new case beside it")
        choices = [("new", new), ("replace", _("Replace the images of this case"))]
        if not found.cts:
            choices.append(("add", _("Add as views")))

        def take(answers: dict[str, str]) -> None:
            if answers["how"] == "new":
                self._close_registration()
            if answers["how"] == "replace":
                for view in self.registration.xrays if found.xrays else ():
                    self.registration.remove_xray(view)
            self._take_parts(found, CT if answers["how"] == "replace" else preferred)

        tip = _(
            "By their headers, or since there are a CT and X-rays already. Save what is open first, if it is to be kept."
        )
        title = _("These files look like another patient's, or another case.")
        self._ask(title, [Question("how", _("What is to be done?"), tip, tuple(choices))], take)

    def _take_parts(self, found: FoundFiles, preferred: str) -> None:
        xrays = found.xrays
        if len(xrays) > MAX_VIEWS:
            sentence = _("Found {count} X-rays, expected at most {most} of one case; choose those.")
            raise InputError(sentence.format(count=len(xrays), most=MAX_VIEWS))
        parts = (found.cts, xrays, found.masks, found.xray_masks, found.calibrations, found.poses, found.unclear)
        if not any(parts):
            return
        self._begin()
        if found.cts:
            self._ask_scouts = bool(found.scouts) and not xrays and not self.registration.xrays
            self._take_cts(found.cts, preferred)
        if xrays:
            self._xrays.read_files(xrays)
        self._masks += found.masks
        self._xray_masks += found.xray_masks
        self._poses += found.poses
        self._calibrations.add(found.calibrations, [*found.calibrations, *found.poses, *found.unclear])
        for kinds in dict.fromkeys(found.unclear.values()):
            self._ask_kind([path for path, each in found.unclear.items() if each == kinds], kinds)

    def _begin(self) -> None:
        self._beginning = True
        try:
            self.host.begin()
        finally:
            self._beginning = False

    def _say_unused(self, found: FoundFiles) -> None:
        sentences = [as_sent(problem) for problem in found.problems]
        if found.unknown and not found.whole:
            what = _("Not used: {files} (no CT, X-ray, mask, calibration, pose, case or scene).")
            sentences.append(what.format(files=_listed(found.unknown)))
        self._unused = "\n".join(sentences)

    def _open(self, looking: Looking, files: list[Path]) -> None:
        """Open a case, a result, a track or a scene in place of what is open."""
        if len(files) > 1:
            names = [_name(path, looking.folder) for path in files]
            question = Question("file", _("Open"), "", tuple((str(n), name) for n, name in enumerate(names)))
            self._ask(
                _("Several can be opened, one at a time:"),
                [question],
                lambda answers: self._open(looking, [files[int(answers["file"])]]),
            )
            return
        path = files[0]
        if self.host.registration is None or looking.replacing or not self.host.replaces:
            self._open_now(path, looking.folder)
            return
        choices = [("open", _("Close what is open, and open it"))]
        if CASE in kinds_of(path):
            choices.append(("xrays", _("Add its X-rays")))
        question = Question("how", "", _("Save what is open first, if it is to be kept."), tuple(choices))
        self._ask(
            _("{file} is a whole registration.").format(file=path.name),
            [question],
            lambda answers: (
                self._open_now(path, looking.folder) if answers["how"] == "open" else self._xrays.read_files([path])
            ),
        )

    def _open_now(self, path: Path, folder: Path | None) -> None:
        if folder in self._folders:
            self._folders.remove(folder)  # it goes once it is read
        self.host.open_whole(path, folder)

    # Parts

    def _take_cts(self, cts: list[CTFiles], preferred: str) -> None:
        there = self.registration.ct is not None or self._ct.reading or self._ct.mismatch is not None
        if len(cts) == 1 and (not there or preferred == CT):
            self._ct.read_ct(cts[0])
            return
        if there:
            title = _("There is a CT already. Register this one in its place?")
        else:
            title = _("{count} CT series were found. Which is to be registered?").format(count=len(cts))
        choices = tuple((str(n), f"{ct.name} ({ct.facts})") for n, ct in enumerate(cts))
        self._ask(
            title, [Question("ct", _("CT"), "", choices)], lambda answers: self._ct.read_ct(cts[int(answers["ct"])])
        )

    def _ask(self, title: str, questions: list[Question], take: Callable[[dict[str, str]], object]) -> None:
        self._asked.append(Asked(title, lambda: questions, take))

    def _ask_kind(self, files: list[Path], kinds: tuple[str, ...]) -> None:
        question = Question("kind", _("What is it?"), "", tuple((kind, KINDS[kind][1]) for kind in kinds))

        def take(answers: dict[str, str]) -> None:
            found = FoundFiles()
            for path in files:
                found.put(path, answers["kind"])
            self._take_parts(found, "")

        if len(kinds) == 1:
            title = _("{files}: a single slice of a CT, of which no volume can be made.")
        else:
            title = _("{files}: may be {kinds}.").replace("{kinds}", _(" or ").join(KINDS[kind][0] for kind in kinds))
        self._ask(title.format(files=_listed(files)), [question], take)

    def _ask_for_scouts(self, scouts: Scouts) -> bool:
        self._ask_scouts = False
        names = scouts.missing_in(self.registration)
        if not names or self.registration.xrays:
            return False
        question = Question("use", "", "", (("use", _("Use them as X-rays")),))
        title = _("The CT has scouts: {names}.").format(names=", ".join(names))
        self._asked.append(Asked(title, lambda: [question], lambda answers: self._xrays.use_scouts(), of_scouts=True))
        return True

    def _ask_xray_mask(self, path: Path) -> None:
        views = self.registration.xrays
        question = Question("view", _("Mask of"), _("Only what it covers is used."), _choices_of(views))

        def take(answers: dict[str, str]) -> None:
            view = next((view for view in self.registration.xrays if view.id == answers["view"]), None)
            if view is not None:
                use_mask(view, path)

        self._ask(_("{file}: a mask of an X-ray.").format(file=path.name), [question], take)

    def _ask_pose(self, path: Path) -> None:
        reading, answers = FileReading([]), dict[str, str]()

        def questions() -> list[Question]:
            nonlocal reading
            reading = read_pose(path, answers)
            return reading.questions

        def take(answers: dict[str, str]) -> None:
            if reading.problem:
                raise InputError(as_sent(reading.problem))
            self._start.place_at(reading.found)

        if unanswered(questions(), {}):
            title = _("{file}: where the CT is to begin.").format(file=path.name)
            self._asked.append(Asked(title, questions, take, answers))
            return
        with self.host.ui_action():
            take({})

    def _read_mask(self, path: Path) -> None:
        ct = self.registration.ct
        ct_from_index, shape = lps_from_ras(self.registration.ct_place), ct.GetImageData().GetDimensions()[::-1]
        self._mask_reading = Task(lambda on_progress: load_mask(path, ct_from_index, shape)), path

    def _take_mask(self, reading: Task, path: Path) -> None:
        self._mask_reading = None
        with self.host.ui_action():
            mask = reading.result
            for sentence in reading.warnings:
                self.session.notices.warn(sentence)
            registration = self.registration
            registration.choose_segment(*segmentation_node(registration.scene, name_of(path), mask, registration.ct))

    # Calibrations

    def _calibrated_views(self) -> list[XRayView]:
        """Return those that a calibration may be for: without geometry, or all where none is without."""
        views = self.registration.xrays if self.host.registration is not None else []
        return [view for view in views if needs_geometry(view)] or list(views)

    def _take_calibrations(self) -> bool:
        """Give X-rays their cameras, once that is clear; whether it was, or cannot be."""
        waiting, views = self._calibrations, self._calibrated_views()
        if not waiting.files or not views:
            return False
        questions = waiting.questions(views)
        if unanswered(questions, waiting.answers) and not waiting.problem:
            return False
        with self.host.ui_action():
            self._calibrations = Calibrations()
            if waiting.problem:
                raise InputError(as_sent(waiting.problem))
            for view, (path, camera) in waiting.cameras(views):
                use_camera(self.registration, view, camera, path)
        return True


class Calibrations:
    """Calibration files, what they leave open, and which of their cameras took which X-ray.

    Attributes
    ----------
    files
        That wait.
    answers
        By the questions' keys: those of `external_files.CALIBRATION_QUESTIONS`, the same for all files, as they came together, and
        those that match X-rays with cameras.
    problem
        Why one cannot be read, a sentence; "" for none.
    """

    def __init__(self) -> None:
        self.files: list[Path] = []
        self.answers: dict[str, str] = {}
        self.problem = ""
        self._beside: list[Path] = []
        self._read: dict[tuple, FileReading] = {}

    def add(self, files: Iterable[Path], beside: Iterable[Path]) -> None:
        """Wait with these, too.

        Parameters
        ----------
        beside
            What came with them, and may hold a part of them.
        """
        self.files += files
        self._beside += [path for path in beside if path not in self._beside]

    def questions(self, views: Sequence[XRayView]) -> list[Question]:
        """Return all that is open, and was answered."""
        readings = [self._reading(path, views[0].size) for path in self._used()]
        self.problem = next((reading.problem for reading in readings if reading.problem), "")
        asked = {question.key: self._of_files(question) for reading in readings for question in reading.questions}
        return [*asked.values(), *self._of_views(views)]

    def cameras(self, views: Sequence[XRayView]) -> list[tuple[XRayView, tuple[Path, CalibratedView]]]:
        """Return the camera of each X-ray that has one, with its file."""
        found, offered = [], self._offered(views)
        for i, j in self._matches(views).items():
            path, camera = offered[j]
            own = self._reading(path, views[i].size).found or []
            found += [(views[i], (path, each)) for each in own if each.name == camera.name][:1]
        return found

    def _used(self) -> list[Path]:
        """But for those that are a part of another."""
        return [path for path in self.files if path.name != self.answers.get(BESIDE)] or self.files

    def _reading(self, path: Path, size: tuple[int, int]) -> FileReading:
        answers = with_paths(self.answers, {other.name: other for other in self._beside})
        key = path, size, tuple(sorted(answers.items()))
        if key not in self._read:
            self._read[key] = read_cameras(path, size, answers)
        return self._read[key]

    def _of_files(self, question: Question) -> Question:
        """Return the question for a person: other files are chosen among those that came together."""
        tip = _("Where the camera is on what is tracked: drop that file together with this one.")
        return ask_for_file(question, (path.name for path in self._beside if path not in self.files[:1]), tip)

    def _offered(self, views: Sequence[XRayView]) -> list[tuple[Path, CalibratedView]]:
        return [
            (path, camera)
            for path in self._used()
            for camera in self._reading(path, views[0].size).likely or self._reading(path, views[0].size).found or []
        ]

    def _fits(self, view: XRayView, camera: CalibratedView) -> bool:
        return camera.size is None or tuple(camera.size) == tuple(view.size) or camera.camera is None

    def _known(self, views: Sequence[XRayView]) -> dict[int, int]:
        """Return the cameras that need not be asked for, by X-ray."""
        if not needs_geometry(views[0]):  # all have one: which is to be replaced, a person says
            return {}
        offered = self._offered(views)
        names = [camera.name for _, camera in offered]
        return match([view.name for view in views], names, lambda i, j: self._fits(views[i], offered[j][1]))

    def _of_views(self, views: Sequence[XRayView]) -> list[Question]:
        offered, known = self._offered(views), self._known(views)
        free = [j for j in range(len(offered)) if j not in known.values()]
        open_ = [i for i in range(len(views)) if i not in known]
        if not free or not open_:
            return []
        tip = _("Nothing in their names tells which belong together.")
        label = partial(self._camera_name, offered)
        if len(free) < len(open_):
            choices = (*((str(i), views[i].name) for i in open_), (NO_FILE, _("none of these")))
            return [Question(f"camera.{j}", _("{camera} took").format(camera=label(j)), tip, choices) for j in free]
        cameras = (*((str(j), label(j)) for j in free), (NO_FILE, _("none of these")))
        return [Question(f"view.{i}", _("{name} was taken by").format(name=views[i].name), tip, cameras) for i in open_]

    def _camera_name(self, offered: list[tuple[Path, CalibratedView]], number: int) -> str:
        path, camera = offered[number]
        alone = sum(other == path for other, _ in offered) == 1
        return path.name if alone else f"{path.name}: {camera.name}"

    def _matches(self, views: Sequence[XRayView]) -> dict[int, int]:
        found = self._known(views)
        for key, answer in self.answers.items():
            what, _, number = key.partition(".")
            if answer in ("", NO_FILE) or what not in ("view", "camera"):
                continue
            i, j = (int(number), int(answer)) if what == "view" else (int(answer), int(number))
            found[i] = j
        return found


#: Seconds that a small file may take before a person is told that it is being looked at.
MAX_PATIENCE_S = 0.5


def _choices_of(views: Iterable[XRayView]) -> tuple[tuple[str, str], ...]:
    return tuple((view.id, view.name) for view in views)


def _name(path: Path, folder: Path | None) -> str:
    """For a person: of files that were sent with the folders that they were in."""
    if folder is not None and path.is_relative_to(folder):
        return path.relative_to(folder).as_posix()
    return path.name if path.name != "case.json" else f"{path.parent.name}/{path.name}"


def _listed(files: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in files[:MAX_NAMED])
    more = len(files) - MAX_NAMED
    return _("{names} and {count} more").format(names=names, count=more) if more > 0 else names
