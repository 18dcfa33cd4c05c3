"""Files that are dropped or chosen: they are recognised, one question is asked, and all are applied in one step."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...imaging.body import Structures
from ...imaging.ct import CT as CTVolume
from ...imaging.ct import load_ct as load_implant
from ...imaging.surface import read_triangles
from ...io import recognise
from ...io.files import redact_upload_paths
from ...io.recognise import CT, LANDMARKS, MASK, XRAY_MASK
from ...mrml.ct_3d import add_model
from ...mrml.identity import ct_header, doubt_about, say_unknown_are_of_patient
from ...mrml.image import segmentation_node, structures_node
from ...mrml.xray_record import name_of
from ...translation import _
from ..adding import AddXRays, XRayFile, read, use_mask
from ..geometry import needs_geometry
from ..tasks import Task, ended
from . import file_question
from .external_files import Answers, describe_camera, landmarks_to_ct, landmarks_to_xray
from .file_loading import Content, all_or_nothing, inspect, load_ct, read_segmentation
from .file_question import Decision, Drop, OpenCase, OpenXRay, Use, decide
from .form import Button, Files, Form, Text, quiet, row, texts
from .section import Host, Presenter, question_controls
from .sections import Sections

READING = _("Reading files\u2026")
#: What an empty page and panel say; the last line belongs to the demo.
WELCOME = (
    _("Drop a CT and its X-rays here, with calibration files."),
    _("Or a case, a result or a scene: their content tells."),
)
DEMO = _("Nothing at hand? The demo is a chest CT and two X-rays of it.")
#: Refused files that are listed; more are counted.
MAX_REFUSED_LISTED = 200

#: Adds one file that was read to the registration, in the main thread.
Step = Callable[[], object]


@dataclass(eq=False)
class Loaded:
    """Files that were read.

    Attributes
    ----------
    steps
        Add one file each to the registration.
    problems
        Why files are not used, one sentence per file.
    """

    steps: list[Step] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Return a context manager that keeps an InputError of the block as a problem."""
        try:
            yield
        except InputError as error:
            self.problems.append(str(error))


@dataclass(eq=False)
class PendingDrop:
    """Files that are recognised, asked about or read.

    Attributes
    ----------
    count
        Number of files and folders.
    inspection, loading
        The tasks; None before they begin.
    decision
        What is done with the files; None before they are recognised.
    target
        ID of the registration and of its CT for which the files are read.
    """

    count: int
    preferred: str
    replacing: bool
    folder: Path | None
    inspection: Task[Content]
    answers: Answers = field(default_factory=dict)
    decision: Decision | None = None
    loading: Task[Loaded] | None = None
    target: tuple[str, ...] = ()


class FilesPresenter(Presenter):
    """Adds files to the registration, or begins one; `tick` monitors the reading threads.

    Files that come together are applied in one step, one drop after the other. Uploaded files are
    removed when they are no longer needed.

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
        self._sections = sections
        self._drops: list[PendingDrop] = []
        self._applying = False
        super().__init__(host)

    def reset(self) -> None:
        """Discard all state of the previous registration, unless files themselves begin another one."""
        if not self._applying:
            self.refused: list[str] = []
        self.exit()

    def exit(self) -> None:
        """Discard waiting files and their question, unless files themselves begin another registration."""
        while self._drops and not self._applying:
            self._finish()

    # The form

    @property
    def _asked(self) -> Decision | None:
        """The decision that the user is asked about; None for none."""
        drop = next(iter(self._drops), None)
        return None if drop is None or drop.loading is not None else drop.decision

    @property
    def closes(self) -> bool:
        """Whether the selected answer closes the open registration."""
        asked = self._asked
        closing = asked is not None and (asked.begins or asked.opens is not None)
        return closing and self.host.replaces and self.host.registration is not None

    @property
    def waiting(self) -> str:
        """What files wait for, in a sentence; "" for nothing."""
        if self._asked:
            return _("The files wait for an answer.")
        return READING if self._drops else ""

    @property
    def reads_ct(self) -> bool:
        """Whether another CT is being read."""
        drop = next((each for each in self._drops if each.loading is not None), None)
        return drop is not None and drop.decision is not None and drop.decision.replaces_ct

    def question(self) -> str:
        """Return the key of the control that the question needs next; "" for none."""
        if self._asked is None:
            return ""
        return f"asked.{next(iter(self._asked.unanswered), 'use')}"

    def form(self) -> Form:
        """Return the controls."""
        return [
            *(self._welcome() if self.host.registration is None and self.in_slicer else []),
            quiet("looking", self.looking),
            *self._question_form(),
            *self._refused_files(),
        ]

    @property
    def looking(self) -> str:
        """What is being read, in a sentence; "" for nothing."""
        if self._asked or not self._drops:
            return ""
        if self._drops[0].decision is not None:
            return READING
        count = self._drops[0].count
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

    def _question_form(self) -> Form:
        asked = self._asked
        if asked is None:
            return []
        use = Button(
            "asked.use",
            _("Continue"),
            self._use,
            enabled=not asked.unanswered,
            primary=True,
        )
        return [
            Text(
                "asked.title",
                "\n".join(asked.title) or _("How are these files used?"),
                tone="strong",
            ),
            *question_controls("asked", asked.questions, asked.answers, self._answer),
            row("asked.end", use, Button("asked.cancel", _("Cancel"), self._finish)),
        ]

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

    # User actions

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
            The files and folders.
        folder
            Folder into which a page sent them; it is removed once they are taken.
        preferred
            Kind that the user chose the files as, if they may be of several kinds.
        replacing
            Whether the user chose to close the open registration first.
        """
        paths = list(paths)
        task = Task(lambda on_progress: inspect(paths, preferred))
        self._drops.append(PendingDrop(len(paths), preferred, replacing, folder, task))
        self._wait_for(task)

    def _wait_for(self, task: Task) -> None:
        if task.wait(self.host.patience_s):
            self.tick()

    def _answer(self, key: str, answer: str) -> None:
        self._drops[0].answers[key] = answer
        self._decide(self._drops[0])

    def _use(self) -> None:
        drop = self._drops[0]
        if not self._decide(drop).unanswered:  # the registration may have changed meanwhile
            self._load(drop)

    def _finish(self) -> PendingDrop:
        """Remove the first drop, with its uploaded files."""
        drop = self._drops.pop(0)
        if drop.folder is not None:
            shutil.rmtree(drop.folder, ignore_errors=True)
        return drop

    def refuse(self, problem: str | InputError) -> None:
        """List a file that is not used until the user dismisses the list.

        Parameters
        ----------
        problem
            A sentence that names the file and the reason.
        """
        self._refuse_all([str(problem)])

    def _refuse_all(self, problems: Iterable[str]) -> None:
        sentences = map(redact_upload_paths, problems)
        self.refused = list(dict.fromkeys([*self.refused, *sentences]))

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Return a context manager that lists the file as refused if the block raises InputError."""
        try:
            yield
        except InputError as error:
            self.refuse(error)

    # Results of threads

    def tick(self) -> bool:
        """Continue with the first drop; return whether there is something new to show."""
        if not self._drops or self._asked:
            return False
        drop = self._drops[0]
        task: Task = drop.loading or drop.inspection
        if not ended(task):
            return False
        with self.host.ui_action(), self.refusing():
            if drop.loading is not None:
                self._apply(drop)
            else:
                self._ask_or_load(drop)
        return True

    def _ask_or_load(self, drop: PendingDrop) -> None:
        try:
            if not self._decide(drop).questions:
                self._load(drop)
        except InputError:
            self._finish()
            raise

    def _decide(self, drop: PendingDrop) -> Decision:
        content = drop.inspection.result
        registration = self.host.registration
        opened = OpenCase()
        if registration is not None:
            opened = OpenCase(
                True,
                self.host.replaces,
                None if registration.ct is None else ct_header(registration),
                tuple(
                    OpenXRay(view.id, view.name, view.size, needs_geometry(view))
                    for view in registration.xrays
                ),
                "" if drop.replacing else doubt_about(registration, content.identities),
            )
        files = Drop(content.files, content.open_xrays, drop.preferred, drop.replacing, drop.folder)
        drop.decision = decide(files, drop.answers, opened)
        return drop.decision

    def _load(self, drop: PendingDrop) -> None:
        """Begin to read the files of a decision, or to open one that holds a registration."""
        decision = drop.decision
        assert decision is not None
        if decision.opens is not None:
            folder, drop.folder = drop.folder, None  # removed once it is opened
            self._finish()
            self._refuse_all(decision.left_out)
            self.host.open_whole(decision.opens, folder)
            return
        drop.target = self._target()
        xrays = drop.inspection.result.xrays
        unit = self._sections.ct.unit
        there = None
        if not decision.replaces_ct and any(use.kind == MASK for use in decision.uses):
            there = self.session.ct()
        drop.loading = Task(lambda on_progress: self._read(decision, xrays, there, unit))
        self._wait_for(drop.loading)

    def _target(self) -> tuple[str, ...]:
        registration = self.host.registration
        if registration is None:
            return ()
        ct = registration.ct
        return registration.node.GetID(), "" if ct is None else ct.GetID()

    def _read(
        self, decision: Decision, xrays: Mapping[Path, XRayFile], ct: CTVolume | None, unit: str
    ) -> Loaded:
        """Read the files of a decision, in a thread."""
        loaded = Loaded()
        ct_failed = False
        for use in decision.uses:
            with loaded.reporting():
                if use.kind == CT:
                    ct_failed = True
                    read_ct = load_ct(use.file, unit)
                    ct_failed = False
                    ct = read_ct.ct
                    loaded.steps.append(partial(self._sections.ct.put_ct, read_ct))
                    continue
                if ct_failed and use.needs_ct:
                    why = _("{file} is not used, because its CT cannot be read. Export both again.")
                    raise InputError(why, file=use.file.name)
                loaded.steps.append(self._step(use, xrays, ct))
        return loaded

    def _step(self, use: Use, xrays: Mapping[Path, XRayFile], ct: CTVolume | None) -> Step:
        """Read a file, in a thread, and return what adds it."""
        path = use.file.path
        name = name_of(path)
        match use.kind:
            case recognise.XRAY:
                add = xrays[path].add_to if path in xrays else read(path)
                return partial(self._add_xray, path, add)
            case recognise.MASK:
                assert ct is not None  # otherwise it was left out
                return partial(self._add_segmentation, name, read_segmentation(path, ct))
            case file_question.IMPLANT:
                return partial(self._sections.ct.add_implant, name, load_implant(path, use.target))
            case file_question.MODEL:
                return partial(self._add_model, name, read_triangles(path))
            case recognise.POSE:
                return partial(self._sections.start.place_at, use.value)
            case recognise.BEADS:
                return partial(self._find_beads, path)
            case _:
                return partial(self._use_in_image, use)

    def _apply(self, drop: PendingDrop) -> None:
        """Add all files in one step, or leave the registration as it was."""
        decision, task = drop.decision, drop.loading
        assert decision is not None and task is not None
        self._applying = True
        try:
            loaded = task.result
            if self._target() != drop.target:
                raise InputError(
                    _("The CT was changed while files were read. Drop the files again.")
                )
            self._refuse_all([*decision.left_out, *loaded.problems])
            if not loaded.steps:
                return
            if decision.begins:
                self.host.close_registration()
            self.host.begin()
            self._added: dict[str, str] = {}
            with all_or_nothing(self.registration):
                if decision.same_patient:
                    say_unknown_are_of_patient(self.registration)
                for step in loaded.steps:
                    with self.refusing():
                        step()
                for sentence in task.warnings:
                    self.session.notices.warn(sentence)
        finally:
            self._applying = False
            self._finish()

    # Steps

    def _add_xray(self, path: Path, add: AddXRays) -> None:
        first, *_others = add(self.registration, self.session.cache_xray)
        self._added[str(path)] = first.id
        if len(self._added) == 1:
            self._sections.xrays.select(first.id)

    def _use_in_image(self, use: Use) -> None:
        """Use a camera, a mask or landmarks."""
        path = use.file.path
        if use.target == CT:
            landmarks_to_ct(self.registration, path)
            return
        node_id = self._added.get(use.target, use.target)
        view = next((each for each in self.registration.xrays if each.id == node_id), None)
        if view is None:
            why = _("{file} is not used, because its X-ray is missing. Add that X-ray first.")
            raise InputError(why, file=use.file.name)
        if use.kind == XRAY_MASK:
            use_mask(view, path)
        elif use.kind == LANDMARKS:
            landmarks_to_xray(self.registration, view, path, use.value)
        else:
            self._sections.xrays.geometry.use_camera(view, use.value, path)
            if use.value.notes:
                self.session.notices.warn(f"{view.name}: {describe_camera(use.value)}")

    def _find_beads(self, path: Path) -> None:
        self.host.show_geometry()
        self._sections.xrays.geometry.beads.find(path)

    def _add_segmentation(self, name: str, found: Structures | np.ndarray) -> None:
        registration = self.registration
        scene, ct = registration.scene, registration.ct
        if isinstance(found, Structures):
            registration.choose_segment(structures_node(scene, name, found, ct))
            self._sections.ct.bones.choose_bones()
            self.host.show_section("ct")
        else:
            registration.choose_segment(*segmentation_node(scene, name, found, ct))

    def _add_model(self, name: str, mesh: tuple[np.ndarray, np.ndarray]) -> None:
        add_model(self.registration, name, *mesh)
