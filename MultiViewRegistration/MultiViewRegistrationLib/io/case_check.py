"""What the geometry of a case means, in numbers; `case_summary` puts it in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.view import View
from .cameras import meeting_point
from .case import Case, ct_box

BEFORE_SOURCE_MM = 700.0  # where a CT is put of which nothing is known
SAMPLES = 16  # along each edge of the CT's box, for the share of it that an image shows


@dataclass(frozen=True, eq=False)
class ViewCheck:
    """What a view's camera means. Pixels are (column, row), from the centre of the first one; lengths are in mm.

    Attributes
    ----------
    source_to_detector_mm
        None where the size of a pixel is not known.
    isocentre_depth_mm, field_mm
        Of the plane through `CaseCheck.isocentre` that is parallel to the detector: its distance from the source,
        and (width, height) of what the image shows of it.
    anatomy_depth_mm, pixel_at_anatomy_mm
        At the middle of the CT's box: its distance from the source along the camera's axis, and what a column is
        wide there.
    ct_corners
        (8, 2), in the order of `CaseCheck.corners`.
    ct_depths
        (8,), negative behind the source.
    inside
        Share of the CT's box that falls on the image, 0 to 1.
    toward
        Where the patient's left ("L"), back ("P") and head ("S") lie from the middle of the box: (columns, rows,
        depth) of a unit step.
    rotation_sd_deg, translation_sd_mm
        How well its camera is known, as in the case.
    mirrored
        Stored as seen from the detector.
    same_image_as
        Name of an earlier view with the same pixels.
    """

    name: str
    camera: Camera
    source_to_detector_mm: float | None
    isocentre_depth_mm: float
    field_mm: tuple[float, float]
    anatomy_depth_mm: float
    pixel_at_anatomy_mm: float
    ct_corners: np.ndarray
    ct_depths: np.ndarray
    inside: float
    toward: dict[str, np.ndarray]
    mirrored: bool
    rotation_sd_deg: float | None
    translation_sd_mm: float | None
    same_image_as: str | None = None


@dataclass(frozen=True)
class PairCheck:
    """Two views: the angle between the rays through the middle of their images, 0 to 180, and how far these lines pass each other."""

    first: str
    second: str
    angle_deg: float
    gap_mm: float


@dataclass(frozen=True)
class PointsCheck:
    """The "targets" or "landmarks" of a case: how many there are, and how many of them lie within the CT's box."""

    what: str
    count: int
    inside: int


@dataclass(frozen=True, eq=False)
class CaseCheck:
    """What a case means.

    Attributes
    ----------
    world_from_ct
        (4, 4) the start pose, or the one that stands for it (`placed` is False then): axes along the world's, the
        centroid of the bone, or of the mask, where the views meet, as a search takes it.
    corners
        (8, 3) of the box of the CT, or of what its mask selects (`structure`), world mm; corner n is at the high
        end of axis i where bit 2^i of n is set.
    isocentre
        (3,) where the views meet, world mm; for parallel or single views the world's origin, if it lies before the
        first source.
    search
        How far one goes, as in the case.
    points
        See PointsCheck.
    tracker
        (3,) world mm, origin of the frame of reference_from_world, if the case has one.
    assumptions
        As in Case.
    """

    name: str
    views: list[ViewCheck]
    pairs: list[PairCheck]
    world_from_ct: np.ndarray
    placed: bool
    structure: bool
    corners: np.ndarray
    isocentre: np.ndarray
    search: dict[str, float]
    points: list[PointsCheck]
    tracker: np.ndarray | None
    assumptions: dict[str, tuple[str, ...]]


def check_case(case: Case) -> CaseCheck:
    """The numbers of a case that has been loaded."""
    meeting = meeting_point([view.camera for view in case.views])
    world_from_ct = case.world_from_ct
    if world_from_ct is None:
        world_from_ct = rigid.from_rotation_translation(np.eye(3), _place(case, meeting) - case.ct.centroid())
    low, high = ct_box(case.ct)
    ct_from_index = case.ct.volume.ct_from_index
    unit = np.stack(np.meshgrid(*[(np.arange(SAMPLES) + 0.5) / SAMPLES] * 3, indexing="ij"), -1).reshape(-1, 3)
    bits = (np.arange(8)[:, None] >> np.arange(3)) & 1
    box, corners = (
        rigid.transform_points(world_from_ct, rigid.transform_points(ct_from_index, low + (high - low) * part))
        for part in (unit, bits)
    )
    isocentre = _place(case, meeting)
    return CaseCheck(
        name=case.name,
        views=[
            _view(view, case.views[:nth], world_from_ct, box, corners, isocentre) for nth, view in enumerate(case.views)
        ],
        pairs=[_pair(a, b) for a, b in combinations(case.views, 2)],
        world_from_ct=world_from_ct,
        placed=case.world_from_ct is not None,
        structure=case.ct.mask is not None,
        corners=corners,
        isocentre=isocentre,
        search=case.search,
        points=_points(case),
        tracker=None if case.reference_from_world is None else rigid.inverse(case.reference_from_world)[:3, 3],
        assumptions=case.assumptions,
    )


def _points(case: Case) -> list[PointsCheck]:
    given = {
        "targets": case.targets,
        "landmarks": np.array([landmark.ct for landmark in case.landmarks]).reshape(-1, 3),
    }
    index_from_ct = np.linalg.inv(case.ct.volume.ct_from_index)
    low, high = ct_box(replace(case.ct, mask=None))
    checked = []
    for what, points in given.items():
        if points is not None and len(points):
            index = rigid.transform_points(index_from_ct, points)
            checked.append(PointsCheck(what, len(points), int(((low <= index) & (index <= high)).all(1).sum())))
    return checked


def _place(case: Case, meeting: np.ndarray | None) -> np.ndarray:
    """Where a CT without start pose is put: where the views meet, or else at the world's origin, if that lies before the first source."""
    camera = case.views[0].camera
    if meeting is not None:
        return meeting
    if camera.depth(np.zeros(3)) > 0:
        return np.zeros(3)
    return camera.source + BEFORE_SOURCE_MM * camera.ray_directions((np.array(camera.size) - 1) / 2)


def _view(
    view: View,
    before: list[View],
    world_from_ct: np.ndarray,
    box: np.ndarray,
    corners: np.ndarray,
    isocentre: np.ndarray,
) -> ViewCheck:
    """before: the views before this one.   box: (N, 3) points that fill the CT's box, world mm; the rest as in CaseCheck."""
    camera = view.camera
    focal = np.abs(np.diag(camera.intrinsics)[:2])
    middle = corners.mean(0)
    depth, anatomy_depth = float(camera.depth(isocentre)), float(camera.depth(middle))
    columns, rows = camera.size
    pixels, depths = camera.project(box), camera.depth(box)
    inside = (depths > 0) & (pixels >= -0.5).all(1) & (pixels <= np.array([columns, rows]) - 0.5).all(1)
    turn = camera.camera_from_world[:3, :3] @ world_from_ct[:3, :3]
    turn = turn * np.array([[np.sign(camera.intrinsics[0, 0])], [1], [1]])
    return ViewCheck(
        name=view.name,
        camera=camera,
        source_to_detector_mm=view.xray.pixel_mm and float(np.sqrt(np.prod(focal * view.xray.pixel_mm))),
        isocentre_depth_mm=depth,
        field_mm=(columns * depth / focal[0], rows * depth / focal[1]),
        anatomy_depth_mm=anatomy_depth,
        pixel_at_anatomy_mm=anatomy_depth / focal[0],
        ct_corners=camera.project(corners),
        ct_depths=camera.depth(corners),
        inside=float(inside.mean()),
        toward={letter: turn[:, axis] for axis, letter in enumerate("LPS")},
        mirrored=bool(camera.intrinsics[0, 0] < 0),
        rotation_sd_deg=view.rotation_sd_deg,
        translation_sd_mm=view.translation_sd_mm,
        same_image_as=next(
            (o.name for o in before if np.array_equal(o.xray.line_integrals, view.xray.line_integrals)), None
        ),
    )


def _pair(first: View, second: View) -> PairCheck:
    a, b = (view.camera.ray_directions((np.array(view.camera.size) - 1) / 2) for view in (first, second))
    between = second.camera.source - first.camera.source
    across = np.cross(a, b)
    angle = float(np.degrees(np.arctan2(np.linalg.norm(across), a @ b)))
    parallel = np.linalg.norm(across) < 1e-9
    gap = np.linalg.norm(between - between @ a * a) if parallel else abs(between @ across) / np.linalg.norm(across)
    return PairCheck(first.name, second.name, angle, float(gap))
