"""Bones in a scene: few nodes, outlines in their colours in real views, and no guest lost."""

from typing import NamedTuple

import numpy as np
import pytest
import slicer
from scene_rendering import ball, pixels, window_of

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.mrml.ct_3d import bones_of, put_bone_surface, put_bones, same_places
from MultiViewRegistrationLib.mrml.display import take_down
from MultiViewRegistrationLib.mrml.nodes import polyline, positions
from MultiViewRegistrationLib.mrml.structures import NAMES, OUTLINES, show_outlines, structures_of
from MultiViewRegistrationLib.mrml.xray import detectors

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
    every = map(scene.GetNthNode, range(scene.GetNumberOfNodes()))
    kinds = "vtkMRMLTransformableNode", "vtkMRMLModelNode"
    return {
        node.GetID()
        for node in every
        if any(map(node.IsA, kinds)) and not node.GetHideFromEditors()
    }


def test_five_bones_are_ten_nodes_and_go_with_their_registration(two_xrays):
    before = visible_nodes(two_xrays.scene)
    put_bones(two_xrays, POSES)
    for bone in bones_of(two_xrays).values():
        put_bone_surface(bone, ball(), (0.2, 0.6, 0.9))
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
    red, green = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)

    def outlines_at(moved):
        boxes = [[[10, 10], [30, 10], [30, 40], [10, 40]], [[40, 20], [60, 20], [60, 50], [40, 50]]]
        lines = [polyline(moved + np.array(box, float), closed=True) for box in boxes]
        return lambda detector: [Lines("L1", red, lines[0]), Lines("", green, lines[1])]

    view = registration.xrays[0]
    shown = window_of(slicer_app, view, (480, 360))
    for moved in (0.0, 3.0):  # where a bone is first, and where it has gone
        show_outlines(registration, outlines_at(moved))
        image = pixels(shown).astype(int)
        for colour in (red, green):
            assert (np.abs(image - 255 * np.array(colour)).sum(axis=-1) < 60).sum() > 300
    assert "ERROR" not in capfd.readouterr().err
    one = view.node.GetNodeReference(OUTLINES)
    assert one.GetHideFromEditors() and not one.GetDisplayNode().GetVisibility3D()
    show_outlines(registration, lambda detector: [])
    assert not any(view.node.GetNodeReference(role) for role in (OUTLINES, NAMES))


def test_the_names_of_bones_beside_each_other_stand_at_different_heights(registration, slicer_app):
    box = np.array([[10, 10], [30, 10], [30, 40], [10, 40]], float)
    outlines = [
        Lines(name, (1.0, 0.0, 0.0), polyline(box + [right, 0], closed=True))
        for name, right in (("L1", 0), ("", 9), ("L2", 22))
    ]
    window_of(slicer_app, registration.xrays[0], (480, 360))
    show_outlines(registration, lambda detector: outlines)
    plane = detectors(registration)[0]
    names = plane.view.node.GetNodeReference(NAMES)
    assert [names.GetNthControlPointLabel(n) for n in range(2)] == ["L1", "L2"]
    first, second = (plane.locate(place)[0] for place in positions(names))
    assert [first[0], second[0]] == pytest.approx([30, 52]) and abs(second[1] - first[1]) > 20
