"""The section Check, without a host's widgets.

Overlays, verdict, similarity, how a result was found, points.
"""

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, off
from helpers.refusals import refuses
from presenter_host import act, cells, control, options, text

from MultiViewRegistrationLib.geometry.rigid import transform_points
from MultiViewRegistrationLib.mrml import drawing
from MultiViewRegistrationLib.mrml.nodes import product, ras_from_lps, stop_placing
from MultiViewRegistrationLib.mrml.overlay import DRR
from MultiViewRegistrationLib.mrml.structures import OUTLINES
from MultiViewRegistrationLib.session.assessment import explanation, stale_reason, verdict


@pytest.fixture
def check(host):
    return host.presenters.check


def similarities(check):
    return [similarity for _name, similarity in cells(check, "similarity")]


def test_overlays_are_chosen_with_their_legend_and_belong_to_the_registration(check, host):
    assert control(check, "overlay").value == "blend" and control(check, "opacity").value == 0.5
    act(check, "opacity", 0.8)
    act(check, "overlay", "difference")
    assert control(check, "opacity") is None and text(check, "legend").startswith(
        "Orange: the X-ray is brighter"
    )
    act(check, "overlay", "off")
    assert control(check, "legend") is None
    act(check, "overlay", "blend")
    assert control(check, "opacity").value == 0.8
    host.slicer_tools = None  # a page has them in the bar above its views
    assert control(check, "overlay") is None and control(check, "similarity") is not None


def test_the_3d_view_looks_from_a_source_and_back(check, host):
    assert not control(check, "source").enabled
    camera = host.camera = host.scene.AddNewNodeByClass("vtkMRMLCameraNode")
    before = seen_by(camera)
    assert list(options(check, "source")) == [
        "anywhere",
        "the source of view1",
        "the source of view2",
    ]
    for view in check.registration.xrays:
        view.change(geometry=view.camera.corrected(1.0, np.array([9.0, -7.0])))
        act(check, "source", view.node.GetID())
        assert np.allclose(camera.GetPosition(), ras_from_lps(view.camera.source))
        assert control(check, "source").value == view.node.GetID()
    angle = camera.GetViewAngle()
    host.views.size = lambda: (200, 300)
    check.update_views()
    assert camera.GetViewAngle() != angle
    act(check, "source", "")
    assert seen_by(camera) == before and control(check, "source").value == ""


def seen_by(camera):
    """Where a camera looks from, and how."""
    pose = camera.GetPosition(), camera.GetFocalPoint(), camera.GetViewUp()
    return *pose, camera.GetViewAngle(), camera.GetCamera().GetWindowCenter()


def test_similarity_is_measured_where_the_ct_comes_to_rest(check, host, monkeypatch):
    monkeypatch.setattr(drawing, "REST_S", 0.02)
    host.wait(check, host.session.prepare)
    host.wait(check, lambda: all(similarities(check)))
    before = [float(each) for each in similarities(check)]
    check.registration.world_from_ct = TRUE_POSE
    host.wait(
        check, lambda: similarities(check)[0] != f"{before[0]:.2f}" and all(similarities(check))
    )
    assert min(float(each) for each in similarities(check)) > 0.95 and max(before) < 0.85
    shares = [line.cells[1].share for line in control(check, "similarity").lines]
    assert shares == pytest.approx([float(each) for each in similarities(check)], abs=0.006)
    check.registration.xrays[1].change(use=False)
    assert similarities(check)[1] == "skipped"
    check.registration.world_from_ct = off(TRUE_POSE, [0, 0, 0], [0, 0, 900.0])
    host.wait(check, lambda: similarities(check) == ["", "skipped"])  # no view shows the CT


def test_maps_of_a_result(check, host):
    session = host.session
    session.register("given")
    session.finish()
    assert check.state().kind == "done" and check.state().text.startswith("accept, probably")
    host.wait(check, lambda: control(check, "map.view2") is not None)
    assert control(check, "map.view1").rgb.dtype == np.uint8
    assert "in 95 of 100 results" in text(check, "map.view1")
    with pytest.raises(Exception, match="nothing differs by more than noise explains"):
        act(check, "leave_out")
    check.registration.world_from_ct = off(TRUE_POSE, [0, 0, 0], [0, 0, 25.0])
    assert control(check, "map.view1") is None
    assert check.state().text == "assess again" and not control(check, "leave_out").enabled
    act(check, "assess")
    session.finish()
    assert verdict(session) == "reject" and check.state().kind == "reject"
    check.registration.world_from_ct = off(TRUE_POSE, [0, 0, 0], [0, 0, 300.0])
    with refuses("outside every view"):
        act(check, "assess")


def test_a_pose_that_was_set_is_never_accepted_and_says_so(check, host):
    check.registration.world_from_ct = TRUE_POSE
    act(check, "assess")
    host.session.finish()
    assert verdict(host.session) == "check" and host.session.history.current.assessed
    assert any("The pose was set, not registered" in each for each in explanation(host.session))
    assert stale_reason(host.session) == "This pose is no result of a registration."


def test_the_linked_cursor_and_distances(check, host):
    place = control(check, "place_cursor")
    assert place.on is False
    act(check, "place_cursor")
    assert control(check, "place_cursor").on
    stop_placing(host.scene)  # as Escape does
    check.cursor.tick()
    assert not control(check, "place_cursor").on
    act(check, "place_cursor")
    check.exit()
    assert not control(check, "place_cursor").on
    point = transform_points(check.registration.world_from_ct, np.array([9.0, -6.0, 12.0]))
    for number, view in enumerate(check.registration.xrays):
        check.cursor.put(view, *view.camera.project(point))
        check.tick()
        assert check.changing
        told = text(check, "cursor")
        assert (told == "Click the same point in another X-ray, on the line.") == (number == 0)
    assert "In the CT at R -9.0, A 6.0, S 12.0 mm. The rays miss it by up to" in told
    act(check, "clear_cursor")
    check.update_views()
    assert not control(check, "clear_cursor").enabled

    act(check, "line")
    (line,) = (node for node in host.scene.GetNodesByClass("vtkMRMLMarkupsLineNode"))
    for x in (-25.0, 25.0):
        line.AddControlPoint(x, 5.0, 3.0)
    host.wait(check, lambda: control(check, "distances") is not None, 3)
    assert cells(check, "distances") == [["Distance", "50.0 mm"]]
    line.SetNthControlPointPosition(1, 5.0, 5.0, 3.0)
    host.wait(check, lambda: cells(check, "distances") == [["Distance", "30.0 mm"]], 3)


def test_what_is_drawn_stays_hidden_in_the_scene_while_another_registration_is_chosen(host):
    view = host.registration.xrays[0]
    drawn = {role: product(view.node, role, "vtkMRMLModelNode", role) for role in (DRR, OUTLINES)}
    host.presenters.check.deactivate()
    assert all(view.node.GetNodeReference(role) is node for role, node in drawn.items())
