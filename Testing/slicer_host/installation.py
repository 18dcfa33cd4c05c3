"""Everything that a module of Slicer imports becomes importable, on slicer-core's real MRML scene."""

from __future__ import annotations

import ctypes
import os
import sys
import types
from importlib import import_module

_done: list = []


def install(app=None):
    """Make `slicer`, `qt`, `ctk` and the rest importable as in Slicer; returns the application (`slicer.app`).

    app: a trame_slicer.core.SlicerApp whose scene is to be Slicer's; by default one is made. Done once per process.
    """
    if _done:
        return _done[0]
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    _hold_constants()
    import slicer
    import slicer.util
    from PySide6 import QtCore

    from . import dialogs, pythonqt, qt_module, small_modules

    if app is None:
        from trame_slicer.core import SlicerApp

        app = SlicerApp()
    slicer.mrmlScene = app.scene
    slicer.modules = types.SimpleNamespace(sampleDataSources={})
    pythonqt.see_as_pythonqt()
    QtCore.qInstallMessageHandler(_say)
    dialogs.make_dialogs_answer()
    qt = sys.modules["qt"] = qt_module.make_qt()

    ctk = sys.modules["ctk"] = types.ModuleType("ctk", "CTK's widgets: stand-ins")
    for name in (
        "ctk_collapsible",
        "ctk_numbers",
        "ctk_paths",
        "ctk_choices",
        "mrml_widgets",
        "node_selector",
        "checkable_node_selector",
        "segment_widgets",
        "view_widgets",
        "layout_manager",
    ):
        import_module(f".{name}", __package__)
    from .application import qSlicerApplication, select_module
    from .load_ui import UiLoader
    from .stand_in import stand_ins

    for name, cls in stand_ins.items():
        setattr(ctk if name.startswith("ctk") else slicer, name, cls)
    qt.QUiLoader = UiLoader
    slicer.app = qSlicerApplication(app)

    # slicer-core has Slicer's slicer.util, which is used as it is, and nothing else of Slicer's Python.
    _offer(slicer, "i18n", small_modules.make_i18n())
    _offer(slicer, "packaging", small_modules.make_packaging())
    sys.modules["SampleData"] = import_module("sample_data_module")
    _offer(slicer, "ScriptedLoadableModule", import_module(".scripted_module", __package__))
    _offer(slicer, "parameterNodeWrapper", import_module(".parameter_node", __package__))
    slicer.util.pip_install = small_modules.pip_install
    slicer.util.selectModule = select_module
    slicer.selfTests = {}
    _done.append(slicer.app)
    return slicer.app


def _hold_constants() -> None:
    """PySide6 6.12 gives back a reference to None with each call that returns nothing, and one to True with each signal that a slot emits,
    and has never taken one. Before Python 3.12, which does not count them, the process ends once all are gone, after minutes of tests."""
    if sys.version_info < (3, 12):
        for constant in (None, True, False):
            ctypes.c_ssize_t.from_address(id(constant)).value += 1 << 40


def _say(kind, context, text: str) -> None:
    """Qt's own messages, but for what every offscreen window says."""
    if "propagateSizeHints" not in text:
        print(f"Qt: {text}", file=sys.stderr)


def _offer(package, name: str, module: types.ModuleType) -> None:
    setattr(package, name, module)
    sys.modules[f"{package.__name__}.{name}"] = module
