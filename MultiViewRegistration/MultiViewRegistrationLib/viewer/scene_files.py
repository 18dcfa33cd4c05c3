"""Scenes of Slicer: opened from .mrb or .mrml, saved as .mrb."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

from ..errors import InputError
from ..io.files import home_of
from ..mrml.registration import Registration
from ..session.player import forget_files
from .scene_check import check_scene
from .uploads import LARGEST_BYTES, MOST_FILES, safe_path

#: How hard files are packed: a CT takes a second so, and is hardly larger than with the usual 6.
PACKING = 1


def read_scene(path: Path) -> Callable[[Any], Registration | None]:
    """Unpacks a scene, in any thread; the function returned loads it into an empty scene, in the main thread, and returns its first
    registration, if it has any.

    InputError, from both, for what is no scene, and for files that it must not name, see `check_scene`.
    """
    folder = None
    if path.suffix.lower() == ".mrb":
        folder = tempfile.mkdtemp(prefix="mvreg-scene-")
        try:
            mrml = _unpacked(path, Path(folder))
            check_scene(mrml, Path(folder))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    else:
        mrml = path
        check_scene(mrml, mrml.parent if home_of(mrml) else None)

    def load(scene) -> Registration | None:
        try:
            scene.SetURL(os.fspath(mrml))
            scene.SetRootDirectory(os.fspath(mrml.parent))
            if not scene.Import(None):
                raise InputError(f"{path.name}: cannot be read as a scene, expected one of 3D Slicer; save it again.")
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
        registrations = Registration.all(scene)
        for registration in registrations if home_of(path) else ():
            forget_files(registration)
        return registrations[0] if registrations else None

    return load


def save_scene(scene, path: Path) -> Callable[[], Path]:
    """Writes the scene's files, now; the function returned packs them into `path`, an .mrb, in any thread. InputError where one cannot."""
    folder = Path(tempfile.mkdtemp(prefix="mvreg-scene-"))
    for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode", scene):
        node.AddDefaultStorageNode()
        if node.GetStorageNode() is not None:
            node.GetStorageNode().SetUseCompression(False)  # the .mrb packs it, in a thread
    (folder / path.stem).mkdir()
    if not scene.SaveSceneToSlicerDataBundleDirectory(os.fspath(folder / path.stem), None):
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(
            f"{path.name}: the scene could not be written, expected room in the folder for temporary files; free some."
        )

    def pack() -> Path:
        try:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=PACKING) as archive:
                for file in sorted(folder.rglob("*")):
                    if file.is_file():
                        archive.write(file, file.relative_to(folder))
        except OSError as error:
            raise InputError(f"{path.name}: cannot be written ({error.strerror or error}); free some space.") from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return path

    return pack


def _unpacked(path: Path, folder: Path) -> Path:
    """The .mrml of an .mrb that is unpacked into a folder. InputError for what is no such thing, or would leave the folder."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) > MOST_FILES:
                raise InputError(
                    f"{path.name}: holds {len(members)} files, expected a scene of at most {MOST_FILES}; choose another file."
                )
            room = min(LARGEST_BYTES, shutil.disk_usage(folder).free)
            if sum(member.file_size for member in members) > room:
                raise InputError(
                    f"{path.name}: would take more than {room / 2**30:.3g} GB unpacked, which is all that is taken, or free "
                    "on the disk for temporary files; save it with less in it, or free some space."
                )
            for member in members:
                target = folder / safe_path(member.filename)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise InputError(
            f"{path.name}: cannot be unpacked ({error}), expected a scene of 3D Slicer (.mrb); save it again."
        ) from None
    scenes = sorted(folder.rglob("*.mrml"), key=lambda file: len(file.parts))
    if not scenes:
        raise InputError(f"{path.name}: holds no .mrml, expected a scene of 3D Slicer (.mrb); choose another file.")
    return scenes[0]
