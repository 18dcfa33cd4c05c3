"""Files that appear whole or not at all, their fingerprints, and folders that a browser uploaded."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError
from ..imaging.image_source import inside


@contextmanager
def written_atomically(path: str | os.PathLike) -> Iterator[Path]:
    """For a library that wants a path to write to: yields a temporary one beside `path`, with the same ending
    (ITK picks the format by it). It becomes `path` when the block ends and is removed when the block raises.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: str | os.PathLike, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path`; a reader sees the old file or the new one, never a part."""
    with written_atomically(path) as temporary:
        temporary.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)


@contextmanager
def staged(folder: str | os.PathLike, last: str) -> Iterator[Path]:
    """For files that belong together: yields a new folder within `folder`, which is made if it is not there.

    What has been written there moves into `folder` when the block ends, `last` after all others, and is removed when the block raises.
    An older `last` is removed before the first file moves: while it is there, all files that it names are its own.
    """
    folder = Path(folder)
    made = not folder.exists()
    staging = folder / f".{secrets.token_hex(4)}"
    try:
        staging.mkdir(parents=True)
        yield staging
        (folder / last).unlink(missing_ok=True)
        for file in sorted(staging.iterdir(), key=lambda file: file.name == last):
            os.replace(file, folder / file.name)
        staging.rmdir()
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        if made:
            with suppress(OSError):
                folder.rmdir()
        raise


def sha256(path: str | os.PathLike) -> str:
    """SHA-256 in hex of a file; of a folder, that of its files' names and contents, without subfolders."""
    path = Path(path)
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(file for file in path.iterdir() if file.is_file()):
            digest.update(os.fsencode(file.name) + b"\0" + bytes.fromhex(sha256(file)))
    else:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def relative_path(path: Path, folder: Path) -> str:
    """A path as a file in `folder` names it, with slashes; absolute where it is on another drive."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return path.resolve().as_posix()


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


def check_within_upload(file: str, folder: Path, name: str, homes: Sequence[Path] = ()) -> None:
    """Refuse a name of a file outside the folder that was uploaded.

    Parameters
    ----------
    file
        That has the name, as it is shown.
    folder
        To which the name is relative.
    name
        As it is written.
    homes
        Folders where it may lie, by default the one in which `folder` was uploaded.

    Raises
    ------
    InputError
        Where it lies elsewhere.
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
