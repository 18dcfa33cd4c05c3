"""Folders whose files came from somewhere else, by a page: what they name must have come with them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..imaging.image_source import inside

_HOMES: set[Path] = set()
#: What came without a folder of its own is called.
NAMELESS = "Dropped files"


def keep_within(home: Path) -> None:
    """From now on, files in this folder, or below it, may name others of it only."""
    _HOMES.add(home.resolve())


def home_of(path: Path) -> Path | None:
    """The folder in which a file or folder came; None for what may name files anywhere, as the person here has named it."""
    path = path.resolve()
    return next((folder for folder in (path, *path.parents) if folder in _HOMES), None)


def as_sent(text: str) -> str:
    """A text for a person, with files and folders that came so named as they came, and not by where they lie here."""
    for home in _HOMES:
        text = text.replace(f"{home}/", "").replace(str(home), NAMELESS)
    return re.sub(
        rf"{re.escape(tempfile.gettempdir())}/mvreg-[^/\s]+/", "", text
    )  # what the program has written for itself


def refuse_elsewhere(file: str, folder: Path, name: str, homes: Sequence[Path] = ()) -> None:
    """InputError where a file names one that it may not name.

    file: as it is shown.   folder: which the name is relative to.   homes: where that may lie, by default where the folder came in.
    """
    homes = homes or [home for home in [home_of(folder)] if home]
    if homes and not any(_lies_in(home, folder, name) for home in homes):
        file = Path(file).name
        raise InputError(
            f"{file}: names a file outside the folder that was sent, expected all of them in it; drop the whole folder, or "
            f"start mvreg view with the path of the {Path(file).stem}."
        )


def _lies_in(home: Path, folder: Path, name: str) -> bool:
    path = Path(name)
    if path.is_absolute() and path.is_relative_to(home):  # as a sequence has made it of a name that was checked
        return path.resolve().is_relative_to(home.resolve())
    return inside(name, folder, home) is not None
