"""The renderer of forms in Qt: each kind of control is drawn, changed, and tells what a person did."""

from dataclasses import replace

import numpy as np
import pytest
import qt
import slicer
from gui_driver import GuiDriver
from slicer_host import Host
from slicer_host.host import Answers

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.panel.section import QtForm
from MultiViewRegistrationLib.session.presenters.form import (
    Button,
    Cell,
    Choice,
    Files,
    Option,
    Picture,
    ProgressBar,
    Slider,
    Switch,
    Table,
    TableRow,
    Text,
    TextField,
    group,
    row,
)
from MultiViewRegistrationLib.session.presenters.number import Number

NAME = "<b>A&P</b>"
TIP = f"Of {NAME}:\nits <i>."
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="40" height="20"/></svg>'
OPTIONS = (Option("a", "A"), Option("b", "B", "Better."))


class AtForm:
    """Somebody at a form that shows what a test gives it; `did` has what they did."""

    def __init__(self, person):
        self.host, self.person, self.did = person.host, person, []
        self.window = qt.QWidget()
        self.form = QtForm(self.person.panel, self.window)
        self.window.resize(400, 300)
        self.window.show()

    def show(self, *controls):
        self.form.show(controls)
        self.host.process()

    def done(self, *what):
        self.did.append(what)

    def widget(self, key):
        return self.form.drawn[key].widget

    def seen(self, *keys):
        return [self.widget(key).visible for key in keys]


@pytest.fixture(scope="module")
def host():
    """One for all tests of this file, as its panel is."""
    host = Host()
    yield host
    host.close()


@pytest.fixture(scope="module")
def person(host):
    person = GuiDriver(host)
    person.begin("register")
    return person


@pytest.fixture
def at(person):
    person.host.answers, person.host.messages = Answers(), []
    person.panel.show_message("")
    at = AtForm(person)
    yield at
    at.window.deleteLater()  # else Python does at any time, also while Slicer goes through its windows
    person.host.process()


def test_controls_come_go_and_keep_their_place(at):
    first, second, third = (Button(name, name) for name in ("first", "second", "third"))
    at.show(first, third)
    at.show(first, Text("note", "Note."), row("pair", second), third)
    keys = ("first", "note", "second", "third")
    tops = [at.widget(key).mapTo(at.window, qt.QPoint(0, 0)).y() for key in keys]
    assert tops == sorted(set(tops))
    before = at.widget("second")
    at.show(Text("note", ""), group("box", "Box", Text("inside", "Inside.")))
    assert at.seen("note", "first", "second", "inside") == [False, False, False, True]
    at.show(row("pair", second))
    assert at.widget("second") is before and at.seen("second", "box") == [True, False]


@pytest.mark.slow
def test_a_choice_tells_only_of_what_is_another(at):
    at.show(Choice("it", "Choice", at.done, value="a", options=OPTIONS))
    at.host.choose(at.widget("it"), "B")
    at.host.choose(at.widget("it"), "A")  # as it was
    assert at.did == [("b",)]


def test_a_slider_is_moved_and_follows_the_form_without_a_word(at):
    at.show(Slider("it", "Slider", at.done, value=0.2))
    at.widget("it").value = 70
    assert at.did == [(pytest.approx(0.7),)]
    at.show(Slider("it", "Slider", at.done, value=0.9))
    assert at.widget("it").value == 90 and len(at.did) == 1


def test_a_table_tells_of_cells_and_of_check_boxes(at):
    lines = [TableRow(name, (Cell(name), Cell("x")), on=name == "one") for name in ("one", "two")]
    at.show(Table("it", "", at.done, columns=("1", "2"), lines=tuple(lines), switch=at.done))
    at.host.click_cell(at.widget("it"), 1, 1)
    at.host.click_cell(at.widget("it"), 0, 0)
    assert at.did == [("two", 1), ("one", False), ("one", 0)]


def test_a_button_that_is_on_is_checked_and_one_that_asks_may_be_refused(at):
    at.show(Button("it", "Press", at.done, question="Really?", on=True, icon="play"))
    assert at.widget("it").checked
    at.host.answers.yes = False
    at.host.click(at.widget("it"))
    assert at.host.shown("question") == ["Really?"] and not at.did


def test_files_and_folders_are_chosen(at, tmp_path):
    at.show(Files("it", "Files", at.done, several=True, folders=True))
    at.host.answers.open_files = paths = [tmp_path / "a.png", tmp_path / "b.png"]
    at.host.answers.directory = tmp_path
    at.host.click(at.form.drawn["it"].file)
    at.host.click(at.form.drawn["it"].folder)
    assert at.did == [(paths, None), ([tmp_path], None)]


def angle(at, text="10", of="one"):
    number = Number("Angle", -90, 90, "\u00b0")
    act = lambda typed: at.done(number.read(typed))  # noqa: E731
    return TextField("entry", "Angle", act, text=text, number=number, of=of)


@pytest.mark.parametrize("wrong", ["500", "north"])
def test_wrong_number_stays_and_blocks_strict_buttons(at, wrong, monkeypatch):
    shown = [angle(at), Button("go", "Go", at.done, strict=True)]
    at.show(*shown)
    edit = at.form.drawn["entry"].edit
    at.host.type(edit, wrong)
    at.show(*shown)  # the form says what it said
    assert edit.text == wrong and edit.property("tone") == "error"
    monkeypatch.setattr(at.person.panel.sections["ct"], "problems", at.form.problems)
    at.host.click(at.widget("go"))
    assert not at.did and at.person.message.startswith("Angle: ")
    at.host.type(edit, "20")
    assert at.did == [(20,)] and edit.property("tone") == "" and not at.form.problems()
    at.show(angle(at, of="another"))
    assert edit.text == "10"


@pytest.mark.slow
def test_a_number_of_mm_is_shown_and_typed_in_slicers_unit_of_length(at, length_unit):
    number = Number("Length", 1, 500, " mm")
    act = lambda typed: at.done(number.read(typed))  # noqa: E731
    shown = TextField("it", "Length", act, text="45", number=number)
    at.show(shown)
    length_unit("cm")
    at.show(shown)
    edit = at.form.drawn["it"].edit
    assert edit.text == "4.5" and slicer.util.findChildren(at.window, text="cm")
    for typed in ("12,5", "30 cm", "20 mm", "1,2,3"):
        at.host.type(edit, typed)
    assert at.did == [(125,), (300,), (20,)] and '"1,2,3 cm"' in at.form.problems()[0]


@pytest.mark.parametrize("rows, text", [(1, "1 2"), (3, "1 2\n3 4")])
def test_a_text_is_taken_once_when_its_field_is_left(at, rows, text):
    shown = TextField("it", "Text", at.done, rows=rows)
    at.show(shown, TextField("other", "Other", at.done))
    edit = at.form.drawn["it"].edit
    at.window.activateWindow()
    edit.setFocus()
    at.host.process()
    (edit.setPlainText if rows > 1 else edit.insert)(text)
    at.show(shown, TextField("other", "Other", at.done))
    assert not at.did
    for key in ("other", "it", "other"):
        at.form.drawn[key].edit.setFocus()
        at.host.process()
        at.show(replace(shown, text=text), TextField("other", "Other", at.done))
    assert at.did == [(text,)]


@pytest.mark.slow
def test_an_action_that_fails_is_a_message(at):
    def fail():
        raise InputError("File: is empty, expected a CT; choose another.")

    off = Button("off", "Off", at.done, enabled=False)
    at.show(Button("button", "Press", fail), off)
    at.host.click(at.widget("button"))
    assert at.person.message == "File: is empty, expected a CT; choose another."
    at.form.drawn["off"].press()
    assert not at.did


def test_pictures_and_progress_are_drawn(at):
    picture = Picture("picture", "Below", rgb=np.zeros((40, 20, 3), np.uint8), aspect=0.5)
    at.show(picture, Picture("svg", svg=SVG), ProgressBar("progress", "Half", percent=50))
    drawn = at.form.drawn
    pixmap = drawn["picture"].picture.pixmap
    assert (pixmap.width(), pixmap.height()) == (240, 240)
    assert drawn["picture"].text.text == "Below" and drawn["svg"].picture.pixmap.width() == 40
    assert (drawn["progress"].bar.value, drawn["progress"].bar.maximum) == (50, 100)
    at.show(ProgressBar("progress", "Unknown"))
    assert drawn["progress"].bar.maximum == 0


def test_a_click_in_a_picture_says_where_in_it(at):
    at.show(Picture("it", svg=SVG, action=at.done))
    around = at.form.drawn["it"].picture
    corner = qt.QPoint((around.width - 40) // 2, (around.height - 20) // 2)
    at.host.click(around, qt.QPoint(corner.x() + 10, corner.y() + 15))
    assert at.did == [(pytest.approx(0.25, abs=0.02), pytest.approx(0.75, abs=0.03))]


def shown_as(text):
    """What Qt shows of a tool tip."""
    edit = qt.QTextEdit()
    edit.setText(text)
    return edit.toPlainText()


def test_names_that_look_like_html_are_shown_as_they_are(at):
    options = (Option("a", NAME, TIP),)
    at.show(
        Text("text", NAME, tip=TIP),
        Button("button", NAME, print, tip=TIP, question=f"Remove {NAME}?"),
        Switch("switch", NAME, print, tip=TIP),
        Choice("choice", NAME, print, value="a", options=options, spread=True, tip=TIP),
        ProgressBar("progress", NAME),
        Table("table", "", columns=("1",), lines=(TableRow("x", (Cell(NAME),)),)),
        group("group", NAME, Text("inside", NAME), open=False),
    )
    at.person.panel.show_message(NAME)
    labels = at.window.findChildren(qt.QLabel)
    labels += at.person.module_widget.parent.findChildren(qt.QLabel)
    formats = [label.property("textFormat") for label in labels if "<b>" in label.text]
    assert len(formats) >= 5 and set(formats) == {qt.Qt.PlainText}
    spread = at.form.drawn["choice"].button("a")
    buttons = [at.widget("button"), at.widget("switch"), spread]
    for widget in (at.widget("text"), at.widget("choice"), *buttons):
        assert shown_as(widget.toolTip) == TIP
    for text in (*(button.text for button in buttons), at.widget("group").title.strip()):
        assert text == "<b>A&&P</b>"  # which Qt shows as one
    assert shown_as(at.widget("table").item(0, 0).toolTip()) == NAME
    at.host.click(at.widget("button"))
    assert shown_as(at.host.messages[-1].text) == f"Remove {NAME}?"
