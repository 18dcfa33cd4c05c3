"""The Check section, driven by clicks over real views: what lies over the X-rays is what it says, and is true."""

from __future__ import annotations

import numpy as np
import pytest
from person import Person, likeness
from phantom import TRUE_POSE, off
from phantom_scene import START, phantom_registration

from MultiViewRegistrationLib.geometry.rigid import transform_points

POINT = np.array([9.0, -6.0, 12.0])  # LPS mm in the CT's frame


@pytest.fixture(autouse=True)
def soon_at_rest(monkeypatch):
    from MultiViewRegistrationLib.scene import drawing

    monkeypatch.setattr(drawing, "REST", 0.05)


@pytest.fixture
def person(host):
    """At the Check section of the phantom, without views."""
    person = Person(host)
    person.registration = phantom_registration(host.scene)
    person.panel.choose(person.registration)
    fold(person)
    return person


@pytest.fixture
def viewer(person):
    """With views, the X-rays in them, the CT ready."""
    person.give_views(440, 300)
    person.host.click(person.ui.layoutButton)
    person.wait(person.panel.session.prepare)
    settle(person)
    return person


def fold(person) -> None:
    for name, section in person.panel.sections.items():
        section.button.collapsed = name != "check"
    person.host.process(0.1)


def settle(person) -> None:
    """Until all overlays are sharp, and nothing is measured any more."""
    drawing = person.panel.session.drawing
    person.wait(lambda: drawing.at_rest and drawing._drawn and all(drawn.sharp for drawn in drawing._drawn.values()), 30)


def choose(person, name: str) -> None:
    person.host.choose(person.of("check").overlayComboBox, name)
    if name == "None, the X-ray alone":
        person.host.process(0.15)
    else:
        person.host.process(0.1)
        settle(person)


def inside(picture: np.ndarray) -> np.ndarray:
    """The middle, where the phantom is, as int."""
    rows, columns, _ = picture.shape
    return picture[rows // 7 : -rows // 7, columns // 4 : -columns // 4].astype(int)


def coloured(person, number: int) -> tuple[float, float]:
    """Shares of orange and of blue in what an X-ray's view shows, without its labels."""
    import slicer

    labels = [node.GetDisplayNode() for node in slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode") if "label" in node.GetName()]
    for display in labels:
        display.SetVisibility(False)
    middle = inside(person.picture(number))
    for display in labels:
        display.SetVisibility(True)
    warmth = middle[..., 0] - middle[..., 2]
    return float((warmth > 60).mean()), float((warmth < -60).mean())


def unlike(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(inside(a) - inside(b)).mean())


# Overlays ---------------------------------------------------------------------------------------------------------------

def test_every_overlay_changes_the_x_ray_as_it_says(viewer):
    ui = viewer.of("check")
    pictures, colours = {}, {}
    for name in ("Blend", "Checkerboard", "Edges of bones", "Two colours", "Difference", "None, the X-ray alone"):
        choose(viewer, name)
        pictures[name] = [viewer.picture(number) for number in (1, 2)]
        colours[name] = [coloured(viewer, number) for number in (1, 2)]
        assert ui.opacitySlider.visible == (name == "Blend")
        assert ui.legendLabel.visible == (name != "None, the X-ray alone")
    names = list(pictures)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert all(unlike(a, b) > 1 for a, b in zip(pictures[one], pictures[other])), (one, other)
    for orange, blue in colours["Edges of bones"]:
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
    choose(viewer, "None, the X-ray alone")
    alone = viewer.picture(1)
    choose(viewer, "Blend")
    viewer.host.type(viewer.of("check").opacitySlider, "1")
    viewer.host.process(0.1)
    assert likeness(viewer.picture(1), alone) > 0.98
    assert unlike(viewer.picture(1), alone) < 6  # of 255: the same greys, too


def test_the_slider_goes_from_the_x_ray_to_the_drr(viewer):
    choose(viewer, "None, the X-ray alone")
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
    choose(viewer, "None, the X-ray alone")
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
    from MultiViewRegistrationLib.scene import overlay

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


# Structures -------------------------------------------------------------------------------------------------------------

def ball(person, centre=POINT, colour=(1, 0, 0), name="Tumour"):
    """A model of 12 mm radius, under the CT's transform."""
    import vtk

    source = vtk.vtkSphereSource()
    source.SetRadius(12)
    source.SetCenter(*(centre * [-1, -1, 1]))
    source.SetThetaResolution(64)
    source.SetPhiResolution(64)
    source.Update()
    model = person.host.scene.AddNewNodeByClass("vtkMRMLModelNode", name)
    model.SetAndObservePolyData(source.GetOutput())
    model.CreateDefaultDisplayNodes()
    model.GetDisplayNode().SetColor(*colour)
    model.SetAndObserveTransformNodeID(person.registration.ct_transform.GetID())
    return model


def screw(person, name="Screw"):
    """A planned trajectory, as Markups makes it."""
    line = person.host.scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", name)
    line.CreateDefaultDisplayNodes()
    for x in (-25.0, 25.0):
        line.AddControlPoint(x, 5.0, 3.0)
    line.GetDisplayNode().SetSelectedColor(0, 1, 0)
    line.SetAndObserveTransformNodeID(person.registration.ct_transform.GetID())
    return line


def projections(registration) -> list:
    from MultiViewRegistrationLib.scene.products import products_of

    return [node for view in registration.xrays for node in products_of(view.node) if node.GetNodeReference("structure") is not None]


def pure(picture: np.ndarray, channel: int) -> np.ndarray:
    """(n, 2) columns and rows of what is of one colour alone."""
    others = np.delete(picture.astype(int), channel, axis=2).max(axis=2)
    return np.argwhere((picture[..., channel] > 150) & (others < 80))[:, ::-1]


def test_a_segment_and_a_planned_screw_are_seen_on_the_x_rays_where_they_are(viewer):
    model, line = ball(viewer), screw(viewer)
    choose(viewer, "None, the X-ray alone")
    viewer.host.process(0.2)
    box = viewer.of("check").structuresComboBox
    assert {node.GetName() for node in box.checkedNodes()} >= {"Tumour", "Screw"}
    world = viewer.registration.world_from_ct
    for number, view in enumerate(viewer.registration.xrays, 1):
        red, green = pure(viewer.picture(number), 0), pure(viewer.picture(number), 1)
        at = viewer.position(number, view.camera.project(transform_points(world, POINT)))
        assert np.linalg.norm((red.min(axis=0) + red.max(axis=0)) / 2 - [at.x(), at.y()]) < 3
        assert len(green) > 10
    assert len(pure(viewer.picture(1), 1)) > 40  # across; in the lateral view it is seen from its end
    viewer.host.choose(box, "Tumour")  # unticked
    viewer.host.process(0.2)
    assert not len(pure(viewer.picture(1), 0))
    assert len(pure(viewer.picture(1), 1)) > 40
    viewer.host.choose(box, "Tumour")
    model.GetDisplayNode().SetVisibility(False)
    viewer.host.scene.RemoveNode(line)
    viewer.host.process(0.2)
    assert not len(pure(viewer.picture(1), 0)) + len(pure(viewer.picture(1), 1))


def test_structures_follow_the_ct(viewer):
    ball(viewer)
    choose(viewer, "None, the X-ray alone")
    viewer.host.process(0.2)
    before = pure(viewer.picture(1), 0).mean(axis=0)
    viewer.registration.world_from_ct = off(START, [0, 0, 0], [0, 0, 10.0])
    viewer.host.process(0.2)
    here, there = (viewer.registration.xrays[0].camera.project(transform_points(pose, POINT))
                   for pose in (START, viewer.registration.world_from_ct))
    scale = viewer.position(1, (100, 64)).x() - viewer.position(1, (0, 64)).x()
    assert np.abs((pure(viewer.picture(1), 0).mean(axis=0) - before) - (there - here) * scale / 100).max() < 2


# The source's eye -------------------------------------------------------------------------------------------------------

def test_the_3d_view_looks_along_a_beam_and_back(viewer):
    from MultiViewRegistrationLib.scene import beam
    from MultiViewRegistrationLib.scene.frames import ras_from_lps

    box = viewer.of("check").beamComboBox
    view = viewer.views.threeDWidget(0).threeDView()
    camera = beam.camera_of(view.mrmlViewNode())
    before = np.array(camera.GetPosition())
    viewer.host.choose(box, "the source of view2")
    assert np.allclose(camera.GetPosition(), ras_from_lps(viewer.registration.xrays[1].camera.source), atol=1e-6)
    viewer.host.process(0.1)
    assert box.currentText == "the source of view2"
    viewer.host.main_window.resize(540, 300)
    viewer.host.process(0.2)
    assert beam.size_of(camera) == (view.width, view.height)
    viewer.host.choose(box, "anywhere")
    assert np.allclose(camera.GetPosition(), before)


def test_without_views_there_is_nothing_to_look_from(person):
    assert not person.of("check").beamComboBox.enabled
    assert [person.of("check").beamComboBox.itemText(i) for i in range(3)] == ["anywhere", "the source of view1", "the source of view2"]


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
    assert person.header("check") == "\u25d0 look at every X-ray"
    assert label.text.startswith("Verdict: accept.") and "in 95 of 100 cases" in label.text
    person.registration.world_from_ct = START
    person.wait(lambda: "moved by hand" in label.text, 3)
    assert label.text.startswith("Verdict: not assessed.")
    assert person.header("check") == "\u26a0 caution"
    person.registration.xrays[0].change(rotation_sd_deg=2.0)
    person.panel.session.history.go(person.panel.session.history.position)
    person.wait(lambda: "stale" in label.text, 3)


# Points -----------------------------------------------------------------------------------------------------------------

def test_the_linked_cursor_by_clicks(viewer):
    from MultiViewRegistrationLib.scene.frames import ras_from_lps

    ui, views = viewer.of("check"), viewer.registration.xrays
    choose(viewer, "None, the X-ray alone")
    seen = [view.camera.project(transform_points(viewer.registration.world_from_ct, POINT)) for view in views]
    viewer.host.click(ui.cursorButton)
    before = viewer.picture(2)
    viewer.click_pixel(1, seen[0])
    assert ui.cursorLabel.text == "Click the same point in another X-ray, on the line."
    line = np.argwhere(np.abs(viewer.picture(2).astype(int) - before).max(axis=2) > 60)[:, ::-1]
    at = viewer.position(2, seen[1])
    assert len(line) > 60
    assert np.linalg.norm(line - [at.x(), at.y()], axis=1).min() < 3
    viewer.click_pixel(2, seen[1])
    assert np.linalg.norm(viewer.panel.sections["check"].points._cursor.ct_ras - ras_from_lps(POINT)) < 2
    assert "In the CT at R" in ui.cursorLabel.text
    assert "The rays miss it by up to" in ui.cursorLabel.text
    viewer.host.click(ui.clearCursorButton)
    assert not ui.cursorLabel.visible
    viewer.host.click(ui.cursorButton)
    viewer.host.process(0.1)
    assert np.abs(viewer.picture(2).astype(int) - before).max(axis=2)[60:-60].max() < 40


def test_the_button_follows_what_the_mouse_does(viewer):
    from MultiViewRegistrationLib.scene.markups import stop_placing

    ui = viewer.of("check")
    viewer.host.click(ui.cursorButton)
    stop_placing(viewer.host.scene)  # as Escape does
    viewer.host.process(0.1)
    assert not ui.cursorButton.checked
    viewer.host.click(ui.cursorButton)
    viewer.host.leave(viewer.widget)
    viewer.host.enter(viewer.widget)
    viewer.host.process(0.1)
    assert not ui.cursorButton.checked


def test_a_distance_is_measured_with_two_clicks(viewer):
    ui = viewer.of("check")
    ui.distancesGroupBox.collapsed = False
    viewer.host.process(0.1)
    viewer.host.click(ui.lineButton)
    viewer.click_pixel(1, (40, 64))
    viewer.click_pixel(1, (88, 64))
    viewer.wait(lambda: ui.distancesTable.rowCount == 1, 3)
    told = ui.distancesTable.item(0, 1).text()
    numbers = [float(part.split()[-1]) for part in told.replace("(", " ").split(" mm")[:2]]
    at_ct, on_detector = numbers if len(numbers) == 2 else (numbers[0], None)
    assert "at the CT's depth" in told
    assert at_ct == pytest.approx(48 * 160 / 128 * 0.7, rel=0.05)
    assert on_detector > at_ct


def test_a_distance_in_the_ct_follows_its_ends(person):
    line = screw(person)
    table = person.of("check").distancesTable
    person.wait(lambda: table.rowCount == 1, 3)
    assert (table.item(0, 0).text(), table.item(0, 1).text()) == ("Screw", "50.0 mm")
    line.SetNthControlPointPosition(1, 5.0, 5.0, 3.0)
    person.wait(lambda: table.item(0, 1).text() == "30.0 mm", 3)


# Bad moments ------------------------------------------------------------------------------------------------------------

def test_nodes_that_are_deleted_while_they_are_shown(viewer):
    scene, registration = viewer.host.scene, viewer.registration
    line = screw(viewer)
    viewer.host.click(viewer.of("check").cursorButton)
    viewer.click_pixel(1, (64, 64))
    for doomed in (registration.xrays[0].node.GetNodeReference("drr"), line, registration.node.GetNodeReference("cursor"),
                   registration.xrays[1].node, registration.ct):
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
    from MultiViewRegistrationLib.scene.registration import Registration

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
    person.registration = person.panel.registration
    fold(person)
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
    choose(person, "Edges of bones")
    assert inside(person.picture(1)).std() > 15


