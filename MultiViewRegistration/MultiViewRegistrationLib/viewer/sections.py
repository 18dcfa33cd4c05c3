"""The steps of the page, in the order of the work."""

from __future__ import annotations

from functools import partial

from ..session.presenters.ct import CTPresenter
from ..session.presenters.register import RegisterPresenter
from ..session.presenters.start import StartPresenter
from ..session.presenters.xrays import XRaysPresenter
from .check_section import CheckSection
from .export_section import ExportSection
from .form_section import FormSection
from .sequence_section import SequenceSection

SECTIONS = {
    "ct": partial(FormSection, "ct", CTPresenter),
    "xrays": partial(FormSection, "xrays", XRaysPresenter),
    "start": partial(FormSection, "start", StartPresenter),
    "register": partial(FormSection, "register", RegisterPresenter),
    "check": CheckSection,
    "exporting": ExportSection,
    "sequence": SequenceSection,
}
