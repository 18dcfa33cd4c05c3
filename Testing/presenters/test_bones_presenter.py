"""Bones: chosen among segments, seen and moved one by one, registered again, and measured."""

import numpy as np
import pytest
import slicer
from helpers.bent_spine import NAMES, settle_spine, write_case
from helpers.phantom import make_ct, make_views
from helpers.phantom_scene import add_view, phantom_volume
from helpers.refusals import refuses
from helpers.running_session import poll, register_given
from helpers.scene_rendering import ball
from helpers.segmentation_files import write_seg
from helpers.tiny_scene import reopened
from presenter_host import (
    PresenterHost,
    act,
    cells,
    control,
    devices,
    dressed,
    of_case,
    text,
)
from vtk.util.numpy_support import vtk_to_numpy

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Structures
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.mrml.ct_3d import bones_of
from MultiViewRegistrationLib.mrml.fingerprints import fingerprint
from MultiViewRegistrationLib.mrml.image import structures_node
from MultiViewRegistrationLib.mrml.loading import volume_node
from MultiViewRegistrationLib.mrml.nodes import NUMBERED
from MultiViewRegistrationLib.session import assessment
from MultiViewRegistrationLib.session.assessment import stale_reason
from MultiViewRegistrationLib.session.session import Session

LABELMAP = "Binary labelmap"
#: A shift of a bone by hand, mm.
AWAY = rigid.translation([3.0, -2.0, 2.0])


def segmentation(host, *names):
    """A segmentation of the phantom, which is chosen as CT, with segments of these names."""
    ct = make_ct()
    node = phantom_volume(host.scene)
    host.begin()
    host.registration.ct = node
    labels = np.zeros(ct.volume.values.shape, np.uint8)
    bone = np.argwhere(ct.volume.values > 300)
    for n, voxels in enumerate(np.array_split(bone, len(names)), start=1):
        labels[tuple(voxels.T)] = n
    made = structures_node(host.scene, "Segments", Structures(names, labels), node)
    host.registration.choose_segment(made)
    return made


def chosen(host):
    segments = host.registration.segmentation.GetSegmentation()
    return [segments.GetSegment(each).GetName() for each in host.registration.chosen_segments]


def test_bones_are_chosen_one_by_one_and_as_groups_by_their_names(scene):
    host = PresenterHost(scene)
    segments = "vertebrae_L1", "liver", "hip_left", "femur_right", "L5 vertebra", "sacrum"
    node = segmentation(host, *segments)
    section = host.presenters.ct.bones
    assert cells(section, "bones") == [[name] for name in segments]
    act(section, "vertebrae")
    assert chosen(host) == ["vertebrae_L1", "L5 vertebra"]
    act(section, "pelvis")
    assert chosen(host) == ["hip_left", "femur_right", "sacrum"]
    table = control(section, "bones")
    assert [line.on for line in table.lines] == [False, False, True, True, False, True]
    table.switch(table.lines[1].id, True)
    table.switch(table.lines[2].id, False)
    assert chosen(host) == ["liver", "femur_right", "sacrum"]
    assert host.session.structures().names == ("liver", "femur_right", "sacrum")
    section.choose_bones()
    assert chosen(host) == [name for name in segments if name != "liver"]
    node.GetSegmentation().RemoveSegment(table.lines[5].id)
    assert "sacrum" not in chosen(host)


def test_codes_of_a_dicom_segmentation_identify_bones(scene, tmp_path):
    host, volume = PresenterHost(scene), make_ct().volume
    host.begin()
    host.registration.ct = phantom_volume(scene)
    codes = [("SCT", "66794005", "L1 vertebra"), ("SCT", "10200004", "Liver")]
    bone = volume.values > 300
    upper = bone & (np.indices(bone.shape)[0] > 23)
    write_seg(
        tmp_path / "seg.dcm", {"1": upper, "2": bone & ~upper}, volume.ct_from_index, codes=codes
    )
    host.take_files([tmp_path / "seg.dcm"])
    host.wait(host.files, lambda: host.registration.segmentation is not None)
    assert chosen(host) == ["1"]


@pytest.mark.filterwarnings("ignore:.*check their names")
def test_bones_among_a_hundred_segments_are_listed(scene):
    host, bones = PresenterHost(scene), [f"vertebrae_L{n}" for n in range(1, 6)]
    segmentation(host, *bones, *(f"organ {n}" for n in range(95)))
    section = host.presenters.ct.bones
    assert cells(section, "bones") == [[name] for name in bones]
    act(section, "sought", "94 Organ")
    assert cells(section, "bones") == [["organ 94"]]
    host.presenters.ct.reset()
    act(section, "listed", "all")
    assert len(cells(section, "bones")) == 100
    act(section, "listed_All")
    assert len(chosen(host)) == 100
    act(section, "listed_None")
    assert not host.session.structures().names


@pytest.mark.filterwarnings("ignore:.*check their names")
def test_segments_that_overlap_are_told_by_name(scene):
    host = PresenterHost(scene)
    node = segmentation(host, "L1", "L2")
    segments = node.GetSegmentation()
    both = slicer.vtkSegment()
    both.SetName("whole spine")
    labelmap = slicer.vtkOrientedImageData()
    labelmap.DeepCopy(segments.GetNthSegment(0).GetRepresentation(LABELMAP))
    values = vtk_to_numpy(labelmap.GetPointData().GetScalars())
    values[:] = values > 0
    both.AddRepresentation(LABELMAP, labelmap)
    segments.AddSegment(both)
    with refuses('"L1" and "whole spine": overlap in .* remove one'):
        host.session.structures()


def test_segments_of_a_surface_alone_are_used_and_those_of_nothing_are_told(scene):
    host = PresenterHost(scene)
    node = segmentation(host, "L1", "L2")
    segments = node.GetSegmentation()
    assert not segments.ContainsRepresentation("Closed surface")  # none is needed
    surface = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Surface")
    surface.SetReferenceImageGeometryParameterFromVolumeNode(host.registration.ct)
    surface.AddSegmentFromClosedSurfaceRepresentation(ball(12, resolution=40), "ball", [1, 0, 0])
    host.registration.choose_segment(surface)
    volume_mm3 = (host.session.structures().labels == 1).sum() * 8  # voxels of 2 mm
    assert volume_mm3 == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.1)
    surface.GetSegmentation().AddEmptySegment("nothing", "nothing")
    with refuses('"nothing": has no voxel within the CT'):
        host.session.structures()


@pytest.fixture
def host(scene, tmp_path):
    """A spine of which each bone has a stored pose."""
    write_case(tmp_path)
    host = of_case(scene, tmp_path)
    host.poses = settle_spine(host.session)
    dressed(host.session)
    return host


def verdicts(section):
    return [verdict for _name, verdict, *_more in cells(section, "bones")]


def test_row_shows_its_bone_in_all_views(host):
    section = host.presenters.check.bones
    rows = cells(section, "bones")
    assert [row[0] for row in rows] == list(NAMES) and rows[3][3] == "5.2 mm, 3.1\u00b0"
    act(section, "bones", "L1", 0)
    middle = rigid.transform_points(host.poses["L1"], host.session.bones.middle("L1"))
    assert np.linalg.norm(host.seen[-1].mean(axis=0) - middle) < 8
    assert host.answer.answer().headline.endswith("chosen L1: check")
    for name in NAMES[1:]:
        control(section, "bones").switch(name, False)
    assert "worst bone T12: check" in host.answer.answer().headline


@pytest.mark.slow
def test_bone_is_moved_restored_and_registered_again(host, slicer_app, tmp_path):
    registration, session = host.registration, host.session
    section, bones, before = host.presenters.check.bones, bones_of(registration), host.poses

    # A planned screw that was drawn in the CT follows its bone.
    screw = registration.scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", "screw")
    centre = bones["L1"].node.GetCenterOfTransformation()
    for end in (np.subtract(centre, [0, 4, 0]), np.add(centre, [0, 4, 0])):
        screw.AddControlPoint(*end)
    screw.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
    poll(session, 5.0, lambda: screw.GetParentTransformNode() is bones["L1"].node)
    assert screw.GetParentTransformNode() is bones["L1"].node

    # Moving a bone clears its verdict and stops the export.
    bones["L1"].world_from_ct = AWAY @ before["L1"]
    session.history.note("by hand")
    assert verdicts(section) == ["check", "not registered", "check", "check"]
    assert stale_reason(session).startswith("L1: not registered here.")
    act(section, "bones", "L1", 0)
    act(section, "put_back")
    assert np.allclose(bones["L1"].world_from_ct, before["L1"])

    register_given(session)
    before = {name: bone.world_from_ct for name, bone in bones_of(registration).items()}
    bones_of(registration)["L1"].world_from_ct = AWAY @ before["L1"]
    act(section, "each")
    session.finish()
    assert session.history.current.method == "bones" and assessment.verdict(session) == "check"
    result = {bone.name: bone for bone in session.result.together.bodies}
    surface = result["L1"].bone.surface
    away = rigid.transform_points(result["L1"].world_from_ct, surface)
    away -= rigid.transform_points(before["L1"], surface)
    assert np.linalg.norm(away, axis=1).max() < 0.5
    usable = {name for name, bone in result.items() if bone.verdict != "reject"}
    assert usable and devices(session) & set(NAMES) == usable  # for navigation

    session = Session(reopened(slicer_app, tmp_path / "spine.mrb")[0])
    assert assessment.verdict(session) == "check"
    for name, bone in bones_of(session.registration).items():
        assert np.allclose(bone.world_from_ct, result[name].world_from_ct, atol=1e-6)
    session.bones.join()
    assert not bones_of(session.registration) and session.history.current.method == "one body"
    session.history.undo()
    assert list(bones_of(session.registration)) == list(NAMES)


def test_motion_of_two_bones_is_measured_in_an_anatomical_frame(host):
    registration, joint = host.registration, host.presenters.check.bones
    bones = bones_of(registration)
    flexed = rigid.exp_so3(np.radians([4.0, 0.0, 0.0]))
    motion = rigid.from_rotation_translation(flexed, [0.0, 0.0, 1.5])
    motion = rigid.about(host.session.bones.middle("L1"), motion)
    bones["L1"].world_from_ct = bones["L2"].world_from_ct @ motion
    for key, value in (("moving", "L1"), ("fixed", "L2"), ("frame", "ct")):
        act(joint, f"pair_{key}", value)
    assert cells(joint, "six") == [
        ["to the left", "4.00", "0.00"],
        ["to the back", "0.00", "0.00"],
        ["up", "0.00", "1.50"],
    ]
    points = registration.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "L2 frame")
    for z in (0, 10, 20):
        points.AddControlPoint(0, 0, z)
    act(joint, "pair_frame", points.GetID())
    assert "lie on one line" in text(joint, "motion_problem")
    points.SetNthControlPointPosition(2, 10, 0, 0)
    points.SetAndObserveTransformNodeID(bones["L2"].node.GetID())
    assert [row[1] for row in cells(joint, "six")] == ["0.00", "-4.00", "0.00"]


@pytest.mark.slow
def test_bones_of_a_torso_that_an_x_ray_shows_are_offered(scene, shared_data):
    host = PresenterHost(scene)
    host.begin()
    ct = load_ct(shared_data / "ct" / "torso_3mm.nii.gz", "hu")
    host.registration.ct = volume_node(scene, "Torso", ct.volume.values, ct.volume.ct_from_index)
    for view in make_views(make_ct()):
        add_view(host.registration, view)
    host.registration.world_from_ct = rigid.translation([1.0, 121.0, -310.0])  # L3 in the centre
    before = fingerprint(host.registration)
    host.take_files([shared_data / "labels" / "torso.nii.gz"])
    host.wait(host.files, lambda: host.registration.segmentation is not None)
    assert fingerprint(host.registration) == before  # the verdict on the whole CT remains
    section = host.presenters.ct.bones
    shown = [name for (name,) in cells(section, "bones")]
    assert "vertebrae_L3" in shown and "femur_left" not in shown and "liver" not in shown
    assert not chosen(host)
    act(section, "vertebrae")
    assert chosen(host) == [name for name in shown if name.startswith("vertebrae")]


def test_names_by_number_are_asked_once(scene):
    host = PresenterHost(scene)
    node = segmentation(host, "vertebrae_L4", "vertebrae_L3", "plate")
    section = host.presenters.ct.bones
    assert control(section, "numbered") is None
    node.SetAttribute(NUMBERED, "asked")
    assert text(section, "numbered").endswith("Are these its names?")
    act(section, "names_wrong")
    assert [cell for (cell,) in cells(section, "bones")] == ["28", "29", "plate"]
    assert control(section, "numbered") is None
