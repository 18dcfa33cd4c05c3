"""The structure whose motion against the one that is played is told: its bone in 3D and its outline in the X-rays, frame after frame."""

from __future__ import annotations

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkPolyData

from ..mrml import bone_surface
from ..mrml.background_task import Worker
from ..mrml.detector import Detector
from ..mrml.frames import set_transform, transform_to_ras
from ..mrml.products import product, remove_with_products
from ..mrml.registration import Registration
from ..mrml.shapes import Shape, shape_of
from ..mrml.structures import OTHER, outlined
from .motion import Motion

PLACE = "otherStructurePlace"
#: Sky blue, of Okabe and Ito's colours, which are told apart by everybody: also from the other bone's.
COLOUR = (0.34, 0.71, 0.91)


class OtherStructure:
    """Its surface is made in a thread; from then on `follow` puts it where it was found.

    motion: against the one that is played.   worker: what makes the surface, None once that is done.
    problem: why it is not seen, a sentence; "" where it is, or will be.
    """

    def __init__(self, registration: Registration, motion: Motion) -> None:
        self._registration, self.motion, self.problem = registration, motion, ""
        self._at: np.ndarray | None = None
        self._shape: Shape | None = None
        self._outlines: dict[str, tuple[tuple, np.ndarray]] = {}
        self.worker: Worker | None = Worker(lambda tell: _made(motion))

    def follow(self, number: int | None) -> bool:
        """Show it as it is in a frame, not at all where it was lost or rejected there; whether it has just come to be known."""
        made = self._look()
        node = self._registration.node.GetNodeReference(OTHER)
        pose = None if number is None else self.motion.poses[number]
        if node is not None and (made or pose is not self._at):
            if pose is not None:
                set_transform(node.GetParentTransformNode(), pose)
            node.SetDisplayVisibility(pose is not None)
            self._at = pose
        return made

    def outline(self, detector: Detector) -> np.ndarray:
        """(k, 2, 2): the lines of its outline in an X-ray, pixels; none where it is not seen."""
        node = self._registration.node.GetNodeReference(OTHER)
        if node is None or self._at is None or not node.GetDisplayVisibility():
            return np.zeros((0, 2, 2))
        name, key = detector.view.node.GetID(), (detector.stamp, self._at.tobytes())
        if self._outlines.get(name, ((),))[0] != key:
            self._outlines[name] = key, outlined(self._shape, transform_to_ras(self._at), detector)
        return self._outlines[name][1]

    def remove(self) -> None:
        """Take it out of the scene."""
        for role in (OTHER, PLACE):
            node = self._registration.node.GetNodeReference(role)
            if node is not None:
                remove_with_products(node)

    def _look(self) -> bool:
        """Take the surface as soon as it is made; whether that is now."""
        if self.worker is None:
            return False
        self.worker.poll(0)
        if self.worker.state == "running":
            return False
        worker, self.worker = self.worker, None
        if worker.state == "done":
            mesh, self._shape = worker.result
            self._put(mesh)
        else:
            self.problem = f"Its bone is not shown: {worker.message}"
        return True

    def _put(self, made) -> None:
        owner = self._registration.node
        place = product(owner, PLACE, "vtkMRMLLinearTransformNode", f"{self.motion.moving} to world", hidden=True)
        node = product(owner, OTHER, "vtkMRMLModelNode", f"{self.motion.moving} bone")
        bone_surface.fill(node, made, place, COLOUR)
        for each in (place, node, node.GetDisplayNode()):
            each.SetSaveWithScene(False)  # its track.json is opened again


def _made(motion: Motion) -> tuple[vtkPolyData, Shape]:
    """The surface, and what its outlines are made from."""
    mesh = bone_surface.of_structure(motion.structure())
    return mesh, shape_of(mesh)
