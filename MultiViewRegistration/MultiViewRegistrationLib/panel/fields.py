"""What a person presses, chooses, types and drags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer

from ..errors import InputError
from ..io.folders import folder_for, holds_export
from ..session.presenters import form as controls
from ..session.presenters.form import Option
from ..translation import _
from . import packages
from .drawn import (
    C,
    Drawn,
    Make,
    button_text,
    embolden,
    joined,
    plain_label,
    plain_tip,
    put,
    set_tone,
    show_text,
)

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


class _PushButton(Drawn[C]):
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


class _Files(Drawn[controls.Files]):
    def make(self, control: controls.Files) -> Any:
        self.file = qt.QPushButton()
        self.folder = qt.QPushButton(_("Folder..."))
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


class _Switch(Drawn[controls.Switch]):
    def make(self, control: controls.Switch) -> Any:
        box = qt.QCheckBox()
        box.connect("clicked(bool)", self.act)
        return box

    def show(self, control: controls.Switch) -> None:
        put(self.widget, text=button_text(control.label), checked=control.on)


class _Choice(Drawn[controls.Choice]):
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


class _Entry(Drawn[controls.TextField]):
    """The text stays as it was typed.

    Invalid text or a number out of range gets a message and is not replaced.

    Qt's spin boxes drop what does not fit while it is typed: "0,58" becomes 58, or 5, and 500
    becomes 50.
    """

    LABELLED = True

    def make(self, control: controls.TextField) -> Any:
        self.edit = qt.QLineEdit()
        self._unit = plain_label()
        self.edit.connect("textEdited(QString)", lambda text: self._on_typed())
        self.edit.connect("editingFinished()", self._on_finished)
        return joined(qt.QHBoxLayout, self.edit, self._unit)

    @property
    def text(self) -> str:
        """The text as it stands there, lengths in mm."""
        return self.unit.typed(self.edit.text) if self.unit else self.edit.text

    @property
    def inner(self) -> Any:
        return self.edit

    @property
    def problem(self) -> str:
        return self.control.problem(self.text)

    def show(self, control: controls.TextField) -> None:
        if control != self.before:
            hint = control.hint or (control.number.blank if control.number else "")
            put(self.edit, placeholderText=hint)
            unit = control.number.unit.strip() if control.number else ""
            show_text(self.unit.name if unit and self.unit else unit, self._unit)
        self._show_text(control)

    def _show_text(self, control: controls.TextField) -> None:
        before = self.before
        if (
            before is None or (control.text, control.of) != (before.text, before.of)
        ) and control.text != self.text:
            self._write(control.text)
        set_tone(self.edit, "error" if self.problem else "")

    def _write(self, text: str) -> None:
        self.edit.text = self.unit.shown(text) if self.unit else text
        self.edit.cursorPosition = 0  # so that a long number shows its beginning

    def _on_typed(self) -> None:
        if not self.form.filling:
            set_tone(self.edit, "error" if self.problem else "")

    def _on_finished(self) -> None:
        if not self.edit.modified:
            return
        self.edit.modified = False
        self.act(self.text)


class _Area(_Entry):
    """A text of several lines."""

    def make(self, control: controls.TextField) -> Any:
        self.edit = qt.QPlainTextEdit()
        self.edit.lineWrapMode = qt.QPlainTextEdit.NoWrap
        self.edit.setFixedHeight(round((control.rows + 1) * self.edit.fontMetrics().lineSpacing()))
        self._left = _FocusOut(self._on_finished)
        self.edit.installEventFilter(self._left)
        return self.edit

    @property
    def text(self) -> str:
        return self.edit.toPlainText()

    def show(self, control: controls.TextField) -> None:
        self._show_text(control)

    def _write(self, text: str) -> None:
        self.edit.setPlainText(text)

    def _on_finished(self) -> None:
        if self.text != self.control.text:
            self.act(self.text)


class _FocusOut(qt.QObject):
    """Calls `then` when a widget loses the focus; it must live as long as the widget."""

    def __init__(self, then: Callable[[], object]) -> None:
        super().__init__()
        self._then = then

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Leave the event to others; Qt calls this."""
        if event.type() == qt.QEvent.FocusOut:
            self._then()
        return False


class _Slider(Drawn[controls.Slider]):
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
        self.form.act_meanwhile(self.key, self.control.low + steps * self.control.step)


KINDS: dict[type[controls.Control], Make] = {
    controls.Button: _Button,
    controls.Files: _Files,
    controls.Download: _Download,
    controls.Link: _Link,
    controls.Switch: _Switch,
    controls.Choice: _Choice,
    controls.TextField: lambda form, field: (_Area if field.rows > 1 else _Entry)(form, field),
    controls.Slider: _Slider,
}
