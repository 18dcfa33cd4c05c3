"""How far off a pose is, and may be for each of its uses.

Registration errors, each under the name and by the definition of the literature, and the targets at
which they are taken. Throughout, `estimated` and `true` are poses `world_from_ct` (4, 4) and
`targets` are points (N, 3) in CT mm.

van de Kraats et al., Standardized evaluation methodology for 2-D-3-D registration, IEEE TMI
24(9):1177-1189, 2005.

And the uses of a pose: the verdict and the expected error of each, also as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import Reason, Use
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.field import nearest
from ..imaging.xray import View
from ..io.result_json import UseVerdict
from ..known import without_none

if TYPE_CHECKING:  # a panel opens before numba is installed
    from ..registration.prepared_ct import PreparedCT

PixelSize = tuple[float, float]
"""Size of a pixel on the detector in mm, (column, row). A camera matrix does not tell it."""
#: So many points stand for all bone; with fewer than MIN_TARGETS in the fields of all views there
#: is none to speak of.
MAX_TARGETS = 300
MIN_TARGETS = 10


def default_targets(
    anatomy: PreparedCT, views: Sequence[View], world_from_ct: np.ndarray
) -> np.ndarray:
    """Return points (N, 3), CT mm, of bone in the fields of all views at a pose.

    (0, 3) where there are hardly any.
    """
    points = shown_bone(anatomy, views, world_from_ct)
    if len(points) < MIN_TARGETS:
        return points[:0]
    return rigid.some_of(points, MAX_TARGETS)


def targets_of(
    anatomy: PreparedCT, views: list[View], pose: np.ndarray, given: np.ndarray | None
) -> tuple[np.ndarray, list[Reason]]:
    """Return the points to which the errors belong, and what is wrong with them."""
    if given is not None:
        return given, []
    bone = anatomy.bone_points()
    if len(bone) < MIN_TARGETS:
        return anatomy.corners(), [
            Reason(
                "no-bone",
                "The CT shows no bone\n: the error is given at the corners of the body, and soft tissue "
                "may have moved.",
            )
        ]
    default = default_targets(anatomy, views, pose)
    if len(default):
        return default, []
    return bone, [
        Reason(
            "no-shared-bone",
            "No bone lies in the fields of all X-rays\n: the error is given for all bone of the CT.",
        )
    ]


#: Points at which the error against a known pose is measured, by `ErrorPoints.kind`.
POINTS_IN_WORDS = {
    "targets": "the case's targets",
    "visible bone": "the bone in all X-rays",
    "bone": "the bone of the CT",
    "corners": "the corners of the body",
}


class ErrorPoints(NamedTuple):
    """Points at which the error against a known pose is measured.

    Attributes
    ----------
    points
        (N, 3), CT mm.
    kind
        A key of `POINTS_IN_WORDS`.
    """

    points: np.ndarray
    kind: str

    def __str__(self) -> str:
        return POINTS_IN_WORDS[self.kind]


def error_points(
    anatomy: PreparedCT, views: Sequence[View], true: np.ndarray, targets: np.ndarray | None
) -> ErrorPoints:
    """Return the points at which the error against a known pose is measured.

    Parameters
    ----------
    views
        The views with the cameras that the case gives, before any correction.
    true
        (4, 4) true pose.
    targets
        (N, 3) targets of the case, CT mm; without these, bone in the fields of all views at the true
        pose, or else all bone, or else the corners of the body.
    """
    points, limits = targets_of(anatomy, list(views), true, targets)
    kinds = {"no-bone": "corners", "no-shared-bone": "bone"}
    kind = "visible bone" if targets is None else "targets"
    return ErrorPoints(points, kinds[limits[0].code] if limits else kind)


def shown_bone(anatomy: PreparedCT, views: Sequence[View], world_from_ct: np.ndarray) -> np.ndarray:
    """Return all points (N, 3), CT mm, of bone in the fields of all views at a pose."""
    points = anatomy.bone_points()
    return points[in_field(views, rigid.transform_points(world_from_ct, points)).all(axis=0)]


def in_field(views: Sequence[View], points: np.ndarray) -> np.ndarray:
    """Return (views, N) bool, which world points (N, 3) fall on a valid pixel of each view."""
    inside = np.zeros((len(views), len(points)), bool)
    for i, view in enumerate(views):
        before = view.camera.depth(points) > 0
        inside[i, before] = nearest(view.xray.valid, view.camera.project(points[before]))
    return inside


def _displacements(estimated: np.ndarray, true: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the estimated minus true position of each target in world mm, (N, 3)."""
    return rigid.transform_points(estimated, targets) - rigid.transform_points(true, targets)


def target_errors(estimated: np.ndarray, true: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the TRE (N,): 3D distance in mm between estimated and true position of each target."""
    return np.linalg.norm(_displacements(estimated, true, targets), axis=-1)


def mtre(estimated: np.ndarray, true: np.ndarray, targets: np.ndarray) -> float:
    """Return the mTRE: mean over the targets of their 3D distance, mm."""
    return float(target_errors(estimated, true, targets).mean())


def mpd(
    camera: Camera,
    estimated: np.ndarray,
    true: np.ndarray,
    targets: np.ndarray,
    pixel_mm: PixelSize = (1.0, 1.0),
) -> float:
    """Return the mPD: mean distance on the detector between estimated and true projection of the targets, mm; by default pixels."""
    here, there = (
        camera.project(rigid.transform_points(pose, targets)) for pose in (estimated, true)
    )
    return float(np.linalg.norm((here - there) * np.asarray(pixel_mm), axis=-1).mean())


def mrpd(camera: Camera, estimated: np.ndarray, true: np.ndarray, targets: np.ndarray) -> float:
    """Return the mRPD: mean 3D distance, mm, from each true target to the ray through its estimated projection.

    The ray starts at the source. Unlike mTRE it forgives an error along the ray, which a single
    view hardly sees.
    """
    pixels = camera.project(rigid.transform_points(estimated, targets))
    rays = camera.ray_directions(pixels)
    from_source = rigid.transform_points(true, targets) - camera.sources(pixels)
    return float(np.linalg.norm(np.cross(from_source, rays), axis=-1).mean())


def diffpose_score(
    camera: Camera, estimated: np.ndarray, true: np.ndarray, targets: np.ndarray, pixel_mm: float
) -> float:
    """Return what the evaluation code of DiffPose and its successors prints as "mTRE", only to compare with them.

    Targets are projected by the estimated and by the true pose, lifted to points x on the detector
    plane in mm, and carried into the CT frame each by its own pose; the mean distance is multiplied
    by the pixel size once more: `pixel_mm * mean |ct_from_camera_est x_est - ct_from_camera_true
    x_true|`. It says little about the target error. `pixel_mm` is the edge of the square pixel,
    0.194 in those papers.
    """
    source_to_detector_mm = camera.intrinsics[1, 1] * pixel_mm

    def detector_points_ct(world_from_ct: np.ndarray) -> np.ndarray:
        pixels = camera.project(rigid.transform_points(world_from_ct, targets))
        homogeneous = np.concatenate([pixels, np.ones((*pixels.shape[:-1], 1))], axis=-1)
        on_detector = source_to_detector_mm * homogeneous @ np.linalg.inv(camera.intrinsics).T
        return rigid.transform_points(
            rigid.inverse(camera.camera_from_world @ world_from_ct), on_detector
        )

    distances = np.linalg.norm(detector_points_ct(estimated) - detector_points_ct(true), axis=-1)
    return float(pixel_mm * distances.mean())


class ErrorSplit(NamedTuple):
    """Target errors as one view sees them, per target, mm."""

    depth_mm: np.ndarray
    """(N,) along the ray to the true target, positive away from the source: what the view hardly
    sees."""
    in_plane_mm: np.ndarray
    """(N,) length of the rest, at right angles to that ray."""


def split_by_view(
    camera: Camera, estimated: np.ndarray, true: np.ndarray, targets: np.ndarray
) -> ErrorSplit:
    """Split each target's error vector into the view's depth and in-plane parts."""
    error = _displacements(estimated, true, targets)
    points = rigid.transform_points(true, targets)
    ray = rigid.unit(points - camera.sources(camera.project(points)))
    depth = np.sum(error * ray, axis=-1)
    return ErrorSplit(depth, np.linalg.norm(error - depth[:, None] * ray, axis=-1))


@dataclass(frozen=True)
class PredictedError:
    """The mTRE to expect, mm; also by the keys of result.json, as in `predicted["upper95"]`.

    Attributes
    ----------
    mean
        Below the 95 % bound.
    upper95
        95 % bound; None where it was not measured for such results.
    typical
        Median; None of a bone.
    """

    mean: float
    upper95: float | None
    typical: float | None = None

    def __getitem__(self, key: str) -> float:
        return self.to_json()[key]

    def to_json(self) -> dict[str, float]:
        """Return `predicted_tre_mm` of a result.json."""
        return without_none(asdict(self))


@dataclass(frozen=True)
class Errors:
    """All errors of one registration; distances in the image are means over targets and views.

    Attributes
    ----------
    depth_mm, in_plane_mm
        Means over the targets of their error along the first view's beam, and across it.
    """

    mtre_mm: float
    max_tre_mm: float
    mpd_px: float
    mpd_mm: float | None
    mrpd_mm: float
    diffpose_score: float | None
    depth_mm: float
    in_plane_mm: float
    rotation_deg: float
    translation_mm: float


def errors(
    cameras: Sequence[Camera],
    estimated: np.ndarray,
    true: np.ndarray,
    targets: np.ndarray,
    pixels_mm: Sequence[PixelSize | None],
) -> Errors:
    """Return all errors of a registration over one or more views.

    `pixels_mm` has one entry for each camera. Where one is None (a PNG, for one, does not tell),
    what needs a pixel size, `mpd_mm` and `diffpose_score`, is None; the latter with a slot scan,
    too. `translation_mm` is that of the targets' centroid.
    """
    targets = np.atleast_2d(np.asarray(targets, float))
    pose = (estimated, true, targets)
    tre = target_errors(*pose)
    known = [
        (camera, size) for camera, size in zip(cameras, pixels_mm, strict=True) if size is not None
    ]
    complete = len(known) == len(cameras)
    translation_mm, rotation_deg = rigid.pose_difference(estimated, true, targets.mean(axis=0))
    split = split_by_view(cameras[0], *pose)
    return Errors(
        mtre_mm=float(tre.mean()),
        max_tre_mm=float(tre.max()),
        mpd_px=float(np.mean([mpd(camera, *pose) for camera in cameras])),
        mpd_mm=float(np.mean([mpd(camera, *pose, size) for camera, size in known]))
        if complete
        else None,
        mrpd_mm=float(np.mean([mrpd(camera, *pose) for camera in cameras])),
        diffpose_score=(
            float(np.mean([diffpose_score(camera, *pose, size[1]) for camera, size in known]))
            if complete and not any(camera.is_slot_scan for camera in cameras)
            else None
        ),
        depth_mm=float(np.abs(split.depth_mm).mean()),
        in_plane_mm=float(split.in_plane_mm.mean()),
        rotation_deg=rotation_deg,
        translation_mm=translation_mm,
    )


#: An error above these is wrong, for each use: mean over the targets, and the rotation of one bone
#: relative to another. Surgical navigation is cleared with 2.5 mm for 95 % (FDA K234047).
WRONG_MM = 2.0
WRONG_DEG = 2.0
#: Name of each use, for a user.
USES: dict[Use, str] = {
    "overlay": "Overlay on the X-rays",
    "relative": "Bones relative to each other",
    "position": "3D position (navigation)",
}
#: Smaller expected errors are reported as below this number: no image shows less.
LEAST_REPORTED_MM = 0.5


class Error(NamedTuple):
    """The error of targets, mm, for a use.

    As X-rays show them, in the worst of these across its beam at the targets; of bones to each other
    in the worst pair.

    Attributes
    ----------
    typical_mm, upper95_mm
        Median and 95 % bound of the root mean square over the targets.
    """

    typical_mm: float
    upper95_mm: float | None


class Judged:
    """Base of records with a verdict for each use, in a field of its name; None if a use does not apply."""

    @property
    def errors(self) -> dict[Use, Error | None]:
        """Expected error for each use; None if unknown."""
        raise NotImplementedError

    @property
    def uses(self) -> dict[Use, UseVerdict]:
        """The verdict of each use that applies.

        Its error holds of a right answer: it is told where nothing but its size speaks against that.
        """
        found = {}
        for use, error in self.errors.items():
            if verdict := getattr(self, use):
                within = error and error.upper95_mm and error.upper95_mm <= WRONG_MM
                told = error if verdict == "accept" or not within else None
                found[use] = UseVerdict(verdict, *(told or ()))
        return found

    @property
    def verdict(self) -> Any:
        """Verdict on the 3D position."""
        return getattr(self, "position")  # noqa: B009 (mypy: a field of each record)


def in_words(uses: Mapping[Use, UseVerdict]) -> str:
    """Return the verdict and the expected error of each use, a sentence each; "" if there is only one use."""
    if len(uses) < 2:
        return ""
    return " ".join(f"{USES[use]}: {use_in_words(each)}." for use, each in uses.items())


def use_in_words(assessed: UseVerdict) -> str:
    """Return a verdict with its expected error, such as "check, 2.9 mm (95 %: 6.0 mm)"."""
    verdict = assessed.verdict
    if assessed.typical_mm is None or verdict == "reject":
        return verdict
    words = f"{verdict}, {in_mm(assessed.typical_mm)}"
    bound_mm = assessed.upper95_mm
    shown = bound_mm is not None and bound_mm >= LEAST_REPORTED_MM
    return f"{words} (95 %: {bound_mm:.1f} mm)" if shown else words


def in_mm(mm: float) -> str:
    """Return an expected error for a user: "1.2 mm", or "< 0.5 mm"."""
    if mm < LEAST_REPORTED_MM:
        return f"< {LEAST_REPORTED_MM:g} mm"
    return f"{mm:.1f} mm"
