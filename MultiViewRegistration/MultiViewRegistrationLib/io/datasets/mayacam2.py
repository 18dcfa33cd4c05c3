"""MayaCam 2.0 camera files, as XMALab writes and Autoscoper reads them (Autoscoper's Documentation/file-specifications)."""

from __future__ import annotations

import os

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from ...geometry.camera import Camera
from ..fields import shown

LONGEST_FILE = 100_000
#: The titles in their order, and how many rows and columns of numbers follow each.
BLOCKS = {"image size": (1, 2), "camera matrix": (3, 3), "rotation": (3, 3), "translation": (3, 1)}


def read_mayacam2(path: str | os.PathLike, size: tuple[int, int], unit_mm: float = 1.0) -> Camera:
    """The camera of an image of `size` (columns, rows).   unit_mm: of the translation, which the file does not say.

    It is OpenCV's pinhole, pixel = camera matrix @ (rotation @ x + translation), as this project's. The image size is written as height,
    width by the documentation and as width, height by the program: either order is taken where the image has it.

    Raises InputError for anything else.
    """
    name = shown(path)
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file.read(LONGEST_FILE).splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", "no text")
        raise InputError(f"{name}: cannot be read ({what}), expected a MayaCam 2.0 file; check the path.") from None
    if lines[:1] and "," in lines[0]:
        raise InputError(f"{name}: begins with numbers, as MayaCam 1.0 does, expected MayaCam 2.0; export it as that from XMALab.")
    lines = [line for line in lines if line]
    blocks = {}
    for title, shape in BLOCKS.items():
        if lines[:1] != [title]:
            found = f'"{shown(lines[0][:40])}"' if lines else "its end"
            raise InputError(f'{name}: has {found} where "{title}" is expected, as in a MayaCam 2.0 file; check that it is one.')
        blocks[title] = _numbers(name, title, lines[1:1 + shape[0]], shape)
        lines = lines[1 + shape[0]:]
    if sorted(blocks["image size"].ravel()) != sorted(size):
        given = " x ".join(f"{n:g}" for n in blocks["image size"].ravel())
        raise InputError(f"{name}: has the image size {given}, expected that of the image, {size[0]} x {size[1]}; give the calibration of "
                         "these images.")
    try:
        pose = rigid.from_rotation_translation(blocks["rotation"], unit_mm * blocks["translation"].ravel())
        return Camera(blocks["camera matrix"], rigid.check_rigid(pose, "rotation and translation"), size)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _numbers(name: str, title: str, lines: list[str], shape: tuple[int, int]) -> np.ndarray:
    try:
        values = np.array([[float(word) for word in line.split(",")] for line in lines])
    except ValueError:
        values = np.empty(0)
    if values.shape != shape or not np.isfinite(values).all():
        raise InputError(f'{name}: has under "{title}" something else than {shape[0]} lines of {shape[1]} finite numbers with commas '
                         "between; correct it.")
    return values
