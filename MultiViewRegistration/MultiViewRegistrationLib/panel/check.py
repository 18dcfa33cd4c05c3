"""By what a person judges the pose."""

from __future__ import annotations

from slicer.i18n import tr as _

from .section import Section


class CheckSection(Section):
    """See the panel's tutorial."""

    FILE = "Check.ui"
    TITLE = _("5. Check")
