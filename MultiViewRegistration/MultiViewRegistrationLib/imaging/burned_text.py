"""Detection of text burned into an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy
from scipy.sparse.csgraph import connected_components

from .field import block_sums, continued

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
#: Least number of letters, contrast and sharpness of a line.
Kind = tuple[int, float, float]
#: Lines that no anatomy looks like, upright and turned; lines in an image with such a line, and those
#: with letters of its height; and faint lines in a screenshot with text.
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
ROOM = np.array([0.6, 1.5])
#: Added at the ends of lines in a screenshot, where letters of different contrast follow each other.
END_ROOM = 8.0
#: What replaces text is averaged over so many pixels a side, wider than a letter.
SMOOTHED_PX = 61

_AROUND = np.ones((3, 3))


@dataclass(frozen=True, eq=False)
class _Letters:
    """Connected components of an image that may be letters.

    Attributes
    ----------
    box
        (n, 4) top, bottom, left and right of each letter.
    area, contrast, sharpness
        (n,) number of pixels; difference from the background; largest difference between
        neighbouring pixels as a fraction of the contrast.
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
        """Return the selected letters."""
        return _Letters(*(each[chosen] for each in vars(self).values()))

    def turned(self) -> _Letters:
        """Return the letters with rows and columns exchanged."""
        return replace(self, box=self.box[:, [2, 3, 0, 1]])


@dataclass(frozen=True, eq=False)
class FoundText:
    """Detected lines of text in an image.

    Attributes
    ----------
    where
        bool (rows, columns), True in boxes around the lines.
    heights
        (n,) heights of letters, from lines that are text beyond doubt, px.
    """

    where: np.ndarray
    heights: np.ndarray

    def with_wide_ends(self) -> FoundText:
        """Return a copy with each line extended at both ends by END_ROOM times the median letter height."""
        reach = int(END_ROOM * np.median(self.heights))
        wide = scipy.ndimage.maximum_filter1d(self.where, 2 * reach + 1, axis=1)
        return replace(self, where=_filled_between(wide))


def find_text(values: np.ndarray, known: FoundText | None = None) -> FoundText:
    """Find lines of text, horizontal or rotated by 90 degrees.

    Parameters
    ----------
    values
        (rows, columns) finite grey values on any monotone scale.
    known
        Text detected before and blanked in `values`. If there is any, fainter lines are accepted.

    Returns
    -------
    FoundText
        Detected text, including the known text.

    Notes
    -----
    A letter is a connected component that is brighter, or darker, than its background by more than
    half of the largest contrast nearby, with thin strokes and sharp edges. Three or more adjacent
    letters of similar height and contrast are a line; fewer letters need more contrast.
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
    kinds: tuple[Kind, ...] = PROBABLE
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
    """Return the text mask, filled between two lines in the same rows of one block of text."""
    labels, _ = scipy.ndimage.label(text)
    filled = text.copy()
    for number, box in enumerate(scipy.ndimage.find_objects(labels), 1):
        block = labels[box] == number
        after = np.maximum.accumulate(block, axis=1)
        before = np.maximum.accumulate(block[:, ::-1], axis=1)[:, ::-1]
        filled[box] |= after & before
    return filled


def _rows_in(image: np.ndarray, known: FoundText | None, factor: int) -> Iterator[_Row]:
    """Return lines of letters with strokes thinner than STROKE_PX; also faint lines if some text is known."""
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
    """Return the image regions with pixels that differ from the pixels STROKE_PX to the left and right."""
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
    """Return connected components with thin strokes that are brighter than their background, including faint ones next to brighter ones."""
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
    """Return the letters of each line."""
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
    """A line of adjacent letters.

    Attributes
    ----------
    line
        Letters of the line.
    letters
        All letters of the image region.
    turned
        Whether the line is vertical in the image.
    corner
        (row, column) of the region in the image.
    """

    line: _Letters
    letters: _Letters
    turned: bool
    corner: tuple[int, int]

    def middle(self, factor: int) -> tuple[int, int]:
        """Return row and column of the line's centre at full resolution; the image was pooled by `factor`."""
        ends = self.line.box
        middle = np.array([ends[:, :2].mean(), ends[:, 2:].mean()])
        row, column = (middle[::-1] if self.turned else middle) + self.corner
        return int(factor * row), int(factor * column)

    @property
    def height(self) -> int:
        """Height of the tallest letter."""
        return int(self.line.size[:, 0].max())

    def is_text(self, kinds: Sequence[tuple[int, float, float]] = ()) -> bool:
        """Return whether the line is text of one of these kinds, or text beyond doubt."""
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
        """Return top, bottom, left and right of a box around the line and other letters in it or near its ends."""
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
    """Return the image with invalid values replaced by the smoothed nearest valid values."""
    smooth = scipy.ndimage.uniform_filter(continued(values, valid), SMOOTHED_PX)
    return np.where(valid, values, smooth)
