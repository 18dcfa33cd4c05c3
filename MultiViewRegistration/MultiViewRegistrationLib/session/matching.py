"""Which of several cameras took which X-ray, by their names and by what is left."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence


def match(xrays: Sequence[str], cameras: Sequence[str], fits: Callable[[int, int], bool]) -> dict[int, int]:
    """Match X-rays with cameras where there is no doubt.

    By the same name; then where the words of one name are among those of another, and of no further one; then the only ones left.

    Parameters
    ----------
    xrays, cameras
        Their names.
    fits
        Whether the image of an X-ray may be of a camera, by their numbers.

    Returns
    -------
    The number of the camera by that of the X-ray.
    """
    found: dict[int, int] = {}
    for alike in (_same, _similar, lambda xray, camera: len(xrays) == len(cameras)):
        left = [i for i in range(len(xrays)) if i not in found]
        free = [j for j in range(len(cameras)) if j not in found.values()]
        pairs = [(i, j) for i in left for j in free if fits(i, j) and alike(xrays[i], cameras[j])]
        found |= {i: j for i, j in pairs if [a for a, _ in pairs].count(i) == [b for _, b in pairs].count(j) == 1}
    return found


def _same(xray: str, camera: str) -> bool:
    return xray.casefold() == camera.casefold()


def _similar(xray: str, camera: str) -> bool:
    a, b = ({word for word in re.split(r"[\W_]+", name.casefold()) if word} for name in (xray, camera))
    return bool(a and b) and (a <= b or b <= a)
