"""Which resolutions a registration goes through, and what is compared at each.

All sizes follow from the anatomy: the coarsest image has about 32 pixels across what is imaged, each next one twice as many, and
the volume is taken at the level of its pyramid whose voxels are about as large as a pixel at the depth of the anatomy.
The windows were chosen on simulated radiographs and on real ones of a wrist (docs/method.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from ..imaging.view import View
from .objective import Settings
from .ranges import Range

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
    """How hard to look at the coarsest level: `poses` scored in the first round, `most` in all, `refined` in each round."""

    poses: int
    most: int
    refined: int


#: A start is taken to be right, but its surroundings are looked through, too.
LOCAL_RANGE = Range(15.0, 25.0)
LOCAL_BUDGET = SearchBudget(poses=128, most=512, refined=2)
STRUCTURE_LOCAL_RANGE = Range(10.0, 12.0)
STRUCTURE_LOCAL_BUDGET = SearchBudget(poses=128, most=128, refined=8)

#: Where the coarsest level is not sure, or leads to an answer that is less alike at the next one, that level is looked through, too:
#: metal, or a CT that is cut off, mislead most where a window holds much of the image.
SECOND_LEVEL_BUDGET = SearchBudget(poses=1024, most=1024, refined=12)
MIN_CONVINCING_NCC = 0.75

#: A body is where it is said to be if no X-ray looks less like it: of 626 registrations with no less 612 were within 2 mm, the others had a
#: wrong geometry or had moved between the X-rays; of 201 with less 27.
MIN_PLAUSIBLE_NCC = 0.5
#: Where the second level's answer looks less like an X-ray, so much about a given start is searched as well.
FALLBACK_RANGE = Range(30.0, 50.0)

#: A start that is expected to be off by no more (root mean square, of points 60 mm from the anatomy's centre) is refined from the second
#: level on: there all starts up to twice as far off arrived, and three of four up to three times as far (docs/method.md).
CAPTURE_RADIUS_MM = 4.0
#: About a start that is expected to be farther off there is nothing to look for that a search would not find.
MAX_EXPECTED_MM = 25.0
#: A search that goes along with starts, in case all of them are wrong.
SIDE_SEARCH_BUDGET = SearchBudget(poses=256, most=256, refined=4)

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
    return replace(LOCAL_BUDGET, most=max(LOCAL_BUDGET.most, search_budget(reach, structure=False).most // 2))


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
