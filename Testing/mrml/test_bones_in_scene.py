"""Bones in a scene: few nodes, outlines in their colours in real views, and no guest lost."""

from typing import NamedTuple

import numpy as np
import pytest
import slicer
from helpers.scene_rendering import ball, pixels, window_of

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.mrml.ct_3d import bones_of, put_bone_surface, put_bones, same_places
from MultiViewRegistrationLib.mrml.display import take_down
from MultiViewRegistrationLib.mrml.nodes import (
    nodes_of_class,
    polyline,
    positions,
    products_of,
    with_subordinates,
)
from MultiViewRegistrationLib.mrml.structures import OUTLINES, show_outlines, structures_of
from MultiViewRegistrationLib.mrml.xray import detectors

RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
BOX = np.array([[10, 10], [30, 10], [30, 40], [10, 40]])
POSES = {f"L{n}": rigid.turn_and_shift([0.1 * n, 0, 0], [n, 2.0, 3.0]) for n in range(1, 6)}


class Lines(NamedTuple):
    name: str
    colour: tuple[float, float, float]
    lines: np.ndarray


@pytest.fixture
def registration(two_xrays):
    put_bones(two_xrays, POSES)
    for bone in bones_of(two_xrays).values():
        put_bone_surface(bone, ball(), (0.2, 0.6, 0.9))
    return two_xrays


def visible_nodes(scene):
    every = nodes_of_class("vtkMRMLTransformableNode", scene)
    return {node.GetID() for node in every if not node.GetHideFromEditors()}


def test_five_bones_are_ten_nodes_and_go_with_their_registration(two_xrays, request):
    before = visible_nodes(two_xrays.scene)
    request.getfixturevalue("registration")
    made = visible_nodes(two_xrays.scene) - before
    assert len(made) == 10
    put_bones(two_xrays, {name: POSES[name] for name in ("L1", "L2")})
    assert len(visible_nodes(two_xrays.scene) - before) == 4
    put_bones(two_xrays, POSES)
    take_down(two_xrays)
    assert not visible_nodes(two_xrays.scene) & made


def test_a_bone_is_where_it_is_put_whatever_moves_it(registration):
    bones = bones_of(registration)
    there = {name: bone.world_from_ct for name, bone in bones.items()}
    assert same_places(there, POSES)
    moved = bones["L1"].node
    slicer.util.updateTransformMatrixFromArray(moved, np.eye(4))  # as Slicer's Transforms does
    assert np.allclose(bones["L1"].world_from_ct, np.eye(4))
    assert not same_places({name: bone.world_from_ct for name, bone in bones.items()}, POSES)


def test_what_is_put_under_a_bone_is_drawn_and_stays_when_the_bone_joins_the_others(registration):
    screw = registration.scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", "screw")
    screw.SetAndObserveTransformNodeID(bones_of(registration)["L2"].node.GetID())
    assert structures_of(registration) == [screw]
    put_bones(registration, {})
    assert screw.GetParentTransformNode() is registration.ct_transform


def test_outlines_are_seen_in_their_colours_in_their_own_view_without_errors_in_slicers_log(
    registration, slicer_app, capfd
):
    def outlines_at(moved):
        lines = [polyline(BOX + moved + corner, closed=True) for corner in ([0, 0], [30, 10])]
        return lambda detector: [Lines("L1", RED, lines[0]), Lines("", GREEN, lines[1])]

    view = registration.xrays[0]
    shown = window_of(slicer_app, view, (480, 360))
    for moved in (0.0, 3.0):  # where a bone is first, and where it has gone
        show_outlines(registration, outlines_at(moved))
        image = pixels(shown).astype(int)
        for colour in (RED, GREEN):
            assert (np.abs(image - 255 * np.array(colour)).sum(axis=-1) < 60).sum() > 300
    assert "ERROR" not in capfd.readouterr().err
    one = view.node.GetNodeReference(OUTLINES)
    assert one.GetHideFromEditors() and not one.GetDisplayNode().GetVisibility3D()
    show_outlines(registration, lambda detector: [])
    assert view.node.GetNodeReference(OUTLINES) is None


def test_the_names_of_bones_beside_each_other_stand_at_different_heights_in_their_colours(
    registration, slicer_app
):
    outlines = [
        Lines(name, colour, polyline(BOX + [right, 0], closed=True))
        for name, colour, right in (("L1", RED, 0), ("", RED, 9), ("L2", GREEN, 22))
    ]
    window_of(slicer_app, registration.xrays[0], (480, 360))
    show_outlines(registration, lambda detector: outlines)
    plane = detectors(registration)[0]

    def names():
        return products_of(plane.view.node.GetNodeReference(OUTLINES))

    shown = [
        (each.GetNthControlPointLabel(0), each.GetDisplayNode().GetSelectedColor())
        for each in names()
    ]
    assert shown == [("L1", RED), ("L2", GREEN)]
    first, second = (plane.locate(*positions(each))[0] for each in names())
    assert [first[0], second[0]] == pytest.approx([30, 52]) and abs(second[1] - first[1]) > 20
    assert not any(each.GetSaveWithScene() for each in with_subordinates(names()))
    show_outlines(registration, lambda detector: outlines[1:])
    assert [each.GetNthControlPointLabel(0) for each in names()] == ["L2"]
