"""A bone, or an implant, by what it attenuates and shows in an X-ray, and how those of a case neighbour each other.

It shows in the part of the X-ray that it covers; so does the rest of its CT.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import scipy

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.body import Body, Structures
from ..imaging.ct import CT, WATER, Volume, pyramid
from ..imaging.field import nearest
from ..imaging.xray import View
from ..rendering.devices import Lock
from ..rendering.drr import Projector, cut_ends, intrinsics_jacobian
from . import similarity
from .prepared_ct import VOLUME_LEVELS, PreparedCT, anatomies_of, level_of
from .problem import Tie

#: So many points of a bone stand for its surface where neighbours are looked for; those this much
#: farther apart than the nearest are part of the joint.
SURFACE_POINTS = 300
JOINT_MM = 5.0
#: Voxels of an implant may be so many times as large as those of bones: with 1 the turn of one of
#: eight simulated screws about itself was off by 0.7 degrees, with this by 0.15.
IMPLANT_VOXELS = 0.55
#: The finest images have about so many pixels across a bone of usual size, the middle one of the
#: sides of its box.
PIXELS_ACROSS = 75
#: And across an implant, whose edge is sharp: with 75 the turn of simulated hip components was off
#: five times as much.
IMPLANT_PIXELS = 150
NO_CUT = np.zeros(6, bool)


class Bone:
    """One structure of a CT, by what it attenuates more than what is in its place without it.

    Parameters
    ----------
    name
        Of the structure.
    attenuation
        Of the whole CT, 1/mm.
    mask
        bool (nk, nj, ni) on the CT's grid, or on the part of it that begins at `first`.
    first
        (k, j, i) of the mask's first voxel.
    replaced
        Attenuation of what is in its place without it, 1/mm: by default soft tissue.
    cut
        (6,) bool, the ends of its CT at which the bone goes on, see `drr.cut_ends`.
    saturates_at
        As of a `Projector`.
    device
        Of PyTorch, that compares it; "" for this machine's threads.

    Attributes
    ----------
    centroid
        (3,) CT mm.
    box
        The part (k, j, i) of the CT's grid that holds it.
    corners
        (8, 3) CT mm, of the box about it.
    surface
        (N, 3) CT mm, some of its voxels.
    finest
        What it attenuates more, on its part of the CT's grid.
    """

    def __init__(
        self,
        name: str,
        attenuation: Volume,
        mask: np.ndarray,
        first: Sequence[int] = (0, 0, 0),
        replaced: float = WATER,
        cut: np.ndarray = NO_CUT,
        saturates_at: float = np.inf,
        device: str = "",
    ) -> None:
        self.name = name
        self.device = device
        self.cut = cut
        self.saturates_at = saturates_at
        part = scipy.ndimage.find_objects(mask.astype(np.uint8))[0]
        starts = [start + side.start for start, side in zip(first, part, strict=True)]
        mask = mask[part]
        self.box = tuple(slice(a, a + n) for a, n in zip(starts, mask.shape, strict=True))
        values = np.maximum(attenuation.values[self.box] - np.float32(replaced), 0) * mask
        placed = attenuation.ct_from_index @ rigid.translation(starts[::-1])
        self.finest = Volume(values, placed)
        points = rigid.transform_points(placed, np.argwhere(mask)[:, ::-1].astype(float))
        self.centroid = points.mean(axis=0)
        self.surface = rigid.some_of(points, SURFACE_POINTS)
        ends = [(-0.5, size - 0.5) for size in values.shape[::-1]]
        self.corners = rigid.transform_points(placed, rigid.grid_points(*ends))
        self._projectors: dict[int, Projector] = {}
        self._making = Lock()

    @classmethod
    def of_ct(cls, name: str, anatomy: PreparedCT) -> Bone:
        """Return the bone of a CT that shows nothing else."""
        attenuation = anatomy.attenuation(0)
        return cls(
            name,
            attenuation,
            attenuation.values > anatomy.replaced,
            replaced=anatomy.replaced,
            cut=cut_ends(attenuation),
            saturates_at=anatomy.saturates_at,
            device=anatomy.device,
        )

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Return bool (N,), which of the points (N, 3), CT mm, lie in a voxel of the bone."""
        index = rigid.transform_points(self.finest.index_from_ct, points)
        return nearest(self.finest.values, index) > 0

    def distance_between(self, pose: np.ndarray, other: np.ndarray) -> float:
        """Return the root mean square distance, mm, of its surface points between two poses (4, 4)."""
        points = [rigid.transform_points(each, self.surface) for each in (pose, other)]
        return float(np.sqrt(np.sum((points[0] - points[1]) ** 2, axis=1).mean()))

    def gap_mm(self, pose: np.ndarray, other: Bone, there: np.ndarray) -> float:
        """Return the distance of its surface at a pose (4, 4) from that of another bone at its own."""
        points = rigid.transform_points(pose, self.surface)
        return float(_distances(points, rigid.transform_points(there, other.surface)).min())

    def thirds(self) -> list[Bone]:
        """Return its lower, middle and upper third, by what they attenuate."""
        values = self.finest.values
        places = np.argwhere(values > 0)
        places = places[np.argsort(places[:, ::-1] @ self.finest.ct_from_index[2, :3])]
        below = np.cumsum(values[tuple(places.T)])
        thirds = []
        for part in np.split(places, np.searchsorted(below, below[-1] / 3 * np.array([1, 2]))):
            mask = np.zeros(values.shape, bool)
            mask[tuple(part.T)] = True
            thirds.append(Bone(self.name, self.finest, mask, replaced=0.0))
        return thirds

    @property
    def is_implant(self) -> bool:
        """Whether the bone is of a material, behind which X-rays saturate, and none of a patient."""
        return np.isfinite(self.saturates_at)

    @property
    def pixel_mm(self) -> float:
        """How large a pixel may be at the bone."""
        middle_mm = float(np.median(np.ptp(self.corners, axis=0)))
        return middle_mm / (IMPLANT_PIXELS if self.is_implant else PIXELS_ACROSS)

    @cached_property
    def _volumes(self) -> list[Volume]:
        return pyramid(self.finest, VOLUME_LEVELS)

    def projector(self, level: int) -> Projector:
        """Return the projector of one level of the CT's pyramid, 0 being its own resolution."""
        with self._making:
            if level not in self._projectors:
                self._projectors[level] = Projector(
                    self._volumes[level], self.cut, self.saturates_at
                )
            return self._projectors[level]

    def level(self, voxel_mm: float) -> int:
        """Return the level of the pyramid for a voxel size, as `PreparedCT.level`."""
        voxel_mm *= IMPLANT_VOXELS if self.is_implant else 1
        return level_of(self._volumes, voxel_mm)


def bones_of(structures: Structures, whole: PreparedCT) -> list[Bone]:
    """Return the structures of a CT as bones."""
    attenuation = whole.attenuation(0)
    found = []
    for n, (name, box) in enumerate(zip(structures.names, structures.boxes, strict=True), start=1):
        corner = [side.start for side in box]
        mask = structures.labels[box] == n
        found.append(Bone(name, attenuation, mask, corner, device=whole.device))
    return found


def bones_of_bodies(bodies: Sequence[Body], first: PreparedCT) -> list[Bone]:
    """Return what has a pose of its own beside others: of each body its bones, or itself where it is one.

    The CT of the first is ready.
    """
    found = []
    for body, own in zip(bodies, anatomies_of(bodies, first), strict=True):
        found += [Bone.of_ct(body.name, own)] if body.apart else bones_of(body.bones, own)
    return found


def parts_of(bodies: Sequence[Body], first: PreparedCT, names: Collection[str]) -> dict[str, Any]:
    """Return what is drawn of bodies, by name: the first, which is ready, without its bones of these names; these; other CTs."""
    own = bodies[0]
    wanted = {*names} - {own.name}
    bones = bones_of_bodies(bodies, first)
    bones = [bone for bone in bones if bone.name in wanted]
    held = [bone for bone in bones if bone.name in own.bone_names]
    return {own.name: first.without(held) if held else first, **{each.name: each for each in bones}}


def placed(parts: Mapping[str, Any], places: Mapping[str, Any]) -> tuple[PreparedCT, np.ndarray]:
    """Return parts, each at its own of these poses (4, 4), if it has one, to be drawn as one CT, and the pose (4, 4) of that."""
    first, *bones = parts
    drawn = copy(parts[first])
    drawn.beside = [(parts[name], places[name]) for name in bones if places.get(name) is not None]
    return drawn, places[first]


def ties_of(bones: Sequence[Bone]) -> list[Tie]:
    """Return the tree that connects all bones by the shortest distances between them (Prim, Bell Syst. Tech. J. 36, 1957)."""
    apart: dict[tuple[int, int], np.ndarray] = {}
    for a, b in combinations(range(len(bones)), 2):
        distances = _distances(bones[a].surface, bones[b].surface)
        apart[a, b], apart[b, a] = distances.min(axis=0), distances.min(axis=1)
    joined = [0]
    ties: list[Tie] = []
    while len(joined) < len(bones):
        pairs = [pair for pair in apart if pair[0] in joined and pair[1] not in joined]
        a, b = min(pairs, key=lambda pair: apart[pair].min())
        near = bones[b].surface[apart[a, b] < apart[a, b].min() + JOINT_MM]
        ties.append(Tie(a, b, near.mean(axis=0)))
        joined.append(b)
    return ties


def _distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the distances (N, M), mm, between points (N, 3) and (M, 3)."""
    middle = points.mean(axis=0)
    points = points - middle
    others = others - middle
    squares = np.sum(points**2, axis=1)[:, None] + np.sum(others**2, axis=1) - 2 * points @ others.T
    return np.sqrt(np.maximum(squares, 0))


@cache
def air() -> PreparedCT:
    """Return the CT of nothing: all that is known of what lies behind bones with a CT each."""
    hu = np.full((2, 2, 2), -1000, np.float32)
    return PreparedCT(CT(Volume(hu, np.eye(4)), mask=hu < 0))


class Background(NamedTuple):
    """A CT behind bones, without those that it holds itself, or air.

    Attributes
    ----------
    ct
        The whole CT, or `air`.
    world_from_ct
        (4, 4).
    bones
        That it holds, and which may lie elsewhere; others have a CT each.
    ties
        Between these, see `ties_of`.
    moves
        Whether it has a pose to be found, after those of the bones.
    """

    ct: PreparedCT
    world_from_ct: np.ndarray
    bones: Sequence[Bone] = ()
    ties: Sequence[Tie] = ()
    moves: bool = False

    @classmethod
    def of(cls, structures: Structures, ct: PreparedCT, world_from_ct: np.ndarray) -> Background:
        """Return a CT at a pose (4, 4) that holds these structures."""
        bones = bones_of(structures, ct)
        return cls(ct, world_from_ct, bones, ties_of(bones))

    @property
    def is_air(self) -> bool:
        """Whether it is `air`: nothing is known of what lies there."""
        return self.ct is air()


#: The rest of the CT is rendered so many pixels farther than it is compared, as bones move on.
REST_AHEAD = 4


class Shadow(NamedTuple):
    """A bone in one view.

    Attributes
    ----------
    part
        The part of the image that the bone changes.
    around
        A wider one, in which the bone is judged.
    image, jacobian
        The DRR of the bone in `part`, and its derivative by the pose.
    """

    part: tuple[slice, slice]
    around: tuple[slice, slice]
    image: np.ndarray
    jacobian: np.ndarray | None


Shadows = list[list[Shadow | None]]
"""By view, by bone; None where a view does not show it."""


@dataclass(eq=False)
class Rest:
    """The rest of the CT in one view, rendered only where it is compared.

    Parameters
    ----------
    projector, camera, world_from_ct
        Of the whole CT.
    shadows
        Of the bones where that pose has them.
    """

    _projector: Projector
    _camera: Camera
    _pose: np.ndarray
    _shadows: Sequence[Shadow]

    def __post_init__(self) -> None:
        self.image = np.zeros(self._camera.size[::-1], np.float32)
        self._known = np.zeros(self.image.shape, bool)

    def fill(self, mask: np.ndarray) -> None:
        """Fill the image in at the pixels that are set and their neighbours."""
        if not (grown(mask, 1) & ~self._known).any():
            return
        wanted = grown(mask, 1 + REST_AHEAD) & ~self._known
        image = self._projector.render(self._camera, self._pose, wanted=wanted).image
        for shadow in self._shadows:
            image[shadow.part] -= shadow.image
        np.copyto(self.image, image, where=wanted)
        self._known |= wanted


def grown(mask: np.ndarray, margin: int) -> np.ndarray:
    """Return bool (rows, columns), the pixels up to so many, in rows and columns, from one that is set."""
    near = np.empty(mask.shape, np.float32)
    similarity.box_sum(mask, margin, near)
    return near > 0.5


def with_intrinsics(view: View, shadow: Shadow | None, pivot: np.ndarray) -> Shadow | None:
    """Return a shadow whose derivatives are by the camera's intrinsics, too."""
    if shadow is None or shadow.jacobian is None:
        return shadow
    jacobian = np.empty((9, *shadow.image.shape), np.float32)
    jacobian[:6] = shadow.jacobian
    intrinsics_jacobian(camera_of_part(view, shadow.part), pivot, jacobian[:6], jacobian[6:])
    return shadow._replace(jacobian=jacobian)


def part_between(low: np.ndarray, high: np.ndarray) -> tuple[slice, slice]:
    """Return the part of an image between two corners (2,), column and row."""
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def camera_of_part(view: View, part: tuple[slice, slice]) -> Camera:
    """Return the camera of a part of a view."""
    rows, columns = part
    return view.camera.cropped(
        columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
    )


def box_of(mask: np.ndarray) -> tuple[slice, slice]:
    """Return the part of an image (rows, columns) that holds all pixels that are set, and their neighbours."""
    ends = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    if not len(ends[0]):
        return slice(0, 1), slice(0, 1)
    rows, columns = (slice(max(int(held[0]) - 1, 0), int(held[-1]) + 2) for held in ends)
    return rows, columns
