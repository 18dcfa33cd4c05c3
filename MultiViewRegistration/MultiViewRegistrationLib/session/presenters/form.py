"""The form of a section, as plain data.

The panel (Qt) and the page (Vue) have one renderer each, which draws any of it.

A presenter's `form()` returns a list of controls, made again whenever something has changed. A
renderer knows a control again by its `key`, makes its widget once, and changes in it what has
changed; a control that is not in the list is not seen. What a person does at a control becomes a
call of its `action`, within the host's `ui_action()`, which shows what went wrong and then the form
again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...translation import _
from .number import Number

#: Tones of a text.
Tone = Literal["", "error", "caution", "quiet", "strong"]
#: Of verdicts.
TONES: dict[str, Tone] = {"check": "caution", "not shown": "caution", "reject": "error"}


@dataclass(frozen=True)
class Option:
    """An option of a choice.

    Attributes
    ----------
    value
        Passed to the action.
    title
        Its text.
    tip
        Its explanation.
    """

    value: str
    title: str
    tip: str = ""


def options_of(titles: dict[str, str]) -> tuple[Option, ...]:
    """Return options by their values and titles."""
    return tuple(Option(*item) for item in titles.items())


#: What an action may need: packages for DRRs; for a network; for OpenIGTLink.
Need = Literal["rendering", "network", "navigation"]


@dataclass(frozen=True)
class Control:
    """The common part of all controls.

    Attributes
    ----------
    key
        Its name in the form, which stays the same. The numbers of one that ends in "_mm" are
        lengths, which a host may show in another unit.
    label
        What stands on it, or beside it.
    action
        Called with what a person did, see each kind.
    tip
        More of it, in a tool tip.
    enabled
        Whether a person may use it now.
    needs
        Optional packages that its action needs: a host that can installs them before.
    primary
        Whether it is what a person should do next.
    """

    key: str
    label: str = ""
    action: Callable[..., Any] | None = field(default=None, compare=False)
    _: KW_ONLY
    tip: str = ""
    enabled: bool = True
    needs: tuple[Need, ...] = ()
    primary: bool = False


#: What a section shows, in its order; None for what is not there now.
Form = list[Control | None]


@dataclass(frozen=True)
class Text(Control):
    """A sentence or more, `label`; nothing is seen where it is "".

    Attributes
    ----------
    tone
        Its look.
    """

    tone: Tone = ""


@dataclass(frozen=True)
class Button(Control):
    """A button, with action().

    Attributes
    ----------
    strict
        Refused while a typed text is.
    icon
        "up", "down", "remove", "first", "back", "on", "last", "play" or "pause".
    keys
        That press it, as "Ctrl+Z".
    everywhere
        Whether they do so wherever the focus is, in Slicer's views, too; not in a text field, which
        has an undo of its own, nor once another module is open.
    question
        To be confirmed first, "" for none.
    on
        Whether it is down, None for a button that does not stay down.
    """

    strict: bool = False
    icon: str = ""
    keys: tuple[str, ...] = ()
    everywhere: bool = False
    question: str = ""
    on: bool | None = None


@dataclass(frozen=True)
class Switch(Control):
    """A check box, with action(on)."""

    on: bool = False


@dataclass(frozen=True)
class Choice(Control):
    """One of several, with action(value).

    Attributes
    ----------
    value
        Of the option that is chosen.
    spread
        Whether all options are seen at once.
    refused
        Values that cannot be chosen.
    """

    value: str = ""
    options: tuple[Option, ...] = ()
    spread: bool = False
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextField(Control):
    """A text that the user types; action(text) is called when the field is left.

    Attributes
    ----------
    number
        What it is read as; a text that it refuses, for which the action raises InputError, is
        marked, and hinders strict buttons.
    of
        What the text is about: once that is another, what was typed and not taken is dropped.
    rows
        More than 1 for a text of several lines.
    """

    text: str = ""
    number: Number | None = None
    hint: str = ""
    of: str = ""
    rows: int = 1

    def problem(self, text: str) -> str:
        """Return the problem in a text, a sentence; "" for none, and while it does not count."""
        return "" if self.number is None or not self.enabled else self.number.problem(text)


@dataclass(frozen=True)
class Slider(Control):
    """A slider, with action(value), while it is moved.

    Attributes
    ----------
    low, high, step
        Of its values.
    """

    value: float = 0.0
    low: float = 0.0
    high: float = 1.0
    step: float = 0.01


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes
    ----------
    share
        Of a bar, from 0 to 1, None for no bar.
    """

    text: str
    tip: str = ""
    tone: Tone = ""
    share: float | None = None


@dataclass(frozen=True)
class TableRow:
    """A row of a table.

    Attributes
    ----------
    on
        Of its check box, None for none.
    colour
        Of a dot before it, CSS.
    """

    id: str
    cells: tuple[Cell, ...]
    on: bool | None = None
    colour: str = ""


@dataclass(frozen=True)
class Table(Control):
    """Rows; one may be selected.

    action(id, column), if any, for a row that was clicked, with `cells` for a cell. switch(id, on):
    called for a check box.

    Attributes
    ----------
    columns
        titles.
    selected
        Id of a row.
    """

    columns: tuple[str, ...] = ()
    lines: tuple[TableRow, ...] = ()
    selected: str = ""
    cells: bool = False
    switch: Callable[[str, bool], Any] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class FieldCell:
    """A field of a `FieldTable`.

    Attributes
    ----------
    field
        A TextField or a Choice; or a Text, which is only read.
    error, caution
        A sentence, which names the field, about what is wrong with it, or may be.
    origin
        Source of its value in a few words; "" for a typed value and for an empty field.
    missing
        Whether it is required and empty.
    """

    field: Control
    error: str = ""
    caution: str = ""
    origin: str = ""
    missing: bool = False


@dataclass(frozen=True)
class FieldRow:
    """A row of a `FieldTable`.

    Attributes
    ----------
    title
        Before its fields.
    colour
        Of a dot before it, CSS.
    """

    id: str
    title: str
    cells: tuple[FieldCell, ...]
    colour: str = ""
    tip: str = ""

    @property
    def note(self) -> str:
        """Errors of the fields, or else warnings, a sentence in each line, shown below the row."""
        errors = [cell.error for cell in self.cells if cell.error]
        return "\n".join(errors or [cell.caution for cell in self.cells if cell.caution])

    @property
    def tone(self) -> Tone:
        """Tone of the note."""
        return "error" if any(cell.error for cell in self.cells) else "caution"


@dataclass(frozen=True)
class FieldTable(Control):
    """Fields, a row for each thing and a column for each property of it; one row is selected.

    action(id): a row was chosen.

    Attributes
    ----------
    columns
        Their titles, with tool tips; the first is that of the rows' titles.
    """

    columns: tuple[Option, ...] = ()
    lines: tuple[FieldRow, ...] = ()
    selected: str = ""


@dataclass(frozen=True)
class ProgressBar(Control):
    """A bar with the text `label`.

    Attributes
    ----------
    percent
        None where it is unknown.
    """

    percent: int | None = None


@dataclass(frozen=True)
class Files(Control):
    """Files that a person chooses, or in the page drops there, with action(paths, folder).

    `folder`, where it is not None, holds copies that a page sent; it is the action's to remove.

    Attributes
    ----------
    hint
        What is expected, in a few words.
    suffixes
        Of such files, ".json"; empty for any.
    several
        Whether there may be more than one.
    folders
        Whether a folder will do.
    """

    hint: str = ""
    suffixes: tuple[str, ...] = ()
    several: bool = False
    folders: bool = False


@dataclass(frozen=True)
class Download(Control):
    """Files that are made: written into a folder that a person chooses, or downloaded.

    action(folder): returns what writes files into a folder and returns their paths, for a thread.
    done(files): called once they are there.   name(): for a new folder of them, without any name of the case.
    """

    name: Callable[[], str] = field(default=lambda: "files", compare=False)

    done: Callable[[list[Path]], Any] = field(default=lambda files: None, compare=False)


@dataclass(frozen=True)
class Link(Control):
    """A file that was made, to be opened."""

    path: Path = Path()


@dataclass(frozen=True)
class Picture(Control):
    """A picture; `label` stands below it.

    action(across, down), if any, for a click at these shares of its width and height.

    Attributes
    ----------
    rgb
        Uint8 (rows, columns, 3); or svg.
    aspect
        Height of a pixel over its width.
    height
        At which it is shown, pixels, about.
    wide
        Whether it is as wide as the form.
    """

    rgb: np.ndarray | None = field(default=None, compare=False)
    svg: str = ""
    aspect: float = 1.0
    height: int = 240
    wide: bool = False


@dataclass(frozen=True)
class SideBySide(Control):
    """Controls beside each other."""

    children: tuple[Control, ...] = ()


@dataclass(frozen=True)
class Group(Control):
    """Controls below a title, `label`.

    Attributes
    ----------
    open
        Whether they are seen at first; None where they cannot be folded.
    """

    children: tuple[Control, ...] = ()
    open: bool | None = None


def row(key: str, *children: Control | None) -> SideBySide:
    """Put controls beside each other."""
    return SideBySide(key, children=tuple(filter(None, children)))


def group(key: str, label: str, *children: Control | None, open: bool | None = None) -> Group:
    """Put controls below a title."""
    return Group(key, label, children=tuple(filter(None, children)), open=open)


def quiet(key: str, label: str) -> Text:
    """Write a sentence that is less than the rest."""
    return Text(key, label, tone="quiet")


def texts(key: str, sentences: Iterable[str], tone: Tone = "") -> Form:
    """Write sentences below each other."""
    return [Text(f"{key}{n}", sentence, tone=tone) for n, sentence in enumerate(sentences)]


def line(id: str, *cells: Cell | str, on: bool | None = None, colour: str = "") -> TableRow:
    """Put cells, or plain texts, into a row of a table."""
    made = (Cell(each) if isinstance(each, str) else each for each in cells)
    return TableRow(id, tuple(made), on, colour)


def choose_among(titles: Iterable[tuple[str, str]]) -> tuple[Option, ...]:
    """Return options by their values and titles, after one that asks to choose."""
    return (Option("", _("choose...")), *(Option(*each) for each in titles))


def visible(controls: Iterable[Control | None]) -> list[Control]:
    """Return the visible controls."""
    return [
        control
        for control in filter(None, controls)
        if not (isinstance(control, Text) and not control.label)
        and not (isinstance(control, (SideBySide, Group)) and not visible(control.children))
    ]


def empty_fields(controls: Iterable[Control | None]) -> list[str]:
    """Return the keys of the choices and texts that nobody has answered."""
    found = walk(controls).values()
    choices = [each.key for each in found if isinstance(each, Choice) and not each.value]
    return choices + [each.key for each in found if isinstance(each, TextField) and not each.text]


def walk(controls: Iterable[Control | None]) -> dict[str, Control]:
    """Return all controls, also those in rows and groups, by their keys."""
    found: dict[str, Control] = {}
    for control in filter(None, controls):
        found[control.key] = control
        if isinstance(control, (SideBySide, Group)):
            found |= walk(control.children)
        if isinstance(control, FieldTable):
            for line in control.lines:
                found |= walk(cell.field for cell in line.cells)
    return found


#: Fields of a control that a page is not told: functions, pixels, paths.
NOT_TOLD = "action switch done name rgb number needs path".split()


def plain_data(value: Any) -> Any:
    """Return a control, or a part of one, for a page: its fields, with the name of its kind."""
    if isinstance(value, (tuple, list)):
        return list(map(plain_data, value))
    if not is_dataclass(value):
        return value
    told = [each.name for each in fields(value) if each.name not in NOT_TOLD]
    data = {name: plain_data(getattr(value, name)) for name in told}
    data["kind"] = type(value).__name__
    if isinstance(value, (Table, Picture)):
        data["acts"] = value.action is not None
    if isinstance(value, TextField) and value.number is not None:
        data["unit"] = value.number.unit.strip()
        data["hint"] = value.hint or value.number.blank
    if isinstance(value, FieldRow):
        data |= {"note": value.note, "tone": value.tone}
    return data
