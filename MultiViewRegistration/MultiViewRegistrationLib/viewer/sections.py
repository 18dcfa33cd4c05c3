"""The steps of the page, in the order of the work."""

from __future__ import annotations

from functools import partial

from ..session.presenters.register import RegisterPresenter
from ..session.presenters.start import StartPresenter
from .check_section import CheckSection
from .ct_card import CTCard
from .export_section import ExportSection
from .form_section import FormSection
from .sequence_section import SequenceSection
from .xrays_card import XRaysCard

SECTIONS = {
    "ct": CTCard,
    "xrays": XRaysCard,
    "start": partial(FormSection, "start", StartPresenter),
    "register": partial(FormSection, "register", RegisterPresenter),
    "check": CheckSection,
    "exporting": ExportSection,
    "sequence": SequenceSection,
}
