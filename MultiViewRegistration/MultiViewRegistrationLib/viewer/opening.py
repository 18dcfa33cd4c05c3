"""What is opened: a case, a result, a tracked sequence, a scene, the demo; and files that a page sent."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from ..errors import InputError
from ..mrml.loading import read_case
from ..session.background_task import Worker
from ..session.result_files import read_result
from ..session.sequence import read_track
from ..session.translation import _
from . import autosave, own_folders
from .early import Early
from .scene_files import read_scene

SCENES = (".mrb", ".mrml")
#: What a folder is opened by, the first that it holds.
NAMED = ("result.json", "track.json", "case.json")


class Opening:
    """Reads one thing at a time in a thread, and puts what was read into the scene, in place of what was there.

    demo: makes the demo's case, in any thread; returns the path of its case.json.
    kept: the folder of what is being opened, where that is what another server has left.
    """

    def __init__(self, application, demo: Callable[[], Path]) -> None:
        self._application, self._demo = application, demo
        self._reading: Worker | None = None
        self._after: Callable[[], object] = lambda: None
        self._also: Worker | None = None
        self.kept: Path | None = None
        self._left = autosave.all_kept()
        self._show("")
        self._show_left()

    def open(self, path: Path, case: Path | None = None, early: Early | None = None) -> None:
        """A case.json, a result.json, a track.json, a folder that holds one, or a scene.

        case: of a result or a track, see `read_result`.   early: what has begun with the path already.
        """
        if early is not None:
            self._begin(
                path.name, lambda tell: read_case(path, early.case.result_for(tell), early.ready), also=early.case
            )
        else:
            self._begin(path.name, lambda tell: reader(path, case))

    def open_demo(self) -> None:
        """The demo's case; its CT is downloaded where it is not there yet."""
        self._begin("the demo; its CT is downloaded the first time", lambda tell: read_case(self._demo()))

    def go_on(self, folder: str) -> None:
        """What a server that is dead has left, by its folder's name; this one keeps it from now on."""
        found = next((one for one in self._left if one.folder.name == folder), None)
        if found is not None:
            self._begin(found.name, lambda tell: read_scene(found.scene), kept=found.folder)

    def remove_left(self, folder: str) -> None:
        """Remove it."""
        for one in self._left:
            if one.folder.name == folder:
                own_folders.remove(one.folder)
        self._left = autosave.all_kept()
        self._show_left()

    def take(self, target: str, folder: Path) -> None:
        """Files that a page sent, in a folder that is removed once they are read. InputError where something is being read already."""
        if target != "open":
            raise InputError("Upload: there is nothing that takes these files; use the page.")
        if self._reading is not None:
            raise InputError(_("Open: something is being read already, expected nothing; wait for it."))
        self._begin("what was sent", lambda tell: sent(folder), lambda: shutil.rmtree(folder, ignore_errors=True))

    def tick(self) -> None:
        """Take what was read."""
        if self._reading is None:
            return
        self._reading.poll(0)
        if self._reading.state == "running":
            return
        reading, self._reading = self._reading, None
        self._show("")
        with self._application.acting():
            try:
                if reading.state != "done":
                    raise InputError(reading.message)
                self._application.replace(reading.result)
                if self._application.session is not None:
                    self._application.session.notices.loaded(
                        [*(self._also.warnings if self._also else []), *reading.warnings]
                    )
            finally:
                self._after()

    def _begin(
        self,
        what: str,
        work,
        after: Callable[[], object] = lambda: None,
        also: Worker | None = None,
        kept: Path | None = None,
    ) -> None:
        """also: another worker that does a part of the work, and may warn."""
        with self._application.acting():
            if self._reading is not None:
                raise InputError(_("Open: something is being read already, expected nothing; wait for it."))
            self._reading, self._after, self._also, self.kept = Worker(work), after, also, kept
            self._application.state.opening_another = False
            self._show(what)

    def _show(self, what: str) -> None:
        self._application.state.opening = what

    def _show_left(self) -> None:
        now = datetime.now()
        self._application.state.left = [
            {"key": one.folder.name, "name": one.name, "saved": one.told(now)} for one in self._left
        ]


def reader(path: Path, case: Path | None = None):
    """What puts the content of a path into a scene. InputError for what is none of those that can be opened, or is wrong."""
    if path.is_dir():
        inside = [name for name in NAMED if (path / name).is_file()]
        if not inside:
            raise InputError(
                f"{path.name}: holds none of {', '.join(NAMED)}, expected one of them; choose another folder."
            )
        path = path / inside[0]
    if path.suffix.lower() in SCENES:
        return read_scene(path)
    if path.suffix.lower() != ".json":
        raise InputError(
            f"{path.name}: cannot be opened as a whole, expected one of {', '.join(NAMED)}, or a scene (.mrb); a CT or X-ray "
            "goes to the step of that name."
        )
    if path.name == "track.json":
        return read_track(path, case)
    if case is not None or path.name == "result.json":
        return read_result(path, case)
    return read_case(path)


def sent(folder: Path):
    """The same for files that a page sent: of several the scene, the result, the track, or the case among them."""
    files = sorted(
        (file for file in folder.rglob("*") if file.is_file()), key=lambda file: (len(file.parts), file.name)
    )
    scenes = [file for file in files if file.suffix.lower() in SCENES]
    named = [file for name in NAMED for file in files if file.name == name]
    others = [file for file in files if file.suffix.lower() == ".json"]
    whole = [file for file in named if file.name != "result.json" or file.with_name("case.json").is_file()]
    return reader((scenes or whole or others or files)[0])
