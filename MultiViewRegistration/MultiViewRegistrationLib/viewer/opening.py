"""Opening a case, a result, a tracked sequence, a scene, the demo."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from ..errors import InputError
from ..io import own_folders
from ..io.recognise import CASE, NAMED, RESULT, SCENE, TRACK, WHOLES, kinds_of
from ..mrml.loading import read_case
from ..session.result_files import read_result
from ..session.sequence import read_track
from ..session.tasks import Task, ended
from ..session.translation import _
from . import autosave
from .scene_files import read_scene


class Opener:
    """Reads one thing at a time in a thread, and puts what was read into the scene, in place of what was there.

    Parameters
    ----------
    demo
        Makes the demo's case, in any thread; returns the path of its case.json.
    """

    def __init__(self, application, demo: Callable[[], Path]) -> None:
        self._application, self._demo = application, demo
        self._reading: Task | None = None
        self._preloading: Task | None = None
        self._sent: Path | None = None
        self._autosaved: Path | None = None
        application.state.opening = ""
        self._show_autosaved()

    def open(
        self,
        path: Path,
        case: Path | None = None,
        preloaded: tuple[Task, Task] | None = None,
        sent: Path | None = None,
    ) -> None:
        """Open a case.json, a result.json, a track.json, a folder that holds one, or a scene.

        Parameters
        ----------
        path
            Of it.
        case
            Of a result or a track, see `read_result`.
        preloaded
            `serving.preload_case` of the path.
        sent
            The folder that a page sent it in; it is removed once it is read.
        """
        if preloaded is None:
            self._begin(path.name, lambda on_progress: reader(path, case), sent=sent)
        else:
            loading, prepared = preloaded
            self._begin(
                path.name,
                lambda on_progress: read_case(path, loading.result_for(on_progress), prepared),
                preloading=loading,
            )

    def open_demo(self) -> None:
        """Open the demo's case; its CT is downloaded where it is not there yet."""
        self._begin(
            _("the demo; its CT is downloaded the first time"),
            lambda on_progress: read_case(self._demo()),
        )

    def open_autosaved(self, folder: str) -> None:
        """Open what a server that has ended left, by its folder's name.

        This one keeps it from now on.
        """
        found = next((one for one in self._autosaved_scenes if one.folder.name == folder), None)
        if found is not None:
            self._begin(
                found.name, lambda on_progress: read_scene(found.scene), autosaved=found.folder
            )

    def remove_autosaved(self, folder: str) -> None:
        """Remove what a server that has ended left, by its folder's name."""
        for one in self._autosaved_scenes:
            if one.folder.name == folder:
                own_folders.remove(one.folder)
        self._show_autosaved()

    @property
    def reading(self) -> bool:
        """Whether something is being read."""
        return self._reading is not None

    def tick(self) -> None:
        """Take what was read."""
        if not ended(self._reading):
            return
        reading, self._reading = self._reading, None
        application = self._application
        application.state.opening = ""
        with application.ui_action():
            try:
                application.replace(reading.result, self._autosaved)
                if application.session is not None:
                    warnings = self._preloading.warnings if self._preloading else []
                    application.session.notices.loaded([*warnings, *reading.warnings])
            finally:
                if self._sent is not None:
                    shutil.rmtree(self._sent, ignore_errors=True)

    def _begin(
        self,
        name: str,
        work,
        preloading: Task | None = None,
        sent: Path | None = None,
        autosaved: Path | None = None,
    ) -> None:
        with self._application.ui_action():
            if self._reading is not None:
                if sent is not None:
                    shutil.rmtree(sent, ignore_errors=True)
                raise InputError(
                    _("Open: something is being read already, expected nothing; wait for it.")
                )
            self._reading, self._preloading, self._sent, self._autosaved = (
                Task(work),
                preloading,
                sent,
                autosaved,
            )
            self._application.state.opening_another = False
            self._application.state.opening = _("Reading {name}…").format(name=name)

    def _show_autosaved(self) -> None:
        self._autosaved_scenes = autosave.saved_scenes()
        now, offer = datetime.now(), _("Go on where you were ({name}, {when})")
        self._application.state.autosaved = [
            {"key": one.folder.name, "offer": offer.format(name=one.name, when=one.when(now))}
            for one in self._autosaved_scenes
        ]


def reader(path: Path, case: Path | None = None):
    """Return a function that puts the content of a path into a scene.

    Raises
    ------
    InputError
        For an unknown kind of file, or an invalid one.
    """
    named = ", ".join(NAMED)
    if path.is_dir():
        inside = [name for name in NAMED if (path / name).is_file()]
        if not inside:
            raise InputError(
                _(
                    "{folder}: holds none of {names}, expected one of them; choose another folder."
                ).format(folder=path.name, names=named)
            )
        path = path / inside[0]
    kind = next(iter(kinds_of(path)), "") if path.is_file() else NAMED.get(path.name, CASE)
    if kind == SCENE:
        return read_scene(path)
    if kind == TRACK:
        return read_track(path, case)
    if kind == RESULT or (case is not None and kind in WHOLES):
        return read_result(path, case)
    if kind == CASE or path.suffix.lower() == ".json":
        return read_case(path)
    raise InputError(
        _(
            "{file}: cannot be opened as a whole, expected one of {names}, or a scene (.mrb); drop "
            "a CT or X-rays on the page."
        ).format(file=path.name, names=named)
    )
