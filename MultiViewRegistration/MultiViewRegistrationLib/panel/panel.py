"""The panel: its sections over the registration at work, a timer, and one place for errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from time import thread_time
from typing import Any, Protocol

import qt
import slicer
import vtk

from ..io.recognise import SCENE, kinds_of
from ..mrml import display, layout
from ..mrml.nodes import in_batch, in_time
from ..mrml.registration import MODULE, UNNAMED, DeletedRegistration, Registration, delete
from ..mrml.xray import XRayView
from ..session.inputs import begin_compiling
from ..session.presenters.frontend import Frontend, Read, ShownPart
from ..session.presenters.section import SlicerTools
from ..session.session import Session
from ..session.tasks import POLL_WAIT_S
from ..translation import _
from . import packages
from .drawn import PanelStyle, busy, plain_tip, show_text
from .geometry import GeometryWindow
from .hand import Hand
from .section import AnswerBar, FilesPart, PanelSection, StatusProgress, bring_into_sight
from .total_segmentator import Segmenter
from .views import Views

#: Milliseconds between polls.
TICK_MS = 40
#: Seconds of processor time after which the parts of a tick go on in the next turn of the event loop:
#: Slicer draws and takes clicks in between, and is to answer within 0.3 s.
TURN_S = 0.1
#: Milliseconds that a sentence stays in the status bar.
STATUS_MS = 15000
#: Seconds to wait for a small file before "reading" is shown.
PATIENCE_S = 0.5


class Logic(Protocol):
    """The logic of the module, which keeps the sessions of the scene's registrations."""

    @property
    def sessions(self) -> list[Session]:
        """The sessions of all registrations in the scene that were at work."""

    def session(self, registration: Registration) -> Session:
        """Return the session of a registration."""

    def take(self, read: Read) -> Registration:
        """Put what was read into the scene; return the registration that it becomes."""


class Panel(Frontend, slicer.util.VTKObservationMixin):
    """All sections over one registration.

    Parameters
    ----------
    ui
        The widgets of MultiViewRegistration.ui.
    logic
        The module's logic, which keeps the sessions.
    resource_path
        Returns the path of a file in Resources.
    """

    patience_s = PATIENCE_S
    installs_packages = True
    register_keys = "Ctrl+Return"
    #: A case that is opened is a further registration in the scene.
    replaces = False
    unexpected = _("Something unexpected went wrong ({error}); the Python console has the details.")
    views: Views
    hand: Hand
    sections: dict[str, PanelSection]

    def __init__(self, ui: Any, logic: Logic, resource_path: Callable[[str], str]) -> None:
        super().__init__()
        self.ui = ui
        self.logic = logic
        self.resource_path = resource_path
        self.scene = slicer.mrmlScene
        # filling: the signals of widgets say nothing
        self.filling = False
        self.shown = False
        self._said: list[str] = []
        self.widget = ui.messageLabel.parentWidget()
        self.hand = Hand(self)
        self.views = Views(self)
        self.segmenter = Segmenter()
        self.sections = {}
        for number, (name, presenter) in enumerate(self.presenters.by_name().items(), start=1):
            header = getattr(ui, f"{name}Section")
            self.sections[name] = PanelSection(presenter, self, header, number)
        self.geometry = GeometryWindow(self, self.presenters.xrays.geometry)
        self.files = FilesPart(self, ui.filesWidget)
        self.answer = AnswerBar(self)
        self._status_progress = StatusProgress(self._on_cancel)
        self._forms: list[PanelSection] = [*self.sections.values(), self.answer]
        self._deleted: DeletedRegistration | None = None
        self._delete_action = self._set_up_selector(ui.registrationSelector)
        ui.restoreButton.clicked.connect(self._on_restore)
        ui.loadCaseButton.clicked.connect(self._on_load_case)
        ui.noticeButton.clicked.connect(self.acknowledge_notices)
        self._reading_timer = qt.QTimer()  # it goes on where another module is open
        self._reading_timer.setInterval(TICK_MS)
        self._reading_timer.timeout.connect(self._on_reading)
        self.show_reading("")
        self._style = PanelStyle(self.widget, self.invalidate)
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._on_turn)
        self._rest: Iterator[None] = iter(())
        begin_compiling()

    def _set_up_selector(self, selector: Any) -> Any:
        """Name in Slicer's selector what it selects.

        The action that it has further, which is to be kept.
        """
        kind = "vtkMRMLScriptedModuleNode"
        selector.addAttribute(kind, "ModuleName", MODULE)
        selector.setNodeTypeLabel(_("registration"), kind)
        selector.baseName = UNNAMED
        action = qt.QAction(_("Delete the registration..."), selector)
        action.connect("triggered()", self._on_delete)
        selector.addMenuAction(action)
        selector.currentNodeIDChanged.connect(self._on_registration_selected)
        return action

    # Life

    def enter(self) -> None:
        """Follow the scene, as the module is shown."""
        for event in (slicer.mrmlScene.NodeAddedEvent, slicer.mrmlScene.NodeRemovedEvent):
            self.addObserver(slicer.mrmlScene, event, self._on_changed)
        selection = slicer.app.applicationLogic().GetSelectionNode()
        self.addObserver(selection, selection.UnitModifiedEvent, self._on_changed)
        self._follow()
        if self.session is not None:
            self.session.held = False
        self.shown = True
        self._timer.start()
        self.refresh()

    def exit(self) -> None:
        """Put tools away, as the module is left.

        Work goes on, see `Session.hold`, and the views follow the CT.
        """
        self.shown = False
        self.geometry.close()
        self.files.presenter.exit()
        self._leave()
        self.removeObservers()

    def close(self) -> None:
        """End all work: there will be no panel any more, and perhaps its widgets are gone already."""
        self._timer.stop()
        self._reading_timer.stop()
        self._status_progress.close()
        self.segmenter.close()
        self.opening.stop()
        for form in self._forms:
            with suppress(
                ValueError, RuntimeError
            ):  # what PythonQt, and PySide, say of a widget that is gone
                form.presenter.exit()
        self.sections = {}
        self._forms = []
        self._deleted = None
        for session in self.logic.sessions:
            session.stop()
        self.exit()
        for session in self.logic.sessions:
            session.regressors.cancel()
            session.igtl.close()

    def choose(self, registration: Registration | None) -> None:
        """Work on another registration."""
        if registration == self.registration:
            return
        self._leave()
        self._rest = iter(())  # a tick of the one before
        if self.session is not None:
            self.session.forget_task()
        for form in self._forms:
            form.presenter.deactivate()
        self.registration = registration
        self.session = None if registration is None else self.logic.session(registration)
        if self.session is not None:
            self.session.drawing.one_by_one = True
        if self.session is not None and self.shown:
            self.session.held = False
        for form in self._forms:
            form.presenter.reset()
        self.files.presenter.reset()
        self.ui.registrationSelector.setCurrentNode(registration and registration.node)
        self.views.update_views()
        self.views.stand_back()
        self._follow()
        self.show_message("")
        if self._forms:  # nothing of another patient stays
            for form in self._forms:
                self._fill(form.clear)
            for show in (self.files.refresh, self.geometry.refresh, self._show_head):
                self._fill(show)
        self.invalidate()

    def show_begun(self) -> None:
        """Show its views as soon as it has an X-ray."""
        self.views.show_once()

    def close_registration(self) -> None:
        """Leave the registration in the scene, and work on none: what comes next begins another."""
        self.choose(None)

    def _on_delete(self) -> None:
        """Delete the registration at work, after a question.

        Until the scene is closed it can be brought back.
        """
        registration = self.registration
        if registration is None:
            return
        question = _(
            "Delete {name}, with its X-rays, masks, landmarks and history? Its CT stays, and plans on "
            "it do; Data shows these again."
        )
        with self.ui_action():
            if slicer.util.confirmOkCancelDisplay(
                question.format(name=registration.name), _("Delete the registration")
            ):
                self.choose(None)
                self._deleted = delete(registration)

    def _on_cancel(self) -> None:
        with self.ui_action():
            if self.session is not None:
                self.session.cancel()

    def _on_restore(self) -> None:
        with self.ui_action():
            deleted = self._deleted
            self._deleted = None
            if deleted is not None:
                self.choose(deleted.restore(slicer.mrmlScene))

    def close_scene(self) -> None:
        """Cancel all work, and forget what was deleted, as the scene is closed."""
        self._deleted = None
        for session in self.logic.sessions:
            session.cancel()
        slicer.util.showStatusMessage("")  # that a registration goes on, say

    def open_whole(self, path: Path, folder: Path | None = None) -> None:
        """Open a case, a result or a track beside what is open.

        A scene in its place, after a question if there is anything.
        """
        if SCENE not in kinds_of(path):
            self.opening.open(path)
        elif display.is_empty(slicer.mrmlScene) or slicer.util.confirmOkCancelDisplay(
            plain_tip(_("Close the scene, and open {file} in its place?").format(file=path.name)),
            _("Open a scene"),
        ):
            slicer.util.loadScene(str(path))

    def _follow(self) -> None:
        """See when the registration's node changes."""
        node = self.registration and self.registration.node
        if node is not None and not self.hasObserver(
            node, vtk.vtkCommand.ModifiedEvent, self._on_changed
        ):
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_changed)

    def _leave(self) -> None:
        for form in self._forms:
            form.presenter.exit()
        if self.registration is not None and self.session is not None:
            self._say_in_status_bar(self.session.hold())
            if self.hasObserver(
                self.registration.node, vtk.vtkCommand.ModifiedEvent, self._on_changed
            ):
                self.removeObserver(
                    self.registration.node, vtk.vtkCommand.ModifiedEvent, self._on_changed
                )

    # What slots do

    @contextmanager
    def ui_action(self) -> Iterator[None]:
        """Run a slot's action in here.

        An error becomes a message, and the panel shows the result.
        """
        if self.filling:  # a widget that is being filled, not a person
            yield
            return
        ticking = self._timer.active
        self._timer.stop()  # nothing goes on beside a question, or a package that is half installed
        try:
            with self.reporting():
                yield
        finally:
            if ticking:
                self._timer.start()
        self.show_soon()

    def show_message(self, message: str) -> None:
        """Show a sentence about what went wrong; "" takes it away."""
        show_text(message, self.ui.messageLabel)

    def show_reading(self, words: str) -> None:
        """Show what is being read; "" for nothing."""
        show_text(words, self.ui.readingLabel)
        self.invalidate()
        (self._reading_timer.start if words else self._reading_timer.stop)()

    def take_read(self, read: Read, autosaved: Path | None) -> None:
        """Put what was read into the scene, and work on it."""
        with busy():
            with in_batch(self.scene):
                registration = self.logic.take(read)
            self.choose(registration)
            self.views.show_once()

    def stop_moving(self) -> None:
        """Leave handles and keys that move the CT as they are.

        Whatever moves it otherwise goes into the history.
        """

    def waiting(self) -> str:
        """Return what the case waits for, a sentence; "" for nothing."""
        return (
            _("A dialog is open.")
            if qt.QApplication.activeModalWidget() is not None
            else super().waiting()
        )

    def missing_packages(self) -> str:
        """Return a sentence on the missing packages for DRRs; "" where all are installed."""
        return packages.missing_message(self.resource_path("requirements.txt"))

    @property
    def slicer_tools(self) -> SlicerTools:
        """The panel itself."""
        return self

    def draw_mask(self, view: XRayView) -> None:
        """Draw the mask of an X-ray in Slicer's Segment Editor."""
        self.views.draw_mask(view)

    def show_in_module(self, node: Any) -> None:
        """Open Slicer's own module for an MRML node."""
        slicer.app.openNodeModule(node)

    def show_section(self, name: str, key: str = "") -> None:
        """Unfold a section, and bring it into sight, with the focus in a control, once all is shown."""
        if name in self.sections:
            self.sections[name].button.collapsed = False
        qt.QTimer.singleShot(0, lambda: self._bring_into_sight(name, key))

    def _bring_into_sight(self, name: str, key: str) -> None:
        parts: dict[str, Any] = {**self.sections, "files": self.files, "geometry": self.geometry}
        if name not in parts:  # the panel was closed meanwhile
            return
        form = parts[name].form
        if key and form is not None:
            form.focus(key)
        elif name in self.sections:
            bring_into_sight(self.sections[name].button)

    # What follows the scene

    def _on_turn(self) -> None:
        """Do the next parts of a tick, at least one; the others follow in the next turns of the event loop."""
        if self.session is not None and self.session.registration.scene is None:
            self._rest = self._tick()
        end = thread_time() + TURN_S
        pause_ms = TICK_MS
        with self.ticking():
            for _part in self._rest:
                if thread_time() > end:
                    pause_ms = 0
                    break
        if pause_ms:
            self._rest = self._tick()
        self._timer.setInterval(pause_ms)

    def _tick(self) -> Iterator[None]:
        """Follow the work under way and the CT, a part after another."""
        for other in self.logic.sessions:
            if other is not self.session and other.poll(0):
                self._say_in_status_bar(other.message)
        self._say_news()
        self._status_progress.show(self.answer_presenter.progress())
        yield from self.tick_parts(POLL_WAIT_S)

    def _on_reading(self) -> None:
        """Take what was read."""
        with self.ticking():
            self.opening.tick(POLL_WAIT_S)

    def follow(self, session: Session, wait: float) -> str:
        """Take what the work of the session has done, and say it also where another module is open."""
        message = super().follow(session, wait)
        if not self.shown:
            self._say_in_status_bar(message)
        return message

    def parts(self) -> list[ShownPart]:
        """Return all that is shown but the views; nothing once it is closed."""
        return [self.files, *self._forms, self.geometry] if self._forms else []

    def follow_views(self, session: Session) -> Iterator[None]:
        """Have the views follow the CT, also while another module is open."""
        self.views.leave_if_empty()
        self._stale |= self.views.out_of_date
        self.views.spare_3d(self.hand.follow())
        session.drawing.step()
        yield
        if self.shown:
            self.views.tick()

    def refreshing(self) -> Iterator[None]:
        """Show the scene as it is, a part after another, what the answer says before what it is of."""
        self._stale = False
        parts: list[Callable[[], object]] = [
            self._show_views,
            *(form.refresh for form in reversed(self._forms)),
            self.files.refresh,
            self.geometry.refresh,
        ]
        for show in parts if self._forms else parts[:1]:  # none once it is closed
            self._fill(show)
            yield

    def _fill(self, show: Callable[[], object]) -> None:
        self.filling = True
        try:
            show()
        finally:
            self.filling = False

    def _say_news(self) -> None:
        """Say each news of a session once."""
        news = list(chain(*(session.news() for session in self.logic.sessions)))
        for sentence in news:
            if sentence not in self._said:
                self._say_in_status_bar(sentence)
        self._said = news

    def _say_in_status_bar(self, sentence: str) -> None:
        """Say something at once, whatever module is open; nothing for ""."""
        if sentence:
            slicer.util.showStatusMessage(sentence, STATUS_MS)

    def _show_views(self) -> None:
        """Show the registration in the views."""
        if self.registration is not None:
            unshown = layout.shows(self.registration) and self.views.making()
            self._stale |= unshown or not display.show(self.registration, in_time())
        self._show_head()

    def _show_head(self) -> None:
        """Show what stands above the sections."""
        self.views.refresh()
        self._show_notices()
        self._show_deleted()

    def _show_deleted(self) -> None:
        """Offer to bring back what was deleted last."""
        text = ""
        if self._deleted is not None:
            text = _("{name} was deleted.").format(name=self._deleted.name)
        show_text(text, self.ui.deletedLabel, self.ui.restoreButton)

    def _show_notices(self) -> None:
        """Show what a person should read once, above the sections."""
        notices = None if self.session is None else self.session.notices
        sentences = [] if notices is None else notices.sentences
        text = "\n".join(f"\u26a0 {sentence}" for sentence in sentences)
        show_text(text, self.ui.noticeLabel, self.ui.noticeButton)

    def _on_changed(self, caller: object = None, event: object = None) -> None:
        self._stale |= not self.filling  # what a refresh makes, it shows

    def _on_registration_selected(self, node_id: str) -> None:
        node = node_id and slicer.mrmlScene.GetNodeByID(node_id)
        if node and not node.GetModuleName():  # made by the selector itself
            node.SetModuleName(MODULE)
        self.choose(Registration(node) if node else None)

    def _on_load_case(self) -> None:
        path = qt.QFileDialog.getOpenFileName(None, _("Load case"), "", _("Case (*.json)"))
        if path:
            with self.ui_action():
                self.opening.open(Path(path))
