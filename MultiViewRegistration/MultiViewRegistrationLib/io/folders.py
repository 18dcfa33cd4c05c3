"""Folders for user data, for temporary files of a process, and for results, which are written completely or not at all.

Folders of a process are removed when it ends or, if it was killed, when the next folder of the same
kind is created. A result folder records its case and the files that belong to it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep

from ..errors import InputError, OutputError
from .files import describe, printable, read_json, sha256, write_json

TEMPORARY = "mvreg-view"
#: Tries to remove a folder into which a thread may still write.
MAX_TRIES = 20
#: Digest of this computer's name.
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]


#: The variable that names a folder of the user's, and where that is without it, by the system.
DATA = {
    "darwin": ("", "Library/Application Support"),
    "win32": ("APPDATA", "AppData/Roaming"),
    "linux": ("XDG_DATA_HOME", ".local/share"),
}
CACHE = {
    "darwin": ("", "Library/Caches"),
    "win32": ("LOCALAPPDATA", "AppData/Local"),
    "linux": ("XDG_CACHE_HOME", ".cache"),
}


def data_folder() -> Path:
    """Return the folder for user data, set by MVREG_DATA."""
    moved = os.environ.get("MVREG_DATA")
    return Path(moved) if moved else _own_folder(DATA)


def cache_folder() -> Path:
    """Return the folder for files that can be downloaded again."""
    return _own_folder(CACHE)


def _own_folder(places: Mapping[str, tuple[str, str]]) -> Path:
    variable, usual = places.get(sys.platform, places["linux"])
    return Path(os.environ.get(variable) or Path.home() / usual, "multiview-registration")


def new_folder(kind: str, parent: Path | None = None) -> Path:
    """Create an empty folder that only this user can read, named after this process.

    Parameters
    ----------
    parent
        Parent folder. Default: the folder for temporary files.
    """
    return Path(tempfile.mkdtemp(prefix=f"{_prefix(kind)}{os.getpid()}-", dir=parent))


def new_name(kind: str) -> str:
    """Return the name of a new folder."""
    return f"{_prefix(kind)}{os.getpid()}-{secrets.token_hex(4)}"


def abandoned(kind: str, parent: Path) -> list[Path]:
    """Return the folders created by ended processes of this user on this computer."""
    found = []
    for folder in parent.glob(f"{_prefix(kind)}*-*"):
        process = folder.name.removeprefix(_prefix(kind)).partition("-")[0]
        if process.isdigit() and _is_ours(folder) and not _is_alive(int(process)):
            found.append(folder)
    return found


def remove(folder: Path) -> None:
    """Remove a folder and its contents; files that cannot be removed are kept until the next start."""
    for _ in range(MAX_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        sleep(0.05)


@contextmanager
def temporary() -> Iterator[None]:
    """Keep all temporary files of this process in one folder within the context.

    Temporary folders of ended servers are removed.
    """
    for folder in abandoned(TEMPORARY, Path(tempfile.gettempdir())):
        remove(folder)
    before = tempfile.tempdir
    folder = new_folder(TEMPORARY)
    tempfile.tempdir = os.fspath(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
        remove(folder)


def _prefix(kind: str) -> str:
    return f"{kind}-{_HOST}-"  # another computer may share the folder, and knows other processes


def _is_ours(folder: Path) -> bool:
    with suppress(OSError):
        return (
            folder.is_dir()
            and not folder.is_symlink()
            and (os.name == "nt" or folder.lstat().st_uid == os.geteuid())
        )
    return False


def _is_alive(process: int) -> bool:
    if sys.platform == "win32":  # where os.kill ends it
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x100000, False, process)  # SYNCHRONIZE
        ended = not handle or ctypes.windll.kernel32.WaitForSingleObject(handle, 0) == 0
        ctypes.windll.kernel32.CloseHandle(handle)
        return not ended
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


#: Prefix of temporary folders for results.
PREFIX = ".mvreg-"
#: Name, inside the target folder, of a complete set of files that is being moved into place.
COMPLETE = f"{PREFIX}complete"
#: File in a complete set: the name of the file that is moved last, and older files to delete.
ORDER = ".order.json"


@contextmanager
def staged(
    folder: str | os.PathLike,
    last: str,
    earlier: Callable[[Path], Iterable[str]] = lambda folder: (),
) -> Iterator[Path]:
    """Write a set of files completely or not at all.

    The context manager yields a temporary folder. When the block ends, its files are moved into
    `folder`, `last` after all others; other files in `folder` are kept. If the process is killed
    before all files are written, the old set remains; if it is killed while they are moved,
    `complete` moves the rest. When nested, the outer context manager moves the files.

    Parameters
    ----------
    folder
        Target folder; created if it does not exist.
    last
        Name of the file that lists the others, such as result.json. While it is present, all files
        that it lists belong to it.
    earlier
        Returns the names of older files in `folder` that the new set replaces. May raise
        InputError to refuse the folder.

    Raises
    ------
    OutputError
        If the files cannot be written.
    InputError
        As raised in the block; paths in the message are those of `folder`.
    """
    folder = Path(folder)
    if folder.name.startswith(PREFIX):
        yield folder
        return
    exists = folder.is_dir()
    staging = (folder if exists else folder.parent) / f"{PREFIX}{secrets.token_hex(4)}"
    try:
        _move_complete_set(folder)
        staging.mkdir(parents=True)
        yield staging
        if exists:
            _refuse_folders(staging, folder)
            new = {file.name for file in staging.iterdir()}
            old = [name for name in earlier(folder) if Path(name).name == name and name not in new]
            write_json(staging / ORDER, {"last": last, "old": old})
            os.replace(staging, folder / COMPLETE)
            _move_complete_set(folder)
        else:
            os.replace(staging, folder)
    except InputError as error:
        shutil.rmtree(staging, ignore_errors=True)
        message = str(error).replace(printable(staging), printable(folder))
        raise (OutputError if isinstance(error, OutputError) else InputError)(message) from None
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        place = printable(error.filename or folder).replace(printable(staging), printable(folder))
        place = place.replace(printable(folder / COMPLETE), printable(folder))
        reason = error.strerror or " ".join(map(str, error.args)) or type(error).__name__
        raise OutputError(
            f"{place} cannot be written ({reason}). Free some space, close programs that use the "
            "file, or choose another folder."
        ) from None
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def complete(folder: Path) -> None:
    """Resume an interrupted move of a complete set of files into a folder.

    A file that cannot be replaced now is moved by the next call.
    """
    with suppress(OSError):
        _move_complete_set(folder)


def _move_complete_set(folder: Path) -> None:
    staging = folder / COMPLETE
    if staging.is_symlink() or not (staging / ORDER).is_file():
        return
    order = read_json(staging / ORDER)
    last = Path(order["last"]).name
    if (staging / last).exists():
        for name in [*order["old"], last]:
            (folder / Path(name).name).unlink(missing_ok=True)
    names = [file.name for file in staging.iterdir() if file.name != ORDER]
    for name in sorted(names, key=lambda name: name == last):
        with suppress(FileNotFoundError):  # moved by another process
            os.replace(staging / name, folder / name)
    shutil.rmtree(staging)


def _refuse_folders(staging: Path, folder: Path) -> None:
    """Raise an OutputError if a new file has the name of a folder."""
    for file in staging.iterdir():
        if (folder / file.name).is_dir():
            raise OutputError(
                f"{printable(folder / file.name)} is a folder, so the file cannot be written. "
                "Rename it, or choose another folder."
            )


RESULT = "result.json"
SCHEMA = Path(__file__).with_name("result.schema.json")
TRACK = "track.json"


def belongs_to(folder: Path, case_file: str | None, images: Collection[str]) -> bool:
    """Return whether the result in a folder belongs to a case.

    It does if they share an X-ray and the names of their case files are equal, if both have one.

    Parameters
    ----------
    case_file
        Name of the case file; None for a case without a file.
    images
        `Case.images`.
    """
    content = _content(folder)
    case = content.get("case")
    known = case if isinstance(case, dict) else {}
    file = known.get("file")
    shared = {*_texts(known.get("images")), *_texts(content.get("inputs"))} & {*images}
    return bool(shared) and (case_file is None or file is None or case_file == file)


def refuse_other_case(folder: Path, case_file: str | None, images: Collection[str]) -> None:
    """Raise an InputError if a folder contains the result of another case, see `belongs_to`.

    Raises
    ------
    InputError
        If it does; the message names the folder.
    """
    if (folder / RESULT).is_file() and not belongs_to(folder, case_file, images):
        raise InputError(
            f"{printable(folder)}: holds the result of another case, expected a folder without "
            "one, or with an older result of this case; name another folder, or remove this one."
        )


def earlier_files(
    folder: Path, case_file: str | None, images: Collection[str], kept: Collection[str] = ()
) -> list[str]:
    """Return the names of the files that a new result of a case replaces, for `staged`.

    Raises
    ------
    InputError
        As `refuse_other_case`.
    """
    refuse_other_case(folder, case_file, images)
    return files_of_result(folder, kept)


def files_of_result(folder: Path, kept: Collection[str] = ()) -> list[str]:
    """Return the names of the unmodified files that were written with the result in a folder.

    None if there is no result. For a damaged result its transforms, which must be removed with it.

    Parameters
    ----------
    kept
        SHA-256 of files to exclude, such as a mask that the case now refers to.
    """
    if not (folder / RESULT).is_file():
        return []
    try:
        files = _content(folder)["files"]
    except (InputError, KeyError):
        files = None
    if not isinstance(files, dict):
        return [file.name for file in folder.glob("*world_from_ct*.tfm")]
    there = [name for name in files if Path(name).name == name and (folder / name).is_file()]
    return [
        name for name in there if files[name] not in kept and files[name] == sha256(folder / name)
    ]


def list_files(result: Path, names: Collection[str]) -> None:
    """Add files to the list of those that belong to a result.json."""
    content = read_json(result)
    content["files"] = {
        **content.get("files", {}),
        **{name: sha256(result.with_name(name)) for name in names},
    }
    write_json(result, content)


def folder_for(chosen: Path, name: str) -> Path:
    """Return the folder for an export to the folder that the user has selected.

    It is the folder itself if it is new or empty; otherwise a new folder of this name inside it, or
    next to it if it already contains an export (`holds_export`).
    """
    if not chosen.is_dir() or all(path.name.startswith(".") for path in chosen.iterdir()):
        return chosen
    return (chosen.parent if holds_export(chosen) else chosen) / name


def holds_export(folder: Path) -> bool:
    """Return whether a folder contains a result or a track."""
    return any((folder / name).is_file() for name in (RESULT, TRACK))


def _content(folder: Path) -> dict:
    content = read_json(folder / RESULT)
    if not isinstance(content, dict) or "world_from_ct" not in content:
        raise InputError(
            f"{printable(folder / RESULT)}: is {describe(content)} and no result, expected a "
            "folder without such a file; choose another folder."
        )
    return content


def _texts(values: object) -> list[str]:
    """Return the strings in a list or among the values of a dictionary; none for other JSON values."""
    if isinstance(values, dict):
        values = list(values.values())
    found = values if isinstance(values, list) else []
    return [value for value in found if isinstance(value, str)]
