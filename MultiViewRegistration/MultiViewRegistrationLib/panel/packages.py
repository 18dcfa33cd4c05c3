"""Python packages that do not come with Slicer.

Installed once they are needed, and only if the user agrees.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from subprocess import CalledProcessError
from typing import TextIO

import numpy as np
import slicer

from ..errors import InputError
from ..translation import _

TORCH_VERSION = ">=2"
REQUESTER = _("Multi-view 2D/3D Registration")
#: What needs the packages of a file.
NEEDED_BY = {
    "requirements.txt": _("Rendering"),
    "requirements_hdf5.txt": _("Reading an HDF5 file"),
    "requirements_navigation.txt": _("OpenIGTLink"),
    "requirements_yaml.txt": _("Reading a YAML file"),
    "requirements_regressor.txt": _("A regressor"),
}
#: Its file, by what a control needs.
REQUIREMENTS = {
    "rendering": "requirements.txt",
    "navigation": "requirements_navigation.txt",
    "network": "requirements_regressor.txt",
}
#: What pip prints where it does not reach the package index.
OFFLINE = re.compile(
    "connection broken|Could not fetch URL|ProxyError|SSLError|ConnectTimeout|ReadTimeout"
)


def missing_message(requirements: str) -> str:
    """Return a sentence on the missing packages and their use; "" where all are installed.

    Parameters
    ----------
    requirements
        Path of a file of NEEDED_BY.
    """
    missing = _missing(requirements)
    by = NEEDED_BY[Path(requirements).name]
    if not missing:
        return ""
    if len(missing) == 1:
        return _("{by} needs the Python package {name}, which does not come with Slicer.").format(
            by=by, name=missing[0]
        )
    return _("{by} needs the Python packages {names}, which do not come with Slicer.").format(
        by=by, names=" and ".join(missing)
    )


def ensure(requirements: str) -> None:
    """Have the packages of a file installed, which then work at once.

    Parameters
    ----------
    requirements
        See `missing_message`.

    Raises
    ------
    InputError
        Where the user declines, or they cannot be installed.
    """
    names = ", ".join(_missing(requirements))
    if not names:
        return
    question = _("{missing_message}\n\nInstall into Slicer's Python now?").format(
        missing_message=missing_message(requirements)
    )
    if not slicer.util.confirmOkCancelDisplay(question, REQUESTER):
        message = _(
            "Packages: {names} is not installed, expected your consent to install it; press the "
            "button once more, and agree."
        )
        raise InputError(message, names=names)
    why = _install(requirements)
    importlib.invalidate_caches()
    if why or _missing(requirements):
        message = _("Packages: {names} could not be installed: {why}.")
        raise InputError(
            message, names=names, why=why or _("Python does not find it; restart Slicer")
        )
    if version("numpy") != np.__version__:
        raise InputError(
            _(
                "Packages: {names} needs another numpy than the one at work, and both are "
                "installed now; save the scene, and restart Slicer."
            ),
            names=names,
        )


def ensure_all(needs: Iterable[str], resource_path: Callable[[str], str]) -> None:
    """Have what an action needs installed, see `presenters.form.Control`.

    Parameters
    ----------
    resource_path
        See `Panel`.

    Raises
    ------
    InputError
        As the others.
    """
    for need in needs:
        ensure(resource_path(REQUIREMENTS[need]))
        if need == "network":
            ensure_torch()


def ensure_for_files(paths: Iterable[Path], resource_path: Callable[[str], str]) -> None:
    """Have what reading these files needs installed.

    Raises
    ------
    InputError
        As the others.
    """
    for requirements in filter(None, map(_requirements_of, paths)):
        ensure(resource_path(requirements))


def ensure_torch() -> None:
    """Have PyTorch installed by its extension.

    Raises
    ------
    InputError
        Where that is missing, the user declines, or it cannot be installed.
    """
    if find_spec("torch") is not None:
        return
    try:
        import PyTorchUtils
    except ModuleNotFoundError:
        raise InputError(
            _(
                "PyTorch: Slicer's extension PyTorch is not installed, but it is what installs "
                "torch; install it with the Extensions Manager, and restart Slicer."
            )
        ) from None
    if (
        PyTorchUtils.PyTorchUtilsLogic().installTorch(
            askConfirmation=True, torchVersionRequirement=TORCH_VERSION
        )
        is None
    ):
        raise InputError(
            _(
                "PyTorch: torch is not installed, expected your consent to install it; press the "
                "button once more, and agree, or choose another start."
            )
        )


def _missing(requirements: str) -> list[str]:
    needed = re.findall(r"^[\w.-]+", Path(requirements).read_text(encoding="utf-8"), re.MULTILINE)
    return [name for name in needed if find_spec(name) is None]


def _install(requirements: str) -> str:
    """Install packages after the user agreed.

    Returns
    -------
    str
        Why that failed, in a few words.
    """
    printed = _Printed(sys.stdout)
    try:
        from slicer.packaging import load_requirements, pip_ensure

        with redirect_stdout(printed):
            pip_ensure(load_requirements(requirements), requester=REQUESTER, prompt_install=False)
    except CalledProcessError:
        return _why("".join(printed.text))
    except (
        RuntimeError,
        OSError,
    ) as error:  # PythonSlicer is missing, or another installation is under way
        return str(error).rstrip(".")
    return ""


def _why(printed: str) -> str:
    """Return why pip failed, by what it printed."""
    if OFFLINE.search(printed):
        return _("the package index cannot be reached; check the network, or the proxy")
    errors = re.findall(r"^ERROR: (.+?)\.?$", printed, re.MULTILINE)
    return errors[-1] if errors else _("pip failed; the Python console has its output")


class _Printed:
    """The printed lines, kept and passed on."""

    def __init__(self, to: TextIO) -> None:
        self._to = to
        self.text: list[str] = []

    def write(self, text: str) -> int:
        self.text.append(text)
        self._to.write(text)
        return len(text)

    def flush(self) -> None:
        self._to.flush()


def _requirements_of(path: Path) -> str | None:
    """Return the file of Resources that lists the packages without which a calibration cannot be read; None where it needs none."""
    from ..io.hdf5 import is_hdf5

    if str(path).lower().endswith((".yml", ".yaml")):
        return "requirements_yaml.txt"
    try:
        return "requirements_hdf5.txt" if is_hdf5(path) else None
    except OSError:  # reported where it is read
        return None
