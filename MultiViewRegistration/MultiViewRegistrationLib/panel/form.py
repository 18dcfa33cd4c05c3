"""Draws the form of a presenter in Qt."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import ctk
import numpy as np
import qt
import slicer

from ..errors import InputError
from ..io.calibration.matrices import read_number
from ..io.result_folder import folder_for, holds_export
from ..session.presenters import form as controls
from ..session.presenters.form import Control, Form, Option, visible, walk
from ..translation import _
from . import packages
from .style import (
    DOUBTFUL,
    ERROR,
    FAULTY,
    MISSING,
    PLAIN,
    QUIET,
    button_text,
    mark_field,
    plain_label,
    plain_tip,
    put,
    set_tone,
)

if TYPE_CHECKING:
    from .panel import Panel

#: Width of a picture, in heights, at most.
PICTURE_WIDTH = 4 / 3
#: Width and height of the bars in a table, and their colours: the filled part and the rest.
BAR_PX = (60, 8)
BAR_COLOURS = ((86, 140, 190), (150, 158, 165))
#: Side of the square of a row's colour.
SWATCH_PX = 10
#: Pixels above and below the text of a table's row, together; rows that are seen without scrolling.
ROW_PADDING_PX = 8
MAX_ROWS = 8
#: Letters of a column's title in a line.
TITLE_LETTERS = 14
#: Options beside each other, where all are seen at once.
SPREAD_COLUMNS = 3
_STYLE = qt.QStyle
ICONS = {
    "up": _STYLE.SP_ArrowUp,
    "down": _STYLE.SP_ArrowDown,
    "remove": _STYLE.SP_TrashIcon,
    "first": _STYLE.SP_MediaSkipBackward,
    "back": _STYLE.SP_MediaSeekBackward,
    "on": _STYLE.SP_MediaSeekForward,
    "last": _STYLE.SP_MediaSkipForward,
    "play": _STYLE.SP_MediaPlay,
    "pause": _STYLE.SP_MediaPause,
}


class LengthUnit(NamedTuple):
    """Unit of the lengths in fields, which a person chooses in Slicer's settings; all else of the program is in mm.

    Attributes
    ----------
    name
        Its symbol.
    in_mm
        How many of it a mm is.
    """

    name: str
    in_mm: float

    @classmethod
    def chosen(cls) -> LengthUnit:
        """Return the unit of Slicer's settings, mm where it has none."""
        unit = slicer.app.applicationLogic().GetSelectionNode().GetUnitNode("length")
        return cls(unit.GetSuffix(), unit.GetDisplayCoefficient()) if unit else cls("mm", 1.0)

    def shown(self, mm: str) -> str:
        """Return a text with lengths in mm as a field shows it."""
        try:
            return _scaled(mm, self.in_mm)
        except InputError:  # words, or what was typed and refused
            return mm.removesuffix(f" {self.name}")

    def typed(self, text: str) -> str:
        """Return what was typed in this unit with lengths in mm; with its unit where it cannot be read."""
        try:
            return _scaled(text.strip().removesuffix(self.name), 1 / self.in_mm)
        except InputError:
            return text if text.endswith("mm") else f"{text} {self.name}"


def _scaled(text: str, factor: float) -> str:
    """Return a text with its numbers, between blanks, crosses or semicolons, times a factor."""

    def times(found: re.Match[str]) -> str:
        number = read_number(found[0].removesuffix(","), "")
        return f"{number * factor:.10f}".rstrip("0").rstrip(".")

    return re.sub(r"[^\s\u00d7x;]+", times, text)


class QtForm:
    """The widgets of one form; what a person does at them becomes a call of the control's action, within `panel.ui_action()`.

    Parameters
    ----------
    panel
        The panel.
    widget
        An empty widget that gets them.
    """

    def __init__(self, panel: Panel, widget: Any) -> None:
        self.panel = panel
        self.widget = widget
        self.controls: dict[str, Control] = {}
        self.drawn: dict[str, _Drawn[Any]] = {}
        self.filling = False
        self.unit = LengthUnit.chosen()
        self._box = _Box(self, widget)

    def show(self, form: Form) -> None:
        """Show these controls, and no others."""
        self.controls = walk(form)
        before = self.unit
        self.unit = LengthUnit.chosen()
        if self.unit != before:
            for drawn in self.drawn.values():
                drawn.before = None
        self.filling = True
        try:
            self._box.show(form)
        finally:
            self.filling = False

    def focus(self, key: str) -> None:
        """Bring a control into sight, and give it the focus; nothing where it is not shown."""
        if key in self.controls and key in self.drawn:
            drawn = self.drawn[key]
            widget = drawn.edit if isinstance(drawn, _Entry) else drawn.widget
            bring_into_sight(widget)
            widget.activateWindow()
            widget.setFocus()

    def problems(self) -> list[str]:
        """Return the problems in the typed values, a sentence each."""
        drawn = [self.drawn[key] for key in self.controls if key in self.drawn]
        return [each.problem for each in drawn if isinstance(each, _Entry) and each.problem]

    def act(self, key: str, *args: Any) -> None:
        """Perform a control's action."""
        control = self._active_control(key)
        if control is not None and control.action is not None:
            with self.panel.ui_action():
                packages.ensure_all(control.needs, self.panel.resource_path)
                control.action(*args)

    def act_meanwhile(self, key: str, value: Any) -> None:
        """Report a value while the user is still typing or dragging.

        A problem in it is not yet a message.
        """
        control = self._active_control(key)
        if control is None:
            return
        act = (control.typed if isinstance(control, controls.TextField) else None) or control.action
        if act is not None:
            act(value)
            self.panel.invalidate()

    def _active_control(self, key: str) -> Control | None:
        """Return the control, where a signal comes from a person, and may do something."""
        control = self.controls.get(key)
        if self.filling or self.panel.filling or control is None or not control.enabled:
            return None
        return control if control.action is not None else None


class _Box:
    """Controls below each other, labels in a column; or beside each other."""

    def __init__(self, form: QtForm, widget: Any, horizontal: bool = False) -> None:
        self._form = form
        self._horizontal = horizontal
        self._layout = qt.QHBoxLayout(widget) if horizontal else qt.QFormLayout(widget)
        if not isinstance(widget, qt.QGroupBox):
            self._layout.setContentsMargins(0, 0, 0, 0)
        widget.setSizePolicy(qt.QSizePolicy.Preferred, qt.QSizePolicy.Maximum)
        if not horizontal:
            self._layout.setFieldGrowthPolicy(qt.QFormLayout.AllNonFixedFieldsGrow)
        self._keys: list[str] = []

    def show(self, form: Iterable[Control | None]) -> None:
        """Show these controls, and no others."""
        seen = visible(form)
        drawn = self._form.drawn
        place = 0
        for control in seen:
            if control.key not in drawn:
                drawn[control.key] = _kind(control)(self._form, control)
                self._insert(place, drawn[control.key])
                self._keys.insert(place, control.key)
            place = self._keys.index(control.key) + 1
            drawn[control.key].update(control)
        keys = {control.key for control in seen}
        for key in self._keys:
            drawn[key].set_visible(key in keys)

    def show_again(self) -> None:
        """Show what is to be seen, as a group is unfolded."""
        for key in self._keys:
            self._form.drawn[key].show_again()

    def _insert(self, place: int, drawn: _Drawn[Any]) -> None:
        if self._horizontal:
            at = sum(1 + (self._form.drawn[key].label is not None) for key in self._keys[:place])
            for part in drawn.parts:
                self._layout.insertWidget(at, part)
                at += 1
        elif drawn.label is not None:
            self._layout.insertRow(place, drawn.label, drawn.widget)
        else:
            self._layout.insertRow(place, drawn.widget)


#: Kind of control that a widget shows.
C = TypeVar("C", bound=Control)


class _Drawn(Generic[C]):
    """A control's widget.

    Attributes
    ----------
    control
        As it is shown now.
    before
        As it was shown before; None at first.
    label
        What stands beside it, None for nothing.
    """

    LABELLED = False

    def __init__(self, form: QtForm, control: C) -> None:
        self.form = form
        self.key = control.key
        self.control = control
        self.before: C | None = None
        self._visible: bool | None = None
        self.label = plain_label() if self.LABELLED else None
        self.widget = self.make(control)
        self.widget.name = control.key
        self.parts = [self.widget] if self.label is None else [self.label, self.widget]

    def make(self, control: C) -> Any:
        """Return the widget, with its signals connected."""
        raise NotImplementedError

    def show(self, control: C) -> None:
        """Write what the control shows into the widget."""

    def update(self, control: C) -> None:
        """Show the control as it is now."""
        self.control = control
        if control != self.before:
            put(self.widget, toolTip=plain_tip(control.tip))
            self.widget.enabled = control.enabled  # where its parent is off, `put` would read that
            if self.label is not None:
                text = f"{control.label}:" if control.label else ""
                put(self.label, text=text, toolTip=plain_tip(control.tip))
        self.show(control)
        self.before = control

    @property
    def unit(self) -> LengthUnit | None:
        """The unit of its numbers where they are lengths and not shown in mm; the end of a key tells, or a number."""
        number = getattr(self.control, "number", None)
        length = self.key.endswith("_mm") or (number is not None and number.unit.strip() == "mm")
        return self.form.unit if length and self.form.unit.in_mm != 1 else None

    def set_visible(self, on: bool) -> None:
        """Show the control, or hide it; asked twice, a folded group would lay itself out again."""
        if on is not self._visible:
            self._visible = on
            self.show_again()

    def show_again(self) -> None:
        """Show the control where it is to be seen: CTK keeps hidden what was first shown in a folded group."""
        for part in self.parts:
            part.setVisible(self._visible)

    def act(self, *args: Any) -> None:
        """Perform the control's action."""
        self.form.act(self.key, *args)


class _Text(_Drawn[controls.Text]):
    def make(self, control: controls.Text) -> Any:
        label = plain_label()
        label.wordWrap = True
        label.minimumWidth = 1  # a long name, which cannot be wrapped, must not widen the panel
        label.textInteractionFlags = qt.Qt.TextSelectableByMouse
        return label

    def show(self, control: controls.Text) -> None:
        if control == self.before:
            return
        set_tone(self.widget, PLAIN if control.tone == controls.STRONG else control.tone)
        embolden(self.widget, control.tone == controls.STRONG)
        self.widget.text = self.unit.shown(control.label) if self.unit else control.label


class _PushButton(_Drawn[C]):
    def make(self, control: C) -> Any:
        button = qt.QPushButton()
        button.clicked.connect(lambda *_args: self.press())
        return button

    def show(self, control: C) -> None:
        put(self.widget, text=button_text(control.label))
        embolden(self.widget, control.primary)

    def press(self) -> None:
        """Press the button, as a click."""
        raise NotImplementedError


class _Button(_PushButton[controls.Button]):
    def make(self, control: controls.Button) -> Any:
        button = super().make(control)
        if control.icon:
            button.icon = button.style().standardIcon(ICONS[control.icon])
        self._shortcuts = [self._shortcut(keys, button) for keys in control.keys]
        return button

    def show(self, control: controls.Button) -> None:
        if control == self.before:
            self.widget.checked = bool(control.on)  # which a click has changed
            return
        if control.icon:
            self.widget.icon = self.widget.style().standardIcon(ICONS[control.icon])
            self.widget.accessibleName = control.label
            self.widget.toolTip = plain_tip(control.tip or control.label)
        else:
            super().show(control)
        for shortcut in self._shortcuts:
            shortcut.setContext(
                qt.Qt.ApplicationShortcut
                if control.everywhere
                else qt.Qt.WidgetWithChildrenShortcut
            )
        self.widget.checkable = control.on is not None
        self.widget.checked = bool(control.on)

    def press(self) -> None:
        self.widget.setFocus()  # typed text takes effect
        control = self.form.controls.get(self.key)
        if not isinstance(control, controls.Button) or not control.enabled:
            return
        if control.strict and (problems := self.form.panel.problems()):
            self.form.panel.show_message(problems[0])
        elif not control.question or slicer.util.confirmYesNoDisplay(plain_tip(control.question)):
            self.act()

    def _shortcut(self, keys: str, button: Any) -> Any:
        """Return keys that press the button while the panel is seen, with the focus in it or everywhere."""
        shortcut = qt.QShortcut(qt.QKeySequence(keys), self.form.panel.widget)
        shortcut.connect("activated()", button.click)
        shortcut.connect("activatedAmbiguously()", button.click)  # where others have the keys, too
        return shortcut


class _Switch(_Drawn[controls.Switch]):
    def make(self, control: controls.Switch) -> Any:
        box = qt.QCheckBox()
        box.connect("clicked(bool)", self.act)
        return box

    def show(self, control: controls.Switch) -> None:
        put(self.widget, text=button_text(control.label), checked=control.on)


class _Choice(_Drawn[controls.Choice]):
    LABELLED = True

    def make(self, control: controls.Choice) -> Any:
        self._values: list[str] = []
        if control.spread:
            self._buttons: list = []
            widget = qt.QWidget()
            qt.QGridLayout(widget).setContentsMargins(0, 0, 0, 0)
            return widget
        box = qt.QComboBox()
        box.sizeAdjustPolicy = qt.QComboBox.AdjustToMinimumContentsLengthWithIcon
        box.minimumContentsLength = 8
        box.connect("activated(int)", self._choose)
        return box

    def show(self, control: controls.Choice) -> None:
        if self.before is None or control.options != self.before.options:
            self._values = [option.value for option in control.options]
            self._list(control.options, control.spread)
        chosen = self._values.index(control.value) if control.value in self._values else -1
        if control.spread:
            for value, button in zip(self._values, self._buttons, strict=False):  # hidden: the rest
                exclusive = chosen >= 0  # else the one that was chosen could not be left
                put(button, autoExclusive=exclusive, checked=value == control.value)
                button.enabled = value not in control.refused
        else:
            self.widget.setCurrentIndex(chosen)

    def button(self, value: str) -> Any:
        """Return the button of an option, where all are seen at once."""
        return self._buttons[self._values.index(value)]

    def _list(self, options: Sequence[Option], spread: bool) -> None:
        if not spread:
            self.widget.clear()
            self.widget.addItems([option.title for option in options])
            return
        for number in range(len(self._buttons), len(options)):
            button = qt.QRadioButton()
            button.clicked.connect(lambda *_args, number=number: self._choose(number))
            self.widget.layout().addWidget(
                button, number // SPREAD_COLUMNS, number % SPREAD_COLUMNS
            )
            self._buttons.append(button)
        for number, button in enumerate(self._buttons):
            button.setVisible(number < len(options))
            if number < len(options):
                button.text = button_text(options[number].title)
                button.toolTip = plain_tip(options[number].tip)

    def _choose(self, number: int) -> None:
        if self._values[number] != self.control.value:
            self.act(self._values[number])


class _Entry(_Drawn[controls.TextField]):
    """The text stays as it was typed.

    Invalid text or a number out of range gets a message and is not replaced.

    Qt's spin boxes drop what does not fit while it is typed: "0,58" becomes 58, or 5, and 500
    becomes 50.
    """

    LABELLED = True
    ALWAYS_TYPED = False

    def make(self, control: controls.TextField) -> Any:
        self.edit, self._unit = qt.QLineEdit(), plain_label()
        self.edit.connect("textEdited(QString)", lambda text: self._on_typed())
        self.edit.connect("editingFinished()", self._on_finished)
        return joined(qt.QHBoxLayout, self.edit, self._unit)

    @property
    def text(self) -> str:
        """The text as it stands there, lengths in mm."""
        return self.unit.typed(self.edit.text) if self.unit else self.edit.text

    @property
    def problem(self) -> str:
        """The problem in the text, a sentence; "" for none."""
        control = self.form.controls.get(self.key)
        return control.problem(self.text) if isinstance(control, controls.TextField) else ""

    def show(self, control: controls.TextField) -> None:
        if control != self.before:
            hint = control.hint or (control.number.blank if control.number else "")
            put(self.edit, placeholderText=hint)
            unit = control.number.unit.strip() if control.number else ""
            put(self._unit, text=self.unit.name if unit and self.unit else unit)
            self._unit.setVisible(bool(self._unit.text))
        self._show_text(control)

    def _show_text(self, control: controls.TextField) -> None:
        before = self.before
        if (
            before is None or (control.text, control.of) != (before.text, before.of)
        ) and control.text != self.text:
            self._write(control.text)
        set_tone(self.edit, ERROR if self.problem else PLAIN)

    def _write(self, text: str) -> None:
        self.edit.text = self.unit.shown(text) if self.unit else text
        self.edit.cursorPosition = 0  # so that a long number shows its beginning

    def _on_typed(self) -> None:
        if self.form.filling:
            return
        set_tone(self.edit, ERROR if self.problem else PLAIN)
        control = self.form.controls.get(self.key)
        if isinstance(control, controls.TextField) and (
            control.typed is not None or self.ALWAYS_TYPED
        ):
            self.form.act_meanwhile(self.key, self.text)

    def _on_finished(self) -> None:
        if not self.edit.modified:
            return
        self.edit.modified = False
        self.act(self.text)


class _Area(_Entry):
    """A text of several lines, which is told of at every key."""

    ALWAYS_TYPED = True

    def make(self, control: controls.TextField) -> Any:
        self.edit = qt.QPlainTextEdit()
        self.edit.lineWrapMode = qt.QPlainTextEdit.NoWrap
        self.edit.setFixedHeight(round((control.rows + 1) * self.edit.fontMetrics().lineSpacing()))
        self.edit.connect("textChanged()", self._on_typed)
        return self.edit

    @property
    def text(self) -> str:
        return self.edit.toPlainText()

    def show(self, control: controls.TextField) -> None:
        self._show_text(control)

    def _write(self, text: str) -> None:
        self.edit.setPlainText(text)


class _Slider(_Drawn[controls.Slider]):
    LABELLED = True

    def make(self, control: controls.Slider) -> Any:
        slider = qt.QSlider(qt.Qt.Horizontal)
        slider.connect("valueChanged(int)", self._on_moved)
        return slider

    def show(self, control: controls.Slider) -> None:
        self.widget.minimum = 0
        self.widget.maximum = round((control.high - control.low) / control.step)
        self.widget.value = round((control.value - control.low) / control.step)

    def _on_moved(self, steps: int) -> None:
        control = self.form.controls.get(self.key)
        if isinstance(control, controls.Slider) and not self.form.filling:
            self.form.act_meanwhile(self.key, control.low + steps * control.step)


class _Table(_Drawn[controls.Table]):
    def make(self, control: controls.Table) -> Any:
        self._fitted = 0, 0, 0
        table = qt.QTableWidget()
        table.editTriggers = qt.QAbstractItemView.NoEditTriggers
        table.selectionBehavior = qt.QAbstractItemView.SelectRows
        table.selectionMode = qt.QAbstractItemView.SingleSelection
        table.iconSize = qt.QSize(BAR_PX[0], SWATCH_PX)
        table.verticalHeader().setVisible(False)
        table.horizontalHeader().setHighlightSections(False)
        table.connect("cellClicked(int,int)", lambda row, column: self.act(self._id(row), column))
        table.connect("itemChanged(QTableWidgetItem*)", self._on_item)
        return table

    def show(self, control: controls.Table) -> None:
        table = self.widget
        before = self.before
        if before is None or control.columns != before.columns:
            table.columnCount = len(control.columns)
            titles = [textwrap.fill(title, TITLE_LETTERS) for title in control.columns]
            table.setHorizontalHeaderLabels(titles)
            header = table.horizontalHeader()
            for column in range(len(control.columns)):
                header.setSectionResizeMode(
                    column, qt.QHeaderView.ResizeToContents if column else qt.QHeaderView.Stretch
                )
        if before is None or control.lines != before.lines or control.columns != before.columns:
            table.rowCount = len(control.lines)
            for row, line in enumerate(control.lines):
                for column, cell in enumerate(line.cells):
                    table.setItem(row, column, self._item(line, column, cell))
        self._fit()
        ids = [line.id for line in control.lines]
        row = ids.index(control.selected) if control.selected in ids else -1
        if row != table.currentRow() or before is None or control.lines != before.lines:
            table.setCurrentCell(row, 0)

    def _item(self, line: controls.TableRow, column: int, cell: controls.Cell) -> Any:
        item = qt.QTableWidgetItem(cell.text)
        item.setToolTip(plain_tip(cell.tip or cell.text))
        if cell.share is not None:
            item.setIcon(qt.QIcon(_bar(cell.share)))
        elif column == 0 and line.colour:
            item.setIcon(_swatch(line.colour))
        flags = qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled
        if column == 0 and line.on is not None:
            item.setCheckState(qt.Qt.Checked if line.on else qt.Qt.Unchecked)
            flags |= qt.Qt.ItemIsUserCheckable
        item.setFlags(flags)
        return item

    def _fit(self) -> None:
        """Make the table as high as its rows, each as high as the font, which may have changed."""
        table = self.widget
        height = table.fontMetrics().height() + ROW_PADDING_PX
        head = table.horizontalHeader().sizeHint.height()
        if (height, head, table.rowCount) == self._fitted:
            return
        self._fitted = height, head, table.rowCount
        table.verticalHeader().minimumSectionSize = table.verticalHeader().defaultSectionSize = (
            height
        )
        rows = min(max(table.rowCount, 1), MAX_ROWS)
        table.setFixedHeight(head + rows * height + 2 * table.frameWidth)

    def _id(self, row: int) -> str:
        return self.control.lines[row].id

    def _on_item(self, item: Any) -> None:
        """Take a click on a check box: nothing else of an item changes but by the form."""
        if not self.form.filling and self.control.switch is not None:
            id = self._id(item.row())
            on = item.checkState() == qt.Qt.Checked
            with self.form.panel.ui_action():
                self.control.switch(id, on)


def _bar(share: float) -> Any:
    """Return a bar that is filled to a share."""
    width, height = BAR_PX
    bar = np.full((height, width, 3), BAR_COLOURS[1], np.uint8)
    bar[:, : round(share * width)] = BAR_COLOURS[0]
    return pixmap(bar, width, height)


def _swatch(colour: str) -> Any:
    """Return an icon of a colour in CSS, "rgb(255, 0, 0)"."""
    square = qt.QPixmap(SWATCH_PX, SWATCH_PX)
    square.fill(qt.QColor(*map(int, re.findall(r"\d+", colour))))
    return qt.QIcon(square)


class _FieldTable(_Drawn[controls.FieldTable]):
    """Fields in a grid; sentences about them stand below their row, and begin under their field."""

    def make(self, control: controls.FieldTable) -> Any:
        widget = qt.QWidget()
        self._grid = qt.QGridLayout(widget)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(2)
        self._cells: dict[str, _Drawn[Any]] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._titles: dict[str, Any] = {}
        self._notes: list = []
        self._heads: list = []
        return widget

    def show(self, control: controls.FieldTable) -> None:
        if self.before is None or control.columns != self.before.columns:
            for column, option in enumerate(control.columns):
                title = option.title
                if option.value.endswith("_mm"):
                    title = f"{title.removesuffix('mm')}{self.form.unit.name}"
                self._head(column, title, option.tip)
        if control == self.before:
            for line in control.lines:
                for cell in line.cells:
                    self.form.drawn[cell.field.key].update(cell.field)
            return
        seen = set()
        notes = 0
        for number, line in enumerate(control.lines):
            row = 1 + 2 * number
            seen |= {
                line.id,
                *(
                    self._place(cell, row, column)
                    for column, cell in enumerate(line.cells, start=1)
                ),
            }
            self._title(line, row, control)
            for note in line.notes:
                self._write_note(notes, note, row + 1)
                notes += 1
        for note in self._notes[notes:]:
            note.setVisible(False)
        for key, drawn in self._cells.items():
            drawn.widget.setVisible(key in seen)
        for key, title in self._titles.items():
            title.setVisible(key in seen)

    def _head(self, column: int, title: str, tip: str) -> None:
        if column == len(self._heads):
            head = qt.QLabel()
            head.wordWrap = True
            head.alignment = qt.Qt.AlignBottom
            set_tone(head, QUIET)
            self._grid.addWidget(head, 0, column)
            self._heads.append(head)
        put(self._heads[column], text=title, toolTip=plain_tip(tip))

    def _title(self, line: controls.FieldRow, row: int, control: controls.FieldTable) -> None:
        title = self._titles.get(line.id)
        if title is None:
            title = self._titles[line.id] = qt.QToolButton()
            title.autoRaise = True
            title.checkable = True
            title.toolButtonStyle = qt.Qt.ToolButtonTextBesideIcon
            title.clicked.connect(
                lambda *_args, id=line.id: self.act(id) if self.control.action else None
            )
        self._grid.addWidget(title, row, 0)
        title.text, title.toolTip = button_text(line.title), plain_tip(line.tip)
        title.checked = line.id == control.selected
        if line.colour:
            title.icon = _swatch(line.colour)

    def _place(self, cell: controls.FieldCell, row: int, column: int) -> str:
        """Draw a cell, and return its key, which is another for another kind of field."""
        field = cell.field
        key = f"{type(field).__name__} {field.key}"
        drawn = self._cells.get(key)
        if drawn is None:
            drawn = self._cells[key] = KINDS[type(field)](self.form, field)
            if isinstance(drawn, _Entry):
                drawn.edit.connect("returnPressed()", lambda key=key: self._down(key))
        if self._places.get(key) != (row, column):
            self._places[key] = row, column
            self._grid.addWidget(drawn.widget, row, column)
        self.form.drawn[field.key] = drawn
        drawn.update(field)
        inner = drawn.edit if isinstance(drawn, _Entry) else drawn.widget
        if isinstance(drawn, _Entry):
            inner.minimumWidth = inner.fontMetrics().horizontalAdvance(f"{inner.text}000")
        tip = [
            cell.fault or cell.caution,
            cell.origin and _("From: {origin}").format(origin=cell.origin),
            field.tip,
        ]
        inner.toolTip = plain_tip("\n".join(filter(None, tip)))
        inner.accessibleName = field.label if not isinstance(field, controls.Text) else ""
        inner.accessibleDescription = cell.fault or cell.caution
        mark_field(
            inner,
            FAULTY if cell.fault else DOUBTFUL if cell.caution else MISSING if cell.missing else "",
        )
        font = inner.font
        font.setItalic(bool(cell.origin))
        inner.font = font
        return key

    def _write_note(self, number: int, note: dict, row: int) -> None:
        if number == len(self._notes):
            label = plain_label()
            label.wordWrap = True
            self._notes.append(label)
        label = self._notes[number]
        self._grid.addWidget(label, row, 1 + note["column"], 1, note["span"])
        label.text = note["text"]
        set_tone(label, note["tone"])
        label.setVisible(True)

    def _down(self, key: str) -> None:
        """Go on in the column, and after its end in the next one, on Enter."""
        row, column = self._places[key]
        seen = (
            name
            for name, each in self._cells.items()
            if isinstance(each, _Entry) and each.widget.visible
        )
        columns = sorted((self._places[name][::-1], name) for name in seen)
        after = [name for place, name in columns if place > (column, row)]
        if after:
            entry = self._cells[after[0]]
            assert isinstance(entry, _Entry)
            entry.edit.setFocus()
            entry.edit.selectAll()


class _Progress(_Drawn[controls.ProgressBar]):
    def make(self, control: controls.ProgressBar) -> Any:
        self.bar, self.text = qt.QProgressBar(), plain_label()
        self.bar.textVisible = False
        self.text.wordWrap = True
        return joined(qt.QVBoxLayout, self.bar, self.text)

    def show(self, control: controls.ProgressBar) -> None:
        unknown = control.percent is None  # the bar goes to and fro
        put(self.bar, maximum=0 if unknown else 100, value=control.percent or 0)
        put(self.text, text=control.label)


class _Files(_Drawn[controls.Files]):
    def make(self, control: controls.Files) -> Any:
        self.file, self.folder = qt.QPushButton(), qt.QPushButton(_("Folder..."))
        for button, press in ((self.file, self._on_file), (self.folder, self._on_folder)):
            button.clicked.connect(lambda *_args, press=press: press())
        self._last = ""
        return joined(qt.QHBoxLayout, self.file, self.folder)

    def show(self, control: controls.Files) -> None:
        tip = plain_tip(control.tip or control.hint)
        put(self.file, text=button_text(control.label), toolTip=tip)
        embolden(self.file, control.primary)
        self.folder.setVisible(control.folders)

    def take(self, paths: list[Path]) -> None:
        """Hand files on that were chosen."""
        if not paths:
            return
        self._last = str(paths[0].parent)
        try:
            packages.ensure_for_files(paths, self.form.panel.resource_path)
        except InputError as error:
            self.form.panel.show_message(str(error))
        else:
            self.act(paths, None)

    def _on_file(self) -> None:
        control = self.control
        dialog = qt.QFileDialog
        kinds = " ".join(f"*{suffix}" for suffix in control.suffixes)
        kinds = f"{control.hint} ({kinds});;{_('All files')} (*)" if kinds else ""
        if control.several:
            paths = dialog.getOpenFileNames(self.widget, control.label, self._last, kinds)
        else:
            paths = [dialog.getOpenFileName(self.widget, control.label, self._last, kinds)]
        self.take([Path(path) for path in paths if path])

    def _on_folder(self) -> None:
        path = qt.QFileDialog.getExistingDirectory(self.widget, self.control.label, self._last)
        self.take([Path(path)] if path else [])


class _Download(_PushButton[controls.Download]):
    _last = ""

    def write(self, folder: Path) -> None:
        """Have the files written into a folder."""
        self._last = str(folder.parent)
        control = self.form.controls.get(self.key)
        session = self.form.panel.session
        if not isinstance(control, controls.Download) or control.action is None or session is None:
            return
        with self.form.panel.ui_action():
            packages.ensure_all(control.needs, self.form.panel.resource_path)
            session.run(control.action(folder), control.done)

    def press(self) -> None:
        self.widget.setFocus()
        label = _("{what}: choose where; a new folder is made there").format(
            what=self.control.label
        )
        chosen = qt.QFileDialog.getExistingDirectory(self.widget, label, self._last)
        if chosen:
            with self.form.panel.ui_action():
                self.write_beside(Path(chosen))

    def write_beside(self, chosen: Path) -> None:
        """Have them written into a folder of their own, in the chosen one or, if a person agrees, beside it."""
        folder = folder_for(chosen, self.control.name())
        question = _("{chosen} holds an earlier export. Write a new folder beside it, {folder}?")
        if not holds_export(chosen) or slicer.util.confirmYesNoDisplay(
            question.format(chosen=chosen.name, folder=folder.name)
        ):
            self.write(folder)


class _Link(_PushButton[controls.Link]):
    def press(self) -> None:
        path = self.control.path
        if path.is_file():
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))
        else:
            self.form.panel.show_message(
                _("{file}: is no longer there, expected what was written; export again.").format(
                    file=path
                )
            )


class _ClickFilter(qt.QObject):
    """Tells where the picture of a label, in its middle, is clicked; to be kept as long as the label."""

    def __init__(self, label: Any, then: Callable[[float, float], object]) -> None:
        super().__init__()
        self._label = label
        self._then = then
        self.size = (0, 0)
        label.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Return whether the event has been dealt with; Qt calls this."""
        if event.type() != qt.QEvent.MouseButtonRelease:
            return False
        at = event.position() if hasattr(event, "position") else event.pos()  # Qt 6, or 5
        width, height = self.size
        across = (at.x() - (self._label.width - width) / 2) / max(width, 1)
        down = (at.y() - (self._label.height - height) / 2) / max(height, 1)
        if 0 <= across <= 1 and 0 <= down <= 1:
            self._then(across, down)
        return True


class _Picture(_Drawn[controls.Picture]):
    def make(self, control: controls.Picture) -> Any:
        self._rgb: np.ndarray | None = None
        self.picture, self.text = plain_label(), plain_label()
        self._clicks = _ClickFilter(self.picture, self.act) if control.action else None
        if self._clicks:
            self.picture.setCursor(qt.QCursor(qt.Qt.PointingHandCursor))
        for part in (self.picture, self.text):
            part.alignment = qt.Qt.AlignCenter
        self.text.wordWrap = True
        set_tone(self.text, QUIET)
        return joined(qt.QVBoxLayout, self.picture, self.text)

    def show(self, control: controls.Picture) -> None:
        if control.wide:
            self.picture.scaledContents = True
            self.picture.setFixedHeight(control.height)
        if control.rgb is not None and control.rgb is not self._rgb:
            self._rgb = control.rgb
            self.picture.setPixmap(
                pixmap(
                    control.rgb,
                    round(PICTURE_WIDTH * control.height),
                    control.height,
                    control.aspect,
                )
            )
        elif control.svg and (self.before is None or control.svg != self.before.svg):
            picture = qt.QPixmap()
            picture.loadFromData(qt.QByteArray(control.svg.encode()), "SVG")
            self.picture.setPixmap(picture)
            if self._clicks:
                self._clicks.size = picture.width(), picture.height()
            # a form's layout does not see how high a text below a picture is
            text = 2 * self.text.fontMetrics().lineSpacing() + self.widget.layout().spacing
            self.widget.minimumHeight = picture.height() + text
        if control != self.before:
            put(self.text, text=control.label)
            self.text.setVisible(bool(control.label))


class _Row(_Drawn[controls.SideBySide]):
    def make(self, control: controls.SideBySide) -> Any:
        widget = qt.QWidget()
        self._box = _Box(self.form, widget, horizontal=True)
        return widget

    def show(self, control: controls.SideBySide) -> None:
        self._box.show(control.children)


class _Group(_Drawn[controls.Group]):
    def make(self, control: controls.Group) -> Any:
        widget = qt.QGroupBox() if control.open is None else ctk.ctkCollapsibleGroupBox()
        if control.open is not None:
            widget.collapsedHeight = 0  # else an empty frame is left
        self._box = _Box(self.form, widget)
        if control.open is not None:
            widget.connect("toggled(bool)", self._on_toggled)
        return widget

    def _on_toggled(self, on: bool) -> None:
        self._box.show_again()
        self.form.panel.invalidate()  # a section takes the height that it needs

    def show(self, control: controls.Group) -> None:
        title = button_text(control.label)
        if control.open is not None:
            title += "  "  # CTK's arrow takes room of it
        put(self.widget, title=title)
        self._box.show(control.children)
        if control.open is not None and (self.before is None or self.before.open != control.open):
            self.widget.collapsed = not control.open


KINDS: dict[type[Control], type[_Drawn[Any]]] = {
    controls.Text: _Text,
    controls.Button: _Button,
    controls.Switch: _Switch,
    controls.Choice: _Choice,
    controls.TextField: _Entry,
    controls.Slider: _Slider,
    controls.Table: _Table,
    controls.FieldTable: _FieldTable,
    controls.ProgressBar: _Progress,
    controls.Files: _Files,
    controls.Download: _Download,
    controls.Link: _Link,
    controls.Picture: _Picture,
    controls.SideBySide: _Row,
    controls.Group: _Group,
}


def bring_into_sight(widget: Any) -> None:
    """Unfold the groups about a widget, and scroll to it."""
    above = widget.parentWidget()
    while above is not None:
        if isinstance(above, ctk.ctkCollapsibleGroupBox):
            above.collapsed = False
        if isinstance(above, qt.QScrollArea):
            above.ensureWidgetVisible(widget)
        above = above.parentWidget()


def joined(layout_class: Any, *parts: Any) -> Any:
    """Return a widget with these in a layout."""
    widget = qt.QWidget()
    layout = layout_class(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        layout.addWidget(part)
    return widget


def embolden(widget: Any, on: bool) -> None:
    """Give a widget bold letters, or plain ones."""
    font = widget.font
    if font.bold() != on:
        font.setBold(on)
        widget.font = font


def _kind(control: Control) -> type[_Drawn[Any]]:
    return (
        _Area
        if isinstance(control, controls.TextField) and control.rows > 1
        else KINDS[type(control)]
    )


def pixmap(picture: np.ndarray, width: int, height: int, aspect: float = 1.0) -> Any:
    """Return a qt.QPixmap as large as fits into `width` x `height` pixels.

    Parameters
    ----------
    picture
        Uint8 (rows, columns, 3).
    aspect
        Height of its pixels over their width.
    """
    rows, columns, _ = picture.shape
    whole = qt.QPixmap()
    whole.loadFromData(
        qt.QByteArray(b"P6 %d %d 255\n" % (columns, rows) + picture.tobytes()), "PPM"
    )
    scale = min(width / columns, height / (rows * aspect))
    size = qt.QSize(max(round(columns * scale), 1), max(round(rows * aspect * scale), 1))
    return whole.scaled(size, qt.Qt.IgnoreAspectRatio, qt.Qt.SmoothTransformation)
