"""Exports of the bones of a result: files that are called by their bone, and say so inside."""

import json
import re
import threading
from dataclasses import replace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from handed_result import assessment_content, write_result
from helpers.bent_spine import NAMES, bent, cameras, spine, write_spine_case, xrays
from helpers.file_io import read_json, read_values
from numpy.testing import assert_allclose
from test_exports import matrix_of

from MultiViewRegistrationLib import Case
from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.result_json import RegistrationExport
from MultiViewRegistrationLib.io.transforms import read_named_matrix, turned

pyigtl = pytest.importorskip("pyigtl", reason='needs pyigtl: pip install -e ".[navigation]"')
from MultiViewRegistrationLib.io.navigation.igtl import devices_of  # noqa: E402

POSE = rigid.turn_and_shift([0.05, -0.03, 0.04], [3.0, -2.0, 5.0])
POSES = [POSE @ motion for motion in bent(*spine())]
REFERENCE = rigid.exp_se3([0.1, 0.2, 0.3, 40, 50, 60])


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return write_spine_case(tmp_path_factory.mktemp("spine"), [[np.eye(4)] * 4], POSE, POSE)


@pytest.fixture
def result(tmp_path):
    """A function that writes a result with the bones at POSES, and these verdicts."""

    def write(verdicts="check check check check", **more):
        bodies = {"CT": {"world_from_ct": POSE, **assessment_content("check")}}
        for name, pose, verdict in zip(NAMES, POSES, verdicts.split(), strict=True):
            content = assessment_content(verdict.replace("_", " "))
            bodies[name] = {"world_from_ct": pose, **content}
        views = []
        for n, camera in enumerate(cameras(0, 88)):
            at = {"camera_from_world": camera.camera_from_world}
            views.append({"name": f"view {n}", "similarity": 0.9, **at})
        poses = {"world_from_ct": POSE, "reference_from_world": REFERENCE}
        content = poses | {"bodies": bodies, "verdict": "check", "views": views} | more
        return write_result(tmp_path / "result", **content)

    return write


@pytest.fixture
def export(tmp_path, capsys):
    """A function that runs `mvreg export` into a folder `out`.

    Its status, its answer, and what it printed.
    """

    def run(result, words):
        capsys.readouterr()
        status = main(f"export {result} --out {tmp_path}/out --json {words}".split())
        said = capsys.readouterr()
        return status, json.loads(said.out) if said.out else None, said.err

    return run


def test_all_bones_are_written_at_once_each_by_its_name(result, export, tmp_path):
    status, answer, _ = export(result(), "--structure all --as all")
    assert status == 0 and [each["name"] for each in answer["structures"]] == list(NAMES)
    out = tmp_path / "out"
    names = {file.name for file in out.iterdir()}
    assert len(names) == len(answer["files"]) == 4 * 34
    assert {name.split("_")[0] for name in names} == set(NAMES)
    for name, pose in zip(NAMES, POSES, strict=True):
        own = f"{name}_world_from_ct"
        read = read_named_matrix(out / f"{own}.lps.txt")
        assert (read.name, read.axes) == ("world_from_ct", "lps")
        assert_allclose(read.matrix, pose, atol=1e-12)
        assert read_json(out / f"{own}.lps.json")["structure"] == name
        assert f"{name} alone, world_from_ct" in (out / f"{own}.forward.tfm").read_text()
        transform = sitk.ReadTransform(str(out / f"{name}_reference_from_ct.forward.tfm"))
        moved = (REFERENCE @ pose @ (1, 2, 3, 1))[:3]
        assert_allclose(transform.TransformPoint((1.0, 2.0, 3.0)), moved, atol=1e-9)


@pytest.mark.filterwarnings("default::UserWarning")
@pytest.mark.parametrize("verdict, whole", [("check", [""]), ("reject", [])])
def test_export_without_names_writes_usable_bones(result, export, tmp_path, verdict, whole):
    path = result("accept reject check check", verdict=verdict)
    status, answer, said = export(path, "--as tfm --direction forward")
    assert status == 0 and "L1: rejected or not shown, and not exported" in said
    names = {file.name for file in (tmp_path / "out").glob("*world_from_ct.*")}
    assert {name.partition("world")[0] for name in names} == {*whole, "T12_", "L2_", "L3_"}
    assert answer["verdict"] == "check" and not answer["override"]


def test_bones_with_a_ct_each_are_written_once_under_their_names(result, export, tmp_path):
    own = {name: {"world_from_ct": pose, **assessment_content("check"), "ct_uid": f"1.2.{n}"}
           for n, (name, pose) in enumerate(zip(NAMES, POSES, strict=True))}  # fmt: skip
    assert export(result(bodies=own, world_from_ct=POSES[0]), "--as dicom txt --frame lps")[0] == 0
    assert {file.name.split("_")[0] for file in (tmp_path / "out").iterdir()} == set(NAMES)
    for n, name in enumerate(NAMES):
        data = pydicom.dcmread(tmp_path / "out" / f"{name}_world_from_ct.dcm")
        assert data.RegistrationSequence[-1].FrameOfReferenceUID == f"1.2.{n}"


def test_dicom_objects_of_bones_name_them_and_share_their_frames(result, export, tmp_path):
    path = result(frame_of_reference_uid=None)
    assert export(path, "--structure l1 L3 --as dicom")[0] == 0
    data = {
        name: pydicom.dcmread(tmp_path / "out" / f"{name}_world_from_ct.dcm")
        for name in ("L1", "L3")
    }
    for name, each in data.items():
        assert each.SeriesDescription == f"world from CT, {name} alone"
        matrix = matrix_of(each.RegistrationSequence[-1])
        assert_allclose(matrix, POSES[NAMES.index(name)], atol=1e-9)
    assert len({each.SOPInstanceUID for each in data.values()}) == 2
    (world,) = {each.FrameOfReferenceUID for each in data.values()}
    assert read_json(path)["frame_of_reference_uid"]["world"] == world


@pytest.mark.slow
def test_volumes_and_drrs_contain_one_bone(case, result, export, tmp_path):
    words = f"--structure L2 --as resampled-ct resampled-mask drr --case {case}"
    assert export(result(inputs=Case.load(case).inputs), words)[0] == 0
    (ct, labels), n, out = spine(), NAMES.index("L2"), tmp_path / "out"
    mask = sitk.ReadImage(str(out / "L2_mask_in_world.nii.gz"))
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(mask)
    index = np.argwhere(labels == n + 1)[:, ::-1].astype(float)
    middle = rigid.transform_points(POSES[n] @ ct.volume.ct_from_index, index).mean(axis=0)
    assert np.linalg.norm(np.subtract(statistics.GetCentroid(1), middle)) < 0.3
    values = read_values(out / "L2_ct_in_world.nii.gz")
    assert values.min() == -1024 and values.max() > 400
    assert max(values.shape) < 60  # cut to the bone: the CT has 100 voxels along each axis
    shown = np.argwhere(pydicom.dcmread(out / "L2_drr_view1.dcm").pixel_array)[:, ::-1]
    centre = cameras(0, 88)[0].project(middle)
    assert np.abs(shown.mean(axis=0) - centre).max() < 4 and np.ptp(shown[:, 0]) < 100


def test_a_bone_that_no_view_shows_is_refused_by_name(result, export):
    status, _, said = export(result("check not_shown accept check"), "--structure L1 --as tfm")
    assert status == 2 and "L1: no X-ray shows this bone; register again, or add" in said


@pytest.mark.filterwarnings("default::UserWarning")
def test_rejected_bone_is_exported_only_with_override(result, export, tmp_path):
    path, out = result("check reject accept check"), tmp_path / "out"
    status, _, said = export(path, "--structure T12 L1 --as tfm")
    assert status == 2 and "L1: the result was rejected; register again, or add --override" in said
    status, answer, _ = export(path, "--structure all --as txt --override")
    assert status == 0 and len(answer["structures"]) == 4
    told = {name: (out / f"{name}_world_from_ct.lps.txt").read_text() for name in ("L1", "L2")}
    assert "Override: The result was rejected." in told["L1"] and "Override" not in told["L2"]


@pytest.mark.parametrize(
    "words, said",
    [
        ("--structure L9", '--structure: found "L9", expected one of T12, L1, L2, L3'),
        ("--structure L1 all", "--structure: found all among other names"),
        ("--structure L1 l1", '--structure: found "L1" twice'),
    ],
)
def test_bad_names_are_one_sentence_and_write_nothing(result, export, tmp_path, words, said):
    status, _, told = export(result(), f"{words} --as tfm")
    assert status == 2 and said in told and told.strip().count("\n") == 0, told
    assert not (tmp_path / "out").exists()


def test_structures_of_a_result_without_bones_are_refused(result, export):
    status, _, said = export(result(bodies={}), "--structure all --as tfm")
    assert status == 2 and "expected a result of a case with structures" in said


@pytest.mark.slow
@pytest.mark.filterwarnings("default::UserWarning")
def test_server_receives_a_transform_of_each_usable_bone(igtl_status, result, port):
    sent = ["CTToWorld", "T12", "L2"]
    path = result("accept reject check reject", verdict="accept")
    peer = pyigtl.OpenIGTLinkServer(port=port, local_server=True)
    words = f"export {path} --igtl 127.0.0.1:{port} --seconds 2"
    sending = threading.Thread(target=main, args=(words.split(),))
    sending.start()
    try:
        for device in sent:
            exported = RegistrationExport.read(path, None if device == "CTToWorld" else device)
            message = peer.wait_for_message(device, 20.0)
            assert_allclose(message.matrix, turned(exported.world_from_ct), atol=1e-4)
            assert message.metadata.get("Structure", "CTToWorld") == device
        assert json.loads(peer.wait_for_message("MultiViewReg", 20.0).text)["verdict"] == "accept"
        seen = {message.device_name for message in peer.get_latest_messages()}
        assert seen <= {*sent, "MultiViewReg", "CTToReference", "T12ToReference", "L2ToReference"}
    finally:
        peer.stop()
        sending.join()


ODD_NAMES = ["第一腰椎", "第二腰椎", "L1 ή", "L1 ώ", "vertebrae_of_the_neck_1", "vertebrae_of_the_neck_2",
             "hip_left_acetabulum", "CTToWorld", "Overlay1", "MultiViewReg", "L1 ", "bone ToReference"]  # fmt: skip


def test_each_bone_has_a_device_of_its_own_whatever_its_name_and_whatever_else_is_sent(result):
    bone = RegistrationExport.read(result(), "T12")
    own = [*ODD_NAMES, "L1", "CTToReference"]
    found = [devices_of(replace(bone, structure=name)) for name in own]
    devices = [device for each in found for device in each.values()]
    assert len({*devices, "CTToWorld", "Overlay1", "MultiViewReg"}) == len(devices) + 3
    assert all(re.fullmatch("[!-~]{1,20}", device) for device in devices), devices
    assert devices_of(replace(bone, structure="L1")) == found[-2]
    assert found[-2]["world_from_ct"] == "L1"


@pytest.mark.slow
@pytest.mark.filterwarnings("default::UserWarning")
def test_a_drr_of_the_whole_has_each_bone_at_its_own_pose(case, result, export, tmp_path):
    """Left out is what was rejected: it lies where the CT has it."""
    moved = POSES[:3] + [POSE]
    shown = xrays(*spine(), [rigid.inverse(POSE) @ pose for pose in moved], POSE, noise=0)
    path = result("check check check reject", inputs=Case.load(case).inputs)
    assert export(path, f"--as drr --case {case}")[0] == 0
    data = pydicom.dcmread(tmp_path / "out" / "drr_view1.dcm")
    drawn = data.pixel_array * float(data.RescaleSlope) / 1000
    assert_allclose(drawn, shown[0].xray.line_integrals, atol=2e-3)
