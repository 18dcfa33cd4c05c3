"""The geometry of a new case's view from a calibration file: what it does not say is asked for at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError


def calibrated_geometry(
    view: str,
    calibration: Sequence[str],
    readings: Sequence[str],
    size: tuple[int, int],
    until: Callable[..., Any] | None,
) -> dict[str, Any]:
    """What the view's entry of a case.json says of its geometry: "camera", with "distortion" if there is one, or "projection_matrix".

    view: its name.   calibration: the file, and the camera in it that is meant where it has several.   readings: of `--given`.
    size: (columns, rows) of the image, for files that do not say it.
    until: asks a question until the answer is understood; None where there is nobody to ask.

    Tells on stderr what the reader has to say. InputError where the file or an answer is wrong or missing.
    """
    from ..io.calibration.calibrated import QUESTIONS, MissingInformation, parse_option
    from ..io.calibration.read import read_calibration

    if len(calibration) > 2:
        raise InputError(
            f"view {view}: found {len(calibration)} words behind --calibration, expected a file and the name of a camera in "
            "it; put names with spaces in quotes."
        )
    given = dict(map(parse_option, readings))
    while True:
        try:
            cameras = read_calibration(calibration[0], **given)
            break
        except MissingInformation as error:
            key = error.key
            if key == "size":
                given[key] = size
            elif until is None:
                raise InputError(f"view {view}: {str(error).rstrip('.')}, as --given {key}=VALUE.") from None
            else:
                what, choices = QUESTIONS[key]
                given[key] = until(
                    f"{view}: {Path(calibration[0]).name} does not say {what}: {choices}: ",
                    lambda answer, key=key: parse_option(f"{key}={answer}")[1],
                )
    camera = _chosen(view, cameras, calibration)
    for note in camera.notes:
        print(f"mvreg: {view}: {note}", file=sys.stderr)
    return camera.content()


def _chosen(view: str, cameras: list, calibration: Sequence[str]):
    names = [camera.name for camera in cameras]
    wanted = calibration[1] if len(calibration) > 1 else view if view in names else None
    if wanted is None and len(cameras) == 1:
        return cameras[0]
    if wanted not in names:
        what = "has several cameras" if wanted is None else f'has no camera "{wanted}"'
        more = ", ..." if len(names) > 12 else ""
        raise InputError(
            f"view {view}: {calibration[0]} {what}, expected one of {', '.join(names[:12])}{more}; name it behind the file."
        )
    return cameras[names.index(wanted)]
