"""The application behind the page: one MRML scene, the registration at work, the steps, and one place for what goes wrong.

It lives in the server. Pages come and go and only look at it, so that a reload, or a second page, finds the work where it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import slicer
from trame_slicer.core import SlicerApp
from trame_slicer.views import ViewLayout
from vtkmodules.vtkCommonCore import vtkCommand, vtkLogger, vtkOutputWindow

from ..errors import InputError
from ..io.files import as_sent
from ..mrml import display, nodes
from ..mrml.display import SceneObserver
from ..mrml.loading import ReadCase
from ..mrml.registration import Registration
from ..session.result_files import ReadResult
from ..session.sequence import ReadTrack
from ..session.session import Session
from ..session.translation import _
from .autosave import Autosave
from .downloads import Downloads
from .moving import Moving
from .opening import Opening
from .saving import Saving
from .sections import SECTIONS
from .uploads import Uploads
from .views import Views

#: Seconds between polls.
TICK_S = 0.05


class Application:
    """All steps over one registration.

    server: the trame server, running, whose state the page shows.   uploads, downloads: files that come and go.
    demo: see `opening.Opening`.
    """

    #: Seconds that the page waits for a small file before it is said to be being read.
    patience_s = 0.05
    in_slicer, installs_packages, register_keys = False, False, "Ctrl+Enter"
    #: The CT can be dragged in the X-rays at any time.
    hand = None

    def __init__(self, server, uploads: Uploads, downloads: Downloads, demo: Callable[[], Path]) -> None:
        _quieten()
        self.server, self.state = server, server.state
        self.slicer_app = SlicerApp()
        vtkOutputWindow.GetInstance().SetDisplayModeToNever()  # the log has it
        self.scene = slicer.mrmlScene = self.slicer_app.scene
        rendering = self.slicer_app.app_logic.GetModuleLogic("VolumeRendering")
        slicer.modules = SimpleNamespace(
            volumerendering=SimpleNamespace(logic=lambda: rendering)
        )  # where Slicer has it
        self.registration: Registration | None = None
        self.session: Session | None = None
        self._watch = SceneObserver(self.scene)
        self._stale, self._observed = True, None
        self.downloads = downloads
        self.opening, self.saving = Opening(self, demo), Saving(self, self.downloads)
        uploads.take, uploads.belongs_to = self._take, lambda: self.session
        self.moving, self.autosave = Moving(self), Autosave(self)
        self.views = Views(self)
        self.sections = {name: make(self) for name, make in SECTIONS.items()}
        server.controller.trigger("mvreg_act")(lambda section, key, *args: self.sections[section].act(key, *args))
        server.controller.trigger("mvreg_download")(lambda section, key: self.sections[section].download(key))
        self._unmade = [*self.sections.values()]
        self.cursor = self.sections["check"].presenter.cursor
        for event in (self.scene.NodeAddedEvent, self.scene.NodeRemovedEvent):
            self.scene.AddObserver(event, self._on_changed)
        self.state.open_steps, self.state.opening_another = [], False
        self.choose(None)
        self.tell("")

    # The registration at work

    def choose(self, registration: Registration | None) -> None:
        """Work on another registration."""
        self.moving.stop()
        if self.session is not None:
            self.session.stop(0)
            self.session.regressors.cancel()
            nodes.stop_placing(self.scene)  # what is placed next may have the ID of what was
        self.downloads.withdraw()
        if self._observed is not None:
            self._observed[0].RemoveObserver(self._observed[1])
        self.registration = registration
        self.session = registration and Session(registration)
        self._observed = None
        if registration is not None:
            self._observed = (
                registration.node,
                registration.node.AddObserver(vtkCommand.ModifiedEvent, self._on_changed),
            )
        display.show_alone(self.scene, registration)
        self.views.adopt()
        for section in self.sections.values():
            section.adopt()
        self._stale = True

    def begin(self) -> None:
        """Have a registration to work on: a new one where there is none yet."""
        if self.registration is None:
            self.choose(Registration.create(self.scene))

    def begin_empty(self) -> None:
        """Begin with nothing but the steps, in place of what was open."""
        with self.acting():
            self.state.opening_another = False
            self.choose(None)
            self.scene.Clear(False)
            self.begin()
            self.state.open_steps = ["ct", "xrays"]

    def replace(self, fill) -> None:
        """Close the scene, and have `fill(scene)` put another content into it, which returns a registration, if it has one."""
        self.choose(None)
        self.scene.Clear(False)
        registration = fill(self.scene)
        self.choose(registration)
        self.autosave.opened(self.opening.kept)
        if isinstance(fill, ReadCase):
            self.session.cache_case(fill.case, fill.ready)
        elif isinstance(fill, (ReadResult, ReadTrack)):
            self.session.cache_case(fill.case)
        self.state.open_steps = ["start", "register"]
        if isinstance(fill, ReadTrack):
            fill.play(self.session)
            self.state.open_steps = ["sequence"]
        if registration is None:
            self.tell(_("The scene holds no registration of this program; add a CT and X-rays."))
            self.begin()

    # What a person does

    @contextmanager
    def acting(self):
        """What a person asked for is done in here: what goes wrong becomes a message, and the page shows what came of it."""
        self.tell("")
        try:
            yield
        except InputError as error:
            self.tell(str(error))
        except Exception as error:
            self._tell_unexpected(error)
        self.refresh()

    def stop_moving(self) -> None:
        """Moving the CT by hand ends."""
        self.moving.stop()

    def _take(self, target: str, folder: Path) -> None:
        """Files that a page sent.   target: "open", or a section and a control in it, "ct/file"."""
        name, _slash, key = target.partition("/")
        if key:
            if name not in self.sections:
                raise InputError(_("Upload: there is nothing that takes these files; use the page."))
            self.sections[name].take(key, folder)
        else:
            self.opening.take(target, folder)

    def missing_packages(self) -> str:
        """Nothing: the program was installed with them."""
        return ""

    def understood(self) -> None:
        """Acknowledge the warnings that are shown."""
        with self.acting():
            self.session.notices.acknowledge()

    def tell(self, message: str) -> None:
        """Show a sentence about what went wrong; "" takes it away."""
        self.state.message = as_sent(message)

    def _tell_unexpected(self, error: Exception) -> None:
        logging.error("MultiViewRegistration", exc_info=error)
        self.tell(
            _("Something unexpected went wrong ({error}); the terminal of mvreg view has the details.").format(
                error=type(error).__name__
            )
        )

    def close(self) -> None:
        """The server ends."""
        try:
            self.autosave.close()
        finally:
            self.choose(None)

    def invalidate(self) -> None:
        """Have the page show the scene anew at the next tick."""
        self._stale = True

    # What follows the scene

    async def run(self) -> None:
        """Follow the work until the server ends. What goes wrong again and again is told once."""
        told = ""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                with self.state:
                    self.tick()
            except Exception as error:  # the work goes on
                if repr(error) != told:
                    told = repr(error)
                    with self.state:
                        self._tell_unexpected(error)

    def tick(self) -> None:
        """Follow the work under way and the CT."""
        if self.registration is not None and self.registration.scene is None:
            self.choose(None)
        if self.registration is not None:
            with suppress(InputError):  # of a scene that is not complete yet
                if self.session.poll(0) and self.session.running_registration is None:
                    self._stale = True
                    if self.session.message:
                        self.tell(self.session.message)
            self.moving.tick()
            for section in self.sections.values():
                with suppress(InputError):
                    section.tick()
            self.views.tick()
        self.opening.tick()
        self._make_steps()
        if self._stale:
            self.refresh()
        self.autosave.tick()

    def _make_steps(self) -> None:
        """Make the widgets of the steps that are open, and of the others one at a time, once the X-rays that were opened are seen.

        Open ones do not wait for the CT to be ready, which may take long.
        """
        if self.state.opening or self.views.awaited(("film",)):
            return
        opened = [section for section in self._unmade if section.name in self.state.open_steps]
        for section in opened or self._unmade[: not self.views.opening]:
            self._unmade.remove(section)
            with ViewLayout(self.server, template_name=f"step_{section.name}"):
                section.build()

    def refresh(self) -> None:
        """Show the scene as it is."""
        self._stale = False
        if self.registration is not None:
            display.show(self.registration)
        self.state.has_registration = self.registration is not None
        self.state.notices = self.session.notices.sentences if self.session is not None else []
        self.views.refresh()
        for section in self.sections.values():
            section.refresh()

    def _on_changed(self, caller=None, event=None) -> None:
        self._stale = True


def _quieten() -> None:
    """Of what VTK says, only errors are for a person in a terminal."""
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)
