"""A person at the Check section of the phantom, and what they see over the X-rays."""

from __future__ import annotations

import numpy as np
from person import Person
from phantom_scene import phantom_registration

POINT = np.array([9.0, -6.0, 12.0])  # LPS mm in the CT's frame


def at_check(host, monkeypatch) -> Person:
    """Without views. The CT comes to rest soon."""
    from MultiViewRegistrationLib.session import drawing

    monkeypatch.setattr(drawing, "REST", 0.05)
    person = Person(host)
    person.begin("check", phantom_registration(host.scene))
    return person


def with_views(person: Person) -> Person:
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
        lambda: drawing.at_rest and drawing._drawn and all(drawn.sharp for drawn in drawing._drawn.values()), 30
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
