"""The X-rays: images, geometry, masks."""

from __future__ import annotations

from slicer.i18n import tr as _

from .section import Section


class XRaysSection(Section):
    """See the panel's tutorial."""

    FILE = "XRays.ui"
    TITLE = _("2. X-rays")
