"""Moving the CT or a bone by hand: from a transform, in an X-ray with mouse and keys, in 3D by Slicer's handles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..io.placement import sees
from .case import ct_of
from .ct_3d import SceneBone, bones_of
from .layout import number_of
from .nodes import configure, has_voxels, lps_from_ras, nodes_of_class, ras_from_lps, transform_of
from .registration import Registration
from .xray import XRayView, detectors, on_image

CENTRE = "centre"
#: What a hand moves: the whole CT, or a bone with a pose of its own.
Body = Registration | SceneBone


def centre_in_ct(body: Body) -> np.ndarray:
    """Return the middle of a bone, of the CT's bone, or of the segment that is registered.

    LPS mm (3,) in the CT's frame.

    It is found once for a CT and segment, and kept with the registration.

    Raises
    ------
    InputError
        Without a usable CT.
    """
    if isinstance(body, SceneBone):
        return body.centre_in_ct
    kept = body.kept(CENTRE, {})
    if kept.get("of") == _chosen(body) and body.ct is not None:
        return np.array(kept["at"])
    centre = ct_of(body).centroid()
    keep_centre(body, centre)
    return centre


def keep_centre(registration: Registration, centre: np.ndarray) -> None:
    """Keep the result of `centre_in_ct` for the chosen CT and segment, (3,) LPS mm, where it is known already."""
    registration.keep(CENTRE, {"of": _chosen(registration), "at": centre.tolist()})


def _chosen(registration: Registration) -> list:
    segment_id = registration.segment_id
    nodes = registration.ct, registration.segmentation if segment_id else None
    return [*(node and node.GetID() for node in nodes), segment_id]


def centre(body: Body) -> np.ndarray:
    """Return where the centre of the CT, or of a bone, is now, LPS mm (3,) in the world."""
    return rigid.transform_points(body.world_from_ct, centre_in_ct(body))


def distance_to(registration: Registration, world_from_ct: np.ndarray) -> tuple[float, float]:
    """Return how far the CT is from another pose (4, 4), LPS: mm of its centre, and degrees."""
    here = registration.world_from_ct
    there = rigid.transform_points(world_from_ct, centre_in_ct(registration))
    mm = np.linalg.norm(centre(registration) - there)
    return float(mm), float(np.degrees(rigid.rotation_distance(here, world_from_ct)))


def shift(body: Body, view: XRayView, columns: float, rows: float) -> None:
    """Move a body parallel to the image, so far that its centre moves by so many pixels there."""
    camera = view.camera
    _move(
        body,
        camera.plane_at(float(camera.depth(centre(body)))) @ [columns, rows, 0.0],
    )


def along_beam(body: Body, view: XRayView, mm: float) -> None:
    """Move a body away from the source, along the ray through its centre, which stays where it is in the image."""
    _move(body, mm * _beam(body, view))


def turn(body: Body, view: XRayView, degrees: float) -> None:
    """Turn a body about the ray through its centre; positive: counter-clockwise in the image."""
    mirrored = np.sign(view.camera.intrinsics[0, 0])
    _rotate(body, -mirrored * degrees * _beam(body, view))


def tilt(body: Body, view: XRayView, right: float, down: float) -> None:
    """Roll a body about its centre by so many degrees.

    Its side that faces whoever looks at the image goes to the right, and down.

    Whoever looks at it does so from the source; at a mirrored image, from the detector.
    """
    to_camera = view.camera.camera_from_world[:3, :3]
    mirrored = np.sign(view.camera.intrinsics[0, 0])
    _rotate(body, to_camera.T @ [mirrored * down, -right, 0.0])


def show_handles(registration: Registration, shown: bool, bone: SceneBone | None = None) -> None:
    """Show handles in the 3D views that move and turn the CT, or in 3D and in slices those of a bone.

    They are about its centre; those of all others go.

    Raises
    ------
    InputError
        Without a usable CT.
    """
    transforms = [
        registration.ct_transform,
        *(each.node for each in bones_of(registration).values()),
    ]
    moved = None
    if shown:
        moved = registration.ct_transform if bone is None else bone.node
        registration.take_in()
        body = registration if bone is None else bone
        moved.SetCenterOfTransformation(ras_from_lps(centre_in_ct(body)))
        if moved.GetDisplayNode() is None:
            moved.CreateDefaultDisplayNodes()
        moved.GetDisplayNode().SetViewNodeIDs(_views_of_ct(registration.scene))
    for transform in transforms:
        display = transform.GetDisplayNode()
        if display is not None:
            configure(
                display,
                EditorVisibility=transform is moved,
                EditorVisibility3D=True,
                EditorSliceIntersectionVisibility=bone is not None,
                EditorTranslationEnabled=True,
                EditorRotationEnabled=True,
                EditorScalingEnabled=False,
            )


def _views_of_ct(scene: Any) -> list[str]:
    """Return the IDs of the views in which handles mean what they show: an X-ray is no slice of the CT."""
    views = nodes_of_class("vtkMRMLAbstractViewNode", scene)
    return [view.GetID() for view in views if not number_of(view.GetLayoutName() or "")]


def _beam(body: Body, view: XRayView) -> np.ndarray:
    camera = view.camera
    here = centre(body)
    ray = here - camera.sources(camera.project(here))
    return rigid.unit(ray)


def _move(body: Body, by_mm: np.ndarray) -> None:
    body.world_from_ct = rigid.translation(by_mm) @ body.world_from_ct


def _rotate(body: Body, degrees: np.ndarray) -> None:
    """Turn a body about its centre.

    Parameters
    ----------
    degrees
        (3,) rotation vector in the world.
    """
    twist = np.append(np.radians(degrees), np.zeros(3))
    body.world_from_ct = rigid.moved(body.world_from_ct, twist, centre(body))


def copy_pose(registration: Registration, transform: Any) -> None:
    """Put the CT where a transform node puts things, its parents included.

    Raises
    ------
    InputError
        Where that is no rigid motion.
    """
    if not transform.IsTransformToWorldLinear():
        raise InputError(
            f"{transform.GetName()}: is not a linear transform, expected one that turns and "
            "shifts; choose another."
        )
    pose = rigid.check_rigid(transform_of(transform), transform.GetName())
    registration.world_from_ct = pose


def other_transforms(registration: Registration) -> list:
    """Return the transform nodes that a person sees, without the CT's own."""
    own = registration.ct_transform
    nodes = nodes_of_class("vtkMRMLTransformNode", registration.scene)
    return [node for node in nodes if node is not own and not node.GetHideFromEditors()]


def centre_ct(registration: Registration) -> None:
    """Put the middle of the CT's bone where the central rays of the X-rays meet, the CT's axes along the world's.

    InputError without a usable CT, or an X-ray with a geometry.
    """
    from ..geometry.epipolar import default_pose_at_isocentre

    cameras = [view.camera for view in registration.placed_xrays]
    if not cameras:
        raise InputError(
            "X-rays: none that is used has a geometry, expected one that says where its beam goes; "
            "enter it."
        )
    registration.world_from_ct = default_pose_at_isocentre(cameras, centre_in_ct(registration))


@dataclass(frozen=True, eq=False)
class CTBox:
    """The box of the CT's voxels.

    Attributes
    ----------
    world_from_index
        (4, 4), LPS.
    low, high
        The lowest and highest (i, j, k), at the voxels' outer faces.
    """

    world_from_index: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """The middle of the box, world LPS mm (3,)."""
        return rigid.transform_points(self.world_from_index, (self.low + self.high) / 2)

    def holds(self, point: np.ndarray) -> bool:
        """Return whether a point, world LPS mm (3,), lies in the box."""
        index = (np.linalg.inv(self.world_from_index) @ [*point, 1.0])[:3]
        return bool(np.all((self.low <= index) & (index <= self.high)))


def ct_box(registration: Registration) -> CTBox | None:
    """Return the CT's box at its current pose; None without voxels."""
    ct = registration.ct
    if not has_voxels(ct):
        return None
    world_from_index = registration.world_from_ct @ lps_from_ras(registration.ct_place)
    return CTBox(
        world_from_index, np.full(3, -0.5), np.array(ct.GetImageData().GetDimensions()) - 0.5
    )


def xrays_without_ct(registration: Registration) -> list[str]:
    """Return the names of the X-rays, of those that are used and have a geometry, that do not show the CT where it is now."""
    box = ct_box(registration)
    if box is None:
        return []
    return [view.name for view in registration.placed_xrays if not _shows(view, box)]


def _shows(view: XRayView, box: CTBox) -> bool:
    """Return whether an X-ray shows any of a CT's box; its centre is asked first: the rest takes milliseconds."""
    lies = box.world_from_index, box.low, box.high
    return _is_on_image(view.camera, box.centre) or sees(view.camera, *lies)


def ct_is_seen(registration: Registration) -> bool:
    """Return whether any X-ray that is used and has a geometry shows the CT where it is now."""
    return len(xrays_without_ct(registration)) < len(registration.placed_xrays)


def centre_is_seen(registration: Registration) -> bool:
    """Return whether all X-rays that are used and have a geometry show the CT's centre.

    Raises
    ------
    InputError
        Without a usable CT.
    """
    here = centre(registration)
    return all(_is_on_image(view.camera, here) for view in registration.placed_xrays)


def _is_on_image(camera: Camera, point: np.ndarray) -> bool:
    """Return whether a world point falls on a camera's image."""
    return bool(camera.depth(point) > 0) and on_image(camera.project(point), camera.size)


#: Above that of Slicer's own tools and of its views.
PRIORITY = 10.0
ARROWS = {"Left": (-1, 0), "Right": (1, 0), "Up": (0, -1), "Down": (0, 1)}
TURNS = {"bracketleft": 1, "bracketright": -1}
BEAM_KEYS = {"Prior": 1, "Next": -1}  # Page Up and Page Down
STEP_PX = 1.0
STEP_DEG = 0.5
STEP_MM = 1.0
FASTER = 10
"""With Shift."""
TILT_DEG = 0.25
"""For each pixel of the view."""


class Dragging:
    """Dragging the CT or a bone by mouse and keys in one X-ray's slice view.

    Slicer's own tools there rest meanwhile.

    Drag: parallel to the image. Shift and drag: turn, about the beam. Ctrl and drag: tilt, as if
    the CT were rolled like a ball. Arrows: one pixel of the image. [ and ]: turn. Page Up and Page
    Down: away from the source and towards it. Keys go ten times as far with Shift.

    InputError without a usable CT, or where the view has no geometry.

    Parameters
    ----------
    interactor
        The vtkRenderWindowInteractor of the view's slice view, which must be there.
    moving
        Gives the bone that is moved; None for the whole CT.
    begin, end
        Called before the first movement of a drag or of a key, and after the last: for a step to
        undo.
    """

    def __init__(
        self,
        interactor: Any,
        registration: Registration,
        view: XRayView,
        *,
        moving: Callable[[], SceneBone | None] = lambda: None,
        begin: Callable[[], object],
        end: Callable[[], object],
    ) -> None:
        self._interactor = interactor
        self._registration = registration
        self._view = view
        self._moving = moving
        self._begin = begin
        self._end = end
        self._last: np.ndarray | None = None
        self._now: np.ndarray | None = None
        self._how: Callable[[np.ndarray, np.ndarray], None] = self._shift
        _ = (
            centre_in_ct(registration),
            view.camera,
        )  # raises now if something is missing, not while the mouse moves
        reactions = {
            "LeftButtonPressEvent": self._press,
            "LeftButtonDoubleClickEvent": self._press,
            "MouseMoveEvent": self._drag,
            "LeftButtonReleaseEvent": self._release,
            "KeyPressEvent": self._key,
        }
        self._tags = [self._observe(event, reaction) for event, reaction in reactions.items()]

    def stop(self) -> None:
        """Give the view back to Slicer's own tools."""
        self._release()
        for tag in self._tags:
            self._interactor.RemoveObserver(tag)
        self._tags = []

    def _observe(self, event: str, reaction: Callable[[], bool]) -> int:
        """Observe an event; `reaction` says whether it was for us, and then no other tool sees it."""

        def react(*_) -> None:
            if reaction():
                self._interactor.GetCommand(tag).AbortFlagOn()

        tag = self._interactor.AddObserver(event, react, PRIORITY)
        return tag

    def _press(self) -> bool:
        if self._last is None:
            shift = self._interactor.GetShiftKey()
            ctrl = self._interactor.GetControlKey()
            self._how = self._tilt if ctrl else self._shift
            if shift:
                self._how = self._turn
            self._last = self._now = np.array(self._interactor.GetEventPosition(), float)
            self._begin()
        return True

    def _drag(self) -> bool:
        if self._last is None:
            return False
        self._now = np.array(self._interactor.GetEventPosition(), float)
        return True

    def follow(self) -> bool:
        """Move it to where the mouse is by now, and return whether it is dragged.

        Once a picture, as all of Slicer's views follow each movement.
        """
        if self._last is not None and self._now is not None and self._last is not self._now:
            self._how(self._last, self._now)
            self._last = self._now
        return self._last is not None

    def _release(self) -> bool:
        if self._last is None:
            return False
        self.follow()
        self._last = self._now = None
        self._end()
        return True

    def _key(self) -> bool:
        key = (self._interactor.GetKeySym() or "").replace(
            "brace", "bracket"
        )  # what [ and ] are with Shift on many keyboards
        if not any(key in keys for keys in (ARROWS, TURNS, BEAM_KEYS)):
            return False
        if self._last is not None:
            return True  # not in the middle of a drag
        times = FASTER if self._interactor.GetShiftKey() else 1
        self._begin()
        if key in ARROWS:
            shift(self._body, self._view, *(times * STEP_PX * np.array(ARROWS[key])))
        elif key in TURNS:
            turn(self._body, self._view, times * STEP_DEG * TURNS[key])
        else:
            along_beam(self._body, self._view, times * STEP_MM * BEAM_KEYS[key])
        self._end()
        return True

    @property
    def _body(self) -> Body:
        return self._moving() or self._registration

    def _shift(self, before: np.ndarray, now: np.ndarray) -> None:
        shift(self._body, self._view, *(self._pixel(now) - self._pixel(before)))

    def _turn(self, before: np.ndarray, now: np.ndarray) -> None:
        """Turn by the mouse's angle about the CT's centre."""
        middle = self._view.camera.project(centre(self._body))
        angles = [np.arctan2(*(self._pixel(position) - middle)[::-1]) for position in (before, now)]
        clockwise = (angles[1] - angles[0] + np.pi) % (2 * np.pi) - np.pi
        turn(self._body, self._view, -np.degrees(clockwise))

    def _tilt(self, before: np.ndarray, now: np.ndarray) -> None:
        right, up = TILT_DEG * (now - before)
        tilt(self._body, self._view, right, -up)

    def _pixel(self, position: np.ndarray) -> np.ndarray:
        """Return the pixel (column, row) of the X-ray under a position (2,) in the view."""
        detector = next(
            detector for detector in detectors(self._registration) if detector.view == self._view
        )
        node = self._registration.scene.GetNodeByID(detector.slice_id)
        ras = slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()) @ [*position, 0.0, 1.0]
        return detector.locate(ras[:3])[0]
