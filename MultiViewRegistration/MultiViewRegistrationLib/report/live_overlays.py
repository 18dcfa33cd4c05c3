"""Pictures of a whole X-ray and a DRR that moves over it: the X-ray's greys stay the same whatever the pose.

All are uint8 RGB (rows, columns, 3), as those of `overlays`. A DRR is NaN where it has no true value.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..imaging.xray import XRay
from .edges import contour, inner_edges
from .local_contrast import normalised
from .overlays import (
    DIMMED,
    ORANGE,
    WHITE,
    Film,
    as_uint8,
    checkerboard,
    difference,
    in_greys_of,
    lines_over,
    silhouette_level,
)

#: No line is drawn so near, in pixels, to where the CT ends: that is no edge of the patient.
FROM_CUT_END = 3


def film_of(xray: XRay) -> Film:
    """The X-ray as all these pictures show it."""
    return Film(xray.line_integrals, xray.valid, xray.valid)


def picture(kind: str, film: Film, drr: np.ndarray, *, structure: bool) -> np.ndarray:
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


def layer(kind: str, film: Film, drr: np.ndarray, *, structure: bool) -> np.ndarray:
    """What of a `picture` of "edges", "colours" or "difference" lies over the X-ray: uint8 RGBA (rows, columns, 4), not premultiplied.

    The X-ray itself, left out, can be shown finer than the DRR, and in any window; it is dimmed where the DRR says nothing.
    """
    if kind == "edges":
        opacity = np.where(film.beyond, 0, edges(drr, structure=structure))
        return as_uint8(np.dstack([np.broadcast_to(ORANGE, (*drr.shape, 3)), 255 * opacity]))
    shown = picture(kind, film, drr, structure=structure)
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
