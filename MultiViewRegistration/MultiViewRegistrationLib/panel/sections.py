"""The sections of the panel, in the order of the work."""

from __future__ import annotations

from functools import partial

from ..session.presenters.register import RegisterPresenter
from ..session.presenters.start import StartPresenter
from .check import CheckSection
from .ct import CTSection
from .export import ExportSection
from .form_section import FormSection
from .sequence import SequenceSection
from .xrays import XRaysSection

#: By the names of their headers: <name>Section in MultiViewRegistration.ui.
SECTIONS = {
    "ct": CTSection,
    "xrays": XRaysSection,
    "start": partial(FormSection, StartPresenter),
    "register": partial(FormSection, RegisterPresenter),
    "check": CheckSection,
    "export": ExportSection,
    "sequence": SequenceSection,
}
