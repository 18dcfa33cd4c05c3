"""C-arms that are stored on this computer, and filled into X-rays without their angles."""

from __future__ import annotations

from functools import partial

from ...errors import InputError
from ...geometry.machines import CArm
from ...io import c_arm_presets
from ...mrml.xray import XRayView
from ...translation import _
from .certainty import EditorPresenter, XRaySelection
from .form import Button, Choice, Form, Text, TextField, choose_among, row
from .geometry_draft import OF_MACHINE, GeometryDraft, text_of
from .geometry_editor import GeometryEditor


class KeptCArms(EditorPresenter):
    """Controls for the selected X-ray, which is one of a C-arm."""

    def __init__(self, xrays: XRaySelection, editor: GeometryEditor) -> None:
        self._editor = editor
        super().__init__(xrays)

    def reset(self) -> None:
        """Discard the typed name and the message."""
        self._name = ""
        self._message = ""

    def form(self) -> Form:
        """Return the controls."""
        try:
            presets = c_arm_presets.read_presets()
            problem = ""
        except InputError as error:
            presets = []
            problem = str(error)
        view = self.view
        draft = self._editor.draft(view)
        chosen = next((each.name for each in presets if _is_used(view, draft, each)), "")
        options = choose_among((each.name, each.name) for each in presets)
        what = _(
            "Distances, pixel size, principal point, and the side from which the image is seen, "
            "without the angles."
        )
        delete = Button(
            "delete_preset",
            _("Delete the preset {name}").format(name=chosen),
            partial(self.delete, chosen),
            icon="remove",
            question=_("Delete the C-arm {name} from this computer?").format(name=chosen),
        )
        preset = Choice(
            "preset", _("Preset of a C-arm"), self.choose, value=chosen, options=options, tip=what
        )
        complete = isinstance(draft.geometry, CArm)
        return [
            row("presets", preset if presets else None, delete if chosen else None),
            row(
                "keeping",
                TextField(
                    "preset_name",
                    _("Name of this C-arm"),
                    partial(setattr, self, "_name"),
                    text=self._name or chosen,
                    of=chosen,
                ),
                Button(
                    "keep_preset",
                    _("Keep as preset"),
                    partial(self.keep, chosen),
                    enabled=complete,
                    tip=_("Store this C-arm on this computer, for other patients, too. ") + what,
                ),
                Button(
                    "to_all",
                    _("Same C-arm for all X-rays"),
                    self.use_for_all,
                    enabled=complete and len(self._xrays.views) > 1,
                    tip=_("Give these values to all X-rays of a C-arm. ") + what,
                ),
            ),
            Text("presets_problem", problem or self._message, tone="error" if problem else ""),
        ]

    def choose(self, name: str) -> None:
        """Fill in a stored C-arm; its pixels only if the X-ray has as many.

        Raises
        ------
        InputError
            If it is not stored any more.
        """
        preset = next((each for each in c_arm_presets.read_presets() if each.name == name), None)
        if preset is None:
            if name:
                raise InputError(_("This C-arm is not stored any more. Choose another one."))
            return
        view = self.view
        size = preset.c_arm["size"]
        texts = {key: text_of(preset.c_arm, key) for key in OF_MACHINE}
        self.reset()
        if tuple(size) != view.size:
            texts |= {"pixel_mm": "", "principal_point": ""}
            self._message = _(
                "{name} is stored for images of {size[0]} \u00d7 {size[1]} pixels, and {view} has "
                "{view_size[0]} \u00d7 {view_size[1]}. Enter its pixel size."
            ).format(name=name, size=size, view=view.name, view_size=view.size)
        self._editor.fill(view, texts, name)

    def keep(self, chosen: str) -> None:
        """Store the X-ray's C-arm under the name that was typed.

        Raises
        ------
        InputError
            If there is no name, or the file cannot be written.
        """
        geometry = self._editor.draft(self.view).geometry
        if not isinstance(geometry, CArm):
            raise InputError(_("The C-arm is incomplete. Fill in its fields."))
        name = self._name or chosen
        problem = c_arm_presets.keep_preset(name, geometry.to_json())
        self.reset()
        self._message = problem or _("{name} is kept on this computer.").format(name=name)

    def delete(self, name: str) -> None:
        """Delete a C-arm from this computer."""
        c_arm_presets.delete_preset(name)
        self.reset()

    def use_for_all(self) -> None:
        """Fill the values of this C-arm into all other X-rays of a C-arm."""
        view = self.view
        draft = self._editor.draft(view)
        texts = {key: draft.texts[key] for key in OF_MACHINE}
        for other in self._xrays.views:
            if other != view and self._editor.draft(other).kind == "c_arm":
                self._editor.fill(other, texts, _("as {name}").format(name=view.name))


def _is_used(view: XRayView, draft: GeometryDraft, preset: c_arm_presets.Preset) -> bool:
    """Return whether the fields of an X-ray show a stored C-arm."""
    shown = {key: draft.texts[key] for key in OF_MACHINE}
    stored = {key: text_of(preset.c_arm, key) for key in OF_MACHINE}
    return tuple(preset.c_arm["size"]) == view.size and shown == stored
