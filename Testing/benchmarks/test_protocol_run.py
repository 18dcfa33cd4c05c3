"""The protocol goes on where it was, and judges its rows again by the present model."""

from dataclasses import replace

import pytest
from helpers.phantom import write_bony_ct

from benchmarks.__main__ import main
from benchmarks.kept import Rows
from benchmarks.protocol.cases import SimulatedCases
from benchmarks.protocol.conditions import Condition, trials
from benchmarks.protocol.page import page
from benchmarks.protocol.runs import measured, reevaluate
from MultiViewRegistrationLib.assessment.risk import body_risk_model

pytestmark = pytest.mark.slow

FEW = (
    Condition("1 view", "body", 1, 0),
    Condition("motion, neighbours", "bone", nuisances=("motion", "neighbours")),
    Condition("encoder 1, tools", "body", nuisances=("tools",), error="encoder 1"),
)
TIMES = ("register_s", "assess_s")


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return write_bony_ct(tmp_path_factory.mktemp("bony") / "phantom.nii.gz")


def without_times(rows):
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


def test_rows_are_reproducible_and_reevaluated(ct, rtk):
    cases, anew = (SimulatedCases([ct], listed=FEW, rounds=1) for _ in range(2))
    rows = [measured(trial, cases) for trial in cases.trials]
    assert without_times([measured(anew.trials[1], anew)]) == without_times(rows[1:2])
    text = page(rows)
    assert "3 registrations are done" in text and "nan" not in text

    for row in rows:
        assert row["failed"] is None
        model = body_risk_model("structure" if row["part"] == "bone" else "body")
        again, strict = reevaluate(row, model), reevaluate(row, replace(model, intercept=30.0))
        assert (again["verdict"], again["bounded"]) == (row["verdict"], row["bounded"])
        bounds = "typical_mm", "upper95_mm", "depth95_mm", "in_plane95_mm"
        for key in ("failure_probability", *bounds):
            assert again[key] == (row[key] and pytest.approx(row[key], rel=1e-9)), key
        if row["features"] is None:
            continue
        # If all tiles are in place the verdict is "check", whatever the model says.
        assert strict["verdict"] != "accept" and strict["mtre_mm"] == row["mtre_mm"]
        cause = {"predicts": True, "precise": True, "rejects": True, "moved_mm": 50.0}
        assert reevaluate({**row, "cause": cause}, model)["verdict"] == "reject"

    by_name = {row["condition"]: row for row in rows}
    one, moved, encoder = (by_name[each.name] for each in FEW)
    assert moved["nuisances"] == ["motion", "neighbours"] and moved["bone"] == 0
    degrees, mm = encoder["camera_off"][0]
    assert 0 < degrees < 6 and 0 < mm < 12
    assert one["verdict"] != "accept" != moved["verdict"]


def test_command_writes_rows_and_page(ct, rtk, tmp_path):
    rows, written = tmp_path / "rows.jsonl", tmp_path / "page.md"
    words = "protocol", "1", "--cts", ct, "--rows", rows, "--page", written
    assert main(list(map(str, words))) == 0
    row = Rows(rows).get(1, 0, measure=dict)
    assert row["ct"] == "phantom" and row["condition"] == trials(1, seed=1)[0].condition.name
    text = written.read_text(encoding="utf-8")
    assert "**1 registrations are done**" in text and "<!-- rows: begin -->" in text
