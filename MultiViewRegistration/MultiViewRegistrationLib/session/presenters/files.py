"""Files of any kind that are dropped or selected together.

The presenter shows the questions of `file_plan.plan` and performs its actions.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, starmap
from pathlib import Path
from typing import assert_never

import numpy as np

from ...errors import InputError, collect_warnings
from ...imaging.body import Structures
from ...imaging.ct import load_ct, load_mask
from ...imaging.segmentation import read_segments
from ...imaging.surface import read_triangles
from ...io.case_file import CaseFile
from ...io.dicom_identity import read_identity, view_identity
from ...io.files import redact_upload_paths
from ...io.recognise import CALIBRATION, CASE, CT, POSE, XRAY, FoundFiles, recognise
from ...mrml.ct_3d import add_model
from ...mrml.identity import Identity, ct_header, doubt_about, say_unknown_are_of_patient
from ...mrml.image import segmentation_node, structures_node
from ...mrml.xray_record import name_of
from ...translation import _
from ..adding import use_mask
from ..geometry import needs_geometry
from ..tasks import Task, ended
from . import file_actions
from .external_files import Answers, describe_camera, landmarks_to_ct, landmarks_to_xray
from .file_actions import (
    CLOSING,
    Action,
    CTs,
    Dropped,
    OpenCase,
    OpenXRay,
    Part,
    PendingQuestion,
    Plan,
    Step,
)
from .file_plan import listed, plan, unused
from .form import (
    Button,
    Choice,
    Files,
    Form,
    Text,
    TextField,
    empty_fields,
    quiet,
    row,
    texts,
    walk,
)
from .section import Host, Presenter, question_controls
from .sections import Sections

READING = _("Reading files\u2026")
#: What an empty page and panel say; the last line belongs to the demo.
WELCOME = (
    _("Drop a CT and its X-rays here, with calibration files."),
    _("Or a case, a result or a scene: their content tells."),
)
DEMO = _("Nothing at hand? The demo is a chest CT and two X-rays of it.")
#: Answers that are buttons. They are beside each other where a line of the panel has room for them:
#: characters of the line, of the space around each label, and of the smallest button.
MAX_BUTTONS = 6
MAX_LINE_CHARACTERS = 60
PADDING_CHARACTERS = 4
MIN_BUTTON_CHARACTERS = 13
#: Refused files that are listed; more are counted.
MAX_REFUSED_LISTED = 200


@dataclass(eq=False)
class PendingTask:
    """Files that are being recognised or read.

    Attributes
    ----------
    take
        Called with the task once it has ended.
    count
        Number of files and folders that are being recognised.
    """

    task: Task
    take: Callable[[Task], object]
    count: int = 0


@dataclass(eq=False)
class PendingFiles:
    """Files that wait for answers or for other files.

    Attributes
    ----------
    answers
        The user's answers, by question key.
    plan
        Current result of `file_plan.plan`, or the reason why the files cannot be used.
    """

    files: file_actions.Files
    answers: Answers = field(default_factory=dict)
    plan: Plan | InputError = None
    _planned: tuple = ()

    def update(self, opened: OpenCase) -> None:
        """Plan again if an answer or the open registration has changed."""
        given = self.files, dict(self.answers), opened
        if given != self._planned:
            self._planned = given
            try:
                self.plan = plan(*given)
            except InputError as error:
                self.plan = error

    @property
    def needed(self) -> bool:
        """Whether the files are still needed on disk."""
        return isinstance(self.files, Dropped) or bool(self.files.files)


def _has_cts(files: file_actions.Files) -> bool:
    return bool(files.found.cts) if isinstance(files, Dropped) else isinstance(files, CTs)


def _identities(found: FoundFiles) -> list[Identity]:
    """Return the patient identity of each image that could be added to the open registration."""
    if not found.whole:
        images = [*(ct.files[0] for ct in found.cts), *found.of(XRAY)]
        return [read_identity(path) for path in images]
    with suppress(InputError), collect_warnings():  # which opening it says
        cases = [CaseFile.read(path) for path in found.of(CASE)]
        return [view_identity(case, view) for case in cases for view in case.views]
    return []


class FilesPresenter(Presenter):
    """Passes files to the presenters of CT and X-rays; `tick` monitors the reading threads.

    Uploaded files are removed when they are no longer needed.

    Parameters
    ----------
    host
        See `Presenter`.
    sections
        The steps of the work; those of CT, X-rays and start take files.

    Attributes
    ----------
    refused
        Reasons why files are not used, one sentence per file, until the user dismisses the list.
    """

    TITLE = _("Files")
    BEGINS = True
    WITHOUT_SESSION = True

    def __init__(self, host: Host, sections: Sections) -> None:
        self._ct = sections.ct
        self._xrays = sections.xrays
        self._start = sections.start
        self._folders: list[Path] = []
        self._beginning = False
        super().__init__(host)

    def reset(self) -> None:
        """Discard all state of the previous registration."""
        if self._beginning:  # of the registration that the files themselves begin
            return
        self.refused: list[str] = []
        self.exit()

    def _forget_calibrations(self) -> None:
        self._calibrations = PendingFiles(
            Part((CALIBRATION,))
        )  # all that wait, as they are asked about together
        self._companions: tuple[Path, ...] = ()

    def exit(self) -> None:
        """Discard waiting files and their questions."""
        self._tasks: list[PendingTask] = []
        self._pending: list[PendingFiles] = []
        self._forget_calibrations()
        self._remove_folders()

    @property
    def _every(self) -> list[PendingFiles]:
        return [*self._pending, self._calibrations]

    @property
    def closes(self) -> bool:
        """Whether an answer to what is asked would close what is open."""
        questions = chain(*(asked.questions for *_pending, asked in self._asked()))
        offered = chain(*(question.choices for question in questions))
        closing = any(value in CLOSING for value, _label in offered)
        return closing and self.host.replaces and self.host.registration is not None

    @property
    def waiting(self) -> str:
        """What files wait for, in a sentence; "" for nothing: what is open is whole."""
        if self._idle():
            return ""
        if self.question():
            return _("The files wait for an answer.")
        waits_for = next((asked.waits_for for *_pending, asked in self._asked()), "")
        return _("The files wait for {what}.").format(what=waits_for) if waits_for else READING

    def question(self) -> str:
        """Return the key of the control of the first question that files wait for; "" for none."""
        forms = [self._form_of(*each) for each in self._asked() if each[2].questions]
        for form in [self._ct.unit_question(), *forms]:
            controls = walk(form).values()
            if any(isinstance(each, (Choice, TextField)) for each in controls):
                keys = empty_fields(form)
            else:
                keys = [each.key for each in controls if isinstance(each, Button)]
            if keys:
                return keys[0]
        return ""

    # The form

    def form(self) -> Form:
        """Return the controls."""
        asked = chain(*starmap(self._form_of, self._asked()))
        return [
            *(self._welcome() if self.host.registration is None and self.in_slicer else []),
            quiet("looking", self.looking),
            *self._ct.unit_question(),
            *asked,
            *self._refused_files(),
        ]

    @property
    def looking(self) -> str:
        """What is being done, in a sentence; "" for nothing."""
        count = next((each.count for each in self._tasks if each.count), 0)
        if not count:
            return ""
        words = _("Looking at 1 file…") if count == 1 else _("Looking at {count} files…")
        return words.format(count=count)

    def _welcome(self) -> Form:
        demo = Button("demo", _("Open the demo"), self.host.open_demo)
        return [
            *texts("welcome", WELCOME),
            Files(
                "any",
                _("Choose files..."),
                self.take,
                hint=_("CT, X-rays, calibration, case or scene"),
                several=True,
                folders=True,
            ),
            quiet("demo_hint", DEMO),
            demo,
        ]

    def _asked(self) -> list[tuple[str, PendingFiles, PendingQuestion]]:
        """Return what is asked now, and what waits, with the key of its controls; the calibrations last."""
        asked: list[tuple[str, PendingFiles, PendingQuestion]] = []
        for each in self._every:
            plan = each.plan
            if plan is None and isinstance(each.files, Part) and each.files.files:
                plan = PendingQuestion(listed(each.files.files), waits_for=_("the CT and X-rays"))
            if isinstance(plan, PendingQuestion):
                key = "calibrations" if each is self._calibrations else f"asked{len(asked)}"
                asked.append((key, each, plan))
        return asked

    def _form_of(self, key: str, pending: PendingFiles, asked: PendingQuestion) -> Form:
        title = Text(f"{key}.title", asked.title, tone="strong")
        questions = asked.questions
        answer = self._answer
        leave = partial(self._leave_out, pending)
        leave_out = _("Leave out")
        end = row(f"{key}.end", Button(f"{key}.leave_out", leave_out, leave))
        if not questions:
            return [
                title,
                quiet(f"{key}.waiting", _("Waits for {what}.").format(what=asked.waits_for)),
                end,
            ]
        question = questions[0]
        few = len(questions) == 1 and 0 < len(question.choices) <= MAX_BUTTONS
        if pending is self._calibrations or not few:
            return [
                title,
                *question_controls(key, questions, pending.answers, partial(answer, pending)),
                end,
            ]
        labels = [leave_out, *(label for _value, label in question.choices)]
        widths = [max(len(each) + PADDING_CHARACTERS, MIN_BUTTON_CHARACTERS) for each in labels]
        below = sum(widths) > MAX_LINE_CHARACTERS
        buttons = []
        for n, (value, label) in enumerate(question.choices):
            act = partial(answer, pending, question.key, value)
            name = f"{key}.{'line' if below else ''}{n}"
            buttons.append(Button(name, label, act, tip=question.tip))
        if below:
            return [title, *(row(f"{button.key}.row", button) for button in buttons), end]
        return [title, row(f"{key}.row", *buttons, Button(f"{key}.leave", leave_out, leave))]

    def _refused_files(self) -> Form:
        if not self.refused:
            return []
        lines = self.refused[:MAX_REFUSED_LISTED]
        if more := len(self.refused) - len(lines):
            lines.append(_("{count} more files").format(count=more))
        title = _("Files not used: {count}")
        return [
            Text("refused_title", title.format(count=len(self.refused)), tone="strong"),
            Text("refused", "\n".join(lines), tone="caution"),
            row("refused_end", Button("dismiss", _("Dismiss"), self.refused.clear)),
        ]

    # What a person does

    def take(
        self,
        paths: Iterable[Path],
        folder: Path | None = None,
        preferred: str = "",
        replacing: bool = False,
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
        if folder is not None:
            self._folders.append(folder)
        task = Task(lambda on_progress: recognise(paths))
        dropped = Dropped(FoundFiles(), folder, preferred, replacing)
        self._tasks.append(PendingTask(task, partial(self._take_found, dropped), len(paths)))
        if task.wait(self.host.patience_s):
            self.tick()

    def _answer(self, pending: PendingFiles, key: str, answer: str) -> None:
        pending.answers[key] = answer
        self._go_on()

    def _leave_out(self, pending: PendingFiles) -> None:
        if pending is self._calibrations:
            self._forget_calibrations()
        else:
            self._pending.remove(pending)

    def refuse(self, problem: str | InputError) -> None:
        """List a file that is not used until the user dismisses the list.

        Parameters
        ----------
        problem
            A sentence that names the file and the reason.
        """
        sentence = redact_upload_paths(str(problem))
        if sentence not in self.refused:
            self.refused.append(sentence)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Return a context manager that lists the file as refused if the block raises InputError."""
        try:
            yield
        except InputError as error:
            self.refuse(error)

    # What threads have done

    def tick(self) -> bool:
        """Take what has been told apart, and what can be taken now.

        Whether there is something new to show.
        """
        changed = False
        if self._tasks and ended(self._tasks[0].task):
            done = self._tasks.pop(0)
            changed = True
            with self.host.ui_action(), self.refusing():
                done.take(done.task)
        changed |= self._go_on()
        if self._folders and self._idle():
            self._remove_folders()
        return changed

    def _take_found(self, dropped: Dropped, task: Task[FoundFiles]) -> None:
        found = task.result
        found.prefer(dropped.preferred)
        for sentence in unused(found):
            self.refuse(sentence)
        registration = self.host.registration
        doubt = ""
        if registration is not None and not dropped.replacing:
            doubt = doubt_about(registration, _identities(found))
        self._pending.append(PendingFiles(replace(dropped, found=found, doubt=doubt)))

    def _go_on(self) -> bool:
        """Do what can be done by now; whether there is something new to show."""
        before = [each.plan for each in self._every]
        if self._decided() is not None:
            with self.host.ui_action():
                while (decided := self._decided()) is not None:
                    self._act(decided)
        return before != [each.plan for each in self._every]

    def _decided(self) -> PendingFiles | None:
        """Return the first files about which nothing is open, by what is open now."""
        if not (self._pending or self._calibrations.needed):
            return None
        opened = self._opened()
        for each in self._every:
            each.update(opened)
            if isinstance(each.plan, (tuple, InputError)):
                return each
        return None

    def _act(self, decided: PendingFiles) -> None:
        self._leave_out(decided)
        if isinstance(decided.plan, InputError):
            self.refuse(decided.plan)
        if isinstance(decided.plan, tuple):
            for action in decided.plan:
                with self.refusing():
                    self._do(action)

    def _opened(self) -> OpenCase:
        """Return what is open now."""
        registration = self.host.registration
        if registration is None:
            return OpenCase()
        scouts = self.session.scouts
        xrays = []
        for view in registration.xrays:
            lacking = needs_geometry(view)
            xrays.append(OpenXRay(view.id, view.name, view.size, lacking))
        return OpenCase(
            there=True,
            replaces=self.host.replaces,
            ct=registration.ct is not None,
            ct_header={} if registration.ct is None else ct_header(registration),
            ct_coming=bool(self._ct.reading) or self._ct.mismatch is not None,
            ct_in_question=any(_has_cts(each.files) for each in self._pending),
            xrays=tuple(xrays),
            xrays_coming=bool(self._xrays.reading),
            scouts=None if scouts is None else tuple(scouts.missing_in(registration)),
            companions=self._companions,
        )

    def _idle(self) -> bool:
        """Return whether no files are waiting."""
        waits = self._tasks or any(each.needed for each in self._every)
        return not (waits or self._xrays.reading or self._ct.reading or self._ct.mismatch)

    def _remove_folders(self) -> None:
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._folders = []

    # What comes of the files

    def _do(self, action: Action) -> None:
        match action:
            case Step.CLOSE:
                # Closing the registration must not discard what waits or was refused.
                waiting = self._folders, self._pending, self._tasks, self.refused
                self._folders = []
                self.host.close_registration()
                self._folders, self._pending, self._tasks, self.refused = waiting
            case Step.BEGIN:
                self._begin()
            case Step.REMOVE_XRAYS:
                for view in self.registration.xrays:
                    self.registration.remove_xray(view)
            case Step.OF_THIS_PATIENT:
                say_unknown_are_of_patient(self.registration)
            case Step.USE_SCOUTS:
                self._xrays.use_scouts()
            case file_actions.Keep(files):
                for each in files:
                    self._keep(each)
            case file_actions.Open(path, folder):
                if folder in self._folders:
                    self._folders.remove(folder)  # it goes once it is read
                self.host.open_whole(path, folder)
            case file_actions.ReadCT(ct):
                self._ct.read_ct(ct)
            case file_actions.ReadXRays(files):
                self._xrays.read_files(files)
            case file_actions.ReadMask(path):
                self._read_mask(path)
            case file_actions.UseXRayMask(path, xray):
                use_mask(self._xrays.view(xray), path)
            case file_actions.Place(world_from_ct):
                self._start.place_at(world_from_ct)
            case file_actions.UseCamera(xray, camera, path):
                view = self._xrays.view(xray)
                self._xrays.geometry.use_camera(view, camera, path)
                if camera.notes:
                    self.session.notices.warn(f"{view.name}: {describe_camera(camera)}")
            case file_actions.UseLandmarks(path, of) if of == CT:
                landmarks_to_ct(self.registration, path)
            case file_actions.UseLandmarks(path, xray, place):
                landmarks_to_xray(self.registration, self._xrays.view(xray), path, place)
            case file_actions.AddImplant(path, material):
                task = Task(lambda on_progress: load_ct(path, material))
                take = partial(self._ct.add_implant, name_of(path))
                self._tasks.append(PendingTask(task, take))
            case file_actions.ShowModel(path):
                reading = Task(lambda on_progress: read_triangles(path))
                self._tasks.append(PendingTask(reading, partial(self._show_model, name_of(path))))
            case file_actions.FindBeads(path):
                self.host.show_geometry()
                self._xrays.geometry.beads.find(path)
            case _:
                assert_never(action)

    def _begin(self) -> None:
        self._beginning = True
        try:
            self.host.begin()
        finally:
            self._beginning = False

    def _keep(self, files: file_actions.Files) -> None:
        """Wait with files; calibrations with those that wait already."""
        if isinstance(files, Part) and {CALIBRATION, POSE} & set(files.kinds):
            self._companions = tuple(dict.fromkeys(self._companions + files.files))
        there = self._calibrations.files
        if isinstance(files, Part) and isinstance(there, Part) and files.kinds == there.kinds:
            self._calibrations.files = Part(files.kinds, there.files + files.files)
        else:
            self._pending.append(PendingFiles(files))

    def _show_model(self, name: str, task: Task[tuple[np.ndarray, np.ndarray]]) -> None:
        add_model(self.registration, name, *task.result)

    def _read_mask(self, path: Path) -> None:
        ct = self.session.ct()

        def read(on_progress: Callable) -> Structures | np.ndarray:
            volume = ct.volume
            bones = read_segments(path, ct)
            return bones or load_mask(path, volume.ct_from_index, volume.values.shape)

        self._tasks.append(PendingTask(Task(read), partial(self._use_mask, path)))

    def _use_mask(self, path: Path, task: Task[Structures | np.ndarray]) -> None:
        found = task.result
        registration = self.registration
        for sentence in task.warnings:
            self.session.notices.warn(sentence)
        scene = registration.scene
        name = name_of(path)
        ct = registration.ct
        if isinstance(found, Structures):
            registration.choose_segment(structures_node(scene, name, found, ct))
            self._ct.bones.choose_bones()
            self.host.show_section("ct")
        else:
            registration.choose_segment(*segmentation_node(scene, name, found, ct))
