"""The part of an X-ray image to use.

Field, burned-in annotations, whether bone is bright or dark, and signs that an image was cropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import scipy

# The search runs on an image of at most this many pixels a side: borders are large, and noise is
# less there.
SEARCH_SIZE = 200
THRESHOLDS = 20
# Shares of direct exposure, added to even out a border's noise: one search after the other. The
# lower one finds the border of a dense body, or a second one within the first: a collimator in a
# painted shutter.
FLOORS = (0.03, 0.001)
# Images whose fields are remembered: a registration has eight at most, and each is read again and
# again.
KEPT_IMAGES = 8
# Of the image; less is a bright spot in an image that is dark all over.
MIN_FIELD_SHARE = 0.1

# Share of its convex hull that a field fills.
MIN_CONVEX_SHARE = 0.9
# In nepers, at the edge: lead stops most of what arrives, a thick bone half of it.
MIN_STEP = 0.7
# Share of the edge that has at least a third of the median step.
MIN_STEP_SHARE = 0.8
# Share of the step within 4 of 16 pixels: a blurred blade has 0.55 and more, skin 0.3 to 0.5.
MIN_SHARPNESS = 0.52
# Of the border's values, in steps.
MAX_SPREAD = 0.35
# What is painted is flat and sharp; and a narrow strip must be (less than this share of its edge
# has 6 pixels of border beyond), because there bone looks like lead.
MIN_SHARPNESS_PAINTED = 0.85
MAX_SPREAD_PAINTED = 1e-6
MIN_WIDE_SHARE = 0.3

_ACROSS = np.arange(-8, 9)  # pixels across an edge, from the field outwards
_INSIDE = (_ACROSS >= -6) & (_ACROSS <= -3)
_OUTSIDE = (_ACROSS >= 3) & (_ACROSS <= 6)


@dataclass(frozen=True)
class _Border:
    """A border by the field that it leaves.

    Attributes
    ----------
    sides
        (n, 3) half-planes a x + b y + c <= 0 whose intersection is the field, blurred edge left
        out.
    area
        Of the field, in pixels.
    score
        Larger is more border-like.
    """

    sides: np.ndarray
    area: int
    score: float


def find_field(line_integrals: np.ndarray) -> np.ndarray:
    """Return the field of an X-ray image: bool (rows, columns), all True where no border is found.

    Parameters
    ----------
    line_integrals
        (rows, columns), finite, in nepers or near it.

    Notes
    -----
    A border may be dense, as lead is, sharp or blurred; or painted in the value of air, then
    perfectly flat and sharp. Direct exposure at the image's edge is neither, and stays. The field
    found is convex, and drawn in by the width of the edge's blur. That of an image that was asked
    for lately is remembered: the search takes most of the time of reading one.
    """
    pixels = np.ascontiguousarray(line_integrals)
    known = _known(blake2b(pixels.data).digest(), pixels.dtype.str)
    if pixels.shape not in known:
        known[pixels.shape] = _search(pixels)
    return known[pixels.shape].copy()


@lru_cache(maxsize=KEPT_IMAGES)
def _known(digest: bytes, dtype: str) -> dict[tuple[int, ...], np.ndarray]:
    """Return the fields of images of these pixels by their shapes: at first none."""
    return {}


def _search(line_integrals: np.ndarray) -> np.ndarray:
    factor = -(-max(line_integrals.shape) // SEARCH_SIZE)
    small = _reduced(np.exp(-line_integrals), factor)
    small /= np.percentile(small, 99)
    sides = np.empty((0, 3))
    field = np.ones(small.shape, bool)
    for floor in FLOORS:
        border = _clearest_border(-np.log(small + floor), field)
        if border is None:
            continue
        narrowed = np.concatenate([sides, border.sides])
        inside = _inside(small.shape, narrowed)
        if inside.mean() > MIN_FIELD_SHARE:
            sides = narrowed
            field = inside
            small = continued(small, inside)
    normals = sides[:, :2]
    offsets = sides[:, 2]
    offsets = factor * offsets - normals.sum(1) * (factor - 1) / 2  # from block centres to pixels
    return _inside(line_integrals.shape, np.column_stack([normals, offsets]))


def _clearest_border(density: np.ndarray, known: np.ndarray) -> _Border | None:
    """Return the border with the smallest field, among the clearest that any threshold finds.

    Parameters
    ----------
    known
        Bool (rows, columns), the field as far as it is known; beyond it, `density` repeats its rim.
    """
    thresholds = np.linspace(density.min(), density.max(), THRESHOLDS + 2)[1:-1]
    nearly_air = thresholds[:6]
    borders = [
        *(_border_above(density, threshold, known, painted=False) for threshold in thresholds),
        *(_border_above(-density, -threshold, known, painted=True) for threshold in nearly_air),
    ]
    found = [border for border in borders if border is not None]
    best = max((border.score for border in found), default=0)
    clear = [border for border in found if border.score > 0.85 * best]
    return min(clear, key=lambda border: border.area, default=None)


def _border_above(
    density: np.ndarray, threshold: float, known: np.ndarray, painted: bool
) -> _Border | None:
    """Return the border of the region above a threshold that reaches the edge of the field, if there is one."""
    beyond = _touching_edge(density > threshold, known) & known
    if not beyond.any():
        return None
    field = _largest(known & ~beyond)
    corners = _convex_corners(field)
    if corners is None:
        return None
    hull = _half_planes(corners)
    inside = _inside(density.shape, hull)
    if field.sum() < MIN_CONVEX_SHARE * inside.sum():
        return None
    points, side = _along_edge(corners)
    # The points with nothing beyond them lie on the image's edge, or on the border that is known.
    new = nearest(known, points + hull[side, :2])
    if new.sum() < 10:
        return None
    points = points[new]
    side = side[new]
    normals = hull[side, :2]

    profiles = _across(density, points, normals)
    profile = np.median(profiles, axis=0) - np.median(profiles[:, 0])
    steps = np.median(profiles[:, _OUTSIDE], axis=1) - np.median(profiles[:, _INSIDE], axis=1)
    step = float(np.median(steps))
    clear = steps > step / 3
    if min(step, profile[-1]) <= 0 or clear.mean() < MIN_STEP_SHARE:
        return None
    profile /= profile[-1]
    # Sides without a step chop off anatomy; where only a wire crosses the edge, its neighbours
    # outvote it.
    around = scipy.ndimage.uniform_filter1d(clear.astype(float), 15, mode="wrap")
    sides = hull[np.bincount(side, around - 0.5, len(hull)) > 0]
    outside = ~_inside(density.shape, sides + [0, 0, -2]) & known  # past the blur of the edge
    if not outside.any() or not (painted or step > MIN_STEP):
        return None

    narrow = np.mean(nearest(known, points + 6 * normals)) < MIN_WIDE_SHARE
    strict = painted or narrow
    sharpness = float(np.interp(2, _ACROSS, profile) - np.interp(-2, _ACROSS, profile))
    spread = float(np.ptp(np.percentile(density[outside], [10, 90]))) / step
    contents = float(np.ptp(np.percentile(density[inside], [5, 95]))) / step
    if sharpness < (MIN_SHARPNESS_PAINTED if strict else MIN_SHARPNESS):
        return None
    if spread > (MAX_SPREAD_PAINTED if strict else MAX_SPREAD) or contents <= spread / 2:
        return None  # neither lead nor paint; or border and field have changed places
    return _Border(
        sides + [0, 0, _blur(profile)], int(inside.sum()), min(sharpness, 1.0) - 0.3 * spread
    )


def _reduced(image: np.ndarray, factor: int) -> np.ndarray:
    """Return block means, the last block filled up with the image's edge, without single bright or dark pixels."""
    rows, columns = image.shape
    padded = np.pad(image, ((0, -rows % factor), (0, -columns % factor)), mode="edge")
    means = block_sums(padded.astype(float), factor) / factor**2
    return scipy.ndimage.median_filter(means, 3, mode="nearest")


def block_sums(image: np.ndarray, factor: int) -> np.ndarray:
    """Return sums over blocks of `factor` x `factor` pixels, those beyond the last whole block left out."""
    rows, columns = (size // factor for size in image.shape)
    whole = image[: rows * factor, : columns * factor]
    by_rows = whole.reshape(rows, factor, columns * factor).sum(1)  # first: along memory
    return by_rows.reshape(rows, columns, factor).sum(2)


def _across(density: np.ndarray, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return (n, 17), density along a line through each of n edge points, from 8 pixels inside to 8 outside."""
    sampled = points[:, None] + normals[:, None] * _ACROSS[:, None]
    return scipy.ndimage.map_coordinates(
        density, [sampled[..., 1], sampled[..., 0]], order=1, mode="nearest"
    )


def _blur(profile: np.ndarray) -> float:
    """Return pixels from the edge inwards until its profile, 0 inside and 1 outside, has come down to a tenth."""
    inwards = profile[_ACROSS <= 0][::-1]
    return float(np.argmax(inwards < 0.1)) + 0.5


def _touching_edge(mask: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the connected parts of a mask that reach the edge of the image or of the known field."""
    labels, _ = scipy.ndimage.label(np.pad(mask | ~known, 1, constant_values=True))
    return labels[1:-1, 1:-1] == labels[0, 0]


def _largest(mask: np.ndarray) -> np.ndarray:
    """Return the largest connected part, opened by a cross, without hairs.

    The image goes on beyond its edge.
    """
    thick = scipy.ndimage.binary_erosion(mask, border_value=1)
    labels, _ = scipy.ndimage.label(scipy.ndimage.binary_dilation(thick))
    return labels == 1 + np.argmax(np.bincount(labels.ravel(), minlength=2)[1:])


def _convex_corners(mask: np.ndarray) -> np.ndarray | None:
    """Return (n, 2) corners (x, y) of the convex hull of a mask's pixel centres, in turn."""
    try:
        return _corners_of(outermost(mask))
    except (ValueError, scipy.spatial.QhullError):  # it is empty, or all on one line
        return None


def outermost(mask: np.ndarray) -> np.ndarray:
    """Return (n, 2) the first and the last pixel (x, y) of each row of a mask."""
    rows = np.flatnonzero(mask.any(1))
    first = mask[rows].argmax(1)
    last = mask.shape[1] - 1 - mask[rows, ::-1].argmax(1)
    return np.column_stack([np.concatenate([first, last]), np.tile(rows, 2)])


def _corners_of(points: np.ndarray) -> np.ndarray:
    """Return (n, 2) corners of the convex hull of points (m, 2), in turn."""
    return points[scipy.spatial.ConvexHull(points).vertices]


def _half_planes(corners: np.ndarray) -> np.ndarray:
    """Return (n, 3), the side from each corner to the next as a x + b y + c <= 0, (a, b) the outward unit normal."""
    along = np.roll(corners, -1, axis=0) - corners
    normals = np.column_stack([along[:, 1], -along[:, 0]]) / np.linalg.norm(
        along, axis=1, keepdims=True
    )
    return np.column_stack([normals, -(normals * corners).sum(1)])


def _inside(shape: tuple[int, int], sides: np.ndarray) -> np.ndarray:
    """Return bool (rows, columns): pixels in all half-planes.

    Each cuts rows from the left or the right.
    """
    y = np.arange(shape[0])[:, None]
    x = np.arange(shape[1])
    a, b, c = sides.T
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = -(b * y + c) / a
    left = np.where(a < -1e-9, crossing, -np.inf).max(1, initial=-np.inf)
    right = np.where(a > 1e-9, crossing, np.inf).min(1, initial=np.inf)
    level = ((np.abs(a) > 1e-9) | (b * y + c <= 1e-9)).all(1)
    return (x >= left[:, None] - 1e-9) & (x <= right[:, None] + 1e-9) & level[:, None]


def _along_edge(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, 2) points (x, y), about a pixel apart, around a polygon, and (n,) the side that each lies on."""
    along = np.roll(corners, -1, axis=0) - corners
    counts = np.maximum(1, np.linalg.norm(along, axis=1).astype(int))
    side = np.repeat(np.arange(len(counts)), counts)
    share = (np.arange(len(side)) - np.repeat(np.cumsum(counts) - counts, counts) + 0.5) / counts[
        side
    ]
    return corners[side] + share[:, None] * along[side], side


def nearest(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the values (n,) of an image, or a volume, at the elements nearest to points (n, 2) or (n, 3), the column first; 0 off it."""
    return scipy.ndimage.map_coordinates(values, points[:, ::-1].T, order=0, mode="grid-constant")


def widened(box: Sequence[slice], steps: int | np.ndarray) -> tuple[slice, ...]:
    """Return a box with so many more steps at both ends of each axis, or as many as there are before it."""
    each = zip(box, np.broadcast_to(steps, len(box)), strict=True)
    return tuple(slice(max(side.start - n, 0), side.stop + n) for side, n in each)


def overlap(one: tuple[slice, slice], other: tuple[slice, slice]) -> tuple[slice, slice] | None:
    """Return what two parts of an image have in common; None where that is nothing."""
    rows, columns = (
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )
    return (rows, columns) if rows.stop > rows.start and columns.stop > columns.start else None


def continued(image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return the image with everything outside the field replaced by the nearest pixel of the field."""
    nearest = scipy.ndimage.distance_transform_edt(
        ~inside, return_distances=False, return_indices=True
    )
    return image[tuple(nearest)]


MAX_ANNOTATED_SHARE = 0.02  # of the field
MIN_PIXELS = 6
MAX_LETTER_SHARE = 0.08  # of the image: a box is taken of what is smaller, not of lines
MIN_CONTRAST = 0.25  # to what is around, as a share of the image's own contrast
FLOOR = 0.03  # of direct exposure, added so that the few photons behind metal are no contrast


def find_annotations(line_integrals: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Find burned-in letters, numbers and lines.

    Bool (rows, columns), True in a box around a letter, and on lines and two pixels around.

    Parameters
    ----------
    line_integrals
        (rows, columns), finite, in nepers or near it.
    field
        bool (rows, columns), where to look.

    Notes
    -----
    Annotations are thin strokes in the very largest or smallest value, thinner than a fiftieth of
    the image; an image that has much of that value (saturated air, clipped bone) is left alone.
    """
    transmission = np.exp(-line_integrals)
    every = max(1, np.count_nonzero(field) // 100_000)
    density = -np.log(transmission / np.percentile(transmission[field][::every], 99) + FLOOR)
    inside = density[field]
    contrast = np.ptp(np.percentile(inside[::every], [0.5, 99.5]))
    thickest = 2 * (max(density.shape) // 100) + 1
    found = np.zeros(density.shape, bool)
    for extreme in (inside.min(), inside.max()):
        painted = (density == extreme) & field
        if np.count_nonzero(painted) < MAX_ANNOTATED_SHARE * len(inside):
            near_extreme = np.abs(density - extreme) < MIN_CONTRAST * contrast
            found |= painted & ~scipy.ndimage.grey_opening(near_extreme, thickest)
    grown = scipy.ndimage.binary_dilation(found, iterations=2) & field
    labels, _ = scipy.ndimage.label(grown)
    strokes = (
        np.bincount(labels[found], minlength=labels.max() + 1) >= MIN_PIXELS
    )  # the others are noise
    kept = grown & strokes[labels]
    for box in scipy.ndimage.find_objects(scipy.ndimage.label(kept)[0]):
        if max(side.stop - side.start for side in box) <= MAX_LETTER_SHARE * max(kept.shape):
            kept[box] = True
    return kept & field


POLARITY_SIZE = 256
# pixels at that size: the width of a cortex, and of its surroundings
FINE = 1.0
COARSE = 4.0
MIN_SKEWNESS = 0.05


def bone_is_bright(values: np.ndarray) -> bool | None:
    """Return True, False, or None where the image does not show it.

    Cortices, wires, screws and contrast agent are thin and dense; almost nothing is thin and less
    dense than what surrounds it. So the skewness of the image's fine detail, each divided by the
    local standard deviation, has bone's sign. The division makes it the same for intensities and
    for their logarithm. On 33 real and simulated radiographs, as intensities and as logarithms, it
    was never wrong and silent on 9 %; on their quarters, many without bone, wrong on 4 % and silent
    on 50 %.

    Parameters
    ----------
    values
        (rows, columns), finite, on any monotone scale.
    """
    low = values.min()
    high = values.max()
    if high == low:
        return None
    scaled = (values - low) / (high - low)
    valid = find_field(-np.log(scaled + 1e-3)) & find_field(-np.log(1 - scaled + 1e-3))
    factor = -(-max(values.shape) // POLARITY_SIZE)
    small = block_sums(scaled, factor) / factor**2
    inside = block_sums(valid, factor) == factor**2
    inside = scipy.ndimage.binary_erosion(inside, iterations=5, border_value=1)
    if inside.sum() < 1000:
        return None

    weight = inside.astype(np.float64)

    def mean(image: np.ndarray, sigma: float) -> np.ndarray:
        return scipy.ndimage.gaussian_filter(image * weight, sigma) / np.maximum(
            scipy.ndimage.gaussian_filter(weight, sigma), 1e-3
        )

    detail = mean(small, FINE) - mean(small, COARSE)
    detail /= np.sqrt(mean(detail**2, COARSE) + (1e-3 * np.ptp(small[inside])) ** 2)
    detail = detail[inside]
    skewness = float(np.mean(detail**3) / np.mean(detail**2) ** 1.5)
    return None if abs(skewness) < MIN_SKEWNESS else skewness > 0


def hull(mask: np.ndarray) -> np.ndarray:
    """Return the convex hull (rows, columns) of a mask, e.g. of a field.

    Everything, if the mask is empty.
    """
    points = outermost(mask)
    if not len(points):
        return np.ones_like(mask)
    # A little beyond the pixels' centres: points on one line would have no hull.
    first, last = np.split(points, 2)
    around = [first - [0.2, 0], first - [0, 0.2], last + [0.2, 0], last + [0, 0.2]]
    return _inside(mask.shape, _half_planes(_corners_of(np.concatenate(around))))


#: Detectors are square, or longer by more than this share; and no side of theirs that is not square
#: has a number of pixels that this does not divide.
NEARLY_SQUARE = 0.06
MULTIPLE = 4
#: Share of a side by which an image of another length may have lost its middle.
LOST_SHARE = 0.01
#: Of a round field: share of its rows whose rim the image must show, how far the rim may be from a
#: circle as a share of the radius, and how far the circle's middle may be from the image's, px and
#: as a share of the image.
RIM_ROWS = 0.3
RIM_SD_SHARE = 0.005
OFF_PX = 2.0
OFF_SHARE = 0.003
#: Pixels at the edge of an image at which a field's rim is the image's.
EDGE_PX = 3
#: Share by which the distance to the detector by the matrix may be off that by the header, and one
#: of the matrix's two scales off the other.
DISTANCE_SHARE = 0.05
SCALE_SHARE = 0.01


@dataclass(frozen=True)
class Doubt:
    """A sign that an image is not the one that its geometry is for.

    Attributes
    ----------
    sentence
        What is found, after the name of the view.
    off_px
        By how many pixels its principal point may be off, one standard deviation.
    """

    sentence: str
    off_px: float


def signs_of_cropping(valid: np.ndarray, *, is_stated: bool = False) -> Doubt | None:
    """Return why an image may have been cropped, None where nothing says so.

    Parameters
    ----------
    valid
        bool (rows, columns), the field.
    is_stated
        Whether the certainty of the principal point is stated. An odd number of pixels is no
        argument against that, the rows that a nearly square image lacks are.
    """
    rows, columns = valid.shape
    return _unlike_a_detector(columns, rows, is_stated) or _off_the_field(valid)


def signs_of_resampling(
    intrinsics: np.ndarray,
    pixel_mm: tuple[float, float] | None,
    source_to_detector_mm: float | None,
    size: tuple[int, int],
) -> Doubt | None:
    """Return why pixels may be of another size than the matrix takes them for.

    Parameters
    ----------
    intrinsics
        (3, 3).
    pixel_mm
        Between columns, and between rows, on the detector, as the image's file has it.
    source_to_detector_mm
        As the image's header has it.
    size
        Columns, rows.
    """
    if pixel_mm is None:
        return None
    across = abs(intrinsics[0, 0]) * pixel_mm[0]
    down = abs(intrinsics[1, 1]) * pixel_mm[1]
    lost = LOST_SHARE * max(size)
    if abs(across / down - 1) > SCALE_SHARE:
        return Doubt(
            f"has a detector {across:.0f} mm away by its matrix and the width of its pixels, but "
            f"{down:.0f} mm by their height: it may be resampled.",
            lost,
        )
    if source_to_detector_mm and abs(down / source_to_detector_mm - 1) > DISTANCE_SHARE:
        return Doubt(
            f"has a detector {down:.0f} mm away by its matrix and pixels, but "
            f"{source_to_detector_mm:.0f} mm by its header: it may be resampled.",
            lost,
        )
    return None


def _unlike_a_detector(columns: int, rows: int, is_stated: bool) -> Doubt | None:
    apart = abs(columns - rows)
    if not apart:
        return None
    nearly = apart <= NEARLY_SQUARE * max(columns, rows)
    if not nearly and (is_stated or not (columns % MULTIPLE or rows % MULTIPLE)):
        return None
    return Doubt(
        f"has {columns} x {rows} pixels, unlike a detector: it may be cropped.",
        float(apart) if nearly else LOST_SHARE * max(columns, rows),
    )


def _off_the_field(valid: np.ndarray) -> Doubt | None:
    """Return that a round field that the image's edge cuts lies off the middle of the image.

    One that is whole may: undistorted images of calibrated image intensifiers are such.
    """
    middle = _middle_of_rim(valid)
    rows, columns = valid.shape
    edge = valid.copy()
    edge[EDGE_PX : rows - EDGE_PX, EDGE_PX : columns - EDGE_PX] = False
    if middle is None or not edge.any():
        return None
    off = float(np.abs(middle - (np.array([columns, rows]) - 1) / 2).max())
    if off <= max(OFF_PX, OFF_SHARE * max(rows, columns)):
        return None
    return Doubt(
        f"has a round field whose middle is {off:.0f} px off the image's: it may be cropped.",
        2 * off,
    )


def _middle_of_rim(valid: np.ndarray) -> np.ndarray | None:
    """Return the middle (2,), column and row, of a round field, None of another."""
    rim = outermost(valid).astype(float)
    size = np.array(valid.shape[::-1])
    rim = rim[((rim >= EDGE_PX) & (rim < size - EDGE_PX)).all(axis=1)]
    if len(rim) < 2 * RIM_ROWS * valid.shape[0]:
        return None
    # |p|^2 = 2 p . m + c of a circle about m.
    system = np.column_stack([2 * rim, np.ones(len(rim))])
    (column, row, constant), *_ = np.linalg.lstsq(system, np.square(rim).sum(axis=1), rcond=None)
    middle = np.array([column, row])
    radius = np.sqrt(max(constant + middle @ middle, 0.0))
    away = np.linalg.norm(rim - middle, axis=1) - radius
    is_round = np.sqrt(np.mean(away**2)) <= max(1.0, RIM_SD_SHARE * radius)
    return middle if is_round and radius < max(valid.shape) else None
