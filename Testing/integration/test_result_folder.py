"""The folder of a result: of one case, whole whenever the program is killed, and what is rejected is marked."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import phantom
from helpers.file_io import read_json, write_json
from helpers.program import ENVIRONMENT, MVREG, mvreg, result_in
from helpers.refusals import refuses
from numpy.testing import assert_allclose

from MultiViewRegistrationLib import Body, Case, View, assess
from MultiViewRegistrationLib.io.transforms import read_transform
from MultiViewRegistrationLib.report.result_page import save_result

pytestmark = pytest.mark.slow

#: The program, for `python -c`, killed in the midst of moving its files.
KILLED = """
import os, signal, sys
from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.io import folders

replace, moves = os.replace, iter(range(5))

def killed(source, target):
    written = os.path.basename(os.path.dirname(target)).startswith(".mvreg")
    if not written and next(moves, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

folders.os.replace = killed
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


def process(command, **streams):
    return subprocess.run(command, env=ENVIRONMENT, text=True, timeout=300, **streams)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_whole(out):
    """All files that a result.json names are those that came with it, and there are no others.

    Returns its content.
    """
    result = read_json(out / "result.json")
    assert result["files"] == {
        path.name: digest(path) for path in out.iterdir() if path.name != "result.json"
    }
    return result


@pytest.fixture(scope="module")
def registered(case_file, tmp_path_factory):
    """The folder of a case of the user's own with its result. Not to be changed by a test."""
    folder = tmp_path_factory.mktemp("registered") / "study"
    shutil.copytree(case_file.parent, folder)
    mvreg(f"register {folder}/case.json")
    return folder


@pytest.fixture
def done(registered, tmp_path):
    """A case of the user's own with its result beside it."""
    return shutil.copytree(registered, tmp_path / "study") / "case.json"


@pytest.fixture
def study(case_file, tmp_path):
    """A case of the user's own in a folder."""
    return shutil.copytree(case_file.parent, tmp_path / "study") / "case.json"


@pytest.fixture
def wrong(study):
    """A case whose X-rays are exchanged, which is rejected."""
    case = read_json(study)
    first, second = case["views"]
    first["image"], second["image"] = second["image"], first["image"]
    write_json(study, case)
    return study


def change(case_file, **changes):
    write_json(case_file, read_json(case_file) | changes)


def other_patient(case_file):
    """Other X-rays under the same names, as where a folder is used again."""
    for image in case_file.parent.glob("view*.mha"):
        image.write_bytes(image.read_bytes()[:-2] + b"\1\1")


def test_a_second_case_is_refused_before_any_work_and_the_first_stays(done, tmp_path):
    out = done.parent / "result"
    first = assert_whole(out)
    second = shutil.copy(done, done.with_name("second.json"))  # another structure, say
    said = mvreg(f"register {second}", 2).refusal
    assert "holds the result of another case" in said and assert_whole(out) == first
    other_patient(done)
    mvreg(f"register {done}", 2)
    assert assert_whole(out) == first
    mvreg(f"register {done} --out {tmp_path}/other")
    (out / "result.json").write_text("[]")  # of somebody else
    assert "no result" in mvreg(f"register {done}", 2).err
    assert (out / "result.json").read_text() == "[]"


def test_the_same_case_replaces_its_result_whole_and_nothing_else(done):
    out = done.parent / "result"
    (out / "notes.txt").write_text("the user's")
    drawn = out / "view1_edges_before.png"
    drawn.write_text("drawn upon")  # no longer what came with the result
    views = read_json(done)["views"]
    change(done, views=[{**view, "name": name} for view, name in zip(views, ("AP", "LAT"))])
    assert mvreg(f"register {done} --json").json == read_json(out / "result.json")
    assert [path.name for path in out.iterdir() if "view" in path.name] == [drawn.name]
    assert (out / "notes.txt").read_text() == "the user's"
    (out / "notes.txt").unlink()
    drawn.unlink()
    pictures = [name for name in assert_whole(out)["files"] if name.endswith(".png")]
    assert {name.split("_")[0] for name in pictures} == {"AP", "LAT"}


def test_a_mask_that_the_case_names_by_now_is_neither_removed_nor_replaced(study, tmp_path):
    case = Case.load(study)
    first, second = case.views
    spoilt = second.xray.line_integrals.copy()
    spoilt[56:72, 52:68] += 3.0
    views = [first, second.with_xray(line_integrals=spoilt)]
    masked, plain = (assess(each, phantom.TRUE_POSE) for each in (replace(case, views=views), case))
    out = tmp_path / "out"
    mask = out / "view2_mask.png"
    save_result(masked, out)
    before = digest(mask)
    assert not (out / "view1_mask.png").exists()
    content = read_json(study)
    content["views"][1]["mask"] = str(mask)
    write_json(study, content)
    valid = Case.load(study).views[1].xray.valid
    assert not valid[58:70, 54:66].any() and valid.mean() > 0.8
    for again in (masked, plain):
        known = {**case.inputs, mask.name: before}
        named = replace(again, case=replace(again.case, inputs=known))
        assert mask.name not in save_result(named, out)["files"] and digest(mask) == before


def test_in_python_another_case_is_refused_too_unless_it_shall_be_replaced(study, tmp_path):
    case, out = Case.load(study), tmp_path / "out"
    result = assess(case, phantom.TRUE_POSE)
    save_result(result, out)
    views = [View(view.xray.line_integrals, view.camera, intensity="log") for view in case.views]
    other = assess(Case.from_arrays(Body(case.ct), *views), phantom.TRUE_POSE)
    with refuses("another case"):
        save_result(other, out)
    assert_whole(out)
    save_result(other, out, replace=True)
    save_result(other, out)  # which is known again
    assert assert_whole(out)["case"]["file"] is None


def test_a_rejected_result_has_no_transforms_unless_asked_for_and_says_so(wrong):
    out = wrong.parent / "result"

    def transforms():
        return TRANSFORMS & {path.name for path in out.iterdir()}

    said = mvreg(f"register {wrong} --override --exit-code", 4).err
    result = assert_whole(out)
    assert "not written" not in said and "withheld" not in result
    assert result["override"] == "The result was rejected." and transforms() == TRANSFORMS
    for name in TRANSFORMS:
        assert (out / name).read_text().splitlines()[1] == "# Override: The result was rejected."
    assert_allclose(read_transform(out / "world_from_ct.tfm"), result["world_from_ct"], atol=1e-9)
    said = mvreg(f"register {wrong} --exit-code", 4).err
    assert "transforms were not written. --override" in said
    result = result_in(out)
    assert result == assert_whole(out) and result["verdict"] == "reject"
    assert "not written" in result["withheld"]
    assert not transforms()  # those of before went with their result
    assert "transforms were not written" in (out / "report.html").read_text()


UNSURE = {"principal_point_sd_px": 20.0, "distance_sd_percent": 2.0}


def test_exit_code_is_that_of_the_3d_position(study, no_cause):
    change(study, views=[{**view, **UNSURE} for view in read_json(study)["views"]])
    result = mvreg(f"register {study} --exit-code --override --json", 3).json
    assert result["verdict"] == "check" and result["uses"]["overlay"]["verdict"] == "accept"
    assert "override" not in result  # there was nothing to override


@pytest.mark.skipif(os.name == "nt", reason="needs limits of POSIX")
def test_where_the_files_cannot_be_written_the_older_result_stays_and_the_file_is_named(done):
    out = done.parent / "result"
    first = assert_whole(out)
    ended = process([sys.executable, "-c", LIMITED, "register", done], stderr=subprocess.PIPE)
    said = ended.stderr
    assert ended.returncode == 1 and "Verdict and expected error" in said and "Report:" not in said
    assert "result/report.html cannot be written (File too large)" in said
    assert assert_whole(out) == first


@pytest.mark.parametrize(
    "closed, status", [(["stderr"], 0), (["stderr", "stdout"], 141)], ids=["one", "both"]
)
def test_a_reader_that_has_gone_costs_no_files(study, closed, status):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        streams = {"stdout": subprocess.DEVNULL} | dict.fromkeys(closed, pipe)
        ended = process([*MVREG, "register", study, "--json"], **streams)
    assert ended.returncode == status
    assert_whole(study.parent / "result")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_named(study):
    with open("/dev/full", "w") as full:
        command = [*MVREG, "register", study, "--json"]
        ended = process(command, stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 1
    assert ended.stderr.endswith("mvreg: standard output: No space left on device.\n")
    assert_whole(study.parent / "result")


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_what_a_kill_interrupted_is_completed_by_whoever_reads_the_result(done, tmp_path):
    out = done.parent / "result"
    change(done, search={"rotation_deg": 5, "translation_mm": 5})
    command = [sys.executable, "-c", KILLED, "register", done]
    ended = process(command, stderr=subprocess.DEVNULL)
    assert ended.returncode == -signal.SIGKILL
    assert not (out / "result.json").exists() and list(out.glob("*.png"))  # in the midst of it
    mvreg(f"export {out} --as tfm --out {tmp_path}/exported")
    assert assert_whole(out)["inputs"]["case.json"] == digest(done)
