"""Files that appear whole or not at all, and their fingerprints."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


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
    An older `last` is removed before the first file moves: while it is there, all files that it tells of are its own.
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
