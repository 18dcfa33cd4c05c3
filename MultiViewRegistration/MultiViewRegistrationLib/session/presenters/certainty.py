"""How well the geometry is known: of each X-ray, and of what all X-rays share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, replace
from functools import partial

import numpy as np

from ...errors import InputError
from ...geometry.fields import (
    C_ARM,
    CALIBRATION,
    PRESUMED,
    SLOT_SCAN,
    SLOT_SCAN_UNCERTAINTY,
    UNCERTAINTY,
    Field,
    Table,
    describe_uncertainty,
)
from ...geometry.machines import DEG
from ...imaging.xray import SharedUnknowns
from ...known import Known
from ...mrml.case import change_settings, settings_of
from ...mrml.image import thumbnail
from ...mrml.xray import XRayView
from ...mrml.xray_record import XRayRecord
from ...translation import _
from ..geometry import reference_of
from .form import Choice, Form, Option, TextField, quiet
from .number import Number
from .section import Presenter

UNITS = {"mm": " mm", "deg": DEG, "px": " px", "percent": " %"}


class XRaySelection(Presenter):
    """All X-rays, one of which is selected."""

    _selected = ""

    @property
    def views(self) -> list[XRayView]:
        """All X-rays, in their order."""
        return self.registration.xrays if self.host.registration is not None else []

    @property
    def selected(self) -> XRayView | None:
        """The X-ray that the editors are about.

        The first where none was chosen, None without any.
        """
        views = self.views
        return next(
            (view for view in views if view.id == self._selected), views[0] if views else None
        )

    @property
    def current(self) -> XRayView:
        """The X-ray that the editors are about.

        Raises
        ------
        InputError
            Without any.
        """
        view = self.selected
        if view is None:
            raise InputError(_("X-rays: there is none any more; add one."))
        return view

    def view(self, node_id: str) -> XRayView:
        """Return the X-ray with this node.

        Raises
        ------
        InputError
            Where there is none.
        """
        found = [view for view in self.views if view.id == node_id]
        if not found:
            raise InputError(_("X-rays: this one is not there any more; choose another."))
        return found[0]

    def select(self, node_id: str) -> None:
        """Edit this X-ray."""
        self._selected = self.view(node_id).id


class EditorPresenter(Presenter):
    """Edits the selected X-ray; `form()` is only called if there is one.

    Parameters
    ----------
    xrays
        The X-rays and their selection.
    """

    def __init__(self, xrays: XRaySelection) -> None:
        self._xrays = xrays
        self._known = Known()
        super().__init__(xrays.host)

    @property
    def view(self) -> XRayView:
        """The X-ray that is selected.

        Raises
        ------
        InputError
            Without any.
        """
        return self._xrays.current

    def picture(self, view: XRayView, side: int) -> np.ndarray | None:
        """Return a view's image as it is shown, uint8 (rows, columns, 3), about so many pixels large."""
        parts = [view.node.GetImageData(), view.display]
        key = view.id, *(part and part.GetMTime() for part in parts)
        return self._known.value(
            "picture", key, lambda: thumbnail(view, side) if all(parts) else None
        )


def _shared(field: Field, most: float) -> Number:
    """Return the field for the uncertainty of what all X-rays share, in words of a C-arm's field."""
    name = _("Uncertain {what}").format(what=_(field.words))
    return Number(name, 0, most, UNITS[field.unit], blank=_("known"), nothing=0.0)


#: The unknowns that all X-rays share, in the order of `SharedUnknowns`.
SHARED = (
    _shared(C_ARM["source_to_detector_mm"], 500),
    _shared(C_ARM["principal_point"], 1000),
    _shared(SLOT_SCAN["isocentre"], 500),
)


class CertaintyPresenter(EditorPresenter):
    """Standard deviations of an X-ray's camera: usual for its source, exact, typed, or unknown."""

    TITLE = _("Certainty")

    def reset(self) -> None:
        """Discard the invalid texts."""
        #: Text and error by the X-ray's node ID, "" for what all share, and the field's key.
        self._invalid: dict[tuple[str, str], tuple[str, str]] = {}

    def error_of(self, node_id: str) -> str:
        """Return an error in the fields of an X-ray, "" for those that all share; "" if there is none."""
        return next(
            (error for (of, _key), (_text, error) in self._invalid.items() if of == node_id), ""
        )

    def discard(self, node_id: str) -> None:
        """Discard the invalid texts of a node."""
        self._invalid = {key: text for key, text in self._invalid.items() if key[0] != node_id}

    def form(self) -> Form:
        """Return the controls."""
        view = self.view
        reference = reference_of(self.registration)
        first = reference is None or reference == view
        stated = view.record.uncertainty
        unknown = (
            stated.get("rotation_sd_deg", 0) is None and stated.get("translation_sd_mm", 0) is None
        )
        known = "exactly" if stated else "usual"
        if unknown:
            known = "unknown"
        elif any(stated.values()):
            known = "typed"
        if stated == CALIBRATION and _unstated(view).presumed:
            known = "calibrated"
        options = (
            *self._usual_options(view),
            Option("exactly", _("exactly")),
            Option("typed", _("as typed")),
            *([] if first else [Option("unknown", _("angles and place not at all"))]),
        )
        controls: Form = [
            Choice(
                "certainty_known", _("Camera known"), self.set_known, value=known, options=options
            )
        ]
        if known == "typed":
            deviations = view.record.deviations
            for key, field in list(self._table.items())[2 if first else 0 :]:
                change = partial(self._set_deviation, view, key)
                words = _(field.words)
                number = Number(
                    _("Certainty of the {what}").format(what=words), *field.usual, UNITS[field.unit]
                )
                label = f"{words[0].upper()}{words[1:]} \u00b1"
                controls.append(
                    self._field(view.id, key, label, number, deviations[key] or 0.0, change)
                )
        alone = unknown and settings_of(self.registration).shared_unknowns == SharedUnknowns()
        hint = _("Angles and place are relative to {reference}, the first X-ray that is used.")
        if first:
            hint = _(
                "This X-ray is the reference: the angles and the place of every other X-ray are "
                "relative to it."
            )
        elif alone:
            hint = _(
                "This X-ray is registered alone; its geometry relative to {reference} is found "
                "with it."
            )
        name = "" if reference is None or first else reference.name
        return [*controls, quiet("certainty_hint", hint.format(reference=name))]

    def _usual_options(self, view: XRayView) -> list[Option]:
        """Return what is usual for an X-ray's kind of geometry; of a matrix a person knows more."""
        plain = _unstated(view)
        usual = describe_uncertainty(plain.deviations)
        if not plain.presumed:
            return [Option("usual", _("{usual} (usual)").format(usual=usual))]
        measured = describe_uncertainty(plain.deviations | {PRESUMED: 0.0})
        known = _("measured where this X-ray was taken: {sd}").format(sd=measured)
        return [Option("usual", usual), Option("calibrated", known)]

    @property
    def _table(self) -> Table:
        """The standard deviations of the X-ray's camera."""
        return SLOT_SCAN_UNCERTAINTY if self.view.record.kind == "slot_scan" else UNCERTAINTY

    def set_known(self, known: str) -> None:
        """Set how well the camera is known, one of the options; "typed" starts with the usual values."""
        self.discard(self.view.id)
        usual = _unstated(self.view).deviations
        if PRESUMED in usual:
            usual["principal_point_sd_px"] = round(usual[PRESUMED], 1)
        stated: dict[str, dict[str, float | None]] = {
            "usual": {},
            "exactly": dict.fromkeys(self._table, 0.0),
            "calibrated": dict(CALIBRATION),
            "typed": {key: usual[key] or 0.0 for key in self._table},
            "unknown": {"rotation_sd_deg": None, "translation_sd_mm": None},
        }
        self.view.change(uncertainty=stated[known])

    def _set_deviation(self, view: XRayView, key: str, value: float) -> None:
        view.change(uncertainty={**view.record.uncertainty, key: value})

    def shared_form(self) -> Form:
        """Return the fields of what one C-arm has in all its images."""
        deviations = astuple(settings_of(self.registration).shared_unknowns)
        hint = _(
            "Standard deviations of what one C-arm has in all its images; empty for what is known."
        )
        controls: Form = [quiet("shared_hint", hint)]
        for i, (number, deviation) in enumerate(zip(SHARED, deviations, strict=True)):
            share = partial(self._share, i)
            field = self._field("", f"shared{i}", number.name, number, deviation or 0.0, share)
            controls.append(field)
        return controls

    def _share(self, place: int, value: float) -> None:
        """Set the uncertainty of a shared unknown, by its place in SHARED."""
        values = list(astuple(settings_of(self.registration).shared_unknowns))
        values[place] = value or None
        change_settings(self.registration, shared_unknowns=SharedUnknowns(*values))

    def _field(
        self,
        of: str,
        key: str,
        label: str,
        number: Number,
        value: float,
        change: Callable[[float], object],
    ) -> TextField:
        """Return the field of a number; an invalid text stays in it."""
        text, _error = self._invalid.get((of, key), (number.write_bare(value), ""))
        take = partial(self._take, of, key, number, change)
        return TextField(key, label, take, text=text, number=number, of=of)

    def _take(
        self, of: str, key: str, number: Number, change: Callable[[float], object], text: str
    ) -> None:
        """Take the text of a field that was left.

        Raises
        ------
        InputError
            If it is invalid.
        """
        self._invalid[of, key] = text, number.problem(text)
        value = number.read(text)
        del self._invalid[of, key]
        change(value)


def _unstated(view: XRayView) -> XRayRecord:
    """Return the record of an X-ray of which nothing is stated."""
    return replace(view.record, uncertainty={})
