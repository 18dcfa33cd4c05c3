"""The section Check in Qt: overlays, similarity and verdict, points that must agree."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic

import slicer

from ..errors import InputError
from ..mrml.nodes import place
from ..session.presenters.check import CheckPresenter
from ..session.translation import _
from . import packages
from .check_overlays import Overlays
from .looks import CAUTION, ERROR, PLAIN, set_tone
from .section import Section
from .tables import fill, set_up

#: Seconds between two looks at the markups.
MEASURE_S = 0.3


class CheckSection(Section):
    """What the program says of the pose, and what a person sees and measures."""

    FILE = "Check.ui"
    TITLE = _("5. Check")
    PRESENTER = CheckPresenter

    def connect(self) -> None:
        ui, do = self.ui, self.do
        self.cursor = self.presenter.cursor
        self.overlays = Overlays(self)
        self._measured, self._distances = 0.0, None
        set_up(ui.similarityTable, [_("X-ray"), _("Similarity")])
        set_up(ui.distancesTable, [_("Between"), _("Distance")])
        ui.assessButton.clicked.connect(lambda *_args: do(self._with_packages, self.presenter.assess))
        ui.leaveOutButton.clicked.connect(lambda *_args: do(self._with_packages, self.presenter.leave_out))
        ui.cursorButton.toggled.connect(lambda on: do(self.cursor.place if on else self.cursor.stop))
        ui.clearCursorButton.clicked.connect(lambda *_args: do(self.cursor.clear))
        ui.lineButton.clicked.connect(lambda *_args: do(self._place_line))

    # What is shown

    def refresh(self) -> None:
        ui, shown = self.ui, self.presenter.shown()
        self.overlays.refresh()
        self._show_similarity(shown.similarity)
        set_tone(ui.verdictLabel, {"check": CAUTION, "reject": ERROR}.get(shown.judged, PLAIN))
        ui.verdictLabel.text = "\n".join(filter(None, [*shown.verdict, shown.left_out]))
        ui.assessButton.enabled, ui.leaveOutButton.enabled = shown.can_assess, shown.can_leave_out
        self._show_cursor()
        self._show_distances()

    def follow(self) -> None:
        with suppress(InputError):  # of a scene that is not complete yet
            self.overlays.follow()
        with suppress(InputError):
            if self.cursor.tick():
                self._show_cursor()

    def tick(self) -> None:
        if self.presenter.tick():
            self._show_similarity(self.presenter.similarity())
        if self.ui.cursorButton.checked and not self.cursor.placing:  # ended by Escape, or by another tool
            self.ui.cursorButton.checked = False
        if monotonic() - self._measured > MEASURE_S:
            self._show_distances()

    def leave(self) -> None:
        self.cursor.stop()

    def let_go(self) -> None:
        self.overlays.let_go()
        if self.registration is not None and self.registration.scene is not None:
            self.cursor.clear()

    def _show_similarity(self, rows: list) -> None:
        fill(self.ui.similarityTable, [(row.name, row.text) for row in rows])

    def _show_cursor(self) -> None:
        text = " ".join(self.cursor.lines())
        self.ui.cursorLabel.text = text
        self.ui.cursorLabel.setVisible(bool(text))

    def _show_distances(self) -> None:
        self._measured, rows = monotonic(), self.cursor.distances()
        if rows != self._distances:
            self._distances = rows
            fill(self.ui.distancesTable, rows)

    # What a person does

    def _with_packages(self, action) -> None:
        packages.ensure(self.panel.resource_path("requirements.txt"))
        action()

    def _place_line(self) -> None:
        line = slicer.mrmlScene.AddNewNodeByClass(
            "vtkMRMLMarkupsLineNode", slicer.mrmlScene.GenerateUniqueName(_("Distance"))
        )
        line.CreateDefaultDisplayNodes()
        place(line)
