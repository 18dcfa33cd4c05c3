"""`mvreg` from the outside: what it writes, prints and returns."""

import hashlib
import os
import subprocess

import numpy as np
import pytest
from file_io import read_json, read_values
from program import ENVIRONMENT, MVREG, changed, mtre_mm, mvreg, result_in, run


@pytest.fixture(scope="module")
def registered(case_file, tmp_path_factory):
    """Output folder of one registration, and what it said."""
    out = tmp_path_factory.mktemp("out") / "result"
    return out, run(f"register {case_file} --start given --out {out} --json")


def test_register_finds_the_pose_and_writes_it_as_agreed(registered, case_file):
    out, said = registered
    result, case = result_in(out), read_json(case_file)
    assert said.json == result
    mtre = mtre_mm(result["world_from_ct"], case)
    assert mtre < 0.1 < 8 < mtre_mm(case["world_from_ct"], case)
    assert (result["verdict"], result["reasons"]) == ("accept", [])
    assert mtre <= result["predicted_tre_mm"]["upper95"] < 2
    assert result["uncertainty"]["failure_probability"] < 0.1
    for views in (result["views"], result["uncertainty"]["views"]):
        assert [view["name"] for view in views] == ["view1", "view2"]
    assert result["errors"]["mtre_mm"] == pytest.approx(mtre, abs=1e-9)
    assert {"mpd_mm", "mrpd_mm", "diffpose_score"} < set(result["errors"])
    assert result["start"]["method"] == "given" and result["start"]["candidates"] >= 1
    assert 0 < result["seconds"]["assess"] < result["seconds"]["total"]
    for name in ("case.json", "ct.nii.gz", "view1.mha", "view2.mha"):
        digest = hashlib.sha256((case_file.parent / name).read_bytes()).hexdigest()
        assert result["inputs"][name] == digest


def test_render_writes_what_the_camera_sees(case_file, registered, tmp_path):
    files = mvreg(f"render {case_file} --pose truth --out {tmp_path}/a --json").json["files"]
    assert len(files) == len(os.listdir(tmp_path / "a")) == 4
    pose = registered[0] / "world_from_ct.tfm"
    mvreg(f"render {case_file} --pose {pose} --out {tmp_path}/b")
    a, b = (read_values(tmp_path / d / "view1_drr.mha") for d in "ab")
    xray = read_values(case_file.parent / "view1.mha").astype(float)
    assert np.corrcoef(a.ravel(), -np.log(xray + 1).ravel())[0, 1] > 0.99
    assert np.abs(a - b).mean() < 0.01 * b.mean()


def test_evaluate_measures_and_writes_its_page(case_file, tmp_path):
    page = tmp_path / "page.md"
    said = mvreg(f"evaluate {case_file} --starts 4 --max-start-error 8 --page {page} --json")
    runs = said.json["cases"][0]["runs"]
    assert len(runs) == 4 and "100.0 %" in page.read_text()
    assert max(run["errors"]["mtre_mm"] for run in runs) < 0.2
    starts = [run["start_mtre_mm"] for run in runs]
    assert 0 <= min(starts) < 2.1 and 5.9 < max(starts) <= 8
    untrue = changed(case_file, tmp_path, truth=None)
    assert "3 of 3" in mvreg(f"evaluate {untrue} --starts 3 --perturb 4 4").out
    nothing = changed(case_file, tmp_path, truth=None, world_from_ct=None)
    said = mvreg(f"evaluate {case_file} {nothing} --page {tmp_path}/other.md", 2)
    assert "neither truth with targets nor a start pose" in said.refusal
    assert not (tmp_path / "other.md").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX terminal")
def test_on_a_terminal_progress_is_one_line_that_goes_away(case_file, tmp_path):
    import pty

    terminal, its_end = pty.openpty()
    command = [*MVREG, "register", case_file, "--out", tmp_path]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=its_end, text=True)
    os.close(its_end)
    shown = b""
    try:
        while part := os.read(terminal, 4096):
            shown += part
    except OSError:  # Linux tells the end so
        pass
    assert process.wait(timeout=60) == 0
    bars, after = shown.decode().rsplit("\x1b[K", 1)
    assert "Registering [" in bars and "100 %" not in after and "searching at 32 x 32 px" in bars
    assert "\n" not in bars and "registered in" in after


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_gets_no_traceback(case_file):
    """As head does: the other end of the pipe is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [*MVREG, "case", "check", case_file, "--json"]
    with os.fdopen(writing, "w") as pipe:
        done = subprocess.run(
            command, env=ENVIRONMENT, stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=300
        )
    assert (done.returncode, done.stderr) == (141, "")
