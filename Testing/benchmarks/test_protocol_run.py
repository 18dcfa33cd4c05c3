"""The protocol can be stopped anywhere and goes on where it was.

What it refuses it says in a sentence.
"""

import json
import os
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace

import pytest
from file_io import read_json
from phantom import write_bony_ct
from refusals import refuses

from benchmarks import ROOT
from benchmarks.__main__ import main
from benchmarks.protocol import runs
from benchmarks.protocol.cases import SimulatedCases
from benchmarks.protocol.conditions import Condition, trials
from benchmarks.protocol.page import page
from benchmarks.protocol.runs import Records, reevaluate, run
from benchmarks.simulation.projector import gvxr_scene
from MultiViewRegistrationLib.assessment.prediction import calibrated
from MultiViewRegistrationLib.errors import install_command

FEW = (
    Condition("1 view", "body", 1, 0),
    Condition("motion, neighbours", "bone", nuisances=("motion", "neighbours")),
    Condition("encoder 1, tools", "body", nuisances=("tools",), error="encoder 1"),
)
TIMES = ("register_s", "assess_s")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
RTK, NEEDED = (
    "itk.rtkJosephForwardProjectionImageFilterPython",
    'needs itk-rtk: pip install -e ".[bench]"',
)


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return write_bony_ct(tmp_path_factory.mktemp("bony") / "phantom.nii.gz")


def without_times(rows):
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


def records_of(folder):
    return [read_json(path) for path in sorted((folder / "rows").glob("*.json"))]


@pytest.mark.slow
def test_stopped_and_resumed_it_comes_to_the_same(ct, tmp_path, monkeypatch):
    """The one that was interrupted is measured again, to see that it does not matter what came before it."""
    pytest.importorskip(RTK, reason=NEEDED)
    measured, known, asked = runs.measured, {}, []

    def first(trial, *rest):
        known[trial.number] = measured(trial, *rest)
        return deepcopy(known[trial.number])

    def stopped(trial, *rest):
        asked.append(trial.number)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return measured(trial, *rest) if trial.number == 1 else deepcopy(known[trial.number])

    monkeypatch.setattr(runs, "measured", first)
    whole = run(SimulatedCases([ct], listed=FEW, rounds=1), tmp_path / "whole")
    assert len(whole.rows) == whole.planned == 3

    monkeypatch.setattr(runs, "measured", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(SimulatedCases([ct], listed=FEW, rounds=1), tmp_path / "parts")
    reported = []
    resumed = run(
        SimulatedCases([ct], listed=FEW, rounds=1),
        tmp_path / "parts",
        progress=lambda fraction, stage: reported.append(fraction),
    )
    assert asked == [0, 1, 1, 2]  # what was done is not done again
    assert without_times(resumed.rows) == without_times(whole.rows)
    assert reported == sorted(reported) and reported[-1] < 1

    monkeypatch.setattr(runs, "measured", lambda *_: pytest.fail("all is done"))
    again = run(SimulatedCases([ct], listed=FEW, rounds=1), tmp_path / "parts")
    text, pictures = page(again)
    assert (text, pictures) == page(resumed) and "3 of 3 registrations are done" in text
    assert "protocol-reliability.svg" in pictures and "nan" not in text

    for row in records_of(tmp_path / "whole"):
        model = calibrated("structure" if row["part"] == "bone" else "body")
        again, strict = reevaluate(row, model), reevaluate(row, replace(model, intercept=30.0))
        assert row["upper95_mm"] is None or row["upper95_mm"] >= row["noise95_mm"] > 0
        assert (again["verdict"], again["bounded"]) == (row["verdict"], row["bounded"])
        for key in ("failure_probability", "mean_mm", "upper95_mm", "depth95_mm", "in_plane95_mm"):
            assert again[key] == (row[key] and pytest.approx(row[key], rel=1e-9)), key
        if row["features"] is None:
            continue
        # Where all tiles are in place it is a "check", whatever the model says.
        assert strict["verdict"] != "accept" and strict["mtre_mm"] == row["mtre_mm"]
        narrower = reevaluate(
            {**row, "error_inflation": row["error_inflation"] / 2}, model
        )  # as it was judged when its intervals were half as wide
        assert narrower["depth95_mm"] == pytest.approx(2 * row["depth95_mm"])
        far, near = (
            reevaluate({**row, "cause": {"predicts": True, "precise": True, "moved_mm": mm}}, model)
            for mm in (50.0, 0.5)
        )
        assert far["upper95_mm"] == pytest.approx(
            max(62.26, row["noise95_mm"]), abs=0.02
        )  # 2.31 of the deviations of 5.3 mm
        assert far["verdict"] == "reject" and far["depth95_mm"] == far["upper95_mm"]
        assert near["verdict"] == "check" and near["failure_probability"] < max(
            0.05, 1.01 * row["depth_risk"]
        )

    by_name = {row["condition"]: row for row in whole.rows}
    assert (
        by_name["motion, neighbours"]["nuisances"] == ["motion", "neighbours"]
        and by_name["motion, neighbours"]["bone"] == 0
    )
    degrees, mm = by_name["encoder 1, tools"]["camera_off"][0]
    assert 0 < degrees < 6 and 0 < mm < 12
    assert all(
        row["failed"] is None
        and row["mtre_mm"] >= 0
        and row["verdict"] in ("accept", "check", "reject")
        for row in whole.rows
    )
    assert by_name["1 view"]["verdict"] != "accept" != by_name["motion, neighbours"]["verdict"]


def test_a_row_that_was_being_written_is_not_there(ct, tmp_path):
    records = Records(tmp_path, [ct], 0)
    records.keep({"number": 1}, b"picture")
    (tmp_path / "rows" / ".1234abcd-0002.json").write_text('{"numb')  # as a kill leaves it
    assert records.has(1) and not records.has(2)
    assert records.rows() == [{"number": 1}]
    records.keep({"number": 3, "gap": float("inf"), "similarity": [0.5, float("nan")]}, None)
    assert records.rows()[1] == {"number": 3, "gap": None, "similarity": [0.5, None]}
    assert records.picture(1).read_bytes() == b"picture"


def test_another_protocol_is_refused(ct, tmp_path):
    Records(tmp_path, [ct], 0)
    Records(tmp_path, [ct], 0)
    with refuses("protocol.json: found registrations of other CTs"):
        Records(tmp_path, [ct], 1)
    other = tmp_path / "other.nii.gz"
    other.write_bytes(b"another")
    with refuses("another --out"):
        Records(tmp_path, [other], 0)


def test_a_damaged_row_is_named(ct, tmp_path):
    records = Records(tmp_path, [ct], 0)
    records.keep({"number": 1}, None)
    (tmp_path / "rows" / "0003.json").write_text("no json")
    with refuses(r"0003\.json: found no JSON"):
        records.rows()


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["CT", "--out", "OUT", "--real", "--simulator", "gvxr"], "--simulator: found with --real"),
        (["nothing.nii.gz", "--out", "OUT"], "nothing.nii.gz: found nothing, expected a CT"),
        (["TEXT", "--out", "OUT"], "ct.txt"),
    ],
)
def test_wrong_use_ends_in_a_sentence_and_nothing_is_begun(
    arguments, sentence, ct, tmp_path, capsys
):
    (tmp_path / "ct.txt").write_text("no CT")
    places = {"CT": ct, "OUT": tmp_path / "out", "FOLDER": tmp_path, "TEXT": tmp_path / "ct.txt"}
    assert main(["protocol", *(str(places.get(word, word)) for word in arguments)]) == 2
    reported = capsys.readouterr()
    assert sentence in reported.err and reported.err.count("\n") == 1 and not reported.out
    assert not list((tmp_path / "out").glob("rows/*.json"))


@pytest.mark.slow
def test_with_another_simulator_it_registers_as_well(ct, tmp_path, gvxr):
    plain = [Condition("2 views, 90 degrees", "body")]
    done = run(SimulatedCases([ct], 0, "gvxr", plain, 1), tmp_path / "out")
    (row,) = done.rows
    assert row["mtre_mm"] < 1.0  # most of it half a pixel of a calibration
    text, pictures = page(done)
    assert (
        "X-rays are by gVirtualXray" in text
        and "RTK, as those" not in text
        and "gvxr-reliability.svg" in pictures
    )
    with refuses("another simulator"):
        run(SimulatedCases([ct], 0, "rtk", plain, 1), tmp_path / "out")


def test_without_gvxr_the_package_to_install_is_named(ct, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gvxrPython3", None)
    gvxr_scene.cache_clear()
    assert main(["protocol", str(ct), "--simulator", "gvxr", "--out", str(tmp_path / "out")]) == 2
    reported = capsys.readouterr()
    assert (
        install_command("gvxr") in reported.err
        and "libxcb-res0" in reported.err
        and not reported.out
    )


@pytest.mark.slow
def test_the_program_keeps_its_registrations_and_writes_its_page(ct, tmp_path):
    pytest.importorskip(RTK, reason=NEEDED)
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "protocol",
        str(ct),
        "--out",
        str(out),
        "--limit",
        "1",
        "--json",
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["done"] == 1 and answer["planned"] == len(trials(1))
    assert read_json(out / "rows" / "0000.json")["ct"] == "phantom"
    text = (out / "protocol.md").read_text(encoding="utf-8")
    assert "1 of" in text and (out / "protocol" / "protocol-reliability.svg").exists()
