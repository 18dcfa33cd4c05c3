"""One registration in the scene: a parameter node that refers to the CT, its transform and the X-rays."""

from __future__ import annotations

import numpy as np
import slicer

from ..errors import InputError
from . import nodes
from .nodes import OWNER, product, remove_with_products
from .xray import XRayView

MODULE = "MultiViewRegistration"
CT = "ct"
CT_TRANSFORM = "ctTransform"
SEGMENTATION = "segmentation"
SEGMENT_ID = "segmentID"
XRAY = "xray"
CT_UNIT = "ctUnit"
MAX_VIEWS = 8


class Registration:
    """A vtkMRMLScriptedModuleNode and what it refers to; nothing is kept here, so that a saved scene has all of it.

    Roles and parameters are stored as Slicer's parameterNodeWrapper stores fields of the same names.
    """

    def __init__(self, node) -> None:
        self.node = node

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Registration) and other.node is self.node

    __hash__ = None

    @classmethod
    def create(cls, scene, name: str = "Registration") -> Registration:
        """A new one; several may live in one scene."""
        node = slicer.vtkMRMLScriptedModuleNode()
        node.SetName(scene.GenerateUniqueName(name))
        node.SetAttribute("ModuleName", MODULE)
        node.SetModuleName(MODULE)
        # It is born hidden, and Slicer's selectors look only at nodes that are visible when they are added.
        node.SetHideFromEditors(False)
        return cls(scene.AddNode(node))

    @classmethod
    def all(cls, scene) -> list[Registration]:
        """The registrations of a scene."""
        found = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode", scene)
        return [cls(node) for node in found if node.GetAttribute("ModuleName") == MODULE]

    @property
    def scene(self):
        return self.node.GetScene()

    @property
    def name(self) -> str:
        return self.node.GetName()

    @property
    def ct(self):
        """The CT's volume node, None before one is chosen."""
        return self.node.GetNodeReference(CT)

    @ct.setter
    def ct(self, volume) -> None:
        """Put a volume under this registration's transform, where it stays in place; the one before goes back under what it was under.

        InputError where it lies under a transform that is not linear.
        """
        if volume is self.ct:
            return
        if volume is not None:
            refuse_nonlinear(volume)
            world_from_ct = nodes.world_from_node(volume)
        if self.ct is not None:
            self._release(self.ct)
        self.node.SetNodeReferenceID(CT, volume and volume.GetID())
        if volume is not None:
            nodes.set_transform(self.ct_transform, world_from_ct)
            self._adopt(volume)

    @property
    def ct_transform(self):
        """The vtkMRMLLinearTransformNode that takes the CT to the world: the result."""
        return product(self.node, CT_TRANSFORM, "vtkMRMLLinearTransformNode", f"{self.name} CT to world")

    @property
    def world_from_ct(self):
        """(4, 4), LPS mm: where the CT is now. Where a user removed its transform, setting it makes a new one."""
        transform = self.node.GetNodeReference(CT_TRANSFORM)
        if transform is not None:
            return nodes.transform_of(transform)
        return nodes.world_from_node(self.ct) if self.ct is not None else np.eye(4)

    @world_from_ct.setter
    def world_from_ct(self, pose) -> None:
        removed = self.node.GetNodeReference(CT_TRANSFORM) is None
        nodes.set_transform(self.ct_transform, pose)
        if removed:
            for node in filter(None, (self.ct, self.segmentation)):
                node.SetAndObserveTransformNodeID(self.ct_transform.GetID())

    @property
    def segmentation(self):
        """The segmentation that has the structure to register, None for the whole CT."""
        return self.node.GetNodeReference(SEGMENTATION)

    @property
    def segment_id(self) -> str:
        return self.node.GetParameter(SEGMENT_ID)

    def choose_segment(self, segmentation, segment_id: str = "") -> None:
        """Register this segment alone; None for the whole CT. The segmentation moves with the CT from now on.

        InputError where it lies under a transform that is not linear.
        """
        before = self.segmentation
        if segmentation is not None and segmentation is not before:
            refuse_nonlinear(segmentation)
        if before is not None and before is not segmentation:
            self._release(before)
        self.node.SetNodeReferenceID(SEGMENTATION, segmentation and segmentation.GetID())
        self.node.SetParameter(SEGMENT_ID, segment_id if segmentation else "")
        if segmentation is not None and segmentation is not before:
            self._adopt(segmentation)

    @property
    def xrays(self) -> list[XRayView]:
        """The X-rays in their order."""
        return [XRayView(node) for node in nodes.references(self.node, XRAY)]

    @property
    def used_xrays(self) -> list[XRayView]:
        """Those that are not skipped."""
        return [view for view in self.xrays if view.used]

    def add_xray(self, name: str) -> XRayView:
        """A further view, with a name of its own."""
        if len(self.xrays) >= MAX_VIEWS:
            raise InputError(f"X-rays: there are {MAX_VIEWS} views already, and no more can be shown; remove one.")
        view = XRayView.create(self.scene, self._free_name(name))
        view.node.SetNodeReferenceID(OWNER, self.node.GetID())
        self.node.AddNodeReferenceID(XRAY, view.id)
        return view

    def move_xray(self, view: XRayView, to: int) -> None:
        """Put a view at another place in the order; the first is the one that the others' geometry is held against."""
        order = [other.node for other in self.xrays if other != view]
        order.insert(to, view.node)
        nodes.set_references(self.node, XRAY, order)

    def remove_xray(self, view: XRayView) -> None:
        """Remove a view and all that was made for it; a volume that it was made from stays, if it was there before."""
        left = [other.node for other in self.xrays if other != view]
        remove_with_products(view.node)
        nodes.set_references(self.node, XRAY, left)

    def _free_name(self, name: str) -> str:
        taken = {view.name.casefold() for view in self.xrays}
        names = (name if n == 1 else f"{name} {n}" for n in range(1, len(taken) + 2))
        return next(free for free in names if free.casefold() not in taken)

    def parameter(self, name: str, default: str = "") -> str:
        return self.node.GetParameter(name) or default

    @property
    def start(self) -> str:
        """The kind of start, one of session.STARTS."""
        return self.parameter("start", "search")

    def release(self) -> None:
        """Put CT and segmentation back under what they were under before they came under the transform."""
        for node in filter(None, (self.ct, self.segmentation)):
            self._release(node)

    def reclaim(self, removed_transform_id: str) -> None:
        """Put CT and segmentation under a new transform where the one with this ID was theirs, and is gone; they lie as in their files."""
        for node in (self.ct, self.segmentation):
            if node is not None and node.GetTransformNodeID() == removed_transform_id:
                node.SetAndObserveTransformNodeID(self.ct_transform.GetID())

    def _adopt(self, node) -> None:
        """Put a node under the transform, and remember under what it was."""
        before = node.GetParentTransformNode()
        node.SetNodeReferenceID(f"{MODULE}.parentBefore", before and before.GetID())
        node.SetAndObserveTransformNodeID(self.ct_transform.GetID())

    def _release(self, node) -> None:
        if node.GetParentTransformNode() is self.ct_transform:
            before = node.GetNodeReference(f"{MODULE}.parentBefore")
            node.SetAndObserveTransformNodeID(before and before.GetID())
        node.SetNodeReferenceID(f"{MODULE}.parentBefore", None)


def refuse_nonlinear(node) -> None:
    """InputError where a node lies under a transform that is not linear."""
    parent = node.GetParentTransformNode()
    if parent is None or parent.IsTransformToWorldLinear():
        return
    while parent.IsLinear():
        parent = parent.GetParentTransformNode()
    raise InputError(
        f"{node.GetName()}: lies under the transform {parent.GetName()}, which is not linear, expected a linear one or none; "
        "harden that transform on it, or take it out."
    )
