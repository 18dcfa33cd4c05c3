"""Motion of another tracked structure against the one that is played: its curves and files, its bone in 3D, its outline in the X-rays."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..imaging.ct import CT
from ..io.json_reader import printable
from ..mrml import ct_3d
from ..mrml.detector import DetectorPlane
from ..mrml.frames import set_transform, transform_to_ras
from ..mrml.nodes import product, remove_product
from ..mrml.registration import Registration
from ..mrml.structures import OTHER, Shape, outlined, shape_of
from .background_task import Worker
from .player import Played


@dataclass(frozen=True, eq=False)
class StructureMotion:
    """fixed, moving: the structures' names.   count: of all frames.   motion: a `sequence.motion.Relative` of each that has both poses.

    curves: what is plotted, see `sequence.motion.curves`.
    poses: (4, 4) world_from_ct of the moving structure in each frame, None where it was lost or rejected.
    structure: reads its CT, in any thread; InputError where that is not there any more.
    """

    fixed: str
    moving: str
    count: int
    motion: list
    curves: list[tuple[str, str, list[tuple[str, list[float]]]]]
    poses: list[np.ndarray | None]
    structure: Callable[[], CT]

    @property
    def title(self) -> str:
        return f"{self.moving} against {self.fixed}"

    @property
    def rows(self) -> list[tuple[int, float, float]]:
        """Of each frame its number, the turn in degrees, and the shift of the moving centroid in mm, since the first of them."""
        return [
            (each.number, float(np.linalg.norm(each.rotation_deg)), float(np.linalg.norm(each.shift_mm)))
            for each in self.motion
        ]

    @property
    def left_out(self) -> str:
        """How many frames are in neither, a sentence; "" for none."""
        missing = self.count - len(self.motion)
        told = "1 frame is" if missing == 1 else f"{missing} frames are"
        return f"{told} left out: one of the two was lost or rejected there, or was not tracked." if missing else ""

    def save(self, folder: str | os.PathLike) -> list[Path]:
        """Write motion.csv and motion.html."""
        from ..sequence.motion import write_files

        write_files(folder, self.motion, self.fixed, self.moving, self.count)
        return [Path(folder) / name for name in ("motion.csv", "motion.html")]


def motion_of(path: str | os.PathLike, played: Played) -> StructureMotion:
    """The motion of the structure in a track.json, or in a folder that holds one, against the one that is played.

    InputError for what is no such file, for tracks of other frames, and where no two frames have both poses.
    """
    from ..sequence.motion import curves, motion_against
    from ..sequence.track_files import StoredTrack

    moving = StoredTrack.read(path)
    fixed = [None] * played.count
    for frame in played.frames:
        fixed[frame.number] = frame.world_from_ct if frame.kept else None
    motion = motion_against(fixed, moving, f"{played.name}, which is played", printable(Path(path).name))
    stored = isinstance(played.track, StoredTrack)
    beside = [played.track.folder, *(case.resolve().parent for case in played.images.files.cases)] if stored else []
    return StructureMotion(
        played.name, moving.name, played.count, motion, curves(motion), moving.poses, lambda: moving.structure(beside)
    )


OTHER_TRANSFORM = "otherStructurePlace"
#: Sky blue, of Okabe and Ito's colours, which are told apart by everybody: also from the other bone's.
OTHER_COLOUR = (0.34, 0.71, 0.91)


class OtherStructure:
    """Its surface is made in a thread; from then on `follow` puts it where it was found.

    motion: against the one that is played.   worker: what makes the surface, None once that is done.
    problem: why it is not seen, a sentence; "" where it is, or will be.
    """

    def __init__(self, registration: Registration, motion: StructureMotion) -> None:
        self._registration, self.motion, self.problem = registration, motion, ""
        self._at: np.ndarray | None = None
        self._shape: Shape | None = None
        self._outlines: dict[str, tuple[tuple, np.ndarray]] = {}
        self.worker: Worker | None = Worker(lambda tell: _structure_shape(motion))

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

    def outline(self, detector: DetectorPlane) -> np.ndarray:
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
        for role in (OTHER, OTHER_TRANSFORM):
            remove_product(self._registration.node, role)

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
        place = product(
            owner, OTHER_TRANSFORM, "vtkMRMLLinearTransformNode", f"{self.motion.moving} to world", hidden=True
        )
        node = product(owner, OTHER, "vtkMRMLModelNode", f"{self.motion.moving} bone")
        ct_3d.fill_model(node, made, place, OTHER_COLOUR)
        for each in (place, node, node.GetDisplayNode()):
            each.SetSaveWithScene(False)  # its track.json is opened again


def _structure_shape(motion: StructureMotion) -> tuple[object, Shape]:
    """The surface, and what its outlines are made from."""
    mesh = ct_3d.structure_surface(motion.structure())
    return mesh, shape_of(mesh)
