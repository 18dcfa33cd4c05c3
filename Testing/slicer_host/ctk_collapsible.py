"""Stand-ins for CTK's widgets that fold."""

from __future__ import annotations

from PySide6 import QtCore, QtWidgets

from .stand_in import stand_in, stored

Qt, Event = QtCore.Qt, QtCore.QEvent


class _Folding:
    """Hides the children of what is folded.

    Unfolded, it shows all but those that code hid, before or meanwhile.

    As in CTK a child's property visibilityToParent says what code wants, and nothing is done before
    the widget is shown.
    """

    _folded = _forcing = _created = False
    collapsed = QtCore.Property(
        bool, lambda self: self._folded, lambda self, collapsed: self.setChecked(not collapsed)
    )

    def _fold(self, folded: bool) -> None:
        self._folded = folded
        self._settle_all()
        self.updateGeometry()

    def _settle_all(self) -> None:
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                self._settle(child)

    def _settle(self, child) -> None:
        if not self.testAttribute(Qt.WA_WState_Created):
            return
        self._forcing, hidden_by_code = True, child.property("visibilityToParent") is False
        visible = not self._folded and not hidden_by_code
        if child.testAttribute(Qt.WA_WState_Created) or not visible:
            child.setVisible(visible)
        if not hidden_by_code:
            child.setAttribute(
                Qt.WA_WState_ExplicitShowHide, False
            )  # so that Qt hears when code hides it
        self._forcing = False

    def setVisible(self, visible: bool) -> None:
        self._forcing = True
        super().setVisible(visible)
        self._forcing = False
        if not self._created and self.testAttribute(Qt.WA_WState_Created):
            self._created = True
            self._settle_all()

    def childEvent(self, event):
        child = event.child()
        if isinstance(child, QtWidgets.QWidget):
            if event.type() == Event.ChildAdded:
                if child.testAttribute(Qt.WA_WState_ExplicitShowHide) and child.testAttribute(
                    Qt.WA_WState_Hidden
                ):
                    child.setProperty("visibilityToParent", False)
                child.installEventFilter(self)
            elif event.type() == Event.ChildPolished:
                self._settle(child)

    def eventFilter(self, child, event):
        if not self._forcing and event.type() in (Event.ShowToParent, Event.HideToParent):
            child.setProperty("visibilityToParent", event.type() == Event.ShowToParent)
            if event.type() == Event.ShowToParent:
                self._settle(child)
        return False


@stand_in
class ctkCollapsibleButton(_Folding, QtWidgets.QAbstractButton):
    """A bar with an arrow and a text.

    Its children lie below and are hidden while it is collapsed.
    """

    contentsCollapsed = QtCore.Signal(bool)
    collapsedHeight = stored(int, 14)

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Preferred)
        self.setContentsMargins(0, self._bar_height(), 0, 0)
        self.toggled.connect(self._on_toggled)

    def _on_toggled(self, checked: bool) -> None:
        self._fold(not checked)
        self.contentsCollapsed.emit(not checked)

    def _bar_height(self) -> int:
        return max(self.fontMetrics().height() + 8, 24)

    def _height(self, size) -> int:
        return self._bar_height() if self._folded or self.layout() is None else size.height()

    def sizeHint(self):
        size = QtWidgets.QWidget.sizeHint(self)
        width = max(size.width(), self.fontMetrics().horizontalAdvance(self.text) + 40)
        return QtCore.QSize(width, self._height(size))

    def minimumSizeHint(self):
        size = QtWidgets.QWidget.minimumSizeHint(self)
        return QtCore.QSize(size.width(), self._height(size))

    def paintEvent(self, event):
        """Nobody looks at it."""

    def hitButton(self, position) -> bool:
        return 0 <= position.y() < self._bar_height()


@stand_in
class ctkCollapsibleGroupBox(_Folding, QtWidgets.QGroupBox):
    """A group box whose title's check mark folds it."""

    collapsedHeight = stored(int, 14)

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(lambda checked: self._fold(not checked))

    def _folded_of(self, size):
        height = self.fontMetrics().height() + self.collapsedHeight
        return QtCore.QSize(size.width(), height) if self._folded else size

    def sizeHint(self):
        return self._folded_of(QtWidgets.QGroupBox.sizeHint(self))

    def minimumSizeHint(self):
        return self._folded_of(QtWidgets.QGroupBox.minimumSizeHint(self))
