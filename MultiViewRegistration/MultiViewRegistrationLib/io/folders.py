"""Folders: that of the user's data, those of one process, and folders of results, whose files appear whole or not at all.

What belongs to one process goes with it: at its end, or, where it was killed, when the next one of
its kind is made. A folder with a result says of which case it is, and which files came with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep, time

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
    """Return the folder of the user's data; MVREG_DATA moves it."""
    moved = os.environ.get("MVREG_DATA")
    return Path(moved) if moved else _own_folder(DATA)


def cache_folder() -> Path:
    """Return the folder for files that can be downloaded again."""
    return _own_folder(CACHE)


def _own_folder(places: Mapping[str, tuple[str, str]]) -> Path:
    variable, usual = places.get(sys.platform, places["linux"])
    return Path(os.environ.get(variable) or Path.home() / usual, "multiview-registration")


def new_folder(kind: str, parent: Path | None = None) -> Path:
    """Make an empty folder that only this user can read, named for this process.

    Parameters
    ----------
    parent
        By default the folder for temporary files.
    """
    return Path(tempfile.mkdtemp(prefix=f"{_prefix(kind)}{os.getpid()}-", dir=parent))


def new_name(kind: str) -> str:
    """Return the name of a new folder."""
    return f"{_prefix(kind)}{os.getpid()}-{secrets.token_hex(4)}"


def abandoned(kind: str, parent: Path) -> list[Path]:
    """Return the folders of this user and this computer whose process has ended."""
    found = []
    for folder in parent.glob(f"{_prefix(kind)}*-*"):
        process = folder.name.removeprefix(_prefix(kind)).partition("-")[0]
        if process.isdigit() and _is_ours(folder) and not _is_alive(int(process)):
            found.append(folder)
    return found


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it; what cannot be removed stays for the next start."""
    for _ in range(MAX_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        sleep(0.05)


@contextmanager
def temporary() -> Iterator[None]:
    """Keep all temporary files of this process in one folder meanwhile.

    Those of dead servers are removed.
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
    try:  # Linux: an ended process that its parent has not waited for is dead
        return Path("/proc", str(process), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True


try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

KIND = ".mvreg"
#: In a stage that is complete: which files make room for it.
JOURNAL = "journal.json"
#: A stage as old as this is abandoned, whoever made it: another computer, or a container that is
#: gone.
ABANDONED_S = 24 * 3600.0


@contextmanager
def staged(
    folder: str | os.PathLike,
    last: str,
    earlier: Callable[[Path], Iterable[str]] = lambda folder: (),
) -> Iterator[Path]:
    """Yield a new, hidden folder for files that belong together.

    They are in `folder` when the block has ended.

    A `folder` that is missing appears with all of them. In one that is there, an older `last` goes
    first, then all that they replace; then the new files come, `last` after all others: while it is
    there, all files that it names are its own. What a kill interrupts meanwhile `complete`
    completes. All others in `folder` stay. What runs that were killed have left there is removed.
    In a folder that another `staged` has yielded this is that folder: its files come with those.

    Parameters
    ----------
    last
        The name of the file that names the others.
    earlier
        Called with `folder` once the new files are ready: further files there that they replace. It
        may refuse with an InputError.

    Raises
    ------
    OutputError
        Where they cannot be written.
    InputError
        That of the block, with `folder` in place of the hidden one.
    """
    folder = Path(folder)
    if folder.name.startswith(f"{KIND}-"):
        yield folder
        return
    staging = (folder if folder.is_dir() else folder.parent) / new_name(KIND)
    try:
        _sweep(folder)
        staging.mkdir(parents=True)
        with _locked(staging):
            yield staging
            if not _appears(staging, folder):
                staging = staging.rename(folder / staging.name)
                with _locked(folder):
                    _complete(folder)
                    new = {
                        file.name for file in staging.iterdir()
                    }  # which stay once they have come
                    files = {
                        "last": last,
                        "earlier": [name for name in earlier(folder) if name not in new],
                    }
                    (staging / JOURNAL).write_text(json.dumps(files), encoding="utf-8")
                    _move(staging, folder)
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        if isinstance(error, InputError):
            kind = OutputError if isinstance(error, OutputError) else InputError
            raise kind(str(error).replace(printable(staging), printable(folder))) from None
        if isinstance(error, OSError):
            where = printable(error.filename or folder).replace(
                printable(staging), printable(folder)
            )
            why = error.strerror or " ".join(map(str, error.args)) or type(error).__name__
            raise OutputError(
                f"{where}: cannot be written there ({why}), expected a folder with room that may "
                "be written to; free some space, or choose another folder."
            ) from None
        raise


def complete(folder: Path) -> None:
    """Complete what a run that was killed was moving into a folder."""
    if next(_interrupted(folder), None) is not None:
        with suppress(OSError), _locked(folder):
            _complete(folder)


def _interrupted(folder: Path) -> Iterator[Path]:
    return (
        path.parent for path in folder.glob(f"{KIND}-*/{JOURNAL}") if not path.parent.is_symlink()
    )


def _complete(folder: Path) -> None:
    for staging in [*_interrupted(folder)]:
        _move(staging, folder)


def _appears(staging: Path, folder: Path) -> bool:
    """Give the stage the name of a folder that is missing, and return whether it was."""
    try:
        if not folder.is_dir():
            staging.rename(folder)
            return True
    except OSError:
        if not folder.is_dir():  # which another run has made just now
            raise
    return False


def _move(staging: Path, folder: Path) -> None:
    """Put the files of a complete stage in place of the earlier ones, and remove it.

    Nothing has moved where it raises.

    Begun again after a kill, it goes on where it was.
    """
    try:
        files = json.loads((staging / JOURNAL).read_text(encoding="utf-8"))
        last = Path(files["last"]).name
        earlier = [Path(name).name for name in files["earlier"]]
    except (ValueError, KeyError, TypeError):  # killed while it was written, before anything moved
        shutil.rmtree(staging, ignore_errors=True)
        return
    names = [file.name for file in staging.iterdir() if file.is_file() and file.name != JOURNAL]
    coming = sorted(names, key=lambda name: name == last)
    aside = staging / "earlier"
    moved: list[tuple[Path, Path]] = []

    def move(source: Path, target: Path) -> None:
        os.replace(source, target)
        moved.append((source, target))

    try:
        aside.mkdir(exist_ok=True)
        for name in dict.fromkeys([last, *earlier, *coming]) if coming else ():
            if (folder / name).is_file():
                move(folder / name, aside / name)
        for name in coming:
            move(staging / name, folder / name)
    except BaseException:
        for source, target in reversed(moved):
            os.replace(target, source)
        raise
    shutil.rmtree(staging, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what runs that were killed have left in a folder and beside it.

    Not what `complete` will need.
    """
    for parent in (folder, folder.parent):
        old = [stage for stage in parent.glob(f"{KIND}-*") if _age_s(stage) > ABANDONED_S]
        for stage in {*abandoned(KIND, parent), *old}:
            if (stage / JOURNAL).exists() or stage.is_symlink():
                continue
            with (
                suppress(OSError),
                _locked(stage, wait=False),
            ):  # another container's processes are not seen
                remove(stage)


def _age_s(path: Path) -> float:
    with suppress(OSError):
        return time() - path.stat().st_mtime
    return 0.0


@contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a folder, which ends with the process.

    Where the system cannot lock one, nothing is held.

    Raises
    ------
    BlockingIOError
        Where another process holds it and this one does not wait.
    """
    if fcntl is None:
        yield
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:  # some file systems of networks
            pass
        yield
    finally:
        os.close(opened)


RESULT = "result.json"
SCHEMA = Path(__file__).with_name("result.schema.json")
TRACK = "track.json"


def belongs_to(folder: Path, case_file: str | None, images: Collection[str]) -> bool:
    """Return whether the result in a folder is that of a case.

    The names of their files agree, where both have one, and they share an X-ray.

    Parameters
    ----------
    case_file
        Name of the case's file, None for a case without.
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
    """Refuse a folder that holds the result of another case, see `belongs_to`.

    Raises
    ------
    InputError
        Naming the folder.
    """
    if (folder / RESULT).is_file() and not belongs_to(folder, case_file, images):
        raise InputError(
            f"{printable(folder)}: holds the result of another case, expected a folder without "
            "one, or with an older result of this case; name another folder, or remove this one."
        )


def earlier_files(
    folder: Path, case_file: str | None, images: Collection[str], kept: Collection[str] = ()
) -> list[str]:
    """Return the files that a result of a case replaces in a folder, for `staged`.

    Raises
    ------
    InputError
        As `refuse_other_case`.
    """
    refuse_other_case(folder, case_file, images)
    return files_of_result(folder, kept)


def files_of_result(folder: Path, kept: Collection[str] = ()) -> list[str]:
    """Return the names of the files that came with the result in a folder, as they came.

    None where there is no result; of a damaged one its transforms, which must not outlive it.

    Parameters
    ----------
    kept
        SHA-256 of files to leave out, as a mask that the case names by now.
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
    """Add files beside a result.json to those that came with it."""
    content = read_json(result)
    content["files"] = {
        **content.get("files", {}),
        **{name: sha256(result.with_name(name)) for name in names},
    }
    write_json(result, content)


def folder_for(chosen: Path, name: str) -> Path:
    """Return the folder for files where a person has chosen one.

    That is the folder itself if it is new or empty; else a new one of this name, in it, or beside
    it where it has such files already (`holds_export`).
    """
    if not chosen.is_dir() or all(path.name.startswith(".") for path in chosen.iterdir()):
        return chosen
    return (chosen.parent if holds_export(chosen) else chosen) / name


def holds_export(folder: Path) -> bool:
    """Return whether a result or a track lies in a folder."""
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
    """Return the texts in a list, or among the values of an object, whatever it is."""
    if isinstance(values, dict):
        values = list(values.values())
    found = values if isinstance(values, list) else []
    return [value for value in found if isinstance(value, str)]
