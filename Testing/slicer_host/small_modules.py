"""`slicer.i18n`, `slicer.packaging` and `slicer.modules.plots`."""

from __future__ import annotations

import types
from pathlib import Path

from .dialogs import answers, record


def make_i18n() -> types.ModuleType:
    module = types.ModuleType("slicer.i18n")
    module.tr = lambda text: text
    module.translate = lambda context, text: text
    module.getContext = lambda path: Path(path).stem
    return module


def make_packaging() -> types.ModuleType:
    """Slicer 5.11 and later have it; nothing is installed here."""
    module = types.ModuleType("slicer.packaging")

    def load_requirements(path):
        lines = (line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
        return [line for line in lines if line and not line.startswith(("#", "-"))]

    def pip_ensure(
        requirements,
        constraints=None,
        skip_packages=None,
        prompt_install=True,
        prompt_restart=True,
        requester=None,
        skip_in_testing=True,
        show_progress=True,
    ):
        record("pip", _words(requirements), requester or "")
        if prompt_install and not answers.yes:
            raise RuntimeError("User declined package installation")

    def pip_check(requirement):
        return False

    module.load_requirements, module.pip_ensure, module.pip_check = load_requirements, pip_ensure, pip_check
    return module


def make_plots(core) -> types.SimpleNamespace:
    """Slicer's Plots module, of which slicer-core has the logic."""
    import slicer

    logic = slicer.vtkSlicerPlotsLogic()
    logic.SetMRMLApplicationLogic(core.app_logic)
    logic.SetMRMLScene(core.scene)
    return types.SimpleNamespace(logic=lambda: logic)


def pip_install(requirements, **unused) -> None:
    record("pip", _words(requirements))


def _words(requirements) -> str:
    return requirements if isinstance(requirements, str) else " ".join(map(str, requirements))
