"""Stand-ins for CTK's buttons, lists and boxes that choose, show or ask something."""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtWidgets

from .stand_in import stand_in, stored

Qt, Signal, Slot, Property = QtCore.Qt, QtCore.Signal, QtCore.Slot, QtCore.Property


@stand_in
class ctkComboBox(QtWidgets.QComboBox):
    """A combo box that shows `defaultText` while nothing is chosen."""

    NeverScroll, AlwaysScroll, ScrollWithFocus, ScrollWithNoVScrollBar = range(4)

    defaultText = stored(str, "", lambda self, text: self.setPlaceholderText(text))
    defaultIcon = stored(object, None)
    forceDefault = stored(bool, False)
    elideMode = stored(object, Qt.ElideNone)
    scrollWheelEffect = stored(int, AlwaysScroll)

    @Slot(str)
    def setCurrentUserDataAsString(self, data: str) -> None:
        self.setCurrentIndex(next((i for i in range(self.count) if str(self.itemData(i)) == data), -1))

    currentUserDataAsString = Property(str, lambda self: str(self.currentData or ""), setCurrentUserDataAsString)


@stand_in
class ctkCheckBox(QtWidgets.QCheckBox):
    indicatorIcon = stored(object, None)
    indicatorIconSize = stored(object, QtCore.QSize())


@stand_in
class ctkCheckableComboBox(QtWidgets.QComboBox):
    """A combo box each of whose items has a check mark."""

    checkedIndexesChanged = Signal()

    def __init__(self, parent=None):
        super().__init__(parent)
        self.model().rowsInserted.connect(self._make_checkable)
        self.model().dataChanged.connect(lambda first, last, roles: Qt.CheckStateRole in roles and self.checkedIndexesChanged.emit())

    def _make_checkable(self, parent, first: int, last: int) -> None:
        for number in range(first, last + 1):
            item = self.model().item(number)
            item.setFlags(item.flags() | Qt.ItemIsUserCheckable)
            item.setData(Qt.Unchecked.value, Qt.CheckStateRole)

    def _indexes(self) -> list:
        return [self.model().index(number, 0) for number in range(self.count)]

    def checkableModel(self):
        return self.model()

    def checkState(self, index):
        return Qt.CheckState(index.data(Qt.CheckStateRole) or 0)

    def setCheckState(self, index, state) -> None:
        self.model().setData(index, Qt.CheckState(state).value, Qt.CheckStateRole)

    def checkedIndexes(self) -> tuple:
        return tuple(index for index in self._indexes() if self.checkState(index) == Qt.Checked)

    def allChecked(self) -> bool:
        return len(self.checkedIndexes()) == self.count

    def noneChecked(self) -> bool:
        return not self.checkedIndexes()


@stand_in
class ctkColorPickerButton(QtWidgets.QPushButton):
    """A button with a patch of its colour; a click asks for another, which a test sets with setColor."""

    ShowAlphaChannel, NoButtons, DontUseNativeDialog, UseCTKColorDialog = 1, 2, 4, 12

    colorChanged = Signal(QtGui.QColor)
    colorNameChanged = Signal(str)

    def __init__(self, *arguments):
        super().__init__(next((a for a in arguments if isinstance(a, QtWidgets.QWidget)), None))
        self._color = QtGui.QColor()
        self._own_text = next((a for a in arguments if isinstance(a, str)), "")
        self.setColor(next((a for a in arguments if isinstance(a, QtGui.QColor)), QtGui.QColor("black")))

    @Slot(QtGui.QColor)
    def setColor(self, color) -> None:
        if color == self._color:
            return
        self._color = QtGui.QColor(color)
        patch = QtGui.QPixmap(16, 16)
        patch.fill(self._color)
        self.setIcon(QtGui.QIcon(patch))
        self._show()
        self.colorChanged.emit(self._color)
        self.colorNameChanged.emit(self._color.name())

    def _show(self, *unused) -> None:
        self.setText(self._color.name() if self.displayColorName else self._own_text)

    @Slot(bool)
    def setDisplayColorName(self, shown: bool) -> None:
        self.displayColorName = shown

    @Slot()
    def changeColor(self) -> None:
        pass

    color = Property(QtGui.QColor, lambda self: self._color, setColor)
    colorName = Property(str, lambda self: self._color.name(), lambda self, name: self.setColor(QtGui.QColor(name)))
    displayColorName = stored(bool, True, _show)
    dialogOptions = stored(int, 0)


@stand_in
class ctkFittedTextBrowser(QtWidgets.QTextBrowser):
    """A text as high as it needs to be; of a collapsible one only what stands before "<!-- more -->" is shown at first."""

    disableMouseScroll = stored(bool, True)
    showDetailsText = stored(str, "Show details...")
    hideDetailsText = stored(str, "Hide details.")

    def __init__(self, parent=None):
        super().__init__(parent)
        self._collapsible = ""
        self.textChanged.connect(self.updateGeometry)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        policy = QtWidgets.QSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def heightForWidth(self, width: int) -> int:
        document = self.document.clone()
        document.setTextWidth(width - 2 * self.frameWidth)
        return int(document.size().height()) + 2 * self.frameWidth

    def sizeHint(self):
        return QtCore.QSize(200, self.heightForWidth(max(self.width, 200)))

    minimumSizeHint = sizeHint

    def collapsibleText(self) -> str:
        return self._collapsible

    @Slot(str)
    def setCollapsibleText(self, text: str) -> None:
        self._collapsible = text
        self._show()

    setCollapsibleHtml = setCollapsiblePlainText = setCollapsibleText

    def _show(self, *unused) -> None:
        teaser, more, rest = self._collapsible.partition("<!-- more -->")
        self.setHtml(teaser + (f'<a href="#">{self.showDetailsText}</a>' if self.collapsed else rest) if more else self._collapsible)

    collapsed = stored(bool, True, _show)


@stand_in
class ctkMessageBox(QtWidgets.QMessageBox):
    """A message box that can be told not to appear again."""

    dontShowAgain = stored(bool, False)
    dontShowAgainVisible = stored(bool, False)
    dontShowAgainSettingsKey = stored(str, "")
    dontShowAgainButtonRoles = stored(object, ())
