"""The CT section, driven as a person does."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from dropping import drop
from phantom import make_ct

MODULE = Path(__file__).resolve().parents[2] / "MultiViewRegistration" / "MultiViewRegistration.py"


@pytest.fixture
def opened(host):
    """The module with an empty registration."""
    from MultiViewRegistrationLib.mrml.registration import Registration

    host.load_module(MODULE)
    widget = host.open_module(width=450)
    widget.setParameterNode(Registration.create(host.scene, "Registration"))
    host.process(0.05)
    return widget


@pytest.fixture
def section(opened):
    return opened.panel.sections["ct"]


@pytest.fixture
def phantom(host):
    from MultiViewRegistrationLib.mrml.loading import volume_node

    ct = make_ct()
    return volume_node(host.scene, "Phantom", ct.volume.values, ct.volume.ct_from_index)


def looked(section) -> bool:
    return not section.presenter.looking and not section.presenter.reading


def choose(host, section, name: str) -> None:
    host.choose(section.ui.ctSelector, name)
    host.process(60, until=lambda: looked(section))
    host.process(0.1)


def text(section) -> str:
    return section.button.text


def test_there_is_none_yet(host, section):
    assert "choose the CT" in text(section) and "Drop a CT here" in section.ui.previewLabel.text
    assert not section.ui.segmentSelector.enabled and section.widget.enabled


def test_nothing_takes_the_place_of_what_is_removed(host, opened, section, phantom):
    """Slicer's selectors choose another node where the current one goes."""
    host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Another patient's CT")
    choose(host, section, "Phantom")
    masks = [host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name) for name in ("mine", "another")]
    for mask in masks:
        mask.GetSegmentation().AddEmptySegment("hip", "Hip")
    section.ui.segmentSelector.setCurrentNode(masks[0])
    assert opened.panel.registration.segmentation is masks[0]
    host.scene.RemoveNode(masks[0])
    host.process(0.1)
    assert opened.panel.registration.segmentation is None
    host.scene.RemoveNode(phantom)
    host.process(0.1)
    assert opened.panel.registration.ct is None and section.ui.ctSelector.currentNode() is None


def test_it_is_chosen_and_looked_at(host, section, phantom):
    choose(host, section, "Phantom")
    assert section.registration.ct is phantom and phantom.GetParentTransformNode() is section.registration.ct_transform
    assert text(section).endswith("Phantom") and section.button.property("state") == "ready"
    facts = section.ui.factsLabel.text
    bone = np.count_nonzero(make_ct().volume.values > 200) * 8 / 1000
    assert "Voxels: 48 \u00d7 48 \u00d7 48" in facts and "Spacing: 2.00" in facts and f"Bone: {bone:.0f} ml" in facts
    assert section.ui.previewLabel.pixmap.width() > 100 and not section.ui.problemLabel.visible
    choose(host, section, "Select a CT")
    assert (
        section.registration.ct is None
        and phantom.GetParentTransformNode() is None
        and "choose the CT" in text(section)
    )


def test_it_is_looked_at_in_a_thread(host, section, phantom, monkeypatch):
    from MultiViewRegistrationLib.session import ct_preview

    threads, look = [], ct_preview.preview
    monkeypatch.setattr(ct_preview, "preview", lambda ct: threads.append(threading.current_thread()) or look(ct))
    choose(host, section, "Phantom")
    host.process(0.1)
    assert len(threads) == 1 and threads[0] is not threading.main_thread()  # and once only


def test_values_that_are_no_hounsfield_units(host, section, phantom):
    import slicer

    slicer.util.updateVolumeFromArray(phantom, (make_ct().volume.values + 1000).astype(np.int16))
    choose(host, section, "Phantom")
    assert "no voxel below 0" in section.ui.problemLabel.text and section.ui.problemLabel.visible
    assert "cannot be used" in text(section) and section.button.property("state") == "problem"
    host.choose(section.ui.unitBox, "Relative (0 is nothing, larger is denser)")
    host.process(60, until=lambda: looked(section))
    host.process(0.1)
    assert section.registration.parameter("ctUnit") == "relative" and not section.ui.problemLabel.visible
    assert section.button.property("state") == "ready" and "HU" not in section.ui.factsLabel.text


@pytest.mark.parametrize("kind, word", [("NaN", "not finite"), ("flat", "three-dimensional"), ("several", "")])
def test_volumes_that_cannot_be_used(host, section, phantom, kind, word):
    import slicer

    values = make_ct().volume.values.copy()
    if kind == "NaN":
        values[3, 4, 5] = np.nan
    elif kind == "flat":
        values = values[:1]
    else:  # a colour volume is not even offered
        node = host.scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Colours")
        slicer.util.updateVolumeFromArray(node, np.zeros((4, 4, 4, 3), np.uint8))
        with pytest.raises(AssertionError, match="not among"):
            host.choose(section.ui.ctSelector, "Colours")
        return
    slicer.util.updateVolumeFromArray(phantom, values)
    choose(host, section, "Phantom")
    assert word in section.ui.problemLabel.text and section.ui.problemLabel.text.startswith("Phantom: ")


def test_under_a_transform_that_is_not_linear(host, opened, section, phantom):
    phantom.SetAndObserveTransformNodeID(host.scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp").GetID())
    choose(host, section, "Phantom")
    assert (
        "lies under the transform warp, which is not linear" in opened.ui.messageLabel.text
        and opened.ui.messageLabel.visible
    )
    assert section.registration.ct is None and section.ui.ctSelector.currentNode() is None


def test_a_structure(host, section, phantom):
    from MultiViewRegistrationLib.mrml.image import segmentation_node

    ct = make_ct()
    mask = ct.volume.values > 300
    mask[:, :, 20:] = False
    segmentation, segment = segmentation_node(host.scene, "Blobs", mask, phantom)
    choose(host, section, "Phantom")
    host.choose(section.ui.segmentSelector._node_box, "Blobs")
    host.process(60, until=lambda: looked(section))
    host.process(0.1)
    assert (section.registration.segmentation, section.registration.segment_id) == (segmentation, segment)
    assert f"Structure: {mask.sum() * 8 / 1000:.0f} ml" in section.ui.factsLabel.text and text(section).endswith(
        "Phantom, Blobs"
    )
    other, _ = segmentation_node(host.scene, "Others", ~mask, phantom)
    other.GetSegmentation().AddEmptySegment("second", "Second")
    host.choose(section.ui.segmentSelector._node_box, "Others")
    first = other.GetSegmentation().GetNthSegmentID(0)
    assert (section.registration.segmentation, section.registration.segment_id) == (other, first)
    host.choose(section.ui.segmentSelector._segment_box, "Second")
    host.process(60, until=lambda: looked(section))
    host.process(0.1)
    assert "the segment Second has no voxel within the CT" in section.ui.problemLabel.text
    host.choose(section.ui.segmentSelector._segment_box, "None")
    assert section.registration.segmentation is None and section.ui.segmentSelector.currentNode() is None
    host.choose(section.ui.segmentSelector._node_box, "Blobs")
    assert section.registration.segmentation is segmentation
    host.choose(section.ui.segmentSelector._node_box, "None")
    assert section.registration.segmentation is None and segmentation.GetParentTransformNode() is None


def test_a_node_that_is_deleted(host, section, phantom):
    choose(host, section, "Phantom")
    host.scene.RemoveNode(phantom)
    host.process(0.1)
    assert "choose the CT" in text(section) and section.ui.factsLabel.text == ""


def written(path: Path) -> Path:
    """The phantom in a file."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(make_ct().volume.values.astype(np.int16))
    image.SetSpacing((2, 2, 2))
    image.SetOrigin((-47, -47, -47))
    sitk.WriteImage(image, str(path))
    return path


def test_a_file_that_is_dropped(host, section, tmp_path):
    drop(section.button, written(tmp_path / "pelvis.nii.gz"))
    assert "reading pelvis.nii.gz" in text(section)
    host.process(60, until=lambda: section.registration.ct is not None and looked(section))
    host.process(0.1)
    assert section.registration.ct.GetName() == "pelvis" and "Voxels: 48" in section.ui.factsLabel.text
    bounds = np.zeros(6)
    section.registration.ct.GetBounds(bounds)
    assert np.allclose(bounds, [-48, 48] * 3)


@pytest.mark.parametrize("yes, unit", [(True, "relative"), (False, None)])
def test_the_unit_of_a_file_is_asked_where_its_values_do_not_fit(host, section, tmp_path, yes, unit):
    import SimpleITK as sitk

    image = sitk.GetImageFromArray((make_ct().volume.values + 1000).astype(np.int16))
    sitk.WriteImage(image, str(tmp_path / "grey.nrrd"))
    host.answers.yes = yes
    drop(section.button, tmp_path / "grey.nrrd")
    host.process(60, until=lambda: bool(host.told("question")) and looked(section))
    host.process(0.1)
    (question,) = host.told("question")
    assert "no voxel below 0" in question and "Relative (0 is nothing, larger is denser)?" in question
    ct = section.registration.ct
    assert (ct and section.registration.parameter("ctUnit")) == unit


def test_a_folder_that_is_no_ct(host, opened, section, shared_data):
    host.answers.directory = shared_data / "dicom" / "ct-gantry-tilt"
    host.click(section.ui.folderButton)
    host.process(60, until=lambda: looked(section))
    host.process(0.1)
    assert "tilt" in opened.ui.messageLabel.text and section.registration.ct is None


def test_files_of_several_folders(host, opened, section, tmp_path):
    drop(section.button, tmp_path / "a" / "1.dcm", tmp_path / "b" / "2.dcm")
    assert "2 files of several folders" in opened.ui.messageLabel.text


def test_reading_is_forgotten_when_the_module_is_left(host, opened, section, tmp_path):
    drop(section.button, written(tmp_path / "pelvis.nii.gz"))
    host.leave(opened)
    host.process(0.3)
    assert section.registration.ct is None


def test_the_scene_is_closed(host, section, phantom):
    choose(host, section, "Phantom")
    host.scene.Clear(False)
    host.process(0.2)
    assert (
        section.registration is None
        and not section.ui.unitBox.enabled
        and "Drop a CT here" in section.ui.previewLabel.text
    )
    assert section.ui.factsLabel.text == "" and section.ui.ctSelector.currentNode() is None
