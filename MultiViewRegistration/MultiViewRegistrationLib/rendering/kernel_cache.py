"""Cache of compiled kernels on disk.

numba numbers the data files of a function, and an index file refers to them by number, so two
processes that write into the same folder can exchange their data. Each process therefore compiles
into a private folder. Published folders are complete, are never changed, and are named by the
version of the program and a generation: a process starts with links to the files of the latest
generation, and publishes the next one when it has compiled more.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba as nb
from numba.core.compiler_lock import global_compiler_lock

from ..errors import warn

LIBRARY = Path(__file__).absolute().parents[1]
#: Folders of the library that define kernels or the types of their arguments.
KERNEL_SOURCES = ("geometry", "rendering", "registration", "regressor")
PREFIX = "mvreg-kernels-"
_REMEDY = "Set NUMBA_CACHE_DIR to a permanent folder that can be written to."


def source_version(library: Path = LIBRARY) -> str:
    """Return a hash of the sources of all kernels and of numba's version."""
    digest = hashlib.sha256(nb.__version__.encode())
    for name in KERNEL_SOURCES:
        for path in sorted((library / name).rglob("*.py")):
            digest.update(str(path.relative_to(library)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class KernelCache:
    """Cache of compiled kernels in a folder that several processes may use at the same time.

    Parameters
    ----------
    parent : Path
        Existing folder that can be written to.
    version : str
        Kernels of other versions are ignored, and deleted when this version is published.

    Attributes
    ----------
    folder : Path
        Private folder of this process, removed at its end. numba reads and writes here.
    """

    def __init__(self, parent: Path, version: str) -> None:
        self._parent = parent
        self._name = f"{PREFIX}{version}"
        self._private = tempfile.TemporaryDirectory(
            prefix=f"{self._name}.", dir=parent, ignore_cleanup_errors=True
        )
        self.folder = Path(self._private.name)
        #: Content of the index files, by relative path, as they were fetched.
        self._fetched: dict[Path, bytes] = {}
        self.fetch()

    def fetch(self) -> None:
        """Update the functions to the latest published versions, except those that this process compiled."""
        published = self._published(self._latest())
        for source in published.rglob("*.nbi"):
            name = source.relative_to(published)
            with suppress(OSError):  # deleted by another process; the function is compiled again
                content = source.read_bytes()
                if self._fetched.get(name) != content and not self._is_compiled(name):
                    with global_compiler_lock:  # no thread is reading the files
                        _link_function(source, self.folder / name)
                    self._fetched[name] = content

    def _is_compiled(self, name: Path) -> bool:
        """Return whether this process compiled kernels of an index file: whether the file has changed."""
        index = self.folder / name
        return index.exists() and index.read_bytes() != self._fetched.get(name)

    def publish(self) -> None:
        """Publish the kernels of this process as the next generation if it has more than the latest one.

        If another process publishes at the same time, only one of them succeeds.
        """
        self.fetch()
        latest = self._latest()
        if _kernel_files(self.folder) <= _kernel_files(self._published(latest)):
            return
        with suppress(OSError):
            copy = Path(tempfile.mkdtemp(prefix=f"{self._name}.", dir=self._parent))
            for index in self.folder.rglob("*.nbi"):
                _link_function(index, copy / index.relative_to(self.folder))
            try:
                copy.rename(self._published(latest + 1))
            except OSError:
                shutil.rmtree(copy, ignore_errors=True)
            else:
                self._delete_others(latest + 1)

    def clear(self) -> None:
        """Delete all kernels, so that the next start compiles them again."""
        for each in (self.folder, *self._parent.glob(f"{self._name}-*")):
            shutil.rmtree(each, ignore_errors=True)

    def _published(self, generation: int) -> Path:
        return self._parent / f"{self._name}-{generation}"

    def _latest(self) -> int:
        """Return the number of the latest generation, 0 if nothing is published."""
        names = (each.name for each in self._parent.glob(f"{self._name}-*"))
        return max((int(name.rpartition("-")[2]) for name in names), default=0)

    def _delete_others(self, generation: int) -> None:
        """Delete earlier generations, and everything of other versions."""
        earlier = [self._published(number) for number in range(1, generation)]
        others = [
            each for each in self._parent.glob(f"{PREFIX}*") if not each.name.startswith(self._name)
        ]
        for each in earlier + others:
            shutil.rmtree(each, ignore_errors=True)


def _kernel_files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*.nb[ic]")}


def _link_function(source: Path, target: Path) -> None:
    """Replace the files of a function by links to others, or by copies if the system has no links.

    Parameters
    ----------
    source, target : Path
        Index files. The index is linked last, since data without an index are ignored.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for path in (target, *_data_files(target)):
        path.unlink(missing_ok=True)
    for path in (*_data_files(source), source):
        _link(path, target.parent / path.name)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _data_files(index: Path) -> list[Path]:
    return list(index.parent.glob(f"{index.stem}.*.nbc"))


def open_cache() -> KernelCache | None:
    """Return the cache in the first folder that can be written to, or None after a warning.

    The folder is NUMBA_CACHE_DIR if it is set. Otherwise it is beside the program, in the home
    folder, or in a private folder for temporary files, of which a warning informs.
    """
    for parent in _parents():
        with suppress(OSError):
            parent.mkdir(parents=True, exist_ok=True)
            return KernelCache(parent, source_version())
    temporary = private_folder()
    if temporary is not None:
        with suppress(OSError):
            cache = KernelCache(temporary, source_version())
            warn(f"Compiled kernels are stored in the temporary folder {temporary}. {_REMEDY}")
            return cache
    warn(f"Compiled kernels cannot be stored and are compiled at every start. {_REMEDY}")
    return None


def _parents() -> Iterator[Path]:
    if nb.config.CACHE_DIR:  # type: ignore[attr-defined]
        yield Path(nb.config.CACHE_DIR)  # type: ignore[attr-defined]
    yield LIBRARY / "__pycache__"
    with suppress(RuntimeError):  # no home
        yield Path.home() / ".cache" / "multiview-registration"


def private_folder() -> Path | None:
    """Return a folder for temporary files that only this user can write to, since numba runs its content; None if there is none."""
    owner = os.getuid() if hasattr(os, "getuid") else None
    try:
        folder = Path(tempfile.gettempdir(), f"multiview-registration-{owner}")
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    private = owner is None or (status.st_uid == owner and not status.st_mode & 0o077)
    return folder if stat.S_ISDIR(status.st_mode) and private else None


CACHE = open_cache()
if CACHE is not None:
    atexit.register(CACHE.publish)
#: Wrappers for C would be compiled, too, and nothing calls them.
_OPTIONS: dict[str, Any] = {"nogil": True, "no_cfunc_wrapper": True}


def kernel(function: Callable, **options: Any) -> Callable:
    """Compile a function when it is called, and store it in the cache if there is one."""
    if CACHE is None:
        return nb.njit(**_OPTIONS, **options)(function)
    before = nb.config.CACHE_DIR  # type: ignore[attr-defined]
    nb.config.CACHE_DIR = str(CACHE.folder)  # type: ignore[attr-defined]
    try:  # numba chooses the folder here
        return nb.njit(cache=True, **_OPTIONS, **options)(function)
    finally:  # functions of other packages have theirs
        nb.config.CACHE_DIR = before  # type: ignore[attr-defined]


def fetch_kernels() -> None:
    """Add the kernels that other processes have published since."""
    if CACHE is not None:
        CACHE.fetch()


def publish_kernels() -> None:
    """Let other processes use the kernels that this one has compiled."""
    if CACHE is not None:
        CACHE.publish()


def clear_kernels() -> None:
    """Delete the kernels on disk, so that the next start compiles them again."""
    if CACHE is not None:
        CACHE.clear()
