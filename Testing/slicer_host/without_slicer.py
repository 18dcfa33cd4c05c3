"""The host on Slicer's stand-in."""

from __future__ import annotations

import builtins
import gc
import importlib.util
import re
import sys
from pathlib import Path

import slicer
from helpers.segment_editor import SegmentEditorModule
from PySide6 import QtCore, QtTest

from .application import qSlicerMainWindow, qSlicerScriptedLoadableModule
from .host import Host

#: What Slicer's Python has beside its standard library, as far as the product may import it
#: (SuperBuild/External_python-*.cmake), and what only extensions or the packaged files bring.
SLICERS = {
    *(
        "numpy",
        "scipy",
        "SimpleITK",
        "pydicom",
        "highdicom",
        "PIL",
        "requests",
        "typing_extensions",
    ),
    *("vtk", "vtkmodules", "slicer", "qt", "ctk", "SampleData", "PyTorchUtils", "torch"),
    *("TotalSegmentator", "MultiViewRegistration", "MultiViewRegistrationLib"),
}
RESOURCES = Path(__file__).resolve().parents[2] / "MultiViewRegistration" / "Resources"
#: Modules of packages that are called otherwise.
MODULES = {"PyYAML": "yaml"}


def importable() -> set[str]:
    """Once a person has agreed to all that the module asks for."""
    asked = "".join(path.read_text() for path in RESOURCES.glob("requirements*.txt"))
    names = re.findall(r"^[\w-]+", asked, re.MULTILINE)
    return {*SLICERS, *sys.stdlib_module_names, *(MODULES.get(name, name) for name in names)}


class WithoutSlicer(Host):
    """Made anew, it has no modules, and product code imports what Slicer's Python has."""

    #: Whether the last one has left its scene empty.
    _left_empty = False

    def __init__(self) -> None:
        vars(slicer.modules).clear()
        slicer.modules.sampleDataSources, slicer.selfTests = {}, {}
        slicer.modules.segmenteditor = SegmentEditorModule()
        self._scene_before = slicer.mrmlScene
        slicer.mrmlScene = slicer.app._core.scene
        self._window = qSlicerMainWindow()
        super().__init__()
        if not WithoutSlicer._left_empty:
            self._empty_scene()
        WithoutSlicer._left_empty = False
        self._loaded: list[str] = []
        self._import, self._importable = builtins.__import__, importable()
        self._patch.setattr(builtins, "__import__", self._import_as_in_slicer)

    def _import_as_in_slicer(self, name, globals=None, locals=None, fromlist=(), level=0):
        ours = str((globals or {}).get("__name__")).startswith("MultiViewRegistration")
        if ours and not level and name.partition(".")[0] not in self._importable:
            raise ModuleNotFoundError(f"No module named {name!r} in Slicer's Python", name=name)
        return self._import(name, globals, locals, fromlist, level)

    def _empty_scene(self) -> None:
        """Only what Slicer itself keeps in a scene stays: colours, the selection, views."""
        self.scene.Clear(False)
        for kind in ("vtkMRMLScriptedModuleNode", "vtkMRMLLayoutNode"):
            for node in slicer.util.getNodesByClass(kind, self.scene):
                self.scene.RemoveNode(node)

    def load_module(self, path: str | Path):
        """Each .py of the folder is taken for a module."""
        path = Path(path).resolve()
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        modules = {each.stem: self._instantiate(each) for each in sorted(path.parent.glob("*.py"))}
        self.app.startupCompleted.emit()
        self.app.disconnect("startupCompleted()")
        return modules[path.stem]

    def _instantiate(self, path: Path):
        """qSlicerScriptedLoadableModule::setPythonSource."""
        name = path.stem
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if not hasattr(module, name):
            raise RuntimeError(
                "Failed to load scripted loadable module: "
                f"class {name} was not found in file {path}"
            )
        registered = qSlicerScriptedLoadableModule(name, path)
        setattr(slicer.modules, name.lower(), registered)
        setattr(slicer.modules, f"{name}Instance", getattr(module, name)(registered))
        self._loaded.append(name)
        return module

    def open_module(self, name: str = "MultiViewRegistration", width: int = 520):
        parent = getattr(slicer.modules, name.lower()).widgetRepresentation()
        parent.resize(width, max(parent.sizeHint.height(), 100))
        parent.show()
        slicer.util.selectModule(name)
        self.process()
        return parent.self()

    def key(self, widget, key, modifiers=None) -> None:
        QtTest.QTest.keyClick(widget, key, modifiers or QtCore.Qt.NoModifier)
        self.process()

    def close(self) -> None:
        """Unload the modules, as Slicer does at its end, and clear the scene."""
        try:
            for name in self._loaded:
                self._unload(getattr(slicer.modules, name.lower()))
            self._empty_scene()
            self.process()
            WithoutSlicer._left_empty = True
        finally:
            super().close()
            self._window.delete()
            slicer.mrmlScene = self._scene_before
            gc.collect()  # else a thread does, with a lock of Qt's for which this one waits for ever

    def _unload(self, module) -> None:
        panel = module._widget
        if panel is not None and panel.isEntered:
            panel.exit()
        self.app.moduleManager().moduleAboutToBeUnloaded.emit(module.name)
        if panel is not None:
            panel.hide()
            panel.deleteLater()
