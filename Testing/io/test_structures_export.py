"""Exports of the bones of a result: files that are called by their bone, and say so inside."""

import json
import re
import socket
import threading
from dataclasses import replace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from bent_spine import NAMES, bent, cameras, spine, write_spine_case
from file_io import read_json, write_json
from handed_result import write_result
from numpy.testing import assert_allclose

from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.navigation.registration_export import RegistrationExport
from MultiViewRegistrationLib.io.transforms import read_named_matrix, turned

POSE = rigid.turn_and_shift([0.05, -0.03, 0.04], [3.0, -2.0, 5.0])
POSES = [POSE @ motion for motion in bent(*spine())]
REFERENCE = rigid.exp_se3([0.1, 0.2, 0.3, 40, 50, 60])


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spine")
    return write_spine_case(folder, [[np.eye(4)] * 4], POSE, POSE)


@pytest.fixture
def result(tmp_path):
    """A function that writes a result with the bones at POSES, and these verdicts."""

    def write(verdicts=("check",) * 4, **more):
        bodies = {
            name: {"world_from_ct": pose.tolist(), "verdict": verdict}
            for name, pose, verdict in zip(NAMES, POSES, verdicts, strict=True)
        }
        views = [
            {
                "name": f"view {n}",
                "similarity": 0.9,
                "camera_from_world": camera.camera_from_world.tolist(),
            }
            for n, camera in enumerate(cameras(0, 88))
        ]
        content = {
            "world_from_ct": POSE.tolist(),
            "bodies": {"CT": {"world_from_ct": POSE.tolist(), "verdict": "check"}, **bodies},
            "verdict": "check",
            "views": views,
        }
        return write_result(
            tmp_path / "result", **{**content, "reference_from_world": REFERENCE.tolist(), **more}
        )

    return write


@pytest.fixture
def export(tmp_path, capsys):
    """A function that runs `mvreg export` into a folder `out`.

    Its status, its answer, and what it printed.
    """

    def run(result, *words):
        capsys.readouterr()
        status = main(
            ["export", str(result), "--out", str(tmp_path / "out"), "--json", *map(str, words)]
        )
        said = capsys.readouterr()
        return status, json.loads(said.out) if said.out else None, said.err

    return run


def test_a_bone_of_a_result_of_version_2_is_called_by_its_name(result, export, tmp_path):
    listed = [{"name": "L1", "world_from_ct": POSES[1].tolist(), "verdict": "check"}]
    path = result(version=2, bodies=None, structures=listed)
    answer = export(path, "--structure", "l1", "--as", "tfm")[1]
    assert [each["name"] for each in answer["structures"]] == ["L1"]
    written = {file.name for file in (tmp_path / "out").iterdir()}
    assert "L1_world_from_ct.forward.tfm" in written and "world_from_ct.forward.tfm" not in written


def test_all_bones_are_written_at_once_each_by_its_name(result, export, tmp_path):
    status, answer, _ = export(result(), "--structure", "all", "--as", "all")
    assert status == 0 and [each["name"] for each in answer["structures"]] == list(NAMES)
    out = tmp_path / "out"
    names = {file.name for file in out.iterdir()}
    assert len(names) == len(answer["files"]) == 4 * 34
    assert {name.split("_")[0] for name in names} == set(NAMES)
    for name, pose in zip(NAMES, POSES, strict=True):
        assert_allclose(np.loadtxt(out / f"{name}_world_from_ct.lps.txt"), pose, atol=1e-12)
        assert f"# Of {name} alone" in (out / f"{name}_ct_from_world.ras.txt").read_text()
        for ending in ("txt", "npy", "json"):
            read = read_named_matrix(out / f"{name}_world_from_ct.lps.{ending}")
            assert (read.name, read.axes) == ("world_from_ct", "lps")
            assert_allclose(read.matrix, pose, atol=1e-12)
        assert read_json(out / f"{name}_world_from_ct.lps.json")["structure"] == name
        assert str(np.load(out / f"{name}_world_from_ct.lps.npy")["structure"]) == name
        transform = sitk.ReadTransform(str(out / f"{name}_reference_from_ct.forward.tfm"))
        assert_allclose(
            transform.TransformPoint((1.0, 2.0, 3.0)),
            (REFERENCE @ pose @ (1, 2, 3, 1))[:3],
            atol=1e-9,
        )
        assert (
            f"{name} alone, world_from_ct"
            in (out / f"{name}_world_from_ct.forward.tfm").read_text()
        )


def test_dicom_objects_of_bones_name_them_and_share_their_frames(result, export, tmp_path):
    path = result(frame_of_reference_uid=None)
    assert export(path, "--structure", "l1", "L3", "--as", "dicom")[0] == 0
    one, other = (
        pydicom.dcmread(tmp_path / "out" / f"{name}_world_from_ct.dcm") for name in ("L1", "L3")
    )
    assert (
        one.FrameOfReferenceUID == other.FrameOfReferenceUID
        and one.SOPInstanceUID != other.SOPInstanceUID
    )
    for name, data in (("L1", one), ("L3", other)):
        assert data.SeriesDescription == f"world from CT, {name} alone"
        item = data.RegistrationSequence[-1]
        registration = item.MatrixRegistrationSequence[0]
        assert registration.FrameOfReferenceTransformationComment == f"world_from_ct, {name} alone"
        matrix = np.array(
            registration.MatrixSequence[0].FrameOfReferenceTransformationMatrix, float
        ).reshape(4, 4)
        assert_allclose(matrix, POSES[NAMES.index(name)], atol=1e-9)
    kept = read_json(path)["frame_of_reference_uid"]
    assert kept["world"] == one.FrameOfReferenceUID and set(kept) == {"world", "ct", "reference"}


def test_volumes_and_drrs_are_of_the_bone_alone(case, result, export, tmp_path):
    kinds = ("resampled-ct", "resampled-mask", "drr", "cameras")
    inputs = Case.load(case).inputs
    assert (
        export(result(inputs=inputs), "--structure", "T12", "L2", "--as", *kinds, "--case", case)[0]
        == 0
    )
    ct, labels = spine()
    for n, name in ((0, "T12"), (2, "L2")):
        mask = sitk.ReadImage(str(tmp_path / "out" / f"{name}_mask_in_world.nii.gz"))
        image = sitk.ReadImage(str(tmp_path / "out" / f"{name}_ct_in_world.nii.gz"))
        inside = np.argwhere(sitk.GetArrayFromImage(mask))[:, ::-1]
        points = np.array(
            [
                mask.TransformContinuousIndexToPhysicalPoint(tuple(map(float, each)))
                for each in inside
            ]
        )
        index = np.argwhere(labels == n + 1)[:, ::-1].astype(float)
        middle = rigid.transform_points(POSES[n] @ ct.volume.ct_from_index, index).mean(axis=0)
        assert np.linalg.norm(points.mean(axis=0) - middle) < 0.3
        values = sitk.GetArrayFromImage(image)
        assert values.min() == -1024 and values.max() > 400
        assert max(image.GetSize()) < 60  # cut to the bone: the CT has 100 voxels along each axis
        drr = pydicom.dcmread(tmp_path / "out" / f"{name}_drr_view1.dcm")
        assert drr.SeriesDescription == f"SIMULATED X-ray (DRR of CT), {name} alone"
        rows, columns = np.nonzero(drr.pixel_array)
        centre = cameras(0, 88)[0].project(middle[None])[0]
        assert abs(columns.mean() - centre[0]) < 4 and abs(rows.mean() - centre[1]) < 4
        assert np.ptp(columns) < 100 and (tmp_path / "out" / f"{name}_cameras_in_ct.mrml").is_file()


def test_a_bone_that_no_view_shows_is_refused_by_name(result, export):
    path = result(("check", "not shown", "accept", "check"))
    status, _, said = export(path, "--structure", "L1", "--as", "tfm")
    assert status == 2 and "L1: no X-ray shows this bone; register again, or add" in said


@pytest.mark.filterwarnings("default::UserWarning")
def test_rejected_bones_are_left_out_of_all_and_refused_by_name(result, export, tmp_path):
    path = result(("check", "reject", "accept", "check"))
    status, answer, said = export(path, "--structure", "all", "--as", "tfm")
    assert "L1: rejected or not shown, and not exported; check them, or add --override." in said
    assert status == 0 and [each["name"] for each in answer["structures"]] == ["T12", "L2", "L3"]
    assert not list((tmp_path / "out").glob("L1_*"))
    status, _, said = export(path, "--structure", "T12", "L1", "--as", "tfm")
    assert status == 2 and "L1: the result was rejected; register again, or add --override" in said
    status, answer, _ = export(path, "--structure", "all", "--as", "tfm", "txt", "--override")
    assert status == 0 and len(answer["structures"]) == 4
    assert (
        "Override: The result was rejected."
        in (tmp_path / "out" / "L1_world_from_ct.lps.txt").read_text()
    )
    assert "Override" not in (tmp_path / "out" / "L2_world_from_ct.lps.txt").read_text()


@pytest.mark.parametrize(
    "words, said",
    [
        (["--structure", "L9"], '--structure: found "L9", expected one of T12, L1, L2, L3'),
        (["--structure", "L1", "all"], "--structure: found all among other names"),
        (["--structure", "L1", "l1"], '--structure: found "L1" twice'),
    ],
)
def test_bad_names_are_one_sentence_and_write_nothing(result, export, tmp_path, words, said):
    status, _, told = export(result(), *words, "--as", "tfm")
    assert status == 2 and said in told and told.strip().count("\n") == 0, told
    assert not (tmp_path / "out").exists()


def test_a_result_without_bones_and_a_case_without_its_bone_are_refused(
    case, result, export, tmp_path
):
    status, _, said = export(result(bodies={}), "--structure", "all", "--as", "tfm")
    assert status == 2 and "expected a result of a case with structures" in said
    content = read_json(case)
    content["structures"] = content["structures"][:2]
    write_json(case.parent / "two.json", content)
    words = ["--structure", "L3", "--as", "resampled-mask", "--case", case.parent / "two.json"]
    status, _, said = export(result(inputs=Case.load(case.parent / "two.json").inputs), *words)
    assert (
        status == 2
        and 'has no structure "L3" (it has T12, L1)' in said
        and not (tmp_path / "out").exists()
    )


@pytest.mark.usefixtures("igtl_status")
@pytest.mark.parametrize(
    "words, sent",
    [([], ["CTToWorld", "T12", "L2"]), (["--structure", "L2", "T12"], ["T12", "L2"])],
)
def test_a_server_gets_a_transform_of_each_bone_under_its_name(result, words, sent):
    """A real server: pyigtl's. Rejected bones are not sent unasked."""
    pyigtl = pytest.importorskip("pyigtl", reason="needs pyigtl: pip install pyigtl")
    path = result(("accept", "reject", "check", "reject"), verdict="accept")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    peer = pyigtl.OpenIGTLinkServer(port=port, local_server=True)
    link = ["--igtl", f"127.0.0.1:{port}", "--seconds", "6"]
    sending = threading.Thread(target=main, args=(["export", str(path), *words, *link],))
    sending.start()
    try:
        for device in sent:
            exported = RegistrationExport.read(path, None if device == "CTToWorld" else device)
            message = peer.wait_for_message(device, 20.0)
            assert_allclose(message.matrix, turned(exported.world_from_ct), atol=1e-4)
            assert message.metadata.get("Structure", "CTToWorld") == device
        status = json.loads(peer.wait_for_message("MultiViewReg", 20.0).text)
        assert status["verdict"] == ("check" if words else "accept")
        seen = {message.device_name for message in peer.get_latest_messages()}
        assert seen <= {*sent, "MultiViewReg", "CTToReference", "T12ToReference", "L2ToReference"}
    finally:
        peer.stop()
        sending.join()


def test_a_whole_result_goes_to_navigation_with_a_transform_for_each_bone_under_its_name(result):
    pytest.importorskip("pyigtl", reason="needs pyigtl: pip install pyigtl")
    from MultiViewRegistrationLib.io.navigation.igtl import messages_of

    path = result()
    bones = [RegistrationExport.read(path, name) for name in ("T12", "L2")]
    packed = messages_of(RegistrationExport.read(path), bones).small
    devices = [pack()[14:34].rstrip(b"\0").decode() for pack in packed]  # of the header
    assert devices[:-1] == "CTToWorld CTToReference T12 T12ToReference L2 L2ToReference".split()


ODD_NAMES = ["第一腰椎", "第二腰椎", "L1 ή", "L1 ώ", "vertebrae_of_the_neck_1", "vertebrae_of_the_neck_2",
             "hip_left_acetabulum", "CTToWorld", "Overlay1", "MultiViewReg", "L1 ", "bone ToReference"]  # fmt: skip


def test_each_bone_has_a_device_of_its_own_whatever_its_name_and_whatever_else_is_sent(result):
    from MultiViewRegistrationLib.io.navigation.igtl import devices_of

    bone = RegistrationExport.read(result(), "T12")
    own = [*ODD_NAMES, "L1", "CTToReference"]
    found = [devices_of(replace(bone, structure=name)) for name in own]
    devices = [device for each in found for device in each.values()]
    assert len({*devices, "CTToWorld", "Overlay1", "MultiViewReg"}) == len(devices) + 3
    assert all(re.fullmatch("[!-~]{1,20}", device) for device in devices), devices
    assert devices_of(replace(bone, structure="L1")) == found[-2]
    assert found[-2]["world_from_ct"] == "L1"


@pytest.mark.usefixtures("igtl_status")
def test_a_client_of_pyigtl_gets_the_full_name_beside_a_short_device(result):
    pyigtl = pytest.importorskip("pyigtl", reason="needs pyigtl: pip install pyigtl")
    from MultiViewRegistrationLib.io.navigation.igtl import devices_of, messages_of

    bone = replace(RegistrationExport.read(result(), "L1"), structure="第一腰椎", warning="Müller")
    packed = messages_of(bone).small[0]()
    header = pyigtl.messages.MessageBase.parse_header(packed[:58])
    message = pyigtl.messages.MessageBase.create_message("TRANSFORM")
    message.unpack(header, packed[58:])
    assert message.device_name == devices_of(bone)["world_from_ct"]
    assert message.metadata["Structure"] == "第一腰椎"
    assert message.metadata["Override"] == "Müller"
    status = messages_of(bone).small[-1]()
    assert json.dumps("第一腰椎").encode() in status
