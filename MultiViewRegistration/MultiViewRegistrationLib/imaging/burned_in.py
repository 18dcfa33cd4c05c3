"""Text burned into an image, and the uniform frame around the X-ray of a screenshot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy
from scipy.sparse.csgraph import connected_components

from .field import block_sums, continued
from .reading import RawImage

# Text

#: Least contrast of text: as a fraction of the image's contrast, and in medians of the differences
#: between neighbouring pixels, which noise makes.
MIN_CONTRAST = 0.07
MIN_CONTRAST_TO_NOISE = 6.0
#: The same in an image that is known to have text.
MIN_FAINT_CONTRAST = 0.04
MIN_FAINT_CONTRAST_TO_NOISE = 3.5
#: Of the median letter of a faint line.
MIN_LINE_CONTRAST_TO_NOISE = 5.0
#: Strokes of a letter are thinner than this, px, in an image of which so many pixels a side are
#: pooled: one search after the other. A smaller image has no text.
STROKE_PX = 7
POOLED = (1, 2, 4)
MIN_IMAGE_PX = 100
#: Side of the blocks in which pixels of strokes are counted, px, and the number worth a search.
BLOCK_PX = 16
MIN_STROKE_PIXELS = 6
#: Height of letters, px.
MIN_LETTER_PX = 5
MAX_LETTER_PX = 40
#: Letters of one line: the smallest ratio of their heights and of their contrasts, how much of the
#: lower one is beside the other, and the widest gap as a fraction of the higher one.
MIN_HEIGHT_RATIO = 0.45
MIN_CONTRAST_RATIO = 0.35
MIN_BESIDE = 0.5
MAX_GAP = 1.3
#: Kinds of text by least number of letters, contrast and sharpness: what no anatomy looks like, the
#: same of rows down the image, what is text in an image that has some, and what is where that has
#: letters of the same height.
CERTAIN = ((3, 0.5, 0.9), (4, 0.25, 0.85), (6, 0.12, 0.9))
CERTAIN_TURNED = ((4, 0.5, 0.9),)
PROBABLE = ((2, 0.5, 0.9), (3, 0.2, 0.85), (4, 0.1, 0.85))
SAME_HEIGHT = ((2, 0.1, 0.8),)
FAINT = ((3, 0.06, 0.7),)
#: Letters are of the same height that differ by less than this.
HEIGHT_TOLERANCE = 0.12
#: Of what belongs to a line: text has no edges steeper than itself.
MIN_SHARPNESS = 0.7
MAX_SHARPNESS = 1.15
#: Largest height of a line, in heights of its letters, and the range of what they fill of squares.
MAX_LINE_HEIGHT = 2.9
SQUARE = (0.1, 0.7)
#: What stands so near to a line, in heights of its letters, belongs to it.
NEAR_LINE = 1.6
#: Added above and below, for accents and descenders, and at the ends, in heights of letters.
ROOM = np.array([0.7, 3.0])
#: Added at the ends of lines in a screenshot, where letters of different contrast follow each other.
END_ROOM = 6.0
#: What replaces text is averaged over so many pixels a side, wider than a letter.
SMOOTHED_PX = 61
#: Further searches for text in an image that has some.
MAX_SEARCHES = 2

_AROUND = np.ones((3, 3))


@dataclass(frozen=True, eq=False)
class _Letters:
    """Connected parts of an image that may be letters.

    Attributes
    ----------
    box
        (n, 4) top, bottom, left, right.
    area, contrast, sharpness
        (n,): pixels; difference to what is around; the largest difference between neighbouring
        pixels as a fraction of that.
    """

    box: np.ndarray
    area: np.ndarray
    contrast: np.ndarray
    sharpness: np.ndarray

    @property
    def size(self) -> np.ndarray:
        """Heights and widths (n, 2)."""
        return self.box[:, 1::2] - self.box[:, ::2]

    def of(self, chosen: np.ndarray) -> _Letters:
        """Return the chosen ones."""
        return _Letters(*(each[chosen] for each in vars(self).values()))

    def turned(self) -> _Letters:
        """Return the same with rows and columns exchanged."""
        return replace(self, box=self.box[:, [2, 3, 0, 1]])


@dataclass(frozen=True, eq=False)
class FoundText:
    """Lines of text in an image.

    Attributes
    ----------
    where
        bool (rows, columns), True in boxes around the lines.
    heights
        (n,) heights of the letters of certain lines, px.
    """

    where: np.ndarray
    heights: np.ndarray

    def with_wide_ends(self) -> FoundText:
        """Return the same with END_ROOM before and after each line."""
        reach = int(END_ROOM * np.median(self.heights))
        wide = scipy.ndimage.maximum_filter1d(self.where, 2 * reach + 1, axis=1)
        return replace(self, where=_filled_between(wide))


def find_text(values: np.ndarray, known: FoundText | None = None) -> FoundText:
    """Find lines of text, upright or turned by 90 degrees.

    Parameters
    ----------
    values
        (rows, columns), finite, on any monotone scale.
    known
        Text that was found before, and blanked in `values`: then fainter lines are text, too.

    Returns
    -------
    FoundText
        With the known text.

    Notes
    -----
    A letter is a connected part that is brighter, or darker, than what is around it by more than
    half of the largest such difference nearby, with thin strokes and sharp edges. Three or more in
    a row, of similar height and contrast, are a line; fewer need more contrast.
    """
    low, high = np.percentile(values[::3, ::3], (1, 99))
    image = np.clip((values - low) / max(high - low, 1e-6), -1, 2).astype(np.float32)
    rows = [
        (row, factor)
        for factor in POOLED
        for row in _rows_in(block_sums(image, factor) / factor**2, known, factor)
    ]
    heights = np.array([factor * row.height for row, factor in rows if row.is_text()])
    found = np.zeros(values.shape, bool)
    kinds = PROBABLE
    if known is not None:
        rows = [(row, factor) for row, factor in rows if not known.where[row.middle(factor)]]
        heights = np.append(heights, known.heights)
        found |= known.where
        kinds += FAINT
    if not heights.size:
        return FoundText(found, heights)
    for row, factor in rows:
        same = np.abs(factor * row.height - heights) <= HEIGHT_TOLERANCE * heights
        probable = kinds + SAME_HEIGHT if same.any() else kinds
        if row.is_text() or not row.turned and row.is_text(probable):
            top, bottom, left, right = factor * row.box()
            found[top:bottom, left:right] = True
    return FoundText(_filled_between(found), heights)


def _filled_between(text: np.ndarray) -> np.ndarray:
    """Return the text with what lies in its rows between two lines of one block of text."""
    labels, _ = scipy.ndimage.label(text)
    filled = text.copy()
    for number, box in enumerate(scipy.ndimage.find_objects(labels), 1):
        block = labels[box] == number
        after = np.maximum.accumulate(block, axis=1)
        before = np.maximum.accumulate(block[:, ::-1], axis=1)[:, ::-1]
        filled[box] |= after & before
    return filled


def _rows_in(image: np.ndarray, known: FoundText | None, factor: int) -> Iterator[_Row]:
    """Return letters in a row whose strokes are thinner than STROKE_PX; faint ones where some text is known."""
    if min(image.shape) < MIN_IMAGE_PX:
        return
    steps = np.abs(np.diff(image, axis=1))
    wanted = steps > 0  # uniform areas have no noise
    if known is not None:
        filled = known.where[::factor, ::factor]
        wanted &= ~filled[: len(steps), : steps.shape[1]]
    noise = float(np.median(steps[wanted])) if wanted.any() else 0.0
    faint = known is not None
    least = max(MIN_CONTRAST, MIN_CONTRAST_TO_NOISE * noise)
    if faint:
        least = max(MIN_FAINT_CONTRAST, MIN_FAINT_CONTRAST_TO_NOISE * noise)
    for region in _regions_with_strokes(image, least):
        for part in (image[region], -image[region]):
            letters = _letters(part, least, faint)
            for turned in (False, True):
                beside = letters.turned() if turned else letters
                for line in _lines(beside, 0 if faint else MIN_CONTRAST_RATIO):
                    if np.median(line.contrast) >= MIN_LINE_CONTRAST_TO_NOISE * noise:
                        yield _Row(line, beside, turned, (region[0].start, region[1].start))


def _regions_with_strokes(image: np.ndarray, least: float) -> list[tuple[slice, slice]]:
    """Return the parts of the image with pixels that differ from those STROKE_PX to the left and to the right."""
    width = STROKE_PX
    middle = image[:, width:-width]
    left = image[:, : -2 * width]
    right = image[:, 2 * width :]
    brighter = np.minimum(middle - left, middle - right) > least
    darker = np.maximum(middle - left, middle - right) < -least
    strokes = np.pad(brighter | darker, ((0, 0), (width, width)))
    rows, columns = strokes.shape
    padded = np.pad(strokes, ((0, -rows % BLOCK_PX), (0, -columns % BLOCK_PX)))
    blocks = padded.reshape(padded.shape[0] // BLOCK_PX, BLOCK_PX, -1, BLOCK_PX).sum((1, 3))
    near = scipy.ndimage.binary_dilation(blocks >= MIN_STROKE_PIXELS, _AROUND)
    regions = scipy.ndimage.find_objects(scipy.ndimage.label(near)[0])
    return [
        (
            slice(BLOCK_PX * down.start, BLOCK_PX * down.stop),
            slice(BLOCK_PX * across.start, BLOCK_PX * across.stop),
        )
        for down, across in regions
    ]


def _letters(part: np.ndarray, least: float, faint: bool) -> _Letters:
    """Return the connected parts brighter than what is around them, with thin strokes; faint ones also beside others."""
    above = part - scipy.ndimage.grey_opening(part, (STROKE_PX, STROKE_PX))
    needed = least
    if not faint:
        needed = np.maximum(0.5 * scipy.ndimage.maximum_filter(above, 4 * STROKE_PX + 1), least)
    steps = scipy.ndimage.maximum_filter(
        np.maximum(
            np.abs(np.diff(part, axis=0, prepend=part[:1])),
            np.abs(np.diff(part, axis=1, prepend=part[:, :1])),
        ),
        (2, 2),
        origin=-1,
    )
    labels, count = scipy.ndimage.label(above > needed, _AROUND)
    boxes = scipy.ndimage.find_objects(labels)
    contrast = np.array([above[box].max() for box in boxes])
    return _Letters(
        np.array([(y.start, y.stop, x.start, x.stop) for y, x in boxes]).reshape(-1, 4),
        np.bincount(labels.ravel(), minlength=count + 1)[1:],
        contrast,
        np.array([steps[box].max() for box in boxes]) / contrast,
    )


def _lines(letters: _Letters, min_contrast_ratio: float) -> Iterator[_Letters]:
    """Return the letters in each row."""
    height = letters.size[:, 0]
    tall = letters.of((height >= MIN_LETTER_PX) & (height <= MAX_LETTER_PX))
    top, bottom, left, right = tall.box.T
    height = bottom - top
    beside = np.minimum.outer(bottom, bottom) - np.maximum.outer(top, top)
    gap = np.maximum.outer(left, left) - np.minimum.outer(right, right)
    lower = np.minimum.outer(height, height)
    higher = np.maximum.outer(height, height)
    weaker = np.minimum.outer(tall.contrast, tall.contrast)
    stronger = np.maximum.outer(tall.contrast, tall.contrast)
    linked = (
        (beside >= MIN_BESIDE * lower)
        & (lower >= MIN_HEIGHT_RATIO * higher)
        & (weaker >= min_contrast_ratio * stronger)
        & (gap <= MAX_GAP * higher)
    )
    count, line = connected_components(linked, directed=False)
    for number in np.flatnonzero(np.bincount(line, minlength=count) > 1):
        yield tall.of(line == number)


@dataclass(frozen=True, eq=False)
class _Row:
    """Letters beside each other.

    Attributes
    ----------
    line
        Its letters.
    letters
        All of the region.
    turned
        The row runs down the image.
    corner
        (row, column) of the region in the image.
    """

    line: _Letters
    letters: _Letters
    turned: bool
    corner: tuple[int, int]

    def middle(self, factor: int) -> tuple[int, int]:
        """Return row and column of its middle in an image of which `factor` pixels a side were pooled."""
        ends = self.line.box
        middle = np.array([ends[:, :2].mean(), ends[:, 2:].mean()])
        row, column = (middle[::-1] if self.turned else middle) + self.corner
        return int(factor * row), int(factor * column)

    @property
    def height(self) -> int:
        """The height of its highest letter."""
        return int(self.line.size[:, 0].max())

    def is_text(self, kinds: Sequence[tuple[int, float, float]] = ()) -> bool:
        """Return whether it is text of one of these kinds, or certainly text without any."""
        kinds = kinds or (CERTAIN_TURNED if self.turned else CERTAIN)
        size = self.line.size
        square = np.median(self.line.area / size.max(1) ** 2)
        sharpness = np.median(self.line.sharpness)
        contrast = np.median(self.line.contrast)
        return bool(
            any(
                len(size) >= number and contrast >= least and sharpness >= sharp
                for number, least, sharp in kinds
            )
            and sharpness <= MAX_SHARPNESS
            and np.ptp(self.line.box[:, :2]) <= MAX_LINE_HEIGHT * np.median(size[:, 0])
            and SQUARE[0] <= square <= SQUARE[1]
        )

    def box(self) -> np.ndarray:
        """Return top, bottom, left and right around the row and what else stands in it or near its ends."""
        height = np.median(self.line.size[:, 0])
        top, left = self.line.box[:, [0, 2]].min(0)
        bottom, right = self.line.box[:, [1, 3]].max(0)
        letters = self.letters
        low = letters.of(
            (letters.size[:, 0] <= 1.3 * height)
            & (letters.sharpness >= MIN_SHARPNESS)
            & (letters.sharpness <= MAX_SHARPNESS)
        )
        above, below, before, after = low.box.T
        beside = np.minimum(below, bottom) > np.maximum(above, top)
        reach = NEAR_LINE * height
        grown = True
        while grown:
            near = beside & (before <= right + reach) & (after >= left - reach)
            ends = before[near].min(initial=left), after[near].max(initial=right)
            grown = ends[0] < left or ends[1] > right
            left = min(left, ends[0])
            right = max(right, ends[1])
        room = np.ceil(height * ROOM).astype(int)
        box = np.array([top - room[0], bottom + room[0], left - room[1], right + room[1]])
        if self.turned:
            box = box[[2, 3, 0, 1]]
        return np.maximum(box + np.repeat(self.corner, 2), 0)


def smooth_continued(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the image with the nearest valid values, smoothed, in place of invalid ones."""
    smooth = scipy.ndimage.uniform_filter(continued(values, valid), SMOOTHED_PX)
    return np.where(valid, values, smooth)


# The frame of a screenshot

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
        bool (rows, columns), True in areas of one grey level that reach the side of the image, or of
        a frame.
    inside
        Rows and columns of the X-ray within its frame; all where no frame is recognised.
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
        """Return whether some wide margin is among the valid pixels: no frame that was recognised."""
        left = (self.uniform & valid)[self.inside]
        strips = [image[: int(np.ceil(WIDE_FRACTION * len(image)))] for image in _from_sides(left)]
        return any(strip.mean() > 0.5 for strip in strips)


def find_margins(raw: RawImage, text: np.ndarray) -> Margins:
    """Find the uniform frame around the X-ray of a screenshot, of any grey level.

    Notes
    -----
    What is left of the image without the uniform areas along its sides, and without text, which is
    narrower than an X-ray, must be a rectangle with straight, sharp sides.
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
    """Return the grey levels that fill much of a side of the image."""
    greys = set()
    for side in (image[0], image[-1], image[:, 0], image[:, -1]):
        levels, counts = np.unique(side, return_counts=True)
        if counts.max() >= MIN_SIDE_FRACTION * side.size:
            greys.add(float(levels[counts.argmax()]))
    return sorted(greys)


def _uniform_blocks(
    image: np.ndarray, greys: Sequence[float], levels: float, size: int
) -> np.ndarray:
    """Return the blocks, bool, of one of these grey levels that are connected to the image's sides."""
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
    """Return the image, turned so that its top, bottom, left and right come first."""
    return image, image[::-1], image.T, image.T[::-1]


def _rectangle(content: np.ndarray, text: np.ndarray) -> np.ndarray | None:
    """Return top, bottom, left and right of the rectangle that the largest part of the content fills.

    None where it is not one, or its margins are narrow. Text at a side does not count there.
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
    """Return where the X-ray begins, of where it does in each column; None for no straight side."""
    if not begins.size:
        return None
    side = int(np.median(begins))
    return side if np.mean(np.abs(begins - side) <= 1) >= MIN_STRAIGHT else None


def _sharp_sides(away: np.ndarray, rectangle: np.ndarray) -> np.ndarray | None:
    """Return the rectangle with its sides to the pixel; None where one of them is no step.

    Parameters
    ----------
    away
        (rows, columns), the difference of each pixel to the margin.
    rectangle
        Top, bottom, left and right, to some pixels.
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
    """What an image shows besides the X-ray.

    Attributes
    ----------
    text
        bool (rows, columns), True in boxes around text.
    margins
        Its uniform margins.
    """

    text: np.ndarray
    margins: Margins

    @property
    def places(self) -> int:
        """The number of places with text."""
        return int(scipy.ndimage.label(self.text)[1])

    def with_text(self, more: np.ndarray) -> BurnedIn:
        """Return the same with more text."""
        return replace(self, text=self.text | more)

    def blanked(self, values: np.ndarray) -> np.ndarray:
        """Return the image with the smoothed values beside it in place of text, and one value in a frame."""
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
    """Find text and a uniform frame in an image, whose values are finite.

    Notes
    -----
    In a screenshot with text, text is searched again in the X-ray alone without what was found:
    fainter text, and what stood too near to other text.
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
