"""X-rays come into a registration from volumes, files and cases, and what cannot be one leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from imaging.dicom_files import XA_IMAGE, write_dicom
from tiny_scene import SHAPE, intensity

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.imaging.view import SharedUnknowns
from MultiViewRegistrationLib.imaging.xray import raw_image, to_line_integrals
from MultiViewRegistrationLib.mrml.case import set_shared_unknowns, shared_unknowns_of, xray_of
from MultiViewRegistrationLib.mrml.image import change_image
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.session.adding import _add_views, add_volume, read, rename
from MultiViewRegistrationLib.session.geometry import reading_of
from MultiViewRegistrationLib.session.history import Entry, History


@pytest.fixture
def registration(scene):
    return Registration.create(scene)


def volume(scene, values: np.ndarray, name: str = "AP", kind: str = "vtkMRMLScalarVolumeNode"):
    node = scene.AddNewNodeByClass(kind, name)
    slicer.util.updateVolumeFromArray(node, values)
    return node


def picture(view) -> np.ndarray:
    return slicer.util.arrayFromVolume(view.node)[0]


def nodes(scene) -> set[str]:
    return {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}


def test_a_volume_is_taken_and_left_as_it_is(scene, registration):
    node = volume(scene, intensity()[None], "2: AP/1")
    node.SetSpacing(0.3, 0.2, 1)
    view = add_volume(registration, node)
    assert (view.name, view.content["pixel_mm"], view.placed) == ("2 AP 1", [0.3, 0.2], False)
    np.testing.assert_array_equal(picture(view), to_line_integrals(raw_image(intensity())).line_integrals)
    second = add_volume(Registration.create(scene), view.node)  # an X-ray serves two registrations
    assert second.content == view.content and second.source is view.source
    np.testing.assert_array_equal(picture(second), picture(view))
    registration.remove_xray(view)
    assert registration.xrays == []
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node)[0], intensity())


def test_files_are_taken_with_all_their_frames(scene, registration, tmp_path):
    for name, values in (("ap.png", intensity()), ("lat.nrrd", intensity().astype(np.float32))):
        sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / name))
        (view,) = read(tmp_path / name)(registration)
        assert view.name == name.partition(".")[0] and view.source.GetHideFromEditors()
        np.testing.assert_array_equal(picture(view), to_line_integrals(raw_image(values)).line_integrals)
    frames = np.stack([intensity(seed) for seed in range(3)])
    sitk.WriteImage(sitk.GetImageFromArray(frames), str(tmp_path / "run.mha"))
    (view,) = read(tmp_path / "run.mha")(registration)
    change_image(view, frame=2, intensity="linear", inverted=False)
    np.testing.assert_array_equal(picture(view), to_line_integrals(raw_image(frames[2])).line_integrals)
    with pytest.raises(InputError, match="has 3; choose one from 0 to 2"):
        change_image(view, frame=3)
    assert view.content["frame"] == 2


def test_a_run_that_turns_and_its_shutter(scene, registration, tmp_path):
    """Each frame has its angles; the shutter is a mask that goes with the X-ray."""
    frames = np.stack([intensity(seed) for seed in range(3)])
    write_dicom(
        tmp_path / "run.dcm",
        frames,
        XA_IMAGE,
        Modality="XA",
        PositionerPrimaryAngle="10",
        PositionerSecondaryAngle="0",
        PositionerPrimaryAngleIncrement=["0", "5", "9"],
        PositionerMotion="DYNAMIC",
        ShutterShape="RECTANGULAR",
        ShutterLeftVerticalEdge="6",
        ShutterRightVerticalEdge="50",
        ShutterUpperHorizontalEdge="1",
        ShutterLowerHorizontalEdge="50",
    )
    (view,) = read(tmp_path / "run.dcm")(registration)
    assert view.content["header_lacks"] == ["source_to_detector_mm", "source_to_isocentre_mm", "pixel_mm", "mirrored"]
    assert any("principal point" in sentence for sentence in view.content["assumptions"])
    assert reading_of(view)["rao_lao_deg"] == 10
    change_image(view, frame=2)
    assert reading_of(view)["rao_lao_deg"] == 19
    valid = xray_of(view).valid
    assert view.mask.GetName() == "shutter" and not valid[:, :5].any() and valid.any()


def test_unknowns_of_a_case_count_beside_those_that_are_there(scene, registration):
    set_shared_unknowns(registration, SharedUnknowns(isocentre_sd_mm=2))
    _add_views(registration, [], SharedUnknowns(source_to_detector_sd_mm=10, isocentre_sd_mm=5))
    assert shared_unknowns_of(registration) == SharedUnknowns(source_to_detector_sd_mm=10, isocentre_sd_mm=2)


@pytest.mark.parametrize(
    "values, kind, word",
    [
        (np.full((1, *SHAPE), 7, np.uint16), "vtkMRMLScalarVolumeNode", "no contrast"),
        (np.full((1, *SHAPE), np.nan, np.float32), "vtkMRMLScalarVolumeNode", "no contrast"),
        (
            np.stack([intensity() // n for n in (256, 300, 256)], -1)[None].astype(np.uint8),
            "vtkMRMLVectorVolumeNode",
            "colour",
        ),
        (None, "vtkMRMLScalarVolumeNode", "has no voxels"),
    ],
)
def test_what_is_no_xray_leaves_nothing(scene, registration, values, kind, word):
    node = scene.AddNewNodeByClass(kind, "AP") if values is None else volume(scene, values, kind=kind)
    before = nodes(scene)
    with pytest.raises(InputError, match=rf"^AP: .*{word}"):
        add_volume(registration, node)
    assert nodes(scene) == before and registration.xrays == []


def test_order_and_names(scene, registration):
    a, b, c = (registration.add_xray(name) for name in ("a", "b", "c"))
    registration.move_xray(c, 0)
    assert [view.name for view in registration.xrays] == ["c", "a", "b"]
    registration.remove_xray(a)
    assert [view.name for view in registration.xrays] == ["c", "b"]
    registration.move_xray(c, 1)
    assert registration.xrays == [b, c]
    History(registration).add(Entry.now("search", np.eye(4), similarity={"b": 0.5, "c": 0.4}, cameras={"b": {"k": 1}}))
    rename(registration, b, " Lateral ")
    entry = History(registration).current
    assert (b.name, entry.similarity, entry.cameras) == ("Lateral", {"Lateral": 0.5, "c": 0.4}, {"Lateral": {"k": 1}})
    for wrong, word in (("C", "another view"), ("a/b", "without"), ("", "is")):
        with pytest.raises(InputError, match=word):
            rename(registration, b, wrong)
    rename(registration, b, "lateral")  # it is its own name
    assert b.name == "lateral"
