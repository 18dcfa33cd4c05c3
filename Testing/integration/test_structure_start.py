"""One bone of a CT among its neighbours, by another simulator: found where it lies, and assessed and followed as it was found."""

from __future__ import annotations

import json

import numpy as np
import phantom
import pytest
import SimpleITK as sitk
from bony_phantom import write_bony_ct
from moving import swing, write_moving_case
from scipy import ndimage

from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.io.sequence import FrameSequence
from MultiViewRegistrationLib.protocol.conditions import Condition, Trial
from MultiViewRegistrationLib.protocol.subject import Subject
from MultiViewRegistrationLib.protocol.trial import simulated
from MultiViewRegistrationLib.registration.anatomy import Anatomy
from MultiViewRegistrationLib.sequences import follow
from MultiViewRegistrationLib.workflow import assess, register


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    pytest.importorskip("itk.rtkJosephForwardProjectionImageFilterPython",
                        reason='needs itk-rtk: pip install "multiview-registration[demo]"')
    return Subject(write_bony_ct(tmp_path_factory.mktemp("bony") / "phantom.nii.gz"), 0)


@pytest.mark.parametrize("start", ["given", "search"])
def test_a_bone_that_moved_among_its_neighbours_is_found(subject, start):
    case = simulated(Trial(3, Condition("neighbours", "bone", nuisances=("neighbours",)), 0, 1, 0), subject, 0, 0).case
    result = register(case, start, anatomy=subject.anatomy(0))
    assert result.errors.mtre_mm < 0.5
    assert mtre(result.refinement.rest_at, case.truth_world_from_ct, case.targets) > 2, "its neighbours lie elsewhere"
    assert result.verdict == "check", "how often single bones are wrong was not measured"
    told = result.to_json()["rest"]
    assert 1 < told["distance_mm"] < 10 and 1 < told["rotation_deg"] < 8
    assert any(f"It lies {told['distance_mm']:.1f} mm and {told['rotation_deg']:.1f} degrees from" in reason for reason in result.reasons)
    again = assess(case, result.world_from_ct, subject.anatomy(0))
    np.testing.assert_allclose(again.refinement.fit.similarity, result.refinement.fit.similarity, atol=0.02)
    assert min(result.similarity(case.world_from_ct)) < min(result.similarity(result.world_from_ct)) - 0.05


def test_frames_after_one_that_was_registered_before_the_rest_are_followed(tmp_path):
    path = write_moving_case(tmp_path, swing(4))
    labels, _ = ndimage.label(phantom.make_ct().volume.values > 300)
    mask = ndimage.binary_dilation(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]))
    image, ct = sitk.GetImageFromArray(mask.astype(np.uint8)), sitk.ReadImage(str(tmp_path / "ct.nii.gz"))
    image.CopyInformation(ct)
    sitk.WriteImage(image, str(tmp_path / "mask.nii.gz"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mask": "mask.nii.gz"}))
    sequence = FrameSequence.of_images(path)
    found = list(follow(sequence, Anatomy(sequence.first.ct)))
    assert [each.how for each in found] == ["registered", "followed", "followed", "followed"]
    middle = sequence.first.ct.centroid()[None]
    for each, pose in zip(found, swing(4), strict=True):
        assert mtre(each.world_from_ct, pose, middle) < 1.0
