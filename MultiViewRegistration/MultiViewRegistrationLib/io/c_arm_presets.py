"""C-arms that a user keeps: distances, pixels and left and right, by a name, in one file of this computer; nothing of a patient."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..errors import InputError
from ..translation import _
from .files import JsonObject, write_json
from .folders import data_folder
from .view_record import ViewRecord

VERSION = 1
MAX_NAME_LENGTH = 60
#: What a preset has of a case.json's c_arm; a principal point may be left out for the middle.
KEYS = (
    "source_to_detector_mm",
    "source_to_isocentre_mm",
    "pixel_mm",
    "size",
    "principal_point",
    "mirrored",
)


@dataclass(frozen=True)
class Preset:
    """A C-arm without its angles.

    Attributes
    ----------
    name
        For the user.
    c_arm
        As in a case.json, KEYS of it.
    """

    name: str
    c_arm: dict


def presets_file() -> Path:
    """Return where the presets are kept; panel and page share them."""
    return data_folder() / "c_arms.json"


def read_presets() -> list[Preset]:
    """Return all presets, by name; none where there is no file.

    Raises
    ------
    InputError
        For a file that is damaged.
    """
    path = presets_file()
    if not path.exists():
        return []
    content = JsonObject.read(path, "a file of kept C-arms")
    if content.value("version", f"{VERSION}") != VERSION:
        content.refuse_value("version", f"{VERSION}", "use the program that wrote it")
    entries = (
        content.sections("presets", "a list of C-arms")
        if content.value("presets", "a list", list)
        else []
    )
    found = [Preset(entry.text("name", "a name"), _c_arm(entry)) for entry in entries]
    return sorted(found, key=lambda preset: preset.name.casefold())


def _c_arm(entry: JsonObject) -> dict:
    entry.value("mirrored", "true or false", bool)
    reading = {key: entry.values[key] for key in KEYS if key in entry.values}
    ViewRecord.read(
        JsonObject(
            entry.file, entry.name, {"c_arm": {**reading, "rao_lao_deg": 0, "cra_cau_deg": 0}}
        )
    )
    return reading


def keep_preset(name: str, c_arm: dict) -> str:
    """Keep a C-arm, in place of one with its name.

    A file that is damaged is put aside under another name, and a new one begun.

    Parameters
    ----------
    c_arm
        As in a case.json.

    Returns
    -------
    str
        A sentence for the user, "" where there is nothing to say.

    Raises
    ------
    InputError
        Where the name is none, or nothing can be written.
    """
    name = " ".join(name.split())
    path = presets_file()
    aside = ""
    if not name or len(name) > MAX_NAME_LENGTH:
        raise InputError(
            _("Name of the C-arm: has {count} letters, expected 1 to {most}; enter another."),
            count=len(name),
            most=MAX_NAME_LENGTH,
        )
    try:
        presets = read_presets()
    except InputError:
        presets = []
        other = path.with_name(f"{path.stem}-damaged-{datetime.now():%Y%m%d-%H%M%S}.json")
        with _writing(path):
            os.replace(path, other)
        aside = _(
            "The file of kept C-arms was damaged; it lies beside the new one as {name}."
        ).format(name=other.name)
    kept = Preset(name, {key: c_arm[key] for key in KEYS if key in c_arm})
    _write([*(each for each in presets if each.name.casefold() != name.casefold()), kept])
    return aside


def delete_preset(name: str) -> None:
    """Delete a C-arm; nothing where there is none of this name.

    Raises
    ------
    InputError
        As `read_presets`, and where nothing can be written.
    """
    _write([preset for preset in read_presets() if preset.name != name])


def _write(presets: list[Preset]) -> None:
    path = presets_file()
    entries = [{"name": preset.name, **preset.c_arm} for preset in presets]
    with _writing(path):
        write_json(path, {"version": VERSION, "presets": entries})


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            _("{path}: the C-arm cannot be kept ({error}); make the folder writable."),
            path=path,
            error=error,
        ) from None
