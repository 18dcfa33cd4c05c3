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
    untrue = np.isnan(drr)
    drr = np.where(untrue, np.float32(0), drr)
    inside = drr > silhouette_level(drr)
    if kind == "edges":
        lines = np.maximum(contour(drr, silhouette_level(drr)), inner_edges(drr, inside)) if structure else inner_edges(drr, ~untrue)
        return lines_over(film, np.where(ndimage.binary_dilation(untrue, iterations=FROM_CUT_END), 0, lines))
    both = film.valid & inside
    alike = normalised(drr, both, film.window)
    return {"checkerboard": checkerboard, "colours": colours, "difference": difference}[kind](film, alike, both)


def colours(film: Film, alike: np.ndarray, both: np.ndarray) -> np.ndarray:
    """The X-ray in orange and the DRR, locally normalised, in blue: grey where they agree; elsewhere the X-ray, dimmed.

    The colours are complementary, and add up to white. Where the two differ, they are shown to differ by twice as much.
    """
    drr = in_greys_of(film, alike, both)
    middle, difference = ((film.grey + drr) / 2)[..., None], (film.grey - drr)[..., None]
    orange = ORANGE / 255
    shown = (middle + difference) * orange + (middle - difference) * (1 - orange)
    return as_uint8(WHITE * np.where(both[..., None], np.clip(shown, 0, 1), film.dimmed[..., None]))
