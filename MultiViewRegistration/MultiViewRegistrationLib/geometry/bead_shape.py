"""The places of beads that were never measured, from images of one C-arm whose angles are known roughly.

Beads of two images that may be one are met by their rays; those that further images show as well,
near where they should be, are one (tracks, each bead in one of them). Bundle adjustment makes the
cameras better, and these the tracks, within smaller distances each time. It begins with three
images: what these show is the model by which the others are matched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from .bead_cameras import ROUGHLY_SETTLED, Intrinsics, Observation, RoughShape, bundle
from .bead_match import FINE_PX, MIN_MATCHED
from .camera import Camera
from .epipolar import closest_point

#: Images that must show a bead, and from which places are found first.
LEAST_IMAGES = 3
#: Groups of three images that are tried, the widest apart first, until one shows this share of
#: the beads that each of them has.
GROUPS, WHOLE_SHARE = 4, 0.6
#: Beads of an image that are looked at first, how near to each other what they have in common must
#: be, as a share of their spread, and how many of the densest places are tried.
LIKELIEST, TOGETHER_SHARE, STARTS = 24, 0.1, 8
#: Distances within which tracks are looked for one after the other, as shares of the beads' spread
#: in the image, none below FINE_PX; and by how many times more than the standard deviation of a
#: bead each is.
LIMIT_SHARES, LIMIT_SDS = (0.12, 0.08, 0.04, 0.02, 0.0, 0.0), 3.0
#: Mm by which places may move in one adjustment.
LOOSE_MM = 50.0
#: Residual, px, above which what was found is none.
MAX_RMS_PX = 1.0


def least_apart_deg(cameras: Sequence[Camera]) -> float:
    """Return the least angle between the axes of those three cameras that are furthest apart."""
    sines = _sines(cameras)
    a, b, c = _widest(cameras)[0]
    return float(np.degrees(np.arcsin(min(sines[a, b], sines[b, c], sines[a, c]))))


def first_shape(
    pixels: Sequence[np.ndarray],
    sd_px: Sequence[np.ndarray],
    cameras: Sequence[Camera],
    intrinsics: Intrinsics,
) -> np.ndarray:
    """Return the places (n, 3) of beads that three images show which are far apart; none where nothing fits them.

    Parameters
    ----------
    pixels, sd_px
        (m, 2) and (m,) of each image: beads, the likeliest first, and the standard deviation of
        their places.
    cameras
        As the C-arm's angles and distances say; where the beads are in their world is left open.
    """
    best = np.empty((0, 3))
    for group in _widest(cameras):
        pixels_of, sd_of = [pixels[n] for n in group], [sd_px[n] for n in group]
        cameras_of = [cameras[n] for n in group]
        whole = WHOLE_SHARE * min(map(len, pixels_of))
        for beads in _likely_one(pixels_of, cameras_of):
            near = [
                _showing(camera, seen[bead])
                for camera, seen, bead in zip(cameras_of, pixels_of, beads, strict=True)
            ]
            points = _adjusted(pixels_of, sd_of, near, intrinsics)
            best = max(best, points, key=len)
            if len(best) >= whole:
                return best
    return best


def _widest(cameras: Sequence[Camera]) -> list[tuple[int, ...]]:
    """Return the groups of three images whose axes are most square to each other, the best first."""
    sines = _sines(cameras)
    groups = list(combinations(range(len(cameras)), LEAST_IMAGES))
    least = [min(sines[a, b], sines[b, c], sines[a, c]) for a, b, c in groups]
    return [groups[n] for n in np.argsort(-np.array(least), kind="stable")[:GROUPS]]


def _sines(cameras: Sequence[Camera]) -> np.ndarray:
    """Return (n, n) of the angles between the axes of cameras."""
    axes = np.array([camera.camera_from_world[2, :3] for camera in cameras])
    return np.sqrt(np.clip(1 - (axes @ axes.T) ** 2, 0, 1))


def _spread(pixels: np.ndarray) -> float:
    """Return the rms distance of pixels from their middle."""
    return float(np.sqrt(np.square(pixels - np.median(pixels, axis=0)).sum(axis=1).mean()))


def _likely_one(pixels: Sequence[np.ndarray], cameras: Sequence[Camera]) -> list[np.ndarray]:
    """Return threes of beads, one of each image, that are likely to be one.

    From afar an image shows a shift and two axes of a point. So the place in the third image that
    a bead of the first and one of the second have in common, less that of a third bead, and the
    distance between the rays, are the same for all threes that are one bead, wherever the cameras
    are: these threes lie together.
    """
    from scipy.spatial import cKDTree

    mm, spreads = [], []
    for camera, beads in zip(cameras, pixels, strict=True):
        K = camera.intrinsics[:2, :2] / float(camera.depth(np.zeros(3)))
        mm.append(beads[:LIKELIEST] @ np.linalg.inv(K).T)
        spreads.append(_spread(mm[-1]))
    axes = [camera.camera_from_world[:2, :3] for camera in cameras]
    both = np.concatenate(axes[:2])
    apart = np.linalg.svd(both.T)[2][-1]  # square to what the two images show of any point
    threes = np.stack(np.meshgrid(*map(np.arange, map(len, mm)), indexing="ij"), axis=-1)
    threes = threes.reshape(-1, LEAST_IMAGES)
    shown = np.column_stack([mm[0][threes[:, 0]], mm[1][threes[:, 1]]])
    third = shown @ np.linalg.pinv(both).T @ axes[2].T
    common = np.column_stack([third - mm[2][threes[:, 2]], shown @ apart])
    near = cKDTree(common).query_ball_point(common, TOGETHER_SHARE * min(spreads))
    count = np.array([min(len(set(threes[n, image])) for image in range(3)) for n in near])
    chosen: list[int] = []
    for n in np.argsort(-count, kind="stable"):
        if not set(near[n]) & set(chosen):
            chosen.append(int(n))
        if len(chosen) == STARTS:
            break
    return list(threes[chosen])


def _showing(camera: Camera, pixel: np.ndarray) -> Camera:
    """Return a camera of the same direction that shows the world's origin at a pixel."""
    ray = np.linalg.solve(camera.intrinsics, [*pixel, 1.0])
    pose = camera.camera_from_world.copy()
    pose[:3, 3] = float(camera.depth(np.zeros(3))) * ray
    return replace(camera, camera_from_world=pose)


def _adjusted(
    pixels: Sequence[np.ndarray],
    sd_px: Sequence[np.ndarray],
    cameras: list[Camera],
    intrinsics: Intrinsics,
) -> np.ndarray:
    """Return the places (n, 3) of beads by cameras nearby, by tracks within smaller distances each time; none where these fail."""
    spread = min(map(_spread, pixels))
    for share in LIMIT_SHARES:
        limit = max(share * spread, FINE_PX)
        tracks = _tracks(pixels, cameras, limit)
        if len(tracks) < MIN_MATCHED - 2:
            return np.empty((0, 3))
        points, seen = places_of(tracks, pixels, cameras), []
        for beads, sd, own in zip(pixels, sd_px, tracks.T, strict=True):
            shown = np.flatnonzero(own >= 0)
            wide = np.maximum(sd[own[shown]], limit / LIMIT_SDS)
            seen.append(Observation(points[shown], beads[own[shown]], wide, shown))
        shape = RoughShape(points, LOOSE_MM)
        fit = bundle(seen, cameras, intrinsics, shape, ROUGHLY_SETTLED)
        cameras = fit.cameras
    clear = len(tracks) >= MIN_MATCHED and np.mean(fit.rms_px) < MAX_RMS_PX
    return fit.points if clear else np.empty((0, 3))


def places_of(
    tracks: np.ndarray, pixels: Sequence[np.ndarray], cameras: Sequence[Camera]
) -> np.ndarray:
    """Return where the rays of tracks (n, images) meet, (n, 3)."""
    places = []
    for track in tracks:
        shown = np.flatnonzero(track >= 0).tolist()
        directions = np.stack([cameras[n].ray_directions(pixels[n][track[n]]) for n in shown])
        places.append(closest_point(np.stack([cameras[n].source for n in shown]), directions)[0])
    return np.array(places)


def joined(pixels: Sequence[np.ndarray], cameras: Sequence[Camera]) -> np.ndarray:
    """Return tracks (n, images): numbers of the beads in each image that are one, -1 where it does not show it.

    Three images or more show each, and each bead is in one track at most. The cameras are those of
    the images.
    """
    return _tracks(pixels, cameras, FINE_PX)


def _tracks(pixels: Sequence[np.ndarray], cameras: Sequence[Camera], limit: float) -> np.ndarray:
    """As `joined`, for beads within a distance in px from where two others have them."""
    seen, scores = [], []
    for first, second in combinations(range(len(cameras)), 2):
        points = _meetings(cameras[first], pixels[first], cameras[second], pixels[second])
        off = [
            np.linalg.norm(camera.project(points)[:, None] - beads, axis=-1) / limit
            for camera, beads in zip(cameras, pixels, strict=True)
        ]
        nearest = np.stack([each.argmin(axis=1) for each in off], axis=1)
        least = np.nan_to_num(np.stack([each.min(axis=1) for each in off], axis=1), nan=np.inf)
        seen.append(np.where(least < 1, nearest, -1))
        scores.append(np.maximum(0, 1 - least**2).sum(axis=1))
    tracks, score = np.concatenate(seen), np.concatenate(scores)
    enough = (tracks >= 0).sum(axis=1) >= LEAST_IMAGES
    tracks, score = tracks[enough], score[enough]
    taken: list[set[int]] = [set() for _ in cameras]
    kept = []
    for n in np.argsort(-score, kind="stable"):
        track = tracks[n].tolist()
        if any(bead in used for bead, used in zip(track, taken, strict=True)):
            continue
        for bead, used in zip(track, taken, strict=True):
            used.update([bead] if bead >= 0 else [])
        kept.append(track)
    return np.array(kept, int).reshape(-1, len(cameras))


def _meetings(camera: Camera, pixels: np.ndarray, other: Camera, others: np.ndarray) -> np.ndarray:
    """Return (n m, 3) the points nearest to the rays of each pixel (n, 2) of a camera and each (m, 2) of another."""
    a, b = camera.ray_directions(pixels), other.ray_directions(others)
    between = other.source - camera.source
    cosine = a @ b.T
    along, back = (a @ between)[:, None], (b @ between)[None]
    square = np.maximum(1 - cosine**2, 1e-9)
    s, t = (along - cosine * back) / square, (cosine * along - back) / square
    points = (camera.source + s[..., None] * a[:, None]) + (other.source + t[..., None] * b)
    return points.reshape(-1, 3) / 2
