"""Small pictures in the page."""

from __future__ import annotations

import base64
import io

import numpy as np


def data_url(picture: np.ndarray, aspect: float = 1.0) -> str:
    """A picture, uint8 (rows, columns) or (rows, columns, 3), as the address of a PNG.   aspect: height of its pixels over their width."""
    from PIL import Image

    image = Image.fromarray(picture)
    if aspect != 1.0:
        image = image.resize((image.width, max(1, round(image.height * aspect))))
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
