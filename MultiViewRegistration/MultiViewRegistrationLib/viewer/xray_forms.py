"""The forms about one X-ray, geometry, image and certainty, and the questions that a file leaves open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..errors import InputError
from ..session.presenters.certainty import ABOUT, DEVIATIONS
from ..session.presenters.geometry import AXES, C_ARM, FILE, MATRIX, NUMBERS
from ..session.translation import _
from .elements import Files, NumberField
from .uploads import all_of


class XRayForm:
    """Widgets about the X-ray that is selected; they show `state.xrays[NAME]`, which is what the presenter shows.

    acting: makes an action one that the page calls, see `Section.acting`.
    """

    NAME = ""

    def __init__(self, presenter, acting: Callable[[Callable], Callable]) -> None:
        self.presenter, self.acting = presenter, acting

    def build(self) -> None:
        """Make the widgets, once."""


def build_questions(shown: str, answer: Callable) -> None:
    """Make a box or a field for each question, once.

    shown: the name in the page of a list of `OpenQuestion`s.   answer: called with the key of a question and the answer.
    """
    with html.Div(v_for=f"question in {shown}", key="question.key", title=("question.tip",), classes="mt-2"):
        v.VSelect(
            v_if="question.choices.length",
            label=("question.label",),
            items=("question.choices",),
            model_value=("question.answer",),
            update_modelValue=(answer, "[question.key, $event]"),
        )
        v.VTextField(
            v_else=True,
            label=("question.label",),
            model_value=("question.answer",),
            change=(answer, "[question.key, $event.target.value]"),
        )
        html.Div("{{ question.tip }}", v_if="!question.choices.length", classes="mv-fact")


#: Labels of the fields that every C-arm needs, and of the others.
LABELS = {
    "rao_lao_deg": _("LAO (+) / RAO (−)"),
    "cra_cau_deg": _("CRA (+) / CAU (−)"),
    "source_to_detector_mm": _("Source to detector"),
    "source_to_isocentre_mm": _("Source to isocentre"),
    "pixel_mm0": _("Pixel, along columns"),
    "pixel_mm1": _("Pixel, along rows"),
}
FURTHER = {
    "roll_deg": _("Roll"),
    "isocentre_offset_mm0": _("Isocentre off, columns"),
    "isocentre_offset_mm1": _("Isocentre off, rows"),
    "principal_point0": _("Principal point, column"),
    "principal_point1": _("Principal point, row"),
}
MODES = {C_ARM: _("C-arm"), MATRIX: _("Matrix"), FILE: _("File")}
SEEN = {
    "": _("choose: left and right depend on it"),
    "source": _("the source"),
    "detector": _("the detector, mirrored"),
}


class GeometryForm(XRayForm):
    """Fields of a C-arm, a text with a matrix, and the questions of a calibration file."""

    NAME = "geometry"

    def build(self) -> None:
        presenter, acting = self.presenter, self.acting
        self._edit = acting(presenter.edit)
        with v.VBtnToggle(
            model_value=("xrays.geometry.mode",),
            update_modelValue=(self._edit, "['mode', $event]"),
            mandatory=True,
            density="compact",
            variant="text",
            classes="mt-2",
        ):
            for mode, title in MODES.items():
                v.VBtn(title, value=mode, size="small")
        for mode, build in ((C_ARM, self._c_arm), (MATRIX, self._matrix), (FILE, self._calibration)):
            with html.Div(v_if=f"xrays.geometry.mode === '{mode}'"):
                build()
        html.Div("{{ line }}", v_for="line in xrays.geometry.told.split('\\n')", key="line", classes="mv-fact")
        html.Div("{{ xrays.geometry.unusual }}", v_if="xrays.geometry.unusual", classes="mv-problem")
        html.Div("{{ xrays.geometry.problem }}", v_if="xrays.geometry.problem", classes="mv-problem")
        with html.Div(classes="mv-row"):
            v.VBtn(
                _("Apply"),
                click=acting(presenter.apply),
                size="small",
                color="primary",
                disabled=("!xrays.geometry.can_apply",),
            )
            v.VBtn(
                _("Reset"),
                click=acting(presenter.revert),
                size="small",
                variant="text",
                disabled=("!xrays.geometry.changed",),
            )
            with v.VMenu(v_if="xrays.geometry.others.length"):
                with v.Template(v_slot_activator="{ props }"):
                    v.VBtn(_("Copy from"), v_bind="props", size="small", variant="text")
                with v.VList(density="compact"):
                    v.VListItem(
                        v_for="other in xrays.geometry.others",
                        key="other.value",
                        title=("other.title",),
                        click=(acting(presenter.copy), "[other.value]"),
                    )

    def _c_arm(self) -> None:
        self._fields(LABELS)
        v.VSelect(
            label=_("Image seen from"),
            model_value=("xrays.geometry.fields.seen",),
            update_modelValue=(self._edit, "['seen', $event]"),
            items=(str([{"value": value, "title": title} for value, title in SEEN.items()]),),
            classes="mt-2",
        )
        with html.Details(classes="mv-details"):
            html.Summary(_("Roll, isocentre, principal point"))
            self._fields(FURTHER)

    def _fields(self, labels: dict[str, str]) -> None:
        with html.Div(classes="mv-grid2"):
            for key, label in labels.items():
                NumberField(
                    label=label,
                    suffix=NUMBERS[key].unit.strip() or "px",
                    step="any",
                    model_value=(f"xrays.geometry.fields.{key}",),
                    change=(self._edit, f"['{key}', $event.target.value]"),
                )

    def _matrix(self) -> None:
        v.VTextarea(
            label=_("Projection matrix, 3 × 4, world mm to pixels"),
            rows=4,
            variant="outlined",
            density="compact",
            hide_details=True,
            model_value=("xrays.geometry.fields.matrix",),
            classes="mt-2 mv-mono",
            change=(self._edit, "['matrix', $event.target.value]"),
        )
        v.VSelect(
            label=_("Axes of the world"),
            items=(str(list(AXES)),),
            model_value=("xrays.geometry.fields.axes",),
            classes="mt-2",
            update_modelValue=(self._edit, "['axes', $event]"),
        )

    def _calibration(self) -> None:
        of, calibration = "xrays.geometry.calibration", self.presenter.calibration
        Files(target="calibration", hint=_("a calibration: OpenCV, MayaCam, RTK, xReg, Plus, matrices"))
        html.Div(f"{{{{ {of}.file }}}}", v_if=f"{of}.file", classes="mv-name mt-2")
        v.VSelect(
            v_if=f"{of}.files.length > 1",
            label=_("Calibration file"),
            items=(f"{of}.files",),
            model_value=(f"{of}.file",),
            update_modelValue=(self.acting(calibration.choose_file), "[$event]"),
            classes="mt-2",
        )
        build_questions(f"{of}.questions", self.acting(calibration.answer))
        v.VSelect(
            v_if=f"{of}.cameras.length > 1",
            label=_("Camera"),
            items=(f"{of}.cameras",),
            model_value=(f"{of}.camera",),
            update_modelValue=(self.acting(calibration.choose_camera), "[$event]"),
            classes="mt-2",
        )

    def take(self, folder: Path) -> None:
        """A calibration file that a page sent, with another that it needs, if any. InputError without an X-ray that it could be of."""
        if self.presenter.view is None:
            raise InputError(
                _("Calibration file: no X-ray is selected, expected the one that it is of; click its name first.")
            )
        files = all_of(folder)
        self.acting(self.presenter.calibration.open)(files[0], folder, tuple(files))


class ImageForm(XRayForm):
    """How the picture of an X-ray is made from the image that it came as, and what part of it is used."""

    NAME = "image"

    def build(self) -> None:
        presenter, acting = self.presenter, self.acting
        html.Div("{{ xrays.image.source }}", classes="mv-fact")
        NumberField(
            v_if="xrays.image.last_frame > 0",
            label=_("Frame"),
            min=0,
            max=("xrays.image.last_frame",),
            classes="mt-2",
            suffix=("`/ ${xrays.image.last_frame}`",),
            model_value=("xrays.image.frame",),
            change=(acting(presenter.set_frame), "[$event.target.value]"),
        )
        v.VSelect(
            label=_("Values"),
            items=("xrays.image.intensities",),
            model_value=("xrays.image.intensity",),
            classes="mt-2",
            update_modelValue=(acting(presenter.set_intensity), "[$event]"),
        )
        for name, label in (("inverted", _("Inverted grey scale")), ("flipped", _("Mirror left and right"))):
            v.VCheckbox(
                label=label,
                model_value=(f"xrays.image.{name}",),
                update_modelValue=(acting(presenter.switch), f"['{name}', $event]"),
            )
        v.VSelect(
            v_if="xrays.image.masks.length > 1",
            label=_("Use only what is within"),
            items=("xrays.image.masks",),
            model_value=("xrays.image.mask",),
            update_modelValue=(acting(presenter.set_mask), "[$event]"),
        )


DEVIATION_LABELS = {"rotation_sd_deg": _("Angles known"), "translation_sd_mm": _("Place known")}


class CertaintyForm(XRayForm):
    """A box and a field for the angles, and for the place."""

    NAME = "certainty"

    def build(self) -> None:
        html.Div("{{ xrays.certainty.hint }}", classes="mv-fact")
        for key, label in DEVIATION_LABELS.items():
            with html.Div(classes="mv-grid2"):
                v.VSelect(
                    label=label,
                    items=("xrays.certainty.known",),
                    model_value=(f"xrays.certainty.{key}.known",),
                    update_modelValue=(self.acting(self.presenter.set_known), f"['{key}', $event]"),
                    disabled=("xrays.certainty.reference",),
                )
                NumberField(
                    v_if=f"xrays.certainty.{key}.known === '{ABOUT}'",
                    label=_("Standard deviation"),
                    suffix=DEVIATIONS[key].unit.strip(),
                    min=0,
                    step=0.5,
                    model_value=(f"xrays.certainty.{key}.deviation",),
                    disabled=("xrays.certainty.reference",),
                    change=(self.acting(self.presenter.set_deviation), f"['{key}', $event.target.value]"),
                )
