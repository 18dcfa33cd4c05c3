"""Somebody at the module, who clicks, types and looks, and knows nothing of what is behind it."""

import warnings
from pathlib import Path

import numpy as np
import qt
from helpers.phantom_scene import begun, make_registration
from helpers.running_session import STARTED_AT

MODULE = Path(__file__).resolve().parents[2] / "MultiViewRegistration"
TITLES = {
    "ct": "1. CT",
    "xrays": "2. X-rays",
    "start": "3. Start",
    "register": "4. Register",
    "check": "5. Check",
    "export": "6. Export",
    "sequence": "7. Sequence",
}


class GuiDriver:
    """The module open in a window, the scene as it was.

    module_widget: the module's Widget.   panel: its panel.   views: the layout manager, once `give_views` was called.
    """

    def __init__(self, host, width=460):
        self.host = host
        self.module = host.load_module(MODULE / "MultiViewRegistration.py")
        self.module_widget = host.open_module(width=width)
        self.panel = self.module_widget.panel
        self.ui = self.panel.ui

    def begin(self, name, registration=None):
        """Unfold one section and no other, of a registration that is chosen, if one is given."""
        if registration is not None:
            self.registration = registration
            self.panel.choose(registration)
        for each, section in self.panel.sections.items():
            section.button.collapsed = each != name
        self.host.process(0.1)
        self.wait(lambda: self.form_of("ct").controls, 5.0)  # shown last

    def open_phantom(self, ct, views):
        """Choose a registration of the phantom that somebody has begun, with the sections Start and Register unfolded."""
        self.begin("register", begun(make_registration(self.host.scene, ct, views, STARTED_AT)))
        self.panel.sections["start"].button.collapsed = False
        self.host.process()
        return self

    def drop(self, *paths):
        """Drag files onto the panel and drop them there; they must be accepted."""
        mime = qt.QMimeData()
        mime.setUrls([qt.QUrl.fromLocalFile(str(path)) for path in paths])
        rest = qt.Qt.CopyAction, mime, qt.Qt.LeftButton, qt.Qt.NoModifier
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            events = (
                qt.QDragEnterEvent(qt.QPoint(5, 5), *rest),
                qt.QDropEvent(qt.QPointF(5, 5), *rest),
            )
        for event in events:
            event.ignore()
            qt.QApplication.sendEvent(self.panel.widget, event)
            assert event.isAccepted()

    @property
    def session(self):
        return self.panel.session

    @property
    def xrays(self):
        return self.registration.xrays

    def is_at(self, pose):
        return np.allclose(self.registration.world_from_ct, pose, atol=1e-9)

    def header(self, name):
        """What the header of a section says of its state, without its title."""
        symbol, _, rest = self.panel.sections[name].button.text.partition("  ")
        assert rest.startswith(TITLES[name])
        text = rest[len(TITLES[name]) :].lstrip(" \u2013")
        return f"{symbol} {text}".strip()

    def wait(self, until, seconds=60.0):
        self.host.process(seconds, until=until)
        self.host.process(0.1)

    def wait_for_work(self):
        """Until what was asked for is done."""
        self.wait(lambda: self.panel.session is None or not self.panel.session.running, 180.0)

    def wait_until_read(self):
        """Until the CT and the X-rays have been looked at."""
        ct = self.panel.sections["ct"]
        self.wait(lambda: not (self.panel.opening.under_way or self.panel.files.presenter.looking))
        self.wait(
            lambda: (
                not ct.presenter.looking
                and not (self.panel.session and self.panel.session.check_next())
            )
        )

    def answer(self):
        """What the answer at the top says: "✔ ACCEPT: expected error < 0.5 mm"."""
        return f"{self.ui.answerChip.text}: {self.ui.answerHeadline.text}"

    @property
    def message(self):
        """What the panel says went wrong, "" where nothing is said."""
        return self.ui.messageLabel.text if self.ui.messageLabel.visible else ""

    @property
    def pose(self):
        """(4, 4) world_from_ct, LPS."""
        return self.panel.registration.world_from_ct

    def history(self):
        """The methods in the table, and which of them is selected: "Search*"."""
        table = self.control("register", "history")
        return [line.cells[1].text + "*" * (line.id == table.selected) for line in table.lines]

    # The forms: a control is named by its section and its key

    def form_of(self, name):
        """The `panel.section.QtForm` of a section, of the answer, or of the table of geometries."""
        others = {"answer": self.panel.answer, "geometry": self.panel.geometry}
        return (others.get(name) or self.panel.sections[name]).form

    def drawn(self, name, key):
        """A control's `panel.drawn.Drawn`; what is folded around it is unfolded."""
        drawn = self.form_of(name).drawn[key]
        around = [drawn.widget]
        while around[-1] is not None:
            around.append(around[-1].parentWidget())
        for outer in around[-2::-1]:
            if getattr(outer, "collapsed", False) and outer is not drawn.widget:
                outer.collapsed = False
                self.host.process(0.1)
        return drawn

    def widget(self, name, key):
        """A control's widget."""
        return self.drawn(name, key).widget

    def control(self, name, key):
        """A control as its presenter shows it now, None where it is not seen."""
        return self.form_of(name).controls.get(key)

    def open_geometry(self, number):
        """Open the table of geometries at an X-ray, counted from 0."""
        self.pick("xrays", "xrays", number, 1)
        self.press("xrays", "geometry")
        self.host.process(0.1)

    def field(self, number, key):
        """The key of a field in the row of an X-ray, counted from 0."""
        return f"{self.panel.registration.xrays[number].node.GetID()}.{key}"

    def note(self, number):
        """The sentences below the row of an X-ray, counted from 0."""
        return self.control("geometry", "fields").lines[number].note

    def press(self, name, key):
        self.host.click(self.widget(name, key))

    def choose(self, name, key, title):
        """Choose one of several by what a person reads."""
        drawn = self.drawn(name, key)
        if drawn.control.spread:
            values = {option.title: option.value for option in drawn.control.options}
            self.host.click(drawn.button(values[title]))
        else:
            self.host.choose(drawn.widget, title)

    def type(self, name, key, text):
        """Replace what a field holds, key by key, and press Enter; leave one of several lines."""
        edit = self.drawn(name, key).edit
        if hasattr(edit, "setPlainText"):
            edit.setPlainText(text)
            self.host.send(edit, qt.QFocusEvent(qt.QEvent.FocusOut))
            self.host.process()
        else:
            self.host.type(edit, text)

    def text(self, name, key):
        """What is read of a control; "" where it is not seen."""
        control = self.control(name, key)
        return "" if control is None else getattr(control, "text", control.label)

    def cells(self, name, key):
        """The texts of a table."""
        return [[cell.text for cell in line.cells] for line in self.control(name, key).lines]

    def pick(self, name, key, row, column=0):
        """Click a cell of a table."""
        self.host.click_cell(self.widget(name, key), row, column)

    def open_files(self, name, key, *paths):
        """Choose files in the dialog of a button."""
        self.host.answers.open_files = list(paths)
        self.host.click(self.drawn(name, key).file)

    def write_files(self, name, key, folder):
        """Choose a folder for files that are made."""
        self.host.answers.directory = folder
        self.host.click(self.widget(name, key))
