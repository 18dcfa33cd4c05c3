"""The folder of the user's data, and folders that belong to one process and go with it.

At its end, or, where it was killed, when the next one of their kind is made.
"""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from time import sleep

TEMPORARY = "mvreg-view"
#: Tries to remove a folder into which a thread may still write.
MAX_TRIES = 20
#: Of this computer's name.
_HOST = sha256(platform.node().encode()).hexdigest()[:8]


def data_folder() -> Path:
    """Return the folder of the user's data; MVREG_DATA moves it."""
    if os.environ.get("MVREG_DATA"):
        return Path(os.environ["MVREG_DATA"])
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "multiview-registration"


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
    before, folder = tempfile.tempdir, new_folder(TEMPORARY)
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
