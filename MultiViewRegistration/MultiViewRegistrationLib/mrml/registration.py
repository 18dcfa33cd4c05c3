"""One registration in the scene, and its deletion in a way that can be taken back.

A parameter node that refers to the CT, its transform and the X-rays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import slicer

from ..errors import InputError
from ..geometry.rigid import check_rigid
from ..imaging.ct import per_mm_of
from . import nodes
from .nodes import (
    OWNER,
    free_name,
    is_linear,
    is_under,
    nodes_of_class,
    product,
    ras_from_node,
    ras_from_transform,
    remove_with_products,
)
from .xray import XRayView, from_other_end, is_left_handed, place_of

MODULE = "MultiViewRegistration"
#: The parameter with what `Registration.keep` keeps, as JSON.
RECORD = "record"
CT = "ct"
CT_TRANSFORM = "ctTransform"
#: The role of the volumes of bones that have a CT each; the attribute with a bone's name, of its
#: volume or its transform; that of a volume with what its values mean.
BONE_CT = "boneCT"
BONE_NAME = "MultiViewRegistration.bone"
UNIT = "MultiViewRegistration.unit"
SEGMENTATION = "segmentation"
SEGMENT_ID = "segmentID"
#: The IDs of the segments that get a pose of their own each, in the record; where it is empty all do.
SEGMENT_IDS = "segmentIDs"
XRAY = "xray"
CT_UNIT = "ctUnit"
#: Where the CT's voxels lie in the CT's frame, in the record: by it a transform is known that was
#: hardened on the CT.
CT_PLACE = "ctPlace"
#: The transform that the CT was under before it came under that of the registration.
PARENT_BEFORE = "parentBefore"
MAX_VIEWS = 8
#: How far a segmentation may be off the CT's grid, as a share of a voxel and in its axes, and still
#: be one of that grid.
OFF_GRID = 0.01
OFF_AXES = 1e-4
#: Two places that differ by less are the same.
SAME = 1e-6
#: What a registration is called that has no name of its own yet.
UNNAMED = "Registration"


@dataclass(repr=False)
class Registration:
    """A vtkMRMLScriptedModuleNode and what it refers to.

    Nothing is kept here, so that a saved scene has all of it.
    """

    node: Any

    @classmethod
    def create(cls, scene: Any, name: str = UNNAMED) -> Registration:
        """Return a new registration; several may live in one scene."""
        node = slicer.vtkMRMLScriptedModuleNode()
        node.SetName(scene.GenerateUniqueName(name))
        node.SetAttribute("ModuleName", MODULE)
        node.SetModuleName(MODULE)
        # It is born hidden, and Slicer's selectors look only at nodes that are visible when they
        # are added.
        node.SetHideFromEditors(False)
        return cls(scene.AddNode(node))

    @classmethod
    def all(cls, scene: Any) -> list[Registration]:
        """Return the registrations of a scene."""
        found = nodes_of_class("vtkMRMLScriptedModuleNode", scene)
        return [cls(node) for node in found if node.GetAttribute("ModuleName") == MODULE]

    @property
    def scene(self) -> Any:
        """The vtkMRMLScene; None once the registration has left it."""
        return self.node.GetScene()

    @property
    def name(self) -> str:
        """The name of the node."""
        return self.node.GetName()

    def name_after(self, name: str) -> None:
        """Give the registration, and what was made for it, this name, unless it has one already.

        It stays the only one with its name.
        """
        if not re.fullmatch(rf"{UNNAMED}(_\d+)?", self.name):
            return
        name = free_name(name, [other.name for other in Registration.all(self.scene)])
        nodes.rename(self.node, name)

    @property
    def ct(self):
        """The CT's volume node, None before one is chosen."""
        return self.node.GetNodeReference(CT)

    @ct.setter
    def ct(self, volume: Any) -> None:
        """Put a volume under this registration's transform, where it stays in place.

        The one before goes back under what it was under.

        Raises
        ------
        InputError
            Where it lies under a transform that is not rigid.
        """
        if volume is self.ct:
            return
        if volume is not None:
            check_place(volume)
        self._release([self.ct])
        before = volume and volume.GetParentTransformNode()
        self.node.SetNodeReferenceID(PARENT_BEFORE, before and before.GetID())
        self.keep(CT_PLACE, {})
        self.node.SetNodeReferenceID(CT, volume and volume.GetID())
        self.take_in()

    @property
    def ct_transform(self):
        """The vtkMRMLLinearTransformNode that takes the CT to the world: the result."""
        return product(
            self.node, CT_TRANSFORM, "vtkMRMLLinearTransformNode", f"{self.name} CT to world"
        )

    @property
    def world_from_ct(self) -> np.ndarray:
        """(4, 4), LPS mm: where the CT is now, whatever has moved it.

        To set it takes the CT in again.
        """
        ct = self.ct
        transform = self.node.GetNodeReference(CT_TRANSFORM)
        if ct is None or not is_linear(ct):
            return np.eye(4) if transform is None else nodes.transform_of(transform)
        moved = self._node_from_ct
        world_from_node = nodes.world_from_node(ct)
        return world_from_node if moved is None else world_from_node @ nodes.transform_to_lps(moved)

    @world_from_ct.setter
    def world_from_ct(self, pose: np.ndarray) -> None:
        self.take_in()
        nodes.set_transform(self.ct_transform, pose)

    @property
    def ct_place(self) -> np.ndarray:
        """(4, 4), RAS mm: where the CT's voxels lie in the CT's frame, which stays the same where its transform is hardened."""
        place = place_of(self.ct)
        if self._node_from_ct is None:
            return place
        kept = np.array(self.kept(CT_PLACE)["place"])
        return from_other_end(kept, _size(self.ct)[2]) if is_left_handed(place) else kept

    def take_in(self) -> None:
        """Have CT and segmentation under the transform, where they are now, whatever a person has put them under.

        Raises
        ------
        InputError
            Where one lies under a transform that cannot be taken over.
        """
        ct = self.ct
        segmentation = self.segmentation
        if ct is None:
            return
        transform = self.ct_transform
        if segmentation is not None and not is_under(segmentation, transform):
            refuse_nonlinear(segmentation)
            ct_from_before = self.ct_from_segmentation
            if not np.allclose(ct_from_before, np.eye(4), rtol=0, atol=1e-9):
                segmentation.ApplyTransformMatrix(slicer.util.vtkMatrixFromArray(ct_from_before))
            segmentation.SetAndObserveTransformNodeID(transform.GetID())
        if ct.GetParentTransformNode() is not transform:
            check_place(ct)
            pose = self.world_from_ct
            ct.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(self.ct_place))
            ct.SetAndObserveTransformNodeID(transform.GetID())
            nodes.set_transform(transform, pose)
        self.keep(CT_PLACE, {"place": _place_in_file(ct).tolist(), "size": _size(ct)})

    @property
    def _node_from_ct(self) -> np.ndarray | None:
        """(4, 4), RAS mm: how the CT's voxels were moved within their node since it was taken out of the transform, as by hardening.

        None where they were not.
        """
        ct = self.ct
        under = self.ct.GetParentTransformNode()
        if under is not None and under is self.node.GetNodeReference(CT_TRANSFORM):
            return None
        kept = self.kept(CT_PLACE)
        if not kept or kept["size"] != _size(ct):
            return None
        moved = _place_in_file(ct) @ np.linalg.inv(kept["place"])
        is_rigid = np.allclose(moved[:3, :3] @ moved[:3, :3].T, np.eye(3), rtol=0, atol=SAME)
        return moved if is_rigid and not np.allclose(moved, np.eye(4), rtol=0, atol=SAME) else None

    @property
    def bone_cts(self) -> dict[str, Any]:
        """Those `apart` of bones that have a CT each; none of bones of one CT."""
        apart = self.apart
        return apart if self.ct in [*apart.values()][:1] else {}

    @property
    def apart(self) -> dict[str, Any]:
        """The volume nodes of what has one of its own, by name.

        Of implants beside the CT, or of bones with a CT each, that of `ct` the first.
        """
        volumes = nodes.references(self.node, BONE_CT)
        if self.segmentation is not None or self.ct not in volumes[:1]:
            beside = (volume for volume in volumes if volume is not self.ct)
            volumes = [each for each in beside if per_mm_of(each.GetAttribute(UNIT) or "")]
        return {volume.GetAttribute(BONE_NAME) or volume.GetName(): volume for volume in volumes}

    @apart.setter
    def apart(self, volumes: Mapping[str, Any]) -> None:
        for name, volume in volumes.items():
            volume.SetAttribute(BONE_NAME, name)
        nodes.set_references(self.node, BONE_CT, list(volumes.values()))

    @property
    def segmentation(self):
        """The segmentation that has what to register, None for the whole CT alone."""
        return self.node.GetNodeReference(SEGMENTATION)

    @property
    def segment_id(self) -> str:
        """The segment that is registered alone.

        "" where there is none, or each of them is registered after the whole CT.
        """
        return self.node.GetParameter(SEGMENT_ID)

    @property
    def registers_each(self) -> bool:
        """Whether the whole CT is registered, then each segment to a pose of its own."""
        return self.segmentation is not None and not self.segment_id

    def choose_segment(self, segmentation: Any, segment_id: str = "") -> None:
        """Register this segment alone, or, without one, the whole CT and then each segment.

        None for the whole CT alone.

        A segmentation moves with the CT once it was chosen.

        Raises
        ------
        InputError
            Where it lies under a transform that is not linear.
        """
        if segmentation is not None:
            refuse_nonlinear(segmentation)
        if segmentation is not self.segmentation:
            self.keep(SEGMENT_IDS, None)
        self.node.SetNodeReferenceID(SEGMENTATION, segmentation and segmentation.GetID())
        self.node.SetParameter(SEGMENT_ID, segment_id if segmentation else "")
        self.take_in()

    @property
    def segments_were_chosen(self) -> bool:
        """Whether anybody said which segments get a pose of their own; else all do."""
        return self.kept(SEGMENT_IDS) is not None

    @property
    def chosen_segments(self) -> list[str]:
        """The IDs of the segments that get a pose of their own each, in their order."""
        if not self.registers_each:
            return []
        every = self.segmentation.GetSegmentation().GetSegmentIDs()
        chosen = self.kept(SEGMENT_IDS)
        return [each for each in every if chosen is None or each in chosen]

    @chosen_segments.setter
    def chosen_segments(self, segment_ids: Iterable[str]) -> None:
        self.keep(SEGMENT_IDS, list(segment_ids))

    @property
    def ct_from_segmentation(self) -> np.ndarray:
        """(4, 4), RAS mm, from the frame of the segmentation to that of the CT, by where the two are in the world.

        A segmentation on the CT's own grid, as from a file, belongs onto the CT, though it does not
        lie there: it was left behind.
        """
        segmentation = self.segmentation
        if segmentation.GetParentTransformNode() is self.node.GetNodeReference(CT_TRANSFORM):
            return np.eye(4)
        for registration in Registration.all(self.scene):
            transform = registration.node.GetNodeReference(CT_TRANSFORM)
            if (
                registration.ct is self.ct
                and transform is not None
                and is_under(segmentation, transform)
            ):
                return np.linalg.inv(ras_from_transform(transform)) @ ras_from_node(segmentation)
        in_world = np.linalg.inv(nodes.transform_to_ras(self.world_from_ct)) @ ras_from_node(
            segmentation
        )
        left_behind = self._is_on_grid(np.eye(4)) and not self._is_on_grid(in_world)
        return np.eye(4) if left_behind else in_world

    def _is_on_grid(self, ct_from_segmentation: np.ndarray) -> bool:
        """Return whether the segmentation's voxels are those of the CT, if it lies so in the CT's frame (4, 4)."""
        labelmap = nodes.labelmap_of(self.segmentation)
        if labelmap is None:
            return False
        index_from_index = (
            np.linalg.inv(self.ct_place) @ ct_from_segmentation @ nodes.place_of_labelmap(labelmap)
        )
        axes = np.abs(index_from_index[:3, :3])
        shift = index_from_index[:3, 3]
        return np.allclose(axes, np.eye(3), atol=OFF_AXES) and np.allclose(
            shift, np.round(shift), rtol=0, atol=OFF_GRID
        )

    @property
    def xrays(self) -> list[XRayView]:
        """The X-rays in their order."""
        return [XRayView(node) for node in nodes.references(self.node, XRAY)]

    @property
    def used_xrays(self) -> list[XRayView]:
        """The X-rays that are not skipped."""
        return [view for view in self.xrays if view.used]

    @property
    def placed_xrays(self) -> list[XRayView]:
        """Those of `used_xrays` with an image and a geometry that fits it."""
        return [view for view in self.used_xrays if view.placed]

    def add_xray(self, name: str) -> XRayView:
        """Return a further view, with a name of its own."""
        if len(self.xrays) >= MAX_VIEWS:
            raise InputError(
                f"X-rays: there are {MAX_VIEWS} views already, and no more can be shown; remove "
                "one."
            )
        view = XRayView.create(self.scene, free_name(name, [view.name for view in self.xrays]))
        view.node.SetNodeReferenceID(OWNER, self.node.GetID())
        self.node.AddNodeReferenceID(XRAY, view.id)
        return view

    def move_xray(self, view: XRayView, to: int) -> None:
        """Put a view at another place in the order.

        The first is the one that the others' geometry is held against.
        """
        order = [other.node for other in self.xrays if other != view]
        order.insert(to, view.node)
        nodes.set_references(self.node, XRAY, order)

    def remove_xray(self, view: XRayView) -> None:
        """Remove a view and all that was made for it.

        A volume that it was made from stays, if it was there before.
        """
        left = [other.node for other in self.xrays if other != view]
        remove_with_products(view.node)
        nodes.set_references(self.node, XRAY, left)

    def parameter(self, name: str, default: str = "") -> str:
        """Return a parameter's value."""
        return self.node.GetParameter(name) or default

    def kept(self, key: str, default: Any = None) -> Any:
        """Return a copy of the value stored by `keep`, or the default."""
        return self._record.get(key, default)

    def keep(self, key: str, value: Any) -> None:
        """Keep a value, as JSON has it, in the record of what no person types."""
        self.node.SetParameter(RECORD, json.dumps(self._record | {key: value}))

    @property
    def _record(self) -> dict[str, Any]:
        return _read(self.parameter(RECORD, "{}"))

    @property
    def start(self) -> str:
        """The kind of start, one of session.STARTS."""
        return self.parameter("start", "search")

    @property
    def ct_unit(self) -> str:
        """The unit of the CT's values, "hu" or "relative"."""
        return self.parameter(CT_UNIT, "hu")

    @property
    def device(self) -> str:
        """Where it computes, a name of a `rendering.devices.ComputeDevice`."""
        return self.parameter("device", "auto")

    def release(self) -> None:
        """Put the CT back under what it was under before it came under the transform.

        What else was put under that goes with it.
        """
        on_ct = nodes_of_class("vtkMRMLTransformableNode", self.scene)
        self._release([self.ct, *(node for node in on_ct if not node.GetNodeReferenceID(OWNER))])

    def reclaim(self, removed_transform_id: str) -> None:
        """Put the CT and segmentations under a new transform where the one with this ID was theirs, and is gone.

        They lie as in their files.
        """
        for node in (self.ct, *nodes.segmentations(self.scene)):
            if node is not None and node.GetTransformNodeID() == removed_transform_id:
                node.SetAndObserveTransformNodeID(self.ct_transform.GetID())

    def _release(self, moving: list) -> None:
        """Put these nodes, as far as they are under the transform, under what the CT was under before."""
        transform, before = map(self.node.GetNodeReference, (CT_TRANSFORM, PARENT_BEFORE))
        for node in filter(None, moving):
            if transform is not None and node.GetParentTransformNode() is transform:
                node.SetAndObserveTransformNodeID(before and before.GetID())


@lru_cache(maxsize=64)  # used many times a second
def _read(text: str) -> Any:
    """Return the value of a parameter, which may be JSON."""
    return json.loads(text) if text[0] in "{[" else text


def xrays_in(scene: Any) -> Iterator[XRayView]:
    """Yield the X-rays of all registrations of a scene."""
    for registration in Registration.all(scene):
        yield from registration.xrays


def check_place(ct: Any) -> None:
    """Refuse a CT's volume node under a transform that is not rigid.

    Raises
    ------
    InputError
        Naming the node.
    """
    refuse_nonlinear(ct)
    parent = ct.GetParentTransformNode()
    if parent is not None:
        check_rigid(nodes.world_from_node(ct), f"{ct.GetName()}: its transform {parent.GetName()}")


def _place_in_file(ct: Any) -> np.ndarray:
    """Return `place_of` a CT as it is in a scene that was saved."""
    place = place_of(ct)
    return from_other_end(place, _size(ct)[2]) if is_left_handed(place) else place


def _size(volume: Any) -> list[int]:
    """Return the number of a volume's voxels along i, j, k."""
    image = volume.GetImageData()
    return list(image.GetDimensions()) if image is not None else [0, 0, 0]


def refuse_nonlinear(node: Any) -> None:
    """Refuse a node under a transform that is not linear.

    Raises
    ------
    InputError
        Naming the node.
    """
    if is_linear(node):
        return
    parent = node.GetParentTransformNode()
    while parent.IsLinear():
        parent = parent.GetParentTransformNode()
    raise InputError(
        f"{node.GetName()}: lies under the transform {parent.GetName()}, which is not linear, "
        "expected a linear one or none; harden that transform on it, or take it out."
    )


@dataclass(frozen=True, eq=False)
class DeletedRegistration:
    """A registration that is in no scene any more, with all that was made for it.

    Attributes
    ----------
    nodes
        Those that left the scene, the registration's own first; with the IDs that they had.
    references
        IDs by the role, of each of the nodes: a reference to a node that leaves the scene is
        forgotten.
    world_from_ct
        (4, 4), LPS mm.
    guests
        A person's nodes that lay under its transforms, with the IDs of these.
    masks
        Its segmentations with their segments: Slicer empties one that leaves the scene.
    """

    name: str
    nodes: list
    references: list[dict[str, list[str]]]
    world_from_ct: np.ndarray
    guests: list[tuple[Any, str]]
    masks: list[tuple[Any, Any]]

    def restore(self, scene: Any) -> Registration:
        """Bring the registration back.

        Its CT and segmentation come under its transform again, unless they are gone or another
        registration's now.
        """
        own = {node.GetID() for node in self.nodes}
        for node, references in zip(self.nodes, self.references, strict=True):
            for role, node_ids in references.items():
                node.RemoveNodeReferenceIDs(role)
                for node_id in node_ids:
                    if node_id in own or scene.GetNodeByID(node_id) is not None:
                        node.AddNodeReferenceID(role, node_id)
        for mask, segments in self.masks:
            mask.SetAndObserveSegmentation(segments)
        # Display nodes first: Slicer makes one for markups without.
        for node in reversed(self.nodes):
            scene.AddNode(node)
        registration = Registration(self.nodes[0])
        ct = registration.ct
        segmentation = registration.segmentation
        segment_id = registration.segment_id
        registration.node.SetNodeReferenceID(CT, None)
        registration.choose_segment(None)
        if ct is not None and _is_free(ct):
            registration.ct = ct
        if segmentation is not None and _is_free(segmentation):
            registration.choose_segment(segmentation, segment_id)
        registration.world_from_ct = self.world_from_ct
        for node, transform_id in self.guests:
            if node.GetScene() is scene and _is_free(node):
                node.SetAndObserveTransformNodeID(transform_id)
        return registration


def delete(registration: Registration) -> DeletedRegistration:
    """Take a registration and all that was made for it out of the scene.

    CT and segmentation stay, where they were before.
    """
    kept = nodes.with_subordinates([*_made_for(registration.node)])
    movable = nodes.nodes_of_class("vtkMRMLTransformableNode", registration.scene)
    placed = [node for node in movable if node not in kept and node is not registration.ct]
    guests = [node for node in placed if node.GetParentTransformNode() in kept]
    deleted = DeletedRegistration(
        registration.name,
        kept,
        list(map(nodes.all_references, kept)),
        registration.world_from_ct,
        [(node, node.GetTransformNodeID()) for node in guests],
        [(node, node.GetSegmentation()) for node in kept if node.IsA("vtkMRMLSegmentationNode")],
    )
    for mask, _segments in deleted.masks:
        mask.SetAndObserveSegmentation(slicer.vtkSegmentation())
    registration.scene.RemoveNode(registration.node)
    return deleted


def _made_for(node: Any) -> Iterator[Any]:
    """Yield a node, what was made for it, and what was made for that."""
    yield node
    for made in nodes.products_of(node):
        yield from _made_for(made)


def _is_free(node: Any) -> bool:
    """Return whether a CT or a segmentation belongs to no registration."""
    for registration in Registration.all(node.GetScene()):
        if any(registration.node.GetNodeReference(role) is node for role in (CT, SEGMENTATION)):
            return False
    return True
