"""The scene as it was at most a minute ago, in the user's data folder.

For when the server was killed.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..io import folders
from ..io.case_file import CaseFile
from ..io.dicom_identity import PATIENT_ID, read_identity, same_patient
from ..io.files import upload_root
from ..io.folders import data_folder
from ..mrml.identity import digests_of, may_name_patient
from ..mrml.image import thumbnail
from ..mrml.nodes import nodes_of_class
from ..report.html import embedded, png
from ..session import assessment
from ..session.presenters.answer import WORDS
from ..session.session import Session
from ..session.tasks import Task, ended
from ..translation import _
from .scene_files import read_scene

if TYPE_CHECKING:
    from .application import Application

#: Seconds between two, and from what was opened to its first. A minute has room left for a drag
#: that must end, and for the disk.
EVERY_S = 45.0
FIRST_S = 5.0
#: Seconds that the end of the server waits for the disk.
PATIENCE_S = 20.0
#: The kind of folder, the file that says what is in it, and the version of that.
KIND = "scene"
STATE = "state.json"
VERSION = 1
#: How many scenes of servers that have ended are kept, the newest: those of a day's work.
MAX_KEPT = 10
#: The longer side of the picture that tells one from another, pixels.
PICTURE_PX = 96


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
    xrays
        Number of X-rays.
    verdict
        On its pose, "" without one.
    picture
        Of its first X-ray, an address; "" without any.
    case
        The case.json of this computer that it was opened from; None for others, and where its path
        names the patient.
    patient
        Digests of the CT's, see `dicom_identity`; {} for an unknown one.
    """

    folder: Path
    name: str
    saved: datetime
    scene: Path
    xrays: int = 0
    verdict: str = ""
    picture: str = ""
    case: Path | None = None
    patient: Mapping[str, str] = field(default_factory=dict)

    def facts(self) -> str:
        """Return what tells it from others, in lines: date and X-rays, verdict, folder."""
        one = _("1 X-ray")
        more = _("{count} X-rays").format(count=self.xrays)
        when = f"{self.saved:%Y-%m-%d %H:%M} \u00b7 {one if self.xrays == 1 else more}"
        folder = [] if self.case is None else [str(self.case.parent)]
        return "\n".join([when, " ".join(WORDS.get(self.verdict, WORDS["moved"])), *folder])

    def patient_id(self) -> str:
        """Return the PatientID, for the screen alone, by the header of the CT where that is still what it was."""
        if self.case is None:
            return ""
        with suppress(InputError):
            first = CaseFile.read(self.case).first
            found = read_identity(first.ct.path, first.series)
            if same_patient(found, dict(self.patient)):
                return found.get(PATIENT_ID, "")
        return ""


def place() -> Path:
    """Return the folder of all saved scenes."""
    return data_folder() / "autosave"


def saved_scenes() -> list[SavedScene]:
    """Return the saved scenes, the newest first.

    Folders without a scene are removed, and those that are too many.
    """
    kept = [one for one in map(_read, folders.abandoned(KIND, place())) if one is not None]
    kept.sort(key=lambda one: one.saved, reverse=True)
    for one in kept[MAX_KEPT:]:
        folders.remove(one.folder)
    return kept[:MAX_KEPT]


def _facts(session: Session) -> dict[str, Any]:
    registration = session.registration
    views = registration.xrays
    case = session.case_path
    found: dict[str, Any] = {"xrays": len(views), "verdict": assessment.overall_verdict(session)}
    shown = [view for view in views if view.node.GetImageData() and view.display]
    if shown:
        found["picture"] = embedded(png(thumbnail(shown[0], PICTURE_PX)))
    if registration.ct is not None:
        found["patient"] = digests_of(registration.ct)
    if case is not None and upload_root(case) is None:
        path = os.fspath(case.resolve())
        found |= {} if may_name_patient(registration, path) else {"case": path}
    return found


def title_of(name: str, patient_id: str | None) -> str:
    """Return the name of a registration, and its patient where that is known, for the screen alone."""
    return name + (" \u00b7 " + _("patient {id}").format(id=patient_id) if patient_id else "")


def _read(folder: Path) -> SavedScene | None:
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if state["version"] == VERSION:
            known = [each.name for each in fields(SavedScene)[4:]]
            more = {key: state[key] for key in known if key in state}
            if "case" in more:
                more["case"] = Path(more["case"])
            saved = datetime.fromisoformat(state["saved"])
            scene = folder / Path(state["scene"]).name
            return SavedScene(folder, str(state["name"]), saved, scene, **more)
    except FileNotFoundError:
        folders.remove(folder)
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
        self._naming: Task[dict[str, str]] | None = None

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
                folders.remove(one.folder)
        self.offer()

    def offer(self) -> None:
        """Offer what servers that have ended left."""
        self._left = left = saved_scenes()
        self._show_left({})
        self._naming = Task(lambda on_progress: {one.folder.name: one.patient_id() for one in left})

    def _show_left(self, ids: Mapping[str, str]) -> None:
        """Show what is left, with the patients' IDs by folder as far as they are known."""
        shown = []
        for one in self._left:
            key = one.folder.name
            name = title_of(one.name, ids.get(key))
            shown.append({"key": key, "name": name, "picture": one.picture, "facts": one.facts()})
        self._application.state.autosaved = shown

    def _begin(self, folder: Path | None) -> None:
        """Save into another folder, where nothing is known to be saved yet."""
        self._folder = folder
        # by the node's ID: when it was written, and its file
        self._files: dict[str, tuple[int, str]] = {}
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
        own = self._folder
        new = folder.with_name(folders.new_name(KIND))
        try:
            folder.rename(new)
        except OSError:  # another server has it
            self._begin(None)
        else:
            self._begin(new)
        if own is not None:
            folders.remove(own)

    def tick(self) -> None:
        """Save, where it is time to."""
        self._take_written()
        if ended(self._naming):
            naming = self._naming
            self._naming = None
            self._show_left(naming.result_or({}))
        application = self._application
        waits = self._writing or application.moving or monotonic() < self._due
        if waits or application.registration is None:
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
        # a registration under way has not begun
        before = nullcontext() if run is None else run.as_before()
        try:
            with before:
                self._save(session, by_parts)
        except (InputError, OSError) as error:
            self._show_failure(getattr(error, "strerror", None) or str(error))

    def close(self) -> None:
        """Save what has changed since the last time: the server ends."""
        self._wait()
        if self._application.registration is not None:
            self.save()
        self._wait()

    def _save(self, session: Session, by_parts: bool) -> None:
        folder = self._folder
        if folder is None or not folder.is_dir():
            place().mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = folders.new_folder(KIND, place())
            self._begin(folder)
        mrml = folder / f"{secrets.token_hex(4)}.mrml"
        files: dict[str, tuple[int, str]] = {}
        with _storing(self._application.scene, folder) as storages:
            for node in _storable(self._application.scene):
                key = node.GetID()
                storage = node.GetStorageNode()
                before = self._files.get(key)
                storages.append((storage, storage.GetFileName()))
                written = by_parts and key in self._fresh
                changed = (
                    node.GetModifiedSinceRead() or before is None or before[0] != _stored(storage)
                )
                if before is not None and (written or not changed):
                    files[key] = before
                    storage.SetFileName(os.fspath(folder / before[1]))
                    continue
                files[key] = self._files[key] = _write(node, storage, folder)
                self._fresh.add(key)
                if by_parts:
                    self._due = monotonic()
                    return
            if not self._application.scene.Commit(os.fspath(mrml)):
                raise InputError(_("the scene could not be written"))
        self._fresh.clear()
        text = mrml.read_text(encoding="utf-8")
        self._files = files
        if text == self._saved:
            mrml.unlink()
            return
        self._saved = text
        state = {
            "version": VERSION,
            "name": session.registration.name,
            "saved": datetime.now().isoformat(timespec="seconds"),
            "scene": mrml.name,
            **_facts(session),
        }
        whole = [mrml.name, *(file for _when, file in files.values())]
        self._writing = Task(lambda on_progress: commit(folder, state, whole))

    def _take_written(self) -> None:
        if ended(self._writing):
            writing = self._writing
            self._writing = None
            if writing.message:
                self._show_failure(writing.message)

    def _wait(self) -> None:
        if self._writing is not None and self._writing.wait(PATIENCE_S):
            self._take_written()

    def _show_failure(self, why: str) -> None:
        self._begin(self._folder)
        sentence = _(
            "The work is not kept for the case that the server ends ({why}); free some space, or "
            "save it."
        )
        self._application.show_message(sentence.format(why=why.rstrip(".")))


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
    root = scene.GetRootDirectory()
    url = scene.GetURL()
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
    nodes = nodes_of_class("vtkMRMLStorableNode", scene)
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
