"""Which segments of a scene are bones of a group."""

from __future__ import annotations

from typing import Any

from vtkmodules.vtkCommonCore import mutable

from ..imaging.segment_names import TOTAL_SEGMENTATOR, Group, belongs
from .nodes import segments_of

#: The attribute of a segmentation whose names are TotalSegmentator's by numbers alone, until a person
#: has said so.
NUMBERED = "MultiViewRegistration.numbered"


def terminology_of(segment: Any) -> str:
    """Return what a vtkSegment is by its tag TerminologyEntry; "" without one."""
    entry = mutable("")
    return str(entry) if segment.GetTag(segment.GetTerminologyEntryTagName(), entry) else ""


def of_group(segmentation: Any, group: Group) -> list[str]:
    """Return the IDs of the segments of a vtkMRMLSegmentationNode that are of a group."""
    segments = segments_of(segmentation)
    said = {each: (one.GetName(), terminology_of(one)) for each, one in segments.items()}
    return [each for each, words in said.items() if belongs(*words, group)]


def name_by_number(segmentation: Any) -> None:
    """Give the segments that TotalSegmentator's numbering has named their numbers as names."""
    numbers = {name: str(label) for label, name in TOTAL_SEGMENTATOR.items()}
    for segment in segments_of(segmentation).values():
        segment.SetName(numbers.get(segment.GetName(), segment.GetName()))
