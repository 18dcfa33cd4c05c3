"""What bones, and the rest of their CT, show in the parts of an X-ray that they cover."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..geometry.camera import Camera
from ..imaging.xray import View
from ..rendering.drr import Projector, intrinsics_jacobian
from . import similarity

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


def overlap(one: tuple[slice, slice], other: tuple[slice, slice]) -> tuple[slice, slice] | None:
    """Return what two parts of an image have in common; None where that is nothing."""
    rows, columns = (
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )
    return (rows, columns) if rows.stop > rows.start and columns.stop > columns.start else None


def box_of(mask: np.ndarray) -> tuple[slice, slice]:
    """Return the part of an image (rows, columns) that holds all pixels that are set, and their neighbours."""
    ends = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    if not len(ends[0]):
        return slice(0, 1), slice(0, 1)
    rows, columns = (slice(max(int(held[0]) - 1, 0), int(held[-1]) + 2) for held in ends)
    return rows, columns
