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


def test_overlay_and_opacity_are_selected(check, host):
    assert control(check, "overlay").value == "blend" and control(check, "opacity").value == 0.5
    act(check, "opacity", 0.8)
    act(check, "overlay", "difference")
    assert control(check, "opacity") is None
    assert text(check, "legend").startswith("Orange: the X-ray is brighter")
    act(check, "overlay", "blend")
    assert control(check, "opacity").value == 0.8


def test_3d_view_looks_from_a_source_and_back(check, host):
    assert not control(check, "source").enabled
    camera = host.camera = host.scene.AddNewNodeByClass("vtkMRMLCameraNode")
    before = camera.GetPosition(), camera.GetViewAngle()
    titles = ["anywhere", "the source of view1", "the source of view2"]
    assert list(options(check, "source")) == titles
    for view in check.registration.xrays:
        act(check, "source", view.node.GetID())
        assert np.allclose(camera.GetPosition(), ras_from_lps(view.camera.source))
    act(check, "source", "")
    assert (camera.GetPosition(), camera.GetViewAngle()) == before


def test_similarity_is_updated_once_the_ct_rests(check, host, monkeypatch):
    monkeypatch.setattr(drawing, "REST_S", 0.02)
    host.wait(check, host.session.prepare)
    host.wait(check, lambda: all(similarities(check)))
    before = similarities(check)
    assert max(map(float, before)) < 0.85
    check.registration.world_from_ct = TRUE_POSE
    host.wait(check, lambda: similarities(check)[0] != before[0] and all(similarities(check)))
    assert min(map(float, similarities(check))) > 0.95
    check.registration.xrays[1].change(use=False)
    check.registration.world_from_ct = off(TRUE_POSE, [0, 0, 0], [0, 0, 900.0])
    host.wait(check, lambda: similarities(check) == ["", "skipped"])  # no view shows the CT


def test_pose_is_assessed_and_its_maps_are_shown(check, host):
    """A pose that was set by hand is never accepted."""
    session, registration = host.session, check.registration
    registration.world_from_ct = TRUE_POSE
    act(check, "assess")
    session.finish()
    assert verdict(session) == "check" and check.state().kind == "check"
    assert any("The pose was set, not registered" in each for each in explanation(session))
    assert stale_reason(session) == "This pose is no result of a registration."
    host.wait(check, lambda: control(check, "map.view2") is not None)
    assert control(check, "map.view1").rgb.dtype == np.uint8
    assert "in 95 of 100 results" in text(check, "map.view1")
    with refuses("nothing differs by more than noise explains"):
        act(check, "leave_out")
    registration.world_from_ct = off(TRUE_POSE, [0, 0, 0], [0, 0, 300.0])
    assert control(check, "map.view1") is None
    assert check.state().text == "assess again" and not control(check, "leave_out").enabled
    with refuses("outside every view"):
        act(check, "assess")


def test_point_and_distance_are_measured(check, host):
    act(check, "place_cursor")
    assert control(check, "place_cursor").on
    stop_placing(host.scene)  # as Escape does
    check.cursor.tick()
    assert not control(check, "place_cursor").on
    point = transform_points(check.registration.world_from_ct, np.array([9.0, -6.0, 12.0]))
    for view in check.registration.xrays:
        check.cursor.put(view, *view.camera.project(point))
        check.tick()
    assert "In the CT at R -9.0, A 6.0, S 12.0 mm." in text(check, "cursor")
    act(check, "clear_cursor")
    assert not control(check, "clear_cursor").enabled

    act(check, "line")
    (line,) = (node for node in host.scene.GetNodesByClass("vtkMRMLMarkupsLineNode"))
    for x in (-25.0, 25.0):
        line.AddControlPoint(x, 5.0, 3.0)
    host.wait(check, lambda: control(check, "distances") is not None, 3)
    assert cells(check, "distances") == [["Distance", "50.0 mm"]]


def test_what_is_drawn_stays_hidden_in_the_scene_while_another_registration_is_chosen(host):
    view = host.registration.xrays[0]
    drawn = {role: product(view.node, role, "vtkMRMLModelNode", role) for role in (DRR, OUTLINES)}
    host.presenters.check.deactivate()
    assert all(view.node.GetNodeReference(role) is node for role, node in drawn.items())
