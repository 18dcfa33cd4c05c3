"""How this program was installed, and so what to type where an optional package is missing. Standard library only."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

DISTRIBUTION = "multiview-registration"
#: Packages of the extras that the extension can use: Slicer's Python knows no extras of it.
SLICER_PACKAGES = {
    "gpu": "torch warp-lang",
    "hdf5": "h5py",
    "navigation": "pyigtl",
    "torch": "safetensors torch",
}


def install_command(extra: str) -> str:
    """The command that installs the packages of an extra, for the way in which this program was installed.

    Parameters
    ----------
    extra : name in pyproject.toml, such as "torch".
    """
    if _is_slicer() and extra in SLICER_PACKAGES:
        return f'slicer.util.pip_install("{SLICER_PACKAGES[extra]}") in Slicer\'s Python console'
    try:
        distribution(DISTRIBUTION)  # then pip looks for this name nowhere else, in a copy of the source neither
    except PackageNotFoundError:
        return f'{_pip()} install -e "{Path(__file__).resolve().parents[2]}[{extra}]"'
    return f'{_pip()} install "{DISTRIBUTION}[{extra}]"'


def _is_slicer() -> bool:
    """Whether this is Slicer or PythonSlicer, which set SLICER_HOME, and no virtual environment in a terminal that one of them opened."""
    return "SLICER_HOME" in os.environ and sys.prefix == sys.base_prefix


def _pip() -> str:
    """pip of this Python, by its short name where that is the one which a shell finds."""
    here, found = Path(sys.executable), shutil.which("pip")
    if found and Path(found).parent == here.parent:
        return "pip"
    return f'"{here}" -m pip' if " " in str(here) else f"{here} -m pip"
