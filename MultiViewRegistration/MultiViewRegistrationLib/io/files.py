"""Files that appear whole or not at all, and their fingerprints."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
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
