"""The CT: chosen in the scene or read from files, looked at, its unit and structure."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from helpers.phantom import make_ct, write_ct_file
from helpers.phantom_scene import phantom_volume, settle
from presenter_host import PresenterHost, act, cells, control, options, text

from MultiViewRegistrationLib.errors import Reason
from MultiViewRegistrationLib.imaging.body import Structures
from MultiViewRegistrationLib.io.recognise import CTFiles
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


def test_ct_is_selected_and_inspected_once_in_a_thread(host, section, phantom, monkeypatch):
    threads, look = [], case.facts

    def looked(ct):
        threads.append(threading.current_thread())
        return look(ct)

    monkeypatch.setattr(case, "facts", looked)
    assert list(options(section, "ct")) == ["none", "Phantom"]
    choose(section, phantom)  # creates the registration
    assert host.registration.ct is phantom
    assert phantom.GetParentTransformNode() is host.registration.ct_transform
    assert (section.state().kind, section.state().text) == ("ready", "Phantom")
    assert "Voxels: 48 \u00d7 48 \u00d7 48" in text(section, "facts")
    settled(section)
    assert len(threads) == 1 and threads[0] is not threading.main_thread()
    for on in (True, False):
        act(section, "in_3d")
        assert control(section, "in_3d").on is on
    act(section, "ct", "")
    assert host.registration.ct is None and phantom.GetParentTransformNode() is None
    assert section.state().text == "choose the CT" and control(section, "facts") is None


def test_ct_file_names_the_registration_and_is_prepared_while_read(
    host, section, tmp_path, monkeypatch
):
    """A name that the user entered is kept."""
    section.read_ct(CTFiles((write_ct_file(tmp_path / "pelvis.nii.gz"),), "pelvis"))
    settled(section)
    registration = host.registration
    assert registration.name == registration.ct.GetName() == "pelvis"
    for module in (manual_pose, inputs):
        monkeypatch.setattr(module, "ct_of", None)  # would prepare the CT again
    assert host.session.ct().volume.values.shape == (48, 48, 48)
    assert np.allclose(manual_pose.centre_in_ct(registration), host.session.ct().centroid())
    registration.node.SetName("user")
    registration.name_after("other")
    assert registration.name == "user"
    twin = Registration.create(host.scene)
    twin.name_after("user")
    assert twin.name == "user 2"


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
        (np.zeros((4, 4, 4, 3), np.uint8), "Vector", "a voxel"),
    ],
)
def test_volumes_that_cannot_be_used(host, section, values, kind, word):
    node = host.scene.AddNewNodeByClass(f"vtkMRML{kind}VolumeNode", "Spoilt")
    slicer.util.updateVolumeFromArray(node, values)
    choose(section, node)
    assert word in text(section, "problem") and text(section, "problem").startswith("Spoilt: ")


def test_structure_is_selected_until_its_segmentation_is_removed(host, section, phantom, watch):
    mask = make_ct().volume.values > 300
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
    act(section, "structure", values["Second"])
    settled(section)
    assert "the segment Second has no voxel within the CT" in text(section, "problem")
    act(section, "structure", "")
    assert registration.segmentation is None
    act(section, "structure", values["Blobs"])
    host.scene.RemoveNode(segmentation)
    assert control(section, "structure").value == "" and not control(section, "structure").enabled
    host.scene.RemoveNode(phantom)
    assert registration.ct is None


def test_unreadable_file_leaves_the_ct(host, section, tmp_path, shared_data):
    sent = tmp_path / "sent"
    sent.mkdir()
    act(section, "files", [write_ct_file(sent / "pelvis.nii.gz")], sent)
    host.wait(section, lambda: section.reading)
    assert section.state().text == "reading pelvis.nii.gz" and not control(section, "files").enabled
    settled(section)
    ct = host.registration.ct
    assert ct.GetName() == "pelvis" and not sent.exists()
    act(section, "files", [shared_data / "dicom" / "ct-gantry-tilt"])
    settled(section)
    act(host.files, "asked0.line0")  # same patient
    settled(section)
    assert "tilt" in text(host.files, "refused") and host.registration.ct is ct


@pytest.mark.parametrize("key, unit", [("read_instead", "relative"), ("forget", None)])
def test_the_unit_of_a_file_is_asked_where_its_values_do_not_fit(
    host, section, tmp_path, key, unit
):
    grey = (make_ct().volume.values + 1000).astype(np.int16)
    act(section, "files", [write_ct_file(tmp_path / "grey.nrrd", grey)])
    settled(section)
    assert "no voxel below 0" in text(host.files, "mismatch")
    assert section.state().text == "say what its values are"
    assert text(host.files, "read_instead") == "Read as: Relative (0 is nothing, larger is denser)"
    act(host.files, key)
    settled(section)
    ct = host.registration.ct
    assert (ct and host.registration.parameter("ctUnit")) == unit
    assert control(host.files, "mismatch") is None


def test_missing_package_is_reported(host, section, phantom):
    host.missing = "Rendering needs the Python package numba."
    choose(section, phantom)
    assert text(section, "packages") == host.missing
    assert control(section, "install").needs == ("rendering",)


def test_each_segment_is_registered_in_addition_to_the_whole_ct(host, section, phantom, watch):
    labels = (make_ct().volume.values > 300).astype(np.uint8)
    labels[:, :, 20:] *= 2
    structures_node(host.scene, "Forearm", Structures(("Radius", "Ulna"), labels), phantom)
    choose(section, phantom)
    values = options(section, "structure")
    act(section, "structure", values["the whole CT and structures of Forearm"])
    settled(section)
    assert host.registration.registers_each and section.state().text == "Phantom, 2 structures"
    assert cells(section, "bones") == [["Radius"], ["Ulna"]]
    assert missing_for_kind(host.registration, "resampled-mask") == ""  # of each bone
    assert np.array_equal(host.session.structures().labels, labels)
    act(section, "structure", values["Ulna"])
    assert not (host.registration.registers_each or host.session.structures().names)


def test_it_says_that_a_segmentation_is_missing_where_the_bones_should_be_registered(
    host, section, phantom, watch
):
    choose(section, phantom)
    assert text(section, "segment") == ""
    elsewhere = "The upper part of the bone lies elsewhere than this pose has it."
    reasons = [Reason("part-displaced", elsewhere)]
    settle(host.session, host.registration.world_from_ct, verdict="check", reasons=reasons)
    assert text(section, "segment").startswith("A segmentation of the bones in this CT is missing")
    segmentation_node(host.scene, "L1", make_ct().volume.values > 300, phantom)
    assert text(section, "segment") == ""
