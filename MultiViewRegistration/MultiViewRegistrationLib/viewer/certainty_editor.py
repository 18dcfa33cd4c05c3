"""How well the geometry of an X-ray is known."""

from __future__ import annotations

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..imaging.view import SharedUnknowns
from ..mrml.case import shared_unknowns_of
from ..session.geometry import READ_OFF, reference_of
from .elements import NumberField
from .xray_editor import XRayEditor, number

EXACTLY, ABOUT, UNKNOWN = "exactly", "about", "not at all"
#: Of a view's content: the key, its label and unit, and the usual deviation.
ROWS = (("rotation_sd_deg", "Angles known", "°", READ_OFF[0]), ("translation_sd_mm", "Place known", "mm", READ_OFF[1]))


class CertaintyEditor(XRayEditor):
    """Angles and place of an X-ray against the first one: known exactly, about, or not at all."""

    NAME, TITLE = "certainty", "Certainty"

    def build(self) -> None:
        html.Div("{{ xrays.certainty.hint }}", classes="mv-fact")
        for key, label, unit, _usual in ROWS:
            with html.Div(classes="mv-grid2"):
                v.VSelect(
                    label=label,
                    items=(str([EXACTLY, ABOUT, UNKNOWN]),),
                    model_value=(f"xrays.certainty.{key}.known",),
                    update_modelValue=(self.set_known, f"['{key}', $event]"),
                    disabled=("xrays.certainty.reference",),
                )
                NumberField(
                    v_if=f"xrays.certainty.{key}.known === '{ABOUT}'",
                    label="Standard deviation",
                    suffix=unit,
                    min=0,
                    step=0.5,
                    model_value=(f"xrays.certainty.{key}.deviation",),
                    disabled=("xrays.certainty.reference",),
                    change=(self.set_deviation, f"['{key}', $event.target.value]"),
                )

    def content(self) -> dict:
        view, told = self.view, {}
        for key, _label, _unit, usual in ROWS:
            deviation = view.content.get(key, 0.0) if view is not None else 0.0
            told[key] = {
                "known": UNKNOWN if deviation is None else ABOUT if deviation > 0 else EXACTLY,
                "deviation": deviation or usual,
            }
        reference = view is None or view == reference_of(self.registration)
        return {**told, "reference": reference, "hint": "" if view is None else self._hint(told)}

    def _hint(self, told: dict) -> str:
        reference = reference_of(self.registration)
        if reference is None or reference == self.view:
            return "This is the reference, the first X-ray that is used: how well the others' geometry is known is told against it."
        unknown = all(told[key]["known"] == UNKNOWN for key, *_ in ROWS)
        if unknown and shared_unknowns_of(self.registration) == SharedUnknowns():
            return (
                f"This X-ray is registered alone; where it was taken from is found with it, against {reference.name}."
            )
        return f"Against {reference.name}, the first X-ray that is used."

    def set_known(self, key: str, known: str) -> None:
        """How well it is known, EXACTLY, ABOUT or UNKNOWN."""
        with self.application.acting():
            usual = {row[0]: row[3] for row in ROWS}[key]
            self.view.change(**{key: {EXACTLY: 0.0, ABOUT: usual, UNKNOWN: None}[known]})

    def set_deviation(self, key: str, deviation) -> None:
        """The standard deviation of what is known about."""
        with self.application.acting():
            self.view.change(
                **{{row[0]: row[0] for row in ROWS}[key]: max(0.0, number(deviation, "Standard deviation"))}
            )
