"""Files dragged onto a widget."""

from __future__ import annotations

import warnings


def drop(widget, *paths) -> None:
    """Drag files onto a widget and drop them there, as Qt tells it; they must be accepted."""
    from PySide6 import QtCore, QtGui, QtWidgets

    mime = QtCore.QMimeData()
    mime.setUrls([QtCore.QUrl.fromLocalFile(str(path)) for path in paths])
    rest = QtCore.Qt.CopyAction, mime, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        events = QtGui.QDragEnterEvent(QtCore.QPoint(5, 5), *rest), QtGui.QDropEvent(QtCore.QPointF(5, 5), *rest)
    for event in events:
        event.ignore()
        QtWidgets.QApplication.sendEvent(widget, event)
        assert event.isAccepted()
