"""Stand-ins for CTK's widgets for files and folders; their dialogs are answered by the test (see dialogs)."""

from __future__ import annotations

from PySide6 import QtCore, QtWidgets

from .stand_in import row, stand_in, stored

Signal, Slot, Property = QtCore.Signal, QtCore.Slot, QtCore.Property


@stand_in
class ctkPathLineEdit(QtWidgets.QWidget):
    """An editable combo box with earlier paths, and a button that asks for a file or folder."""

    Dirs, Files, Writable = 1, 2, 0x20

    currentPathChanged = Signal(str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._combo_box = QtWidgets.QComboBox(self)
        self._combo_box.setEditable(True)
        self._combo_box.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        self._combo_box.setMinimumContentsLength(10)
        self._combo_box.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self._button = QtWidgets.QToolButton(self)
        self._button.setText("...")
        row(self, self._combo_box, self._button)
        self._combo_box.currentTextChanged.connect(self._on_text)
        self._button.clicked.connect(self.browse)
        self._path = ""

    def _on_text(self, text: str) -> None:
        if text != self._path:
            self._path = text
            self.currentPathChanged.emit(text)

    @Slot(str)
    def setCurrentPath(self, path: str) -> None:
        self._combo_box.setEditText(str(path))

    @Slot()
    def browse(self) -> None:
        dialog, caption = QtWidgets.QFileDialog, self.label or "Select a file"
        if not self.filters & ctkPathLineEdit.Files:
            path = dialog.getExistingDirectory(self, caption, self.currentPath)
        elif self.filters & ctkPathLineEdit.Writable:
            path = dialog.getSaveFileName(self, caption, self.currentPath, ";;".join(self.nameFilters))
        else:
            path = dialog.getOpenFileName(self, caption, self.currentPath, ";;".join(self.nameFilters))
        if path:
            self.setCurrentPath(path)

    currentPath = Property(str, lambda self: self._path, setCurrentPath)
    filters = stored(int, 7)
    options = stored(int, 0)
    nameFilters = stored("QStringList", ())
    label = stored(str, "")
    minimumContentsLength = stored(int, 0)
    sizeAdjustPolicy = stored(int, 2)
