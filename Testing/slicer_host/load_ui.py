"""A .ui file becomes widgets, those of CTK and Slicer being the stand-ins."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from PySide6 import QtCore, QtUiTools

from .signals import connect
from .stand_in import stand_ins


class UiLoader(QtUiTools.QUiLoader):
    """Qt's loader, which cannot make classes written in Python, nor connect them.

    Both are done here.
    """

    def __init__(self, parent=None):
        super().__init__(parent)
        self._keep: list = []

    def createWidget(self, class_name, parent=None, name=""):
        if class_name not in stand_ins:
            if class_name.startswith(("ctk", "q")):
                raise NotImplementedError(
                    f"no stand-in for {class_name} of widget {name!r}: write one in "
                    "Testing/slicer_host"
                )
            return super().createWidget(class_name, parent, name)
        widget = stand_ins[class_name](parent)
        widget.setObjectName(name)
        self._keep.append(widget)
        return widget

    def load(self, source, parent=None):
        path = source.fileName() if isinstance(source, QtCore.QFile) else str(source)
        root = ET.parse(path).getroot()
        connections = root.find("connections")
        pairs = (
            []
            if connections is None
            else [
                tuple(c.findtext(tag) for tag in ("sender", "signal", "receiver", "slot"))
                for c in connections
            ]
        )
        if connections is not None:
            root.remove(connections)
        buffer = QtCore.QBuffer()
        buffer.setData(ET.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        top = super().load(buffer, parent)
        if top is None:
            raise RuntimeError(f"{path}: {self.errorString()}")
        for sender, signal, receiver, slot in pairs:
            connect(_named(top, sender), signal, _named(top, receiver), slot)
        top._made_by = self  # keeps what was made here
        return top


def _named(top, name: str):
    found = top if top.objectName == name else top.findChild(QtCore.QObject, name)
    if found is None:
        raise ValueError(f"a connection names {name!r}, which is not in the .ui file")
    return found
