"""What chance decided about an image, as a few numbers: `randomise.draw` draws them, by numba or on a device (`on_warp`), and numba
(`exposure`) and the device (`device_images`) make the same image of them.

NUMBERS of an image, by their places; an amount of 0 stands for what is not there.
"""

from __future__ import annotations

import numpy as np

# What the functions that draw take, by the names that `on_warp` knows: a random state (1,) and a word of 64 bits; the two ends of a range;
# one row of numbers (n,), and rows of them (n, m), float64.
State, Word = np.ndarray, np.uint64
Ends = tuple[float, float]
Row = Rows = np.ndarray

#: Factors of the CT's soft tissue, of that which moved by itself, of all bone, and of dense bone.
SOFT, OTHERS_SOFT, BONE, DENSE = 0, 1, 2, 3
#: How many capsules there are when those of soft tissue, of bone, and of metal have been drawn, in this order.
SOFT_END, BONE_END, METAL_END = 4, 5, 6
#: Share of the softer quanta; scatter and glare by the typical primary intensity; how often scatter is blurred, and how often at most.
SOFTER, SCATTER, GLARE, BLURS = 7, 8, 9, 10
MOST_BLURS = 16
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
#: Capsules: segments with round ends, whose radius may change from one end to the other. x0, y0, x1, y1 mm from the image's middle; radii
#: at these ends, mm; radius of the empty inside as a share of the outer one, 0 for none; nepers in a mm; 1 where it is turned about x, y by
#: the anatomy's direction, 0 elsewhere; x, y mm. There are more rows than can be drawn: two of metal of up to 24, four of bone of up to 20,
#: four of soft tissue.
MOST_CAPSULES, CAPSULE = 132, 11
