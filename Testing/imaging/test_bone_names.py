"""Names of bones that contradict where these lie: `imaging.bone_names`."""

from types import SimpleNamespace

import numpy as np
import pytest

from MultiViewRegistrationLib.assessment.bodies import BodyResult, BoneMotion, JointResult
from MultiViewRegistrationLib.assessment.combine import with_bones
from MultiViewRegistrationLib.assessment.records import Assessment
from MultiViewRegistrationLib.assessment.together import with_contradicted_name
from MultiViewRegistrationLib.errors import collect_warnings
from MultiViewRegistrationLib.imaging.body import StructureSource
from MultiViewRegistrationLib.imaging.bone_names import NamedBone, contradictions, side_and_rest
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.imaging.segmentation import structures_of_array

PLACE = np.diag([4.0, 4, 4, 1])
PLACE[:3, 3] = [-78, -38, -78]


def bone(name, x=0.0, z=0.0, called="", codes=""):
    """A bone of 36 mm about a place."""
    points = np.random.default_rng(0).uniform(-18, 18, (2000, 3)) + [x, 0, z]
    return NamedBone(name, called, codes, points, False)


def said(*bones, ct=None):
    return [sentence for _, sentence in contradictions(bones, ct)]


def ct_with_bone(*columns):
    """A CT with rods of bone along the body at these columns of 40, left at the higher ones."""
    values = np.full((40, 20, 40), 40.0, np.float32)
    for column in columns:
        values[:, 8:12, column : column + 4] = 900
    return Volume(values, PLACE)


@pytest.mark.parametrize(
    "name, side",
    [
        ("left hip", 1),
        ("RightFemur", -1),
        ("rib_L_5", 1),
        ("vertebrae_L3", 0),
        ("left and right hip", 0),
    ],
)
def test_side_and_rest_reads_side_from_name(name, side):
    assert side_and_rest(name)[0] == side


def test_contradictions_reports_exchanged_left_and_right():
    assert said(bone("hip_left", 70), bone("hip_right", -70)) == []
    assert said(bone("hip_left", -70), bone("hip_right", 70))


def test_contradictions_compares_single_bone_with_midline_of_ct():
    both, one = ct_with_bone(6, 30), ct_with_bone(30)
    assert said(bone("left femur", 50), ct=both) == []
    assert said(bone("right femur", 50), ct=both)[0].startswith('"right femur" lies on the left')
    assert said(bone("right femur", 50), ct=one) == []


def test_contradictions_reports_wrong_order_of_vertebrae():
    assert said(bone("L2", z=70), bone("L3", z=35), bone("L4")) == []
    assert said(bone("L2", z=0), bone("L3", z=35)) == ['"L2" lies below "L3": check their names.']
    assert said(bone("L4", z=37), bone("sacrum")) != [] == said(bone("L5", z=37), bone("sacrum"))


def test_contradictions_compares_name_with_label_in_file():
    assert len(said(bone("L3", called="vertebrae_L2"))) == 1
    right = "SCT^71341001^Femur~SCT^24028007^Right"
    assert len(said(bone("left femur", codes=right))) == 1 > len(said(bone("femur", codes=right)))


def test_loading_labels_warns_of_contradictions():
    labels = np.zeros((40, 20, 40), np.uint8)
    labels[10:30, 8:12, 6:10], labels[10:30, 8:12, 30:34] = 1, 2
    sources = [StructureSource("left femur", 1), StructureSource("right femur", 2)]
    with collect_warnings() as warned:
        found = structures_of_array(labels, None, sources, CT(ct_with_bone(6, 30)))
    assert warned[0] == found.contradictions[0][1]
    assert warned[0].startswith('"left femur" lies on the right of "right femur"')


def test_contradicted_name_prevents_accept():
    moved = BoneMotion(0, 0, np.eye(3)[2])
    accepted = BodyResult("L3", np.eye(4), Assessment(()), moved=moved)
    structures = SimpleNamespace(contradictions=[(("L3",), "Check the name.")])
    bone = with_contradicted_name(accepted, structures)
    (finding,) = bone.assessment.findings
    assert (bone.verdict, finding.code) == ("check", "name-contradicted")
    assert finding.values["statement"] == "Check the name."
    whole = with_bones(Assessment(()), JointResult([bone]))
    assert (whole.verdict, whole.findings) == ("check", (finding,))
