"""One bone of a CT among its neighbours, by another simulator.

Found where it lies, and assessed and followed as it was found.
"""

import numpy as np
import phantom
import pytest
from file_io import read_json, write_json
from moving import swing, track_of, write_moving_case
from numpy.testing import assert_allclose
from phantom import write_bony_ct
from scipy import ndimage

from benchmarks.protocol.cases import Subject, simulated
from benchmarks.protocol.conditions import Condition, Trial
from MultiViewRegistrationLib.api import assess, register
from MultiViewRegistrationLib.assessment.metrics import mtre


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    pytest.importorskip(
        "itk.rtkJosephForwardProjectionImageFilterPython",
        reason='needs itk-rtk: pip install -e ".[bench]"',
    )
    return Subject(write_bony_ct(tmp_path_factory.mktemp("bony") / "phantom.nii.gz"), 0)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["given", "search"])
def test_a_bone_that_moved_among_its_neighbours_is_found(subject, start):
    condition = Condition("neighbours", "bone", nuisances=("neighbours",))
    case = simulated(Trial(3, condition, 0, 1, 0), subject, 0, 0).case
    anatomy = subject.bones[0].anatomy
    result = register(case, start, anatomy=anatomy)
    assert result.errors.mtre_mm < 0.5
    rest = result.refinement.world_from_background
    assert mtre(rest, case.truth_world_from_ct, case.targets) > 2, "its neighbours lie elsewhere"
    assert result.verdict != "reject"
    told = result.to_json()["background"]
    assert 1 < told["distance_mm"] < 10 and 1 < told["rotation_deg"] < 8
    again = assess(case, result.world_from_ct, anatomy)
    assert_allclose(again.refinement.fit.similarity, result.refinement.fit.similarity, atol=0.02)
    before, after = (
        min(result.similarity(pose)) for pose in (case.world_from_ct, result.world_from_ct)
    )
    assert before < after - 0.05


def of_one_bone(folder, poses):
    """A case whose images show the phantom at each of these poses, with a mask of its largest bone."""
    path = write_moving_case(folder, poses)
    labels, _ = ndimage.label(phantom.make_ct().volume.values > 300)
    mask = ndimage.binary_dilation(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]))
    phantom.write_ct_file(folder / "mask.nii.gz", mask.astype(np.uint8))
    write_json(
        path, {**read_json(path), "mask": "mask.nii.gz", "header_mismatch": {"patient": True}}
    )
    return path


@pytest.mark.parametrize("pace", [pytest.param("thorough", marks=pytest.mark.slow), "quick"])
def test_frames_after_one_that_was_registered_before_the_rest_are_followed_before_it(
    tmp_path, pace
):
    found = track_of(of_one_bone(tmp_path, swing(4)), pace).frames
    assert [each.how for each in found] == ["registered", "followed", "followed", "followed"]
    for each, pose in zip(found, swing(4), strict=True):
        assert phantom.error_mm(each.world_from_ct, pose) < 0.3  # by itself 6 mm, turned
        assert phantom.error_mm(each.background.world_from_ct, pose) < 0.3
        assert each.verdict == "check" and "are of different patients" in each.reasons[0]


@pytest.mark.slow
def test_a_frame_in_which_the_rest_is_lost_is_lost_and_the_next_one_is_not(tmp_path):
    poses = swing(4)
    poses[2] = phantom.off(poses[2], [0, 0, 0], [0, 0, 400])
    found = track_of(of_one_bone(tmp_path, poses)).frames
    assert [each.how for each in found] == ["registered", "followed", "lost", "followed"]
    assert found[2].reasons[1].startswith("Lost: the structure fits view1 worse")
    assert found[2].pose is None and not found[2].background.kept
    assert phantom.error_mm(found[3].world_from_ct, poses[3]) < 0.3
