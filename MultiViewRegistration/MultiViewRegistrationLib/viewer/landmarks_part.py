"""Landmarks in the CT and in the X-rays, clicked in the page."""

from __future__ import annotations

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..mrml.loading import landmark_list
from ..mrml.markups import is_placing, place, stop_placing
from ..session import lacking, landmarks
from ..session.click_order import ClickOrder
from .landmark_file import LandmarkFile


class LandmarksPart:
    """A table of landmarks by where they have been clicked, and a button that begins to click.

    section: the `StartSection` that shows it.
    """

    def __init__(self, section) -> None:
        self._section = section
        self._order, self._shown, self.clicking = ClickOrder(), None, False
        self.file = LandmarkFile(section)

    def build(self) -> None:
        with html.Div(v_if="start.start === 'landmarks'"):
            with html.Table(v_if="start.landmarks.length", classes="mv-table"):
                with html.Thead(), html.Tr():
                    html.Th("Landmark")
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
                            "click next",
                            v_else=True,
                            type="button",
                            classes="mv-link mv-fact",
                            click=(self.next_at, "[start.landmark_places[index], row.name]"),
                        )
                    with html.Td():
                        v.VBtn(
                            icon="mdi-delete-outline",
                            size="x-small",
                            variant="text",
                            click=(self.remove, "[row.name]"),
                            title="Remove this landmark",
                            aria_label=("'Remove landmark ' + row.name",),
                        )
            v.VBtn(
                "{{ start.clicking ? 'Stop clicking' : 'Click landmarks' }}",
                click=self.toggle,
                size="small",
                variant="tonal",
                color=("start.clicking ? 'primary' : ''",),
                classes="mt-2",
            )
            html.Div("{{ start.landmarks_told }}", classes="mv-fact")
            self.file.build()

    def adopt(self) -> None:
        """There is another registration at work."""
        self._order, self._shown, self.clicking = ClickOrder(), None, False
        self.file.adopt()

    def content(self) -> dict:
        """What the widgets show."""
        registration = self._section.registration
        if registration is None:
            return {
                "landmarks": [],
                "landmark_places": [],
                "clicking": False,
                "landmarks_told": "",
                "landmark_file": self.file.content(),
            }
        clicked, fit = landmarks.clicked(registration), self._fit()
        residuals = {} if fit is None else {(one.name, one.view): one for one in fit.residuals}
        names = list(dict.fromkeys(name for placed in clicked.values() for name in placed))
        rows = [
            {"name": name, "cells": [_cell(name in clicked[where], residuals.get((name, where))) for where in clicked]}
            for name in names
        ]
        told = lacking.at_start(self._section.session, "landmarks")
        if not told and fit is not None:
            told = f"The landmarks fit their pose within {fit.rms_mm:.1f} mm (root mean square)."
        if self.clicking:
            told = (
                "Click the same point in the slices of the CT and in each X-ray. There a cross is what was clicked, and a circle where "
                f"the CT has it now. {told}"
            )
        return {
            "landmarks": rows,
            "landmark_places": list(clicked),
            "clicking": self.clicking,
            "landmarks_told": told,
            "landmark_file": self.file.content(),
        }

    def tick(self) -> None:
        """Name what was clicked, and follow what was moved."""
        section = self._section
        if section.registration.start != "landmarks":
            if self.clicking:
                self.stop()
            return
        if section.registration.ct is not None:
            landmarks.tidy(section.registration, self._order)
        clicked = landmarks.clicked(section.registration)
        if clicked != self._shown:
            self._shown = clicked
            section.application.invalidate()
        if self.clicking and not self._placing:  # ended by a right click
            place(landmark_list(section.registration))

    def put(self, view, column: float, row: float) -> None:
        """A landmark was clicked on a pixel of an X-ray."""
        landmark_list(self._section.registration, view).AddControlPoint(*map(float, view.ras_of([column, row])))
        landmarks.tidy(self._section.registration, self._order)

    def stop(self) -> None:
        """Clicks are what they were before."""
        self.clicking = False
        if self._section.registration is not None and self._placing:
            stop_placing(self._section.registration.scene)

    @property
    def _placing(self) -> bool:
        return any(is_placing(markups) for markups in landmarks.lists(self._section.registration))

    def _fit(self):
        """The `geometry.landmarks.LandmarkFit` of the result at hand, if that began with landmarks."""
        result = self._section.session.result
        return result and result.landmark_fit

    # What a person does

    def toggle(self) -> None:
        """Begin to click, or end it."""
        with self._section.application.acting():
            if self.clicking:
                self.stop()
            else:
                self.clicking = True
                self._section.application.views.show_slices()
                place(landmark_list(self._section.registration))

    def next_at(self, where: str, name: str) -> None:
        """The next click there is this landmark."""
        with self._section.application.acting():
            self._order.choose(where, name)
            if not self.clicking:
                self.clicking = True
                place(landmark_list(self._section.registration))

    def remove(self, name: str) -> None:
        """Remove a landmark everywhere."""
        with self._section.application.acting():
            landmarks.remove(self._section.registration, name)


def _cell(clicked: bool, residual) -> dict:
    if not clicked or residual is None:
        return {"text": "✔" if clicked else "", "tip": "", "off": False}
    return {
        "text": f"{residual.residual_mm:.1f} mm",
        "off": not residual.used,
        "tip": f"{residual.residual_px:.1f} pixels from where the landmarks' pose has it: {residual.fate}.",
    }
