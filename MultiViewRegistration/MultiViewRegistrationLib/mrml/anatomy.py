"""Which bone a segment is: by its name, as TotalSegmentator gives it, or by its SNOMED CT code."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from vtkmodules.vtkCommonCore import mutable


class Group(NamedTuple):
    """Bones that belong together: a pattern of their names, and their SNOMED CT codes."""

    names: str
    codes: frozenset[str]


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: A vertebra without its level, C1 to L5, and S1.
VERTEBRAE = Group(
    r"(vertebrae?[ _])?([CTLS])(1[0-3]|[1-9])([ _]vertebra)?",
    _codes(
        "51282000 14806007 39976000 113205007 5329002 36978003 36054005 87391001 64864005 53733008 "
        "1626008 73071006 56401006 45296009 62487009 11068009 82687006 7610001 12989004 23215003 "
        "66794005 14293000 36470004 11994002 49668003 65985001"
    ),
)
#: Hip and hip joint, as TotalSegmentator calls a hip bone now and before; pelvis, its bones, ilium,
#: ischium, sacrum; femur.
PELVIS_AND_FEMURS = Group(
    r"((left|right)[ _])?(hip|femur|sacrum|pelvis)(([ _])(left|right))?",
    _codes("29836001 24136001 816092008 118645006 22356005 85710004 54735007 71341001"),
)
#: Further bones: the limbs from humerus to metatarsals, the ribs and each of them, skull to sternum.
OTHER_BONES = Group(
    r"((left|right)[ _])?(rib|humerus|scapula|clavic(ula|le)|radius|ulna|tibia|fibula|patella|"
    r"skull|sternum|mandible)([ _]\w+)*|(carpal|metacarpal|tarsal|metatarsal)s?",
    _codes(
        "85050009 79601000 51299004 62413002 23416004 83936004 36455000 12611008 87342007 64234005 "
        "108371006 53884002 113197003 48535007 78247007 25888004 25523003 15339008 59558009 "
        "24915002 5953002 22565002 77644006 58830002 43993008 89546000 91609006 56873002"
    ),
)


def terminology_of(segment: Any) -> str:
    """Return what a vtkSegment is by its tag TerminologyEntry; "" without one."""
    entry = mutable("")
    return str(entry) if segment.GetTag(segment.GetTerminologyEntryTagName(), entry) else ""


def code_of(terminology: str) -> str:
    """Return the SNOMED CT code of the type in a TerminologyEntry; "" without one."""
    _context, _category, *kinds = [*terminology.split("~"), "", ""]
    scheme, code, *_meaning = [*kinds[0].split("^"), ""]
    return code if scheme == "SCT" else ""


def belongs(name: str, terminology: str, group: Group) -> bool:
    """Return whether a segment of this name and TerminologyEntry is of a group."""
    named = re.fullmatch(group.names, name.strip(), re.IGNORECASE)
    return bool(named) or code_of(terminology) in group.codes


def of_group(segmentation: Any, group: Group) -> list[str]:
    """Return the IDs of the segments of a vtkMRMLSegmentationNode that are of a group."""
    segmentation = segmentation.GetSegmentation()
    segments = {each: segmentation.GetSegment(each) for each in segmentation.GetSegmentIDs()}
    return [
        each
        for each, segment in segments.items()
        if belongs(segment.GetName(), terminology_of(segment), group)
    ]


def is_bone(name: str, terminology: str) -> bool:
    """Return whether a segment of this name and TerminologyEntry is a bone."""
    groups = VERTEBRAE, PELVIS_AND_FEMURS, OTHER_BONES
    return any(belongs(name, terminology, group) for group in groups)
