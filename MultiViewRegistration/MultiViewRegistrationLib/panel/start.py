"""The section Start in Qt."""

from __future__ import annotations

from ..session.presenters.start import CUSTOM, PLACED, RANGE_NUMBERS, RANGES, StartPresenter
from ..session.translation import _
from .by_hand_page import ByHandPage
from .fields import NumberField
from .landmarks import LandmarksPage
from .pose_file import PoseFile
from .regressor_part import RegressorPart
from .section import Section


class StartSection(Section):
    """The six starts, each with its own page below the buttons; below that the regressors, whichever start is chosen."""

    FILE = "Start.ui"
    TITLE = _("3. Start")
    PRESENTER = StartPresenter

    def connect(self) -> None:
        ui, presenter = self.ui, self.presenter
        self._buttons = {
            "given": ui.givenRadioButton,
            "search": ui.searchRadioButton,
            "landmarks": ui.landmarksRadioButton,
            "by hand": ui.byHandRadioButton,
            "regressor": ui.regressorRadioButton,
            "auto": ui.autoRadioButton,
        }
        self._pages = {
            "given": ui.givenPage,
            "search": ui.searchPage,
            "landmarks": ui.landmarksPage,
            "by hand": ui.byHandPage,
        }
        self.landmarks, self.by_hand, self.regressors = LandmarksPage(self), ByHandPage(self), RegressorPart(self)
        self.pose_file = PoseFile(self)
        for start, button in self._buttons.items():
            button.clicked.connect(lambda *_args, start=start: self.do(presenter.choose, start))
        ui.transformSelector.currentNodeIDChanged.connect(self._show_copy)
        ui.copyButton.clicked.connect(
            lambda *_args: self.do(presenter.copy, ui.transformSelector.currentNode().GetID())
        )
        ui.centreButton.clicked.connect(lambda *_args: self.do(presenter.centre))
        names = [*RANGES, CUSTOM]
        ui.rangeComboBox.addItems(names)
        ui.rangeComboBox.connect("activated(int)", lambda index: self.do(self._choose_range, names[index]))
        edits = {"rotation_deg": ui.rotationEdit, "translation_mm": ui.translationEdit}
        self._range_fields = {
            key: NumberField(edit, RANGE_NUMBERS[key], done=lambda key=key: self._type_range(key))
            for key, edit in edits.items()
        }

    @property
    def fields(self) -> tuple:
        """The range of a search, where that is the start."""
        searching = self.registration is not None and self.registration.start == "search"
        return tuple(self._range_fields.values()) if searching else ()

    def refresh(self) -> None:
        ui, shown = self.ui, self.presenter.shown()
        for start, button in self._buttons.items():
            button.enabled = start not in shown.without
        for start, tip in shown.tips.items():
            self._buttons[start].toolTip = tip
        self._buttons[shown.start].checked = True
        for name, page in self._pages.items():
            page.setVisible(name == shown.start)
        ui.rangeComboBox.setCurrentIndex([*RANGES, CUSTOM].index(shown.range))
        for key, field in self._range_fields.items():
            field.show(getattr(shown, key), self.registration.node.GetID())
        self._show_copy()
        for part in (self.regressors, self.pose_file, self.landmarks, self.by_hand):
            part.refresh()
        ui.hintLabel.text = shown.hint
        ui.hintLabel.setVisible(bool(shown.hint))
        ui.centreButton.setVisible(shown.start in PLACED)
        ui.centreButton.enabled = not shown.busy

    def tick(self) -> None:
        for part in (self.landmarks, self.by_hand, self.regressors):
            part.tick()
        if self.presenter.tick():
            self.panel.invalidate()

    def leave(self) -> None:
        self.landmarks.leave()
        self.by_hand.leave()
        self.pose_file.presenter.reset()
        self.landmarks.forget()

    def _type_range(self, key: str) -> None:
        self.do(self.presenter.type_range, key, self._range_fields[key].bare)

    def _choose_range(self, name: str) -> None:
        self.presenter.choose_range(name)
        for key, field in self._range_fields.items():  # also over what was typed wrong
            field.write(getattr(self.presenter.shown(), key))

    def _show_copy(self, *_args) -> None:
        button, node = self.ui.copyButton, self.ui.transformSelector.currentNode()
        button.enabled = node is not None and self.registration is not None and not self.session.running
        button.toolTip = (
            _("Choose a transform first.")
            if node is None
            else _(
                "Move the CT to where this transform puts things; it is copied, and the transform itself stays as it is."
            )
        )
