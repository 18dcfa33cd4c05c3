"""Files that belong together and come into their folder all at once, also where the program is killed meanwhile."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time

from ..errors import InputError, OutputError
from . import own_folders
from .files import printable

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
    staging = (folder if folder.is_dir() else folder.parent) / own_folders.new_name(KIND)
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
        last, earlier = Path(files["last"]).name, [Path(name).name for name in files["earlier"]]
    except (ValueError, KeyError, TypeError):  # killed while it was written, before anything moved
        shutil.rmtree(staging, ignore_errors=True)
        return
    names = [file.name for file in staging.iterdir() if file.is_file() and file.name != JOURNAL]
    coming, aside = sorted(names, key=lambda name: name == last), staging / "earlier"
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
        for stage in {*own_folders.abandoned(KIND, parent), *old}:
            if (stage / JOURNAL).exists() or stage.is_symlink():
                continue
            with (
                suppress(OSError),
                _locked(stage, wait=False),
            ):  # another container's processes are not seen
                own_folders.remove(stage)


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
