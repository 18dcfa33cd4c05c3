"""The module `qt`: all of Qt's names in one place, as PythonQt has them."""

from __future__ import annotations

import types

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from .dialogs import record

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


def make_qt() -> types.ModuleType:
    qt = types.ModuleType("qt", "Qt as PythonQt shows it")
    for module in (QtCore, QtGui, QtWidgets, QtUiTools):
        for name in dir(module):
            if not name.startswith("_") and name not in _NOT_QT:
                setattr(qt, name, getattr(module, name))
    qt.Qt = QtCore.Qt  # QtGui has a smaller one
    qt.QDesktopServices = type("QDesktopServices", (QtGui.QDesktopServices,), {"openUrl": staticmethod(_open_url)})
    return qt


def _open_url(url) -> bool:
    record("url", url.toString() if isinstance(url, QtCore.QUrl) else url)
    return True
