"""The steps of the page, in the order of the work."""

from __future__ import annotations

from .check_section import CheckSection
from .ct_card import CTCard
from .export_section import ExportSection
from .register_section import RegisterSection
from .sequence_section import SequenceSection
from .start_section import StartSection
from .xrays_card import XRaysCard

SECTIONS = (CTCard, XRaysCard, StartSection, RegisterSection, CheckSection, ExportSection, SequenceSection)
