"""One way to read a calibration, whatever wrote it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ..cameras import read_geometry
from ..hdf5 import MAGIC
from ..json_reader import JsonObject, decode, printable, read_bytes, read_json
from ..pose_files import MAGIC as NUMPY
from ..pose_files import ZIP, numbers, read_numpy
from . import mayacam, named, rtk, tracked, xreg
from .calibrated import CalibratedView, CalibrationOptions, from_matrix, renamed
from .matrix_text import read_matrices
from .text_files import CALIBRATION, parse_yaml, xml_root

FORMATS = ("case", "json", "mayacam", "numpy", "opencv", "plus", "rtk", "text", "transform", "xreg", "yaml")


def read_calibration(path: str | os.PathLike, format: str | None = None, **given: Any) -> list[CalibratedView]:
    """The views of a calibration file.

    format: one of FORMATS, to insist on it; by default the file's content tells.
    given: what the file cannot say, by the names in `calibrated.QUESTIONS`: unit, axes, first_pixel, projects_to, size,
        detector_spacing_mm, detector_origin_mm, intrinsics, camera_frame, world_frame, fixed_transforms, direction. What a format does
        not ask for may be left out.

    InputError for a file that cannot be read, is of another format, or is contradictory; MissingInformation for what it
    does not say and `given` neither, which names what it may be set to.
    """
    if format is not None and format not in FORMATS:
        raise InputError(f"format: found {format!r}, expected one of {', '.join(FORMATS)}; choose one of these.")
    path, known = Path(path), CalibrationOptions(**given)
    found, content = _recognise(path, _head(path))
    if format not in (None, found):
        raise InputError(
            f"{printable(path)} is of the format {found}, expected {format}; leave the format out, or choose another file."
        )
    return renamed(_views(found, content, path, known))


def format_of(path: str | os.PathLike) -> str:
    """Which of FORMATS a file is, by its content. InputError for a file that is none."""
    path = Path(path)
    return _recognise(path, _head(path))[0]


def _head(path: Path) -> bytes:
    """The file, but of those that may be large the header (of a recording of Plus) or nothing (of HDF5)."""
    return b"" if _is_hdf5(path) else tracked.header_of(path) or read_bytes(path, CALIBRATION)


def _is_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _is_hdf5_transform(path: Path) -> bool:
    with path.open("rb") as stream:
        return tracked.is_transform(stream.read(tracked.HEAD))


def _recognise(path: Path, data: bytes) -> tuple[str, Any]:
    """The format, and the file as it is parsed so far."""
    file = printable(path)
    if not data:
        if _is_hdf5(path):
            return ("transform" if _is_hdf5_transform(path) else "xreg"), None
        raise InputError(f"{file} is empty, expected a calibration; export it again.")
    if data.startswith((NUMPY, ZIP)):
        return "numpy", data
    if tracked.is_sequence(data):
        return "plus", data
    if tracked.is_transform(data):
        return "transform", None
    text = decode(data, file, CALIBRATION)
    if text.lstrip().startswith("<"):
        root = xml_root(text, file)
        formats = {rtk.ROOT: "rtk", named.ROOT: "opencv", tracked.ROOT: "plus"}
        if root.tag not in formats:
            raise InputError(
                f"{file} is XML of <{printable(root.tag)[:40]}>, expected <{'>, <'.join(formats)}>; choose another file."
            )
        return formats[root.tag], root
    if text.lstrip().startswith(("{", "[")) and _is_json(text):
        content = read_json(path)
        if isinstance(content, dict) and "version" in content and isinstance(content.get("views"), list):
            return "case", content
        return ("opencv" if named.is_opencv(content) else "json"), content
    if mayacam.is_mayacam(text):
        return "mayacam", text
    if _is_yaml(text):
        tree = parse_yaml(text, file)
        return ("opencv" if named.is_opencv(tree) else "yaml"), tree
    return "text", text


def _is_json(text: str) -> bool:
    """Whether it is meant as JSON: an object, or a list that is. Brackets round a matrix are text as well."""
    if text.lstrip().startswith("{"):
        return True
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_yaml(text: str) -> bool:
    """Whether a line has a name and a colon, and more names than matrix_text's "P:" before a block of numbers."""
    if text.startswith(("%YAML", "---")):
        return True
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", "%"))]
    named = [line for line in lines if line[0].isalpha() and ":" in line]
    bare = [line for line in lines if line[0].isdigit() or line[0] in "+." or line[0] == "-" and line[1:2].isdigit()]
    return bool(named) and not bare


def _views(found: str, content: Any, path: Path, given: CalibrationOptions) -> list[CalibratedView]:
    file, name = printable(path), printable(path.stem)
    if found == "xreg":
        return xreg.read_xreg(path)
    if found == "transform":
        return tracked.read_tracked(path, given)
    if found == "rtk":
        return rtk.read_rtk(content, file, given)
    if found == "plus":
        if isinstance(content, bytes):
            return tracked.read_sequence(content, file, given)
        return tracked.read_configuration(content, file, given)
    if found == "mayacam":
        return mayacam.read_mayacam(content, file, name, given)
    if found == "case":
        return _views_of_case(content, file)
    if found == "text":
        return read_matrices(content, file, name, given)
    if found == "numpy":
        arrays = {key: numbers(array, f"{file}: {printable(key)}") for key, array in read_numpy(path).items()}
        if content.startswith(NUMPY):
            return named.views_of_arrays(arrays[path.stem], file, name, given)
        content = arrays
    elif found == "opencv":
        content = named.with_arrays(
            content if isinstance(content, (dict, list)) else named.tree_of_xml(content, file), file
        )
    elif isinstance(content, list):
        return named.views_of_arrays(_bare(content, file), file, name, given)
    return named.views_of_named(content, file, name, given, opencv=found == "opencv")


def _bare(content: list, file: str) -> np.ndarray:
    try:
        return np.asarray(content, float)
    except (TypeError, ValueError):
        raise InputError(
            f"{file} is a list, but not of 3x4 matrices, expected those; write it as rows of numbers."
        ) from None


def _views_of_case(content: dict, file: str) -> list[CalibratedView]:
    """The geometry of each view of a case.json, which says all of it."""
    views = []
    for fields in JsonObject(file, "", content).sections("views", "a list of one or more views"):
        geometry, name = read_geometry(fields), fields.text("name", "a name for the view")
        if geometry.camera is None:
            views.append(from_matrix(file, name, geometry.projection_matrix, signed=False))
        else:
            camera = geometry.camera
            views.append(CalibratedView(name, camera.projection_matrix, camera.size, camera, geometry.distortion))
    return views
