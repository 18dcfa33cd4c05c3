"""All misses of a condition in one small picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

#: Height of a miss in pixels, room for its caption, and how many are side by side.
SIDE, CAPTION, ACROSS = 256, 14, 4
GAP = 3


def contact_sheet(misses: Sequence[tuple[str, bytes]]) -> bytes:
    """JPEG: (caption, picture as `failure_figure` makes it) each, in rows, large enough to show which bones were taken for which."""
    small = []
    for caption, picture in misses:
        image = Image.open(io.BytesIO(picture)).convert("RGB")
        small.append(
            (caption, image.resize((max(round(image.width * SIDE / image.height), 1), SIDE), Image.Resampling.LANCZOS))
        )
    wide, high = max(image.width for _, image in small) + GAP, SIDE + CAPTION + GAP
    sheet = Image.new("RGB", (wide * min(len(small), ACROSS), high * -(-len(small) // ACROSS)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.font = ImageFont.load_default(CAPTION - 1)
    for n, (caption, image) in enumerate(small):
        left, top = wide * (n % ACROSS), high * (n // ACROSS)
        draw.text((left, top), caption, fill="black")
        sheet.paste(image, (left, top + CAPTION))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=45, optimize=True)
    return file.getvalue()
