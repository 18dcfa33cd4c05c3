"""How much memory there is to read a file into."""

from __future__ import annotations

import ctypes
import os
import re
from contextlib import suppress
from pathlib import Path

from ..errors import InputError

LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container


def check_room(path: str | os.PathLike, what: str, needed: int) -> None:
    """InputError where so many bytes cannot be taken.   what: is to be read, with its number, as in "3e+11 voxels"."""
    free = free_bytes()
    if free is not None and needed > free:
        raise InputError(
            f"{path}: has {what}, which take {needed / 2**30:.3g} GB of memory, but {free / 2**30:.3g} GB are free; crop it, "
            "or close other programs."
        )


def free_bytes() -> int | None:
    """Bytes that can be taken without swapping, as far as the system tells: on a Mac all that there are; None where nobody knows."""
    found = []
    with suppress(OSError, AttributeError, ValueError, TypeError):
        found.append(
            1024 * int(re.search(r"MemAvailable:\s*(\d+)", Path("/proc/meminfo").read_text(encoding="utf-8"))[1])
        )
    with suppress(OSError, ValueError):  # "max" without a limit
        found.append(int(LIMIT.read_text(encoding="utf-8")))
    if not found and os.name == "nt":
        found.append(_of_windows())
    elif not found:
        with suppress(OSError, ValueError):
            found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(found, default=None)


def _of_windows() -> int:
    """ullAvailPhys of GlobalMemoryStatusEx."""
    status = (ctypes.c_ulonglong * 8)(64)  # dwLength and dwMemoryLoad share the first
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return status[2]
