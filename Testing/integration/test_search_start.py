"""From no start, or landmarks, to the registered pose.

Landmarks through the program; searches on X-rays of another simulator and on real radiographs.
"""

import numpy as np
import pytest
from helpers.file_io import read_json
from helpers.program import changed, mtre_mm, mvreg, result_in

from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.optimizer import Range
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.studies import statistics as protocol


@pytest.mark.slow
@pytest.mark.parametrize("name", ["oblique-1", "lateral", "oblique-2", "three-views-wires"])
def test_the_search_finds_pelves_of_another_simulator(shared_data, name):
    case = Case.load(shared_data / "sim" / f"pelvis-{name}")
    anatomy, random = PreparedCT(case.ct), np.random.default_rng(11)
    true = case.truth_world_from_ct
    for reach in (Range(18, 55), Range(35, 100)):
        centres = reach.poses(true, anatomy.centroid, random.random((2, 6)))
        for seed, centre in enumerate(centres):
            found = refine(anatomy, case.views, centre, reach=reach, seed=seed)
            assert metrics.mtre(found.world_from_ct, true, case.targets) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["radius_0099", "ulna_0158"])
def test_long_bones_are_not_lost_along_their_shaft(shared_data, name):
    case = Case.load(shared_data / "wrist" / f"{name}.json")
    anatomy = PreparedCT(case.ct)
    expected = refine(anatomy, case.views, case.world_from_ct).world_from_ct
    arrived = 0
    for seed, centre in enumerate(protocol.perturbed(expected, anatomy.centroid, 16, 16, 3, 5)):
        pose = refine(anatomy, case.views, centre, reach=Range(16, 16), seed=seed).world_from_ct
        arrived += rigid.pose_difference(pose, expected, anatomy.centroid)[0] < 0.5
    assert arrived >= 2


NOISE_PX = 3.0


def placed(points, cameras, truth):
    """ "landmarks" of a case.json.

    Points (N, 3) in the CT where the truth puts them, NOISE_PX off in each direction.
    """
    random, landmarks = np.random.default_rng(0), []
    for n, (point, world) in enumerate(zip(points, rigid.transform_points(truth, points))):
        seen = {
            name: (camera.project(world) + random.normal(0, NOISE_PX, 2)).tolist()
            for name, camera in cameras.items()
        }
        landmarks.append({"name": f"L{n}", "ct": point.tolist(), "views": seen})
    return landmarks


@pytest.fixture
def landmark_case(case_file, tmp_path):
    """The phantom's case with landmarks, changed by a function, and no start pose.

    Its path and content.
    """
    case = Case.load(case_file)
    points = np.array(case.targets)[[0, 1, 2, 4, 6, 7]] * [[1], [0.8], [1.1], [0.9], [1], [0.7]]

    def write(change):
        landmarks = placed(points, case.cameras, case.truth_world_from_ct)
        change(landmarks)
        path = changed(case_file, tmp_path, world_from_ct=None, landmarks=landmarks)
        return path, read_json(path)

    return write


def swap(landmarks):
    first, second = landmarks[1]["views"], landmarks[4]["views"]
    first["view2"], second["view2"] = second["view2"], first["view2"]


@pytest.mark.slow
def test_the_program_lists_the_residual_of_each_landmark(landmark_case, tmp_path):
    path, content = landmark_case(swap)
    said = mvreg(f"register {path} --start landmarks --out {tmp_path}/out")
    result = result_in(tmp_path / "out")
    for words in ("mTRE", "risk of an error of the 3D position above 2 mm", "Verdict and"):
        assert words in said.err
    assert mtre_mm(result["world_from_ct"], content) < 0.1
    left_out = [each for each in result["start"]["landmarks"] if not each["used"]]
    swapped = [(each["name"], each["swapped_with"], each["view"]) for each in left_out]
    assert swapped == [("L1", "L4", "view2"), ("L4", "L1", "view2")]
    lines = [line for line in said.err.splitlines() if line.startswith("  L")]
    assert len(lines) == 12 and all(" px " in line and " mm " in line for line in lines)


def test_bad_landmarks_are_one_sentence_and_exit_2(landmark_case, tmp_path):
    """Which ones, test_landmarks tells."""
    path, _ = landmark_case(lambda landmarks: landmarks.__delitem__(np.s_[2:]))
    said = mvreg(f"register {path} --start landmarks --out {tmp_path}/out", 2)
    assert "landmarks: found 2 with 4 positions" in said.refusal
    assert not (tmp_path / "out").exists()
