"""The pose handed on."""

from __future__ import annotations

from slicer.i18n import tr as _

from .section import Section


class ExportSection(Section):
    """See the panel's tutorial."""

    FILE = "Export.ui"
    TITLE = _("6. Export")
