"""A step of the page: the form of a presenter, which the element mv-form (browser/form.js) draws."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..report.html import embedded, png
from ..session.presenters.form import (
    Button,
    Choice,
    Control,
    Download,
    Files,
    Group,
    Link,
    Picture,
    SideBySide,
    Table,
    TextField,
    plain_data,
    visible,
    walk,
)
from ..session.presenters.section import Presenter, State
from ..translation import _
from .elements import Form
from .transfers import packed

if TYPE_CHECKING:
    from .application import Application

#: Seconds between two looks at whether files are written.
POLL_S = 0.05


class PageSection:
    """Shows one presenter.

    `state[state_name]` of the server has the controls as plain data, and never the other way round:
    what a person does calls `act`, which changes the scene, and all pages then show that. Names out
    of files are shown as text, never as HTML.
    """

    def __init__(self, name: str, presenter: Presenter, application: Application) -> None:
        self.application = application
        self.name = name
        self.presenter = presenter
        self.state_name = f"{name}_form"
        self.title = presenter.TITLE
        self._controls: dict[str, Control] = {}
        self._refused: dict[
            str, tuple[TextField, str]
        ] = {}  # fields as they were, and what was typed there
        self._pictures: dict[str, tuple[np.ndarray, str]] = {}
        self._addresses: dict[Path, str] = {}

    def build(self) -> None:
        """Put the form into the layout that is being made."""
        Form(controls=(f"{self.state_name}.controls",), section=self.name)

    def reset(self) -> None:
        """Forget what was shown: there is another registration at work, or none."""
        self._addresses.clear()  # what was offered is withdrawn
        self._refused.clear()
        self.presenter.reset()

    def refresh(self) -> None:
        """Show the scene as it is."""
        there = self.application.registration is not None
        form = self.presenter.form() if there or self.presenter.BEGINS else []
        self._controls = walk(form)
        stands = there and not self.application.opening.under_way
        state = self.presenter.state() if stands else State("todo")
        self.application.state[self.state_name] = {
            "controls": self._shown(form),
            "state": asdict(state),
        }

    def _shown(self, form: Iterable[Control | None]) -> list[dict]:
        """Return the controls as the page takes them, with pictures as addresses."""
        shown = []
        for control in visible(form):
            data = plain_data(control)
            if isinstance(control, TextField) and control.number is not None:
                data["text"] = self._typed_text(control)
                data["problem"] = control.problem(data["text"])
            if isinstance(control, Picture) and control.rgb is not None:
                if self._pictures.get(control.key, (None, ""))[0] is not control.rgb:
                    self._pictures[control.key] = (
                        control.rgb,
                        _data_url(control.rgb, control.aspect),
                    )
                data["url"] = self._pictures[control.key][1]
            if isinstance(control, Link):
                if control.path not in self._addresses:
                    self._addresses[control.path] = self.application.downloads.offer(control.path)
                data["url"] = self._addresses[control.path]
            if isinstance(control, (SideBySide, Group)):
                data["children"] = self._shown(control.children)
            shown.append(data)
        return shown

    def problems(self) -> list[str]:
        """Return the problems in the typed values that are seen, a sentence each."""
        fields = [control for control in self._controls.values() if isinstance(control, TextField)]
        return [problem for field in fields if (problem := field.problem(self._typed_text(field)))]

    def _typed_text(self, field: TextField) -> str:
        """Return the text of a field.

        What was typed and refused, until the field shows something else.
        """
        before, typed = self._refused.get(field.key, (field, field.text))
        return typed if (before.text, before.of) == (field.text, field.of) else field.text

    # What a person does

    def act(self, key: str, *args: Any) -> None:
        """Perform a control's action.

        Nothing where it has gone, or been disabled, while the click was on its way.
        """
        control = self._controls.get(key)
        if control is None or not control.enabled:
            return
        if isinstance(control, Choice) and args[0] not in [
            option.value for option in control.options
        ]:
            return
        self._refused.pop(key, None)
        with self.application.ui_action():
            if (
                isinstance(control, Button)
                and control.strict
                and (problems := self.application.problems())
            ):
                raise InputError(problems[0])
            if isinstance(control, TextField) and control.problem(args[0]):
                self._refused[key] = control, args[0]
            perform = control.action
            if isinstance(control, Table) and len(args) == 2 and isinstance(args[1], bool):
                perform = control.switch
            if perform is not None:
                perform(*args)

    def take(self, key: str, folder: Path) -> None:
        """Take files that a page sent."""
        control = self._enabled(key)
        if not isinstance(control, Files) or control.action is None:
            raise InputError(_("Upload: this takes no files; use the page."))
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        if not control.several and not control.folders and len(files) != 1:
            raise InputError(
                _("{what}: {count} files were sent, expected one; choose one."),
                what=control.label,
                count=len(files),
            )
        with self.application.ui_action():
            try:
                control.action(files, folder)
            except InputError:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    async def download(self, key: str) -> str:
        """Write files, and return the address of an archive of them, "" where they could not be written."""
        control = self._enabled(key)
        session = self.application.session
        written: list[tuple[list[Path], Path]] = []
        if not isinstance(control, Download) or control.action is None or session is None:
            return ""
        with self.application.ui_action():
            folder = self.application.downloads.new_folder() / control.name()
            write = control.action(folder)
            session.run(lambda: (write(), packed(folder)), written.append)
        while session.running and not written:
            await asyncio.sleep(POLL_S)
        if not written or session is not self.application.session:
            return ""
        files, archive = written[0]
        with self.application.ui_action():
            control.done(files)
        return self.application.downloads.offer(archive)

    def _enabled(self, key: str) -> Control:
        """Return the control as it was shown last.

        Raises
        ------
        InputError
            Where it is not there, or cannot be used.
        """
        control = self._controls.get(key)
        if control is None or not control.enabled:
            raise InputError(_("This cannot be done now; look at the page again."))
        return control


def _data_url(picture: np.ndarray, aspect: float) -> str:
    """Return a picture, uint8 (rows, columns) or (rows, columns, 3), as the address of a PNG.

    Parameters
    ----------
    aspect
        Height of its pixels over their width.
    """
    from PIL import Image

    image = Image.fromarray(picture)
    if aspect != 1.0:
        image = image.resize((image.width, max(1, round(image.height * aspect))))
    return embedded(png(np.asarray(image)))
