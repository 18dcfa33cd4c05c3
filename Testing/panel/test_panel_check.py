"""The Check section over real views, driven by clicks.

What lies over the X-rays is what it says, and is true.
"""

from __future__ import annotations

import numpy as np
import pytest
from gui_driver import GuiDriver
from phantom import TRUE_POSE, off
from phantom_scene import START, begun, phantom_registration

POINT = np.array([9.0, -6.0, 12.0])  # LPS mm in the CT's frame


def at_check(host, monkeypatch) -> GuiDriver:
    """Without views. The CT comes to rest soon."""
    from MultiViewRegistrationLib.mrml import drawing

    monkeypatch.setattr(drawing, "REST", 0.05)
    person = GuiDriver(host)
    person.begin("check", begun(phantom_registration(host.scene)))
    return person


def with_views(person: GuiDriver) -> GuiDriver:
    """With views, the X-rays in them, the CT ready."""
    person.give_views(440, 300)
    person.host.click(person.ui.layoutButton)
    person.wait(person.panel.session.prepare)
    settle(person)
    return person


def settle(person) -> None:
    """Until all overlays are sharp, and nothing is measured any more."""
    drawing = person.panel.session.drawing
    person.wait(
        lambda: (
            drawing.at_rest
            and drawing._drawn
            and all(drawn.sharp for drawn in drawing._drawn.values())
        ),
        30,
    )


def choose(person, name: str) -> None:
    person.choose("check", "overlay", name)
    if name == "X-ray alone":
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

    labels = [
        node.GetDisplayNode()
        for node in slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
        if "label" in node.GetName()
    ]
    for display in labels:
        display.SetVisibility(False)
    middle = inside(person.picture(number))
    for display in labels:
        display.SetVisibility(True)
    warmth = middle[..., 0] - middle[..., 2]
    return float((warmth > 60).mean()), float((warmth < -60).mean())


def unlike(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(inside(a) - inside(b)).mean())


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
    from MultiViewRegistrationLib.mrml.nodes import products_of

    return [
        node
        for view in registration.xrays
        for node in products_of(view.node)
        if node.GetNodeReference("structure") is not None
    ]


@pytest.fixture
def person(host, monkeypatch):
    return at_check(host, monkeypatch)


@pytest.fixture
def viewer(person):
    return with_views(person)


def test_every_overlay_changes_the_x_ray_as_its_legend_says(viewer):
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
            assert all(unlike(a, b) > 1 for a, b in zip(pictures[one], pictures[other])), (
                one,
                other,
            )
    for orange, blue in colours["Edges"]:
        assert orange > 0.005
        assert blue == 0
    for name in ("Difference", "Two colours"):
        assert min(share for shares in colours[name] for share in shares) > 0.003, name
    assert (
        max(
            share
            for name in ("Checkerboard", "Blend")
            for shares in colours[name]
            for share in shares
        )
        == 0
    )

    choose(viewer, "Difference")
    before = sum(coloured(viewer, 1))
    viewer.registration.world_from_ct = TRUE_POSE
    settle(viewer)
    assert sum(coloured(viewer, 1)) < before / 5  # X-ray and DRR agree


def test_overlays_follow_the_ct_while_another_module_is_open_and_go_with_their_registration(viewer):
    from MultiViewRegistrationLib.mrml import overlay

    host, before = viewer.host, viewer.picture(1)
    host.leave(viewer.module_widget)
    viewer.registration.world_from_ct = off(START, [0, 0, 0], [12.0, 0, 0])
    host.process(0.2)
    assert unlike(viewer.picture(1), before) > 2
    host.enter(viewer.module_widget)
    ball(viewer)
    viewer.slide("check", "opacity", 0.8)
    other = begun(phantom_registration(host.scene, "Other", TRUE_POSE))
    assert [
        overlay.SliceCanvas().foreground(view, "blend") is not None
        for view in viewer.registration.xrays
    ] == [
        True,
        True,
    ]
    viewer.panel.choose(other)
    assert [
        overlay.SliceCanvas().foreground(view, "blend") for view in viewer.registration.xrays
    ] == [None, None]
    assert not projections(viewer.registration) and viewer.control("check", "opacity").value == 0.5
    viewer.wait(viewer.panel.session.prepare)
    host.process(0.2)
    assert all(overlay.SliceCanvas().foreground(view, "blend") is not None for view in other.xrays)
    viewer.panel.choose(viewer.registration)
    settle(viewer)
    assert (
        len(projections(viewer.registration)) == 2
        and viewer.control("check", "opacity").value == 0.8
    )


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


# Structures and points
# --------------------------------------------------------------------------------------------------


def test_what_would_settle_a_doubt_is_a_click_away(host, ct, views):
    from MultiViewRegistrationLib.mrml.identity import fingerprint
    from MultiViewRegistrationLib.session.history import HistoryEntry

    person = GuiDriver(host).open_phantom(ct, views)
    settled = fingerprint(person.registration)
    entry = HistoryEntry.now(
        "search", person.pose, fingerprint=settled, verdict="check", reasons=["Look."]
    )
    person.session.history.add(entry)
    host.process(0.5)
    section, look = person.panel.sections["check"].button, person.widget("answer", "look")
    assert (
        section.collapsed
        and look.font.bold()
        and not person.widget("answer", "registration").font.bold()
    )
    person.press("answer", "look")
    assert not section.collapsed and look.text == "Look at the overlays"
