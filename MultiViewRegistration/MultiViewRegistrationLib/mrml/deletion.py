"""Deletes a registration in a way that can be taken back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from . import nodes
from .registration import CT, SEGMENTATION, Registration


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
