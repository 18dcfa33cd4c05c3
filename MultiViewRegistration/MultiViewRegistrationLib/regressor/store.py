"""The models of this user, in folders by the CT that they are for. Standard library only.

<data>/models/<first 16 characters of the CT's SHA-256>/<name>/card.json, weights-....safetensors
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..errors import InputError
from .card import Card

_CHARACTERS = 16


@dataclass(frozen=True)
class Stored:
    """A model in the store: its folder, its card, and its size on disk in bytes."""

    folder: Path
    card: Card
    bytes: int

    @property
    def name(self) -> str:
        """When it was begun, which tells it from all others of its CT."""
        return self.folder.name

    @property
    def finished(self) -> bool:
        return self.card.finished


def data_folder() -> Path:
    """Where this program keeps what its user made; MVREG_DATA moves it."""
    if os.environ.get("MVREG_DATA"):
        return Path(os.environ["MVREG_DATA"])
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "multiview-registration"


def holds(folder: Path) -> bool:
    """Whether a folder is there, and in the store."""
    return folder.is_dir() and folder.resolve().is_relative_to((data_folder() / "models").resolve())


def models_of(ct_sha256: str) -> list[Stored]:
    """The models of a CT, the newest first."""
    return _models(data_folder() / "models" / ct_sha256[:_CHARACTERS])


def all_models() -> list[Stored]:
    """The models of all CTs, the newest first of each."""
    root = data_folder() / "models"
    return [stored for folder in sorted(root.glob("*/")) for stored in _models(folder)]


def new_folder(ct_sha256: str) -> Path:
    """A folder for a new model of a CT; not made yet."""
    parent = data_folder() / "models" / ct_sha256[:_CHARACTERS]
    name = now = datetime.now().strftime("%Y-%m-%d-%H%M%S")
    number = 1
    while (parent / name).exists():
        number += 1
        name = f"{now}-{number}"
    return parent / name


def remove(stored: Stored) -> None:
    """Remove a model, and its CT's folder if that is empty then. InputError where that is not possible."""
    try:
        shutil.rmtree(stored.folder)
    except OSError as error:
        raise InputError(
            f"{stored.folder}: could not be removed ({error.strerror or error}); close what uses it."
        ) from None
    with suppress(OSError):
        stored.folder.parent.rmdir()


def _models(parent: Path) -> list[Stored]:
    """Those in a folder; what cannot be read is not among them."""
    found = []
    for folder in parent.glob("*/"):
        with suppress(InputError, OSError):
            found.append(
                Stored(
                    folder, Card.read(folder), sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
                )
            )
    return sorted(found, key=lambda stored: (stored.card.created, stored.name), reverse=True)
