"""Arrays as pictures of Qt."""

from __future__ import annotations

import numpy as np
import qt


def pixmap(picture: np.ndarray, width: int, height: int, aspect: float = 1.0):
    """A qt.QPixmap as large as fits into `width` x `height` pixels.

    picture: uint8 (rows, columns, 3).   aspect: height of its pixels over their width.
    """
    rows, columns, _ = picture.shape
    whole = qt.QPixmap()
    whole.loadFromData(qt.QByteArray(b"P6 %d %d 255\n" % (columns, rows) + picture.tobytes()), "PPM")
    scale = min(width / columns, height / (rows * aspect))
    size = qt.QSize(max(round(columns * scale), 1), max(round(rows * aspect * scale), 1))
    return whole.scaled(size, qt.Qt.IgnoreAspectRatio, qt.Qt.SmoothTransformation)
