"""The sections of the panel: the form of a presenter drawn in Qt under a header with the state of the work.

The answer above them, files that are dropped anywhere on the panel, what is asked of them, and what
an empty panel offers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ctk
import qt
import slicer

from ..session.presenters import form as controls
from ..session.presenters.answer import AnswerPresenter
from ..session.presenters.form import Control, Form, Text, visible, walk
from ..session.presenters.section import Presenter, State
from ..translation import _
from . import drawn as shown
from . import fields, packages, tables
from .drawn import Drawn, LengthUnit, Make, button_text, joined, plain_tip, put, show_text

if TYPE_CHECKING:
    from .panel import Panel


class QtForm:
    """Widgets of a form; user input calls the action of the control, within `panel.ui_action()`.

    Parameters
    ----------
    panel
        The panel.
    widget
        An empty parent widget.
    """

    def __init__(self, panel: Panel, widget: Any) -> None:
        self.panel = panel
        self.widget = widget
        self.controls: dict[str, Control] = {}
        self.drawn: dict[str, Drawn[Any]] = {}
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

    def draw(self, control: Control) -> Drawn[Any]:
        """Return a control's widget, as no control has it yet."""
        return KINDS[type(control)](self, control)

    def focus(self, key: str) -> None:
        """Scroll to a control and focus it; no effect if it is not visible."""
        if key in self.controls and key in self.drawn:
            drawn = self.drawn[key]
            bring_into_sight(drawn.inner)
            drawn.inner.activateWindow()
            drawn.inner.setFocus()

    def problems(self) -> list[str]:
        """Return the problems in the entered values, one sentence each."""
        drawn = [self.drawn[key] for key in self.controls if key in self.drawn]
        return [each.problem for each in drawn if each.problem]

    def act(self, key: str, *args: Any) -> None:
        """Perform a control's action."""
        control = self._active_control(key)
        if control is not None and control.action is not None:
            with self.panel.ui_action():
                packages.ensure_all(control.needs, self.panel.resource_path)
                control.action(*args)

    def act_meanwhile(self, key: str, value: Any) -> None:
        """Perform a control's action while the user is still dragging."""
        control = self._active_control(key)
        if control is not None and control.action is not None:
            control.action(value)
            self.panel.invalidate()

    def _active_control(self, key: str) -> Control | None:
        """Return the control, where a signal comes from a person, and may do something."""
        control = self.controls.get(key)
        if self.filling or self.panel.filling or control is None or not control.enabled:
            return None
        return control if control.action is not None else None


class _Refit(qt.QObject):
    """Repeats a widget's layout when its size changes, as Qt's form layout does not update rows when text wraps."""

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Leave the event to others; Qt calls this."""
        if event.type() == qt.QEvent.Resize:
            watched.layout().invalidate()
        return False


class _Box:
    """Container of controls in a column with labels, or in a row."""

    def __init__(self, form: QtForm, widget: Any, horizontal: bool = False) -> None:
        self._form = form
        self._horizontal = horizontal
        self._layout = qt.QHBoxLayout(widget) if horizontal else qt.QFormLayout(widget)
        if not isinstance(widget, qt.QGroupBox):
            self._layout.setContentsMargins(0, 0, 0, 0)
        widget.setSizePolicy(qt.QSizePolicy.Preferred, qt.QSizePolicy.Maximum)
        if not horizontal:
            self._layout.setFieldGrowthPolicy(qt.QFormLayout.AllNonFixedFieldsGrow)
            self._refit = _Refit()
            widget.installEventFilter(self._refit)
        self._keys: list[str] = []
        #: Its own: a control may be in one row now, and in another one later.
        self._drawn: dict[str, Drawn[Any]] = {}

    def show(self, form: Iterable[Control | None]) -> None:
        """Show these controls, and no others."""
        seen = visible(form)
        place = 0
        for control in seen:
            key = control.key
            if key not in self._drawn:
                self._drawn[key] = self._form.draw(control)
                self._insert(place, self._drawn[key])
                self._keys.insert(place, key)
            place = self._keys.index(key) + 1
            self._form.drawn[key] = self._drawn[key]
            self._drawn[key].update(control)
        keys = {control.key for control in seen}
        for key in self._keys:
            self._drawn[key].set_visible(key in keys)

    def show_again(self) -> None:
        """Show what is to be seen, as a group is unfolded."""
        for key in self._keys:
            self._drawn[key].show_again()

    def _insert(self, place: int, drawn: Drawn[Any]) -> None:
        if self._horizontal:
            at = sum(1 + (self._drawn[key].label is not None) for key in self._keys[:place])
            for part in drawn.parts:
                self._layout.insertWidget(at, part)
                at += 1
        elif drawn.label is not None:
            self._layout.insertRow(place, drawn.label, drawn.widget)
        else:
            self._layout.insertRow(place, drawn.widget)


class _Row(Drawn[controls.SideBySide]):
    def make(self, control: controls.SideBySide) -> Any:
        widget = qt.QWidget()
        self._box = _Box(self.form, widget, horizontal=True)
        return widget

    def show(self, control: controls.SideBySide) -> None:
        self._box.show(control.children)


class _Group(Drawn[controls.Group]):
    def make(self, control: controls.Group) -> Any:
        widget = qt.QGroupBox() if control.open is None else ctk.ctkCollapsibleGroupBox()
        self._box = _Box(self.form, widget)
        if control.open is not None:
            widget.collapsedHeight = 0  # else an empty frame is left
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


KINDS: dict[type[Control], Make] = {
    controls.SideBySide: _Row,
    controls.Group: _Group,
    **fields.KINDS,
    **shown.KINDS,
    **tables.KINDS,
}


def bring_into_sight(widget: Any) -> None:
    """Expand the groups that contain a widget, and scroll to it."""
    above = widget.parentWidget()
    while above is not None:
        if isinstance(above, ctk.ctkCollapsibleGroupBox):
            above.collapsed = False
        if isinstance(above, qt.QScrollArea):
            above.ensureWidgetVisible(widget)
        above = above.parentWidget()


SYMBOLS = {
    "todo": "\u25cb",
    "ready": "\u25d0",
    "running": "\u25b6",
    "done": "\u2714",
    "problem": "\u26a0",
    "check": "\u26a0",
    "reject": "\u2718",
}


class PanelSection:
    """Shows one presenter.

    Parameters
    ----------
    presenter
        Presenter of the section.
    panel
        The panel.
    button
        The header, a ctkCollapsibleButton.
    number
        Number of the section.
    """

    def __init__(self, presenter: Presenter, panel: Panel, button: Any, number: int) -> None:
        self.panel = panel
        self.button = button
        self.presenter = presenter
        self.title = f"{number}. {presenter.TITLE}"
        self.widget = qt.QWidget()
        button.layout().addWidget(self.widget)
        self.form = QtForm(panel, self.widget)

    def problems(self) -> list[str]:
        """Return the problems in the entered values of this section."""
        return self.form.problems()

    def clear(self) -> None:
        """Show nothing but the title, until the next `refresh`.

        The height stays, so that nothing is scrolled meanwhile.
        """
        self.form.show([])
        put(self.button, text=self.title, toolTip="")

    def refresh(self) -> None:
        """Show the scene as it is."""
        there = self.panel.registration is not None or self.presenter.BEGINS
        self.widget.enabled = there
        self.form.show(
            self.presenter.form()
            if there
            else [Text("no registration", _("Choose a CT, or load a case, first."))]
        )
        self._fit()
        self._show_state()

    def _fit(self) -> None:
        """Take the height of all texts: Slicer's panel takes one of several lines for one, and would push rows over each other."""
        height = self.widget.layout().heightForWidth(self.widget.width)
        put(self.widget, minimumHeight=max(height, 0))

    def _show_state(self) -> None:
        """Write the state into the header."""
        state = self.presenter.state() if self.panel.registration else State("todo")
        text = f"{SYMBOLS[state.kind]}  {self.title}" + (
            f"  \u2013  {state.text}" if state.text else ""
        )
        metrics = self.button.fontMetrics()
        room = self.button.width - 3 * metrics.height()
        put(self.button, text=metrics.elidedText(text, qt.Qt.ElideRight, room))
        put(self.button, toolTip="" if self.button.text == text else plain_tip(text))


#: Ground and text of the chip, readable (WCAG AA) on a light and on a dark window alike; others are
#: grey.
CHIPS = {
    "accept": ("#1a7f46", "#ffffff"),
    "check": ("#ffc04d", "#201600"),
    "checked": ("#46617d", "#ffffff"),
    "reject": ("#b3261e", "#ffffff"),
    "failed": ("#b3261e", "#ffffff"),
    "running": ("#1763b6", "#ffffff"),
}
GREY = ("#4f5b66", "#ffffff")


class AnswerBar(PanelSection):
    """Shows an AnswerPresenter, in `answerFrame` of MultiViewRegistration.ui."""

    presenter: AnswerPresenter

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.presenter = panel.answer_presenter
        self.form = QtForm(panel, panel.ui.answerForm)

    def clear(self) -> None:
        """Show the registration at work now, which costs little."""
        self.refresh()

    def refresh(self) -> None:
        """Show the scene as it is; nothing before there is a registration."""
        self.panel.ui.answerFrame.setVisible(self.panel.registration is not None)
        self.form.show(self.presenter.form())
        answer = self.presenter.answer()
        ui = self.panel.ui
        ground, text = CHIPS.get(answer.kind, GREY)
        sheet = f"background: {ground}; color: {text}; border-radius: 8px; padding: 2px 8px; font-weight: bold;"
        put(ui.answerChip, text=f"{answer.symbol} {answer.word}", styleSheet=sheet)
        put(ui.answerHeadline, text=answer.headline.replace(" %", "\u00a0%"))
        states = answer.views
        line = "    ".join(f"{state.symbol} {state.name}" for state in states)
        tip = plain_tip("\n".join(state.tip for state in states))
        show_text(line, ui.answerViews)
        put(ui.answerViews, toolTip=tip)


#: Pixels of the progress in Slicer's status bar, with its text in it.
PROGRESS_WIDTH_PX = 420


class StatusProgress:
    """Shows the progress of a registration in Slicer's status bar, which is visible in all modules.

    Parameters
    ----------
    cancel
        Called by the cancel button.
    """

    def __init__(self, cancel: Callable[[], object]) -> None:
        self.bar = qt.QProgressBar()
        self.bar.setFixedWidth(PROGRESS_WIDTH_PX)
        self.button = qt.QPushButton(_("Cancel"))
        self.button.clicked.connect(lambda *_args: cancel())
        self._widget = joined(qt.QHBoxLayout, self.bar, self.button)
        self._widget.setVisible(False)
        window = slicer.util.mainWindow()
        if window is not None:  # Slicer's generic tests run without one
            window.statusBar().addPermanentWidget(self._widget)

    def show(self, progress: controls.ProgressBar | None) -> None:
        """Show the progress; None hides it."""
        self._widget.setVisible(progress is not None)
        if progress is not None:
            unknown = progress.percent is None  # the bar goes to and fro
            put(self.bar, maximum=0 if unknown else 100, value=progress.percent or 0)
            put(self.bar, format=progress.label, toolTip=plain_tip(progress.label))

    def close(self) -> None:
        """Take it out of the status bar, if that is still there."""
        with suppress(ValueError, RuntimeError):  # as in `Panel.close`
            self._widget.deleteLater()


class FilesPart:
    """The part of the panel above the sections that shows a FilesPresenter if it has content.

    Parameters
    ----------
    panel
        The panel.
    widget
        An empty widget for its form.
    """

    def __init__(self, panel: Panel, widget: Any) -> None:
        self.panel = panel
        self.widget = widget
        self.presenter = panel.files_presenter
        self.form = QtForm(panel, widget)
        self._drop = DropFilter(panel.widget, self.take)

    def take(self, paths: list[Path]) -> None:
        """Take files that were dropped."""
        with self.panel.ui_action():
            packages.ensure_for_files(paths, self.panel.resource_path)
            self.presenter.take(paths)

    def refresh(self) -> None:
        """Show the scene as it is."""
        form = self.presenter.form()
        self.form.show(form)
        self.widget.setVisible(bool(visible(form)))


class DropFilter(qt.QObject):
    """Accepts files and folders dropped onto a widget, and passes on their paths.

    The filter must live as long as the widget.
    """

    def __init__(self, widget: Any, then: Callable[[list[Path]], None]) -> None:
        super().__init__()
        self._then = then
        widget.acceptDrops = True
        widget.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Return whether the event has been dealt with; Qt calls this."""
        kind = event.type()
        if kind not in (qt.QEvent.DragEnter, qt.QEvent.DragMove, qt.QEvent.Drop):
            return False
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.toLocalFile()]
        if not paths:
            return False
        event.acceptProposedAction()
        if kind == qt.QEvent.Drop:
            self._then(paths)
        return True
