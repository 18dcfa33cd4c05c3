"""`_`, which translates a sentence that a person reads: by Slicer inside it, by gettext elsewhere.

Call it with a literal, so that extraction finds the sentence, and fill in values behind it:
`_("Reading {name}...").format(name=name)`, of an error `InputError(_("{name}: is ..."), name=name)`.
"""

from __future__ import annotations

import gettext
from pathlib import Path

#: Compiled catalogues outside Slicer: <language>/LC_MESSAGES/MultiViewRegistration.mo.
CATALOGUES = Path(__file__).with_name("locale")

try:
    from slicer.i18n import tr as _  # not wrapped: it takes the context from the file of its caller
except ImportError:  # slicer-core has no i18n
    _ = gettext.translation("MultiViewRegistration", CATALOGUES, fallback=True).gettext

__all__ = ["_"]
