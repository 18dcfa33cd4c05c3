"""What a case.json says, checked, without a look at any pixel."""

from __future__ import annotations

import math
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.landmarks import Landmark
from ..imaging.dicom_file import is_dicom, read_dicom
from ..imaging.dicom_xray import has_grey_scale
from ..imaging.view import SharedUnknowns
from .cameras import GEOMETRIES, Geometry, read_geometry
from .dicom_views import HeaderView, complete, is_incomplete
from .files import check_within_upload
from .json_reader import JsonObject, describe, printable, read_json

VERSION = 1
CT_UNITS = ("hu", "relative")
INTENSITIES = ("linear", "log", "auto")
#: How the cameras of several views came to be known relative to each other.
RELATIVE_GEOMETRIES = ("calibrated", "estimated", "truth")
DEFAULT_SEARCH = {"rotation_deg": 15.0, "translation_mm": 45.0}
#: The largest half-width of each range to train on, None for any.
TRAINING = {"orbital_deg": 180, "tilt_deg": 90, "roll_deg": 180, "columns_mm": None, "rows_mm": None, "beam_mm": None}
MAX_NAME_LENGTH = 80
NOT_IN_FILE_NAMES = '/\\:*?"<>|'  # a view's name becomes part of a file name, on Windows too


@dataclass(frozen=True)
class InputFile:
    """A file or folder that a case names: as written there, and where it is."""

    written: str
    path: Path


@dataclass(frozen=True, eq=False)
class ViewFile:
    """One entry of "views"; `field` says which, as in "views[0]"; `image` is None where it comes from no file.

    Attributes
    ----------
    assumptions
        What is assumed of the geometry, a sentence each.
    """

    field: str
    name: str
    image: InputFile | None
    frame: int | None
    intensity: str
    mask: InputFile | None
    geometry: Geometry
    rotation_sd_deg: float | None
    translation_sd_mm: float | None
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class CaseFile:
    """What case.schema.json and docs/frames.md describe. The arrays and defaults are those of a Case."""

    path: Path
    ct: InputFile
    ct_unit: str
    mask: InputFile | None
    views: list[ViewFile]
    shared_unknowns: SharedUnknowns
    world_from_ct: np.ndarray | None
    search: dict[str, float]
    training: dict[str, float]
    targets: np.ndarray | None
    landmarks: list[Landmark]
    reference_from_world: np.ndarray | None
    truth_world_from_ct: np.ndarray | None
    relative_geometry: str | None

    @classmethod
    def read(cls, path: str | os.PathLike) -> CaseFile:
        """Read a case.json, or the one in a folder. Unknown keys warn.

        Raises
        ------
        InputError
            For what is wrong.
        """
        path = Path(path)
        if os.path.isdir(path):
            path = path / "case.json"
        content = read_json(path)
        if not isinstance(content, dict):
            raise InputError(f"{printable(path)} is {describe(content)}, expected an object; write it as {{...}}.")
        return cls.from_json(path, content)

    @classmethod
    def from_json(cls, path: Path, content: dict[str, Any]) -> CaseFile:
        """The same for content that is parsed already; files are sought from the folder of `path`."""
        fields = JsonObject(printable(path), "", content)
        _check_version(fields)
        fields.has("$schema")  # for editors
        entries = _with_headers(fields.file, fields.sections("views", "a list of one or more views"), path.parent)
        views = [_view(view, path.parent) for view in entries]
        _refuse_same_view_twice(fields.file, views)
        case = cls(
            path=path,
            ct=_input_file(fields, "ct", path.parent, kind="file or DICOM folder"),
            ct_unit=fields.optional("ct_unit", fields.choice, CT_UNITS, default=CT_UNITS[0]),
            mask=_input_file(fields, "mask", path.parent) if fields.has("mask") else None,
            views=views,
            shared_unknowns=_shared_unknowns(fields),
            world_from_ct=fields.optional("world_from_ct", fields.rigid),
            search=_search(fields),
            training=_training(fields),
            targets=_targets(fields),
            landmarks=_landmarks(fields, [view.name for view in views]),
            reference_from_world=fields.optional("reference_from_world", fields.rigid),
            truth_world_from_ct=_truth(fields),
            relative_geometry=fields.optional("relative_geometry", fields.choice, RELATIVE_GEOMETRIES),
        )
        fields.warn_unread()
        return case


def _check_version(fields: JsonObject) -> None:
    version = fields.integer("version", f"the number {VERSION}", least=1)
    if version > VERSION:
        fields.refuse("version", f"is {version}", f"at most {VERSION}", "update this program")


def _with_headers(file: str, views: list[JsonObject], folder: Path) -> list[JsonObject]:
    """The entries, with the geometry of those that leave it to the header of a DICOM image."""
    by_header = {nth: view for nth, entry in enumerate(views) if (view := _of_header(entry, folder))}
    readings = dict(zip(by_header, complete(file, list(by_header.values()))))
    entries = []
    for nth, entry in enumerate(views):
        if nth in readings:
            c_arm, assumed = readings[nth]
            given = entry.values.get("assumptions", [])
            assumptions = [*given, *(one for one in assumed if one not in given)] if isinstance(given, list) else given
            entry = JsonObject(entry.file, entry.name, {**entry.values, "c_arm": c_arm, "assumptions": assumptions})
        entries.append(entry)
    return entries


def _of_header(entry: JsonObject, folder: Path) -> HeaderView | None:
    """None for an entry that has its geometry, and for one that is refused when it is read."""
    values = entry.values
    image, frame, c_arm = (values.get(key) for key in ("image", "frame", "c_arm"))
    if (
        any(key in values for key in GEOMETRIES if key != "c_arm")
        or not isinstance(c_arm, (dict, type(None)))
        or not is_incomplete(c_arm)
    ):
        return None
    if not isinstance(image, str) or not (frame is None or type(frame) is int) or "\0" in image:
        return None
    check_within_upload(entry.file, folder, image)
    path = next(
        (
            path
            for path in (folder / image, folder / image.replace("\\", "/"))
            if os.path.isfile(path) and is_dicom(path)
        ),
        None,
    )
    exact = not {"rotation_sd_deg", "translation_sd_mm"} & values.keys()
    return path and HeaderView(entry.name, str(values.get("name")), path, frame, dict(c_arm or {}), exact)


def _view(fields: JsonObject, folder: Path) -> ViewFile:
    name, image = view_name(fields), _input_file(fields, "image", folder)
    frame = fields.optional("frame", fields.integer, "a frame's number, from 0", least=0)
    view = ViewFile(
        field=fields.name,
        name=name,
        image=image,
        frame=frame,
        intensity=fields.choice("intensity", INTENSITIES)
        if fields.has("intensity")
        else _default_intensity(image.path, frame),
        mask=_input_file(fields, "mask", folder) if fields.has("mask") else None,
        geometry=read_geometry(fields),
        rotation_sd_deg=_standard_deviation(fields, "rotation_sd_deg"),
        translation_sd_mm=_standard_deviation(fields, "translation_sd_mm"),
        assumptions=_assumptions(fields),
    )
    fields.warn_unread()
    return view


def _default_intensity(image: Path, frame: int | None) -> str:
    """Linear, unless a DICOM header says otherwise."""
    dicom = read_dicom(image)
    return "auto" if dicom is not None and has_grey_scale(dicom, frame) else INTENSITIES[0]


def _assumptions(fields: JsonObject) -> tuple[str, ...]:
    if not fields.has("assumptions"):
        return ()
    expected = "a list of sentences on what is assumed of the geometry"
    given = fields.value("assumptions", expected)
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        fields.refuse("assumptions", f"is {describe(given)}", expected)
    return tuple(map(printable, given))


def view_name(fields: JsonObject) -> str:
    """The view's name.

    Raises
    ------
    InputError
        For one that could not be part of a file's.
    """
    name = fields.text("name", "a name for the view")
    if set(name) & set(NOT_IN_FILE_NAMES) or name != name.strip(" .") or len(name) > MAX_NAME_LENGTH:
        expected = f"at most {MAX_NAME_LENGTH} characters without {NOT_IN_FILE_NAMES} and no space or dot at an end"
        fields.refuse("name", f"is {describe(name)}", expected, "rename the view, as files get its name")
    return name


def _input_file(fields: JsonObject, key: str, folder: Path, kind: str = "file") -> InputFile:
    """The file at `key`, relative to `folder`; with another `kind` it may be a folder as well."""
    expected = f"the path of a {kind}, relative to the case file or absolute"
    written = fields.text(key, expected)
    check_within_upload(fields.file, folder, written)
    for spelling in (written, written.replace("\\", "/")):  # the second for a case from Windows
        path = folder / spelling
        if os.path.isfile(path) or kind != "file" and os.path.isdir(path):
            return InputFile(written, path)
    what = "is no file" if os.path.exists(folder / written) else "does not exist"
    fields.refuse(key, f"is {describe(written)}, which {what}", expected, "correct it or put the file there")


def _standard_deviation(fields: JsonObject, key: str) -> float | None:
    """0, calibrated, by default."""
    if not fields.has(key):
        return 0.0
    return None if fields.values[key] is None else fields.number(key, "0 or more, or null if unknown", least=0)


def _shared_unknowns(fields: JsonObject) -> SharedUnknowns:
    """All known by default."""
    if not fields.has("shared_unknowns"):
        return SharedUnknowns()
    shared = fields.section("shared_unknowns")
    deviations = {
        key: shared.number(key, f"a standard deviation in {unit} above 0; leave out what is known exactly", above=0)
        for key, unit in (
            ("source_to_detector_sd_mm", "mm"),
            ("principal_point_sd_px", "pixels"),
            ("isocentre_sd_mm", "mm"),
        )
        if shared.has(key)
    }
    shared.warn_unread()
    return SharedUnknowns(**deviations)


def _search(fields: JsonObject) -> dict[str, float]:
    if not fields.has("search"):
        return dict(DEFAULT_SEARCH)
    search = fields.section("search")
    ranges = {
        "rotation_deg": search.number("rotation_deg", "degrees above 0 and up to 180", above=0, most=180),
        "translation_mm": search.number("translation_mm", "mm above 0", above=0),
    }
    search.warn_unread()
    return ranges


def _training(fields: JsonObject) -> dict[str, float]:
    """The ranges that are given; `search` stands for the others."""
    if not fields.has("training"):
        return {}
    training = fields.section("training")
    ranges = {}
    for key, most in TRAINING.items():
        if training.has(key):
            expected = "mm, 0 or more" if most is None else f"degrees from 0 to {most}"
            ranges[key] = training.number(key, expected, least=0, most=math.inf if most is None else most)
    training.warn_unread()
    if len(ranges) == len(TRAINING) and not any(ranges.values()):
        fields.refuse(
            "training", "has 0 everywhere", "a range above 0, as a single pose is nothing to learn", "widen it"
        )
    return ranges


def _targets(fields: JsonObject) -> np.ndarray | None:
    if not fields.has("targets"):
        return None
    targets = fields.array("targets", (None, 3), "a list of points [x, y, z] in CT LPS mm")
    return targets if len(targets) else None


def _landmarks(fields: JsonObject, views: list[str]) -> list[Landmark]:
    if not fields.has("landmarks"):
        return []
    landmarks = fields.sections("landmarks", "a list of one or more landmarks")
    return [_landmark(landmark, views) for landmark in landmarks]


def _landmark(fields: JsonObject, views: list[str]) -> Landmark:
    seen = fields.section("views", "an object with [column, row] for each view that shows it")
    for name in seen.values:
        if name not in views:
            expected = "one of " + ", ".join(describe(view) for view in views)
            fields.refuse("views", f"has the key {describe(name)}, which is no view", expected, "correct the name")
    landmark = Landmark(
        name=fields.text("name", "a name for the landmark"),
        ct=fields.array("ct", (3,), "a point [x, y, z] in CT LPS mm"),
        pixels={name: seen.array(name, (2,), "a pixel [column, row]") for name in seen.values},
    )
    fields.warn_unread()
    return landmark


def _truth(fields: JsonObject) -> np.ndarray | None:
    if not fields.has("truth"):
        return None
    truth = fields.section("truth")
    matrix = truth.rigid("world_from_ct")
    truth.warn_unread()
    return matrix


def _refuse_same_view_twice(file: str, views: list[ViewFile]) -> None:
    first: dict[tuple, ViewFile] = {}
    for view in views:
        status = os.stat(view.image.path)
        image = ("image", status.st_dev, status.st_ino, view.frame or 0)
        name = (
            "name",
            unicodedata.normalize("NFKC", view.name).casefold(),
        )  # to some file systems it is all one
        for key in (name, image):
            other = first.setdefault(key, view)
            if other is not view:
                raise InputError(
                    f"{file}: {view.field} has the same {key[0]} as {other.field}, expected different views; "
                    "correct it or remove one of the two."
                )
