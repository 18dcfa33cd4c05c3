"""The benchmark of peers from the same starts: its runs and its tables."""

import json
from types import SimpleNamespace

import phantom
import pytest

from benchmarks import ROOT, peers
from benchmarks.kept import Rows
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT

pytest.importorskip("nanodrr", reason="needs nanodrr: pip install nanodrr")


def test_a_run_tells_what_it_took_and_stops_at_its_limit():
    ct = phantom.make_ct()
    case = SimpleNamespace(ct=ct, views=phantom.make_views(ct))
    scene = SimpleNamespace(
        case=case, anatomy=PreparedCT(ct), truth=phantom.TRUE_POSE, targets=phantom.CORNERS
    )
    start = rigid.exp_se3([0, 0, 0, 4.0, -3.0, 2.0]) @ phantom.TRUE_POSE
    row = peers.measured(scene, peers.METHODS["ours"], start, 1e6)
    assert row["end_mm"] < 0.5 < row["start_mm"] and row["fault"] == ""
    assert row["processor_s"] > 0 and json.dumps(row, allow_nan=False)
    for name in ("ours", "diffpose-patches"):
        stopped = peers.measured(scene, peers.METHODS[name], start, 0.0)
        assert 1 <= stopped["steps"] <= 2 and stopped["end_mm"] is not None


def test_few_starts_of_five_cases_lie_in_all_intervals():
    intervals = len(peers.EDGES_MM) - 1

    def starts(turns):
        return [
            peers.Scene.start(SimpleNamespace(person=person), turn)
            for person in peers.PEOPLE
            for turn in range(turns)
        ]

    assert {number // peers.PER_INTERVAL for number in starts(2)} == set(range(intervals))
    every = intervals * peers.PER_INTERVAL
    assert sorted(starts(every)) == sorted(5 * list(range(every)))
    options = SimpleNamespace(cases=2, peers=1, angles=0)
    assert [key[0] for key in peers.keys(options)] == 5 * list(peers.METHODS) + 5 * ["ours"]


def test_tables_of_kept_rows_are_those_of_the_documentation():
    tables = ROOT / "docs" / "tables"
    rows = [row for _, row in Rows(tables / "benchmarks" / "peers.jsonl").items()]
    assert peers.tables(rows) in (tables / "benchmarks.md").read_text(encoding="utf-8")
