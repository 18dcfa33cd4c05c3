"""The random numbers of one training image and their places: `randomise.draw` draws them, `detector_model` makes the image of them.

NUMBERS of an image, by their places; an amount of 0 stands for what is not there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Factors of the CT's soft tissue, of that which moved by itself, of all bone, and of dense bone.
SOFT, OTHERS_SOFT, BONE, DENSE = 0, 1, 2, 3
#: The number of capsules when those of soft tissue, of bone, and of metal have been drawn, in this order.
SOFT_END, BONE_END, METAL_END = 4, 5, 6
#: Share of the softer quanta; scatter and glare by the typical primary intensity; how often scatter is blurred, and how often at most.
SOFTER, SCATTER, GLARE, BLURS = 7, 8, 9, 10
MAX_BLURS = 16
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
BOXES, MAX_BOXES = 29, 3
#: Copies of the anatomy: angle (rad), 1 where that is beside the anatomy's own (twice its direction), scale, middle (shares of the image),
#: factors of soft tissue and of bone.
GHOSTS, GHOST, MAX_GHOSTS = BOXES + 4 * MAX_BOXES, 7, 3
NUMBERS = GHOSTS + GHOST * MAX_GHOSTS
#: Capsules: segments with round ends, whose radius may change from one end to the other. x0, y0, x1, y1 mm from the image's middle; radii
#: at these ends, mm; radius of the empty inside as a share of the outer one, 0 for none; nepers in a mm; 1 where it is turned about x, y by
#: the anatomy's direction, 0 elsewhere; x, y mm. There are more rows than can be drawn: two of metal of up to 24, four of bone of up to 20,
#: four of soft tissue.
MAX_CAPSULES, CAPSULE = 132, 11


class Sample(NamedTuple):
    """What is drawn for an image: numbers (NUMBERS,) and capsules (MAX_CAPSULES, CAPSULE), float64."""

    numbers: np.ndarray
    capsules: np.ndarray
