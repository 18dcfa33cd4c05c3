"""Bones: chosen among segments, seen and moved one by one, registered again, and measured."""

import numpy as np
import pytest
import slicer
from helpers.bent_spine import NAMES, register_once, write_case
from helpers.phantom import make_ct, make_views
from helpers.phantom_scene import add_view, phantom_volume
from helpers.refusals import refuses
from helpers.running_session import poll
from helpers.scene_rendering import ball
from helpers.segmentation_files import write_seg
from helpers.tiny_scene import reopened
from presenter_host import PresenterHost, act, cells, control, devices, dressed, of_case, text
from vtk.util.numpy_support import vtk_to_numpy

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Structures
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.io.transforms import turned
from MultiViewRegistrationLib.mrml import overlay
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


CODES = [
    ("SCT", "66794005", "L1 vertebra"),
    ("SRT", "T-11510", "Vertebra"),
    ("SCT", "10200004", "Liver"),
    ("SCT", "29836001", "Hip"),
    ("SCT", "23416004", "Ulna"),
]


def test_the_codes_of_a_dicom_segmentation_say_which_segments_are_bones(scene, tmp_path):
    host, volume = PresenterHost(scene), make_ct().volume
    host.begin()
    host.registration.ct = phantom_volume(scene)
    parts = np.array_split(np.argwhere(volume.values > 300), len(CODES))
    masks = {f"Segment {n}": np.zeros(volume.values.shape, bool) for n in range(1, 6)}
    for mask, voxels in zip(masks.values(), parts, strict=True):
        mask[tuple(voxels.T)] = True
    write_seg(tmp_path / "seg.dcm", masks, volume.ct_from_index, codes=CODES)
    host.take_files([tmp_path / "seg.dcm"])
    host.wait(host.files, lambda: host.registration.segmentation is not None)
    assert chosen(host) == [f"Segment {n}" for n in (1, 2, 4, 5)]  # the bones, at once

    act(host.presenters.ct.bones, "vertebrae")
    assert chosen(host) == ["Segment 1", "Segment 2"]
    act(host.presenters.ct.bones, "pelvis")
    assert chosen(host) == ["Segment 4"]


@pytest.mark.filterwarnings("ignore:.*check their names")
def test_of_a_hundred_segments_the_bones_are_listed_and_none_is_chosen(scene):
    host, bones = PresenterHost(scene), [f"vertebrae_L{n}" for n in range(1, 6)]
    segmentation(host, *bones, *(f"organ {n}" for n in range(95)))
    section = host.presenters.ct.bones
    assert cells(section, "bones") == [[name] for name in bones]
    section.choose_bones()
    assert len(chosen(host)) == 5  # few
    act(section, "sought", "94 Organ")
    assert cells(section, "bones") == [["organ 94"]]
    host.presenters.ct.reset()
    assert not text(section, "sought")
    act(section, "listed", "all")
    assert len(cells(section, "bones")) == 100
    act(section, "listed_All")
    assert len(chosen(host)) == 100
    act(section, "listed_None")
    assert not host.session.structures().names and "whole CT alone" in text(section, "chosen_bones")


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
    table = control(host.presenters.ct.bones, "bones")
    table.switch(table.lines[2].id, False)
    assert host.session.structures().names == ("L1", "L2")


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
    """With a spine that is registered bone by bone."""
    write_case(tmp_path)
    host = of_case(scene, tmp_path)
    register_once(host.session)
    dressed(host.session)
    return host


def verdicts(section):
    return [verdict for _name, verdict, *_more in cells(section, "bones")]


def found(host):
    return {bone.name: bone for bone in host.session.result.together.bodies}


def test_a_row_tells_of_its_bone_and_shows_it_everywhere(host):
    section, bone = host.presenters.check.bones, found(host)["L1"]
    rows, l3 = cells(section, "bones"), found(host)["L3"].moved
    assert [name for name, *_more in rows] == list(NAMES)
    assert rows[3][3] == f"{l3.mm:.1f} mm, {l3.degrees:.1f}\u00b0"
    assert "each bone where the X-rays show it" in text(section, "outlines")
    host.registration.node.SetParameter(overlay.MODE, "off")
    assert section.changing and not text(section, "outlines")
    host.registration.node.SetParameter(overlay.MODE, "edges")
    act(section, "bones", "L1", 0)
    middle = rigid.transform_points(bone.world_from_ct, bone.bone.centroid)
    assert np.linalg.norm(host.seen[-1].mean(axis=0) - middle) < 8
    # An error of the cameras moves all bones alike: that of a bone leaves it out, and says so.
    headline = host.answer.answer().headline
    assert f"chosen L1: {bone.verdict}" in headline and "mm if the cameras are right" in headline
    assert control(section, "bones").columns[2] == "Likely error if the cameras are right"
    for name in NAMES[1:]:
        control(section, "bones").switch(name, False)
    assert f"worst bone T12: {found(host)['T12'].verdict}" in host.answer.answer().headline


@pytest.mark.slow
def test_each_bone_is_moved_and_registered_again(host, slicer_app, tmp_path):
    registration, session = host.registration, host.session
    section, bones, before = host.presenters.check.bones, bones_of(registration), found(host)
    for name, bone in bones.items():
        assert bone.surface.GetParentTransformNode() is bone.node
        matrix = slicer.util.arrayFromTransformMatrix(bone.node)
        assert np.allclose(matrix, turned(before[name].world_from_ct))

    # A line drawn in the CT, a planned screw, goes with its bone.
    screw = registration.scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", "screw")
    centre = bones["L1"].node.GetCenterOfTransformation()
    for end in (np.subtract(centre, [0, 4, 0]), np.add(centre, [0, 4, 0])):
        screw.AddControlPoint(*end)
    screw.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
    poll(session, 5.0, lambda: screw.GetParentTransformNode() is bones["L1"].node)
    assert screw.GetParentTransformNode() is bones["L1"].node

    # By hand: the verdict is gone, nothing is handed on; undo brings all back.
    bones["L1"].world_from_ct = AWAY @ before["L1"].world_from_ct
    assert session.history.moved and assessment.verdict(session) == ""
    session.history.note("by hand")
    assert verdicts(section)[1] == "not registered" and verdicts(section)[2] == before["L2"].verdict
    assert stale_reason(session).startswith("L1: not registered here.")
    session.history.undo()
    assert verdicts(section)[1] == before["L1"].verdict and assessment.verdict(session) == "check"
    session.history.redo()
    act(section, "bones", "L1", 0)
    act(section, "put_back")
    assert np.allclose(bones["L1"].world_from_ct, before["L1"].world_from_ct)

    # Registered again from where it is; saved and opened again; as one body.
    bones["L1"].world_from_ct = AWAY @ before["L1"].world_from_ct
    act(section, "each")
    session.finish()
    assert session.history.current.method == "bones" and assessment.verdict(session) == "check"
    surface = before["L1"].bone.surface
    away = rigid.transform_points(bones["L1"].world_from_ct, surface)
    away -= rigid.transform_points(before["L1"].world_from_ct, surface)
    assert np.linalg.norm(away, axis=1).max() < 0.5
    again = found(host)
    session = Session(reopened(slicer_app, tmp_path / "spine.mrb")[0])
    there = bones_of(session.registration)
    assert list(there) == list(NAMES) and assessment.verdict(session) == "check"
    for name, bone in again.items():
        assert np.allclose(there[name].world_from_ct, bone.world_from_ct, atol=1e-6)
    session.bones.join()
    assert not bones_of(session.registration) and session.history.current.method == "one body"
    session.history.undo()
    assert list(bones_of(session.registration)) == list(NAMES)


def test_the_motion_of_two_bones_is_measured_in_an_anatomical_frame(host):
    registration, joint = host.registration, host.presenters.check.bones
    bones = bones_of(registration)
    flexed = rigid.exp_so3(np.radians([4.0, 0.0, 0.0]))
    centre = host.session.bones.middle("L1")
    motion = rigid.about(centre, rigid.from_rotation_translation(flexed, [0.0, 0.0, 1.5]))
    fixed = bones["L2"].world_from_ct
    bones["L1"].world_from_ct = fixed @ motion
    act(joint, "pair_moving", "L1")
    act(joint, "pair_fixed", "L2")
    act(joint, "pair_frame", "ct")
    assert cells(joint, "six") == [
        ["to the left", "4.00", "0.00"],
        ["to the back", "0.00", "0.00"],
        ["up", "0.00", "1.50"],
    ]
    assert text(joint, "motion_now").endswith("4.0 degrees of flexion, 1.5 mm up")
    points = registration.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "L2 frame")
    for point in ([0, 0, 0], [0, 0, 10], [10, 0, 0]):
        points.AddControlPoint(*point)
    points.SetAndObserveTransformNodeID(bones["L2"].node.GetID())
    act(joint, "pair_frame", points.GetID())
    six = {axis: (turn, shift) for axis, turn, shift in cells(joint, "six")}
    assert six["1"] == ("0.00", "1.50") and six["2"][0] == "-4.00"
    points.SetNthControlPointPosition(2, 0, 0, 20)
    assert "lie on one line" in text(joint, "motion_problem")


@pytest.mark.slow
def test_segments_may_change_while_bones_are_registered(host):
    """The result is of the segments as they were: stale as long as they are others."""
    registration, session, section = host.registration, host.session, host.presenters.check.bones
    segments = registration.segmentation.GetSegmentation()
    act(section, "each")
    segments.GetNthSegment(1).SetName("L9")
    removed, lost = segments.GetNthSegment(3), segments.GetNthSegmentID(3)
    segments.RemoveSegment(lost)
    session.finish()
    assert session.history.current.method == "bones" and "stale" in stale_reason(session)
    assert [row[0] for row in cells(section, "bones")] == [NAMES[0], "L9", NAMES[2]]
    assert assessment.verdict(session) == "" and list(bones_of(registration)) == list(NAMES)
    segments.GetNthSegment(1).SetName(NAMES[1])
    segments.AddSegment(removed, lost)
    registration.chosen_segments = segments.GetSegmentIDs()
    assert not stale_reason(session) and assessment.verdict(session) == "check"


@pytest.mark.slow
def test_navigation_gets_a_transform_of_each_bone_under_its_name(host):
    kept = {name for name, bone in found(host).items() if bone.verdict != "reject"}
    sent = devices(host.session)
    assert kept and sent & set(NAMES) == kept and "CTToWorld" in sent


@pytest.mark.slow
def test_of_a_torsos_labels_the_bones_that_an_x_ray_shows_are_offered(scene, shared_data):
    host = PresenterHost(scene)
    host.begin()
    ct = load_ct(shared_data / "ct" / "torso_3mm.nii.gz", "hu")
    host.registration.ct = volume_node(scene, "Torso", ct.volume.values, ct.volume.ct_from_index)
    for view in make_views(make_ct()):
        add_view(host.registration, view)
    centre = rigid.translation([1.0, 121.0, -310.0])  # of L3
    host.registration.world_from_ct = centre
    before = fingerprint(host.registration)
    host.take_files([shared_data / "labels" / "torso.nii.gz"])
    host.wait(host.files, lambda: host.registration.segmentation is not None)
    assert fingerprint(host.registration) == before  # a verdict on the whole CT stands
    section = host.presenters.ct.bones
    shown = [name for (name,) in cells(section, "bones")]
    assert "vertebrae_L3" in shown and "femur_left" not in shown and "liver" not in shown
    assert not chosen(host) and "whole CT alone" in text(section, "chosen_bones")
    act(section, "sought", "left hip")
    assert cells(section, "bones") == [["hip_left"]]
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
