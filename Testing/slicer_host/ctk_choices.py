"""Stand-ins for CTK's combo boxes and message box."""

from __future__ import annotations

from PySide6 import QtCore, QtWidgets

from .stand_in import stand_in, stored

Qt, Signal, Slot, Property = QtCore.Qt, QtCore.Signal, QtCore.Slot, QtCore.Property


@stand_in
class ctkComboBox(QtWidgets.QComboBox):
    """A combo box that shows `defaultText` while nothing is chosen."""

    defaultText = stored(str, "", lambda self, text: self.setPlaceholderText(text))


@stand_in
class ctkCheckableComboBox(QtWidgets.QComboBox):
    """A combo box each of whose items has a check mark."""

    checkedIndexesChanged = Signal()

    def __init__(self, parent=None):
        super().__init__(parent)
        self._checked: list[QtCore.QPersistentModelIndex] = []
        self.model().rowsInserted.connect(self._make_checkable)
        self.model().dataChanged.connect(self._on_data)
        self.activated.connect(self._toggle)

    def _on_data(self, *unused) -> None:
        checked = [
            QtCore.QPersistentModelIndex(index) for index in self._indexes() if self.checkState(index) == Qt.Checked
        ]
        if checked != self._checked:
            self._checked = checked
            self.checkedIndexesChanged.emit()

    def _toggle(self, number: int) -> None:
        index = self.model().index(number, 0)
        self.setCheckState(index, Qt.Unchecked if self.checkState(index) == Qt.Checked else Qt.Checked)

    def paintEvent(self, event):
        option = QtWidgets.QStyleOptionComboBox()
        self.initStyleOption(option)
        names = ", ".join(index.data() for index in self.checkedIndexes())
        option.currentText = "None" if not names else "All" if self.allChecked() else names
        painter = QtWidgets.QStylePainter(self)
        painter.drawComplexControl(QtWidgets.QStyle.CC_ComboBox, option)
        painter.drawControl(QtWidgets.QStyle.CE_ComboBoxLabel, option)

    def _make_checkable(self, parent, first: int, last: int) -> None:
        for number in range(first, last + 1):
            item = self.model().item(number)
            item.setFlags(item.flags() | Qt.ItemIsUserCheckable)
            item.setData(Qt.Unchecked.value, Qt.CheckStateRole)

    def _indexes(self) -> list:
        return [self.model().index(number, 0) for number in range(self.count)]

    def checkState(self, index):
        return Qt.CheckState(index.data(Qt.CheckStateRole) or 0)

    def setCheckState(self, index, state) -> None:
        self.model().setData(index, Qt.CheckState(state).value, Qt.CheckStateRole)

    def checkedIndexes(self) -> tuple:
        return tuple(QtCore.QModelIndex(index) for index in self._checked if index.isValid())

    def allChecked(self) -> bool:
        return len(self.checkedIndexes()) == self.count

    def noneChecked(self) -> bool:
        return not self.checkedIndexes()


@stand_in
class ctkMessageBox(QtWidgets.QMessageBox):
    """A message box that can be told not to appear again; what `slicer.util` asks with."""

    dontShowAgainVisible = stored(bool, False)
    dontShowAgainSettingsKey = stored(str, "")
