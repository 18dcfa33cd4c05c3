"""The sections of panel and page, in the order of the work."""

from __future__ import annotations

from .check import CheckPresenter
from .ct import CTPresenter
from .export import ExportPresenter
from .register import RegisterPresenter
from .section import Presenter
from .sequence import SequencePresenter
from .start import StartPresenter
from .xrays import XRaysPresenter

#: By their names; in the panel each has a header <name>Section in MultiViewRegistration.ui.
SECTIONS: dict[str, type[Presenter]] = {
    "ct": CTPresenter,
    "xrays": XRaysPresenter,
    "start": StartPresenter,
    "register": RegisterPresenter,
    "check": CheckPresenter,
    "export": ExportPresenter,
    "sequence": SequencePresenter,
}
