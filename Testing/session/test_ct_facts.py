"""What a person is told of a CT."""

import numpy as np

from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.mrml.case import facts

SPACING = (2.0, 3.0, 4.0)


def ct(bone_hu=1500.0):
    """Water with 2 x 5 x 10 voxels of bone, 2.4 ml."""
    values = np.zeros((28, 24, 20), np.float32)
    values[3:5, 4:9, 5:15] = bone_hu
    return CT(Volume(values, np.diag([*SPACING, 1.0])), "hu")


def test_a_whole_ct_is_told_by_its_size_and_bone(slicer_app):
    assert facts(ct()) == [
        "Voxels: 20 \u00d7 24 \u00d7 28",
        "Spacing: 2.00 \u00d7 3.00 \u00d7 4.00 mm",
        "Extent: 40 \u00d7 72 \u00d7 112 mm",
        "Bone: 2 ml (above 200 HU)",
    ]


def test_a_ct_without_bone_is_asked_about(slicer_app):
    assert facts(ct(bone_hu=100.0))[-1] == "No bone above 200 HU: are the values right?"
