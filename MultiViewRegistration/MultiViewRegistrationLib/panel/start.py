"""Where the registration begins."""

from __future__ import annotations

from slicer.i18n import tr as _

from ..mrml import manual_pose
from ..session import lacking
from ..session.geometry import DEG
from ..session.presenters.number import Number
from ..session.presenters.section import DONE, PROBLEM, READY, RUNNING, TODO, State
from ..session.session import REGRESSOR_STARTS
from .by_hand_page import ByHandPage
from .fields import NumberField
from .landmarks import LandmarksPage
from .pose_file import PoseFile
from .regressor_part import RegressorPart
from .section import Section

#: Ranges of a search, degrees and mm; the last one takes some ten seconds.
RANGES = {
    _("Known well (5°, 15 mm)"): (5, 15),
    _("As usual (15°, 45 mm)"): (15, 45),
    _("Hardly known (45°, 100 mm)"): (45, 100),
    _("Anywhere (90°, 150 mm)"): (90, 150),
}
CUSTOM = _("Custom")
LEARNED_TIPS = {
    "regressor": _("Begin where a network that was trained for this CT sees it in the X-rays."),
    "auto": _(
        "Begin where the regressor sees the CT, in all X-rays together and in each alone, and where a small search finds it. "
        "The best end wins."
    ),
}
LEARNED_HINTS = {
    "regressor": _("The regressor tells the pose; where the CT is now does not matter."),
    "auto": _("The regressor tells poses to begin with, a small search adds others, and the best end wins."),
}


class StartSection(Section):
    """The six starts, each with its own page below the buttons; below that the regressors, whichever start is chosen."""

    FILE = "Start.ui"
    TITLE = _("3. Start")

    def connect(self) -> None:
        ui = self.ui
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
        self._parameters = None
        self._lacking, self._seen = "", b""
        self.landmarks, self.by_hand, self.regressors = LandmarksPage(self), ByHandPage(self), RegressorPart(self)
        self.pose_file = PoseFile(self)
        for start, button in self._buttons.items():
            button.clicked.connect(lambda checked=False, start=start: self._on_start(start))
        ui.transformSelector.currentNodeIDChanged.connect(self._on_transform)
        ui.copyButton.clicked.connect(self._on_copy)
        ui.centreButton.clicked.connect(self._on_centre)
        for name in [*RANGES, CUSTOM]:
            ui.rangeComboBox.addItem(name)
        ui.rangeComboBox.connect("activated(int)", self._on_range)
        self._turn = NumberField(ui.rotationEdit, Number(_("Rotation"), 1, 180, DEG), done=self._on_typed_range)
        self._shift = NumberField(
            ui.translationEdit, Number(_("Translation"), 1, 500, " mm"), done=self._on_typed_range
        )

    @property
    def parameters(self):
        """The settings of the registration at work."""
        if self._parameters is None:
            self._parameters = self.panel.logic.getParameterNode(self.registration)
        return self._parameters

    @property
    def fields(self) -> tuple:
        """The range of a search, where that is the start."""
        return (self._turn, self._shift) if self.registration is not None and self.start == "search" else ()

    @property
    def start(self) -> str:
        """One of scene.session.STARTS."""
        return self.parameters.start

    def refresh(self) -> None:
        ui, start = self.ui, self.start
        self._lacking = lacking.at_start(self.session, start)
        self._buttons[start].checked = True
        for name, page in self._pages.items():
            page.setVisible(name == start)
        self._show_learned()
        self.regressors.refresh()
        ranges = list(RANGES.values())
        chosen = (self.parameters.rotation_deg, self.parameters.translation_mm)
        ui.rangeComboBox.setCurrentIndex(ranges.index(chosen) if chosen in ranges else len(ranges))
        for field, value in zip((self._turn, self._shift), chosen, strict=True):
            field.show(value, self.registration.node.GetID())
        self._on_transform()
        self.pose_file.refresh()
        self.landmarks.refresh()
        self.by_hand.refresh()
        self._show_hint()

    def state(self) -> State:
        start = self.start
        if self.session.regressors.is_training:
            return State(RUNNING, _("training {percent}").format(percent=self.regressors.percent()).strip())
        if self.registration.ct is None or not any(view.used for view in self.registration.xrays):
            return State(TODO)
        if self._lacking:
            return State(TODO, _("landmarks are missing")) if start == "landmarks" else State(PROBLEM, _("see below"))
        entry = self.session.history.current
        name = self._buttons[start].text
        if entry is not None and entry.fingerprint and entry.method == start and not self.session.history.moved:
            return State(DONE, name)
        if start == "search":
            name = _("{name}, {degrees:g}° and {mm:g} mm").format(
                name=name, degrees=self.parameters.rotation_deg, mm=self.parameters.translation_mm
            )
        return State(READY, name)

    def tick(self) -> None:
        self.landmarks.tick()
        self.by_hand.tick()
        self.regressors.tick()
        pose = self.registration.world_from_ct.tobytes()
        if pose != self._seen and self.session.running_registration is None and self.session.drawing.at_rest:
            self._seen = pose
            self.panel.invalidate()  # whether the X-rays show the CT

    def leave(self) -> None:
        self.landmarks.leave()
        self.by_hand.leave()
        self.pose_file.presenter.reset()
        self.landmarks.forget()
        self._parameters = None

    def _show_learned(self) -> None:
        there = self.session.regressors.model is not None
        for start, tip in LEARNED_TIPS.items():
            button = self._buttons[start]
            button.enabled = there or self.start == start
            button.toolTip = tip if there else _("There is no regressor for this CT yet: train one below.")

    def _show_hint(self) -> None:
        ui, start = self.ui, self.start
        blind = manual_pose.xrays_without_ct(self.registration) if start in self._pages and start != "landmarks" else []
        hint = self._lacking
        if start == "landmarks":
            hint = ""  # told below its table
        elif not hint and blind:
            hint = _("Where the CT is now, {names} does not show it.").format(names=", ".join(blind))
        elif not hint and start in ("given", "by hand"):
            hint = _("The registration begins where the CT is now.")
        elif not hint and start == "search":
            hint = _("The search goes from where the CT is now.")
            if self.session.regressors.model is not None:
                hint += " " + _("Automatic uses the regressor of this CT, too.")
        elif not hint and start in REGRESSOR_STARTS:
            hint = LEARNED_HINTS[start]
        ui.hintLabel.text = hint
        ui.hintLabel.setVisible(bool(hint))
        ui.centreButton.setVisible(start in ("given", "search", "by hand"))
        ui.centreButton.enabled = not self.session.running

    # What a person does

    def _on_start(self, start: str) -> None:
        if self.asked:
            with self.panel.acting():
                self.parameters.start = start

    def _on_range(self, index: int) -> None:
        if self.asked and index < len(RANGES):
            with self.panel.acting():
                chosen = list(RANGES.values())[index]
                self.parameters.rotation_deg, self.parameters.translation_mm = chosen
                for field, value in zip((self._turn, self._shift), chosen, strict=True):
                    field.write(value)

    def _on_typed_range(self) -> None:
        if self.asked:
            with self.panel.acting():
                self.parameters.rotation_deg, self.parameters.translation_mm = self._turn.value, self._shift.value

    def _on_transform(self, node_id: str = "") -> None:
        button, node = self.ui.copyButton, self.ui.transformSelector.currentNode()
        button.enabled = node is not None and self.registration is not None and not self.session.running
        button.toolTip = (
            _("Choose a transform first.")
            if node is None
            else _(
                "Move the CT to where this transform puts things; it is copied, and the transform itself stays as it is."
            )
        )

    def _on_copy(self) -> None:
        with self.panel.acting():
            self._moved(
                "transform", lambda: manual_pose.copy_pose(self.registration, self.ui.transformSelector.currentNode())
            )

    def _on_centre(self) -> None:
        with self.panel.acting():
            self._moved("centred", lambda: manual_pose.centre_ct(self.registration))

    def place_at(self, world_from_ct) -> None:
        """Put the CT at a pose (4, 4), LPS, that was read."""

        def move() -> None:
            self.registration.world_from_ct = world_from_ct

        self._moved("transform", move)

    def _moved(self, how: str, move) -> None:
        """Move the CT so that it can be undone."""
        history = self.session.history
        history.note(history.unnoted if history.entries else "before")
        move()
        history.note(how)
