"""The Check section, driven by clicks over real views: what lies over the X-rays is what it says, and is true."""

from __future__ import annotations

import numpy as np
import pytest
from check_section import (
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


@pytest.fixture
def person(host, monkeypatch):
    return at_check(host, monkeypatch)


@pytest.fixture
def viewer(person):
    return with_views(person)


# Overlays ---------------------------------------------------------------------------------------------------------------


def test_every_overlay_changes_the_x_ray_as_it_says(viewer):
    ui = viewer.of("check")
    pictures, colours = {}, {}
    for name in ("Blend", "Checkerboard", "Edges", "Two colours", "Difference", "X-ray alone"):
        choose(viewer, name)
        pictures[name] = [viewer.picture(number) for number in (1, 2)]
        colours[name] = [coloured(viewer, number) for number in (1, 2)]
        assert ui.opacitySlider.visible == (name == "Blend")
        assert ui.legendLabel.visible == (name != "X-ray alone")
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
    viewer.host.type(viewer.of("check").opacitySlider, "1")
    viewer.host.process(0.1)
    assert likeness(viewer.picture(1), alone) > 0.98
    assert unlike(viewer.picture(1), alone) < 6  # of 255: the same greys, too


def test_the_slider_goes_from_the_x_ray_to_the_drr(viewer):
    choose(viewer, "X-ray alone")
    alone = viewer.picture(1)
    choose(viewer, "Blend")
    seen = []
    for text in ("0", "0.5", "1"):
        viewer.host.type(viewer.of("check").opacitySlider, text)
        viewer.host.process(0.15)
        seen.append(viewer.picture(1))
    assert unlike(seen[0], alone) < 0.5
    assert unlike(seen[1], alone) > 2
    assert np.abs(inside(seen[1]) - (inside(seen[0]) + inside(seen[2])) / 2).mean() < 1


def test_flicker_shows_both_by_turns(viewer, monkeypatch):
    from MultiViewRegistrationLib.panel import check_overlays

    now = [0.1]
    monkeypatch.setattr(check_overlays, "monotonic", lambda: now[0])
    choose(viewer, "Flicker")
    seen = []
    for now[0] in (0.1, 0.6, 1.1):
        viewer.host.process(0.12)
        seen.append(viewer.picture(1))
    assert unlike(seen[0], seen[1]) > 2
    assert unlike(seen[0], seen[2]) < 0.1
    choose(viewer, "X-ray alone")
    assert unlike(viewer.picture(1), seen[1]) < 0.1


def test_it_follows_the_ct_also_while_another_module_is_open(viewer):
    host = viewer.host
    before = viewer.picture(1)
    host.leave(viewer.widget)
    viewer.registration.world_from_ct = off(START, [0, 0, 0], [12.0, 0, 0])
    host.process(0.2)
    assert unlike(viewer.picture(1), before) > 2
    host.enter(viewer.widget)


def test_the_choice_is_the_registrations(viewer):
    choose(viewer, "Checkerboard")
    viewer.host.choose(viewer.of("check").overlayComboBox, "Blend")
    viewer.host.type(viewer.of("check").opacitySlider, "0.8")
    other = phantom_registration(viewer.host.scene, "Other", TRUE_POSE)
    viewer.panel.choose(other)
    assert viewer.of("check").opacitySlider.value == 0.5
    viewer.host.choose(viewer.of("check").overlayComboBox, "Difference")
    viewer.panel.choose(viewer.registration)
    ui = viewer.of("check")
    assert (ui.overlayComboBox.currentText, ui.opacitySlider.value) == ("Blend", 0.8)


def test_another_registration_leaves_nothing_untrue_behind(viewer):
    from MultiViewRegistrationLib.mrml import overlay

    ball(viewer)
    viewer.host.process(0.1)
    other = phantom_registration(viewer.host.scene, "Other", TRUE_POSE)
    assert [overlay.foreground(view, "blend") is not None for view in viewer.registration.xrays] == [True, True]
    viewer.panel.choose(other)
    assert [overlay.foreground(view, "blend") for view in viewer.registration.xrays] == [None, None]
    assert not projections(viewer.registration)
    viewer.wait(viewer.panel.session.prepare)
    viewer.host.process(0.2)
    assert all(overlay.foreground(view, "blend") is not None for view in other.xrays)
    viewer.panel.choose(viewer.registration)
    settle(viewer)
    assert len(projections(viewer.registration)) == 2


# The source's eye -------------------------------------------------------------------------------------------------------


def test_the_3d_view_looks_along_a_beam_and_back(viewer):
    from MultiViewRegistrationLib.mrml import source_view
    from MultiViewRegistrationLib.mrml.frames import ras_from_lps

    box = viewer.of("check").beamComboBox
    view = viewer.views.threeDWidget(0).threeDView()
    camera = source_view.camera_of(view.mrmlViewNode())
    before = np.array(camera.GetPosition())
    viewer.host.choose(box, "the source of view2")
    assert np.allclose(camera.GetPosition(), ras_from_lps(viewer.registration.xrays[1].camera.source), atol=1e-6)
    viewer.host.process(0.1)
    assert box.currentText == "the source of view2"
    viewer.host.main_window.resize(540, 300)
    viewer.host.process(0.2)
    assert source_view.size_of(camera) == (view.width, view.height)
    viewer.host.choose(box, "anywhere")
    assert np.allclose(camera.GetPosition(), before)


def test_without_views_there_is_nothing_to_look_from(person):
    assert not person.of("check").beamComboBox.enabled
    assert [person.of("check").beamComboBox.itemText(i) for i in range(3)] == [
        "anywhere",
        "the source of view1",
        "the source of view2",
    ]


# Similarity and verdict -------------------------------------------------------------------------------------------------


def similarities(person) -> list[str]:
    table = person.of("check").similarityTable
    return [table.item(row, 1).text() for row in range(table.rowCount)]


def test_similarity_is_measured_where_the_ct_comes_to_rest(person):
    person.wait(person.panel.session.prepare)
    person.wait(lambda: all(similarities(person)))
    before = [float(text) for text in similarities(person)]
    person.registration.world_from_ct = TRUE_POSE
    person.wait(lambda: [float(text) for text in similarities(person)] != before)
    after = [float(text) for text in similarities(person)]
    assert min(after) > 0.95
    assert max(before) < min(after) - 0.1
    person.registration.xrays[1].change(use=False)
    person.panel.invalidate()
    person.wait(lambda: similarities(person)[1] == "skipped")
    person.registration.world_from_ct = off(TRUE_POSE, [0, 0, 0], [0, 0, 900.0])
    person.wait(lambda: similarities(person) == ["", "skipped"])  # no view shows the CT


def test_the_verdict_is_told_of_a_result_and_what_is_known_against_the_pose(person):
    label = person.of("check").verdictLabel
    person.wait(person.panel.session.prepare)
    assert person.header("check") == "\u25cb"
    assert label.text.startswith("Verdict: not assessed.")
    assert "\n" not in label.text
    person.panel.session.register("given")
    person.wait_for_work()
    assert person.header("check").startswith("\u2714 accept, probably below")
    assert label.text.startswith("Verdict: accept.") and "in 95 of 100 cases" in label.text
    person.registration.world_from_ct = START
    person.wait(lambda: "moved by hand" in label.text, 3)
    assert label.text.startswith("Verdict: not assessed.")
    assert person.header("check") == "\u26a0 assess anew"
    person.registration.xrays[0].change(rotation_sd_deg=2.0)
    person.panel.session.history.go(person.panel.session.history.position)
    person.wait(lambda: "stale" in label.text, 3)


def test_a_pose_by_hand_is_assessed_and_what_does_not_fit_is_asked_for(person):
    ui = person.of("check")
    person.wait(person.panel.session.prepare)
    assert ui.assessButton.enabled and not ui.leaveOutButton.enabled
    person.registration.world_from_ct = off(TRUE_POSE, [0, 0, 0], [0, 0, 25.0])
    person.host.click(ui.assessButton)
    person.wait(lambda: ui.verdictLabel.text.startswith("Verdict: reject."))
    assert person.message == "" and not ui.leaveOutButton.enabled
    person.registration.world_from_ct = TRUE_POSE
    person.wait(lambda: ui.verdictLabel.text.startswith("Verdict: not assessed."), 3)
    person.host.click(ui.assessButton)
    person.wait(lambda: ui.verdictLabel.text.startswith("Verdict: check."))
    assert "The pose was set, not registered" in ui.verdictLabel.text
    person.wait(lambda: ui.leaveOutButton.enabled, 3)
    person.host.click(ui.leaveOutButton)
    person.wait(lambda: "nothing differs by more than noise explains" in person.message, 3)
    assert all(view.mask is None for view in person.registration.xrays)


# Bad moments ------------------------------------------------------------------------------------------------------------


def test_nodes_that_are_deleted_while_they_are_shown(viewer):
    scene, registration = viewer.host.scene, viewer.registration
    line = screw(viewer)
    viewer.host.click(viewer.of("check").cursorButton)
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
    assert similarities(viewer) == [""] or len(similarities(viewer)) == 1
    scene.RemoveNode(registration.ct_transform)
    viewer.host.process(0.25)
    viewer.host.choose(viewer.of("check").overlayComboBox, "Difference")
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
    for index in range(person.of("check").overlayComboBox.count):
        person.of("check").overlayComboBox.currentIndex = index
        person.host.process(0.1)
    assert person.message == ""


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
    person.wait(lambda: all(similarities(person)))
    before = [sum(coloured(person, number)) for number in (1, 2)], similarities(person)
    person.panel.session.register("search")
    person.wait_for_work()
    settle(person)
    person.wait(lambda: similarities(person) != before[1])
    after = [sum(coloured(person, number)) for number in (1, 2)], similarities(person)
    assert max(b / a for a, b in zip(before[0], after[0])) < 0.7
    assert min(float(b) - float(a) for a, b in zip(before[1], after[1])) > 0.1
    choose(person, "Edges")
    assert inside(person.picture(1)).std() > 15
