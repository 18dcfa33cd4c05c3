"""Landmarks in the CT and in the X-rays, clicked in the page or sent in a file."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..errors import InputError
from ..io.files import as_sent
from ..session.presenters.landmarks import LandmarkFilePresenter, LandmarksPresenter
from ..session.translation import _
from .elements import Files
from .uploads import only_one
from .xray_forms import build_questions

KINDS = ".json,.fcsv"


class LandmarksCard:
    """A table of landmarks, a button that begins to click, and a place for a file.

    section: the `StartSection` that shows it.   clicking: whether a click in an X-ray places a landmark.
    """

    def __init__(self, section) -> None:
        self._application, self._acting, self.clicking = section.application, section.acting, False
        self.presenter = LandmarksPresenter(section.application)
        self._file = LandmarkFilePresenter(section.application)

    def build(self) -> None:
        with html.Div(v_if="start.start === 'landmarks'"):
            with html.Table(v_if="start.landmarks.length", classes="mv-table"):
                with html.Thead(), html.Tr():
                    html.Th(_("Landmark"))
                    html.Th("{{ where }}", v_for="where in start.landmark_places", key="where")
                    html.Th("")
                with html.Tbody(), html.Tr(v_for="row in start.landmarks", key="row.name"):
                    html.Td("{{ row.name }}")
                    with html.Td(v_for="(cell, index) in row.cells", key="index"):
                        html.Span(
                            "{{ cell.text }}",
                            v_if="cell.text",
                            classes=("cell.off ? 'mv-problem' : ''",),
                            title=("cell.tip",),
                        )
                        html.Button(
                            _("click next"),
                            v_else=True,
                            type="button",
                            classes="mv-link mv-fact",
                            click=(self._acting(self._next_at), "[start.landmark_places[index], row.name]"),
                        )
                    with html.Td():
                        v.VBtn(
                            icon="mdi-delete-outline",
                            size="x-small",
                            variant="text",
                            click=(self._acting(self.presenter.remove), "[row.name]"),
                            title=_("Remove this landmark"),
                            aria_label=("'Remove landmark ' + row.name",),
                        )
            for on, label in ((True, _("Stop clicking")), (False, _("Click landmarks"))):
                v.VBtn(
                    label,
                    v_if=f"start.clicking === {str(on).lower()}",
                    click=self._acting(self._toggle),
                    size="small",
                    variant="tonal",
                    color="primary" if on else "",
                    classes="mt-2",
                )
            html.Div("{{ start.landmarks_told }}", classes="mv-fact")
            self._build_file()

    def _build_file(self) -> None:
        with html.Details(classes="mv-details"):
            html.Summary(_("Landmarks from a file"))
            v.VSelect(
                label=_("Landmarks of"),
                items=("start.landmark_file.owners",),
                model_value=("start.landmark_file.owner",),
                update_modelValue=(self._acting(self._file.choose), "[$event]"),
                classes="mt-2",
            )
            build_questions("start.landmark_file.questions", self._acting(self._file.answer))
            Files(
                target="landmarks",
                hint=_("landmarks: .mrk.json or .fcsv, as Slicer saves them"),
                accept=KINDS,
                disabled=("!start.landmark_file.ready",),
            )
            html.Div("{{ start.landmark_file.told }}", classes="mv-fact")

    def adopt(self) -> None:
        """There is another registration at work."""
        self.clicking = False
        self.presenter.reset()
        self._file.reset()

    def content(self) -> dict:
        """What the widgets show."""
        shown = self.presenter.shown()
        told = shown.told
        if self.clicking:
            told = " ".join(
                [
                    _("Click the same point in the slices of the CT and in each X-ray."),
                    _("There a cross is what was clicked, and a circle where the CT has it now."),
                    told,
                ]
            )
        return {
            "landmarks": [asdict(row) for row in shown.rows if row.clicked],
            "landmark_places": shown.places,
            "clicking": self.clicking,
            "landmarks_told": told,
            "landmark_file": asdict(self._file.shown()),
        }

    def tick(self) -> None:
        """Name what was clicked, and follow what was moved."""
        if self.clicking and not self.presenter.active:
            self.stop()
        if self.presenter.tick():
            self._application.invalidate()
        if self.clicking and not self.presenter.placing:  # ended by a right click
            self.presenter.begin()

    def stop(self) -> None:
        """Clicks are what they were before."""
        self.clicking = False
        self.presenter.stop()

    def _toggle(self) -> None:
        if self.clicking:
            self.stop()
        else:
            self.clicking = True
            self._application.views.show_slices()
            self.presenter.begin()

    def _next_at(self, where: str, name: str) -> None:
        self.presenter.next_at(where, name)
        if not self.clicking:
            self.clicking = True
            self.presenter.begin()

    def take(self, folder: Path) -> None:
        """A file that a page sent. InputError for several."""
        path = only_one(folder, _("Landmarks"))
        with self._application.acting():
            try:
                self._file.read(path)
            except InputError as error:
                raise InputError(as_sent(str(error))) from None
            finally:
                shutil.rmtree(folder, ignore_errors=True)
