"""Landmarks from a file that a page sent."""

from __future__ import annotations

import shutil
from pathlib import Path

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..errors import InputError
from ..session.start_files import PLACES, landmarks_to_ct, landmarks_to_xray
from .elements import Files
from .questions_part import build_questions, questions_content
from .sent_files import only_one, without

KINDS = ".json,.fcsv"
#: Instead of the ID of an X-ray's node.
CT = ""


class LandmarkFile:
    """A box with what the points are of, the CT or an X-ray, and a place for the file.

    section: the `StartSection` that shows it.
    """

    def __init__(self, section) -> None:
        self._section = section
        self._of, self._place = CT, ""

    def build(self) -> None:
        with html.Details(classes="mv-details"):
            html.Summary("Landmarks from a file")
            v.VSelect(
                label="Landmarks of",
                items=("start.landmark_file.owners",),
                model_value=("start.landmark_file.of",),
                update_modelValue=(self.choose, "[$event]"),
                classes="mt-2",
            )
            build_questions("start.landmark_file.questions", self.answer)
            Files(
                target="landmarks",
                hint="landmarks: .mrk.json or .fcsv, as Slicer saves them",
                accept=KINDS,
                disabled=("!start.landmark_file.ready",),
            )
            html.Div("{{ start.landmark_file.told }}", classes="mv-fact")

    def adopt(self) -> None:
        """There is another registration at work."""
        self._of, self._place = CT, ""

    def content(self) -> dict:
        """What the widgets show."""
        registration, view = self._section.registration, self._view()
        ready = bool(self._place) if view is not None else registration is not None and registration.ct is not None
        return {
            "of": CT if view is None else self._of,
            "ready": ready,
            "told": "" if ready else self._lacks(view),
            "owners": [
                {"value": CT, "title": "the CT"},
                *({"value": other.node.GetID(), "title": other.name} for other in self._views()),
            ],
            "questions": questions_content([PLACES] if view is not None else [], {PLACES.key: self._place}),
        }

    def _lacks(self, view) -> str:
        return "Choose a CT first." if view is None else "Say first where the points lie."

    def _views(self) -> list:
        registration = self._section.registration
        return [view for view in registration.xrays if view.used and view.placed] if registration is not None else []

    def _view(self):
        """The X-ray whose landmarks they are, None for the CT."""
        return next((view for view in self._views() if view.node.GetID() == self._of), None)

    # What a person does

    def choose(self, node_id: str) -> None:
        """Say what the landmarks are of: an X-ray, by the ID of its node, or CT."""
        with self._section.application.acting():
            self._of = str(node_id or CT)

    def answer(self, key: str, answer) -> None:
        """Say where the points of an X-ray lie."""
        with self._section.application.acting():
            self._place = str(answer or "")

    def take(self, folder: Path) -> None:
        """A file that a page sent. InputError for several."""
        path = only_one(folder, "Landmarks")
        with self._section.application.acting():
            try:
                if self._section.registration is None:
                    raise InputError("Landmarks: there is no registration, expected one with a CT; open or begin one.")
                if (view := self._view()) is None:
                    landmarks_to_ct(self._section.registration, path)
                else:
                    landmarks_to_xray(self._section.registration, view, path, self._place)
            except InputError as error:
                raise InputError(without(folder, str(error))) from None
            finally:
                shutil.rmtree(folder, ignore_errors=True)
