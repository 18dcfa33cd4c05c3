"""The pictures of misses on one sheet."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

#: Of a contact sheet: height of a figure in pixels, room for its caption, how many are side by
#: side, and the gap between them.
SIDE, CAPTION, ACROSS, GAP = 256, 14, 4, 3


def contact_sheet(figures: Sequence[tuple[str, bytes]]) -> bytes:
    """JPEG: (caption, failure figure) each, in rows, large enough to show which bones were taken for which."""
    small = []
    for caption, figure in figures:
        image = Image.open(io.BytesIO(figure)).convert("RGB")
        size = (max(round(image.width * SIDE / image.height), 1), SIDE)
        small.append((caption, image.resize(size, Image.Resampling.LANCZOS)))
    width, height = max(image.width for _, image in small) + GAP, SIDE + CAPTION + GAP
    sheet = Image.new(
        "RGB", (width * min(len(small), ACROSS), height * -(-len(small) // ACROSS)), "white"
    )
    draw = ImageDraw.Draw(sheet)
    draw.font = ImageFont.load_default(CAPTION - 1)
    for n, (caption, image) in enumerate(small):
        left, top = width * (n % ACROSS), height * (n // ACROSS)
        draw.text((left, top), caption, fill="black")
        sheet.paste(image, (left, top + CAPTION))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=45, optimize=True)
    return file.getvalue()
