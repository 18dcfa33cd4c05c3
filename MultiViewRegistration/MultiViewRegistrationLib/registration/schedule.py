"""The resolutions of a registration, what is compared at each, and how far and how hard is searched.

All sizes follow from the anatomy: the coarsest image has about 32 pixels across what is imaged, each next one twice as many, and the volume
is taken at the level of its pyramid whose voxels are about as large as a pixel at the depth of the anatomy. The windows were chosen on
simulated radiographs and on real ones of a wrist (docs/method.md).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..geometry.epipolar import closest_point
from ..imaging.xray import View
from .similarity import Settings


@dataclass(frozen=True)
class Range:
    """All poses turned by up to rotation_deg about the centroid of the anatomy, whose centre moves by up to translation_mm.

    InputError for an empty range, or a turn by more than 180 degrees.
    """

    rotation_deg: float
    translation_mm: float

    def __post_init__(self) -> None:
        turn, shift = self.rotation_deg, self.translation_mm
        if not (0 <= turn <= 180 and 0 <= shift < np.inf and turn + shift > 0):
            raise InputError(
                f"search: found a range of {turn:g} degrees and {shift:g} mm, expected 0 to 180 degrees and 0 mm or more, "
                "not both 0; widen it."
            )

    def poses(self, world_from_ct: np.ndarray, centroid: np.ndarray, points: np.ndarray) -> np.ndarray:
        """The poses (N, 4, 4) at points (N, 6) of the unit cube, evenly spread in rotation and translation about a pose.

        Turns are uniform in the Haar measure: the angle has the density 1 - cos (Miles, Biometrika 52, 1965).
        """
        grid = np.linspace(0, np.radians(self.rotation_deg), 1000)
        below = grid - np.sin(grid)
        angle = np.interp(points[:, 0] * below[-1], below, grid)
        distance = self.translation_mm * np.cbrt(points[:, 3])
        motion = rigid.from_rotation_translation(
            rigid.exp_so3(angle[:, None] * _directions(points[:, 1:3])), distance[:, None] * _directions(points[:, 4:6])
        )
        return rigid.about(rigid.transform_points(world_from_ct, centroid), motion) @ world_from_ct

    def holds(self, pose: np.ndarray, world_from_ct: np.ndarray, centroid: np.ndarray) -> bool:
        """Whether a pose lies within the range about a pose, or beyond it by not more than half and 10 degrees or mm."""
        moved = rigid.transform_points(pose, centroid) - rigid.transform_points(world_from_ct, centroid)
        turned = np.degrees(rigid.rotation_distance(pose, world_from_ct))
        return bool(np.linalg.norm(moved) <= 1.5 * self.translation_mm + 10 and turned <= 1.5 * self.rotation_deg + 10)

    def shown(self, camera: Camera, world_from_ct: np.ndarray, centroid: np.ndarray, corners: np.ndarray) -> bool:
        """Whether a camera sees anything of a CT's box, with `corners` (8, 3) CT mm, at any of the poses about a pose."""
        from scipy.stats import qmc  # slow to import, and only a search needs it

        poses = self.poses(world_from_ct, centroid, qmc.Sobol(6, seed=0).random(256))
        points = rigid.transform_points(poses[:, None], corners)
        pixels = np.where(camera.depth(points)[..., None] > 0, camera.project(points), np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a box behind the source
            low, high = np.nanmin(pixels, axis=1), np.nanmax(pixels, axis=1)
        return bool(((low < camera.size) & (high > 0)).all(axis=1).any())


COARSEST_PIXELS = 32


@dataclass(frozen=True)
class ResolutionLevel:
    """One resolution: images pooled by `pool`, level `volume` of the volume pyramid, and how long to stay."""

    pool: int
    volume: int
    settings: Settings
    iterations: int
    tolerance_mm: float


@dataclass(frozen=True)
class SearchBudget:
    """How many poses a search scores and refines: `poses` in the first round, `max_poses` in all, `refined` of them in each round."""

    poses: int
    max_poses: int
    refined: int


#: Searched about a given start.
LOCAL_RANGE = Range(15.0, 25.0)
LOCAL_BUDGET = SearchBudget(poses=128, max_poses=512, refined=2)
STRUCTURE_LOCAL_RANGE = Range(10.0, 12.0)
STRUCTURE_LOCAL_BUDGET = SearchBudget(poses=128, max_poses=128, refined=8)

#: Where the coarsest level's search does not converge, or its answer has a smaller NCC at the second level, that level is searched, too:
#: metal, or a CT that is cut off, mislead most where a window holds much of the image.
SECOND_LEVEL_BUDGET = SearchBudget(poses=1024, max_poses=1024, refined=12)
MIN_CONVINCING_NCC = 0.75

#: A pose of a body is plausible if every X-ray has at least this NCC: 612 of 626 such registrations were within 2 mm, the others had a
#: wrong geometry or had moved between the X-rays; of 201 with a smaller NCC 27 were.
MIN_PLAUSIBLE_NCC = 0.5
#: Searched about a given start where the second level's answer is not plausible.
FALLBACK_RANGE = Range(30.0, 50.0)

#: A start that is expected to be off by no more (root mean square, of points 60 mm from the anatomy's centre) is refined from the second
#: level on: there all starts up to twice as far off arrived, and three of four up to three times as far (docs/method.md).
CAPTURE_RADIUS_MM = 4.0
#: A start that is expected to be farther off gains nothing from a search about it.
MAX_EXPECTED_MM = 25.0
#: A search that goes along with starts, in case all of them are wrong.
SIDE_SEARCH_BUDGET = SearchBudget(poses=256, max_poses=256, refined=4)

#: Answers go on to the next level of which the best there has up to so many times the evidence, and at most so many: first from the
#: coarsest level, where a bone's minima are hard to tell apart, then from each finer one.
KEEP_AFTER_COARSEST = (1.6, 12)
KEEP_AFTER_FINER = (1.3, 3)
#: The same from the coarsest level, of a structure before the rest of its CT.
KEEP_WITH_BACKGROUND = (1.3, 6)

#: CT and X-ray show the same body: intensities capture far, and both residuals together end most precise.
BODY = (
    (Settings(intensity_radius=12), 30, 0.5),
    (Settings(intensity_radius=6), 12, 0.1),
    (Settings(intensity_radius=4, gradient_radius=4, cauchy=0.5), 20, 0.005),
)

#: Poses of a body are scored at half the coarsest resolution, with windows to match.
SCORING = Settings(intensity_radius=3)

#: One bone among others: its gradients within its own silhouette hold, and intensities are good for the last step only.
STRUCTURE = (
    (Settings(gradient_radius=6, silhouette_mm=6), 30, 0.2),
    (Settings(gradient_radius=6, silhouette_mm=6), 20, 0.05),
    (Settings(gradient_radius=8, silhouette_mm=5), 15, 0.02),
    (Settings(intensity_radius=4, cauchy=0.5, silhouette_mm=4), 10, 0.02),
)


#: One bone before the rest of its CT, which is compared with it.
STRUCTURE_WITH_BACKGROUND = (
    (Settings(gradient_radius=6, silhouette_mm=6), 30, 0.2),
    (Settings(gradient_radius=6, silhouette_mm=6), 20, 0.05),
    (Settings(intensity_radius=4, gradient_radius=4, cauchy=0.5, silhouette_mm=5), 15, 0.02),
    (Settings(intensity_radius=4, gradient_radius=4, cauchy=0.5, silhouette_mm=4), 15, 0.01),
)


def search_budget(reach: Range, *, structure: bool) -> SearchBudget:
    """What a search through a range needs: more poses for more room, up to some seconds of work."""
    room = (reach.rotation_deg / 18) ** 3 * (reach.translation_mm / 55) ** 3
    most = 2 ** int(np.clip(np.ceil(np.log2(1024 * max(room, 1e-9))), 10, 15))
    return SearchBudget(512, most, 16) if structure else SearchBudget(256, most, 4)


def range_for_error(expected_mm: float, *, structure: bool) -> Range:
    """Where the CT is to be looked for about a pose that is expected to be off by so much (root mean square, as `CAPTURE_RADIUS_MM`).

    Turn and shift have equal shares in it, and each goes to twice its own root mean square. A structure has like neighbours and minima all
    along its shaft: farther about it than usual, the wrong ones are more than the right one.
    """
    expected_mm = min(expected_mm, MAX_EXPECTED_MM)
    turn_deg, shift_mm = np.degrees(np.sqrt(3) * expected_mm / 60), np.sqrt(2) * expected_mm
    if structure:
        turn_deg, shift_mm = min(turn_deg, LOCAL_RANGE.rotation_deg), min(shift_mm, LOCAL_RANGE.translation_mm)
    return Range(float(turn_deg), float(shift_mm))


def local_budget(reach: Range, *, structure: bool) -> SearchBudget:
    """What a look around a start through a range needs: less than a search, as the start is likely near."""
    if structure:
        return STRUCTURE_LOCAL_BUDGET
    return replace(
        LOCAL_BUDGET, max_poses=max(LOCAL_BUDGET.max_poses, search_budget(reach, structure=False).max_poses // 2)
    )


def scoring_level(coarsest: ResolutionLevel, volumes: int, *, structure: bool) -> ResolutionLevel:
    """The resolution at which poses are scored; of a structure the coarsest, as it is small in the images."""
    if structure:
        return coarsest
    return replace(coarsest, pool=2 * coarsest.pool, volume=min(coarsest.volume + 1, volumes - 1), settings=SCORING)


def pixel_size_mm(view: View, point: np.ndarray) -> float:
    """Size in mm of a pixel at the depth of a world point."""
    return float(view.camera.depth(point)) / abs(float(view.camera.intrinsics[1, 1]))


def resolution_schedule(
    views: list[View],
    centre: np.ndarray,
    extent_mm: float,
    voxel_mm: float,
    volumes: int,
    compared: Sequence[tuple[Settings, int, float]],
) -> list[ResolutionLevel]:
    """The levels, coarse to fine.

    centre: (3,) world mm, of the anatomy.   extent_mm: its longest side.
    voxel_mm: side of the finest voxels.   volumes: number of levels of the volume pyramid.
    compared: BODY, STRUCTURE or AMONG.

    A view with the anatomy behind its source has no say. InputError where all have.
    """
    before = [view for view in views if view.camera.depth(centre) > 0]
    if not before:
        raise InputError(
            "world_from_ct: has the CT behind the source of every view, expected a pose at which the X-rays show it; correct "
            "the pose or the geometry of the views."
        )
    pixel_mm = float(np.mean([pixel_size_mm(view, centre) for view in before]))
    field_mm = min(min(view.camera.size) * pixel_size_mm(view, centre) for view in before)
    coarsest = max(0, round(np.log2(min(extent_mm, field_mm) / COARSEST_PIXELS / pixel_mm)))
    levels = []
    for number, (settings, iterations, tolerance_mm) in enumerate(compared):
        pool = 2 ** max(coarsest - number, 0)
        volume = round(np.log2(1.1 * pool * pixel_mm / voxel_mm))
        levels.append(ResolutionLevel(pool, int(np.clip(volume, 0, volumes - 1)), settings, iterations, tolerance_mm))
    return levels


def _directions(points: np.ndarray) -> np.ndarray:
    """Unit vectors (N, 3), evenly spread, at points (N, 2) of the unit square."""
    z, turn = 2 * points[:, 0] - 1, 2 * np.pi * points[:, 1]
    ring = np.sqrt(1 - z * z)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), z], axis=1)


def default_pose_at_isocentre(cameras: list[Camera], centroid: np.ndarray) -> np.ndarray:
    """A pose (4, 4) for a CT of which nothing is known: its axes along the world's, its centroid where the central rays meet.

    centroid: (3,) CT mm. Of one view alone, where its central ray passes the world's origin, the isocentre of a C-arm.
    """
    # The origin, hardly weighted, decides what the rays leave open.
    sources = np.stack([camera.source for camera in cameras])
    axes = np.stack([camera.camera_from_world[2, :3] for camera in cameras])
    meeting, _ = closest_point(sources, axes, origin_weight=1e-6)
    return rigid.from_rotation_translation(np.eye(3), meeting - centroid)
