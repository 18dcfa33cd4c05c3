"""The section Start, without panel and page.

Starts, the range of a search, where the CT is, landmarks, files.
"""

import numpy as np
import pytest
import vtk
from helpers.phantom import TRUE_POSE, off
from helpers.phantom_scene import START
from helpers.refusals import refuses
from helpers.tiny_scene import write_markups
from numpy.testing import assert_allclose
from presenter_host import act, answer, cells, control, options, questions, settled, text

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


def test_start_is_stored_with_the_registration(host, start):
    assert list(options(start, "start").values()) == ["search", "given", "landmarks"]
    assert control(start, "other_start").refused == ("regressor", "auto")
    for name in ("given", "landmarks", "by hand", "search"):
        act(start, "other_start" if name == "by hand" else "start", name)
        assert control(start, "start").value == host.registration.parameter("start") == name
        assert (control(start, "range") is None) == (name != "search")
        assert (control(start, "landmarks") is None) == (name != "landmarks")
    assert start.state().text == "Search, the whole CT"
    assert host.session.case().search is None and not host.session.is_placed("search")


def test_search_range_is_offered_around_a_placed_ct(host, start):
    host.session.centre()
    assert control(start, "range") is None  # the pose means nothing yet
    host.registration.world_from_ct = rigid.translation([12.5, 0, 0]) @ pose(host)
    act(start, "start", "search")
    act(start, "range", "Known well (5°, 15 mm)")
    assert host.session.is_placed("search")
    assert (text(start, "rotation_deg"), text(start, "translation_mm")) == ("5", "15")
    act(start, "rotation_deg", "7")
    assert control(start, "range").value == "Custom"
    assert start.state().text == "Search, 7° and 15 mm"
    assert host.session.case().search == {"rotation_deg": 7, "translation_mm": 15}
    with refuses("Rotation: 500 is outside 1 to 180"):
        act(start, "rotation_deg", "500")
    act(start, "range", "The whole CT")
    assert host.session.case().search is None


def test_unusable_device_is_reported(host, start, monkeypatch):
    monkeypatch.setattr(start_module, "present_devices", lambda: ["cpu", "cuda:0"])
    titles = list(options(start, "device"))
    assert titles == ["Automatic", "Processor", "Graphics card cuda:0"]
    act(start, "device", "cuda:999")
    assert control(start, "device").value == host.registration.parameter("device") == "cuda:999"
    host.wait(start, lambda: text(start, "device_text"))
    assert text(start, "device_text").endswith("the processor does the work.")


def test_ct_outside_all_x_rays_is_centred(host, start):
    host.registration.world_from_ct = off(TRUE_POSE, (0, 0, 0), (0, 0, 900))
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


def test_pose_of_another_transform_is_copied(host, start, scene):
    table = off(np.eye(4), (0, 0, 5), (1, 2, 3))
    transform(scene, "Tracked", TRUE_POSE, transform(scene, "Table", table))
    transform(scene, "Mirrored", np.diag([-1.0, 1, 1, 1]))
    ids = options(start, "copy")
    with refuses("mirrors space"):
        act(start, "copy", ids["Mirrored"])
    assert np.allclose(pose(host), START)
    act(start, "copy", ids["Tracked"])
    assert np.allclose(pose(host), table @ TRUE_POSE) and history(host)[-1] == "transform"


def test_a_pose_from_a_file_is_placed_once_its_axes_and_direction_are_said(host, start, tmp_path):
    np.savetxt(tmp_path / "pose.txt", rigid.inverse(TRUE_POSE))
    act(start, "pose_file", [tmp_path / "pose.txt"], None)
    settled(host)
    assert np.allclose(pose(host), START)
    answer(host.files, frame="lps", direction="resampling")
    settled(host)
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


def test_landmarks_are_clicked_replaced_and_fitted(host, start):
    act(start, "start", "landmarks")
    front, side = host.registration.xrays
    assert cells(start, "landmarks") == [["1", "next", "next", "next"]]
    act(start, "click")
    click(host, start, POINTS)
    click(host, start, POINTS[:2], front)
    assert [row[1:] for row in cells(start, "landmarks")] == [
        ["\u2714", "\u2714", "next"],
        ["\u2714", "\u2714", ""],
        ["\u2714", "next", ""],
        ["\u2714", "", ""],
        ["next", "", ""],
    ]
    assert start.state().text == "landmarks are missing"
    act(start, "landmarks", "4", 2)
    click(host, start, POINTS[3:], front)
    assert cells(start, "landmarks")[3][2] == "\u2714"
    click(host, start, POINTS[2:3], front)
    click(host, start, POINTS, side)
    assert start.state().kind == "ready" and overlay.mode_of(host.registration) == "off"

    def residuals():
        return [row[2:] for row in cells(start, "landmarks")[:4]]

    host.wait(start, lambda: residuals() == [["0.0 mm", "0.0 mm"]] * 4)  # without a registration
    act(start, "undo_landmark")
    host.wait(start, lambda: residuals()[3] == ["0.0 mm", "next"])
    start.exit()
    assert not control(start, "click").on and overlay.mode_of(host.registration) == "blend"


def test_undo_removes_clicks_and_no_pose_while_landmarks_are_placed(host, start):
    answer = host.answer
    (front, _side) = host.registration.xrays
    host.session.history.note("before")
    host.registration.world_from_ct = TRUE_POSE
    host.session.history.note("by hand")
    act(start, "start", "landmarks")
    act(start, "click")
    assert not control(answer, "undo").enabled
    click(host, start, POINTS[:2])
    click(host, start, POINTS[:1], front)
    act(answer, "undo")
    start.tick()
    assert [row[1:3] for row in cells(start, "landmarks")] == [
        ["\u2714", "next"],
        ["\u2714", ""],
        ["next", ""],
    ]
    act(start, "landmarks", "2", 0)
    act(start, "remove_landmark")
    act(answer, "undo")  # skips the landmark that was removed
    assert not control(answer, "undo").enabled and history(host) == ["before", "by hand"]
    assert np.allclose(pose(host), TRUE_POSE)
    act(start, "click")
    act(answer, "undo")
    assert np.allclose(pose(host), START)


FAR = np.array([[90.0, 0, 0], [0, -300, 0]])


def test_landmark_outside_the_ct_needs_confirmation(host, start):
    register = host.presenters.register
    act(start, "start", "landmarks")
    act(start, "click")
    click(host, start, POINTS)
    for view in host.registration.xrays:
        click(host, start, POINTS, view)
    assert control(start, "outside") is None and control(register, "register").enabled
    click(host, start, FAR)
    assert text(start, "outside") == "2 landmarks were clicked outside the CT. Was that meant?"
    assert not control(register, "register").enabled
    assert "outside the CT" in control(register, "register").tip
    act(start, "remove_outside")
    assert control(start, "outside") is None and control(register, "register").enabled
    click(host, start, FAR[:1])
    act(start, "keep_outside")
    assert control(start, "outside") is None and cells(start, "landmarks")[4][1] == "\u2714"


def test_landmarks_come_from_files(host, start, tmp_path):
    def drop(name, points):
        act(start, "markups", [write_markups(tmp_path / name, points)], None)
        settled(host)

    act(start, "start", "landmarks")
    points = {f"L{i}": point for i, point in enumerate(POINTS)}
    drop("ct.mrk.json", points)
    answer(host.files, landmarks0="ct")
    settled(host)
    assert [row[0] for row in cells(start, "landmarks")][:4] == list(points)
    drop("view1.mrk.json", {"L0": (50, 60, 0)})
    assert questions(host.files)["landmarks0"] == host.registration.xrays[0].id
    answer(host.files, place="image")
    settled(host)
    assert cells(start, "landmarks")[0][2] == "\u2714"


def test_damaged_landmarks_are_reported_once(host, start):
    act(start, "start", "landmarks")
    landmark_list(host.registration).AddControlPoint(np.nan, 0, 0, "tip")
    for _ in range(3):
        start.tick()
    reported = [each for each in host.session.notices.sentences if "without a place" in each]
    assert len(reported) == 1 and control(start, "landmarks") is not None
