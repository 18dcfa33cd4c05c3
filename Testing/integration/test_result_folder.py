"""The folder of a result: of one case, whole whenever the program is killed, and what is rejected is marked."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import phantom
import pytest
from file_io import read_json, write_json
from numpy.testing import assert_allclose
from program import ENVIRONMENT, MVREG, run
from refusals import refuses
from result_schema import assert_fits_schema

from MultiViewRegistrationLib import Body, Case, View, assess
from MultiViewRegistrationLib.io.own_folders import complete
from MultiViewRegistrationLib.io.transforms import read_transform
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.report.result_page import save_result

#: The program, for `python -c`, killed in the midst of moving its files.
KILLED = """
import os, signal, sys
from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.io import own_folders

replace, moves = os.replace, iter(range(20))

def killed(source, target):
    written = os.path.basename(os.path.dirname(target)).startswith(".mvreg")
    if not written and next(moves, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

own_folders.os.replace = killed
sys.exit(main(sys.argv[1:]))
"""
#: The program where no file of a result can be larger, as on a full disk.
LIMITED = """
import resource, signal, sys
from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.report import result_page

staged = result_page.staged

def limited(*arguments):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    return staged(*arguments)

result_page.staged = limited
sys.exit(main(sys.argv[1:]))
"""
TRANSFORMS = {"world_from_ct.tfm", "world_from_ct.slicer.tfm"}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_whole(out: Path) -> dict:
    """All files that a result.json names are those that came with it, and there are no others.

    Returns its content.
    """
    result = read_json(out / "result.json")
    assert result["files"] == {
        path.name: digest(path) for path in out.iterdir() if path.name != "result.json"
    }
    return result


@pytest.fixture
def study(case_file, tmp_path) -> Path:
    """A case of the user's own in a folder."""
    shutil.copytree(case_file.parent, tmp_path / "study")
    return tmp_path / "study" / "case.json"


@pytest.fixture
def wrong(study) -> Path:
    """A case whose X-rays are exchanged, which is rejected."""
    case = read_json(study)
    first, second = case["views"]
    first["image"], second["image"] = second["image"], first["image"]
    write_json(study, case)
    return study


def change(case_file: Path, **changes) -> None:
    write_json(case_file, read_json(case_file) | changes)


def other_patient(case_file: Path) -> None:
    """Other X-rays under the same names, as where a folder is used again."""
    for image in case_file.parent.glob("view*.mha"):
        image.write_bytes(image.read_bytes()[:-2] + b"\1\1")


def test_a_second_case_is_refused_before_any_work_and_the_first_stays(mvreg, study, tmp_path):
    assert mvreg("register", study).returncode == 0
    out = study.parent / "result"
    first = assert_whole(out)
    second = study.with_name("second.json")  # another structure of the same X-rays, say
    shutil.copy(study, second)
    done = mvreg("register", second)
    assert done.returncode == 2 and "verdict" not in done.stderr
    assert "holds the result of another case" in done.stderr
    assert done.stderr.count("\n") == 1 and assert_whole(out) == first
    other_patient(study)
    assert mvreg("register", study).returncode == 2 and assert_whole(out) == first
    assert mvreg("register", study, "--out", tmp_path / "other").returncode == 0
    (out / "result.json").write_text("[]")  # of somebody else
    done = mvreg("register", study)
    assert (
        done.returncode == 2
        and "no result" in done.stderr
        and (out / "result.json").read_text() == "[]"
    )


def test_the_same_case_replaces_its_result_whole_and_nothing_else(mvreg, study):
    out = study.parent / "result"
    assert mvreg("register", study).returncode == 0
    (out / "notes.txt").write_text("the user's")
    drawn = out / "view1_edges_before.png"
    drawn.write_text("drawn upon")  # no longer what came with the result
    case = read_json(study)
    case["views"][0]["name"], case["views"][1]["name"] = "AP", "LAT"
    write_json(study, case)
    done = mvreg("register", study, "--json")
    assert done.returncode == 0 and json.loads(done.stdout) == read_json(out / "result.json")
    assert {path.name for path in out.iterdir() if "view" in path.name} == {drawn.name}
    assert (out / "notes.txt").read_text() == "the user's"
    (out / "notes.txt").unlink()
    drawn.unlink()
    assert {name.split("_")[0] for name in assert_whole(out)["files"] if name.endswith(".png")} == {
        "AP",
        "LAT",
    }
    out.rename(study.with_name("moved"))
    assert mvreg("register", study, "--out", study.parent).returncode == 0  # beside the case itself
    assert Case.load(study).views and not list(study.parent.glob(".*"))


def test_a_mask_that_the_case_names_by_now_is_neither_removed_nor_replaced(study, tmp_path):
    case = Case.load(study)
    spoilt = case.views[1].xray.line_integrals.copy()
    spoilt[56:72, 52:68] += 3.0
    views = [
        case.views[0],
        case.views[1].with_xray(line_integrals=spoilt),
    ]
    prepared, out = PreparedCT(case.ct), tmp_path / "out"
    result = assess(replace(case, views=views), phantom.TRUE_POSE, prepared)
    save_result(result, out)
    before = digest(out / "view2_mask.png")
    assert not (out / "view1_mask.png").exists()
    content = read_json(study)
    content["views"][1]["mask"] = str(out / "view2_mask.png")
    write_json(study.with_name("masked.json"), content)
    valid = Case.load(study.with_name("masked.json")).views[1].xray.valid
    assert not valid[58:70, 54:66].any() and valid.mean() > 0.8
    for again in (
        result,
        assess(case, phantom.TRUE_POSE, prepared),
    ):  # that suggests a mask, that does not
        named = replace(
            again, case=replace(again.case, inputs={**case.inputs, "view2_mask.png": before})
        )
        assert "view2_mask.png" not in save_result(named, out)["files"]
        assert digest(out / "view2_mask.png") == before
    (out / "view2_mask.png").unlink()
    save_result(result, out)
    save_result(assess(case, phantom.TRUE_POSE, prepared), out)
    assert not (out / "view2_mask.png").exists()


def test_in_python_another_case_is_refused_too_unless_it_shall_be_replaced(study, tmp_path):
    case, out = Case.load(study), tmp_path / "out"
    result = assess(case, phantom.TRUE_POSE)
    save_result(result, out)
    views = [View(view.xray.line_integrals, view.camera, intensity="log") for view in case.views]
    other = Case.from_arrays(Body(case.ct), *views)
    with refuses("another case"):
        save_result(assess(other, phantom.TRUE_POSE), out)
    assert_whole(out)
    save_result(assess(other, phantom.TRUE_POSE), out, replace=True)
    save_result(assess(other, phantom.TRUE_POSE), out)  # which is known again
    assert assert_whole(out)["case"]["file"] is None


def test_a_rejected_result_has_no_transforms_unless_asked_for_and_says_so(mvreg, wrong):
    out = wrong.parent / "result"
    done = mvreg("register", wrong, "--exit-code")
    assert done.returncode == 4 and "transforms were not written. --override" in done.stderr
    result = assert_whole(out)
    assert_fits_schema(result)
    assert (
        result["verdict"] == "reject"
        and "not written" in result["withheld"]
        and len(result["world_from_ct"]) == 4
    )
    assert not TRANSFORMS & {path.name for path in out.iterdir()}
    assert "transforms were not written" in (out / "report.html").read_text()
    done = mvreg("register", wrong, "--override", "--exit-code")
    assert done.returncode == 4 and "not written" not in done.stderr
    result = assert_whole(out)
    assert result["override"] == "The result was rejected." and "withheld" not in result
    for name in TRANSFORMS:
        assert (out / name).read_text().splitlines()[1] == "# Override: The result was rejected."
    assert_allclose(read_transform(out / "world_from_ct.tfm"), result["world_from_ct"], atol=1e-9)
    assert mvreg("register", wrong).returncode == 0
    assert not TRANSFORMS & {
        path.name for path in out.iterdir()
    }  # those of before went with their result


def test_exit_codes_by_the_verdict_of_what_the_pose_is_for(mvreg, study):
    for use, verdict, status in (
        ("room", "accept", 0),
        ("room", "check", 3),
        ("overlay", "accept", 0),
    ):
        done = mvreg("register", study, "--use", use, "--exit-code", "--override", "--json")
        result = json.loads(done.stdout)
        assert (result["verdict"], done.returncode) == (verdict, status)
        assert "override" not in result  # there was nothing to override
        unsure = {"principal_point_sd_px": 20.0, "distance_sd_percent": 2.0}
        change(study, views=[{**view, **unsure} for view in read_json(study)["views"]])


@pytest.mark.skipif(os.name == "nt", reason="needs limits of POSIX")
def test_where_the_files_cannot_be_written_the_older_result_stays_and_the_file_is_named(study):
    out, command = study.parent / "result", [sys.executable, "-c", LIMITED, "register", str(study)]
    assert run("register", study).returncode == 0
    first = assert_whole(out)
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "verdict: " in done.stderr and "Report:" not in done.stderr
    assert "result/report.html: cannot be written there (File too large)" in done.stderr
    assert assert_whole(out) == first


def test_a_reader_that_has_gone_costs_no_files(study, tmp_path):
    for number, closed in enumerate((["stderr"], ["stderr", "stdout"])):
        reading, writing = os.pipe()
        os.close(reading)
        out = tmp_path / str(number)
        with os.fdopen(writing, "w") as pipe:
            streams = {
                name: pipe if name in closed else subprocess.DEVNULL
                for name in ("stdout", "stderr")
            }
            command = [*MVREG, "register", str(study), "--out", str(out), "--json"]
            done = subprocess.run(command, env=ENVIRONMENT, timeout=300, **streams)
        assert done.returncode == (141 if "stdout" in closed else 0)
        assert_whole(out)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_named(study):
    with open("/dev/full", "w") as full:
        command = [*MVREG, "register", str(study), "--json"]
        done = subprocess.run(
            command, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300
        )
    assert done.returncode == 1 and done.stderr.endswith(
        "mvreg: standard output: No space left on device.\n"
    )
    assert_whole(study.parent / "result")


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_what_a_kill_interrupted_is_completed_by_whoever_reads_the_result(mvreg, study, tmp_path):
    out = study.parent / "result"
    assert mvreg("register", study).returncode == 0
    change(study, search={"rotation_deg": 5, "translation_mm": 5})
    command = [sys.executable, "-c", KILLED, "register", str(study)]
    done = subprocess.run(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL, timeout=300)
    assert done.returncode == -signal.SIGKILL
    assert not (out / "result.json").exists() and list(out.glob("*.png"))  # in the midst of it
    assert mvreg("export", out, "--as", "tfm", "--out", tmp_path / "exported").returncode == 0
    assert assert_whole(out)["inputs"]["case.json"] == digest(study)


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_one_result_whole(study):
    """Two geometries of a case take turns, so that no file is as it was before."""
    out, moments = study.parent / "result", random.Random(2)
    assert run("register", study).returncode == 0
    in_time = 0
    for number in range(16):
        case = read_json(study)
        for view, name in zip(case["views"], ("a", "b"), strict=True):
            view["name"] = f"{name}{number}"
        write_json(study, case)
        before = read_json(out / "result.json")["seconds"]
        with subprocess.Popen(
            [*MVREG, "register", str(study)], env=ENVIRONMENT, stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and not list(out.glob(".mvreg-*")):
                time.sleep(0.002)
            time.sleep(moments.uniform(0, 0.35))
            process.kill()
        in_time += process.returncode == -signal.SIGKILL
        complete(out)
        for stage in out.glob(".mvreg-*"):
            shutil.rmtree(stage)
        result = assert_whole(out)
        assert (result["seconds"] == before) != (result["views"][0]["name"] == f"a{number}")
    assert in_time > 5
    change(study, search={"rotation_deg": 5, "translation_mm": 5})
    assert run("register", study).returncode == 0
    assert_whole(out)
