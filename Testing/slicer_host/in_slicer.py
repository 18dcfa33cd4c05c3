"""The host in Slicer's own application, which goes on from test to test."""

from __future__ import annotations

import sys
from pathlib import Path

import qt
import slicer

from .host import Host

#: Where Slicer is between two tests, and the size of its window.
ELSEWHERE, WINDOW = "Transforms", (1580, 960)


class InSlicer(Host):
    """Made anew, it has an empty scene, Slicer's own layout, and no module of ours is open."""

    def __init__(self) -> None:
        super().__init__()
        slicer.util.mainWindow().resize(*WINDOW)
        slicer.util.setDataProbeVisible(False)  # the panel has its room
        self._empty()

    def _empty(self) -> None:
        slicer.util.selectModule(ELSEWHERE)
        self.process()  # each is drawn before the next, as where a person does it
        self.scene.Clear(False)
        self.process()
        self.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self.process()

    def load_module(self, path: str | Path):
        """A Widget and a Logic that are new; Slicer keeps a module that it has loaded."""
        path = Path(path)
        if not hasattr(slicer.modules, path.stem.lower()):
            factory = self.app.moduleManager().factoryManager()
            factory.registerModule(qt.QFileInfo(str(path)))
            factory.loadModules([path.stem])
        else:
            slicer.util.reloadScriptedModule(path.stem)
        return sys.modules[path.stem]

    def open_module(self, name: str = "MultiViewRegistration", width: int = 520):
        slicer.util.selectModule(name)
        self.process()
        return getattr(slicer.modules, f"{name}Widget")

    def key(self, widget, key, modifiers=None) -> None:
        """By Qt's rule: a key that is sent, not typed, reaches no shortcut."""
        own_key = qt.QKeyEvent(qt.QEvent.ShortcutOverride, key, modifiers or qt.Qt.NoModifier)
        own_key.ignore()
        self.send(widget, own_key)
        if own_key.isAccepted():  # as a text field does with its own Undo
            self._press_key(widget, key, modifiers)
            return
        keys = qt.QKeySequence(int(key) | int(modifiers or qt.Qt.NoModifier)).toString()
        windows = {slicer.util.mainWindow(), widget.window()}
        offered = [each for window in windows for each in window.findChildren(qt.QShortcut)]
        offered += slicer.util.mainWindow().findChildren(qt.QAction)
        found = []
        for each in offered:
            own = each.key if hasattr(each, "key") else each.shortcut
            if each.enabled and own.toString() == keys and self._reaches(each, widget):
                found.append(each)
        for each in found:
            if not hasattr(each, "key"):
                each.trigger()
            elif len(found) == 1:
                each.activated()
            else:
                each.activatedAmbiguously()
                break
        if not found:
            self._press_key(widget, key, modifiers)
        self.process()

    def _press_key(self, widget, key, modifiers) -> None:
        for kind in (qt.QEvent.KeyPress, qt.QEvent.KeyRelease):
            self.send(widget, qt.QKeyEvent(kind, key, modifiers or qt.Qt.NoModifier))

    @staticmethod
    def _reaches(shortcut, widget) -> bool:
        context = shortcut.context if hasattr(shortcut, "key") else shortcut.shortcutContext
        around = shortcut.parent()
        if hasattr(shortcut, "key") and not (around.visible and around.enabled):
            return False  # of a panel that was reloaded
        if context == qt.Qt.ApplicationShortcut:
            return True
        if context == qt.Qt.WindowShortcut:
            return around.window() == widget.window()
        return around == widget or (
            context == qt.Qt.WidgetWithChildrenShortcut and around.isAncestorOf(widget)
        )

    def close(self) -> None:
        try:
            self._empty()
        finally:
            super().close()
