"""Which bone a segment is: by its name, as TotalSegmentator gives it, or by its SNOMED CT code."""

from __future__ import annotations

import re
from typing import Any

from vtkmodules.vtkCommonCore import mutable

#: SNOMED CT codes of the vertebrae C1 to L5, of the bones of the pelvis, and of the femurs.
VERTEBRA_CODES = (
    "14806007 39976000 113205007 5329002 36978003 36054005 87391001 64864005 53733008 1626008 "
    "73071006 56401006 45296009 62487009 11068009 82687006 7610001 12989004 23215003 66794005 "
    "14293000 36470004 11994002 49668003"
).split()
PELVIS_CODES, FEMUR_CODES = ["29850006", "24136001", "54735007"], ["71341001"]
#: The same by names: of TotalSegmentator, or a vertebra's alone, as in "L1".
VERTEBRAE = (r"(vertebrae?[ _])?([CTLS])(1[0-3]|[1-9])([ _]vertebra)?", VERTEBRA_CODES)
PELVIS_AND_FEMURS = (r"((left|right)[ _])?(hip|femur|sacrum)(([ _])(left|right))?",
                     [*PELVIS_CODES, *FEMUR_CODES])  # fmt: skip
#: Further bones by the names that TotalSegmentator gives them.
OTHER_BONES = (
    r"(rib|humerus|scapula|clavicula|radius|ulna|tibia|fibula|patella|skull|sternum|mandible)"
    r"([ _]\w+)*|(carpal|metacarpal|tarsal|metatarsal)s?"
)
TERMINOLOGY = "TerminologyEntry"


def code_of(segment: Any) -> str:
    """Return the SNOMED CT code of a vtkSegment's type; "" without one."""
    entry = mutable("")
    if not segment.GetTag(TERMINOLOGY, entry):
        return ""
    parts = str(entry).split("~")
    scheme, _caret, rest = parts[2].partition("^") if len(parts) > 2 else ("", "", "")
    return rest.partition("^")[0] if scheme in ("SCT", "SRT") else ""


def belongs(segment: Any, group: tuple[str, list[str]]) -> bool:
    """Return whether a vtkSegment is of a group: VERTEBRAE or PELVIS_AND_FEMURS."""
    names, codes = group
    named = re.fullmatch(names, segment.GetName().strip(), re.IGNORECASE)
    return bool(named) or code_of(segment) in codes


def of_group(segmentation: Any, group: tuple[str, list[str]]) -> list[str]:
    """Return the IDs of the segments of a vtkMRMLSegmentationNode that are of a group."""
    segments = segmentation.GetSegmentation()
    return [each for each in segments.GetSegmentIDs() if belongs(segments.GetSegment(each), group)]


def is_bone(segment: Any) -> bool:
    """Return whether name or code of a vtkSegment say that it is a bone."""
    codes = [*VERTEBRA_CODES, *PELVIS_CODES, *FEMUR_CODES]
    return is_bone_name(segment.GetName()) or code_of(segment) in codes


def is_bone_name(name: str) -> bool:
    """Return whether a segment of this name is a bone."""
    patterns = VERTEBRAE[0], PELVIS_AND_FEMURS[0], OTHER_BONES
    return any(re.fullmatch(each, name.strip(), re.IGNORECASE) for each in patterns)
