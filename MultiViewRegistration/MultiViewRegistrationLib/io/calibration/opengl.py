"""4x4 projection matrices as OpenGL, VTK and ImFusion have them: to normalised device coordinates."""

from __future__ import annotations

import numpy as np

from .calibrated import LARGEST_IN_MATRIX, Calibrated, Given, check_magnitude, file_from_lps, from_matrix

KIND = "a text or array"


def view_of_opengl(matrix: np.ndarray, file: str, name: str, given: Given) -> Calibrated:
    """The view of a matrix (4, 4), projection @ modelview, that takes world to clip space.

    x / w runs from -1 at the image's left edge to 1 at its right, y / w from -1 at the bottom edge to 1 at the top, and w is positive
    before the source (OpenGL 4.6, 13.6 to 13.8). Edges are half a pixel beyond the centres of the outer pixels, so `size` is asked for,
    with `unit` and `axes`, and `projects_to`, as other programs end a 4x4 matrix in other ways.
    """
    given.need("projects_to", file, KIND)
    columns, rows = given.need("size", file, KIND)
    check_magnitude(matrix, f"{file}: {name}", LARGEST_IN_MATRIX)
    pixels = np.array([[columns / 2, 0, (columns - 1) / 2], [0, -rows / 2, (rows - 1) / 2], [0, 0, 1]])
    P = pixels @ matrix[[0, 1, 3]] @ file_from_lps(given, file, KIND)
    return from_matrix(file, name, P, (columns, rows), signed=True)
