"""Errors that users can correct, warnings that a caller can collect, and the end of cancelled work.

Also the command that installs a missing package. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, TypeVar

DISTRIBUTION = "multiview-registration"
#: Packages of the extras that the extension can use: Slicer's Python knows no extras of it.
SLICER_PACKAGES = {"hdf5": "h5py", "navigation": "pyigtl", "torch": "safetensors torch"}


class InputError(ValueError):
    """Bad input, in one plain sentence.

    Which file or field, what was found, what was expected, what to do.

    Parameters
    ----------
    message
        The sentence, with {names} in braces where `values` are filled in.

    Attributes
    ----------
    key
        Of the value that is wrong or missing, "" where the sentence alone tells it.
    code
        For programs: "input", "value" (of the key), "missing" (the value of the key, which is never
        guessed), "unit" (of a CT) or "output".
    """

    code = "input"

    def __init__(self, message: str = "", key: str = "", code: str = "", **values: object) -> None:
        super().__init__(message.format(**values) if values else message)
        self.key = key
        self.code = code or self.code


class OutputError(InputError):
    """Files that cannot be written: the disk is full, or the folder may not be written to."""

    code = "output"


class MissingInformation(InputError):
    """A required value is missing and never guessed; `key` is the name under which the user can give it."""

    code = "missing"


class UnitMismatch(InputError):
    """A CT whose values do not fit the given unit.

    Parameters
    ----------
    unit
        The likely one.
    """

    code = "unit"

    def __init__(self, message: str, unit: str = "") -> None:
        super().__init__(message)
        self.unit = unit


@contextmanager
def naming(where: object) -> Iterator[None]:
    """Put what an InputError of the block is about before its sentence, with a colon."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}", error.key, error.code) from None


class Cancelled(Exception):
    """The caller's progress callback requested a stop."""


#: Is told the share that is done, and the stage.
Show = Callable[[float, str], object]


def unseen(*_progress: object) -> None:
    """Show no progress."""


def go_on(answer: object) -> None:
    """Raise `Cancelled` where a progress callback returned False, Python's or NumPy's."""
    if answer is False or (str(getattr(answer, "dtype", "")) == "bool" and not answer):
        raise Cancelled


def part_of(
    progress: Callable[[Any], object], first: float, last: float
) -> Callable[[Any], object]:
    """Return a report of work that takes the progress bar from one share to another."""
    return lambda now: progress(replace(now, fraction=first + (last - first) * now.fraction))


_collected: ContextVar[list[str] | None] = ContextVar("collected warnings", default=None)


def warn(sentence: str) -> None:
    """Warn the user of something that is no error.

    a UserWarning, or an entry of the list that `collect_warnings` keeps.
    """
    collected = _collected.get()
    if collected is None:
        warnings.warn(sentence, stacklevel=3)
    elif sentence not in collected:
        collected.append(sentence)


@contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Collect the warnings of this library in this thread, none twice.

    `warnings.catch_warnings` would mix up those of all threads.
    """
    collected: list[str] = []
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)


def install_command(extra: str) -> str:
    """Return the command that installs the packages of an extra, for the way in which this program was installed.

    Parameters
    ----------
    extra
        Name in pyproject.toml, such as "torch".
    """
    if _is_slicer() and extra in SLICER_PACKAGES:
        return f'slicer.util.pip_install("{SLICER_PACKAGES[extra]}") in Slicer\'s Python console'
    try:
        required = distribution(DISTRIBUTION).requires or []
    except PackageNotFoundError:
        return f'{_pip()} install -e "{Path(__file__).resolve().parents[2]}[{extra}]"'
    # Its packages, not its own name: nothing is released by that, and anybody may take it.
    marked = (each.replace("'", '"').partition(";") for each in required)
    names = [f'"{name.strip()}"' for name, _, when in marked if f'extra == "{extra}"' in when]
    return f"{_pip()} install {' '.join(names)}"


def _is_slicer() -> bool:
    """Return whether this is Slicer or PythonSlicer, which set SLICER_HOME.

    A virtual environment in a terminal that one of them opened is neither.
    """
    return "SLICER_HOME" in os.environ and sys.prefix == sys.base_prefix


def _pip() -> str:
    """Return pip of this Python, by its short name where that is the one which a shell finds."""
    here = Path(sys.executable)
    found = shutil.which("pip")
    if found and Path(found).parent == here.parent:
        return "pip"
    return f'"{here}" -m pip' if " " in str(here) else f"{here} -m pip"


T = TypeVar("T")
