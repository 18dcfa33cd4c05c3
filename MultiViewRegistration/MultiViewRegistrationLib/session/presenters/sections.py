"""The sections of panel and page, in the order of the work."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .check import CheckPresenter
from .ct import CTPresenter
from .export import ExportPresenter
from .section import Host, Presenter
from .sequence import SequencePresenter
from .start import RegisterPresenter, StartPresenter
from .xrays import XRaysPresenter


@dataclass(frozen=True)
class Sections:
    """The presenters of a host's sections.

    In the panel each has a header <name>Section in MultiViewRegistration.ui.
    """

    ct: CTPresenter
    xrays: XRaysPresenter
    start: StartPresenter
    register: RegisterPresenter
    check: CheckPresenter
    export: ExportPresenter
    sequence: SequencePresenter

    @classmethod
    def of(cls, host: Host) -> Sections:
        """Make the presenters of a host."""
        return cls(
            CTPresenter(host),
            XRaysPresenter(host),
            StartPresenter(host),
            RegisterPresenter(host),
            CheckPresenter(host),
            ExportPresenter(host),
            SequencePresenter(host),
        )

    def by_name(self) -> dict[str, Presenter]:
        """Return the presenters by their names, in the order of the work."""
        return {each.name: getattr(self, each.name) for each in fields(self)}
