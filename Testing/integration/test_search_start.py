"""From no start to the registered pose.

Through the program, on X-rays of another simulator, and on real radiographs.
"""

import numpy as np
import pytest
from file_io import read_json
from program import changed, mtre_mm, mvreg, result_in

from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.optimizer import Range, pose_difference
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.studies import statistics as protocol


def test_a_search_needs_no_start_and_reports_the_alternative(case_file, tmp_path):
    reach = {"rotation_deg": 20, "translation_mm": 30}
    path = changed(case_file, tmp_path, world_from_ct=None, search=reach)
    said = mvreg(f"register {path} --start search --out {tmp_path}/out --json")
    result = result_in(tmp_path / "out")
    assert said.json == result and "warning" not in said.err
    assert mtre_mm(result["world_from_ct"], read_json(case_file)) < 0.1
    start = result["start"]
    assert (start["method"], start["range"]) == ("search", reach) and start["candidates"] >= 100
    assert result["alternative"] is None or result["alternative"]["evidence_ratio"] > 1.3


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


@pytest.mark.parametrize("name", ["radius_0099", "ulna_0158"])
def test_long_bones_are_not_lost_along_their_shaft(shared_data, name):
    case = Case.load(shared_data / "wrist" / f"{name}.json")
    anatomy = PreparedCT(case.ct)
    expected = refine(anatomy, case.views, case.world_from_ct).world_from_ct
    arrived = 0
    for seed, centre in enumerate(protocol.perturbed(expected, anatomy.centroid, 16, 16, 3, 5)):
        pose = refine(anatomy, case.views, centre, reach=Range(16, 16), seed=seed).world_from_ct
        arrived += pose_difference(pose, expected, anatomy.centroid)[0] < 0.5
    assert arrived >= 2
