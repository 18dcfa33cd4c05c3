"""Which bead of an image is which of a model, without a start: any pose, missing and false beads.

Three beads of the image and three of the model give up to four poses (Grunert's solution of the
three-point problem, in the form of Haralick et al., Int J Comput Vis 13, 1994). For random triples
of the image all, or many, triples of the model are tried; the poses under which most beads lie
where the image has one are refined (RANSAC: Fischler and Bolles, 1981).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from ..errors import InputError
from . import rigid
from .bead_cameras import Observation, fitted_pose
from .camera import Camera

#: Beads that must be matched: a pose has six numbers, and four beads that fit by chance are not
#: rare.
MIN_MATCHED = 6
#: Of a model; phantoms have up to some hundred.
MAX_BEADS = 500
#: Of the beads that the image has, and of those that the model has, the share of the smaller number
#: that must be matched.
MIN_SHARE = 0.5
#: Triples of the image, first and where these match nothing clearly, and of the model for each;
#: rms distance, px, of a clear match.
IMAGE_TRIPLES = (24, 96)
MODEL_TRIPLES = 6000
CLEAR_PX = 0.5
#: Points of the model by which poses are chosen first, and how many of these stay.
FIRST_LOOK = 6
KEPT_POSES = 400
#: Distance of a bead from where a pose has it, as a share of the beads' spread in the image, and
#: the least, px, for a pose of three beads; and once the pose is refined, px.
COARSE_SHARE = 0.04
COARSE_PX = 3.0
FINE_PX = 3.0
#: Poses that are refined, and triples of the image that are tried where all beads are in place.
REFINED = 8
LEAST_TRIPLES = 4
#: Share of the beads that are in their place where an answer is good enough to look no further.
IN_PLACE_SHARE = 0.85
#: A second answer is as good as the first where it matches at most so many beads fewer and its
#: residual is at most so many times as large, or below so many px.
FEWER_BEADS = 1
SIMILAR_RATIO = 3.0
SIMILAR_PX = 0.3
#: Distances from source to detector, in widths of the image, that are tried where none is known.
LIKELY_DISTANCES = (2.8, 4.8)
#: Rms distance of points from a plane or a line, as a share of that along it, below which they lie
#: on it.
FLAT_SHARE = 0.02
#: Share of a model's size by which its points may be off those of a symmetric one.
SYMMETRIC_SHARE = 0.02


@dataclass(frozen=True, eq=False)
class Match:
    """Beads of an image that are known by their number in the model.

    Attributes
    ----------
    camera
        That fits them, in the model's frame.
    model, bead
        (n,) numbers in the model and in the image.
    rms_px
        Of their distances.
    """

    camera: Camera
    model: np.ndarray
    bead: np.ndarray
    rms_px: float


def match_beads(
    model: np.ndarray,
    pixels: np.ndarray,
    cameras: Sequence[Camera],
    sd_px: np.ndarray | None = None,
    *,
    free_intrinsics: bool = True,
) -> list[Match]:
    """Return the matches of an image's beads with a model, the best first; more than one where it is ambiguous.

    Parameters
    ----------
    model
        (n, 3) mm.
    pixels
        (m, 2) beads in the image, the likeliest first.
    cameras
        Intrinsics to try, as cameras at any pose: distances, and both signs of fx where it is not
        known whether the image is mirrored.
    sd_px
        (m,) standard deviation of each bead along each axis.
    free_intrinsics
        Whether principal point and distance may be other than tried.

    Raises
    ------
    InputError
        For a model of too few or too many points or on a line, for an image with too few beads,
        and where no pose fits.
    """
    check_model(model)
    if len(pixels) < MIN_MATCHED:
        raise InputError(
            f"found {len(pixels)} beads, expected {MIN_MATCHED} or more of the model's "
            f"{len(model)}; take the image again with the whole model in its field."
        )
    sd_px = np.full(len(pixels), 0.1) if sd_px is None else sd_px
    spread = float(np.sqrt(np.square(pixels - np.median(pixels, axis=0)).sum(axis=1).mean()))
    coarse = max(COARSE_SHARE * spread, COARSE_PX)
    least = max(MIN_MATCHED, int(np.ceil(MIN_SHARE * min(len(model), len(pixels)))))
    matches: list[Match] = []
    for count in IMAGE_TRIPLES:
        starts: list[tuple[float, Camera]] = []
        for camera in cameras:
            rng = np.random.default_rng(0)
            starts += _starts(model, pixels, camera, coarse, count, rng)
        starts.sort(key=lambda each: -each[0])
        for camera in _distinct(model, pixels, starts, coarse):
            match = _refined(model, pixels, sd_px, camera, coarse, free_intrinsics)
            if match is not None and not any(_same(match, other) for other in matches):
                matches.append(match)
        matches.sort(key=lambda each: (-len(each.model), each.rms_px))
        enough = matches and len(matches[0].model) >= least
        if enough and matches[0].rms_px <= CLEAR_PX:
            break
    if not enough:
        most = len(matches[0].model) if matches else 0
        raise InputError(
            f"the {len(pixels)} beads found fit the model in no pose: {most} of its "
            f"{len(model)} at most, expected {least} or more; check that the model is this one and "
            "in mm, and that the whole of it is in the field."
        )
    best = matches[0]
    return [best, *(other for other in matches[1:] if _as_good(other, best))]


def match_near(
    model: np.ndarray,
    pixels: np.ndarray,
    camera: Camera,
    sd_px: np.ndarray,
    *,
    free_intrinsics: bool = True,
) -> Match | None:
    """Return the match of beads that a camera shows about where they are.

    None where it leaves out more than a few of them. Parameters as of `match_beads`.
    """
    match = _refined(model, pixels, sd_px, camera, FINE_PX, free_intrinsics)
    enough = IN_PLACE_SHARE * min(len(model), len(pixels))
    return match if match is not None and len(match.model) > enough else None


def check_model(model: np.ndarray) -> None:
    """Refuse points (n, 3) that are too few, too many, or on one line.

    Raises
    ------
    InputError
        Says which.
    """
    if not MIN_MATCHED <= len(model) <= MAX_BEADS:
        raise InputError(
            f"has {len(model)} beads, expected {MIN_MATCHED} to {MAX_BEADS}; use another model."
        )
    along, across, _ = np.linalg.svd(model - model.mean(axis=0), compute_uv=False)
    if across <= FLAT_SHARE * along:
        raise InputError(
            "has its beads on one line, expected them spread over a volume, as the camera could "
            "turn about the line; use another model."
        )


def is_flat(model: np.ndarray) -> bool:
    """Return whether points (n, 3) lie in one plane."""
    along, _, off = np.linalg.svd(model - model.mean(axis=0), compute_uv=False)
    return bool(off <= FLAT_SHARE * along)


def symmetries(model: np.ndarray) -> list[np.ndarray]:
    """Return the ways (n,) of renaming the points (n, 3) that a rotation makes, other than none.

    No image tells them apart.
    """
    from scipy.spatial import cKDTree
    from scipy.spatial.distance import cdist

    centred = model - model.mean(axis=0)
    away = np.linalg.norm(centred, axis=1)
    tolerance = SYMMETRIC_SHARE * away.max()
    frame = _frame_of(centred)
    apart = cdist(centred, centred)
    tree = cKDTree(centred)
    found: list[np.ndarray] = []
    firsts, seconds, thirds = (np.flatnonzero(np.abs(away - away[n]) < tolerance) for n in frame)

    def fit(n: int, those: np.ndarray, m: int, others: np.ndarray) -> np.ndarray:
        """Return which of these and those points lie as far apart as two of the frame."""
        return np.abs(apart[np.ix_(those, others)] - apart[frame[n], frame[m]]) < 2 * tolerance

    pairs = fit(1, seconds, 2, thirds)
    for first in firsts:
        with_second = fit(0, np.array([first]), 1, seconds).T
        with_third = fit(0, np.array([first]), 2, thirds)
        for second, third in np.argwhere(pairs & with_second & with_third):
            chosen = np.array([first, seconds[second], thirds[third]])
            R = rigid.nearest_rotation(centred[chosen].T @ centred[frame])  # Kabsch, 1976
            distance, renamed = tree.query(centred @ R.T, distance_upper_bound=tolerance)
            whole = len(set(renamed.tolist())) == len(model)
            new = (renamed != np.arange(len(model))).any()
            if whole and new and np.isfinite(distance).all():
                found.append(renamed)
    return list(np.unique(found, axis=0)) if found else []


def _frame_of(centred: np.ndarray) -> np.ndarray:
    """Return three points that span the most with the centre."""
    first = int(np.linalg.norm(centred, axis=1).argmax())
    across = np.linalg.norm(np.cross(centred, centred[first]), axis=1)
    second = int(across.argmax())
    normal = np.cross(centred[first], centred[second])
    others = np.abs(centred @ normal) + 1e-6 * across
    others[[first, second]] = -1
    return np.array([first, second, int(others.argmax())])


def poses_of_three(points: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Return the poses (k, 4, 4), camera_from_model, under which three points lie on three rays.

    Parameters
    ----------
    points
        (n, 3, 3) of the model, three a row, mm.
    rays
        (3, 3) unit vectors in the camera's frame.
    """
    a2, b2, c2 = (
        np.square(points[:, i] - points[:, j]).sum(axis=1) for i, j in ((1, 2), (0, 2), (0, 1))
    )
    usable = np.minimum(np.minimum(a2, b2), c2) > 1e-6
    points = points[usable]
    a2 = a2[usable]
    b2 = b2[usable]
    c2 = c2[usable]
    cos_a = rays[1] @ rays[2]
    cos_b = rays[0] @ rays[2]
    cos_c = rays[0] @ rays[1]
    q = (a2 - c2) / b2
    p = (a2 + c2) / b2
    a = a2 / b2
    c = c2 / b2
    quartic = np.stack(
        [
            (q - 1) ** 2 - 4 * c * cos_a**2,
            4 * (q * (1 - q) * cos_b - (1 - p) * cos_a * cos_c + 2 * c * cos_a**2 * cos_b),
            2
            * (
                q**2
                - 1
                + 2 * q**2 * cos_b**2
                + 2 * (1 - c) * cos_a**2
                - 4 * p * cos_a * cos_b * cos_c
                + 2 * (1 - a) * cos_c**2
            ),
            4 * (-q * (1 + q) * cos_b + 2 * a * cos_c**2 * cos_b - (1 - p) * cos_a * cos_c),
            (1 + q) ** 2 - 4 * a * cos_c**2,
        ],
        axis=1,
    )
    roots = _real_roots(quartic)
    row = np.nonzero(np.isfinite(roots))[0]
    v = roots[np.isfinite(roots)]
    u = ((q[row] - 1) * v**2 - 2 * q[row] * cos_b * v + 1 + q[row]) / (2 * (cos_c - v * cos_a))
    first = np.sqrt(b2[row] / np.maximum(1 + v**2 - 2 * v * cos_b, 1e-12))
    depths = first[:, None] * np.stack([np.ones_like(u), u, v], axis=1)
    good = np.isfinite(depths).all(axis=1) & (depths > 0).all(axis=1)
    return _aligned(points[row[good]], depths[good][..., None] * rays)


def _real_roots(quartic: np.ndarray) -> np.ndarray:
    """Return the real roots (n, 4) of quartics (n, 5), nan for those that are not.

    They are the eigenvalues of the companion matrix. Of a pair that noise made complex the real part.
    """
    lead = np.where(np.abs(quartic[:, :1]) < 1e-12, 1e-12, quartic[:, :1])
    companion = np.zeros((len(quartic), 4, 4))
    companion[:, [1, 2, 3], [0, 1, 2]] = 1
    companion[:, 0] = -quartic[:, 1:] / lead
    roots = np.linalg.eigvals(companion)
    real = np.abs(roots.imag) < 0.05 * np.abs(roots.real)
    return np.where(real, roots.real, np.nan)


def _aligned(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the poses (n, 4, 4) that take triples (n, 3, 3) to targets (n, 3, 3)."""

    def axes(triples: np.ndarray) -> np.ndarray:
        x = triples[:, 1] - triples[:, 0]
        z = np.cross(x, triples[:, 2] - triples[:, 0])
        x, z = map(rigid.unit, (x, z))
        return np.stack([x, np.cross(z, x), z], axis=2)

    with np.errstate(invalid="ignore", divide="ignore"):
        R = axes(targets) @ np.swapaxes(axes(points), 1, 2)
    t = targets.mean(axis=1) - (R @ points.mean(axis=1)[..., None])[..., 0]
    poses = rigid.from_rotation_translation(R, t)
    return poses[np.isfinite(poses).all(axis=(1, 2))]


def _starts(
    model: np.ndarray,
    pixels: np.ndarray,
    camera: Camera,
    coarse: float,
    count: int,
    rng: np.random.Generator,
) -> list[tuple[float, Camera]]:
    """Return the best poses of so many triples of the image, and how many beads each has in its place."""
    triples = _model_triples(len(model), rng)
    homogeneous = np.column_stack([pixels, np.ones(len(pixels))])
    rays = homogeneous @ np.linalg.inv(camera.intrinsics).T
    rays = rigid.unit(rays)
    found: list[tuple[float, Camera]] = []
    for triple in _image_triples(pixels, len(model), count, rng):
        poses = poses_of_three(model[triples], rays[triple])
        if not len(poses):
            continue
        few = model[rng.permutation(len(model))[:FIRST_LOOK]]
        first = _scores(few, pixels, camera, poses, coarse)
        poses = poses[np.argsort(-first, kind="stable")[:KEPT_POSES]]
        scores = _scores(model, pixels, camera, poses, coarse)
        found += [
            (float(scores[n]), replace(camera, camera_from_world=poses[n]))
            for n in np.argsort(-scores, kind="stable")[:2]
        ]
        enough = IN_PLACE_SHARE * min(len(model), len(pixels))
        if scores.max() > enough and len(found) >= 2 * LEAST_TRIPLES:
            break
    found.sort(key=lambda each: -each[0])
    return found[: 4 * REFINED]


def _distinct(
    model: np.ndarray, pixels: np.ndarray, starts: list[tuple[float, Camera]], coarse: float
) -> list[Camera]:
    """Return the first REFINED starts that name the beads otherwise than those before them."""
    chosen: list[Camera] = []
    named: list[tuple[bool, set[tuple[int, int]]]] = []
    for _, camera in starts:
        mirrored = bool(camera.intrinsics[0, 0] < 0)
        rows, columns = _assigned(model, pixels, camera, coarse)
        pairs = set(zip(rows.tolist(), columns.tolist()))
        known = any(
            mirrored == other and len(pairs & others) > 0.6 * len(pairs) for other, others in named
        )
        if len(pairs) >= MIN_MATCHED - 2 and not known:
            chosen.append(camera)
            named.append((mirrored, pairs))
        if len(chosen) == REFINED:
            break
    return chosen


def _model_triples(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return (n, 3) triples of the model in every order: all, or a part of them drawn at random."""
    if count * (count - 1) * (count - 2) <= MODEL_TRIPLES:
        return np.array(list(permutations(range(count), 3)))
    drawn = np.argsort(rng.random((MODEL_TRIPLES, count)), axis=1)[:, :3]
    return np.unique(drawn, axis=0)


def _image_triples(
    pixels: np.ndarray, likeliest: int, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Return triples (count, 3) of beads of the image, the wider half of those drawn at random.

    As three of the model among many others are rare, half of them are of the likeliest beads, and
    half of beads near to each other, since the others lie all over the image.
    """
    keys = rng.random((2 * count, len(pixels)))
    keys[::2, likeliest:] += 1
    first = rng.integers(len(pixels), size=count)
    apart = np.linalg.norm(pixels[first][:, None] - pixels, axis=-1)
    keys[1::2] += apart.argsort(axis=1).argsort(axis=1) > likeliest
    keys[1::2][np.arange(count), first] = -1
    drawn = np.argsort(keys, axis=1)[:, :3]
    a = pixels[drawn[:, 1]] - pixels[drawn[:, 0]]
    b = pixels[drawn[:, 2]] - pixels[drawn[:, 0]]
    area = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    halves = np.arange(2 * count).reshape(-1, 2).T
    widest = [half[np.argsort(-area[half], kind="stable")] for half in halves]
    return drawn[np.stack(widest, axis=1)[: count // 2].ravel()]


def _scores(
    model: np.ndarray, pixels: np.ndarray, camera: Camera, poses: np.ndarray, coarse: float
) -> np.ndarray:
    """Return for poses (n, 4, 4) about how many beads of the image each has in their places."""
    P = camera.intrinsics @ poses[:, :3]
    x = P[..., :3] @ model.T + P[..., 3:]
    depth = np.where(x[:, 2] > 0, x[:, 2], np.nan)
    u = x[:, 0] / depth
    v = x[:, 1] / depth
    squared = (pixels[:, 0] - u[..., None]) ** 2 + (pixels[:, 1] - v[..., None]) ** 2
    nearest = np.nan_to_num(squared.min(axis=1), nan=np.inf)
    return np.maximum(0, 1 - nearest / coarse**2).sum(axis=1)


def _assigned(
    model: np.ndarray, pixels: np.ndarray, camera: Camera, limit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers in the model and in the image of beads that belong together, nearer than a limit in px."""
    from scipy.optimize import linear_sum_assignment

    distance = np.linalg.norm(camera.project(model)[:, None] - pixels, axis=-1)
    cost = np.minimum(np.nan_to_num(distance, nan=1e6), 2 * limit)
    rows, columns = linear_sum_assignment(cost)
    near = distance[rows, columns] < limit
    return rows[near], columns[near]


def _refined(
    model: np.ndarray,
    pixels: np.ndarray,
    sd_px: np.ndarray,
    camera: Camera,
    coarse: float,
    free_intrinsics: bool,
) -> Match | None:
    """Return the match near a camera, of beads within `coarse` and then FINE_PX px; None where too few stay in it."""
    for limit in (1.5 * coarse, coarse, 0.5 * coarse, FINE_PX, FINE_PX):
        rows, columns = _assigned(model, pixels, camera, max(limit, FINE_PX))
        if len(rows) < MIN_MATCHED - 1 or (camera.depth(model[rows]) <= 0).any():
            return None
        seen = Observation(model[rows], pixels[columns], sd_px[columns])
        camera = fitted_pose(seen, camera, free_intrinsics=free_intrinsics)
    rows, columns = _assigned(model, pixels, camera, FINE_PX)
    if len(rows) < MIN_MATCHED:
        return None
    off = np.linalg.norm(camera.project(model[rows]) - pixels[columns], axis=1)
    return Match(camera, rows, columns, float(np.sqrt(np.mean(off**2))))


def _same(match: Match, other: Match) -> bool:
    """Return whether two matches name the beads alike."""
    pairs = set(zip(match.model.tolist(), match.bead.tolist()))
    others = set(zip(other.model.tolist(), other.bead.tolist()))
    mirrored = [each.camera.intrinsics[0, 0] < 0 for each in (match, other)]
    return len(pairs & others) >= 0.5 * min(len(pairs), len(others)) and len(set(mirrored)) == 1


def _as_good(match: Match, best: Match) -> bool:
    return len(match.model) >= len(best.model) - FEWER_BEADS and match.rms_px <= max(
        SIMILAR_RATIO * best.rms_px, SIMILAR_PX
    )
