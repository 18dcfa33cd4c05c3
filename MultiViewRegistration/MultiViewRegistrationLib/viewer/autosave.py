"""The scene as it was at most a minute ago, in the user's data folder.

For when the server was killed.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import slicer

from ..errors import InputError
from ..io import own_folders
from ..io.own_folders import data_folder
from ..session.tasks import Task, ended
from ..translation import _
from .scene_files import read_scene

if TYPE_CHECKING:
    from .application import Application

#: Seconds between two, and from what was opened to its first. A minute has room left for a drag
#: that must end, and for the disk.
EVERY_S, FIRST_S = 45.0, 5.0
#: Seconds that the end of the server waits for the disk.
PATIENCE_S = 20.0
#: The kind of folder, the file that says what is in it, and the version of that.
KIND, STATE, VERSION = "scene", "state.json", 1
#: How many scenes of servers that have ended are kept, the newest.
MAX_KEPT = 3


@dataclass(frozen=True)
class SavedScene:
    """The saved state of a server that has ended.

    Attributes
    ----------
    name
        Of the registration.
    saved
        when.
    scene
        Its .mrml.
    """

    folder: Path
    name: str
    saved: datetime
    scene: Path

    def when(self, now: datetime) -> str:
        """Return the time at which it was saved, with the date where that is another day."""
        return (
            f"{self.saved:%H:%M}"
            if self.saved.date() == now.date()
            else f"{self.saved:%Y-%m-%d %H:%M}"
        )


def place() -> Path:
    """Return the folder of all saved scenes."""
    return data_folder() / "autosave"


def saved_scenes() -> list[SavedScene]:
    """Return the saved scenes, the newest first.

    Folders without a scene are removed, and those that are too many.
    """
    kept = [one for one in map(_read, own_folders.abandoned(KIND, place())) if one is not None]
    kept.sort(key=lambda one: one.saved, reverse=True)
    for one in kept[MAX_KEPT:]:
        own_folders.remove(one.folder)
    return kept[:MAX_KEPT]


def _read(folder: Path) -> SavedScene | None:
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if state["version"] == VERSION:
            saved = datetime.fromisoformat(state["saved"])
            return SavedScene(folder, str(state["name"]), saved, folder / Path(state["scene"]).name)
    except FileNotFoundError:
        own_folders.remove(folder)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None  # of a version to come, perhaps: not ours to remove


class Autosave:
    """Saves the scene of the application when something has changed, but not while the CT is moved by hand.

    The files of nodes that have changed are written between two ticks; a thread makes sure that
    they are on the disk, and only then a file that is renamed makes them the state.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._due = monotonic() + FIRST_S
        self._writing: Task | None = None
        self._begin(None)
        self._left: list[SavedScene] = []

    def open(self, folder: str) -> None:
        """Open what a server that has ended left, by its folder's name.

        This one keeps it from now on.
        """
        one = next((each for each in self._left if each.folder.name == folder), None)
        if one is not None:
            self._application.opening.begin(
                one.name, lambda on_progress: read_scene(one.scene), autosaved=one.folder
            )

    def remove(self, folder: str) -> None:
        """Remove what a server that has ended left, by its folder's name."""
        for one in self._left:
            if one.folder.name == folder:
                own_folders.remove(one.folder)
        self.offer()

    def offer(self) -> None:
        """Offer what servers that have ended left."""
        self._left = saved_scenes()
        now, offer = datetime.now(), _("Go on where you were ({name}, {when})")
        self._application.state.autosaved = [
            {"key": one.folder.name, "offer": offer.format(name=one.name, when=one.when(now))}
            for one in self._left
        ]

    def _begin(self, folder: Path | None) -> None:
        """Save into another folder, where nothing is known to be saved yet."""
        self._folder = folder
        self._files: dict[
            str, tuple[int, str]
        ] = {}  # by the node's ID: when it was written, and its file
        self._saved = ""  # the text of the .mrml
        self._fresh: set[str] = set()  # the nodes' IDs that were written since that was

    def opened(self, folder: Path | None = None) -> None:
        """Note that another content is open now.

        Parameters
        ----------
        folder
            Of the `SavedScene` that it is, which is this server's from now on.
        """
        self._due = min(self._due, monotonic() + FIRST_S)
        if folder is None:
            return
        self._wait()
        own, new = self._folder, folder.with_name(own_folders.new_name(KIND))
        try:
            folder.rename(new)
        except OSError:  # another server has it
            self._begin(None)
        else:
            self._begin(new)
        if own is not None:
            own_folders.remove(own)

    def tick(self) -> None:
        """Save, where it is time to."""
        self._take_written()
        application = self._application
        if (
            monotonic() < self._due
            or self._writing
            or application.registration is None
            or application.moving
        ):
            return
        self._due = monotonic() + EVERY_S
        self.save(by_parts=True)

    def save(self, *, by_parts: bool = False) -> None:
        """Save now, where anything has changed.

        What goes wrong is shown, and tried again the next time.

        Parameters
        ----------
        by_parts
            Whether to write one file at most, and the others by the next ticks.
        """
        session = self._application.session
        if session is None:
            return
        run = session.running_registration
        try:
            with (
                run.as_before() if run is not None else nullcontext()
            ):  # a registration under way has not begun
                self._save(session.registration.name, by_parts)
        except (InputError, OSError) as error:
            self._show_failure(getattr(error, "strerror", None) or str(error))

    def close(self) -> None:
        """Save what has changed since the last time: the server ends."""
        self._wait()
        if self._application.registration is not None:
            self.save()
        self._wait()

    def _save(self, name: str, by_parts: bool) -> None:
        folder = self._folder
        if folder is None or not folder.is_dir():
            place().mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = own_folders.new_folder(KIND, place())
            self._begin(folder)
        mrml = folder / f"{secrets.token_hex(4)}.mrml"
        files: dict[str, tuple[int, str]] = {}
        with _storing(self._application.scene, folder) as storages:
            for node in _storable(self._application.scene):
                storage, before = node.GetStorageNode(), self._files.get(node.GetID())
                storages.append((storage, storage.GetFileName()))
                written = by_parts and node.GetID() in self._fresh
                changed = (
                    node.GetModifiedSinceRead() or before is None or before[0] != _stored(storage)
                )
                if before is not None and (written or not changed):
                    files[node.GetID()] = before
                    storage.SetFileName(os.fspath(folder / before[1]))
                    continue
                files[node.GetID()] = self._files[node.GetID()] = _write(node, storage, folder)
                self._fresh.add(node.GetID())
                if by_parts:
                    self._due = monotonic()
                    return
            if not self._application.scene.Commit(os.fspath(mrml)):
                raise InputError(_("the scene could not be written"))
        self._fresh.clear()
        self._files, text = files, mrml.read_text(encoding="utf-8")
        if text == self._saved:
            mrml.unlink()
            return
        self._saved = text
        state = {
            "version": VERSION,
            "name": name,
            "saved": datetime.now().isoformat(timespec="seconds"),
            "scene": mrml.name,
        }
        self._writing = Task(
            lambda on_progress: commit(
                folder, state, [mrml.name, *(file for _, file in files.values())]
            )
        )

    def _take_written(self) -> None:
        if ended(self._writing):
            writing, self._writing = self._writing, None
            if writing.message:
                self._show_failure(writing.message)

    def _wait(self) -> None:
        if self._writing is not None and self._writing.wait(PATIENCE_S):
            self._take_written()

    def _show_failure(self, why: str) -> None:
        self._saved, self._files, self._fresh = "", {}, set()
        self._application.show_message(
            _(
                "The work is not kept for the case that the server ends ({why}); free some space, "
                "or save it."
            ).format(why=why.rstrip("."))
        )


def commit(folder: Path, state: dict, files: list[str]) -> None:
    """Make files of a folder its state, once they are on the disk; others go.

    Raises
    ------
    InputError
        Where the disk does not take them.
    """
    try:
        for file in files:
            with (folder / file).open("rb+") as opened:
                os.chmod(folder / file, 0o600)
                os.fsync(opened.fileno())
        new = folder / f"{STATE}.new"
        with open(
            os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as opened:
            json.dump(state, opened)
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(folder / STATE)
        with suppress(OSError):  # Windows opens no folders
            directory = os.open(folder, os.O_RDONLY)
            os.fsync(directory)
            os.close(directory)
        for other in folder.iterdir():
            if other.name not in (*files, STATE):
                other.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(error.strerror or str(error)) from None


@contextmanager
def _storing(scene: Any, folder: Path) -> Iterator[list[tuple[Any, str]]]:
    """Name the scene's files as before afterwards, those of the storage nodes that are put into the list, too."""
    root, url = scene.GetRootDirectory(), scene.GetURL()
    storages: list[tuple[Any, str]] = []
    scene.SetRootDirectory(os.fspath(folder))
    try:
        yield storages
    finally:
        for storage, file in storages:
            storage.SetFileName(file)
        scene.SetRootDirectory(root)
        scene.SetURL(url)


def _write(node: Any, storage: Any, folder: Path) -> tuple[int, str]:
    """Write a node into a new file, and return when, and its name."""
    file = f"{secrets.token_hex(8)}.{storage.GetDefaultWriteFileExtension()}"
    storage.SetFileName(os.fspath(folder / file))
    storage.SetUseCompression(False)
    if not storage.WriteData(node):
        raise InputError(_("there may be no space left"))
    return _stored(storage), file


def _storable(scene: Any) -> list:
    nodes = slicer.util.getNodesByClass("vtkMRMLStorableNode", scene)
    return [node for node in nodes if node.GetSaveWithScene() and _has_content(node)]


def _has_content(node: Any) -> bool:
    if node.IsA("vtkMRMLVolumeNode") and node.GetImageData() is None:
        return False
    if node.IsA("vtkMRMLModelNode") and not (node.GetMesh() and node.GetMesh().GetNumberOfPoints()):
        return False
    if node.GetStorageNode() is None:
        node.AddDefaultStorageNode()
    return node.GetStorageNode() is not None


def _stored(storage: Any) -> int:
    """Return when the file of a storage node was last written, also by others, as an .mrb."""
    return storage.GetStoredTime().GetMTime()
