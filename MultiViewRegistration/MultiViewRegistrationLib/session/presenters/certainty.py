"""How well the geometry of an X-ray is known."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...imaging.view import SharedUnknowns
from ...mrml.case import shared_unknowns_of
from ..geometry import DEG, READ_OFF, reference_of
from ..translation import _
from .editor import EditorPresenter
from .number import Number
from .options import Option

EXACTLY, ABOUT, UNKNOWN = "exactly", "about", "unknown"
KNOWN = {EXACTLY: _("exactly"), ABOUT: _("about"), UNKNOWN: _("not at all")}
#: Standard deviations, by their key in a view's content, and what is usual for one that is known about.
DEVIATIONS = {
    "rotation_sd_deg": Number(_("Certainty of the angles"), 0.01, 180, DEG, "\u00b1 "),
    "translation_sd_mm": Number(_("Certainty of the place"), 0.01, 1000, " mm", "\u00b1 "),
}
USUAL = dict(zip(DEVIATIONS, READ_OFF, strict=True))


@dataclass(frozen=True)
class Deviation:
    """known: of KNOWN.   deviation: of what is known about, without unit."""

    known: str = EXACTLY
    deviation: str = ""


@dataclass(frozen=True)
class CertaintyShown:
    """reference: whether the X-ray is the one that the others are relative to, so that nothing can be changed."""

    rotation_sd_deg: Deviation = field(default_factory=Deviation)
    translation_sd_mm: Deviation = field(default_factory=Deviation)
    reference: bool = True
    hint: str = ""
    known: list[Option] = field(default_factory=lambda: [Option(*item) for item in KNOWN.items()])


class CertaintyPresenter(EditorPresenter):
    """Angles and place of an X-ray relative to the first one: known exactly, about, or not at all."""

    TITLE = _("Certainty")

    def shown(self) -> CertaintyShown:
        view = self.view
        if view is None:
            return CertaintyShown()
        deviations = {key: view.content.get(key, 0.0) for key in DEVIATIONS}
        return CertaintyShown(
            **{
                key: Deviation(
                    UNKNOWN if deviation is None else ABOUT if deviation > 0 else EXACTLY,
                    DEVIATIONS[key].write_bare(deviation or USUAL[key]),
                )
                for key, deviation in deviations.items()
            },
            reference=view == reference_of(self.registration),
            hint=self._hint(all(deviation is None for deviation in deviations.values())),
        )

    def _hint(self, unknown: bool) -> str:
        reference = reference_of(self.registration)
        if reference is None or reference == self.view:
            return _("This X-ray is the reference: the certainty of every other X-ray is relative to it.")
        if unknown and shared_unknowns_of(self.registration) == SharedUnknowns():
            return _("This X-ray is registered alone; its geometry relative to {reference} is found with it.").format(
                reference=reference.name
            )
        return _("Relative to {reference}, the first X-ray that is used.").format(reference=reference.name)

    def set_known(self, key: str, known: str) -> None:
        """How well it is known, one of KNOWN."""
        if key in DEVIATIONS and known in KNOWN:
            self.view.change(**{key: {EXACTLY: 0.0, ABOUT: USUAL[key], UNKNOWN: None}[known]})

    def set_deviation(self, key: str, text: str) -> None:
        """The standard deviation of what is known about. InputError for what is wrong in it."""
        if key in DEVIATIONS:
            self.view.change(**{key: DEVIATIONS[key].read(text)})
