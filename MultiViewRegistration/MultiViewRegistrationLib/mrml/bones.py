"""Bones at poses of their own in the scene: a transform node each, with its surface under it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkPolyData

from ..imaging.structures import colour_of
from .ct_3d import put_model
from .nodes import (
    Colour,
    lps_from_ras,
    make,
    nodes_of_class,
    positions,
    references,
    remove_with_products,
    segments_of,
    set_transform,
    transform_of,
)
from .registration import BONE_NAME, Registration

#: The role of the bones' transforms, and of the model of one.
BONE = "bone"
SURFACE = "surface"
#: In the record: the bone that a person has chosen, and those that are no
#: targets.
CHOSEN = "chosenBone"
BESIDE_TARGETS = "bonesBesideTargets"
#: The attribute of a line with the bone that it was given to.
FOLLOWS = "MultiViewRegistration.follows"
#: Points of a line that are looked at to find the bone that it lies in.
POINTS_OF_LINE = 40
#: Places that differ by less, in mm and in the sines of angles, are the same.
SAME_PLACE = 1e-6
#: world_from_ct (4, 4), LPS mm, of the CT, "", and of bones by their names.
Places = dict[str, np.ndarray]


@dataclass(eq=False)
class SceneBone:
    """A bone's transform node, a child of none.

    Attributes
    ----------
    node
        The vtkMRMLLinearTransformNode; its centre of transformation is the bone's middle.
    """

    node: Any

    @property
    def name(self) -> str:
        """The name of the bone."""
        return self.node.GetAttribute(BONE_NAME) or ""

    @property
    def world_from_ct(self) -> np.ndarray:
        """(4, 4), LPS mm: where the bone is now, whatever has moved it."""
        return transform_of(self.node)

    @world_from_ct.setter
    def world_from_ct(self, pose: np.ndarray) -> None:
        set_transform(self.node, pose)

    @property
    def centre_in_ct(self) -> np.ndarray:
        """(3,) LPS mm in the CT's frame, of the middle of its surface."""
        return lps_from_ras(self.node.GetCenterOfTransformation())

    @property
    def surface(self) -> Any:
        """The vtkMRMLModelNode under it; None before there is one."""
        return self.node.GetNodeReference(SURFACE)


def bones_of(registration: Registration) -> dict[str, SceneBone]:
    """Return the bones with poses of their own, by their names."""
    bones = map(SceneBone, references(registration.node, BONE))
    return {bone.name: bone for bone in bones}


def put_bones(registration: Registration, poses: Places) -> None:
    """Put these bones, by their names, at their poses (4, 4), LPS mm; all others lie as the CT.

    Those with a CT of their own stay where they are.
    """
    there = bones_of(registration)
    for name in there.keys() - poses.keys() - registration.apart.keys():
        bone = there.pop(name)
        for node in _guests(bone):
            node.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
        remove_with_products(bone.node)
    for name, pose in poses.items():
        bone = there.get(name) or _new(registration, name)
        bone.world_from_ct = pose


def _new(registration: Registration, name: str) -> SceneBone:
    node = make(registration.node, "vtkMRMLLinearTransformNode", f"{name} to world")
    node.SetAttribute(BONE_NAME, name)
    registration.node.AddNodeReferenceID(BONE, node.GetID())
    return SceneBone(node)


def _guests(bone: SceneBone) -> list:
    """Return what a person, or `follow_bones`, has put under a bone."""
    every = nodes_of_class("vtkMRMLTransformableNode", bone.node.GetScene())
    under = [node for node in every if node.GetParentTransformNode() is bone.node]
    return [node for node in under if node is not bone.surface]


def follow_bones(registration: Registration, name_at: Callable[[np.ndarray], str]) -> None:
    """Have each line that is drawn in the CT, as a planned screw, move with the bone that it lies in.

    Once for each line: one that a person takes out again stays out.

    Parameters
    ----------
    name_at
        Gives the name of the bone that most of some points (n, 3), LPS mm in the CT's frame, lie
        in; "" for none.
    """
    bones = bones_of(registration)
    for node in nodes_of_class("vtkMRMLMarkupsLineNode", registration.scene):
        ends = positions(node, world=False)
        if len(ends) != 2 or node.GetAttribute(FOLLOWS):
            continue
        if node.GetParentTransformNode() is not registration.ct_transform:
            continue
        name = name_at(lps_from_ras(np.linspace(ends[0], ends[1], POINTS_OF_LINE)))
        if name in bones:
            node.SetAttribute(FOLLOWS, name)
            node.SetAndObserveTransformNodeID(bones[name].node.GetID())


def places_of(registration: Registration) -> Places:
    """Return where CT and bones are now."""
    bones = bones_of(registration).items()
    return {"": registration.world_from_ct, **{name: bone.world_from_ct for name, bone in bones}}


def same_places(some: Places, others: Places) -> bool:
    """Return whether CT and bones lie the same."""
    return some.keys() == others.keys() and all(
        np.allclose(pose, others[name], rtol=0, atol=SAME_PLACE) for name, pose in some.items()
    )


def put_surface(bone: SceneBone, made: vtkPolyData, colour: Colour) -> None:
    """Show a bone's surface, in the CT's frame, where the bone is: in 3D and in slices."""
    model = put_model(bone.node, SURFACE, bone.name, made, bone.node, colour)
    model.GetDisplayNode().SetVisibility2D(True)
    bounds = np.reshape(made.GetBounds(), (3, 2))
    bone.node.SetCenterOfTransformation(*bounds.mean(axis=1))


def colour_surface(bone: SceneBone, colour: Colour) -> None:
    """Show a bone's surface in this colour, if it has one and is not in that already."""
    display = bone.surface and bone.surface.GetDisplayNode()
    if display is not None and not np.allclose(display.GetColor(), colour):
        display.SetColor(*colour)


def chosen_bone(registration: Registration) -> str:
    """Return the name of the bone that a person has chosen to see and to move; "" for none."""
    return registration.kept(CHOSEN, "")


def moved_bone(registration: Registration) -> SceneBone | None:
    """Return the bone that a hand moves: the chosen one, or the first of those with a CT each; None where it moves the whole CT."""
    name = chosen_bone(registration) or next(iter(registration.bone_cts), "")
    return bones_of(registration).get(name)


def choose_bone(registration: Registration, name: str) -> None:
    """Choose the bone to see and to move; "" for none."""
    registration.keep(CHOSEN, name)


def beside_targets(registration: Registration) -> set[str]:
    """Return the names of the bones that are no targets."""
    return set(registration.kept(BESIDE_TARGETS, []))


def set_target(registration: Registration, name: str, on: bool) -> None:
    """Have a bone count as a target, or not."""
    beside = beside_targets(registration) - {name} if on else {*beside_targets(registration), name}
    registration.keep(BESIDE_TARGETS, sorted(beside))


def named_bones(registration: Registration) -> dict[str, Colour]:
    """Return the colours, red, green, blue from 0 to 1, of the bones that get a pose of their own each, by their names."""
    apart = {name: colour_of(n) for n, name in enumerate(registration.apart)}
    node = registration.segmentation
    chosen = registration.chosen_segments  # none without a segmentation
    segments = segments_of(node) if chosen else {}
    of_segments = {segments[each].GetName(): segments[each].GetColor() for each in chosen}
    return of_segments | apart


def put_apart(registration: Registration, volumes: Mapping[str, Any], poses: Places) -> None:
    """Have implants, or bones with a CT each, that of the registration the first: each volume lies at its pose (4, 4), LPS mm.

    Those that are left out, and have no pose, leave the scene.
    """
    gone = [each for each in registration.apart.values() if each not in volumes.values()]
    for volume in volumes.values():
        if volume.GetScene() is None:  # it was left out before
            registration.scene.AddNode(volume)
            volume.CreateDefaultDisplayNodes()
    registration.apart = volumes
    put_bones(registration, poses)
    there = bones_of(registration)
    for name, volume in volumes.items():
        if volume is not registration.ct:
            volume.SetAndObserveTransformNodeID(there[name].node.GetID())
    for volume in gone:
        remove_with_products(volume)


def shown_ct(registration: Registration) -> Any:
    """Return the volume node that slices show: that of the chosen bone, where it has one of its own, else the CT."""
    return registration.apart.get(chosen_bone(registration), registration.ct)
