"""`mvreg` from the outside: its help, what it says of wrong use, what it writes, prints and returns."""

import csv
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from helpers import phantom
from helpers.file_io import read_json, read_values, write_json
from helpers.program import (
    ENVIRONMENT,
    LIBRARY,
    MVREG,
    cautions_of,
    changed,
    mtre_mm,
    mvreg,
    result_in,
)
from imaging.dicom_files import XA_IMAGE, write_dicom
from numpy.testing import assert_allclose

from MultiViewRegistrationLib.cli import options as progress_module
from MultiViewRegistrationLib.cli.main import COMMANDS
from MultiViewRegistrationLib.cli.options import progress_of
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.transforms import write_transform


def test_register_writes_pose_verdict_and_digests_of_its_inputs(registered, case_file):
    out, said = registered
    result, case = result_in(out), read_json(case_file)
    assert said.json == result
    mtre = mtre_mm(result["world_from_ct"], case)
    assert mtre < 0.1 < 8 < mtre_mm(case["world_from_ct"], case)
    assert result["verdict"] == "accept" and not cautions_of(result)
    assert mtre <= result["predicted_tre_mm"]["upper95"] < 2
    assert result["failure_probability"] < 0.1
    for views in (result["views"], result["uncertainty"]["views"]):
        assert [view["name"] for view in views] == ["view1", "view2"]
    assert result["errors"]["mtre_mm"] == pytest.approx(mtre, abs=1e-9)
    assert {"mpd_mm", "mrpd_mm", "diffpose_score"} < set(result["errors"])
    assert result["start"]["method"] == "given" and result["start"]["candidates"] >= 1
    assert 0 < result["seconds"]["assess"] < result["seconds"]["total"]
    for name in ("case.json", "ct.nii.gz", "view1.mha", "view2.mha"):
        digest = hashlib.sha256((case_file.parent / name).read_bytes()).hexdigest()
        assert result["inputs"][name] == digest


#: An import during which Ctrl-C comes, and which fails as VTK's does.
INTERRUPTED_IMPORT = """
import importlib, signal, sys

class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == interrupted:
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise ImportError from None

sys.meta_path.insert(0, Interrupted())
signal.signal(signal.SIGINT, signal.default_int_handler)  # which shells ignore in background jobs
interrupted, (module, function) = sys.argv.pop(1), sys.argv.pop(1).split(":")
sys.exit(getattr(importlib.import_module(module), function)())
"""


@pytest.mark.parametrize("package", ["numpy", "MultiViewRegistrationLib.viewer.serving"])
def test_ctrl_c_during_an_import_is_one_sentence_and_130(package):
    pytest.importorskip("trame_slicer", reason='needs trame-slicer: pip install -e ".[viewer]"')
    project = (LIBRARY.parent / "pyproject.toml").read_text()
    entry_point = re.search('^mvreg = "(.+)"', project, re.M)[1]
    program = [sys.executable, "-c", INTERRUPTED_IMPORT, package, entry_point]
    done = subprocess.run(
        [*program, "view", "--no-browser"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (130, "\nmvreg: stopped; every file is whole.\n")


def test_render_writes_what_the_camera_sees(case_file, registered, tmp_path):
    files = mvreg(f"render {case_file} --pose truth --out {tmp_path}/a --json").json["files"]
    assert len(files) == len(os.listdir(tmp_path / "a")) == 4
    pose = registered[0] / "world_from_ct.tfm"
    mvreg(f"render {case_file} --pose {pose} --out {tmp_path}/b")
    a, b = (read_values(tmp_path / d / "view1_drr.mha") for d in "ab")
    xray = read_values(case_file.parent / "view1.mha").astype(float)
    assert np.corrcoef(a.ravel(), -np.log(xray + 1).ravel())[0, 1] > 0.99
    assert np.abs(a - b).mean() < 0.01 * b.mean()


@pytest.mark.slow
def test_evaluate_measures_and_writes_table_and_figure(case_file, tmp_path):
    files = f"--csv {tmp_path}/table.csv --figure {tmp_path}/errors.svg"
    said = mvreg(f"evaluate {case_file} --starts 4 --max-start-error 8 {files} --json")
    runs = said.json["cases"][0]["runs"]
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(runs) == 4 and {row["success"] for row in rows} == {"True"}
    assert [float(row["mtre_mm"]) for row in rows] == [run["errors"]["mtre_mm"] for run in runs]
    assert "</svg>" in (tmp_path / "errors.svg").read_text()
    assert max(run["errors"]["mtre_mm"] for run in runs) < 0.2
    nothing = changed(case_file, tmp_path, truth=None, world_from_ct=None)
    said = mvreg(f"evaluate {case_file} {nothing} --csv {tmp_path}/other.csv", 2)
    assert "neither truth with targets nor a start pose" in said.refusal
    assert not (tmp_path / "other.csv").exists()


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


LINE = SimpleNamespace(progress="line")


@pytest.fixture
def here(case_file, tmp_path, monkeypatch):
    """A folder with the case, an image of it, its CT, and a file; the program runs there."""
    changed(case_file, tmp_path)
    shutil.copy(case_file.parent / "view1.mha", tmp_path / "ap.mha")
    shutil.copy(case_file.parent / "ct.nii.gz", tmp_path / "ct.nii.gz")
    image = read_values(tmp_path / "ap.mha")
    write_dicom(tmp_path / "AP.dcm", image.reshape(image.shape[-2:]), XA_IMAGE, Modality="XA")
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "result.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("register", "CASE is missing; give it, as in: mvreg register case.json"),
        ("case chek case.json", 'found "chek"; did you mean check?'),
        ("register case.json --strat given", "there is no option --strat; did you mean --start?"),
        ("register case.json --range 0 0", "--range: DEG is 0.0, expected degrees above 0 and up to 180; correct it."),
        ("register case.json --start search --refine xvr", 'refinement "xvr": found a search as its start'),
        ("register case.jsn", "case.jsn does not exist, expected a case.json, or a folder that holds one; did you mean case.json?"),
        ("register AP.dcm", "is an X-ray image, expected a case.json, .*: mvreg case new --ct CT --view AP AP.dcm --out case.json"),
        ("register ct.nii.gz", "is a volume, .*: mvreg case new --ct ct.nii.gz --view AP IMAGE"),
        ("register results/result.json", "result.json is a result, expected the case.json"),
        ("export case.json --as all --out x", "case.json is not a result, expected a result.json.*; register first"),
        ("register case.json --out file", "--out: file cannot be written .*file is a file.*; choose another"),
        ("selfcheck study --out .", "--out: . is a folder, expected the name of a file"),
        ("case new --out file/case.json", "file/case.json cannot be written"),
        ("render case.json --pose turth --out x", '--pose: found "turth", expected start, truth or the file'),
    ],
)  # fmt: skip
def test_wrong_use_is_one_sentence_that_says_what_to_do(here, words, said):
    before = sorted(os.listdir(here))
    sentence = mvreg(words, 2).refusal
    assert re.search(said, sentence), sentence
    assert sorted(os.listdir(here)) == before


@pytest.mark.skipif(
    not Path("/proc/self").exists(),
    reason="needs a folder in which nobody can make another, as /proc",
)
def test_a_folder_in_which_nothing_can_be_made_is_refused_first(here):
    mvreg("register no-such-case.json --out /proc/result", 2)
    said = mvreg("register case.json --out /proc/result", 2)
    assert "--out: /proc/result cannot be written" in said.err


def test_render_says_what_it_wrote_and_needs_no_start(here, case_file):
    changed(case_file, here, world_from_ct=None)
    said = mvreg("render case.json --out drr")
    assert "The case has no start pose" in said.err
    written = [Path(line.strip()) for line in said.out.splitlines()[1:]]
    assert sorted(written) == sorted(Path("drr").iterdir()) and len(written) == 4


@pytest.mark.parametrize("command", COMMANDS)
def test_help_begins_with_what_a_command_does_and_ends_with_examples(command):
    told = mvreg(f"{command} --help").out
    first, _, usage, *_ = told.splitlines()
    assert first[0].isupper() and first[-1] in ".?:;!" or command == "case" and first, first
    assert usage.startswith(f"usage: mvreg {command}") and "examples:" in told
    assert told.rstrip().splitlines()[-1].startswith(f"  mvreg {command}")


def test_alone_it_shows_what_there_is():
    said = mvreg("", 2)
    assert said.out == "" and all(f"    {name}" in said.err for name in COMMANDS)


def test_in_a_pipe_it_says_now_and_then_that_it_is_alive(monkeypatch, capsys):
    """Also while nothing reports any progress."""
    monkeypatch.setattr(progress_module, "ALIVE_S", 0.05)
    with progress_of(LINE, "Training") as line:
        line.show(0.25, "drawing samples")
        until = time.monotonic() + 5
        said = ""
        while said.count("\n") < 2 and time.monotonic() < until:
            time.sleep(0.02)
            said += capsys.readouterr().err
    assert said.splitlines()[:2] == ["mvreg: training, 25 %: drawing samples"] * 2
    time.sleep(0.2)
    capsys.readouterr()
    time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_short_work_in_a_pipe_says_nothing(capsys):
    with progress_of(LINE, "Registering") as line:
        line.show(0.5, "searching")
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_warning_is_said_once(case_file, tmp_path):
    """case.json is read once, and what it says while the CT is read is not lost."""
    case = changed(case_file, tmp_path, nobody_knows=1)
    said = mvreg(f"register {case} --out {tmp_path}/out")
    assert said.err.count('the key "nobody_knows" is not known') == 1


@pytest.mark.slow
def test_every_kind_of_file_is_exported_after_a_start_from_a_transform_file(case_file, tmp_path):
    """The case has no start pose of its own; the file is in ITK's resampling direction."""
    folder, out = tmp_path, tmp_path / "out"
    shutil.copytree(case_file.parent, folder / "case")
    content = read_json(folder / "case" / "case.json")
    start = np.array(content.pop("world_from_ct"))
    content["reference_from_world"] = rigid.exp_se3([0.1, 0.2, 0.3, 40, 50, 60]).tolist()
    write_json(folder / "case" / "case.json", content)
    write_transform(folder / "start.tfm", rigid.inverse(start))
    pose = f"--start-pose {folder}/start.tfm --frame lps --direction resampling"
    mvreg(f"register {folder}/case {pose} --out {folder}/result")
    result = result_in(folder / "result")
    assert_allclose(result["start"]["world_from_ct"], start, atol=1e-9)
    assert phantom.error_mm(np.array(result["world_from_ct"])) < 0.1
    assert "start.tfm" in result["inputs"]
    said = mvreg(f"export {folder}/result --as all --out {out} --case {folder}/case --json").json
    assert len(said["files"]) == 34 == len(list(out.iterdir())) and said["override"] is None
    reference_from_world = np.array(content["reference_from_world"])
    transform = sitk.ReadTransform(str(out / "reference_from_ct.forward.tfm"))
    expected = reference_from_world @ np.array(result["world_from_ct"]) @ (10, -20, 30, 1)
    assert_allclose(transform.TransformPoint((10.0, -20.0, 30.0)), expected[:3], atol=1e-9)
    uids = result_in(folder / "result")["frame_of_reference_uid"]  # the export adds one
    assert set(uids) == {"world", "ct", "reference"}


def test_a_stale_result_is_exported_with_an_override_that_names_no_file(
    registered, case_file, tmp_path
):
    case = shutil.copytree(case_file.parent, tmp_path / "case")
    one, other = case / "view1.mha", case / "view2.mha"
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)
    out = tmp_path / "out"
    command = f"export {registered[0]} --as json tfm --out {out} --case {case}"
    assert "changed since" in mvreg(command, 2).err and not out.exists()
    mvreg(f"{command} --override")
    sentence = "An input has changed since the registration: X-ray 1, X-ray 2."
    assert read_json(out / "world_from_ct.lps.json")["override"] == sentence
    assert all(f"# Override: {sentence}" in file.read_text() for file in out.glob("*.tfm"))


@pytest.mark.parametrize(
    "verdict, meaning",
    [
        ("check", 'The 3D position is "check": the program cannot tell whether it is right'),
        ("accept", None),
    ],
)
def test_a_verdict_but_accept_is_said_before_anything_is_written(
    registered, tmp_path, verdict, meaning
):
    content = read_json(registered[0] / "result.json")
    uses = {"position": {"verdict": verdict}}
    findings = [{"code": "unlike-known", "severity": "caution"}] if verdict == "check" else []
    content |= {"verdict": verdict, "uses": uses, "findings": findings}
    write_json(tmp_path / "result.json", content)
    out = tmp_path / "out"
    said = mvreg(f"export {tmp_path}/result.json --as tfm --out {out} --override").err
    before, _, written = said.partition("(result)/out")
    assert written and (meaning in before if meaning else "The 3D position is" not in before)


@pytest.mark.parametrize(
    "options, word",
    [
        ("--as tfm", "--out DIR"),
        ("--igtl a:1 --igtl-server 2", "give one of"),
        ("--as tfm --out OUT --frame ras", "--frame"),
        ("--as drr tfm --out OUT", "add --case"),
        ("--as dicom --out OUT --identity --case CASE", "no X-ray"),
        ("--as resampled-mask --out OUT --case CASE", "no mask"),
    ],
)
def test_wrong_options_are_refused(registered, case_file, tmp_path, options, word):
    words = options.replace("OUT", f"{tmp_path}/out").replace("CASE", f"{case_file}")
    said = mvreg(f"export {registered[0]} {words}", 2)
    assert word in said.err.splitlines()[-1] and not list(tmp_path.iterdir())


def test_a_server_ends_when_asked_to(registered):
    pytest.importorskip("pyigtl", reason='needs pyigtl: pip install -e ".[navigation]"')
    said = mvreg(f"export {registered[0]} --igtl-server 0 --seconds 0.1")
    assert "waiting for clients at 127.0.0.1:" in said.err
