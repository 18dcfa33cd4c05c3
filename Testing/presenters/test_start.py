"""The section Start, without panel and page.

Starts, the range of a search, where the CT is, landmarks, files.
"""

import numpy as np
import pytest
import slicer
import vtk
from helpers.phantom import TRUE_POSE, error_mm, off
from helpers.phantom_scene import START
from helpers.refusals import refuses
from helpers.tiny_scene import write_markups
from numpy.testing import assert_allclose
from presenter_host import act, answer, cells, control, options, text

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.mrml import overlay
from MultiViewRegistrationLib.mrml.landmarks import landmark_list
from MultiViewRegistrationLib.mrml.nodes import ras_from_lps, set_transform
from MultiViewRegistrationLib.session.presenters import start as start_module

POINTS = np.array([[20.0, 0, 0], [0, 20, 0], [0, 0, 20], [-15, -10, 5]])


@pytest.fixture
def start(host):
    yield host.presenters.start
    host.session.stop()


def pose(host):
    return host.registration.world_from_ct


def history(host):
    return [entry.method for entry in host.session.history.entries]


def test_a_start_is_kept_with_its_registration(host, start):
    assert list(options(start, "start")) == [
        "Search",
        "From here",
        "Landmarks",
    ]
    assert control(start, "other_start").refused == ("regressor", "auto")
    for name in ("given", "landmarks", "by hand", "search"):
        act(start, "other_start" if name == "by hand" else "start", name)
        for key in ("start", "other_start"):  # also where it is none of these: then none is chosen
            assert control(start, key).value == host.registration.parameter("start") == name
        assert control(start, "more").open == (name == "by hand")
        assert (control(start, "range") is None) == (name != "search")
        assert control(start, "rotation_deg") is None
        assert (control(start, "landmarks") is None) == (name != "landmarks")
    assert start.state().text == "Search, the whole CT" and "whole CT" in text(start, "hint")
    assert host.session.case().search is None and not host.session.is_placed("search")


def test_a_range_is_offered_about_a_ct_that_was_placed(host, start):
    """About where it is by chance, or centred, a search would begin anywhere."""
    host.session.centre()
    assert control(start, "range") is None
    host.registration.world_from_ct = rigid.translation([12.5, 0, 0]) @ pose(host)
    act(start, "start", "search")
    assert control(start, "range").value == "The whole CT"
    assert control(start, "rotation_deg") is None
    act(start, "range", "Known well (5°, 15 mm)")
    assert host.session.is_placed("search") and "where the CT is now" in text(start, "hint")
    assert (text(start, "rotation_deg"), text(start, "translation_mm")) == ("5", "15")
    act(start, "rotation_deg", "7")
    assert (
        control(start, "range").value == "Custom" and start.state().text == "Search, 7° and 15 mm"
    )
    assert host.session.case().search == {"rotation_deg": 7, "translation_mm": 15}
    with refuses("Rotation: 500 is outside 1 to 180"):
        act(start, "rotation_deg", "500")
    act(start, "range", "The whole CT")
    assert host.session.case().search is None


def test_a_device_is_chosen_and_why_it_cannot_be_used_is_said(host, start, monkeypatch):
    monkeypatch.setattr(start_module, "present_devices", lambda: ["cpu", "cuda:0"])
    titles = list(options(start, "device"))
    assert titles == ["Automatic", "Processor", "Graphics card cuda:0"]
    assert control(start, "device").value == "auto" and text(start, "device_text") == ""
    act(start, "device", "cuda:999")
    assert control(start, "device").value == host.registration.parameter("device") == "cuda:999"
    host.wait(start, lambda: text(start, "device_text"))
    assert text(start, "device_text").endswith("the processor does the work.")


def test_a_ct_outside_all_xrays_is_said_and_centred(host, start):
    host.registration.world_from_ct = off(TRUE_POSE, (0, 0, 0), (0, 0, 900))
    assert "whole CT" in text(start, "hint")  # which a search goes through, wherever it is
    act(start, "start", "given")
    assert "outside all X-rays" in text(start, "hint")
    act(start, "centre")
    assert np.linalg.norm(rigid.transform_points(pose(host), np.zeros(3))) < 10
    assert history(host) == ["before", "centred"] and start.state().kind == "ready"


def transform(scene, name, matrix, parent=None):
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    set_transform(node, matrix)
    if parent is not None:
        node.SetAndObserveTransformNodeID(parent.GetID())
    return node


def bent(scene, name):
    """A transform that is not linear."""
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", name)
    grid, image = slicer.vtkOrientedGridTransform(), vtk.vtkImageData()
    image.SetDimensions(3, 3, 3)
    image.AllocateScalars(vtk.VTK_DOUBLE, 3)
    grid.SetDisplacementGridData(image)
    node.SetAndObserveTransformToParent(grid)


def test_the_pose_of_another_transform_is_copied(host, start, scene):
    table = off(np.eye(4), (0, 0, 5), (1, 2, 3))
    transform(scene, "Tracked", TRUE_POSE, transform(scene, "Table", table))
    transform(scene, "Scaled", np.diag([2.0, 1, 1, 1]))
    transform(scene, "Mirrored", np.diag([-1.0, 1, 1, 1]))
    bent(scene, "Bent")
    ids = options(start, "copy")
    for name, told in (
        ("Scaled", "Scaled: "),
        ("Mirrored", "mirrors space"),
        ("Bent", "not a linear transform"),
    ):
        with refuses(told):
            act(start, "copy", ids[name])
        assert np.allclose(pose(host), START)
    act(start, "copy", ids["Tracked"])
    assert np.allclose(pose(host), table @ TRUE_POSE) and history(host)[-1] == "transform"


def test_a_pose_from_a_file_is_placed_once_its_axes_and_direction_are_said(host, start, tmp_path):
    np.savetxt(tmp_path / "pose.txt", rigid.inverse(TRUE_POSE))
    act(start, "pose_file", [tmp_path / "pose.txt"], None)
    host.wait(host.files, lambda: not host.taking and host.question())
    for key, value in (("frame", "lps"), ("direction", "resampling")):
        assert np.allclose(pose(host), START)
        act(host.files, f"asked0.{key}", value)
    assert_allclose(pose(host), TRUE_POSE, atol=1e-9)


# Landmarks


def click(host, start, points, view=None):
    """Points of the CT, LPS mm, clicked in the CT or in a view; as a click does it.

    Without a name.
    """
    for point in points:
        if view is None:
            place = ras_from_lps(rigid.transform_points(pose(host), point))
        else:
            place = view.ras_of(view.camera.project(rigid.transform_points(TRUE_POSE, point)))
        landmark_list(host.registration).AddControlPointWorld(vtk.vtkVector3d(*place))
        start.tick()


def test_landmarks_are_clicked_ordered_and_removed(host, start):
    act(start, "start", "landmarks")
    front, side = host.registration.xrays
    assert cells(start, "landmarks") == [["1", "next", "next", "next"]]
    act(start, "click")
    click(host, start, POINTS)
    click(host, start, POINTS[:2], front)
    assert cells(start, "landmarks") == [
        ["1", "\u2714", "\u2714", "next"],
        ["2", "\u2714", "\u2714", ""],
        ["3", "\u2714", "next", ""],
        ["4", "\u2714", "", ""],
        ["5", "next", "", ""],
    ]
    assert (
        "2 so far, with 2 positions" in text(start, "fit")
        and start.state().text == "landmarks are missing"
    )
    act(start, "landmarks", "4", 2)
    click(host, start, POINTS[3:], front)
    assert cells(start, "landmarks")[3][2] == "\u2714" and cells(start, "landmarks")[2][2] == "next"
    click(host, start, POINTS[2:3], front)
    click(host, start, POINTS, side)
    assert start.state().kind == "ready" and control(start, "click").on
    assert overlay.mode_of(host.registration) == "off"
    table = lambda: [row[2:] for row in cells(start, "landmarks")[:4]]  # noqa: E731
    host.wait(start, lambda: table() == [["0.0 mm", "0.0 mm"]] * 4)  # before it registers
    act(start, "undo_landmark")
    host.wait(start, lambda: table()[3] == ["0.0 mm", "next"])
    click(host, start, POINTS[3:], side)
    act(start, "click")
    assert not control(start, "click").on and overlay.mode_of(host.registration) == "blend"
    host.registration.world_from_ct = off(TRUE_POSE, (0, 0, 90), (50, 0, 0))
    host.session.register("landmarks")
    host.session.finish()
    assert error_mm(pose(host)) < 0.1 and "within 0.0 mm" in text(start, "fit")
    assert cells(start, "landmarks")[0] == ["1", "\u2714", "0.0 mm", "0.0 mm"]
    act(start, "click")
    start.exit()
    assert not control(start, "click").on


def test_ctrl_z_takes_back_the_last_click_and_never_a_registration(host):
    """While landmarks are clicked; what was removed meanwhile is passed over."""
    answer = host.answer
    start = host.presenters.start
    front, side = host.registration.xrays
    host.session.history.note("before")
    host.registration.world_from_ct = TRUE_POSE
    host.session.history.note("by hand")
    act(start, "start", "landmarks")
    act(start, "click")
    undo = control(answer, "undo")
    assert not undo.enabled and undo.keys == ("Ctrl+Z",) and undo.everywhere
    click(host, start, POINTS[:3])
    click(host, start, POINTS[:2], front)
    assert not control(host.presenters.register, "redo").enabled
    left = []
    for _ in range(2):
        act(answer, "undo")
        start.tick()
        left.append([row[1:3] for row in cells(start, "landmarks")])
    assert left == [
        [["\u2714", "\u2714"], ["\u2714", "next"], ["\u2714", ""], ["next", ""]],
        [["\u2714", "next"], ["\u2714", ""], ["\u2714", ""], ["next", ""]],
    ]
    act(start, "landmarks", "3", 0)
    act(start, "remove_landmark")
    act(answer, "undo")
    assert [row[:2] for row in cells(start, "landmarks")] == [["1", "\u2714"], ["2", "next"]]
    act(answer, "undo")
    assert not control(answer, "undo").enabled and history(host) == ["before", "by hand"]
    assert np.allclose(pose(host), TRUE_POSE)
    act(start, "click")
    act(answer, "undo")
    assert np.allclose(pose(host), START)


FAR = np.array([[90.0, 0, 0], [0, -300, 0]])


def test_a_landmark_outside_the_ct_is_asked_about_and_counts_only_where_it_was_meant(host):
    start, register = host.presenters.start, host.presenters.register
    act(start, "start", "landmarks")
    act(start, "click")
    click(host, start, POINTS)
    for view in host.registration.xrays:
        click(host, start, POINTS, view)
    assert control(start, "outside") is None and control(register, "register").enabled
    click(host, start, FAR)
    assert text(start, "outside") == "2 landmarks were clicked outside the CT. Was that meant?"
    assert (
        len(cells(start, "landmarks")) == 5
        and "outside the CT" in control(register, "register").tip
    )
    assert not control(register, "register").enabled
    start.landmarks.undo()
    assert text(start, "outside") == "A landmark was clicked outside the CT. Was that meant?"
    act(start, "remove_outside")
    assert control(start, "outside") is None and control(register, "register").enabled
    click(host, start, FAR[:1])
    act(start, "keep_outside")
    assert control(start, "outside") is None and cells(start, "landmarks")[4][:2] == ["5", "\u2714"]
    start.landmarks.undo()
    assert len(cells(start, "landmarks")) == 5  # the next one
    host.registration.world_from_ct = off(
        TRUE_POSE, (0, 0, 0), (400, 0, 0)
    )  # the CT's box goes with it
    click(host, start, POINTS[:1])
    assert control(start, "outside") is None


def test_landmarks_come_from_files(host, start, tmp_path):
    def drop(name, points):
        act(start, "markups", [write_markups(tmp_path / name, points)], None)
        host.wait(host.files, lambda: not host.taking and host.question())

    act(start, "start", "landmarks")
    points = {f"L{i}": point for i, point in enumerate(POINTS)}
    drop("ct.mrk.json", points)
    answer(host.files, 0)
    assert [row[0] for row in cells(start, "landmarks")][:4] == list(points)
    drop("view1.mrk.json", {"L0": (50, 60, 0)})
    answer(host.files, 1)
    act(host.files, "asked0.place", "image")
    assert cells(start, "landmarks")[0][2] == "\u2714"
    drop("none.mrk.json", {})
    answer(host.files, 0)
    assert "has no points" in host.files.refused[-1]


def test_landmarks_of_a_damaged_file_are_told_once(host, start):
    act(start, "start", "landmarks")
    landmark_list(host.registration).AddControlPoint(np.nan, 0, 0, "tip")
    for _ in range(3):
        start.tick()
    told = [
        sentence for sentence in host.session.notices.sentences if "without a place" in sentence
    ]
    assert len(told) == 1 and told[0].startswith("Landmarks: 1 without a place")
    assert control(start, "landmarks") is not None
