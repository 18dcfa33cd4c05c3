"""From a start pose of another program through a registration to files for others, as a person runs it."""

import shutil

import numpy as np
import phantom
import pytest
import SimpleITK as sitk
from file_io import read_json, write_json
from numpy.testing import assert_allclose
from program import mvreg, result_in

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.transforms import write_transform


@pytest.fixture(scope="module")
def registered(case_file, tmp_path_factory):
    """A case without a start, registered from a transform file in ITK's resampling direction.

    Folder of case and result.
    """
    folder = tmp_path_factory.mktemp("exported")
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
    return folder


def test_every_kind_of_file_is_exported(registered, tmp_path):
    out, case = tmp_path / "out", registered / "case"
    said = mvreg(f"export {registered}/result --as all --out {out} --case {case} --json").json
    assert len(said["files"]) == 34 == len(list(out.iterdir())) and said["override"] is None
    result = read_json(registered / "result" / "result.json")
    reference_from_world = np.array(read_json(case / "case.json")["reference_from_world"])
    transform = sitk.ReadTransform(str(out / "reference_from_ct.forward.tfm"))
    expected = reference_from_world @ np.array(result["world_from_ct"]) @ (10, -20, 30, 1)
    assert_allclose(transform.TransformPoint((10.0, -20.0, 30.0)), expected[:3], atol=1e-9)
    assert set(result["frame_of_reference_uid"]) == {"world", "ct", "reference"}


def test_a_stale_result_is_exported_with_an_override_that_names_no_file(registered, tmp_path):
    case = shutil.copytree(registered / "case", tmp_path / "case")
    one, other = case / "view1.mha", case / "view2.mha"
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)
    out = tmp_path / "out"
    command = f"export {registered}/result --as json tfm --out {out} --case {case}"
    assert "changed since" in mvreg(command, 2).err and not out.exists()
    mvreg(f"{command} --override")
    sentence = "An input has changed since the registration: X-ray 1, X-ray 2."
    assert read_json(out / "world_from_ct.lps.json")["override"] == sentence
    assert all(f"# Override: {sentence}" in file.read_text() for file in out.glob("*.tfm"))


@pytest.mark.parametrize(
    "verdict, meaning",
    [
        ("check", 'In the room the pose is "check": the program cannot tell whether it is right'),
        ("reject", 'In the room the pose is "reject": it is most likely wrong, so do not use it.'),
        (None, 'In the room the pose is "not assessed": nothing has checked it'),
        ("accept", None),
    ],
)
def test_a_verdict_but_accept_is_said_before_anything_is_written(
    registered, tmp_path, verdict, meaning
):
    content = read_json(registered / "result" / "result.json")
    uses = {"room": {"verdict": verdict}} if verdict else {}
    write_json(tmp_path / "result.json", {**content, "verdict": verdict, "uses": uses})
    out = tmp_path / "out"
    said = mvreg(f"export {tmp_path}/result.json --as tfm --out {out} --override").err
    before, _, written = said.partition(str(out))
    assert written and (meaning in before if meaning else "In the room" not in before)


@pytest.mark.parametrize(
    "options, word",
    [
        ("--as tfm", "--out DIR"),
        ("--igtl a:1 --igtl-server 2", "give one of"),
        ("--as tfm --out OUT --frame ras", "--frame"),
        ("--as drr tfm --out OUT", "add --case"),
        ("--as tfm --out OUT --volume mha", "--volume"),
        ("--as dicom --out OUT --identity", "add --case"),
        ("--as dicom --out OUT --identity --case CASE", "no X-ray"),
        ("--as resampled-mask --out OUT --case CASE", "no mask"),
    ],
)
def test_wrong_options_are_refused(registered, tmp_path, options, word):
    words = options.replace("OUT", f"{tmp_path}/out").replace("CASE", f"{registered}/case")
    said = mvreg(f"export {registered}/result {words}", 2)
    assert word in said.err.splitlines()[-1] and not list(tmp_path.iterdir())


def test_a_server_ends_when_asked_to(registered):
    pytest.importorskip("pyigtl", reason='needs pyigtl: pip install -e ".[navigation]"')
    said = mvreg(f"export {registered}/result --igtl-server 0 --seconds 0.1")
    assert "waiting for clients at 127.0.0.1:" in said.err
