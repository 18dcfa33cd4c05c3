"""What chance decided about an image, as a few numbers: `randomise.draw` draws them, and numba (`exposure`) and a device
(`device_images`) make the same image of them.

NUMBERS of an image, by their places; an amount of 0 stands for what is not there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Factors of the CT's soft tissue, of that which moved by itself, of all bone, and of dense bone.
SOFT, OTHERS_SOFT, BONE, DENSE = 0, 1, 2, 3
#: How many capsules there are when those of soft tissue, of bone, and of metal have been drawn, in this order.
SOFT_END, BONE_END, METAL_END = 4, 5, 6
#: Share of the softer quanta; scatter and glare by the typical primary intensity; how often scatter is blurred.
SOFTER, SCATTER, GLARE, BLURS = 7, 8, 9, 10
#: Five coefficients of a paraboloid: x, y, xx, xy, yy.
SHADE = 11
#: Of a pixel at the typical intensity; the detector's range, by that intensity.
PHOTONS, BRIGHTEST, DARKEST = 16, 17, 18
#: Nepers of a border that was not recognised; the share of a binomial filter.
BORDER, BLUR = 19, 20
#: Turn (rad) of the blades and how far they reach in from left, right, top, bottom; radius and middle of a round field; shares of the
#: image.
BLADES, ROUND = 21, 26
#: Boxes of text: top, left, height, width, in pixels.
BOXES, MOST_BOXES = 29, 3
#: Copies of the anatomy: angle (rad), 1 where that is beside the anatomy's own (twice its direction), scale, middle (shares of the image),
#: factors of soft tissue and of bone.
GHOSTS, GHOST, MOST_GHOSTS = BOXES + 4 * MOST_BOXES, 7, 3
NUMBERS = GHOSTS + GHOST * MOST_GHOSTS
#: More capsules than can be drawn: two of metal of up to 24, four of bone of up to 20, four of soft tissue.
MOST_CAPSULES, CAPSULE = 132, 11


class Capsules(NamedTuple):
    """Segments with round ends, whose radius may change from one end to the other.

    rows: (MOST_CAPSULES, CAPSULE) float64: x0, y0, x1, y1 mm from the image's middle; radii at these ends, mm; radius of the empty inside
        as a share of the outer one, 0 for none; nepers in a mm; 1 where it is turned about x, y by the anatomy's direction, 0 elsewhere.
    count: (1,) int64, of the rows that are used.
    """

    rows: np.ndarray
    count: np.ndarray
