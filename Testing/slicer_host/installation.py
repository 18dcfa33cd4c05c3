"""Everything that a module of Slicer imports becomes importable, on slicer-core's real MRML scene."""

from __future__ import annotations

import ctypes
import os
import sys
import types
from importlib import import_module
from pathlib import Path

#: What belongs to PySide6 and not to Qt.
_NOT_QT = {
    "Signal",
    "Slot",
    "Property",
    "ClassInfo",
    "SignalInstance",
    "MetaSignal",
    "MetaFunction",
    "QEnum",
    "QFlag",
    "Object",
}


def install() -> None:
    """Make `slicer`, `qt`, `ctk` and the rest importable as in Slicer; once per process."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    _hold_constants()
    import slicer
    import slicer.util
    from PySide6 import QtCore
    from trame_slicer.core import SlicerApp

    core = SlicerApp()
    slicer.mrmlScene = core.scene
    slicer.modules = types.SimpleNamespace(sampleDataSources={})
    from . import pythonqt

    pythonqt.see_as_pythonqt()
    QtCore.qInstallMessageHandler(_say)
    qt = sys.modules["qt"] = _qt()

    ctk = sys.modules["ctk"] = types.ModuleType("ctk", "CTK's widgets: stand-ins")
    for name in ("ctk_collapsible", "mrml_widgets", "node_selector"):
        import_module(f".{name}", __package__)
    from .application import qSlicerApplication, select_module, selected_module
    from .load_ui import UiLoader
    from .stand_in import stand_ins

    for name, cls in stand_ins.items():
        setattr(ctk if name.startswith("ctk") else slicer, name, cls)
    qt.QUiLoader = UiLoader
    slicer.app = qSlicerApplication(core)

    # slicer-core has Slicer's slicer.util, which is used as it is, and nothing else of Slicer's
    # Python.
    i18n = types.SimpleNamespace(
        tr=lambda text: text,
        translate=lambda context, text: text,
        getContext=lambda path: Path(path).stem,
    )
    packaging = types.SimpleNamespace(load_requirements=_load_requirements, pip_ensure=None)
    for name, module in {
        "i18n": i18n,
        "packaging": packaging,
        "ScriptedLoadableModule": import_module(".scripted_module", __package__),
    }.items():
        setattr(slicer, name, module)
        sys.modules[f"slicer.{name}"] = module
    sys.modules["SampleData"] = import_module("helpers.sample_data_module")
    slicer.util.pip_install = None
    slicer.util.saveScene = lambda path: core.io_manager.write_scene(Path(path))
    slicer.util.loadScene = lambda path: core.io_manager.load_scene(Path(path))
    slicer.util.selectModule = select_module
    slicer.util.selectedModule = selected_module
    slicer.selfTests = {}


def _qt() -> types.ModuleType:
    """The module `qt`: all of Qt's names in one place, as PythonQt has them."""
    from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

    qt = types.ModuleType("qt", "Qt as PythonQt shows it")
    for module in (QtCore, QtGui, QtWidgets, QtUiTools):
        for name in dir(module):
            if not name.startswith("_") and name not in _NOT_QT:
                setattr(qt, name, getattr(module, name))
    qt.Qt = QtCore.Qt  # QtGui has a smaller one
    return qt


def _load_requirements(path) -> list[str]:
    lines = (line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def _hold_constants() -> None:
    """PySide6 6.12 gives back a reference to None with each call that returns nothing, and one to True with each signal that a slot emits,
    and has never taken one. Before Python 3.12, which does not count them, the process ends once
    all are gone, after minutes of tests."""
    if sys.version_info < (3, 12):
        for constant in (None, True, False):
            ctypes.c_ssize_t.from_address(id(constant)).value += 1 << 40


def _say(kind, context, text: str) -> None:
    """Qt's own messages, but for what every offscreen window says."""
    if "propagateSizeHints" not in text:
        print(f"Qt: {text}", file=sys.stderr)
