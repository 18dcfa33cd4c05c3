"""The names of the X-rays at their sources in a 3D view.

Beside the beams, apart, inside the view, from wherever it looks.
"""

from __future__ import annotations

import numpy as np

from .nodes import ras_from_lps
from .registration import Registration
from .xray_annotations import LABEL_3D, LETTER_HEIGHT, LETTER_WIDTH, USUAL_DENSITY

#: Pixels between a source and its label, between labels, and to the edge of the view.
GAP = 8.0
#: Pixels at the top of the view, where its name and buttons are.
TITLE = 28.0
#: Rounds in which labels that overlap push each other apart, at most.
MAX_ROUNDS = 60


def settle_labels_3d(
    registration: Registration, camera_node, size: tuple[int, int], density: float = USUAL_DENSITY
) -> None:
    """Put the labels where they can be read.

    Parameters
    ----------
    camera_node
        The view's vtkMRMLCameraNode.
    size
        (width, height) of the view in pixels.
    density
        Its screen scale factor.
    """
    labels = [
        (view, view.node.GetNodeReference(LABEL_3D)) for view in registration.xrays if view.placed
    ]
    labels = [
        (view, markups)
        for view, markups in labels
        if markups is not None and markups.GetNumberOfControlPoints()
    ]
    if not labels:
        return
    to_screen, grow = _Screen(camera_node, size), density / USUAL_DENSITY
    sources, depths = to_screen(np.array([ras_from_lps(view.camera.source) for view, _ in labels]))
    feet, _depths = to_screen(
        np.array(
            [
                ras_from_lps(
                    view.camera.source + view.detector_mm * view.camera.world_from_camera[:3, 2]
                )
                for view, _ in labels
            ]
        )
    )
    seen = depths > 0
    halves = (
        grow * np.array([[LETTER_WIDTH * len(view.name), LETTER_HEIGHT] for view, _ in labels]) / 2
    )
    below_title = size[0], size[1] - grow * TITLE
    centres = spread(
        beside(sources[seen], feet[seen], halves[seen], grow * GAP),
        halves[seen],
        below_title,
        grow * GAP,
    )
    for (_view, markups), centre, half, depth in zip(
        np.array(labels, object)[seen], centres, halves[seen], depths[seen], strict=True
    ):
        place = to_screen.back(
            centre - [0, half[1]], depth
        )  # a text stands on its point, in its middle
        if not np.allclose(markups.GetNthControlPointPosition(0), place, atol=1e-3):
            markups.SetNthControlPointPosition(0, *place)


class Labels3D:
    """Settles the labels whenever they, the camera or the view have changed."""

    def __init__(self) -> None:
        self._settled: tuple | None = None

    def update(
        self,
        registration: Registration,
        camera_node,
        size: tuple[int, int],
        density: float = USUAL_DENSITY,
    ) -> None:
        """Follow the view; call it as often as the view is looked after."""
        now = camera_node.GetCamera().GetMTime(), size, stamp(registration)
        if now != self._settled:
            settle_labels_3d(registration, camera_node, size, density)
            self._settled = *now[:2], stamp(registration)


def stamp(registration: Registration) -> tuple:
    """Return a value that changes once a label has come, gone or moved."""
    markups = (view.node.GetNodeReference(LABEL_3D) for view in registration.xrays)
    return tuple(node.GetMTime() for node in markups if node is not None)


def beside(sources: np.ndarray, feet: np.ndarray, halves: np.ndarray, gap: float) -> np.ndarray:
    """Return the centres (n, 2) of labels beyond sources (n, 2), pixels, away from the beams' feet (n, 2).

    Parameters
    ----------
    halves
        (n, 2) of their sizes.
    """
    away = sources - feet
    length = np.linalg.norm(away, axis=1, keepdims=True)
    away = np.where(length > 1, away / np.maximum(length, 1), [0.0, -1.0])
    return sources + away * (gap + np.abs(away * halves).sum(axis=1, keepdims=True))


def spread(
    centres: np.ndarray, halves: np.ndarray, size: tuple[float, float], gap: float
) -> np.ndarray:
    """Return centres (n, 2) of labels that do not overlap, near the wanted ones and inside a view, as far as it has room.

    Parameters
    ----------
    size
        (width, height) of the view.
    """
    centres, low, high = centres.copy(), halves + gap / 2, np.array(size) - halves - gap / 2
    for _ in range(MAX_ROUNDS):
        centres = np.clip(centres, low, np.maximum(low, high))
        free = True
        for i in range(len(centres)):
            for j in range(i):
                apart = centres[i] - centres[j]
                lack = halves[i] + halves[j] + gap / 2 - np.abs(apart)
                if (lack > 1e-6).all():
                    free, axis = False, 1 if lack[1] <= lack[0] else 0
                    push = lack[axis] / 2 * (1 if apart[axis] >= 0 else -1)
                    centres[i, axis] += push
                    centres[j, axis] -= push
        if free:
            break
    return centres


class _Screen:
    """Pixels (x to the right, y up, from the lower left) and depths along the view, of points (n, 3), RAS mm, in a 3D view."""

    def __init__(self, camera_node, size: tuple[int, int]) -> None:
        eye, focus, up = (
            np.array(getattr(camera_node, f"Get{each}")())
            for each in ("Position", "FocalPoint", "ViewUp")
        )
        forward = (focus - eye) / np.linalg.norm(focus - eye)
        right = np.cross(forward, up) / np.linalg.norm(np.cross(forward, up))
        self._axes, self._eye = np.stack([right, np.cross(right, forward), forward]), eye
        self._scale = size[1] / 2 / np.tan(np.radians(camera_node.GetViewAngle()) / 2)
        window = np.array(camera_node.GetCamera().GetWindowCenter())
        self._middle = np.array(size) / 2 * (1 - window)
        self._parallel = (
            size[1] / 2 / camera_node.GetParallelScale()
            if camera_node.GetParallelProjection()
            else None
        )

    def __call__(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen = (points - self._eye) @ self._axes.T
        scale = self._parallel or self._scale / np.where(seen[:, 2:] > 1e-6, seen[:, 2:], 1e-6)
        return self._middle + scale * seen[:, :2], seen[:, 2]

    def back(self, pixel: np.ndarray, depth: float) -> np.ndarray:
        scale = self._parallel or self._scale / depth
        return self._eye + np.append((pixel - self._middle) / scale, depth) @ self._axes
