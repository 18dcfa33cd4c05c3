"""Where the registration begins."""

from __future__ import annotations

from slicer.i18n import tr as _

from .section import Section


class StartSection(Section):
    """See the panel's tutorial."""

    FILE = "Start.ui"
    TITLE = _("3. Start")
