"""One button, its progress, and the history of poses."""

from __future__ import annotations

from slicer.i18n import tr as _

from .section import Section


class RegisterSection(Section):
    """See the panel's tutorial."""

    FILE = "Register.ui"
    TITLE = _("4. Register")
