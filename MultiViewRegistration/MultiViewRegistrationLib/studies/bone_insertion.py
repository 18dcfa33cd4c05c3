"""A truth in real X-rays: one more projection of a bone, at a pose that is known, added to images that show the same bone elsewhere.

The projection is RTK's, as dense as the bone shows in these images. All else, noise, soft tissue, neighbours and the bone itself, is real.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..assessment.targets import in_field
from ..errors import InputError
from ..geometry import rigid
from ..imaging.view import View
from ..io.case import Case
from ..registration.pipeline import refine
from ..registration.prepared_ct import PreparedCT
from ..report.overlays import local_moments
from ..simulation.projector import Joseph
from .geometry_errors import perturbed_pose
from .statistics import starting_poses

#: Starts are drawn from so many intervals up to this mTRE; a bone of the hand is found from less far than a pelvis.
MAX_START_ERROR_MM, INTERVALS = 16.0, 8
#: How far the added bone is from the real one, and turned against it, at most; so much of it must lie in the fields of all views.
APART_MM, TURNED_DEG, SHOWN = (15.0, 30.0), 10.0, 0.9
MAX_DRAWS = 200
TARGETS = 30
#: Half width in pixels of the windows in which the real bone's contrast is held against that of its projection.
RADIUS = 40
#: How often each case is registered from each interval.
REPEATS = 2


@dataclass(frozen=True)
class Insertion:
    """One registration. case: number of the case. interval: of INTERVALS, from which its start is drawn."""

    number: int
    case: int
    interval: int
    repeat: int


def insertions(cases: int) -> list[Insertion]:
    """A case at a time, as images and CT of each take a while to read."""
    each = [
        (case, interval, repeat) for case in range(cases) for repeat in range(REPEATS) for interval in range(INTERVALS)
    ]
    return [Insertion(number, *what) for number, what in enumerate(each)]


class RealCase:
    """A case of real X-rays whose CT is of one bone of theirs."""

    def __init__(self, path: Path) -> None:
        """InputError where the file is no case with a start pose, or itk-rtk is missing."""
        self.case = Case.load(path)
        if self.case.world_from_ct is None:
            raise InputError(
                f"{path}: the case has no start pose (world_from_ct), expected where its bone is, about; add it."
            )
        self.name, self.anatomy = path.stem, PreparedCT(self.case.ct)
        volume = self.case.ct.volume
        self._joseph = Joseph((volume.values,), volume.ct_from_index)
        self._real = refine(self.anatomy, self.case.views, self.case.world_from_ct).world_from_ct
        self.density = float(np.median([self._density(view) for view in self.case.views]))

    def with_bone(self, rng: np.random.Generator, interval: int) -> Case:
        """Another of its bone, at a pose that is drawn, with a start from one of INTERVALS. InputError where none lies in all fields."""
        points = self.anatomy.bone_points()
        centre = rigid.transform_points(self._real, self.anatomy.centroid)
        for _ in range(MAX_DRAWS):
            truth = perturbed_pose(rng, self._real, centre, rng.uniform(0, TURNED_DEG), rng.uniform(*APART_MM))
            seen = self._in_all_fields(truth, points)
            if seen.mean() >= SHOWN * self._in_all_fields(self._real, points).mean():
                break
        else:
            raise InputError(
                f"{self.name}: at none of {MAX_DRAWS} poses beside it do all X-rays show its bone, expected larger fields."
            )
        targets = rng.choice(points[seen], min(TARGETS, int(seen.sum())), replace=False)
        views = [self._with_projection(view, truth) for view in self.case.views]
        edges = [MAX_START_ERROR_MM / INTERVALS * (interval + end) for end in (0, 1)]
        start = starting_poses(truth, targets, edges, 1, int(rng.integers(2**31))).world_from_ct[0]
        return replace(self.case, views=views, world_from_ct=start, targets=targets, truth_world_from_ct=truth)

    def _in_all_fields(self, world_from_ct: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(n,) bool of points (n, 3), CT mm."""
        return in_field(self.case.views, rigid.transform_points(world_from_ct, points)).all(axis=0)

    def _with_projection(self, view: View, pose: np.ndarray) -> View:
        added = self.density * self._joseph.project(view.camera, pose)[0]
        image = (view.xray.line_integrals + added).astype(np.float32)
        return replace(view, xray=replace(view.xray, line_integrals=image))

    def _density(self, view: View) -> float:
        """By which the projection of the bone explains its own X-ray best, where it is: least squares of what differs within windows."""
        bone = self._joseph.project(view.camera, self._real)[0]
        within = (bone > 0) & view.xray.valid
        projected, shown = (
            image - local_moments(image, within, RADIUS)[0] for image in (bone, view.xray.line_integrals)
        )
        return float(np.sum(projected[within] * shown[within]) / np.sum(projected[within] ** 2))
