"""What a scene of Slicer may name: files of formats that name no others, or only such of their own folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from ..errors import InputError
from ..imaging.image_source import image_source, inside
from ..imaging.reading import check_image
from ..io.hdf5 import is_hdf5, refuse_other_files

IMAGES = (
    ".nrrd",
    ".nhdr",
    ".nii",
    ".gz",
    ".mha",
    ".mhd",
    ".hdr",
    ".img",
    ".png",
    ".jpg",
    ".jpeg",
    ".tif",
    ".tiff",
    ".bmp",
    ".dcm",
)
#: Of models, points, transforms, tables, colours, texts: the readers of these open nothing but the file itself.
OTHERS = (
    ".vtk",
    ".vtp",
    ".stl",
    ".ply",
    ".obj",
    ".json",
    ".fcsv",
    ".acsv",
    ".tfm",
    ".h5",
    ".txt",
    ".xml",
    ".tsv",
    ".csv",
    ".ctbl",
    ".vp",
)


def check_scene(mrml: Path, home: Path | None) -> None:
    """InputError for what is no scene, for definitions that XML would blow up, and for files that must not be read.

    home: the folder that came with the scene, in which all of its files must lie; None where the person here has named the scene, which
        may name files anywhere. What those name must lie in their own folder in any case, and nothing is ever fetched from a network.
    """
    try:
        _check_all(mrml, home)
    except InputError as error:  # a folder for temporary files says nothing to anybody
        raise InputError(str(error).replace(f"{mrml.parent}/", "")) from None


def _check_all(mrml: Path, home: Path | None) -> None:
    for name in _names(mrml):
        path = _path(mrml, name, home)
        if not path.is_file():  # told of where it is loaded
            continue
        if path.suffix.lower() not in (*IMAGES, *OTHERS):
            raise InputError(
                f"{mrml.name}: names {path.name}, which is of none of the formats that are read in a scene; remove it there, "
                "or save it in another format."
            )
        _check(path)
        if path.suffix.lower() in IMAGES:
            check_image(path)
    for path in home.rglob("*") if home else ():  # a reader may take what lies beside a file for its further slices
        if path.is_file():
            _check(path)


def _names(mrml: Path) -> Iterator[str]:
    """The files that its nodes name, those of its scene views included."""
    try:
        data = mrml.read_bytes()
        root = None if b"<!ENTITY" in data or b"<!DOCTYPE" in data else ElementTree.fromstring(data)
    except OSError as error:
        raise InputError(f"{mrml.name}: cannot be read ({error.strerror or error}).") from None
    except (ElementTree.ParseError, ValueError, LookupError):
        root = None
    if root is None or root.tag != "MRML":
        raise InputError(f"{mrml.name}: is no scene, expected one of 3D Slicer; choose another file.")
    for element in root.iter():
        for key, value in element.attrib.items():
            if key.lower().startswith("uri") and value.strip():
                raise InputError(
                    f"{mrml.name}: names a file on a network, which is not fetched; load the scene in 3D Slicer, and save it "
                    "with its data, as .mrb."
                )
            if key.lower().startswith(("filename", "filelistmember")) and value.strip():
                yield from {value, unquote(value)}  # some spaces and signs are written as %20 and the like, and read so


def _path(mrml: Path, name: str, home: Path | None) -> Path:
    if home is None and "://" not in name:
        return mrml.parent / name
    found = inside(name, mrml.parent) if home is not None else None
    if found is None:
        raise InputError(
            f"{mrml.name}: names a file outside its own folder, expected a scene that is whole; save it as .mrb."
        )
    return found


def _check(path: Path) -> None:
    """InputError where a file's own header leads elsewhere, whatever its name says that it is."""
    if is_hdf5(path):
        refuse_other_files(path, "a transform")
    else:
        image_source(path)
