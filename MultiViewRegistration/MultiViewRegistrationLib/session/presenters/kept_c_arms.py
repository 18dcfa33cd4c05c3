"""C-arms that are kept on this computer: chosen for an X-ray, kept, deleted.

And one C-arm for all X-rays.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...errors import InputError
from ...io import c_arm_presets
from ...mrml.xray import XRayView
from ...translation import _
from .form import ERROR, PLAIN, Button, Choice, Form, Text, TextField, choose_among, row
from .geometry_fields import C_ARM, OF_MACHINE, Draft

if TYPE_CHECKING:
    from .certainty import XRaySelection
    from .geometry_edits import GeometryEdits


class KeptCArms:
    """The controls below the table, for the X-ray that is selected.

    Parameters
    ----------
    xrays
        The X-rays, and which one is selected.
    edits
        Of these X-rays.
    """

    def __init__(self, xrays: XRaySelection, edits: GeometryEdits) -> None:
        self._xrays = xrays
        self._edits = edits
        self.reset()

    def reset(self) -> None:
        """Forget what was typed and told."""
        self._name = ""
        self._told = ""

    def form(self, view: XRayView, draft: Draft) -> Form:
        """Return the controls."""
        try:
            presets = c_arm_presets.read_presets()
            problem = ""
        except InputError as error:
            presets = []
            problem = str(error)
        chosen = next((each.name for each in presets if self._has(view, draft, each)), "")
        options = choose_among((each.name, each.name) for each in presets)
        others = [
            each
            for each in self._xrays.views
            if each != view and self._edits.draft(each).mode == C_ARM
        ]
        tip = _(
            "Distances, pixel size, principal point, and the side from which the image is seen, "
            "without the angles."
        )
        name = self._name or chosen
        set_name = partial(setattr, self, "_name")
        return [
            row(
                "presets",
                Choice(
                    "preset",
                    _("Preset of a C-arm"),
                    self.choose,
                    value=chosen,
                    options=options,
                    tip=tip,
                )
                if presets
                else None,
                Button(
                    "delete_preset",
                    _("Delete the preset {name}").format(name=chosen),
                    partial(self.delete, chosen),
                    icon="remove",
                    question=_("Delete the C-arm {name} from this computer?").format(name=chosen),
                )
                if chosen
                else None,
            ),
            row(
                "all",
                Button(
                    "to_all",
                    _("Same C-arm for all X-rays"),
                    partial(self.use_for_all, view),
                    enabled=draft.c_arm is not None,
                    tip=_(
                        "Give all X-rays of a C-arm these values; each keeps its angles. {what}"
                    ).format(what=tip),
                ),
            )
            if others
            else None,
            row(
                "keeping",
                TextField(
                    "preset_name",
                    _("Name of this C-arm"),
                    set_name,
                    text=name,
                    typed=set_name,
                    of=chosen,
                ),
                Button(
                    "keep_preset",
                    _("Keep as preset"),
                    partial(self.keep, view, name),
                    enabled=bool(name.strip()) and draft.c_arm is not None,
                    tip=_(
                        "Keep this C-arm on this computer, for other patients, too. {what}"
                    ).format(what=tip),
                ),
            ),
            Text("presets_problem", problem or self._told, tone=ERROR if problem else PLAIN),
        ]

    def _has(self, view: XRayView, draft: Draft, preset: c_arm_presets.Preset) -> bool:
        return list(preset.c_arm["size"]) == list(view.size) and all(
            preset.c_arm.get(key) == draft.values.get(key) for key in OF_MACHINE
        )

    def choose(self, name: str) -> None:
        """Fill in a C-arm that was kept; its pixels only where the X-ray has as many.

        Raises
        ------
        InputError
            Where it is not there any more.
        """
        preset = next((each for each in c_arm_presets.read_presets() if each.name == name), None)
        if preset is None:
            if name:
                raise InputError(
                    _("{name}: this C-arm is not kept any more; choose another.").format(name=name)
                )
            return
        view = self._xrays.current
        reading = dict(preset.c_arm)
        self._told = ""
        if list(reading["size"]) != list(view.size):
            del reading["pixel_mm"]
            reading.pop("principal_point", None)
            self._told = _(
                "{name} is kept for images of {size[0]} \u00d7 {size[1]} pixels, and {view} has "
                "{own[0]} \u00d7 {own[1]}: enter its pixel size."
            ).format(name=name, size=preset.c_arm["size"], view=view.name, own=view.size)
        self._name = ""
        self._edits.fill(view, reading, name)

    def keep(self, view: XRayView, name: str) -> None:
        """Keep an X-ray's C-arm under a name.

        Raises
        ------
        InputError
            Where that cannot be.
        """
        c_arm = self._edits.draft(view).c_arm
        if c_arm is None:
            raise InputError(
                _("{name}: the C-arm is incomplete; fill in its fields.").format(name=name)
            )
        self._told = c_arm_presets.keep_preset(name, c_arm.to_json()) or _(
            "{name} is kept on this computer."
        ).format(name=name)
        self._name = ""

    def delete(self, name: str) -> None:
        """Delete a C-arm from this computer."""
        c_arm_presets.delete_preset(name)
        self._told = ""
        self._name = ""

    def use_for_all(self, view: XRayView) -> None:
        """Give all other X-rays of a C-arm what this one has but for the angles."""
        values = self._edits.draft(view).values
        for other in self._xrays.views:
            if other != view and self._edits.draft(other).mode == C_ARM:
                self._edits.fill(other, values, _("as {name}").format(name=view.name))
