"""Files that a page sent for one step, in a folder of their own."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError


def all_of(folder: Path) -> list[Path]:
    """The files, the largest first."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(files, key=lambda path: (-path.stat().st_size, path.name))


def only_one(folder: Path, what: str) -> Path:
    """The only file. InputError for several; what: begins its sentence."""
    files = all_of(folder)
    if len(files) != 1:
        raise InputError(f"{what}: {len(files)} files were sent, expected one; choose one.")
    return files[0]


def without(folder: Path, sentence: str) -> str:
    """A sentence about the files, with their names as the person knows them."""
    return sentence.replace(f"{folder}/", "")
