"""What people are told: errors that they can mend, warnings that a caller can collect, and reasons for a verdict.

The end of cancelled work, and what installs a missing package. A reason is a sentence with a code
that programs may rely on. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

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

#: What is said of a pose.
Verdict = Literal["accept", "check", "reject"]
#: What is said of a bone's pose: "not shown" where no X-ray can tell.
BoneVerdict = Literal["accept", "check", "reject", "not shown"]
#: Uses of a pose, each with its own error and verdict: the overlay of the CT on these X-rays, the
#: pose of bones relative to each other, and the 3D position, for navigation.
Use = Literal["overlay", "relative", "position"]
#: The verdicts, the least doubtful first; None where nobody gave one.
DOUBT = ("accept", "check", None, "not shown", "reject")
#: Poses with these are not to be used.
UNUSABLE = ("reject", "not shown")


class Reason(str):
    """A sentence with its code.

    Attributes
    ----------
    code
        One of those in result.schema.json. "" of a sentence that a file had without one.
    headline
        What a person should know first of it, without a full stop.
    """

    code: str
    headline: str

    def __new__(cls, code: str, sentence: str, headline: str = "") -> Reason:
        """Make a reason of a code and a sentence, in which a line end stands behind the headline."""
        first, _, rest = sentence.partition("\n")
        reason = super().__new__(cls, first + rest)
        reason.code = code
        reason.headline = headline or first.removesuffix(".")
        return reason

    # Copies, and what goes to another process, keep the code.
    def __getnewargs__(self) -> tuple[str, str, str]:  # type: ignore[override]
        return self.code, str(self), self.headline


def code_of(reason: str) -> str:
    """Return the code of a reason; "" of a sentence that has none."""
    return reason.code if isinstance(reason, Reason) else ""


def bones_apart(reasons: Sequence[str]) -> bool:
    """Return whether bones lie elsewhere than the CT in one piece has them: the answer is that of each bone then."""
    return "bone-displaced" in map(code_of, reasons)


#: Where a result.json has the sentences, codes and headlines of reasons.
KEYS = ("reasons", "reason_codes", "reason_headlines")


def with_codes(reasons: Sequence[str]) -> dict[str, list[str]]:
    """Return reasons as a result.json has them, by KEYS."""
    headlines = [getattr(reason, "headline", "") for reason in reasons]
    return dict(zip(KEYS, ([*map(str, reasons)], [*map(code_of, reasons)], headlines)))


def from_codes(content: Mapping[str, Any]) -> list[Reason]:
    """Return the reasons that `with_codes` has taken apart."""
    sentences, codes, headlines = (map(str, content.get(key, ())) for key in KEYS)
    return [Reason(*row) for row in zip_longest(codes, sentences, headlines, fillvalue="")]


#: Fields of what was judged: its only verdict, or that of each use.
VERDICTS = {"verdict", *get_args(Use)}


def doubted(judged: T, reasons: Sequence[Reason]) -> T:
    """Return what was judged, any record with VERDICTS and `reasons`, at best "check" for these reasons.

    Those that it has not come first; without any it stays as it is.
    """
    if not reasons:
        return judged
    record: Any = judged
    told = vars(record)
    missing = [reason for reason in reasons if reason not in told["reasons"]]
    doubt = _at_best_check(told)
    doubt["reasons"] = [*missing, *told["reasons"]]
    if uses := told.get("uses"):
        doubt["uses"] = {of: replace(own, **_at_best_check(vars(own))) for of, own in uses.items()}
    return replace(record, **doubt)


def _at_best_check(told: Mapping[str, Any]) -> dict[str, Any]:
    return {of: "check" for of in VERDICTS & told.keys() if told[of] == "accept"}
