"""Where in an X-ray the CT agrees with it: the tiles that are less alike than noise explains, drawn over the image."""

from __future__ import annotations

import numpy as np

from ..assessment.features import UNLIKE, Evidence
from ..imaging.xray import XRay
from ..registration.tiles import SIDE
from .overlays import ORANGE, SHORTEST_SIDE, WHITE, Film, as_uint8, resized

#: Colour of a tile that is as unlike as can be.
STRONGEST = 0.6


def without_unlike(xray: XRay, told: Evidence, view: int) -> np.ndarray:
    """bool (rows, columns): the valid pixels of one view, without the tiles that are less alike than noise explains.

    A suggestion for a mask: what does not fit may be a tool or a cast, or where the pose is wrong.
    """
    kept = xray.valid.copy()
    side, split = SIDE * told.pooled, told.split
    left, top = np.array(told.corners[view]) * told.pooled
    for n in np.flatnonzero((split.views == view) & split.told & (split.explained - split.similarity > UNLIKE)):
        column, row = split.places[n]
        kept[top + row * side : top + (row + 1) * side, left + column * side : left + (column + 1) * side] = False
    return kept


def tile_map(xray: XRay, told: Evidence, view: int) -> np.ndarray:
    """uint8 RGB picture of one view, its number among those that were registered together."""
    scale = min(SHORTEST_SIDE / max(xray.valid.shape), 1.0)
    shape = tuple(max(round(size * scale), 1) for size in xray.valid.shape)
    valid = resized(xray.valid, shape) > 0.99
    film = Film(resized(xray.line_integrals, shape), valid, valid)
    missing, compared = np.zeros(shape, np.float32), np.zeros(shape, bool)
    side, (left, top) = SIDE * told.pooled * scale, np.array(told.corners[view]) * told.pooled * scale
    split = told.split
    for n in np.flatnonzero((split.views == view) & split.told):
        column, row = split.places[n]
        tile = (
            slice(round(top + row * side), round(top + (row + 1) * side)),
            slice(round(left + column * side), round(left + (column + 1) * side)),
        )
        compared[tile] = True
        lack = split.explained[n] - split.similarity[n]
        missing[tile] = STRONGEST * min(lack / (2 * UNLIKE), 1.0) if lack > UNLIKE else 0.0
    grey = np.where(compared, film.grey, film.dimmed)[..., None]
    colour = missing[..., None]
    return as_uint8(WHITE * grey * (1 - colour) + ORANGE * colour)
