"""The CT: chosen in the scene or read from files, looked at, its unit and structure."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from helpers.phantom import make_ct, write_ct_file
from helpers.phantom_scene import phantom_volume, settle
from presenter_host import PresenterHost, act, answer, cells, control, options, text

from MultiViewRegistrationLib.assessment.records import Finding
from MultiViewRegistrationLib.imaging.body import Structures
from MultiViewRegistrationLib.mrml import case, manual_pose
from MultiViewRegistrationLib.mrml.image import segmentation_node, structures_node
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.session import inputs
from MultiViewRegistrationLib.session.result_files import missing_for_kind


@pytest.fixture
def host(scene, slicer_app, monkeypatch):
    """Without a registration, in a Slicer with volume rendering."""
    logic = slicer_app.app_logic.GetModuleLogic("VolumeRendering")
    module = SimpleNamespace(logic=lambda: logic)
    monkeypatch.setattr(slicer, "modules", SimpleNamespace(volumerendering=module), raising=False)
    return PresenterHost(scene)


@pytest.fixture
def section(host):
    return host.presenters.ct


@pytest.fixture
def phantom(host):
    return phantom_volume(host.scene)


def settled(section):
    """Until the CT is read and looked at."""
    section.host.wait(
        section, lambda: not section.host.taking and section.form() and not section.looking
    )


def choose(section, node):
    act(section, "ct", node.GetID())
    settled(section)


def test_it_is_chosen_and_looked_at_once_in_a_thread(host, section, phantom, monkeypatch):
    threads, look = [], case.facts

    def looked(ct):
        threads.append(threading.current_thread())
        return look(ct)

    monkeypatch.setattr(case, "facts", looked)
    assert "Drop a CT here" in text(section, "status") and control(section, "unit") is None
    assert list(options(section, "ct")) == ["none", "Phantom"]
    choose(section, phantom)  # nobody asked for a registration: it begins with the CT
    assert host.registration.ct is phantom
    assert phantom.GetParentTransformNode() is host.registration.ct_transform
    assert (section.state().kind, section.state().text) == ("ready", "Phantom")
    assert "Voxels: 48 \u00d7 48 \u00d7 48" in text(section, "facts")
    assert text(section, "status") == text(section, "problem") == ""
    settled(section)
    assert len(threads) == 1 and threads[0] is not threading.main_thread()
    act(section, "ct", "")
    assert host.registration.ct is None and phantom.GetParentTransformNode() is None
    assert section.state().text == "choose the CT" and control(section, "facts") is None


def test_a_registration_without_a_name_is_called_as_its_ct(host, section, tmp_path):
    act(section, "files", [write_ct_file(tmp_path / "pelvis.nii.gz")])
    settled(section)
    registration = host.registration
    assert registration.name == registration.ct.GetName() == "pelvis"
    assert registration.ct_transform.GetName() == "pelvis CT to world"
    registration.node.SetName("as a person calls it")
    act(section, "files", [write_ct_file(tmp_path / "other.nii.gz")])
    settled(section)
    assert registration.ct.GetName() == "other" and registration.name == "as a person calls it"
    twin = Registration.create(host.scene)
    twin.name_after("as a person calls it")
    assert twin.name == "as a person calls it 2"


def test_what_takes_long_of_a_ct_is_done_in_the_thread_that_reads_it(
    host, section, tmp_path, monkeypatch
):
    act(section, "files", [write_ct_file(tmp_path / "pelvis.nii.gz")])
    settled(section)
    for module in (manual_pose, inputs):
        monkeypatch.setattr(module, "ct_of", None)  # which would make it once more
    assert host.session.ct().volume.values.shape == (48, 48, 48)
    assert np.allclose(manual_pose.centre_in_ct(host.registration), host.session.ct().centroid())


def test_values_that_are_no_hounsfield_units(host, section, phantom):
    slicer.util.updateVolumeFromArray(phantom, (make_ct().volume.values + 1000).astype(np.int16))
    choose(section, phantom)
    assert "no voxel below 0" in text(section, "problem")
    assert (section.state().kind, section.state().text) == ("problem", "cannot be used")
    act(section, "unit", "relative")
    settled(section)
    assert host.registration.parameter("ctUnit") == "relative" and text(section, "problem") == ""
    assert section.state().kind == "ready" and "HU" not in text(section, "facts")


@pytest.mark.parametrize(
    "values, kind, word",
    [
        (np.full((4, 4, 4), np.nan), "Scalar", "not finite"),
        (np.zeros((1, 4, 4)), "Scalar", "three-dimensional"),
        (np.zeros((4, 4, 4, 3), np.uint8), "Vector", "a voxel"),
    ],
)
def test_volumes_that_cannot_be_used(host, section, values, kind, word):
    node = host.scene.AddNewNodeByClass(f"vtkMRML{kind}VolumeNode", "Spoilt")
    slicer.util.updateVolumeFromArray(node, values)
    choose(section, node)
    assert word in text(section, "problem") and text(section, "problem").startswith("Spoilt: ")


def test_a_structure_and_what_becomes_of_removed_nodes(host, section, phantom, watch):
    mask = make_ct().volume.values > 300
    mask[:, :, 20:] = False
    segmentation, segment = segmentation_node(host.scene, "Blobs", mask, phantom)
    segmentation.GetSegmentation().AddEmptySegment("second", "Second")
    choose(section, phantom)
    values, whole = options(section, "structure"), "the whole CT"
    assert list(values) == [whole, f"{whole} and structures of Blobs", "Blobs", "Second"]
    act(section, "structure", values["Blobs"])
    settled(section)
    registration = host.registration
    assert (registration.segmentation, registration.segment_id) == (segmentation, segment)
    assert f"Structure: {mask.sum() * 8 / 1000:.0f} ml" in text(section, "facts")
    assert section.state().text == "Phantom, Blobs"
    act(section, "structure", values["Second"])
    settled(section)
    assert "the segment Second has no voxel within the CT" in text(section, "problem")
    act(section, "structure", "")
    assert registration.segmentation is None
    assert segmentation.GetParentTransformNode() is registration.ct_transform  # a part of the CT
    act(section, "structure", values["Blobs"])
    host.scene.RemoveNode(segmentation)
    assert control(section, "structure").value == "" and not control(section, "structure").enabled
    host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Another patient's CT")
    host.scene.RemoveNode(phantom)
    assert registration.ct is None and control(section, "ct").value == ""
    assert section.state().text == "choose the CT"


def test_a_file_that_was_sent_is_read_and_removed(host, section, tmp_path):
    sent = tmp_path / "sent"
    sent.mkdir()
    act(section, "files", [write_ct_file(sent / "pelvis.nii.gz")], sent)
    settled(section)
    ct, bounds = host.registration.ct, np.zeros(6)
    ct.GetBounds(bounds)
    assert ct.GetName() == "pelvis" and np.allclose(bounds, [-48, 48] * 3) and not sent.exists()


def test_a_ct_that_cannot_be_used_leaves_the_one_before(host, section, tmp_path, shared_data):
    act(section, "files", [write_ct_file(tmp_path / "pelvis.nii.gz")])
    settled(section)
    ct = host.registration.ct
    act(section, "files", [shared_data / "dicom" / "ct-gantry-tilt"])
    answer(host.files)  # of this patient, which nothing shows
    settled(section)
    assert "tilt" in text(host.files, "refused") and host.registration.ct is ct


def test_a_ct_is_not_read_any_more_once_the_panel_is_left(host, section, tmp_path):
    host.patience_s = 0
    act(section, "files", [write_ct_file(tmp_path / "pelvis.nii.gz")])
    host.files.exit()
    settled(section)
    assert host.registration is None and host.files.waiting == ""


def test_a_ct_whose_values_cannot_be_hounsfield_units_is_read_as_relative(host, section, tmp_path):
    grey = (make_ct().volume.values + 1000).astype(np.int16)
    act(section, "files", [write_ct_file(tmp_path / "grey.nrrd", grey)])
    settled(section)
    assert host.registration.parameter("ctUnit") == "relative"
    assert "no voxel below 0" in " ".join(host.session.notices.sentences)


def test_what_a_host_lacks_and_has(host, section, phantom):
    host.missing = "Rendering needs the Python package numba."
    choose(section, phantom)
    assert text(section, "packages") == host.missing and control(section, "install").needs == (
        "rendering",
    )
    host.missing = ""
    assert control(section, "install") is None
    for on in (True, False):
        act(section, "in_3d")
        assert control(section, "in_3d").on is on
    host.slicer_tools = None
    assert control(section, "in_3d") is None


def test_each_segment_of_a_segmentation_can_be_registered_after_the_whole_ct(
    host, section, phantom, watch
):
    labels = (make_ct().volume.values > 300).astype(np.uint8)
    labels[:, :, 20:] *= 2
    node = structures_node(host.scene, "Forearm", Structures(("Radius", "Ulna"), labels), phantom)
    choose(section, phantom)
    values = options(section, "structure")
    act(section, "structure", values["the whole CT and structures of Forearm"])
    settled(section)
    assert host.registration.registers_each and section.state().text == "Phantom, 2 structures"
    assert cells(section, "bones") == [["Radius"], ["Ulna"]]
    assert "Structure:" not in text(section, "facts")
    assert missing_for_kind(host.registration, "resampled-mask") == ""  # of each bone
    assert np.array_equal(host.session.structures().labels, labels)
    node.GetSegmentation().RemoveSegment(node.GetSegmentation().GetNthSegmentID(0))
    assert control(section, "structure").value in options(section, "structure").values()
    act(section, "structure", values["Ulna"])
    assert not (host.registration.registers_each or host.session.structures().names)


def test_it_says_that_a_segmentation_is_missing_where_the_bones_should_be_registered(
    host, section, phantom, watch
):
    choose(section, phantom)
    assert text(section, "segment") == ""
    displaced = {"count": 3, "total": 8, "points": "test points", "distance_mm": 4.0}
    findings = [Finding("part-displaced", values=displaced)]
    settle(host.session, host.registration.world_from_ct, verdict="check", findings=findings)
    assert text(section, "segment").startswith("A segmentation of the bones in this CT is missing")
    segmentation_node(host.scene, "L1", make_ct().volume.values > 300, phantom)
    assert text(section, "segment") == ""
