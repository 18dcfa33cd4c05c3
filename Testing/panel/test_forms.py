"""The renderer of forms in Qt.

Every kind of control is drawn, changed, and tells what a person did.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gui_driver import GuiDriver

from MultiViewRegistrationLib.errors import InputError


@pytest.fixture
def at(host):
    """Somebody at a form that shows what a test gives it; `did` has what they did."""
    return AtForm(host)


class AtForm:
    def __init__(self, host) -> None:
        import qt

        from MultiViewRegistrationLib.panel.form import QtForm

        self.host, self.person, self.did = host, GuiDriver(host), []
        self.person.begin("register")
        window = qt.QWidget()
        self.form, self._window = QtForm(self.person.panel, window), window
        window.resize(400, 300)
        window.show()

    def show(self, *controls):
        self.form.show(controls)
        self.host.process()

    def done(self, *what):
        self.did.append(what)

    def widget(self, key):
        return self.form.drawn[key].widget

    def answer(self, key):
        """The widget's visibility."""
        return self.widget(key).visible


def test_controls_come_go_and_keep_their_place(at):
    from MultiViewRegistrationLib.session.presenters.form import Button, Text, group, row

    first, second, third = (Button(name, name) for name in ("first", "second", "third"))
    at.show(first, third)
    at.show(first, Text("note", "Note."), row("pair", second), third)
    tops = [
        at.widget(key).mapTo(at._window, at.widget(key).rect.topLeft()).y()
        for key in ("first", "note", "second", "third")
    ]
    assert tops == sorted(tops) and len(set(tops)) == 4
    before = at.widget("second")
    at.show(Text("note", ""), group("box", "Box", Text("inside", "Inside.")))
    assert (
        not (at.widget("note").visible or at.widget("first").visible or before.visible)
        and at.widget("inside").visible
    )
    at.show(row("pair", second))
    assert at.widget("second") is before and before.visible and not at.widget("box").visible


def test_every_control_calls_its_action(at, tmp_path):
    from MultiViewRegistrationLib.session.presenters.form import (
        Button,
        Cell,
        Choice,
        Files,
        Option,
        Slider,
        Switch,
        Table,
        TableRow,
    )

    options = (Option("a", "A"), Option("b", "B", "Better."))
    lines = tuple(
        TableRow(name, (Cell(name), Cell("x", "More.")), on=name == "one")
        for name in ("one", "two")
    )

    def form(**changes):
        return (
            Button(
                "button", "Press", lambda: at.done("pressed"), question=changes.get("question", "")
            ),
            Button(
                "toggle",
                "Toggle",
                lambda: at.done("toggled"),
                on=changes.get("on", False),
                icon="play",
            ),
            Switch("switch", "Switch", lambda on: at.done("switch", on)),
            Choice(
                "choice",
                "Choice",
                lambda value: at.done("choice", value),
                value="a",
                options=options,
            ),
            Choice(
                "spread",
                "Spread",
                lambda v: at.done("spread", v),
                value="a",
                options=options,
                spread=True,
                refused=changes.get("refused", ()),
            ),
            Slider(
                "slider",
                "Slider",
                lambda value: at.done("slider", round(value, 3)),
                value=changes.get("value", 0.2),
            ),
            Table(
                "table",
                "",
                lambda *cell: at.done("cell", *cell),
                columns=("1", "2"),
                lines=lines,
                selected="two",
                switch=lambda *what: at.done("line", *what),
            ),
            Files(
                "files",
                "Files",
                lambda *files: at.done("files", *files),
                several=True,
                folders=True,
            ),
        )

    host = at.host
    at.show(*form())
    for key in ("button", "toggle", "switch"):
        host.click(at.widget(key))
    host.choose(at.widget("choice"), "B")
    host.choose(at.widget("choice"), "A")  # as it was: nothing has changed
    host.click(at.form.drawn["spread"]._buttons[1])
    at.widget("slider").value = 70
    host.click_cell(at.widget("table"), 1, 1)
    host.click_cell(at.widget("table"), 0, 0)  # its check box
    host.answers.open_files = [tmp_path / "a.png", tmp_path / "b.png"]
    host.click(at.form.drawn["files"].file)
    host.answers.directory = tmp_path
    host.click(at.form.drawn["files"].folder)
    assert at.did[:5] == [
        ("pressed",),
        ("toggled",),
        ("switch", True),
        ("choice", "b"),
        ("spread", "b"),
    ]
    assert (
        ("slider", 0.7) in at.did
        and ("cell", "two", 1) in at.did
        and ("line", "one", False) in at.did
    )
    assert at.did[-2:] == [
        ("files", [tmp_path / "a.png", tmp_path / "b.png"], None),
        ("files", [tmp_path], None),
    ]
    at.did.clear()
    at.show(*form(value=0.9, on=True, refused=("b",), question="Really?"))
    assert (
        at.widget("toggle").checked
        and not at.form.drawn["spread"]._buttons[1].enabled
        and at.widget("slider").value == 90
    )
    assert not at.did  # what the form changes is no act of a person
    host.answers.yes = False
    host.click(at.widget("button"))
    assert host.messages[-1].text == "Really?" and not at.did


def test_typed_text_stays_and_a_wrong_number_is_a_message(at):
    from MultiViewRegistrationLib.session.presenters.form import Button, Number, TextField

    number, host = Number("Angle", -90, 90, "\u00b0"), at.host

    def form(text="10", of="one"):
        return (
            TextField(
                "entry",
                "Angle",
                lambda text: at.done(number.read(text)),
                text=text,
                number=number,
                of=of,
            ),
            TextField(
                "live",
                "Live",
                lambda text: at.done("left", text),
                text="",
                typed=lambda text: at.done("live", text),
            ),
            TextField("area", "Matrix", lambda text: at.done("area", text), rows=3),
            Button("go", "Go", lambda: at.done("gone"), strict=True),
        )

    at.show(*form())
    edit = at.form.drawn["entry"].edit
    for wrong in ("0,58,1", "500", "north"):
        host.type(edit, wrong)
        assert (
            edit.text == wrong
            and edit.property("tone") == "error"
            and not at.did
            and at.form.problems()
        )
        assert at.person.message.startswith("Angle: ")
    at.show(*form())  # the form says what it said: what is typed stays
    assert edit.text == "500" or edit.text == "north"
    at.person.panel.sections["ct"].problems = at.form.problems
    host.click(at.widget("go"))
    assert not at.did and at.person.message.startswith("Angle: ")
    host.type(edit, "20")
    assert at.did == [(20,)] and edit.property("tone") == "" and not at.form.problems()
    at.show(*form(of="another"))
    assert edit.text == "10"
    host.type(at.form.drawn["live"].edit, "ab")
    assert ("live", "a") in at.did and ("live", "ab") in at.did
    at.form.drawn["area"].edit.setPlainText("1 2\n3 4")
    assert at.did[-1] == ("area", "1 2\n3 4")


def test_an_action_that_fails_is_a_message(at):
    from MultiViewRegistrationLib.session.presenters.form import Button

    def fail():
        raise InputError("File: is empty, expected a CT; choose another.")

    at.show(
        Button("button", "Press", fail), Button("off", "Off", lambda: at.done("off"), enabled=False)
    )
    at.host.click(at.widget("button"))
    assert at.person.message == "File: is empty, expected a CT; choose another."
    at.form.drawn["off"].press()
    assert not at.did


def test_pictures_progress_and_downloads(at, tmp_path):
    from MultiViewRegistrationLib.session.presenters.form import Download, Picture, ProgressBar

    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="40" height="20"/></svg>'
    at.show(
        Picture("picture", "Below", rgb=np.zeros((40, 20, 3), np.uint8), aspect=0.5),
        Picture("svg", svg=svg),
        ProgressBar("progress", "Half", percent=50),
    )
    drawn = at.form.drawn
    assert (drawn["picture"].picture.pixmap.width(), drawn["picture"].picture.pixmap.height()) == (
        240,
        240,
    )
    assert drawn["picture"].text.text == "Below" and drawn["svg"].picture.pixmap.width() == 40
    assert (drawn["progress"].bar.value, drawn["progress"].bar.maximum) == (50, 100)
    at.show(ProgressBar("progress", "Unknown"))
    assert drawn["progress"].bar.maximum == 0
    at.person.panel.begin()
    written: list[Path] = []

    def write(folder):
        return lambda: [folder / "a.txt"]

    at.show(Download("download", "Export", write, done=written.extend))
    at.host.answers.directory = tmp_path
    at.host.click(at.widget("download"))
    at.person.wait(lambda: written)
    assert written == [tmp_path / "a.txt"]


NAME = "<b>A&P</b>"


def shown_as(text: str) -> str:
    """What Qt shows of a tool tip."""
    import qt

    edit = qt.QTextEdit()
    edit.setText(text)
    return edit.toPlainText()


def test_names_that_look_like_html_are_shown_as_they_are(at):
    import qt

    from MultiViewRegistrationLib.session.presenters.form import (
        Button,
        Cell,
        Choice,
        Option,
        ProgressBar,
        Switch,
        Table,
        TableRow,
        Text,
        group,
    )

    tip = f"Of {NAME}:\nits <i>."
    at.show(
        Text("text", NAME, tip=tip),
        Button("button", NAME, lambda: None, tip=tip, question=f"Remove {NAME}?"),
        Switch("switch", NAME, lambda on: None, tip=tip),
        Choice(
            "choice",
            NAME,
            print,
            value="a",
            options=(Option("a", NAME, tip),),
            spread=True,
            tip=tip,
        ),
        ProgressBar("progress", NAME),
        Table("table", "", columns=("1",), lines=(TableRow("x", (Cell(NAME),)),)),
        group("group", NAME, Text("inside", NAME), open=False),
    )
    at.person.panel.show_message(NAME)
    windows = (at._window, at.person.module_widget.parent)
    labels = [
        label
        for window in windows
        for label in window.findChildren(qt.QLabel)
        if "<b>" in label.text
    ]
    plain = qt.Qt.PlainText
    assert len(labels) >= 5 and all(label.property("textFormat") == plain for label in labels)
    for key in ("text", "button", "switch", "choice"):
        assert shown_as(at.widget(key).toolTip) == tip
    assert shown_as(at.widget("table").item(0, 0).toolTip()) == NAME
    spread = at.form.drawn["choice"].button("a")
    assert shown_as(spread.toolTip) == tip
    for widget in (at.widget("button"), at.widget("switch"), spread):
        assert widget.text == "<b>A&&P</b>"  # which Qt shows as one
    assert at.widget("group").title.strip() == "<b>A&&P</b>"
    at.host.answers.yes = False
    at.host.click(at.widget("button"))
    assert shown_as(at.host.messages[-1].text) == f"Remove {NAME}?"
