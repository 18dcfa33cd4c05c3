"""Burned-in text and the uniform frame of a screenshot of an X-ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy

from .burned_text import MIN_IMAGE_PX, find_text, smooth_continued
from .reading import RawImage

#: Further searches for text in an image that has some.
MAX_SEARCHES = 2
#: Blocks of pixels along an image, in which its margins are looked for.
BLOCKS = 400
#: Grey levels by which compression changes a uniform area, of images of at most 8 bits.
COMPRESSED_LEVELS = 2.0
COMPRESSED_WHITE = 255.0
#: A grey level that fills this fraction of a side of an image may be that of a margin.
MIN_SIDE_FRACTION = 0.25
#: An X-ray is wider than this fraction of the image, which text beside it is not, and takes this
#: fraction of its pixels.
MIN_XRAY_FRACTION = 0.1
MIN_XRAY_AREA = 0.1
#: Fraction of the X-ray's rectangle that has other grey levels than the margins, and of each side
#: that is straight.
MIN_FILLED = 0.9
MIN_STRAIGHT = 0.55
#: Difference to the margin within 3 pixels at a side, as a fraction of that further in:
#: air that grows saturated has less.
MIN_STEP = 0.75
#: Fraction of the image that a wide margin takes.
WIDE_FRACTION = 0.03
#: Frames within each other.
MAX_FRAMES = 4


@dataclass(frozen=True, eq=False)
class Margins:
    """Uniform margins of an image.

    Attributes
    ----------
    uniform
        bool (rows, columns), True in areas of one grey level that reach an edge of the image or
        belong to a frame.
    inside
        Rows and columns of the X-ray within its frame; all rows and columns if no frame is recognised.
    """

    uniform: np.ndarray
    inside: tuple[slice, slice]

    @property
    def has_frame(self) -> bool:
        """Whether a frame is recognised."""
        return any(
            side.start > 0 or side.stop < count
            for side, count in zip(self.inside, self.uniform.shape, strict=True)
        )

    def has_wide(self, valid: np.ndarray) -> bool:
        """Return whether a wide uniform margin of valid pixels remains inside the recognised frame."""
        left = (self.uniform & valid)[self.inside]
        strips = [image[: int(np.ceil(WIDE_FRACTION * len(image)))] for image in _from_sides(left)]
        return any(strip.mean() > 0.5 for strip in strips)


def find_margins(raw: RawImage, text: np.ndarray) -> Margins:
    """Find the uniform frame, of any grey level, around the X-ray of a screenshot.

    Notes
    -----
    The image without the uniform areas along its edges and without text (narrower than an X-ray)
    must be a rectangle with straight, sharp edges.
    """
    levels = COMPRESSED_LEVELS if raw.step == 1 and raw.white <= COMPRESSED_WHITE else 0.0
    uniform = np.zeros(raw.values.shape, bool)
    top = left = 0
    bottom, right = raw.values.shape
    for _ in range(MAX_FRAMES):
        part = raw.values[top:bottom, left:right]
        if min(part.shape) < MIN_IMAGE_PX:
            break
        greys = _side_greys(part)
        size = max(-(-max(part.shape) // BLOCKS), 2)
        blocks = _uniform_blocks(part, greys, levels, size)
        if not blocks.any():
            break
        pixels = blocks.repeat(size, 0).repeat(size, 1)[: part.shape[0], : part.shape[1]]
        uniform[top:bottom, left:right] |= pixels
        written = text[top:bottom, left:right][::size, ::size]
        rectangle = _rectangle(~blocks, written)
        if rectangle is None:
            break
        away = np.abs(part[..., None] - np.array(greys)).min(-1)
        found = _sharp_sides(away, size * rectangle)
        if found is None:
            break
        top, bottom, left, right = np.array([top, top, left, left]) + found
    return Margins(uniform, (slice(top, bottom), slice(left, right)))


def _side_greys(image: np.ndarray) -> list[float]:
    """Return the grey levels that fill much of an edge of the image."""
    greys = set()
    for side in (image[0], image[-1], image[:, 0], image[:, -1]):
        levels, counts = np.unique(side, return_counts=True)
        if counts.max() >= MIN_SIDE_FRACTION * side.size:
            greys.add(float(levels[counts.argmax()]))
    return sorted(greys)


def _uniform_blocks(
    image: np.ndarray, greys: Sequence[float], levels: float, size: int
) -> np.ndarray:
    """Return a mask of the blocks that have one of these grey levels and are connected to an image edge."""
    rows, columns = image.shape
    padded = np.pad(image, ((0, -rows % size), (0, -columns % size)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // size, size, -1, size)
    least = blocks.min((1, 3))
    largest = blocks.max((1, 3))
    uniform = np.zeros(least.shape, bool)
    for grey in greys:
        same = (least >= grey - levels) & (largest <= grey + levels)
        labels, _ = scipy.ndimage.label(same)
        sides = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        uniform |= np.isin(labels, sides[sides > 0])
    return uniform


def _from_sides(image: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return four views of the image in which its top, bottom, left and right edge is the first row."""
    return image, image[::-1], image.T, image.T[::-1]


def _rectangle(content: np.ndarray, text: np.ndarray) -> np.ndarray | None:
    """Return top, bottom, left and right of the rectangle filled by the largest component of the content.

    None if the component is not a rectangle or its margins are narrow. Text at an edge is ignored.
    """
    narrow = int(MIN_XRAY_FRACTION * min(content.shape))
    opened = scipy.ndimage.grey_opening(content.astype(np.uint8), (narrow, narrow), mode="nearest")
    labels, count = scipy.ndimage.label(opened)
    if not count:
        return None
    xray = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    sides = []
    for part, written in zip(_from_sides(xray), _from_sides(text), strict=True):
        columns = np.flatnonzero(part.any(0))
        begins = part.argmax(0)[columns]
        side = _straight_side(begins)
        if side is None:
            side = _straight_side(begins[~written[begins, columns]])
        if side is None:
            return None
        sides.append(side)
    rows, columns = xray.shape
    rectangle = np.array([sides[0], rows - sides[1], sides[2], columns - sides[3]])
    top, bottom, left, right = rectangle
    is_xray = (bottom - top) * (right - left) >= MIN_XRAY_AREA * xray.size
    is_frame = max(sides) >= WIDE_FRACTION * max(xray.shape)
    if not is_frame or not is_xray or xray[top:bottom, left:right].mean() < MIN_FILLED:
        return None
    return rectangle


def _straight_side(begins: np.ndarray) -> int | None:
    """Return the common edge of the X-ray from its edge in each column; None if the edge is not straight."""
    if not begins.size:
        return None
    side = int(np.median(begins))
    return side if np.mean(np.abs(begins - side) <= 1) >= MIN_STRAIGHT else None


def _sharp_sides(away: np.ndarray, rectangle: np.ndarray) -> np.ndarray | None:
    """Refine the edges of the rectangle to a pixel; None if a side has no step edge.

    Parameters
    ----------
    away
        (rows, columns), difference of each pixel from the margin.
    rectangle
        Top, bottom, left and right, accurate to a few pixels.
    """
    top, bottom, left, right = rectangle
    rows, columns = away.shape
    across = np.median(away[top:bottom], axis=0)
    down = np.median(away[:, left:right], axis=1)
    found = []
    for profile, side in (
        (down, top),
        (down[::-1], rows - bottom),
        (across, left),
        (across[::-1], columns - right),
    ):
        if side <= 0:
            found.append(0)
            continue
        deep = np.median(profile[side + 4 : side + 12])
        begin = max(side - 12, 0)
        edge = begin + int(np.argmax(profile[begin:] > deep / 2))
        if deep == 0 or profile[edge + 1] - profile[max(edge - 2, 0)] < MIN_STEP * deep:
            return None
        found.append(edge)
    return np.array([found[0], rows - found[1], found[2], columns - found[3]])


@dataclass(frozen=True, eq=False)
class BurnedIn:
    """Burned-in text and uniform margins of an X-ray image.

    Attributes
    ----------
    text
        bool (rows, columns), True in boxes around text.
    margins
        Uniform margins.
    """

    text: np.ndarray
    margins: Margins

    @property
    def places(self) -> int:
        """Number of separate text regions."""
        return int(scipy.ndimage.label(self.text)[1])

    def with_text(self, more: np.ndarray) -> BurnedIn:
        """Return a copy with additional text."""
        return replace(self, text=self.text | more)

    def blanked(self, values: np.ndarray) -> np.ndarray:
        """Return the image with text replaced by smoothed neighbouring values, and a frame by one value."""
        outside = np.ones(values.shape, bool)
        outside[self.margins.inside] = False
        left = ~(self.text | outside)
        if self.text.any() and left.any():
            values = np.where(self.text, smooth_continued(values, left), values)
        elif self.text.any():
            values = np.where(self.text, np.median(values), values)
        if outside.any():
            values = np.where(outside, np.median(values[outside]), values)
        return values


def find_burned_in(raw: RawImage) -> BurnedIn:
    """Find text and a uniform frame in an image with finite values.

    Notes
    -----
    If a frame and text are found, the detected text is blanked and the area inside the frame is
    searched again, for fainter text and for text close to other text.
    """
    text = find_text(raw.values)
    found = BurnedIn(text.where, find_margins(raw, text.where))
    if not found.margins.has_frame or not text.heights.size:
        return found
    inside = found.margins.inside
    text = replace(text, where=text.where[inside])
    for _ in range(MAX_SEARCHES):
        text = find_text(found.blanked(raw.values)[inside], text)
        found.text[inside] |= text.where
    found.text[inside] |= text.with_wide_ends().where
    return found
