"""The scene as it was at most a minute ago, in the user's data folder: for whoever comes back after the server was killed."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from time import monotonic

import slicer

from ..errors import InputError
from ..regressor.model_store import data_folder
from ..session.background_task import Worker
from ..session.translation import _
from . import own_folders

#: Seconds between two, and from what was opened to its first. A minute has room left for a drag that must end, and for the disk.
EVERY_S, FIRST_S = 45.0, 5.0
#: Seconds that the end of the server waits for the disk.
PATIENCE_S = 20.0
#: The kind of folder, the file that says what is in it, and the version of that.
KIND, STATE, VERSION = "scene", "state.json", 1
#: Of servers that are dead so many are kept, the newest.
MOST_KEPT = 3


@dataclass(frozen=True)
class Kept:
    """What a server that is dead has left.   name: of the registration.   saved: when.   scene: its .mrml."""

    folder: Path
    name: str
    saved: datetime
    scene: Path

    def told(self, now: datetime) -> str:
        """When it was saved, as a person says it."""
        return (
            f"{self.saved:%H:%M}" if self.saved.date() == now.date() else f"{self.saved.day} {self.saved:%B %Y, %H:%M}"
        )


def place() -> Path:
    """The folder of all of them."""
    return data_folder() / "autosave"


def all_kept() -> list[Kept]:
    """The newest first. Folders with nothing that could be gone on with are removed, and those that are too many."""
    kept = [one for one in map(_read, own_folders.abandoned(KIND, place())) if one is not None]
    kept.sort(key=lambda one: one.saved, reverse=True)
    for one in kept[MOST_KEPT:]:
        own_folders.remove(one.folder)
    return kept[:MOST_KEPT]


def _read(folder: Path) -> Kept | None:
    try:
        told = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if told["version"] == VERSION:
            return Kept(
                folder, str(told["name"]), datetime.fromisoformat(told["saved"]), folder / Path(told["scene"]).name
            )
    except FileNotFoundError:
        own_folders.remove(folder)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None  # of a version to come, perhaps: not ours to remove


class Autosave:
    """Saves the scene of the application when something has changed, but not while a hand moves the CT.

    The files of nodes are written in between two ticks, of volumes and segmentations only where they changed; a thread sees to it that they
    are on the disk, and only then a file that is renamed makes them the state.
    """

    def __init__(self, application) -> None:
        self._application = application
        self._folder: Path | None = None
        self._large: dict[str, tuple[int, str]] = {}  # by the node's ID: when it was changed, and its file
        self._digest = ""
        self._due = monotonic() + FIRST_S
        self._writing: Worker | None = None

    def opened(self, folder: Path | None = None) -> None:
        """Something else is open now.   folder: of the `Kept` that it is, which is this server's from now on."""
        self._due = min(self._due, monotonic() + FIRST_S)
        if folder is None:
            return
        self._wait()
        own, self._folder = self._folder, folder.with_name(own_folders.new_name(KIND))
        self._large, self._digest = {}, ""
        try:
            folder.rename(self._folder)
        except OSError:  # another server has it; this one begins its own
            self._folder = None
        if own is not None:
            own_folders.remove(own)

    def tick(self) -> None:
        """Save, where it is time to."""
        self._take_written()
        application = self._application
        if (
            monotonic() < self._due
            or self._writing is not None
            or application.registration is None
            or application.moving.under_way()
        ):
            return
        self._due = monotonic() + EVERY_S
        self.save()

    def save(self) -> None:
        """Save now, where anything has changed. What goes wrong is told, and tried again the next time."""
        try:
            with _as_before_the_run(self._application.session):
                self._save()
        except (InputError, OSError) as error:
            self._tell(getattr(error, "strerror", None) or str(error))

    def close(self) -> None:
        """Save what has changed since the last time: the server ends."""
        self._wait()
        if self._application.registration is not None:
            self.save()
        self._wait()

    def _save(self) -> None:
        if self._folder is None or not self._folder.is_dir():
            place().mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder, self._large, self._digest = own_folders.new_folder(KIND, place()), {}, ""
        folder, scene = self._folder, self._application.scene
        large, small, digest = dict(self._large), [], sha256()
        mrml = folder / f"{secrets.token_hex(4)}.mrml"
        with _storing(scene, folder) as storing:
            for node in _storable(scene):
                changed = _changed(node)
                if changed and large.get(node.GetID(), (0, ""))[0] == changed:
                    storing.keep(node, large[node.GetID()][1])
                    continue
                file = storing.write(node)
                if changed:
                    large[node.GetID()] = _changed(node), file  # its first storage node counts as a change
                else:
                    small.append(file)
            if not scene.Commit(os.fspath(mrml)):
                raise InputError("the scene could not be written")
        named = {storing.plain(file): f"{number}" for number, file in enumerate(small)}
        text = mrml.read_text(encoding="utf-8")
        for name, number in named.items():  # they are new each time
            text = text.replace(name, number)
        digest.update(text.encode())
        for file in small:
            digest.update((folder / file).read_bytes())
        if digest.hexdigest() == self._digest:
            for file in (*small, mrml.name):
                (folder / file).unlink()
            return
        self._digest = digest.hexdigest()
        present = {node.GetID() for node in _storable(scene)}
        self._large = {key: value for key, value in large.items() if key in present}
        files = [mrml.name, *small, *(file for _, file in self._large.values())]
        state = {
            "version": VERSION,
            "name": self._application.registration.name,
            "saved": datetime.now().isoformat(timespec="seconds"),
            "scene": mrml.name,
        }
        self._writing = Worker(lambda tell: commit(folder, state, files))

    def _take_written(self) -> None:
        if self._writing is not None:
            self._writing.poll(0)
            if self._writing.state != "running":
                writing, self._writing = self._writing, None
                if writing.state != "done":
                    self._digest = ""
                    self._tell(writing.message)

    def _wait(self) -> None:
        if self._writing is not None and self._writing.wait(PATIENCE_S):
            self._take_written()

    def _tell(self, why: str) -> None:
        self._digest = ""
        self._application.tell(
            _("The work is not kept for the case that the server ends ({why}); free some space, or save it.").format(
                why=why.rstrip(".")
            )
        )


def commit(folder: Path, state: dict, files: list[str]) -> None:
    """Make files of a folder its state, once they are on the disk; others go. InputError where the disk does not take them."""
    try:
        _commit(folder, state, files)
    except OSError as error:
        raise InputError(error.strerror or str(error)) from None


def _commit(folder: Path, state: dict, files: list[str]) -> None:
    for file in files:
        with (folder / file).open("rb+") as opened:
            os.chmod(folder / file, 0o600)
            os.fsync(opened.fileno())
    new = folder / f"{STATE}.new"
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
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


class _Storing:
    """Gives nodes files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._before = folder, []

    @staticmethod
    def plain(file: str) -> str:
        return file.partition(".")[0]

    def keep(self, node, file: str) -> None:
        """Have the scene name a file that is there."""
        storage = node.GetStorageNode()
        self._before.append((storage, storage.GetFileName()))
        storage.SetFileName(os.fspath(self._folder / file))

    def write(self, node) -> str:
        """The name of a new file of a node."""
        storage = node.GetStorageNode()
        file = f"{secrets.token_hex(8)}.{storage.GetDefaultWriteFileExtension()}"
        self.keep(node, file)
        storage.SetUseCompression(False)
        if not storage.WriteData(node):
            raise InputError("there may be no space left")
        return file

    def restore(self) -> None:
        for storage, file in self._before:
            storage.SetFileName(file)


@contextmanager
def _storing(scene, folder: Path):
    """The scene's files are named as before afterwards."""
    root, url, storing = scene.GetRootDirectory(), scene.GetURL(), _Storing(folder)
    scene.SetRootDirectory(os.fspath(folder))
    try:
        yield storing
    finally:
        storing.restore()
        scene.SetRootDirectory(root)
        scene.SetURL(url)


@contextmanager
def _as_before_the_run(session):
    """A registration under way, which shows the poses that it tries, has not begun."""
    run = session.running_registration
    if run is None:
        yield
        return
    with run.as_before():
        yield


def _storable(scene) -> list:
    nodes = slicer.util.getNodesByClass("vtkMRMLStorableNode", scene)
    return [node for node in nodes if node.GetSaveWithScene() and _has_content(node)]


def _has_content(node) -> bool:
    if node.IsA("vtkMRMLVolumeNode") and node.GetImageData() is None:
        return False
    if node.IsA("vtkMRMLModelNode") and not (node.GetMesh() and node.GetMesh().GetNumberOfPoints()):
        return False
    if node.GetStorageNode() is None:
        node.AddDefaultStorageNode()
    return node.GetStorageNode() is not None


def _changed(node) -> int:
    """When what takes long to write was last changed; 0 of what is written each time."""
    if node.IsA("vtkMRMLVolumeNode"):
        return max(node.GetImageData().GetMTime(), node.GetMTime())
    if node.IsA("vtkMRMLSegmentationNode"):
        return max(node.GetSegmentation().GetMTime(), node.GetMTime())
    if node.IsA("vtkMRMLModelNode"):
        return max(node.GetMesh().GetMTime(), node.GetMTime())
    return 0
