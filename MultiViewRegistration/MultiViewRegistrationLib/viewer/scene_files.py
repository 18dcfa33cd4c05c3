"""Scenes of Slicer: checked and opened from .mrb or .mrml, saved as .mrb."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from ..errors import InputError
from ..imaging.child import ChildFailed, call
from ..imaging.image_source import image_source, inside, is_surface
from ..imaging.reading import image_header
from ..imaging.surface import check_counts
from ..io.files import upload_root
from ..io.hdf5 import is_hdf5, refuse_other_files
from ..mrml.nodes import nodes_of_class
from ..mrml.registration import Registration
from ..session.player import forget_files
from ..translation import _
from .transfers import MAX_BYTES, MAX_FILES, packed, safe_path

#: Formats of images that a scene may name.
IMAGES = tuple(
    ".nrrd .nhdr .nii .gz .mha .mhd .hdr .img .png .jpg .jpeg .tif .tiff .bmp .dcm".split()
)
#: Of models, points, transforms, tables, colours, texts: the readers of these open nothing but the
#: file itself.
OTHERS = tuple(
    ".vtk .vtp .stl .ply .obj .json .fcsv .acsv .tfm .h5 .txt .xml .tsv .csv .ctbl .vp".split()
)

#: What loading a scene may take beyond its files, an image's four times.
LOADING_BYTES = 2 << 30
LOADING_S = 120.0


def read_scene(path: Path) -> Callable[[Any], Registration | None]:
    """Unpack and check a scene, in any thread.

    Returns
    -------
    Callable[[Any], Registration or None]
        Loads the scene into an empty one, in the main thread, and returns its first registration,
        None without one.

    Raises
    ------
    InputError
        Also when it is loaded: for what is no scene, and for files that it must not name, see
        `check_scene`.
    """
    folder = None
    if path.suffix.lower() == ".mrb":
        folder = tempfile.mkdtemp(prefix="mvreg-scene-")
        try:
            mrml = _unpacked(path, Path(folder))
            _try_loading(mrml, path.name, check_scene(mrml, Path(folder)))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    else:
        mrml = path
        _try_loading(mrml, path.name, check_scene(mrml, mrml.parent if upload_root(mrml) else None))

    def load(scene: Any) -> Registration | None:
        try:
            scene.SetURL(os.fspath(mrml))
            scene.SetRootDirectory(os.fspath(mrml.parent))
            if not scene.Import(None):
                raise _unreadable(path.name)
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
        registrations = Registration.all(scene)
        for registration in registrations if upload_root(path) else ():
            forget_files(registration)
        return registrations[0] if registrations else None

    return load


def _try_loading(mrml: Path, name: str, claimed: int) -> None:
    """Refuse a scene that cannot be loaded, or whose loading would end this process.

    A child process loads it first.

    Raises
    ------
    InputError
        Naming the scene.
    """
    limits = LOADING_BYTES + 4 * claimed, LOADING_S + claimed / 2e6
    try:
        fault = call(
            f"{__package__}.scene_child:load", [os.fspath(mrml), os.fspath(mrml.parent)], *limits
        ).value
    except ChildFailed:
        fault = "scene"
    if fault == "scene":
        raise _unreadable(name)
    if fault:
        raise InputError(
            _(
                "{file}: its {what} is no whole surface, expected one whose points are all there; "
                "remove it there."
            ),
            file=name,
            what=fault,
        )


def _unreadable(name: str) -> InputError:
    return InputError(
        _("{file}: cannot be read as a scene, expected one of 3D Slicer; save it again."), file=name
    )


def save_scene(scene: Any, path: Path) -> Callable[[], Path]:
    """Write the scene's files; the function returned packs them into `path`, an .mrb, in any thread.

    Raises
    ------
    InputError
        Where either cannot.
    """
    folder = Path(tempfile.mkdtemp(prefix="mvreg-scene-"))
    for node in nodes_of_class("vtkMRMLVolumeNode", scene):
        node.AddDefaultStorageNode()
        if node.GetStorageNode() is not None:
            node.GetStorageNode().SetUseCompression(False)  # the .mrb packs it, in a thread
    (folder / path.stem).mkdir()
    if not scene.SaveSceneToSlicerDataBundleDirectory(os.fspath(folder / path.stem), None):
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(
            _(
                "{file}: the scene could not be written, expected room in the folder for temporary "
                "files; free some."
            ),
            file=path.name,
        )

    def pack() -> Path:
        try:
            return packed(folder / path.stem, path)
        except OSError as error:
            raise InputError(
                _("{file}: cannot be written ({why}); free some space."),
                file=path.name,
                why=error.strerror or error,
            ) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    return pack


def _unpacked(path: Path, folder: Path) -> Path:
    """Unpack an .mrb into a folder, and return its .mrml.

    Raises
    ------
    InputError
        For what is no such thing, or would leave the folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) > MAX_FILES:
                raise InputError(
                    _(
                        "{file}: holds {count} files, expected a scene of at most {most}; choose "
                        "another file."
                    ),
                    file=path.name,
                    count=len(members),
                    most=MAX_FILES,
                )
            room = min(MAX_BYTES, shutil.disk_usage(folder).free)
            if sum(member.file_size for member in members) > room:
                raise InputError(
                    _(
                        "{file}: would take more than {room:.3g} GB unpacked, which is all that is "
                        "taken, or free on the disk for temporary files; save it with less in it, "
                        "or free some space."
                    ),
                    file=path.name,
                    room=room / 2**30,
                )
            for member in members:
                target = folder / safe_path(member.filename)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise InputError(
            _(
                "{file}: cannot be unpacked ({why}), expected a scene of 3D Slicer (.mrb); save it "
                "again."
            ),
            file=path.name,
            why=error,
        ) from None
    scenes = sorted(folder.rglob("*.mrml"), key=lambda file: len(file.parts))
    if not scenes:
        raise InputError(
            _("{file}: holds no .mrml, expected a scene of 3D Slicer (.mrb); choose another file."),
            file=path.name,
        )
    return scenes[0]


# What a scene may name: files of formats that name no others, or only others in their own folder


def check_scene(mrml: Path, home: Path | None) -> int:
    """Refuse a scene that names files which must not be read.

    Nothing is ever fetched from a network.

    Returns the bytes of memory that its images and other files take.

    Parameters
    ----------
    mrml
        The scene.
    home
        The folder that came with the scene, in which all of its files must lie. None where the user
        of this computer has named the scene, which may then name files anywhere; what those name
        must lie in their own folder in any case.

    Raises
    ------
    InputError
        For such a file, for what is no scene, and for definitions that XML would blow up.
    """
    try:
        return _check_all(mrml, home)
    except InputError as error:  # without the folder for temporary files
        raise InputError(str(error).replace(f"{mrml.parent}/", "")) from None


def _check_all(mrml: Path, home: Path | None) -> int:
    claimed = 0
    for name in _names(mrml):
        path = _path(mrml, name, home)
        if not path.is_file():  # loading reports it
            continue
        if path.suffix.lower() not in (*IMAGES, *OTHERS):
            raise InputError(
                _(
                    "{scene}: names {file}, which is of none of the formats that are read in a "
                    "scene; remove it there, or save it in another format."
                ),
                scene=mrml.name,
                file=path.name,
            )
        _check(path)
        claimed += path.stat().st_size
        if path.suffix.lower() in IMAGES:
            claimed += image_header(path).bytes
    # a reader may take what lies beside a file for its further slices
    for path in home.rglob("*") if home else ():
        if path.is_file():
            _check(path)
    return claimed


def _names(mrml: Path) -> Iterator[str]:
    """Return the files that a scene's nodes name, those of its scene views included."""
    try:
        data = mrml.read_bytes()
        root = None if b"<!ENTITY" in data or b"<!DOCTYPE" in data else ElementTree.fromstring(data)
    except OSError as error:
        why = error.strerror or error
        sentence = _("{scene}: cannot be read ({why}).")
        raise InputError(sentence, scene=mrml.name, why=why) from None
    except (ElementTree.ParseError, ValueError, LookupError):
        root = None
    if root is None or root.tag != "MRML":
        raise InputError(
            _("{scene}: is no scene, expected one of 3D Slicer; choose another file."),
            scene=mrml.name,
        )
    for element in root.iter():
        for key, value in element.attrib.items():
            if key.lower().startswith("uri") and value.strip():
                raise InputError(
                    _(
                        "{scene}: names a file on a network, which is not fetched; load the scene "
                        "in 3D Slicer, and save it with its data, as .mrb."
                    ),
                    scene=mrml.name,
                )
            if key.lower().startswith(("filename", "filelistmember")) and value.strip():
                # some spaces and signs are written as %20 and the like, and read so
                yield from {value, unquote(value)}


def _path(mrml: Path, name: str, home: Path | None) -> Path:
    if home is None and "://" not in name:
        return mrml.parent / name
    found = inside(name, mrml.parent) if home is not None else None
    if found is None:
        raise InputError(
            _(
                "{scene}: names a file outside its own folder, expected a scene that is whole; "
                "save it as .mrb."
            ),
            scene=mrml.name,
        )
    return found


def _check(path: Path) -> None:
    """Refuse a file whose own header leads elsewhere, whatever its name says that it is.

    Raises
    ------
    InputError
        Naming the file.
    """
    if is_hdf5(path):
        refuse_other_files(path, "a transform")
    elif is_surface(path):
        check_counts(path)
    else:
        image_source(path)
