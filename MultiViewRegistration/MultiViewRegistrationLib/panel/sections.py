"""The sections of the panel, in the order of the work."""

from __future__ import annotations

from functools import partial

from ..session.presenters.check import CheckPresenter
from ..session.presenters.ct import CTPresenter
from ..session.presenters.export import ExportPresenter
from ..session.presenters.register import RegisterPresenter
from ..session.presenters.sequence import SequencePresenter
from ..session.presenters.start import StartPresenter
from ..session.presenters.xrays import XRaysPresenter
from .form_section import FormSection

#: By the names of their headers: <name>Section in MultiViewRegistration.ui.
SECTIONS = {
    "ct": partial(FormSection, CTPresenter),
    "xrays": partial(FormSection, XRaysPresenter),
    "start": partial(FormSection, StartPresenter),
    "register": partial(FormSection, RegisterPresenter),
    "check": partial(FormSection, CheckPresenter),
    "export": partial(FormSection, ExportPresenter),
    "sequence": partial(FormSection, SequencePresenter),
}
