"""A place for compiled kernels where neither the installation nor the home folder can be written to, as in a container."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import numba as nb

from ..errors import warn

_REMEDY = "set NUMBA_CACHE_DIR to a folder that stays"


def can_keep_kernels() -> bool:
    """Return whether numba can keep what it compiles, if need be in the folder for temporary files.

    A warning says where it is not as usual.
    """
    if _has_place():
        return True
    folder = _private_folder()
    if folder is not None:
        nb.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
        if _has_place():
            where = "as nothing can be written beside the program or at home"
            warn(f"Compiled kernels are kept in {folder}, {where}; {_REMEDY}.")
            return True
    warn(
        f"Kernels are compiled at every start, as no folder for them can be written to; {_REMEDY}."
    )
    return False


def _has_place() -> bool:
    try:
        nb.njit(cache=True)(_has_place)
    except RuntimeError:  # "no locator available"
        return False
    return True


def _private_folder() -> Path | None:
    """Return a folder for temporary files that is this user's alone, as numba runs what it finds there; None if there is none."""
    owner = os.getuid() if hasattr(os, "getuid") else None
    try:
        folder = Path(tempfile.gettempdir(), f"multiview-registration-{owner}")
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    private = owner is None or (found.st_uid == owner and not found.st_mode & 0o077)
    return folder if stat.S_ISDIR(found.st_mode) and private else None
