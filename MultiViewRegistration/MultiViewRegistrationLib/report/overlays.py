"""Pictures of X-ray and DRR in one image: of start and result, live under a moving DRR, and a map of where they agree.

All are uint8 RGB (rows, columns, 3), bone bright as in a radiograph. Orange and blue are distinguishable with any colour vision. A DRR has
values above zero where rays meet the CT (the bone, if one is registered); elsewhere, and where it is NaN, it shows nothing.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial import ConvexHull

from ..imaging.xray import XRay
from .edges import contour, inner_edges, local_moments, normalised

ORANGE = np.array([255, 165, 20], np.float32)
BLUE = np.array([86, 180, 233], np.float32)
NEUTRAL = np.array([24, 26, 29], np.float32)
WHITE = 235
"""Brightest grey: pure white beside a dark page dazzles."""
TILES = 8
DIMMED = 0.4
SHORTEST_SIDE = 640
"""Smaller pictures are enlarged first, so that lines stay thin."""


class Tile(NamedTuple):
    """A square of an X-ray, in pixels, and by how much it differs more than noise explains: an outlier above 1."""

    row: int
    column: int
    side: int
    strength: float


class Overlays(NamedTuple):
    edges: np.ndarray
    checkerboard: np.ndarray
    difference: np.ndarray


LEGENDS = Overlays(
    edges="Orange: contours of the rendered CT, drawn over the X-ray.",
    checkerboard="Tiles of X-ray and rendered CT by turns: lines of bone must run on from tile to tile.",
    difference="Orange: the X-ray is brighter; blue: the rendered CT is brighter; dark: they agree.",
)


def overlays(xray: XRay, drrs: Sequence[np.ndarray], longest_side: int = 1024) -> list[Overlays]:
    """The pictures of one view at several poses, e.g. start and result, all of the same part of the image.

    `drrs` (rows, columns) each, on the X-ray's pixels. The part is where any of them has something, with room
    around it. Pictures are at most `longest_side` pixels long.
    """
    drrs = [np.nan_to_num(np.asarray(drr, np.float32), nan=0.0) for drr in drrs]
    levels = [silhouette_level(drr) for drr in drrs]
    silhouettes = np.any([drr > level for drr, level in zip(drrs, levels, strict=True)], axis=0)
    part = _part_to_show(silhouettes, xray.valid)
    shape = _picture_shape(silhouettes[part].shape, longest_side)
    film = Film(
        line_integrals=resized(xray.line_integrals[part], shape),
        valid=resized(xray.valid[part], shape) > 0.99,
        bone=resized(silhouettes[part], shape) > 0.5,
    )
    return [_at_one_pose(film, resized(drr[part], shape), level) for drr, level in zip(drrs, levels, strict=True)]


def picture_files(xray: XRay, drrs: Sequence[np.ndarray]) -> dict[str, tuple[bytes, ...]]:
    """PNG files of a view at each of several poses, e.g. start and result, by kind ("edges", "checkerboard", "difference")."""
    shown = overlays(xray, drrs)
    return {kind: tuple(png(getattr(overlay, kind)) for overlay in shown) for kind in Overlays._fields}


def png(image: np.ndarray) -> bytes:
    """PNG file of an RGB picture; a grey one is stored as grey."""
    grey = np.all(image == image[..., :1])
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if grey else image).save(file, "PNG", compress_level=4)
    return file.getvalue()


class Film:
    """The X-ray as it is shown."""

    def __init__(self, line_integrals: np.ndarray, valid: np.ndarray, bone: np.ndarray) -> None:
        self.line_integrals, self.valid = line_integrals, valid
        # Brightness is spent on the bone and its surroundings, not on collimator blades or air.
        around = valid & ndimage.binary_dilation(bone, iterations=max(valid.shape) // 30)
        self.window = max(valid.shape) // 7
        # Half of what changes slowly is taken away, as radiography systems do, to leave bone more contrast.
        flattened = line_integrals - 0.5 * local_moments(line_integrals, valid, 2 * self.window)[0]
        low, high = np.percentile(flattened[around if around.any() else np.ones_like(valid)], (0.5, 99.5))
        shown = np.clip((flattened - low) / max(high - low, 1e-6), 0, 1)
        # Fields are convex: beyond the hull is black, what is masked within it is a tool, and shown dimmed.
        self.beyond = ~hull(valid)
        self.dimmed = np.where(self.beyond, 0, DIMMED * shown)
        self.grey = np.where(valid, shown, self.dimmed)


def _at_one_pose(film: Film, drr: np.ndarray, level: float) -> Overlays:
    inside = drr > level
    both = film.valid & inside
    alike = normalised(drr, both, film.window)
    lines = np.maximum(contour(drr, level), inner_edges(drr, inside))
    return Overlays(lines_over(film, lines), checkerboard(film, alike, both), difference(film, alike, both))


def lines_over(film: Film, lines: np.ndarray) -> np.ndarray:
    """The X-ray with lines drawn over it, given as opacity (rows, columns)."""
    lines = np.where(film.beyond, 0, lines)[..., None]
    return as_uint8(WHITE * film.grey[..., None] * (1 - lines) + ORANGE * lines)


def checkerboard(film: Film, alike: np.ndarray, both: np.ndarray) -> np.ndarray:
    """The DRR, locally normalised, in the X-ray's local brightness and contrast; where it has nothing, the dimmed X-ray."""
    rows, columns = np.indices(alike.shape)
    tile = max(alike.shape[1] // TILES, 1)
    xray_turn = (rows // tile + columns // tile) % 2 == 0
    shown = np.where(xray_turn, film.grey, np.where(both, in_greys_of(film, alike, both), film.dimmed))
    return as_uint8(np.repeat(WHITE * shown[..., None], 3, axis=-1))


def in_greys_of(film: Film, alike: np.ndarray, both: np.ndarray) -> np.ndarray:
    """A DRR, locally normalised, in the film's local brightness and contrast, from 0 to 1."""
    mean, spread = local_moments(film.grey, both, film.window)
    return np.clip(mean + alike * spread, 0, 1)


def difference(film: Film, alike: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Both locally normalised, full colour at two standard deviations; elsewhere the dimmed X-ray."""
    smooth = ndimage.gaussian_filter(film.line_integrals, max(alike.shape) / 350)
    unlike = normalised(smooth, both, film.window) - alike
    strength = np.clip(np.abs(unlike) / 2, 0, 1)[..., None]
    colour = np.where(unlike[..., None] > 0, ORANGE, BLUE)
    background = WHITE * DIMMED * film.grey[..., None]
    return as_uint8(np.where(both[..., None], NEUTRAL * (1 - strength) + colour * strength, background))


def silhouette_level(drr: np.ndarray) -> float:
    """Value above which a DRR shows something: half a percent of its bright end, air being not quite 0."""
    lit = drr[drr > 0]
    return 0.005 * float(np.percentile(lit, 99)) if lit.size else 0.0


def _part_to_show(silhouettes: np.ndarray, valid: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the silhouettes, with a third of their size around them, within the field."""
    field = _box(valid) if valid.any() else (slice(0, valid.shape[0]), slice(0, valid.shape[1]))
    if not silhouettes[field].any():
        return field
    bone = _box(silhouettes)
    margin = max(span.stop - span.start for span in bone) // 3
    rows, columns = (
        slice(max(span.start - margin, limit.start), min(span.stop + margin, limit.stop))
        for span, limit in zip(bone, field, strict=True)
    )
    return rows, columns


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that hold all of a mask, which must not be empty."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def hull(mask: np.ndarray) -> np.ndarray:
    """The convex hull (rows, columns) of a mask, e.g. of a field; everything, if the mask is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return np.ones_like(mask)
    first, last = mask[rows].argmax(axis=1), mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    # A little beyond the pixels' centres: points on one line would have no hull.
    corners = [(first - 0.2, rows), (first, rows - 0.2), (last + 0.2, rows), (last, rows + 0.2)]
    hull = ConvexHull(np.concatenate([np.stack(corner, axis=1) for corner in corners]))
    across, down, offset = hull.equations[np.abs(hull.equations[:, 0]) > 1e-9].T[..., None]
    limit = -(down * np.arange(len(mask)) + offset) / across
    left = np.max(limit, axis=0, where=across < 0, initial=-np.inf)[:, None]
    right = np.min(limit, axis=0, where=across > 0, initial=np.inf)[:, None]
    row, column = np.ogrid[: mask.shape[0], : mask.shape[1]]
    return (row >= rows[0]) & (row <= rows[-1]) & (column >= left) & (column <= right)


def _picture_shape(shape: tuple[int, int], longest_side: int) -> tuple[int, int]:
    longest = max(shape)
    scale = np.clip(longest, min(SHORTEST_SIDE, longest_side), longest_side) / longest
    return max(round(shape[0] * scale), 1), max(round(shape[1] * scale), 1)


def resized(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Averages where it shrinks, interpolates where it grows."""
    picture = Image.fromarray(np.ascontiguousarray(image, np.float32))
    return np.asarray(picture.resize(shape[::-1], Image.Resampling.BILINEAR))


def as_uint8(colour: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(colour), 0, 255).astype(np.uint8)


#: No line is drawn so near, in pixels, to where the CT ends: that is no edge of the patient.
FROM_CUT_END = 3


def film_of(xray: XRay) -> Film:
    """The X-ray as all these pictures show it."""
    return Film(xray.line_integrals, xray.valid, xray.valid)


def live_picture(kind: str, film: Film, drr: np.ndarray, *, structure: bool) -> np.ndarray:
    """A picture of one kind: "checkerboard", "edges", "colours" or "difference".

    drr: (rows, columns), on the film's pixels; for "edges" of bone alone, without its soft tissue.
    structure: the DRR is of one structure, whose outline is an edge, too.
    """
    if kind == "edges":
        return lines_over(film, edges(drr, structure=structure))
    drr = np.nan_to_num(drr, nan=0.0)
    both = film.valid & (drr > silhouette_level(drr))
    alike = normalised(drr, both, film.window)
    return {"checkerboard": checkerboard, "colours": colours, "difference": difference}[kind](film, alike, both)


def live_layer(kind: str, film: Film, drr: np.ndarray, *, structure: bool) -> np.ndarray:
    """What of a `live_picture` of "edges", "colours" or "difference" lies over the X-ray: uint8 RGBA (rows, columns, 4), not premultiplied.

    The X-ray itself, left out, can be shown finer than the DRR, and in any window; it is dimmed where the DRR says nothing.
    """
    if kind == "edges":
        opacity = np.where(film.beyond, 0, edges(drr, structure=structure))
        return as_uint8(np.dstack([np.broadcast_to(ORANGE, (*drr.shape, 3)), 255 * opacity]))
    shown = live_picture(kind, film, drr, structure=structure)
    drr = np.nan_to_num(drr, nan=0.0)
    both = (film.valid & (drr > silhouette_level(drr)))[..., None]
    return as_uint8(np.concatenate([np.where(both, shown, 0), np.where(both, 255, 255 * (1 - DIMMED))], axis=-1))


def edges(drr: np.ndarray, *, structure: bool) -> np.ndarray:
    """Opacity (rows, columns) of lines along the edges of a DRR of bone, of `structure`'s outline, too; none where the CT ends."""
    untrue = np.isnan(drr)
    drr = np.where(untrue, np.float32(0), drr)
    level = silhouette_level(drr)
    lines = np.maximum(contour(drr, level), inner_edges(drr, drr > level)) if structure else inner_edges(drr, ~untrue)
    return np.where(ndimage.binary_dilation(untrue, iterations=FROM_CUT_END), 0, lines)


def colours(film: Film, alike: np.ndarray, both: np.ndarray) -> np.ndarray:
    """The X-ray in orange and the DRR, locally normalised, in blue: grey where they agree; elsewhere the X-ray, dimmed.

    The colours are complementary, and add up to white. Where the two differ, they are shown to differ by twice as much.
    """
    drr = in_greys_of(film, alike, both)
    middle, difference = ((film.grey + drr) / 2)[..., None], (film.grey - drr)[..., None]
    orange = ORANGE / 255
    shown = (middle + difference) * orange + (middle - difference) * (1 - orange)
    return as_uint8(WHITE * np.where(both[..., None], np.clip(shown, 0, 1), film.dimmed[..., None]))


#: Opacity of the strongest outlier.
STRONGEST = 0.6


def tile_map(xray: XRay, tiles: Sequence[Tile]) -> np.ndarray:
    """A map of where X-ray and CT agree: orange on outliers, dimmed where nothing was compared.   tiles: the compared ones."""
    scale = min(SHORTEST_SIDE / max(xray.valid.shape), 1.0)
    shape = tuple(max(round(size * scale), 1) for size in xray.valid.shape)
    valid = resized(xray.valid, shape) > 0.99
    film = Film(resized(xray.line_integrals, shape), valid, valid)
    colour, compared = np.zeros(shape, np.float32), np.zeros(shape, bool)
    for row, column, side, strength in tiles:
        place = tuple(slice(round(first * scale), round((first + side) * scale)) for first in (row, column))
        compared[place] = True
        colour[place] = STRONGEST * min(strength / 2, 1.0) if strength > 1 else 0.0
    grey, colour = np.where(compared, film.grey, film.dimmed)[..., None], colour[..., None]
    return as_uint8(WHITE * grey * (1 - colour) + ORANGE * colour)


def mask_excluding_outliers(xray: XRay, tiles: Sequence[Tile]) -> np.ndarray:
    """bool (rows, columns): the valid pixels without the outliers, which may be a tool, a cast, or a wrong pose."""
    kept = xray.valid.copy()
    for row, column, side, strength in tiles:
        if strength > 1:
            kept[row : row + side, column : column + side] = False
    return kept
