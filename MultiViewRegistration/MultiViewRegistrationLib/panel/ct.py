"""The CT, and the structure in it that is registered."""

from __future__ import annotations

from slicer.i18n import tr as _

from .section import Section


class CTSection(Section):
    """See the panel's tutorial."""

    FILE = "CT.ui"
    TITLE = _("1. CT")
