"""The Check section over real views, driven by clicks: what lies over the X-rays is what it says, and is true."""

from __future__ import annotations

import numpy as np
import pytest
from check_section import (
    POINT,
    at_check,
    ball,
    choose,
    coloured,
    inside,
    projections,
    screw,
    settle,
    unlike,
    with_views,
)
from person import Person, likeness
from phantom import TRUE_POSE, off
from phantom_scene import START, phantom_registration

from MultiViewRegistrationLib.geometry.rigid import transform_points


@pytest.fixture
def person(host, monkeypatch):
    return at_check(host, monkeypatch)


@pytest.fixture
def viewer(person):
    return with_views(person)


def test_every_overlay_changes_the_x_ray_as_it_says(viewer, monkeypatch):
    from MultiViewRegistrationLib.session.presenters import check

    pictures, colours = {}, {}
    for name in ("Blend", "Checkerboard", "Edges", "Two colours", "Difference", "X-ray alone"):
        choose(viewer, name)
        pictures[name] = [viewer.picture(number) for number in (1, 2)]
        colours[name] = [coloured(viewer, number) for number in (1, 2)]
        assert (viewer.control("check", "opacity") is not None) == (name == "Blend")
        assert bool(viewer.text("check", "legend")) == (name != "X-ray alone")
    names = list(pictures)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert all(unlike(a, b) > 1 for a, b in zip(pictures[one], pictures[other])), (one, other)
    for orange, blue in colours["Edges"]:
        assert orange > 0.005
        assert blue == 0
    for name in ("Difference", "Two colours"):
        assert min(share for shares in colours[name] for share in shares) > 0.003, name
    assert max(share for name in ("Checkerboard", "Blend") for shares in colours[name] for share in shares) == 0

    choose(viewer, "Blend")
    seen = []
    for share in (0, 0.5, 1):
        viewer.slide("check", "opacity", share)
        seen.append(viewer.picture(1))
    alone = pictures["X-ray alone"][0]
    assert unlike(seen[0], alone) < 0.5 and unlike(seen[1], alone) > 2
    assert np.abs(inside(seen[1]) - (inside(seen[0]) + inside(seen[2])) / 2).mean() < 1

    now = [0.1]
    monkeypatch.setattr(check, "monotonic", lambda: now[0])
    choose(viewer, "Flicker")
    seen = []
    for now[0] in (0.1, 0.6, 1.1):
        viewer.host.process(0.12)
        seen.append(viewer.picture(1))
    assert unlike(seen[0], seen[1]) > 2 and unlike(seen[0], seen[2]) < 0.1


def test_at_the_true_pose_x_ray_and_drr_agree(viewer):
    choose(viewer, "Difference")
    before = sum(coloured(viewer, 1))
    viewer.registration.world_from_ct = TRUE_POSE
    settle(viewer)
    assert sum(coloured(viewer, 1)) < before / 5
    choose(viewer, "Two colours")
    assert sum(coloured(viewer, 1)) < 0.01
    choose(viewer, "X-ray alone")
    alone = viewer.picture(1)
    choose(viewer, "Blend")
    viewer.slide("check", "opacity", 1)
    assert likeness(viewer.picture(1), alone) > 0.98
    assert unlike(viewer.picture(1), alone) < 6  # of 255: the same greys, too


def test_it_follows_the_ct_also_while_another_module_is_open_and_leaves_nothing_untrue_behind(viewer):
    from MultiViewRegistrationLib.mrml import overlay

    host, before = viewer.host, viewer.picture(1)
    host.leave(viewer.module_widget)
    viewer.registration.world_from_ct = off(START, [0, 0, 0], [12.0, 0, 0])
    host.process(0.2)
    assert unlike(viewer.picture(1), before) > 2
    host.enter(viewer.module_widget)
    ball(viewer)
    viewer.slide("check", "opacity", 0.8)
    other = phantom_registration(host.scene, "Other", TRUE_POSE)
    assert [overlay.foreground(view, "blend") is not None for view in viewer.registration.xrays] == [True, True]
    viewer.panel.choose(other)
    assert [overlay.foreground(view, "blend") for view in viewer.registration.xrays] == [None, None]
    assert not projections(viewer.registration) and viewer.control("check", "opacity").value == 0.5
    viewer.wait(viewer.panel.session.prepare)
    host.process(0.2)
    assert all(overlay.foreground(view, "blend") is not None for view in other.xrays)
    viewer.panel.choose(viewer.registration)
    settle(viewer)
    assert len(projections(viewer.registration)) == 2 and viewer.control("check", "opacity").value == 0.8


def test_the_3d_view_looks_along_a_beam_and_back(viewer):
    from MultiViewRegistrationLib.mrml import source_view
    from MultiViewRegistrationLib.mrml.nodes import ras_from_lps

    view = viewer.views.threeDWidget(0).threeDView()
    camera = source_view.camera_of(view.mrmlViewNode())
    before = np.array(camera.GetPosition())
    viewer.choose("check", "source", "the source of view2")
    assert np.allclose(camera.GetPosition(), ras_from_lps(viewer.registration.xrays[1].camera.source), atol=1e-6)
    viewer.host.main_window.resize(540, 300)
    viewer.host.process(0.2)
    assert source_view.size_of(camera) == (view.width, view.height)
    viewer.choose("check", "source", "anywhere")
    assert np.allclose(camera.GetPosition(), before)


def test_nodes_that_are_deleted_while_they_are_shown(viewer):
    scene, registration = viewer.host.scene, viewer.registration
    line = screw(viewer)
    viewer.press("check", "place_cursor")
    viewer.click_pixel(1, (64, 64))
    for doomed in (
        registration.xrays[0].node.GetNodeReference("drr"),
        line,
        registration.node.GetNodeReference("cursor"),
        registration.xrays[1].node,
        registration.ct,
    ):
        scene.RemoveNode(doomed)
        viewer.host.process(0.25)
        assert viewer.message == ""
    assert len(viewer.cells("check", "similarity")) == 1
    scene.RemoveNode(registration.ct_transform)
    viewer.host.process(0.25)
    viewer.choose("check", "overlay", "Difference")
    viewer.host.process(0.25)
    scene.Clear(False)
    viewer.host.process(0.25)
    assert viewer.panel.registration is None
    assert viewer.message == ""


def test_without_a_ct_or_geometry_nothing_is_drawn_and_nothing_breaks(person):
    from MultiViewRegistrationLib.mrml.registration import Registration

    empty = Registration.create(person.host.scene, "Empty")
    empty.add_xray("AP")
    person.panel.choose(empty)
    person.host.process(0.3)
    for option in person.control("check", "overlay").options:
        person.choose("check", "overlay", option.title)
        person.host.process(0.1)
    assert person.message == "" and not person.control("check", "source").enabled


@pytest.mark.slow
def test_a_simulated_pelvis(host, shared_data):
    """Real anatomy, its X-rays by another projector, the whole way through: the overlay locks on."""
    person = Person(host)
    host.answers.open_files = [shared_data / "sim" / "pelvis-lateral" / "case.json"]
    host.click(person.ui.loadCaseButton)
    person.wait_until_read()
    person.registration = person.panel.registration
    person.begin("check")
    person.give_views(440, 300)
    host.click(person.ui.layoutButton)
    person.wait(person.panel.session.prepare)
    choose(person, "Difference")

    def similarities() -> list[str]:
        return [text for _name, text in person.cells("check", "similarity")]

    person.wait(lambda: all(similarities()))
    before = [sum(coloured(person, number)) for number in (1, 2)], similarities()
    person.panel.session.register("search")
    person.wait_for_work()
    settle(person)
    person.wait(lambda: similarities() != before[1])
    after = [sum(coloured(person, number)) for number in (1, 2)], similarities()
    assert max(b / a for a, b in zip(before[0], after[0])) < 0.7
    assert min(float(b) - float(a) for a, b in zip(before[1], after[1])) > 0.1
    choose(person, "Edges")
    assert inside(person.picture(1)).std() > 15


# Structures and points --------------------------------------------------------------------------------------------------


def pure(picture: np.ndarray, channel: int) -> np.ndarray:
    """(n, 2) columns and rows of what is of one colour alone."""
    others = np.delete(picture.astype(int), channel, axis=2).max(axis=2)
    return np.argwhere((picture[..., channel] > 150) & (others < 80))[:, ::-1]


def test_a_segment_and_a_planned_screw_are_seen_on_the_x_rays_where_they_are_and_follow_the_ct(viewer):
    model, line = ball(viewer), screw(viewer)
    choose(viewer, "X-ray alone")
    viewer.host.process(0.2)
    world, tumour = viewer.registration.world_from_ct, f"structure.{model.GetID()}"
    assert viewer.control("check", tumour).on and viewer.control("check", f"structure.{line.GetID()}").on
    for number, view in enumerate(viewer.registration.xrays, 1):
        red, green = pure(viewer.picture(number), 0), pure(viewer.picture(number), 1)
        at = viewer.position(number, view.camera.project(transform_points(world, POINT)))
        assert np.linalg.norm((red.min(axis=0) + red.max(axis=0)) / 2 - [at.x(), at.y()]) < 3
        assert len(green) > 10
    assert len(pure(viewer.picture(1), 1)) > 40  # across; in the lateral view it is seen from its end
    before = pure(viewer.picture(1), 0).mean(axis=0)
    viewer.registration.world_from_ct = off(START, [0, 0, 0], [0, 0, 10.0])
    viewer.host.process(0.2)
    here, there = (
        viewer.registration.xrays[0].camera.project(transform_points(pose, POINT))
        for pose in (START, viewer.registration.world_from_ct)
    )
    scale = viewer.position(1, (100, 64)).x() - viewer.position(1, (0, 64)).x()
    assert np.abs((pure(viewer.picture(1), 0).mean(axis=0) - before) - (there - here) * scale / 100).max() < 2
    viewer.drawn("check", "structures").widget.collapsed = False
    viewer.host.process(0.1)
    viewer.switch("check", tumour)
    viewer.host.process(0.2)
    assert not len(pure(viewer.picture(1), 0))
    assert len(pure(viewer.picture(1), 1)) > 40
    viewer.switch("check", tumour)
    model.GetDisplayNode().SetVisibility(False)
    viewer.host.scene.RemoveNode(line)
    viewer.host.process(0.2)
    assert not len(pure(viewer.picture(1), 0)) + len(pure(viewer.picture(1), 1))


def test_the_linked_cursor_and_a_distance_by_clicks(viewer):
    from MultiViewRegistrationLib.mrml.nodes import ras_from_lps

    views = viewer.registration.xrays
    choose(viewer, "X-ray alone")
    seen = [view.camera.project(transform_points(viewer.registration.world_from_ct, POINT)) for view in views]
    viewer.press("check", "place_cursor")
    assert viewer.widget("check", "place_cursor").checked
    before = viewer.picture(2)
    viewer.click_pixel(1, seen[0])
    assert viewer.text("check", "cursor") == "Click the same point in another X-ray, on the line."
    line = np.argwhere(np.abs(viewer.picture(2).astype(int) - before).max(axis=2) > 60)[:, ::-1]
    at = viewer.position(2, seen[1])
    assert len(line) > 60
    assert np.linalg.norm(line - [at.x(), at.y()], axis=1).min() < 3
    viewer.click_pixel(2, seen[1])
    cursor = viewer.panel.sections["check"].presenter.cursor.cursor
    assert np.linalg.norm(cursor.ct_ras - ras_from_lps(POINT)) < 2
    assert "The rays miss it by up to" in viewer.text("check", "cursor")
    viewer.press("check", "clear_cursor")
    viewer.press("check", "place_cursor")
    viewer.host.process(0.1)
    assert not viewer.widget("check", "place_cursor").checked
    assert np.abs(viewer.picture(2).astype(int) - before).max(axis=2)[60:-60].max() < 40

    viewer.drawn("check", "measure").widget.collapsed = False
    viewer.host.process(0.1)
    viewer.press("check", "line")
    viewer.click_pixel(1, (40, 64))
    viewer.click_pixel(1, (88, 64))
    viewer.wait(lambda: viewer.control("check", "distances") is not None, 3)
    ((_name, told),) = viewer.cells("check", "distances")
    at_ct, on_detector = (float(part.split()[-1]) for part in told.replace("(", " ").split(" mm")[:2])
    assert "at the CT's depth" in told
    assert at_ct == pytest.approx(48 * 160 / 128 * 0.7, rel=0.05)
    assert on_detector > at_ct
