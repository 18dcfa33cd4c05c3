"""The linked cursor: a point in any view shows in all.

One in an X-ray is a line in the others, and with a second a point in the CT.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import slicer
from vtkmodules.vtkFiltersSources import vtkSphereSource

from ..errors import InputError
from ..geometry.epipolar import epipolar_line, triangulate
from .layout import number_of
from .nodes import (
    configure,
    cross,
    draw,
    lines_node,
    nodes_of_class,
    placed,
    positions,
    product,
    ras_from_lps,
    remove_product,
    transform_to_ras,
)
from .registration import Registration
from .xray import DetectorPlane, detector_of, detectors

CURSOR = "cursor"
CROSS = "cursorCross"
LINE = "cursorLine"
RAY = "cursorRay"
BALL = "cursorBall"
COLOUR = (0.1, 0.95, 1.0)
#: The arms of the cross, as shares of the image's larger side, and the ball's radius.
GAP = 0.008
REACH = 0.03
BALL_MM = 1.5
HOVERING_MM = 0.1
CAUTION_MM = 2.0


@dataclass(frozen=True, eq=False)
class Reading:
    """The reading of the cursor.

    Attributes
    ----------
    seen
        Pixels (column, row) of the X-rays it was put in, by their node's ID.
    ras
        (3,) mm in the world, None while that is open.
    residual_mm, residual_px
        How far the point is, at most, from the rays that it was found from and from their pixels;
        else None.
    warning
        Why not to trust the point, or why there is none; "" where all is well.
    """

    seen: dict[str, np.ndarray] = field(default_factory=dict)
    ras: np.ndarray | None = None
    residual_mm: float | None = None
    residual_px: float | None = None
    warning: str = ""

    def lines_in(self, detector: DetectorPlane, among: list[DetectorPlane]) -> list[np.ndarray]:
        """Return the lines (2, 2) in an X-ray, in its pixels, on which what others show lies."""
        parts: list[np.ndarray] = []
        for other in among:
            if other.view.id in self.seen and other.stamp != detector.stamp:
                line = epipolar_line(other.camera, detector.camera, self.seen[other.view.id])
                parts += map(np.stack, pairwise([] if line is None else line))
        return parts

    def pixel_in(self, detector: DetectorPlane) -> np.ndarray | None:
        """Return the pixel (2,) of an X-ray on which the point falls; None while none does."""
        if self.ras is None or detector.depth(self.ras) <= 0:
            return None
        return detector.pixels(self.ras)


class LinkedCursor:
    """The cursor that shows in all views what a list of points says.

    The list is a product of the registration.

    A point on the detector plane of an X-ray is what is seen there, and any other a place in the
    world. Points of several X-rays are one point of the patient; one more in the same X-ray, or in
    the world, starts a new one. Where the CT is moved, a point of X-rays stays where they see it,
    and another place of the CT is shown; a point in the world was put into the CT, and goes with
    it. All that others see is in the scene; `update` finds out what has changed: call it from a
    timer.
    """

    def __init__(self, registration: Registration) -> None:
        self._registration = registration
        self._detectors: list[DetectorPlane] = []
        self._shown: tuple | None = None
        self._jumped_to: np.ndarray | None = None
        self._pose = registration.world_from_ct
        self.reading = Reading()

    @property
    def points(self):
        """The vtkMRMLMarkupsFiducialNode to place points in (`markups.place`)."""
        display = slicer.vtkMRMLMarkupsDisplayNode
        return product(
            self._registration.node,
            CURSOR,
            "vtkMRMLMarkupsFiducialNode",
            "Linked cursor",
            PointLabelsVisibility=False,
            GlyphType=display.CrossDot2D,
            UseGlyphScale=True,
            GlyphScale=2.5,
            Color=COLOUR,
            SelectedColor=COLOUR,
            SnapMode=display.SnapModeUnconstrained,  # else in 3D it would stick to any surface
        )

    @property
    def ct_ras(self) -> np.ndarray | None:
        """The point (3,), mm, in the CT's own frame, where the CT is now."""
        if self.reading.ras is None:
            return None
        ras_from_ct = transform_to_ras(self._registration.world_from_ct)
        return np.linalg.solve(ras_from_ct, [*self.reading.ras, 1.0])[:3]

    def update(self) -> bool:
        """Show what the points, or the crosshair that is being moved with Shift, say now, and return whether anything changed."""
        self._detectors = detectors(self._registration)
        markups = self._registration.node.GetNodeReference(CURSOR)
        self._carry(markups)
        given = positions(markups)
        hovered = _hovered(self._registration.scene)
        pose = self._pose.tobytes() if len(given) else b""
        stamp = (given.tobytes(), hovered, pose, *[detector.stamp for detector in self._detectors])
        if stamp == self._shown:
            return False
        if hovered is not None:
            self._show(read([hovered], self._detectors))
        else:
            given = self._keep(markups, given)
            self._show(read(given, self._detectors))
            self._jump()
        self._shown = (given.tobytes(), *stamp[1:])
        return True

    def clear(self) -> None:
        """Take the point and all its marks away."""
        markups = self._registration.node.GetNodeReference(CURSOR)
        if markups is not None:
            markups.RemoveAllControlPoints()
        self._show(Reading())
        self._shown = self._jumped_to = None

    def _carry(self, markups: Any) -> None:
        """Have a point in the world go with the CT."""
        before = self._pose
        self._pose = self._registration.world_from_ct
        if np.array_equal(before, self._pose):
            return
        motion = transform_to_ras(self._pose) @ np.linalg.inv(transform_to_ras(before))
        for index, point in zip(placed(markups), positions(markups), strict=True):
            if detector_of(point, self._detectors) is None:
                markups.SetNthControlPointPositionWorld(index, *(motion @ [*point, 1.0])[:3])

    def _keep(self, markups: Any, given: np.ndarray) -> np.ndarray:
        """Return the points that belong together; the others are taken out of the list."""
        lies_on = [detector_of(point, self._detectors) for point in given]
        indices = kept([None if detector is None else detector.view.id for detector in lies_on])
        if len(indices) < len(given):
            index_of = placed(markups)
            for i in sorted(set(range(len(given))) - set(indices), reverse=True):
                markups.RemoveNthControlPoint(index_of[i])
        return given[indices]

    def _jump(self) -> None:
        """Move the slices to the point's place in the CT, once.

        From there a person may scroll on.
        """
        place = self.ct_ras
        if place is not None and (
            self._jumped_to is None or not np.allclose(place, self._jumped_to, rtol=0, atol=1e-6)
        ):
            jump(self._registration.scene, self.reading.ras)
        self._jumped_to = place

    def _show(self, reading: Reading) -> None:
        self.reading = reading
        for detector in self._detectors:
            shown = detector.slice_id is not None
            parts = reading.lines_in(detector, self._detectors)
            _mark(
                detector.view.node,
                LINE,
                2,
                detector.on_plane(parts) if shown and parts else None,
                detector.slice_id,
            )
            _mark(
                detector.view.node,
                CROSS,
                3,
                _cross(reading, detector) if shown else None,
                detector.slice_id,
            )
        rays = []
        for detector in self._detectors:
            pixel = reading.seen.get(detector.view.id)
            if pixel is not None:
                source = ras_from_lps(detector.camera.sources(pixel))
                rays.append((source, detector.on_plane(pixel)))
        _mark(self._registration.node, RAY, 2, np.array(rays) if rays else None)
        _ball(self._registration.node, reading.ras)


def kept(places: list[str | None]) -> list[int]:
    """Return the points that make up the cursor, of all in the order in which they were placed.

    Parameters
    ----------
    places
        For each the X-ray in which it lies, None for the world.
    """
    together: list[int] = []
    for index, place in enumerate(places):
        begins = place is None or any(places[other] in (None, place) for other in together)
        together = [index] if begins else [*together, index]
    return together


def read(points: Any, among: list[DetectorPlane]) -> Reading:
    """Return the reading of points that belong together.

    RAS mm (n, 3), one in the world, or one each in some of the X-rays.
    """
    on = [
        (detector, point) for point in points if (detector := detector_of(point, among)) is not None
    ]
    seen = {detector.view.id: detector.locate(point)[0] for detector, point in on}
    if not seen:
        return Reading(ras=np.array(points[0], float) if len(points) else None)
    if len(seen) == 1:
        return Reading(seen)
    try:
        found = triangulate([detector.camera for detector, _point in on], list(seen.values()))
    except InputError as error:
        return Reading(seen, warning=str(error))
    warning = ""
    if found.residual_mm > CAUTION_MM:
        warning = (
            f"The rays miss each other and pass the point up to {found.residual_mm:.1f} mm off: "
            "the clicks show different points, or the geometry of the views does not fit."
        )
    return Reading(seen, ras_from_lps(found.point), found.residual_mm, found.residual_px, warning)


def jump(scene: Any, ras: Any) -> None:
    """Move all slice views but those of X-rays to a point (3,), RAS mm."""
    for node in nodes_of_class("vtkMRMLSliceNode", scene):
        if not number_of(node.GetLayoutName() or ""):
            node.JumpSliceByOffsetting(*ras)


def _hovered(scene: Any) -> tuple | None:
    """Return RAS mm where the crosshair is being moved (in Slicer, with Shift held).

    None where it was left alone.
    """
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    mouse = [0.0, 0.0, 0.0]
    if crosshair is None or not crosshair.GetCursorPositionRAS(mouse):
        return None
    return (
        tuple(mouse)
        if np.abs(np.subtract(crosshair.GetCrosshairRAS(), mouse)).max() < HOVERING_MM
        else None
    )


def _cross(reading: Reading, detector: DetectorPlane) -> np.ndarray | None:
    pixel = reading.pixel_in(detector)
    side = max(detector.camera.size)
    return None if pixel is None else detector.on_plane(cross(pixel, GAP * side, REACH * side))


def _mark(
    owner: Any, role: str, thickness: int, lines: np.ndarray | None, slice_id: str | None = None
) -> None:
    """Draw lines in the owner's product of that role; None takes it away."""
    if lines is None:
        remove_product(owner, role)
        return
    node = owner.GetNodeReference(role)
    if node is None:
        node = lines_node(owner, f"Linked cursor {owner.GetName()}", thickness)
        owner.SetNodeReferenceID(role, node.GetID())
    draw(node, lines, COLOUR, slice_id)


def _ball(owner: Any, ras: np.ndarray | None) -> None:
    """Show a small ball in 3D, and where the CT's slices cut it.

    Slicer's crosshair would lie beside the point in each X-ray, as it is no perspective.
    """
    if ras is None:
        remove_product(owner, BALL)
        return
    node = product(
        owner,
        BALL,
        "vtkMRMLModelNode",
        f"Linked cursor {owner.GetName()}",
        hidden=True,
        Color=COLOUR,
        Visibility2D=True,
        SliceIntersectionThickness=2,
    )
    sphere = vtkSphereSource()
    configure(sphere, Radius=BALL_MM, Center=tuple(ras), ThetaResolution=16, PhiResolution=16)
    sphere.Update()
    node.SetAndObservePolyData(sphere.GetOutput())
