"""Pictures of X-ray and DRR in one image.

Of start and result, live under a moving DRR, and a map of where they agree.

All are uint8 RGB (rows, columns, 3), bone bright as in a radiograph. Orange and blue are
distinguishable with any colour vision. A DRR has values above zero where rays meet the CT (the
bone, if one is registered); elsewhere, and where it is NaN, it shows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy
from PIL import Image, ImageDraw

from ..assessment.features import Tile
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.field import continued, hull, overlap, widened
from ..imaging.xray import XRay, detail_of, local_moments
from ..registration.prepared_ct import PreparedCT
from .html import png

ORANGE = np.array([255, 165, 20], np.float32)
BLUE = np.array([86, 180, 233], np.float32)
NEUTRAL = np.array([24, 26, 29], np.float32)
#: Colours (511, 3) of differences in 255ths of full colour: 0, 1, ... 255, -255, ... -1.
DIFFERENCES = np.rint(
    NEUTRAL
    + np.concatenate(
        [
            np.linspace(0, 1, 256)[:, None] * (ORANGE - NEUTRAL),
            np.linspace(1, 0, 255, endpoint=False)[:, None] * (BLUE - NEUTRAL),
        ]
    )
).astype(np.uint8)
#: Brightest grey: pure white beside a dark page dazzles.
WHITE = 235
TILES = 8
DIMMED = 0.4
#: Smaller pictures are enlarged first, so that lines stay thin; as large as most X-rays, which are
#: not.
MIN_LONGEST_SIDE = 512
#: Half the width of a line in pixels of the picture.
HALF_WIDTH = 1.0
#: The radius of a dot in pixels of the picture; no place that has one.
DOT = 3
NOWHERE = np.empty((0, 2))
#: No line is drawn so near, in pixels, to where the CT ends: that is no edge of the patient.
FROM_CUT_END = 3
#: Where the CT has ended, the X-ray is shown so much darker.
BEYOND_CT = 0.35
#: Parts of an image's longest side over which local moments go, and by which edges are smoothed.
WINDOW = 7
SIGMA = 300
#: Pixels; sampled second derivatives of a narrower Gaussian do not add up to zero, and move edges
#: to where bone begins.
MIN_SIGMA = 0.7
#: Share of the typical contrast that the least counts as.
LEAST_DETAIL = 0.25
#: Local moments are computed for blocks of pixels, so many in half a window.
BLOCKS = 12
#: Opacity of the strongest outlier.
STRONGEST = 0.6
#: The report's kinds of pictures.
LEGENDS = {
    "edges": "Orange: edges of the CT's bones, or of the structure that is registered. Darker: beyond the ends of the CT.",
    "checkerboard": "Tiles of X-ray and rendered CT by turns: lines of bone must run on from tile to tile.",
    "difference": "Orange: the X-ray is brighter; blue: the rendered CT is brighter; dark: they agree.",
}


class Film:
    """The X-ray as it is shown.

    Parameters
    ----------
    line_integrals, valid
        (rows, columns) of the X-ray.
    bone
        (rows, columns) bool: brightness is spent on this and its surroundings, not on collimator
        blades or air.
    """

    def __init__(self, line_integrals: np.ndarray, valid: np.ndarray, bone: np.ndarray) -> None:
        self.line_integrals = line_integrals
        self.valid = valid
        around = valid & scipy.ndimage.binary_dilation(bone, iterations=max(valid.shape) // 30)
        self.window = max(valid.shape) // WINDOW
        # Half of what changes slowly is taken away, as radiography systems do, to leave bone more
        # contrast.
        flattened = line_integrals - 0.5 * smooth_moments(line_integrals, valid, 2 * self.window)[0]
        low, high = np.percentile(
            flattened[around if around.any() else np.ones_like(valid)], (0.5, 99.5)
        )
        shown = np.clip((flattened - low) / max(high - low, 1e-6), 0, 1)
        # Fields are convex: beyond the hull is black, what is masked within it is a tool, and shown
        # dimmed.
        self.beyond = ~hull(valid)
        self.dimmed = np.where(self.beyond, 0, DIMMED * shown)
        self.grey = np.where(valid, shown, self.dimmed)

    @cached_property
    def smooth(self) -> np.ndarray:
        """The line integrals with less noise."""
        return scipy.ndimage.gaussian_filter(self.line_integrals, max(self.valid.shape) / 350)


def film_of(xray: XRay) -> Film:
    """Return the whole X-ray."""
    return Film(xray.line_integrals, xray.valid, xray.valid)


@dataclass(frozen=True, eq=False)
class DRRs:
    """What is drawn of the CT at one pose over one X-ray.

    Attributes
    ----------
    whole
        (rows, columns), NaN for rays through a cut end of the CT.
    bones
        The same of bone alone, see `PreparedCT.drr`, whose edges are drawn.
    structure
        They are of one structure, whose outline is an edge, too.
    """

    whole: np.ndarray
    bones: np.ndarray
    structure: bool

    @classmethod
    def of(cls, anatomy: PreparedCT, camera: Camera, world_from_ct: np.ndarray) -> DRRs:
        """Of a CT at a pose (4, 4).

        Rays nearer to each other than voxels are would show nothing more: between them it is
        interpolated. Edges of bone, along zeros of second derivatives, want rays as near as the
        CT's own voxels.
        """
        centre = rigid.transform_points(world_from_ct, anatomy.centroid)
        level = anatomy.picture_level
        columns, rows = camera.size
        pixel_mm = float(camera.pixel_mm(centre).min())  # negative behind the source

        def drawn(apart_mm: float, *, bones: bool) -> np.ndarray:
            factor = int(np.clip(apart_mm / pixel_mm, 1, min(columns, rows))) if pixel_mm > 0 else 1
            coarse = replace(
                camera.pooled(factor), size=(-(-columns // factor), -(-rows // factor))
            )
            drr = anatomy.drr(coarse, world_from_ct, level, bones=bones)
            return _resized_drr(drr, (rows, columns), (0.0, 0.0, columns / factor, rows / factor))

        whole = drawn(anatomy.voxel_mm(level), bones=False)
        bones = drawn(anatomy.voxel_mm(0), bones=True)
        return cls(whole, bones, anatomy.structure)


def overlays(
    xray: XRay,
    poses: Sequence[DRRs],
    longest_side: int = 1024,
    tested: np.ndarray = NOWHERE,
) -> list[dict[str, np.ndarray]]:
    """Return the pictures of one view at several poses by kind, of LEGENDS, all of the same part of the image.

    As "xray" and "outlines" there is what "edges" is made of: the X-ray alone, and the layer (rows,
    columns, 4) over it. The part is where any of them has something, with room around it. Pictures
    are at most `longest_side` pixels long, and have square pixels. Over the last pose there are blue
    dots where bone that lies elsewhere would have been seen, `tested` (N, 2), pixels of the X-ray.
    """
    drrs = [np.nan_to_num(pose.whole, nan=0.0) for pose in poses]
    levels = [_silhouette_level(drr) for drr in drrs]
    silhouettes = np.any([drr > level for drr, level in zip(drrs, levels, strict=True)], axis=0)
    part = _part_to_show(silhouettes, xray.valid)
    rows, columns = silhouettes[part].shape
    corner = part[1].start, part[0].start
    shape = _picture_shape((rows * _aspect(xray), columns), longest_side)
    scale = shape[1] / columns, shape[0] / rows
    film = Film(
        line_integrals=_resized(xray.line_integrals[part], shape),
        valid=_resized(xray.valid[part], shape) > 0.99,
        bone=_resized(silhouettes[part], shape) > 0.5,
    )
    pictures = []
    for pose, drr, level in zip(poses, drrs, levels, strict=True):
        drr = _resized(drr[part], shape)
        both = film.valid & (drr > level)
        normalised = normalised_locally(drr, both, film.window)
        outlines = _outlines(film, _resized_drr(pose.bones[part], shape), structure=pose.structure)
        if pose is poses[-1]:
            outlines = _dotted(outlines, (tested - corner + 0.5) * scale - 0.5)
        grey = grey_picture(film.grey)
        drawn = (
            _flattened(grey, outlines),
            _checkerboard(film, normalised, both),
            _difference(film, normalised, both),
        )
        pictures.append(
            dict(zip(LEGENDS, drawn, strict=True)) | {"xray": grey, "outlines": outlines}
        )
    return pictures


def picture_files(shown: Sequence[dict[str, np.ndarray]]) -> dict[str, tuple[bytes, ...]]:
    """PNG files of a view's `overlays`: by kind, of LEGENDS, one for each pose."""
    return {kind: tuple(png(pictures[kind]) for pictures in shown) for kind in LEGENDS}


def live_picture(kind: str, film: Film, drr: np.ndarray, *, structure: bool) -> np.ndarray:
    """Return a picture of one kind: "checkerboard", "edges", "colours" or "difference".

    Parameters
    ----------
    drr
        (rows, columns), on the film's pixels; for "edges" of bone alone, without its soft tissue.
    structure
        The DRR is of one structure, whose outline is an edge, too.
    """
    if kind == "edges":
        layer = live_layer("edges", film, drr, structure=structure)
        return _flattened(grey_picture(film.grey), layer)
    drr, both = _compared(film, drr)
    draw = {"checkerboard": _checkerboard, "colours": _colours, "difference": _difference}[kind]
    return draw(film, normalised_locally(drr, both, film.window), both)


def live_layer(kind: str, film: Film, drr: np.ndarray, *, structure: bool) -> np.ndarray:
    """Return the layer of a `live_picture` of "edges", "colours" or "difference" over the X-ray.

    Uint8 RGBA (rows, columns, 4), not premultiplied.

    The X-ray itself, left out, can be shown finer than the DRR, and in any window; it is dimmed
    where the DRR says nothing.
    """
    if kind == "edges":
        opacity = np.where(film.beyond, 0, _edges(drr, structure=structure))
        return _as_uint8(np.dstack([np.broadcast_to(ORANGE, (*drr.shape, 3)), 255 * opacity]))
    shown = live_picture(kind, film, drr, structure=structure)
    both = _compared(film, drr)[1][..., None]
    return _as_uint8(
        np.concatenate([np.where(both, shown, 0), np.where(both, 255, 255 * (1 - DIMMED))], axis=-1)
    )


def tile_map(xray: XRay, tiles: Sequence[Tile]) -> np.ndarray:
    """Return a map of where X-ray and CT agree.

    Orange on outliers, dimmed where nothing was compared.

    Parameters
    ----------
    tiles
        The compared ones.
    """
    rows, columns = xray.valid.shape
    scale = min(MIN_LONGEST_SIDE / max(rows * _aspect(xray), columns), 1.0)
    down = scale * _aspect(xray)
    across = scale
    shape = _scaled((rows * _aspect(xray), columns), scale)
    valid = _resized(xray.valid, shape) > 0.99
    film = Film(_resized(xray.line_integrals, shape), valid, valid)
    colour = np.zeros(shape, np.float32)
    compared = np.zeros(shape, bool)
    for row, column, side, strength, *_explained in tiles:
        bottom = row + side
        right = column + side
        place = np.s_[
            round(row * down) : round(bottom * down), round(column * across) : round(right * across)
        ]
        compared[place] = True
        colour[place] = STRONGEST * min(strength / 2, 1.0) if strength > 1 else 0.0
    grey = np.where(compared, film.grey, film.dimmed)[..., None]
    colour = colour[..., None]
    return _as_uint8(WHITE * grey * (1 - colour) + ORANGE * colour)


def mask_excluding_outliers(xray: XRay, tiles: Sequence[Tile]) -> np.ndarray:
    """Return bool (rows, columns).

    The valid pixels without the outliers, which may be a tool, a cast, or a wrong pose.
    """
    kept = xray.valid.copy()
    for row, column, side, strength, *_explained in tiles:
        if strength > 1:
            kept[row : row + side, column : column + side] = False
    return kept


def _compared(film: Film, drr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the DRR without NaN, and where both film and DRR show something."""
    drr = np.nan_to_num(drr, nan=0.0)
    return drr, film.valid & (drr > _silhouette_level(drr))


def _edges(drr: np.ndarray, *, structure: bool) -> np.ndarray:
    """Opacity (rows, columns) of lines along the edges of a DRR of bone, of `structure`'s outline, too; none where the CT ends."""
    untrue = np.isnan(drr)
    if untrue.all():
        return np.zeros(drr.shape, np.float32)
    if untrue.any():  # bone goes on as it ends there: then it has no edge along the end
        drr = continued(drr, ~untrue)
    level = _silhouette_level(drr)
    lines = (
        np.maximum(contour(drr, level), _inner_edges(drr, drr > level))
        if structure
        else _inner_edges(drr, ~untrue)
    )
    return np.where(scipy.ndimage.binary_dilation(untrue, iterations=FROM_CUT_END), 0, lines)


def _outlines(film: Film, bones: np.ndarray, *, structure: bool) -> np.ndarray:
    """Return the layer, uint8 (rows, columns, 4), of a DRR's edges over the X-ray, which is darker where the CT has ended."""
    lines = _edges(bones, structure=structure)
    beyond = np.isnan(bones)
    if structure:  # about one bone there is nothing to compare anyway
        beyond = np.zeros_like(beyond)
    beyond = BEYOND_CT * scipy.ndimage.gaussian_filter(beyond.astype(np.float32), FROM_CUT_END)
    colour = ORANGE * (lines / np.maximum(np.maximum(lines, beyond), 1e-6))[..., None]
    opacity = np.where(film.beyond, 0, 255 * np.maximum(lines, beyond))
    return _as_uint8(np.dstack([colour, opacity]))


def _dotted(layer: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return a layer with blue dots at places (N, 2), pixels of it."""
    picture = Image.fromarray(layer)
    pen = ImageDraw.Draw(picture)
    for place in places:
        pen.ellipse([*(place - DOT), *(place + DOT)], tuple(BLUE.astype(int)))
    return np.asarray(picture)


def _flattened(picture: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """Return a picture (rows, columns, 3) under a layer (rows, columns, 4)."""
    opacity = layer[..., 3:] / np.float32(255)
    return _as_uint8(picture * (1 - opacity) + layer[..., :3] * opacity)


def _checkerboard(film: Film, normalised: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Return the DRR, locally normalised, in the X-ray's local brightness and contrast.

    Where it has nothing, the dimmed X-ray.
    """
    rows, columns = np.indices(normalised.shape)
    tile = max(normalised.shape[1] // TILES, 1)
    xray_turn = (rows // tile + columns // tile) % 2 == 0
    shown = np.where(
        xray_turn, film.grey, np.where(both, _in_greys_of(film, normalised, both), film.dimmed)
    )
    return grey_picture(shown)


def _difference(film: Film, normalised: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Both locally normalised, full colour at two standard deviations.

    Elsewhere the dimmed X-ray.
    """
    difference = normalised_locally(film.smooth, both, film.window) - normalised
    shown = DIFFERENCES[np.rint(255 * np.clip(difference / 2, -1, 1)).astype(int)]
    shown[~both] = _as_uint8(WHITE * DIMMED * film.grey[~both])[:, None]
    return shown


def _colours(film: Film, normalised: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Return the X-ray in orange and the DRR, locally normalised, in blue: grey where they agree.

    Elsewhere the X-ray, dimmed.

    The colours are complementary, and add up to white. Where the two differ, they are shown to
    differ by twice as much.
    """
    drr = _in_greys_of(film, normalised, both)
    middle = ((film.grey + drr) / 2)[..., None]
    difference = (film.grey - drr)[..., None]
    orange = ORANGE / 255
    shown = (middle + difference) * orange + (middle - difference) * (1 - orange)
    return _as_uint8(
        WHITE * np.where(both[..., None], np.clip(shown, 0, 1), film.dimmed[..., None])
    )


def _in_greys_of(film: Film, normalised: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Return a DRR, locally normalised, in the film's local brightness and contrast, from 0 to 1."""
    mean, spread = smooth_moments(film.grey, both, film.window)
    return np.clip(mean + normalised * spread, 0, 1)


def _silhouette_level(drr: np.ndarray) -> float:
    """Value above which a DRR shows something.

    Half a percent of its bright end, air being not quite 0.
    """
    lit = drr[drr > 0]
    return 0.005 * float(np.percentile(lit, 99)) if lit.size else 0.0


def _part_to_show(silhouettes: np.ndarray, valid: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the silhouettes, with a third of their size around them, within the field."""
    field = _box(valid) if valid.any() else (slice(0, valid.shape[0]), slice(0, valid.shape[1]))
    if not silhouettes[field].any():
        return field
    return overlap(part_about(silhouettes, 1 / 3), field) or field


def part_about(mask: np.ndarray, share: float) -> tuple[slice, slice]:
    """Rows and columns that hold all of a mask, which must not be empty, with a share of their size around them."""
    box = _box(mask)
    rows, columns = widened(box, int(share * max(span.stop - span.start for span in box)))
    return rows, columns


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that hold all of a mask, which must not be empty."""
    return scipy.ndimage.find_objects(mask.astype(np.uint8))[0]


def _aspect(xray: XRay) -> float:
    """Return the height of a pixel over its width: 1 where that is not known."""
    width, height = xray.pixel_mm or (1.0, 1.0)
    return height / width


def _picture_shape(shape: tuple[float, float], longest_side: int) -> tuple[int, int]:
    longest = max(shape)
    scale = np.clip(longest, min(MIN_LONGEST_SIDE, longest_side), longest_side) / longest
    return _scaled(shape, scale)


def _scaled(shape: tuple[float, ...], scale: float) -> tuple[int, int]:
    return max(round(shape[0] * scale), 1), max(round(shape[1] * scale), 1)


def _resized(
    image: np.ndarray,
    shape: tuple[int, int],
    part: tuple[float, float, float, float] | None = None,
    by: Image.Resampling = Image.Resampling.BILINEAR,
) -> np.ndarray:
    """Averages where it shrinks, interpolates where it grows.

    Parameters
    ----------
    part
        Left, top, right, bottom of what becomes (rows, columns).
    """
    picture = Image.fromarray(np.ascontiguousarray(image, np.float32))
    return np.asarray(picture.resize(shape[::-1], by, part))


def _resized_drr(
    drr: np.ndarray, shape: tuple[int, int], part: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """Return the same of a DRR with NaN, which counts for as little as it has of a pixel."""
    by = Image.Resampling.BICUBIC  # lines are drawn along zeros of second derivatives
    untrue = np.isnan(drr)
    if not untrue.any():
        return _resized(drr, shape, part, by)
    share = _resized(~untrue, shape, part, by)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(
            share > 0.5,
            _resized(np.where(untrue, 0, drr), shape, part, by) / share,
            np.float32(np.nan),
        )


def grey_picture(grey: np.ndarray) -> np.ndarray:
    """Return the picture (rows, columns, 3) of greys (rows, columns) from 0 to 1."""
    return np.repeat(_as_uint8(WHITE * grey)[..., None], 3, axis=-1)


def _as_uint8(colour: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(colour), 0, 255).astype(np.uint8)


def contour(image: np.ndarray, level: float) -> np.ndarray:
    """Line where `image` passes `level`."""
    inside = scipy.ndimage.gaussian_filter((image > level).astype(np.float32), 1.0)
    return _line(inside - 0.5, np.hypot(*np.gradient(inside)))


def _inner_edges(image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Lines along the edges within the mask `inside`, of thin bone as of thick.

    An edge is where the gradient is greatest along its own direction (Canny, PAMI 8:679-698, 1986):
    there the second derivative in that direction passes zero (Lindeberg, IJCV 30:117-154, 1998).
    Weak edges count where they continue a strong one.
    """
    side = max(image.shape)
    blur = max(side / SIGMA, MIN_SIGMA)
    within = scipy.ndimage.binary_erosion(inside, iterations=round(3 * blur), border_value=1)
    if not within.any():
        return np.zeros(image.shape, np.float32)

    def filtered(values: np.ndarray, axis: int, order: int) -> np.ndarray:
        return scipy.ndimage.gaussian_filter1d(values, blur, axis, order)

    down = filtered(image, 0, 0)
    slope_down = filtered(image, 0, 1)
    y = filtered(slope_down, 1, 0)
    x = filtered(down, 1, 1)
    yy = filtered(filtered(image, 0, 2), 1, 0)
    xy = filtered(slope_down, 1, 1)
    xx = filtered(down, 1, 2)
    square = np.maximum(x**2 + y**2, 1e-30)
    second = (x * x * xx + 2 * x * y * xy + y * y * yy) / square
    row, column = np.gradient(second)
    # Of a blurred step this is 1; ripples on a slope have far less and are no edges.
    sharpness = -(x * column + y * row) * blur**2 / square

    strength = np.hypot(x, y) / detail_of(
        smooth_moments(image, inside, side // WINDOW)[1], inside, LEAST_DETAIL
    )
    weak, strong = np.maximum(
        np.percentile(strength[within], (75, 93)), 0.05 * strength[within].max()
    )
    line = _line(second, np.hypot(row, column))
    candidate = within & (line > 0) & (sharpness > 0.1) & (strength > weak)
    # Of the connected pieces those count that hold a strong pixel and are no specks.
    label, count = scipy.ndimage.label(candidate, structure=np.ones((3, 3)))
    strongest = np.zeros(count + 1, strength.dtype)
    np.maximum.at(strongest, label[candidate], strength[candidate])
    keep = (strongest > strong) & (np.bincount(label.ravel()) >= 2 * HALF_WIDTH * (side // 18))
    keep[0] = False
    return np.where(keep[label], line, 0)


def _line(value: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Opacity by the distance from the zero crossing of `value`, which is value / slope to first order."""
    return np.clip(HALF_WIDTH + 0.5 - np.abs(value) / np.maximum(slope, 1e-9), 0, 1).astype(
        np.float32
    )


def smooth_moments(
    image: np.ndarray, mask: np.ndarray, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (rows, columns) of the masked pixels within about `window` pixels.

    Those of a large window change slowly: they are computed for blocks of pixels, and interpolated.
    """
    half = max(window // 2, 1)
    block = max(half // BLOCKS, 1)
    rows, columns = image.shape

    def blurred(values: np.ndarray) -> np.ndarray:
        """Return two box filters: nearly a Gaussian, at a cost that does not grow with the window."""
        means = values if block == 1 else np.asarray(Image.fromarray(values).reduce(block))
        size = round(half / block)
        return scipy.ndimage.uniform_filter(
            scipy.ndimage.uniform_filter(means, size, mode="constant"), size, mode="constant"
        )

    def interpolated(means: np.ndarray) -> np.ndarray:
        if block == 1:
            return means
        within = (0, 0, columns / block, rows / block)
        return np.asarray(
            Image.fromarray(means).resize((columns, rows), Image.Resampling.BILINEAR, within)
        )

    # Without its overall mean first, float32 loses the variance of a bright image.
    offset = np.float32(image[mask].mean()) if mask.any() else np.float32(0)
    mean, spread = local_moments(image - offset, mask, blurred)
    return interpolated(mean) + offset, interpolated(spread)


def normalised_locally(image: np.ndarray, mask: np.ndarray, window: int) -> np.ndarray:
    """Return (image - local mean) / local contrast, zero off the mask."""
    mean, spread = smooth_moments(image, mask, window)
    return np.where(mask, (image - mean) / detail_of(spread, mask, LEAST_DETAIL), 0)


#: Half the side of what is shown, in tiles, and the least side of it, as a share of the image.
TILES_ABOUT = 2
LEAST_SHARE = 0.3


def decisive_box(xray: XRay, tiles: list[Tile], edges: np.ndarray) -> np.ndarray:
    """Return the lowest and the highest pixel (2, 2) about the neighbouring outliers that are most, by strength and edges (T,) of bone.

    About the tiles that show most of these where there are none.
    """
    strength, explained = np.array([tile[3:] for tile in tiles]).T
    weight = edges * strength * (strength > 1)
    if not weight.any():
        weight = edges * explained + 1e-9  # also without any bone
    places = np.array([(tile.column, tile.row) for tile in tiles])
    side = tiles[0].side
    near = np.abs(places[:, None] - places).max(axis=2) <= side
    about = weight * near[np.argmax(near @ weight)]
    size = np.array(xray.valid.shape[::-1])
    middle = about @ places / about.sum() + side / 2
    half = np.maximum(TILES_ABOUT * side, LEAST_SHARE * size / 2)
    return np.clip(np.stack([middle - half, middle + half]), 0, size - 1)
