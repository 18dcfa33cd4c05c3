"""A table of how much X-rays look like any part of a CT, any way up.

Moving the CT across a beam moves its shadow, and changes little else. So a DRR that is larger than
the X-ray holds those of all poses that lie some way beside its own, and comparing the X-ray with
each part of it scores them at once (template matching by normalised cross-correlation, Lewis,
Vision Interface 1995). The CT is placed with a grid of its points (stations) where the views meet,
head first and feet first, with a grid of tilts; of a station 150 mm apart from the next, rays at
its rim are 6 degrees off, which is less than half a step of the tilts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain, product

import numpy as np

from ..geometry import rigid
from ..geometry.epipolar import closest_point
from ..imaging.xray import View
from ..rendering import cpu
from ..rendering.devices import run_tasks
from ..rendering.drr import Projector
from .prepared_ct import PreparedCT
from .similarity import MIN_SHARE, Settings, erode, local_ncc, locally_normalised

#: The patient lies head first or feet first, tilted by up to this, of which the table has steps.
MAX_TILT_DEG = 30.0
TILT_STEP_DEG = 15.0
#: Stations are at most so far apart; the outermost bone of the CT lies so far within the range.
STATION_MM = 150.0
ROOM_MM = 15.0
#: Head first, and feet first: turned about the axis from front to back (CT LPS).
LYING = np.array([np.eye(3), np.diag([-1.0, 1.0, -1.0])])
#: With fewer pixels a pose has no score in a view.
MIN_COMPARED = 30
#: A tilted cell of stations reaches so many times as far along the world's axes.
TILTED = 1.15
#: Windows of few of the coarse pixels tell more parts of a CT apart than those of a search nearby.
COMPARISON = Settings(intensity_radius=2)
#: Poses that a thread takes at a time.
_BLOCK = 16


class PoseTable:
    """Poses that show any part of a CT, scored in one go.

    Parameters
    ----------
    anatomy, views
        A CT that is no single structure, and the views at full resolution.

    Attributes
    ----------
    middle
        (3,) world mm, where the rays through the middle of what the X-rays show meet.
    low, high
        (3,) CT mm, the box of the bone with some room: the points of the CT that may lie there.
    """

    def __init__(self, anatomy: PreparedCT, views: Sequence[View]) -> None:
        pixels = [_middle_pixel(view) for view in views]
        pairs = list(zip(views, pixels, strict=True))
        sources = np.stack([view.camera.sources(pixel) for view, pixel in pairs])
        directions = np.stack([view.camera.ray_directions(pixel) for view, pixel in pairs])
        # The world's origin, with little weight, decides what the rays leave open.
        self.middle, _ = closest_point(sources, directions, origin_weight=1e-6)
        bone = anatomy.bone_points()
        corners = bone if len(bone) else anatomy.corners()
        self.low, self.high = corners.min(axis=0) - ROOM_MM, corners.max(axis=0) + ROOM_MM
        self._views = views

    def ranked(self, projector: Projector, pool: int) -> tuple[np.ndarray, int]:
        """Score all poses, and rank the best of each octant about each station and tilt.

        Parameters
        ----------
        projector
            Of the volume at the resolution of the scores.
        pool
            Pixels of the views that are pooled along each axis.

        Returns
        -------
        poses
            (N, 4, 4) world_from_ct, the best first, see `by_both`.
        scored
            How many poses were scored.
        """
        step = self._pixel_mm(pool)
        stations, cell_mm = self._stations()
        turns = (_tilts()[:, None] @ LYING).reshape(-1, 3, 3)
        turned = np.repeat(turns, len(stations), axis=0)
        placed = np.tile(stations, (len(turns), 1))
        shift = self.middle - np.einsum("nij,nj->ni", turned, placed)
        poses = rigid.from_rotation_translation(turned, shift)
        ends = [np.ceil(TILTED * mm / 2 / step) for mm in cell_mm]
        grid = [step * np.arange(-end, end + 1) for end in ends]
        moves = rigid.grid_points(*grid)
        ncc, share = self._scores(projector, pool, poses, moves)
        octants = (moves >= 0) @ [1, 2, 4]
        best = []
        for octant in range(8):
            here = np.flatnonzero(octants == octant)
            chosen = here[combined(ncc[:, here], share[:, here]).argmax(axis=1)]
            rows = np.arange(len(poses))
            moved = rigid.translation(moves[chosen]) @ poses
            best.append((moved, ncc[rows, chosen], share[rows, chosen]))
        found, ncc_there, share_there = (np.concatenate(each) for each in zip(*best, strict=True))
        return found[by_both(ncc_there * np.sqrt(share_there), ncc_there)], ncc.size

    def shifted(
        self, projector: Projector, pool: int, poses: np.ndarray, most_px: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Shift each pose to where the X-rays look most like it.

        Parameters
        ----------
        projector, pool
            As of `ranked`.
        poses
            (N, 4, 4) world_from_ct.
        most_px
            So many pooled pixels along each of the world's axes at most.

        Returns
        -------
        poses
            (N, 4, 4), shifted.
        ncc, share
            (N,), the mean NCC of the views, and the mean share of them that can be compared.
        """
        steps = self._pixel_mm(pool) * np.arange(-most_px, most_px + 1)
        moves = rigid.grid_points(*3 * [steps])
        ncc, share = self._scores(projector, pool, poses, moves)
        best = np.arange(len(poses)), combined(ncc, share).argmax(axis=1)
        moved = rigid.translation(moves[best[1]]) @ poses
        return moved, ncc[best], share[best]

    def _scores(
        self, projector: Projector, pool: int, poses: np.ndarray, moves: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean NCC and mean share (N, M) of the views at poses (N, 4, 4) after moves (M, 3)."""
        pooled = [view.pooled(pool) for view in self._views]
        tables = [ShiftTable(view, self.middle, moves, len(poses)) for view in pooled]
        run_tasks(list(chain.from_iterable(table.tasks(projector, poses) for table in tables)))
        ncc = np.mean([table.at_moves(table.ncc) for table in tables], axis=0)
        return ncc, np.mean([table.at_moves(table.share) for table in tables], axis=0)

    def _pixel_mm(self, pool: int) -> float:
        cameras = [view.pooled(pool).camera for view in self._views]
        return float(np.mean([camera.pixel_mm(self.middle) for camera in cameras]))

    def rim(self, pose: np.ndarray) -> str:
        """Return what puts a pose (4, 4) at the rim of the table, or beyond it, in words; "" where nothing does."""
        found = []
        tilt = np.degrees(min(rigid.rotation_angle(pose[:3, :3] @ each.T) for each in LYING))
        if tilt > MAX_TILT_DEG:
            found.append(f"tilted by {tilt:.0f} degrees, up to {MAX_TILT_DEG:g} were searched")
        there = rigid.transform_points(rigid.inverse(pose), self.middle)
        if ((there < self.low) | (there > self.high)).any():
            found.append("the X-rays show the end of the CT's bone or what lies beyond")
        return "; ".join(found)

    def _stations(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the middles (S, 3) of equal cells of the box, CT mm, and the sides (3,) of a cell."""
        counts = np.maximum(1, np.ceil((self.high - self.low) / STATION_MM)).astype(int)
        cell = (self.high - self.low) / counts
        return self.low + (np.array(list(np.ndindex(*counts))) + 0.5) * cell, cell


def combined(ncc: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return a score between the two of `by_both`."""
    return ncc * share**0.25


def by_both(information: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """Return indices (N,) of what is best by either of two scores (N,), best first.

    A pose at which much of the X-rays can be compared gives more information; one at which the CT
    ends within them has to be much more alike to be the right one, and may be.
    """
    ranks = np.empty((2, len(information)), int)
    for rank, score in zip(ranks, (information, similarity), strict=True):
        rank[np.argsort(-score, kind="stable")] = np.arange(len(score))
    return np.argsort(ranks.min(axis=0), kind="stable")


def _tilts() -> np.ndarray:
    """Return rotations (N, 3, 3) by up to MAX_TILT_DEG, on a grid of rotation vectors."""
    steps = int(MAX_TILT_DEG // TILT_STEP_DEG)
    vectors = TILT_STEP_DEG * np.array(list(product(range(-steps, steps + 1), repeat=3)), float)
    within = np.linalg.norm(vectors, axis=1) <= MAX_TILT_DEG + 1e-9
    return rigid.exp_so3(np.radians(vectors[within]))


def _middle_pixel(view: View) -> np.ndarray:
    """Return the middle (u, v) of what a view shows."""
    rows, columns = np.nonzero(view.xray.valid)
    return np.array([columns.mean(), rows.mean()])


class ShiftTable:
    """One view's scores of poses and of shifts of each in the image.

    Parameters
    ----------
    view
        Pooled to the resolution of the scores.
    middle
        (3,) world mm.
    moves
        (M, 3) of the CT, world mm: each is a shift of its shadow at `middle`.
    poses
        How many there will be.

    Attributes
    ----------
    ncc, share
        (poses, shifts down, shifts across), see `score_shifts`.
    """

    def __init__(self, view: View, middle: np.ndarray, moves: np.ndarray, poses: int) -> None:
        camera = view.camera
        shifts = camera.project(middle + moves) - camera.project(middle)
        across, down = np.ceil(np.abs(shifts).max(axis=0)).astype(int)
        columns, rows = camera.size
        self._camera = camera.cropped(-across, -down, columns + 2 * across, rows + 2 * down)
        self.ncc = np.empty((poses, 2 * down + 1, 2 * across + 1), np.float32)
        self.share = np.empty_like(self.ncc)
        # Where the shadow moves right, the X-ray's part of the larger DRR moves left.
        self._at = np.rint([down, across] - shifts[:, ::-1]).astype(int)
        self._mask = np.empty((rows, columns), np.float32)
        erode(view.xray.valid.view(np.uint8), self._mask)
        self._usable = max(float(np.count_nonzero(view.xray.valid)), 1.0)
        window = COMPARISON.windows[0]
        self._fixed = locally_normalised(view.xray.line_integrals, self._mask, window)

    def tasks(self, projector: Projector, poses: np.ndarray) -> list[partial]:
        """Return the work of scoring poses (N, 4, 4), as functions without arguments."""
        blocks = [slice(first, first + _BLOCK) for first in range(0, len(poses), _BLOCK)]
        return [partial(self._score, projector, poses[each], each) for each in blocks]

    def at_moves(self, values: np.ndarray) -> np.ndarray:
        """Return values (N, M) of the poses after each move, `ncc` or `share`."""
        return values[:, self._at[:, 0], self._at[:, 1]]

    def _score(self, projector: Projector, poses: np.ndarray, block: slice) -> None:
        xray = (self._fixed, self._mask, self._usable)
        placed = projector.placed(self._camera, poses)
        score_shifts(placed, xray, COMPARISON.windows[0], self.ncc[block], self.share[block])


@cpu.fast_kernel
def score_shifts(placed, xray, window, scores, shares):
    """Compare an X-ray with DRRs at N poses and at shifts of each.

    `scores` (N, shifts down, shifts across) is filled with the local NCC, `shares` with the share of
    the X-ray that can be compared. Other than in `objective.score_poses`, a DRR is normalised in
    windows that reach beyond the X-ray.

    Parameters
    ----------
    placed
        `cpu.Placed`.
    xray
        The X-ray normalised (rows, columns) float32, 0 where it is not compared; its mask; and how
        many of its pixels are valid. The DRR has as many rows and columns more as there are shifts
        but one.
    window
        `Window` of local normalisation.
    """
    fixed, fixed_mask, usable = xray
    rows, columns = fixed.shape
    poses, down, across = scores.shape
    image = np.empty((rows + down - 1, columns + across - 1), np.float32)
    mask = np.empty(image.shape, np.float32)
    for n in range(poses):
        seen = np.ones(image.shape, np.uint8)
        cpu.draw_pose(placed, n, seen, image)
        erode(seen, mask)
        drr = locally_normalised(image, mask, window)
        for top in range(down):
            for left in range(across):
                cross = own = its = compared = np.float32(0)
                for r in range(rows):
                    for c in range(columns):
                        both = fixed_mask[r, c] * mask[top + r, left + c]
                        m = drr[top + r, left + c]
                        f = fixed[r, c]
                        cross += m * f
                        own += both * m * m
                        its += both * f * f
                        compared += both
                share = compared / usable
                enough = share >= MIN_SHARE and compared >= MIN_COMPARED
                shares[n, top, left] = share
                scores[n, top, left] = 0.0
                if enough:
                    scores[n, top, left] = local_ncc((cross, own, its))
