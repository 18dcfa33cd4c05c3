"""The application behind the page.

One MRML scene, the registration at work, the steps, and one place for errors.

It lives in the server. Pages come and go and only look at it, so that a reload, or a second page,
finds the work where it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import slicer
from trame.widgets import html
from trame_slicer.core import SlicerApp
from vtkmodules.vtkCommonCore import vtkCommand, vtkLogger, vtkOutputWindow

from ..errors import InputError
from ..io.files import redact_upload_paths
from ..mrml import display, manual_pose, nodes
from ..mrml.cursor import LinkedCursor
from ..mrml.display import SceneObserver
from ..mrml.identity import patient_of
from ..mrml.registration import Registration
from ..mrml.xray import XRayView
from ..session.history import ManualMoveRecorder
from ..session.presenters.answer import VERDICTS, AnswerPresenter
from ..session.presenters.frontend import Frontend, Read, keep_read
from ..session.presenters.section import can_move_by_hand, folder_name
from ..session.session import Session
from ..session.tasks import Task, ended
from ..translation import _
from . import elements
from .autosave import Autosave, title_of
from .elements import WORDS
from .page_section import PageSection
from .page_views import PageViews
from .scene_files import read_scene, save_scene
from .transfers import Downloads, Uploads

#: Seconds between polls, and while the CT is moved, whose pictures come first then.
TICK_S = 0.05
MOVING_TICK_S = 0.25
#: Seconds after the last movement by hand for which the CT counts as being moved, while the button
#: is down, and after that.
DRAG_PAUSE_S = 1.0
AFTER_DRAG_S = 0.3


class Application(Frontend):
    """All steps over one registration.

    Parameters
    ----------
    server
        The trame server, running, whose state the page shows.
    uploads, downloads
        Files that the page sends and gets.
    """

    patience_s = 0.05
    installs_packages = False
    register_keys = "Ctrl+Enter"
    #: What is opened takes the place of what is open.
    replaces = True
    unexpected = _(
        "Something unexpected went wrong ({kind}); the terminal of mvreg view has the details."
    )
    views: PageViews
    sections: dict[str, PageSection]

    def __init__(self, server: Any, uploads: Uploads, downloads: Downloads) -> None:
        super().__init__()
        vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)
        self.server = server
        self.state = server.state
        self.slicer_app = SlicerApp()
        vtkOutputWindow.GetInstance().SetDisplayModeToNever()  # the log has it
        self.scene = slicer.mrmlScene = self.slicer_app.scene
        rendering = self.slicer_app.app_logic.GetModuleLogic("VolumeRendering")
        slicer.modules = SimpleNamespace(
            volumerendering=SimpleNamespace(logic=lambda: rendering)
        )  # where Slicer has it
        self._observer = SceneObserver(self.scene)
        self._observed: tuple[Any, int] | None = None
        self._moves: ManualMoveRecorder | None = None
        self._dragging = False
        self._moved_at = 0.0
        self._handled = ""  # the bone that has handles
        self.downloads = downloads
        uploads.take = self._take
        uploads.belongs_to = lambda: self.session
        self.autosave = Autosave(self)
        self.views = PageViews(self)
        self.hand = Hand(self)
        self.steps = {
            name: PageSection(name, each, self) for name, each in self.presenters.by_name().items()
        }
        geometry = PageSection("geometry", self.presenters.xrays.geometry, self)
        self.files = PageSection("files", self.files_presenter, self)
        self.answer = AnswerBar(self)
        self.sections = {
            **self.steps,
            "geometry": geometry,
            "files": self.files,
            "answer": self.answer,
        }
        trigger = server.controller.trigger
        for what in ("act", "download"):
            trigger(f"mvreg_{what}")(partial(self._do, what))
        trigger("mvreg_save")(self.save)
        for event in (self.scene.NodeAddedEvent, self.scene.NodeRemovedEvent):
            self.scene.AddObserver(event, self.invalidate)
        self.state.open_steps = []
        self.state.opening_another = False
        self.state.saving = False
        self.state.sought = {"at": "", "count": 0}
        self.choose(None)
        self.show_message("")
        self.show_reading("")
        self.autosave.offer()

    def _do(self, what: str, section: str, *args: Any) -> Any:
        return getattr(self.sections[section], what)(*args)

    # The registration at work

    def choose(self, registration: Registration | None) -> None:
        """Work on another registration."""
        self.stop_moving()
        if self.session is not None:
            self.session.stop(0)
            self.session.regressors.cancel()
            nodes.stop_placing(self.scene)  # what is placed next may have the ID of what was
        self.downloads.withdraw()
        if self._observed is not None:
            self._observed[0].RemoveObserver(self._observed[1])
        self.registration = registration
        self.session = self._observed = None
        self._handled = ""
        if registration is not None:
            self.session = Session(registration)
            tag = registration.node.AddObserver(vtkCommand.ModifiedEvent, self.invalidate)
            self._observed = registration.node, tag
        display.show_alone(self.scene, registration)
        self.views.reset()
        for section in self.sections.values():
            section.reset()
        self.invalidate()

    def show_begun(self) -> None:
        """Unfold the steps that a new case begins with."""
        self.state.open_steps = FIRST_STEPS

    def close_registration(self) -> None:
        """Close what is open: the page is empty then, and takes a new case."""
        self.state.opening_another = False
        self.choose(None)
        self.scene.Clear(False)

    def new_case(self) -> None:
        """Close what is open, as `close_registration`, for the page's button."""
        with self.ui_action():
            self.close_registration()

    def open_whole(self, path: Path, folder: Path | None, case: Path | None = None) -> None:
        """Open a case, a result, a track or a scene in place of what is open.

        Parameters
        ----------
        folder
            That a page sent it in.
        case
            Of a result or a track.
        """
        self.opening.open(path, case, folder, read_scene)

    def show_reading(self, words: str) -> None:
        """Show what is being read; "" for nothing."""
        self.state.opening = words
        self.invalidate()
        if words:
            self.state.opening_another = False

    def take_read(self, read: Read, autosaved: Path | None) -> None:
        """Put what was read into the scene, in place of what is open."""
        self.choose(None)
        self.scene.Clear(False)
        registration = read(self.scene)
        self.choose(registration)
        self.autosave.opened(autosaved)
        self.state.open_steps = []
        if self.session is not None:
            keep_read(self.session, read)
            if self.session.sequence.player is not None:
                self.state.open_steps = ["sequence"]
        if registration is None:
            self.show_message(
                _("The scene holds no registration of this program; add a CT and X-rays.")
            )
            self.begin()

    # What a person does

    @contextmanager
    def ui_action(self) -> Iterator[None]:
        """Run a user action: an error becomes a message, and the page shows the result."""
        with self.reporting():
            yield
        self.show_soon()

    def _take(self, target: str, folder: Path) -> None:
        """Take files that a page sent, dropped anywhere, "files", in place of what is open, "open", or for a control, "ct/file"."""
        name, _slash, key = target.partition("/")
        if target in ("files", "open"):
            with self.ui_action():
                self.state.opening_another = False
                self.files_presenter.take([folder], folder, replacing=target == "open")
        elif key and name in self.sections:
            self.sections[name].take(key, folder)
        else:
            raise InputError(_("Upload: there is nothing that takes these files; use the page."))

    async def save(self) -> str:
        """Save the scene as an .mrb.

        Returns
        -------
        str
            Its address, "" where it could not be written.
        """
        if self.state.saving or self.registration is None:
            return ""
        address = ""
        self.state.saving = True
        self.state.flush()
        await asyncio.sleep(TICK_S)  # the page shows it before the scene is busy
        with self.ui_action():
            name = folder_name("scene", self.registration)
            pack = save_scene(self.scene, self.downloads.new_folder() / f"{name}.mrb")
            packing = Task(lambda on_progress: pack())
            while not ended(packing):
                await asyncio.sleep(TICK_S)
            address = self.downloads.offer(packing.result)
        self.state.saving = False
        return address

    def missing_packages(self) -> str:
        """Return nothing: the program was installed with all packages."""
        return ""

    def show_message(self, message: str) -> None:
        """Show a sentence about what went wrong; "" takes it away."""
        self.state.message = redact_upload_paths(message)

    def show_section(self, name: str, key: str = "") -> None:
        """Open a step of the column, and bring it into sight, with the focus in a control."""
        if name in self.steps:
            self.state.open_steps = [
                *(each for each in self.state.open_steps if each != name),
                name,
            ]
        self.state.sought = {"at": f"{name}/{key}", "count": self.state.sought["count"] + 1}

    def hide_geometry(self) -> None:
        """Close the table of the X-rays' geometry."""
        self.presenters.xrays.geometry.close()
        self.invalidate()

    # The X-ray panes: the CT is moved by hand, points are clicked

    def may_move(self) -> bool:
        """Return whether a drag moves the CT now."""
        return self.hand.on and can_move_by_hand(self)

    def toggle_move(self) -> None:
        """Have drags move the CT, or look around again."""
        with self.ui_action():
            self.hand.toggle()

    @property
    def moving(self) -> bool:
        """Whether the CT is being moved by hand: what takes long to draw waits."""
        pause = DRAG_PAUSE_S if self._dragging else AFTER_DRAG_S
        return self._moves is not None and monotonic() - self._moved_at < pause

    def begin_move(self) -> None:
        """Begin to move the CT by a drag or a key."""
        if self.session is None:
            return
        if self._moves is None:
            self._moves = ManualMoveRecorder(self.session.registration, self.session.history)
        self._dragging = True
        self.moved()
        self._moves.begin()

    def moved(self) -> None:
        """Note that the CT has been moved, and drawn."""
        self._moved_at = monotonic()

    def end_move(self) -> None:
        """End a drag, or the movement by a key."""
        self._dragging = False
        if self._moves is not None:
            self._moves.end()

    def stop_moving(self) -> None:
        """Record the last movement: others move the CT from now on."""
        moves = self._moves
        self._moves = None
        if moves is not None:
            moves.stop()

    def _follow_handles(self, session: Session) -> None:
        """Have handles in 3D and slices at the bone that a hand moves; the whole CT has them in the X-rays."""
        bone = session.bones.moving if self.may_move() else None
        name = "" if bone is None else bone.name
        if name != self._handled:
            manual_pose.show_handles(session.registration, bone is not None, bone)
            self._handled = name
        if name and self._moves is None:
            self._moves = ManualMoveRecorder(session.registration, session.history)

    def put_point(self, view: XRayView, column: float, row: float) -> None:
        """Place a landmark while those are placed, else the linked cursor."""
        landmarks = self.presenters.start.landmarks
        cursor = self.presenters.check.cursor
        with self.ui_action():
            (landmarks if landmarks.placing else cursor).put(view, column, row)

    @property
    def cursor(self) -> LinkedCursor | None:
        """The linked cursor to show, None without one."""
        return self.presenters.check.cursor.shown

    # What follows the scene

    def close(self) -> None:
        """Save, and leave the registration, as the server ends."""
        try:
            self.autosave.close()
        finally:
            self.choose(None)

    async def run(self) -> None:
        """Follow the work until the server ends; the same error is shown once."""
        shown = ""
        parts = self.tick()
        while True:
            try:
                with self.state:
                    ended = self._do_next(parts)
            except Exception as error:  # the work goes on
                ended = True
                if repr(error) != shown:
                    shown = repr(error)
                    with self.state:
                        self.show_unexpected(error)
            if ended:
                parts = self.tick()
            pause = MOVING_TICK_S if self.moving else TICK_S
            await asyncio.sleep(pause if ended else 0)

    def _do_next(self, parts: Iterator[None]) -> bool:
        """Do the next part of a tick; return whether there was none."""
        with self.ticking():
            return next(parts, self) is self

    def tick(self) -> Iterator[None]:
        """Follow all that goes on, a part after another: pages are answered between them."""
        self.opening.tick()
        yield
        yield from self.tick_parts(0)
        self.autosave.tick()

    def parts(self) -> Iterable[PageSection]:
        """Return all that is shown but the views."""
        return self.sections.values()

    def follow_views(self, session: Session) -> Iterator[None]:
        """Have the views follow the CT: an X-ray before what is said of it."""
        self._follow_handles(session)
        if self._moves is not None and self._moves.step():
            self.stop_moving()
            self.invalidate()
        yield from self.views.tick()

    def refreshing(self) -> Iterator[None]:
        """Show the scene as it is, a part after another."""
        self._stale = False
        self.state.has_registration = self.registration is not None
        self.state.case_title = ""
        if self.registration is not None:
            display.show(self.registration)
            patient = patient_of(self.registration)
            self.state.case_title = title_of(self.registration.name, patient)
        self.state.trame__title = " \u00b7 ".join(
            filter(None, [self.state.case_title, elements.TITLE])
        )
        notices = self.session.notices if self.session is not None else None
        self.state.notices = notices.sentences if notices else []
        self.state.closes = self.files_presenter.closes
        self.state.hand = {"on": self.hand.on, "possible": can_move_by_hand(self)}
        yield
        self.views.refresh()
        yield
        for section in self.sections.values():
            section.refresh()


class Hand:
    """Says whether drags and keys in the X-rays move the CT; else they only look around.

    The panes move it, see `xray_pane`.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._in: Session | None = None

    @property
    def on(self) -> bool:
        """Whether the CT is moved by hand now."""
        return self._in is not None and self._in is self._application.session

    def keys(self) -> str:
        """Return the keys and mouse movements that move the CT, a line each."""
        _title, keys = WORDS["keys"][0]
        return "\n".join(f"{what}: {means}" for what, means in keys)

    def toggle(self) -> None:
        """Begin, or end."""
        if self.on:
            self.exit()
        elif can_move_by_hand(self._application):
            self._in = self._application.session
            self._application.invalidate()

    def step(self) -> bool:
        """Return False: what was moved is recorded by the application."""
        return False

    def exit(self) -> None:
        """End."""
        if self.on:
            self._application.invalidate()
        self._in = None


#: That are open in a new case.
FIRST_STEPS = ["ct", "xrays"]


class AnswerBar(PageSection):
    """Shows an AnswerPresenter; `state.answer` of the server has its answer, a `presenters.answer.Answer` as plain data."""

    presenter: AnswerPresenter

    def __init__(self, application: Application) -> None:
        super().__init__("answer", application.answer_presenter, application)

    def build(self) -> None:
        """Put the bar into the layout that is being made."""
        with html.Section(classes="mv-answer", aria_label=_("Answer")):
            with html.Div(classes="mv-answer-words", role="status"):
                with html.Span(classes=("'mv-chip mv-chip-' + answer.kind",)):
                    html.Span("{{ answer.symbol }}", aria_hidden="true")
                    html.Span("{{ answer.word }}")
                html.Span("{{ answer.headline }}", classes="mv-headline")
                with html.Span(
                    v_for="view in answer.views",
                    key="view.name",
                    classes=("'mv-view-state mv-view-' + view.state",),
                    title=("view.tip",),
                ):
                    html.Span("{{ view.symbol }}", role="img", aria_label=("view.tip",))
                    html.Span("{{ view.name }}")
            super().build()

    def refresh(self) -> None:
        """Show the answer; with a verdict the steps that a new case begins with are folded."""
        super().refresh()
        state = self.application.state
        answer = self.presenter.answer()
        judged = answer.kind in VERDICTS and (state.answer or {}).get("kind") not in VERDICTS
        if judged and state.open_steps == FIRST_STEPS:
            state.open_steps = []
        state.answer = asdict(answer)
