"""The steps of the page, in the order of the work."""

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

SECTIONS = {
    "ct": partial(FormSection, "ct", CTPresenter),
    "xrays": partial(FormSection, "xrays", XRaysPresenter),
    "start": partial(FormSection, "start", StartPresenter),
    "register": partial(FormSection, "register", RegisterPresenter),
    "check": partial(FormSection, "check", CheckPresenter),
    "export": partial(FormSection, "export", ExportPresenter),
    "sequence": partial(FormSection, "sequence", SequencePresenter),
}
