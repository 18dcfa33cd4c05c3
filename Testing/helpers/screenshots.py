"""Screenshots of X-rays with burned-in text, whose glyphs are known, and what of them a copy still shows."""

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from helpers.phantom import make_ct, make_views

FRAME_GREYS = (0, 12, 128, 255)
FONTS = ("DejaVuSans", "DejaVuSansMono-Bold", "DejaVuSerif", "STIXGeneral")
FONT_SIZES = (11, 14, 20, 30)
#: JPEG qualities; None is PNG.
QUALITIES = (None, 95, 85, 70)
CANVASES = ((1024, 768), (800, 600), (1280, 1024), (700, 700))
NAMES = ("DOE^JANE", "Müller, Annegret", "SMITH JOHN Q", "Plantagenet Eleonore", "O'Brien, Wm.")
HOSPITALS = ("ST. ELSEWHERE HOSPITAL", "Klinik am Ring", "General Hospital, Ward 7")
#: Share of a character's contrast from which on it counts as legible.
LEGIBLE_SHARE = 0.15
#: Grey levels; what stands out by less cannot be read in the screenshot itself.
MIN_CONTRAST = 25


@dataclass(frozen=True, eq=False)
class Character:
    """A letter or a digit: its box (slices), and by how much it changes each pixel of it."""

    text: str
    box: tuple[slice, slice]
    change: np.ndarray


@dataclass(frozen=True, eq=False)
class Screenshot:
    """pixels: uint8, as the file has them.   clean: the same without text, before compression.   field: (rows, columns) slices."""

    pixels: np.ndarray
    clean: np.ndarray
    field: tuple[slice, slice]
    characters: list[Character]
    file: bytes
    suffix: str
    description: str

    def legible(self, pixels, grey_levels=255.0):
        """The characters that can still be read in a copy's pixels.

        Each is fitted as a plane, the clean image and the change by the character; more than
        LEGIBLE_SHARE of the change is legible.   grey_levels: of the copy, for 255 here.
        """
        found = []
        for each in self.characters:
            change = each.change.ravel()
            copy = pixels[each.box].ravel().astype(float) * 255 / grey_levels
            rows, columns = np.indices(each.change.shape).reshape(2, -1)
            plane = np.ones(change.size), rows, columns
            others = np.column_stack([*plane, self.clean[each.box].ravel()])
            left, *_ = np.linalg.lstsq(np.column_stack([others, change]), copy, rcond=None)
            if left[-1] > LEGIBLE_SHARE:
                found.append(each)
        return found


@cache
def _font(name, size):
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), f"fonts/ttf/{name}.ttf"), size)


@cache
def _phantom_images():
    return [view.xray.line_integrals for view in make_views(make_ct(), size=192, noise=0)]


def _xray(random, shape):
    """An X-ray of the phantom before uneven tissue, 0 to 255; bone dark or bright."""
    image = _phantom_images()[random.integers(2)]
    image = ndimage.zoom(image, np.array(shape) / image.shape, order=1)[: shape[0], : shape[1]]
    tissue = ndimage.zoom(random.normal(size=(6, 6)), np.array(shape) / 6, order=3)
    depth = ndimage.gaussian_filter(0.9 * image + 0.25 * tissue, 1.2) + 0.2
    intensity = np.exp(-np.maximum(depth, 0))
    if random.random() < 0.5:
        intensity = 1 - 0.9 * intensity
    return 235 * intensity + random.normal(scale=random.uniform(1.5, 4), size=shape)


def _lines(random):
    born = f"{random.integers(1920, 2015)}-{random.integers(1, 13):02}-{random.integers(1, 29):02}"
    number = random.integers(10**6, 10**8)
    lines = [
        random.choice(NAMES),
        random.choice([f"DOB {born}", born, f"* {born} F"]),
        random.choice([f"ID: {number}", f"Pat. {number}", str(number)]),
        random.choice(HOSPITALS),
        f"{random.integers(0, 24):02}:{random.integers(0, 60):02}:{random.integers(0, 60):02}",
    ]
    return [str(line) for line in lines]


def make_screenshot(seed, frame_grey=None, font=None, quality="any"):
    """A screenshot by its seed: text in corners of the frame, and in the X-ray."""
    random = np.random.default_rng(seed)
    width, height = CANVASES[random.integers(len(CANVASES))]
    drawn_grey, drawn_font = random.choice(FRAME_GREYS), random.integers(len(FONTS))
    drawn_quality = QUALITIES[random.integers(len(QUALITIES))]
    grey = int(drawn_grey if frame_grey is None else frame_grey)
    chosen = int(drawn_font if font is None else font)
    quality = drawn_quality if quality == "any" else quality
    size = int(FONT_SIZES[random.integers(len(FONT_SIZES))])
    clean = np.full((height, width), float(grey))
    rows = int(height * random.uniform(0.62, 0.95))
    columns = int(min(rows * random.uniform(0.8, 1.15), 0.8 * width))
    top = int((height - rows) * random.choice([0, 0.5, 0.5, 0.7, 1]))
    left = int((width - columns) * random.choice([0, 0.5, 0.5, 0.8]))
    field = np.s_[top : top + rows, left : left + columns]
    clean[field] = _xray(random, (rows, columns))
    clean = np.clip(np.rint(clean), 0, 255)
    opacity, boxes = np.zeros_like(clean), []
    lines = _lines(random)
    typeface = _font(FONTS[chosen], size)
    smooth = random.random() < 0.7
    margin = int(random.integers(4, 14))
    corners = random.permutation(4)
    blocks = [
        ((0, 0, width, height), corners[0], lines[:3]),
        ((0, 0, width, height), corners[1], lines[3:]),
        ((left, top, columns, rows), random.integers(4), lines[:2]),
    ]
    if random.random() < 0.5:
        inset = (left + columns // 5, top + rows // 4, columns // 2, rows // 2)
        blocks.append((inset, random.integers(4), lines[2:3]))
    for (x0, y0, w, h), corner, block in blocks:
        step = int(1.35 * size)
        for number, line in enumerate(block):
            length = typeface.getlength(line)
            x = x0 + margin if corner % 2 == 0 else x0 + w - margin - length
            y = y0 + margin + number * step
            if corner >= 2:
                y = y0 + h - margin - (len(block) - number) * step
            x, y = max(int(x), 1), max(int(y), 1)
            layer = Image.new("L", (width, height))
            pen = ImageDraw.Draw(layer)
            pen.fontmode = "L" if smooth else "1"
            pen.text((x, y), line, fill=255, font=typeface)
            opacity = np.maximum(opacity, np.asarray(layer) / 255)
            for nth, character in enumerate(line):
                if character.isalnum():
                    begin, end = (typeface.getlength(line[: nth + k]) for k in (0, 1))
                    box = np.s_[max(y - 1, 0) : y + step, int(x + begin) : int(x + end) + 2]
                    boxes.append((character, box))
    light = random.choice([255, 255, 255, 200])
    dark = random.choice([0, 0, 60])
    colour = np.full_like(
        clean, dark if grey == 255 or (grey == 128 and random.random() < 0.5) else light
    )
    if grey == 255:  # text on the X-ray itself is light
        colour[field] = light
    with_text = np.rint(clean * (1 - opacity) + colour * opacity)
    characters = []
    for character, box in boxes:
        change = (with_text - clean)[box]
        if change.size and np.abs(change).max() >= MIN_CONTRAST:
            ((rows, columns),) = ndimage.find_objects(
                (np.abs(change) >= MIN_CONTRAST / 2).astype(int)
            )
            box = tuple(
                slice(max(of.start + part.start - 1, 0), of.start + part.stop + 1)
                for of, part in zip(box, (rows, columns), strict=True)
            )
            characters.append(Character(character, box, (with_text - clean)[box]))
    picture = Image.fromarray(with_text.astype(np.uint8))
    file = io.BytesIO()
    suffix = ".png" if quality is None else ".jpg"
    if quality is None:
        picture.save(file, "PNG")
    else:
        picture.save(file, "JPEG", quality=int(quality))
    pixels = np.asarray(Image.open(io.BytesIO(file.getvalue())))
    description = f"{seed}: frame {grey}, {FONTS[chosen]} {size}, {suffix} {quality or ''}"
    return Screenshot(pixels, clean, field, characters, file.getvalue(), suffix, description)
