"""A bone added to real X-rays: where it is is known, and it is found there."""

import numpy as np
import pytest
from refusals import refuses

from benchmarks.protocol import cases
from benchmarks.protocol.cases import RealCase, RealCases
from benchmarks.protocol.runs import measured
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Body


@pytest.fixture(scope="module")
def real(shared_data, rtk):
    cases = RealCases([shared_data / "wrist" / "radius_0099.json"])
    cases.case(cases.trials[0])
    return cases


@pytest.mark.slow
def test_the_bone_is_found_where_it_was_added(real):
    row = measured(real.trials[0], real)
    assert (row["ct"], row["condition"], len(real.trials)) == ("radius_0099", "radius_0099", 16)
    assert row["start_mm"] > 1 and row["mtre_mm"] < 0.2
    assert (
        row["depth_mm"] <= row["depth95_mm"] < 1 and row["in_plane_mm"] <= row["in_plane95_mm"] < 1
    )


@pytest.mark.slow
def test_what_is_added_is_beside_the_bone_and_as_dense(real):
    _, real = real._last
    case = real.with_bone(np.random.default_rng(3), 1)
    before = rigid.transform_points(real.case.world_from_ct, real.anatomy.centroid)
    apart = np.linalg.norm(
        rigid.transform_points(case.truth_world_from_ct, real.anatomy.centroid) - before
    )
    assert 8 < apart < 38  # from the rough start pose; from the bone itself 15 to 30 mm
    for view, given in zip(case.views, real.case.views, strict=True):
        added = view.xray.line_integrals - given.xray.line_integrals
        ours = real.anatomy.drr(view.camera, case.truth_world_from_ct)
        inside = np.isfinite(ours) & (ours > 0.1 * np.nanmax(ours))
        assert (
            np.corrcoef(added[inside], ours[inside])[0, 1] > 0.99
        )  # RTK's projection, where our renderer has it
        assert 0.05 < np.percentile(added[inside], 95) < 2


def test_a_case_without_a_start_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cases.Case, "load", lambda path: cases.Case(bodies=(Body(None),), views=[]))
    with refuses("no start pose"):
        RealCase(tmp_path / "case.json")
