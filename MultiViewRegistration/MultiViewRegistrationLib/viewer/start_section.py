"""Where the registration begins."""

from __future__ import annotations

from collections.abc import Callable

import slicer
from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..errors import InputError
from ..mrml import manual_pose
from ..mrml.case import DEFAULT_SEARCH
from ..session import lacking, pose_numbers
from ..session.presenters.section import DONE, PROBLEM, READY, RUNNING, TODO, State
from ..session.session import REGRESSOR_STARTS, STARTS
from ..session.words import METHODS
from .elements import NumberField, number
from .landmarks_card import LandmarksCard
from .pose_file_card import PoseFileCard
from .regressor_part import RegressorPart
from .section import Section

#: Ranges of a search, degrees and mm; the last one takes some ten seconds.
RANGES = {
    "Known well (5°, 15 mm)": (5, 15),
    "As usual (15°, 45 mm)": (15, 45),
    "Hardly known (45°, 100 mm)": (45, 100),
    "Anywhere (90°, 150 mm)": (90, 150),
}
CUSTOM = "Custom"
#: Of a search: the key, its label and unit, and how far it may go.
LIMITS = (("rotation_deg", "Turned by up to", "°", 180), ("translation_mm", "Shifted by up to", "mm", 500))
ORDER = ("search", "given", "by hand", "landmarks", "regressor", "auto")
HINTS = {
    "given": "The registration begins where the CT is now.",
    "by hand": "Move the CT in the X-rays, or type numbers; the registration begins where it is then.",
    "search": "The search goes from where the CT is now.",
    "landmarks": "",
    "regressor": "The regressor tells the pose; where the CT is now does not matter.",
    "auto": "The regressor tells poses to begin with, a small search adds others, and the best end wins.",
}


class StartSection(Section):
    """The starts, and what each asks for; below that the regressors, whichever start is chosen."""

    NAME, TITLE = "start", "Start"

    def __init__(self, application) -> None:
        super().__init__(application)
        self.pose_file, self.landmarks, self.regressors = PoseFileCard(self), LandmarksCard(self), RegressorPart(self)
        self._seen = b""

    def build(self) -> None:
        with v.VRadioGroup(
            model_value=("start.start",), update_modelValue=(self.choose, "[$event]"), inline=True, aria_label="Start"
        ):
            for start in ORDER:
                v.VRadio(label=METHODS[start], value=start, disabled=(f"start.without.includes('{start}')",))
        with html.Div(v_if="start.start === 'search' || start.start === 'auto'", classes="mv-row"):
            v.VSelect(
                label="How far",
                items=("start.ranges",),
                model_value=("start.range",),
                update_modelValue=(self.set_range, "[$event]"),
            )
        with html.Div(v_if="start.start === 'search' || start.start === 'auto'", classes="mv-grid2"):
            for key, label, unit, most in LIMITS:
                NumberField(
                    label=label,
                    suffix=unit,
                    min=1,
                    max=most,
                    model_value=(f"start.{key}",),
                    change=(self.set_search, f"['{key}', {most}, $event.target.value]"),
                )
        html.Div("{{ start.hint }}", v_if="start.hint", classes="mv-fact")
        with html.Div(v_if="start.numbers.length && start.start !== 'landmarks'", classes="mv-grid3"):
            for which, (name, unit) in enumerate(zip(pose_numbers.NAMES, pose_numbers.UNITS, strict=True)):
                NumberField(
                    label=name,
                    suffix=unit,
                    step=0.1,
                    model_value=(f"start.numbers[{which}]",),
                    disabled=("register.running",),
                    title="Of the CT's centre in the world of the X-rays",
                    change=(self.set_number, f"[{which}, $event.target.value]"),
                )
        with html.Div(
            v_if="['given', 'search', 'by hand'].includes(start.start) && start.numbers.length", classes="mv-row"
        ):
            v.VBtn(
                "Centre the CT in the X-rays",
                click=self.centre,
                size="small",
                variant="tonal",
                disabled=("register.running",),
            )
            with v.VMenu(v_if="start.transforms.length"):
                with v.Template(v_slot_activator="{ props }"):
                    v.VBtn(
                        "Copy a transform", v_bind="props", size="small", variant="text", disabled=("register.running",)
                    )
                with v.VList(density="compact"):
                    v.VListItem(
                        v_for="node in start.transforms",
                        key="node.id",
                        title=("node.name",),
                        click=(self.copy, "[node.id]"),
                    )
        self.pose_file.build()
        self.landmarks.build()
        self.regressors.build()

    def adopt(self) -> None:
        self._seen = b""
        self.pose_file.presenter.reset()
        self.landmarks.adopt()
        self.regressors.adopt()

    def content(self) -> dict:
        if self.registration is None:
            return {
                "start": "search",
                "hint": "",
                "without": list(REGRESSOR_STARTS),
                "ranges": [*RANGES, CUSTOM],
                "range": CUSTOM,
                **DEFAULT_SEARCH,
                "numbers": [],
                "transforms": [],
                "pose_file": self.pose_file.content(),
                **self.landmarks.content(),
                **self.regressors.content(),
            }
        registration = self.registration
        search = {key: float(registration.parameter(key, str(default))) for key, default in DEFAULT_SEARCH.items()}
        chosen = search["rotation_deg"], search["translation_mm"]
        without = (
            []
            if self.session.regressors.model is not None
            else [start for start in REGRESSOR_STARTS if start != self.registration.start]
        )
        return {
            "start": self.registration.start,
            "hint": self._hint(),
            "without": without,
            "ranges": [*RANGES, CUSTOM],
            "range": next((name for name, range_ in RANGES.items() if range_ == chosen), CUSTOM),
            **search,
            "numbers": self._numbers(),
            "transforms": self._transforms(),
            "pose_file": self.pose_file.content(),
            **self.landmarks.content(),
            **self.regressors.content(),
        }

    def _numbers(self) -> list[str]:
        if self.registration.ct is None or self.registration.ct.GetImageData() is None:
            return []
        try:
            return [f"{value:.2f}" for value in pose_numbers.numbers(self.registration)]
        except InputError:
            return []

    def _transforms(self) -> list[dict]:
        own = self.registration.ct_transform
        return [
            {"id": node.GetID(), "name": node.GetName()}
            for node in slicer.util.getNodesByClass("vtkMRMLTransformNode", self.registration.scene)
            if node is not own and not node.GetHideFromEditors()
        ]

    def _hint(self) -> str:
        start = self.registration.start
        missing = lacking.at_start(self.session, start)
        if missing or start in ("landmarks", *REGRESSOR_STARTS):
            return missing or HINTS[start]
        blind = manual_pose.xrays_without_ct(self.registration)
        return f"Where the CT is now, {', '.join(blind)} does not show it." if blind else HINTS[start]

    def state(self) -> State:
        start, session = self.registration.start, self.session
        if session.regressors.is_training:
            return State(RUNNING, f"training {self.regressors.percent()}".strip())
        if self.registration.ct is None or not any(view.used for view in self.registration.xrays):
            return State(TODO)
        if lacking.at_start(session, start):
            return State(TODO, "landmarks are missing") if start == "landmarks" else State(PROBLEM, "see below")
        entry = session.history.current
        if entry is not None and entry.fingerprint and entry.method == start and not session.history.moved:
            return State(DONE, METHODS[start])
        return State(READY, METHODS[start])

    def tick(self) -> None:
        self.landmarks.tick()
        self.regressors.tick()
        pose = self.registration.world_from_ct.tobytes()
        if pose != self._seen and self.session.running_registration is None and self.session.drawing.at_rest:
            self._seen = pose
            self.application.invalidate()  # the numbers, and whether the X-rays show the CT

    # What a person does

    def choose(self, start: str) -> None:
        """Begin there, one of STARTS."""
        with self.application.acting():
            if start in STARTS:
                self.registration.node.SetParameter("start", start)

    def set_range(self, name: str) -> None:
        """Search so far, a name in RANGES."""
        with self.application.acting():
            for key, value in zip(DEFAULT_SEARCH, RANGES.get(name, ()), strict=False):
                self.registration.node.SetParameter(key, str(value))

    def set_search(self, key: str, most: float, text) -> None:
        """Search so far in degrees or mm."""
        with self.application.acting():
            if key in DEFAULT_SEARCH:
                self.registration.node.SetParameter(key, str(min(max(number(text, "Search"), 1.0), float(most))))

    def set_number(self, which: int, text) -> None:
        """Move the CT by one of its `pose_numbers`."""
        self._move("by hand", lambda: pose_numbers.set_number(self.registration, int(which), number(text, "Pose")))

    def centre(self) -> None:
        """Put the CT's middle where the central rays meet."""
        self._move("centred", lambda: manual_pose.centre_ct(self.registration))

    def copy(self, node_id: str) -> None:
        """Put the CT where a transform puts things, by the ID of its node."""
        self._move(
            "transform", lambda: manual_pose.copy_pose(self.registration, self.application.scene.GetNodeByID(node_id))
        )

    def place_at(self, pose: Callable) -> None:
        """Put the CT at the pose (4, 4), LPS, that is returned."""

        def move() -> None:
            self.registration.world_from_ct = pose()

        self._move("transform", move)

    def _move(self, how: str, move) -> None:
        """Move the CT so that it can be undone."""
        with self.application.acting():
            if self.session.running:
                raise InputError("Start: work is under way, expected none; wait for it, or cancel it.")
            history = self.session.history
            history.note(history.unnoted if history.entries else "before")
            move()
            history.note(how)
