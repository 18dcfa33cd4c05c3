"""Python packages that do not come with Slicer: installed once they are needed, and only if the user agrees."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from subprocess import CalledProcessError

import slicer
from slicer.i18n import tr as _

from ..errors import InputError

TORCH = ">=2"


def ensure(requirements: str) -> None:
    """Have what a registration needs installed.

    requirements: path of requirements.txt.

    InputError where the user declines, or it cannot be installed.
    """
    needed = re.findall(r"^[\w.-]+", Path(requirements).read_text(encoding="utf-8"), re.MULTILINE)
    missing = [name for name in needed if find_spec(name) is None]
    if not missing:
        return
    names = ", ".join(missing)
    try:
        agreed = _install(requirements, names)
    except CalledProcessError as error:
        message = _("Packages: {names} could not be installed (pip ended with status {status}), expected a way to the package index; "
                    "check the network. The Python console has the details.")
        raise InputError(message.format(names=names, status=error.returncode)) from None
    if not agreed:
        message = _("Packages: {names} is not installed, expected your consent to install it; press the button once more, and agree.")
        raise InputError(message.format(names=names))


def ensure_for_regressor(resource_path: Callable[[str], str]) -> None:
    """Have what a regressor needs installed, to train and to ask it.   resource_path: see `Panel`.   InputError as the others."""
    ensure(resource_path("requirements_regressor.txt"))
    ensure_torch(_("choose another start"))


def has_torch() -> bool:
    """Whether PyTorch is installed."""
    return find_spec("torch") is not None


def ensure_torch(instead: str) -> None:
    """Have PyTorch installed by its extension. InputError where that is missing, the user declines, or it cannot be installed.

    instead: what to do without it, a few words.
    """
    if has_torch():
        return
    try:
        import PyTorchUtils
    except ModuleNotFoundError:
        raise InputError(_("PyTorch: Slicer's extension PyTorch is not installed, but it is what installs torch; install it with the "
                           "Extensions Manager, and restart Slicer.")) from None
    if PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True, torchVersionRequirement=TORCH) is None:
        raise InputError(_("PyTorch: torch is not installed, expected your consent to install it; press the button once more, and agree, "
                           "or {instead}.").format(instead=instead))


def _install(requirements: str, names: str) -> bool:
    """Ask, and install; False where the user declines. The one place that knows Slicer before 5.11."""
    requester = _("Multi-view 2D/3D Registration")
    try:
        from slicer.packaging import load_requirements, pip_ensure
    except ImportError:
        question = _("{requester} needs Python packages that do not come with Slicer: {names}.\n\nThis will modify Slicer's Python "
                     "environment. Continue?").format(requester=requester, names=names)
        if not slicer.util.confirmOkCancelDisplay(question, requester):
            return False
        slicer.util.pip_install(["-r", requirements])
        return True
    try:
        pip_ensure(load_requirements(requirements), requester=requester)
    except RuntimeError:  # declined
        return False
    return True
