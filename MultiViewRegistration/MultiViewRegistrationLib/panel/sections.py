"""The sections of the panel, in the order of the work."""

from __future__ import annotations

from functools import partial

from ..session.presenters.ct import CTPresenter
from ..session.presenters.register import RegisterPresenter
from ..session.presenters.start import StartPresenter
from ..session.presenters.xrays import XRaysPresenter
from .check import CheckSection
from .export import ExportSection
from .form_section import FormSection
from .sequence import SequenceSection

#: By the names of their headers: <name>Section in MultiViewRegistration.ui.
SECTIONS = {
    "ct": partial(FormSection, CTPresenter),
    "xrays": partial(FormSection, XRaysPresenter),
    "start": partial(FormSection, StartPresenter),
    "register": partial(FormSection, RegisterPresenter),
    "check": CheckSection,
    "export": ExportSection,
    "sequence": SequenceSection,
}
