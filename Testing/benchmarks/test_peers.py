"""The benchmark of peers from the same starts: its runs and its page."""

import argparse
import json
from types import SimpleNamespace

import phantom
import pytest

from benchmarks import peers
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT

pytest.importorskip("nanodrr", reason="needs nanodrr: pip install nanodrr")


@pytest.fixture(scope="module")
def scene():
    ct = phantom.make_ct()
    start = rigid.exp_se3([0, 0, 0, 4.0, -3.0, 2.0]) @ phantom.TRUE_POSE
    case = SimpleNamespace(ct=ct, views=phantom.make_views(ct))
    return SimpleNamespace(
        case=case,
        anatomy=PreparedCT(ct),
        truth=phantom.TRUE_POSE,
        targets=phantom.CORNERS,
        starts=[start],
    )


def test_a_run_tells_what_it_took_and_stops_at_its_limit(scene):
    row = peers.measured(scene, peers.METHODS["ours"], 0, 1e6)
    assert (
        row["end_mm"] < 0.5 < row["start_mm"]
        and row["curve"][-1][1] == row["end_mm"]
        and row["fault"] == ""
    )
    assert 0 < row["curve"][0][0] <= row["processor_s"] and json.dumps(row, allow_nan=False)
    for name in ("ours", "diffpose-patches"):
        stopped = peers.measured(scene, peers.METHODS[name], 0, 0.0)
        assert (
            stopped["steps"] == 2 and stopped["end_mm"] is not None
        )  # the first step, and the answer


def test_few_starts_of_five_cases_lie_in_all_intervals():
    def starts(turns: int) -> list[int]:
        return [
            peers.Scene.start(SimpleNamespace(person=person), turn)
            for person in peers.PEOPLE
            for turn in range(turns)
        ]

    assert {number // peers.PER_INTERVAL for number in starts(2)} == set(
        range(len(peers.EDGES_MM) - 1)
    )
    assert sorted(starts(peers.STARTS)) == sorted(5 * list(range(peers.STARTS)))
    assert list(peers.work({"a": 2, "b": 1}, ["x"])) == [
        (0, "x", "a"),
        (0, "x", "b"),
        (1, "x", "a"),
    ]


def test_what_a_limit_ended_is_measured_again_under_a_larger_one(scene, monkeypatch, tmp_path):
    scene.start = lambda turn: 0
    monkeypatch.setattr(peers, "Scene", lambda *which: scene)
    rows, args = (
        tmp_path / "rows.jsonl",
        {"cases": tmp_path, "people": ["chest"], "starts": ["ours=1"], "angles": 0},
    )
    for limit, count in ((1e-9, 2), (1e-9, 2), (1e6, 3), (1e6, 3)):
        peers.run(argparse.Namespace(rows=rows, limit=limit, **args))
        assert len(rows.read_text().splitlines()) == count  # the machine and each registration
    (row,), about = peers.results(rows)
    assert row["limit_s"] == 1e6 and row["turn"] == 0 and about["threads_used"] > 0


def test_the_page_has_a_row_for_each_method_and_angle(tmp_path):
    lines = [
        {
            "key": "machine",
            "cpu": "C",
            "cores": 2,
            "threads_used": 2,
            "memory_gib": 8,
            "system": "S",
            "versions": {},
        }
    ]
    for method, end, seconds in (("ours", 0.1, 2.0), ("itk", 3.0, 50.0)):
        for turn in range(2):
            row = {
                "start_mm": 5 + 8 * turn,
                "end_mm": end,
                "wall_s": seconds,
                "processor_s": seconds,
                "limit_s": 60,
            }
            row |= {
                "steps": 1,
                "when": "2026-11-23",
                "load": 1.0,
                "fault": "",
                "curve": [[seconds, end]],
            }
            lines += [{"key": f"{method} chest 90 {turn}", **row}]
            if method == "ours":
                lines += [
                    {"key": f"{method} chest {angle} {turn}", **row}
                    for angle in peers.SEPARATIONS_DEG[:-1]
                ]
    rows, page = tmp_path / "rows.jsonl", tmp_path / "page.md"
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    peers.write_page(argparse.Namespace(rows=rows, page=page))
    text = page.read_text()
    assert (
        "| this program | 2 | 100.0 % (34.2 to 100.0) |" in text
        and "| 25 |" in text
        and "| too few starts |" in text
    )
    assert "| ITK TwoProjectionRegistration | 2 | 0.0 % (0.0 to 65.8) |" in text
    assert "| 15° | 2 | 100.0 %" in text and "| 90° | 2 |" in text
    assert (tmp_path / "page" / "peers.svg").read_text().count("<polyline") == 4
