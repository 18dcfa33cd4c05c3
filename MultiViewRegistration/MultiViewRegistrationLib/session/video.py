"""A sequence for people: a video of all frames, and a still of the frame that is shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..imaging.xray import XRay
from ..io.own_folders import staged
from ..mrml import ct_3d
from ..mrml.nodes import transform_to_ras
from ..mrml.structures import Shape, outlined, shape_of
from ..mrml.xray import DetectorPlane
from ..translation import _

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..sequence.tracker import Tracked
    from .session import Session

VIDEO = "sequence.gif"
#: Rows of an X-ray in a picture, columns between two, the size of the letters, and the lines' width.
ROWS, GAP, LETTERS, WIDTH = 480, 8, 18, 2

#: Colour, red, green, blue from 0 to 1, and shape of what is outlined.
Drawn = tuple[tuple[float, float, float], Shape]


def take_video(session: Session, folder: str | os.PathLike) -> Callable[[], list[Path]]:
    """Return a function that writes a video of all frames so far, and a still, in any thread.

    Each shows the X-rays side by side, with the outline of each bone where it was found, else of the
    CT's bone.

    Raises
    ------
    InputError
        Without a sequence.
    """
    player = session.sequence.player
    if player is None or not player.played.frames:
        raise InputError(
            _("Video: there is no sequence, expected one that was tracked; track it, or open one.")
        )
    played, rate, shown = player.played, player.rate, player.number or 0
    frames, images = list(played.frames), played.images
    views = {view.name: view for view in session.registration.xrays}
    views = {name: view for name, view in views.items() if name in played.views and view.placed}
    given = {name: view.camera for name, view in views.items()}
    bones = dict(session.bones.drawn())
    surface = ct_3d.surface_of(session.registration)

    def write() -> list[Path]:
        whole = (1.0, 1.0, 1.0), Shape() if surface is None else shape_of(surface)
        windows: dict[str, tuple[float, float]] = {}

        def picture(frame: Tracked) -> Image:
            try:
                found = images.read(frame.number)
            except InputError:  # the frame's own verdict says why: it shows nothing
                found = {}
            cameras = given | dict(zip(played.views, frame.cameras, strict=False))
            placed = _placed(frame, bones, whole)
            panes = []
            for name, view in views.items():
                xray = found[name].xray if found else None
                if xray is not None and name not in windows:
                    windows[name] = _window(xray)
                detector = DetectorPlane(view, None, cameras[name], np.eye(4), ())
                lines = [
                    (colour, outlined(shape, transform_to_ras(pose), detector))
                    for colour, shape, pose in placed
                ]
                window = windows.get(name, (0.0, 1.0))
                panes.append(_pane(_grey(xray, window, cameras[name].size), lines))
            return _beside(panes, f"{frame.number}: {frame.verdict}")

        with staged(folder, last=VIDEO) as staging:
            still = f"frame_{shown}.png"
            picture(frames[shown]).save(staging / still)
            rest: Iterator[Image] = map(picture, frames[1:])
            first, milliseconds = picture(frames[0]), round(1000 / rate)
            first.save(
                staging / VIDEO, save_all=True, append_images=rest, duration=milliseconds, loop=0
            )
        return [Path(folder) / name for name in (still, VIDEO)]

    return write


def _placed(
    frame: Tracked, bones: Mapping[str, Drawn], whole: Drawn
) -> list[tuple[tuple[float, float, float], Shape, np.ndarray]]:
    """Return what is outlined in a frame, with its pose (4, 4): nothing that was lost or rejected."""
    found = {name: each for name, each in frame.bones.items() if name in bones}
    drawn = [(*bones[name], each) for name, each in found.items()] or [(*whole, frame)]
    return [
        (colour, shape, each.world_from_ct)
        for colour, shape, each in drawn
        if each.kept and each.world_from_ct is not None
    ]


def _window(xray: XRay) -> tuple[float, float]:
    """Return the line integrals that are black and white, of all frames."""
    low, high = np.percentile(xray.line_integrals[xray.valid], (0.5, 99.5))
    return float(low), max(float(high), float(low) + 1e-6)


def _grey(xray: XRay | None, window: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """Return uint8 (rows, columns): an X-ray in a window, black without one."""
    if xray is None:
        return np.zeros(size[::-1], np.uint8)
    low, high = window
    share = np.clip((xray.line_integrals - low) / (high - low), 0, 1)
    return (255 * share * xray.valid).astype(np.uint8)


def _pane(grey: np.ndarray, lines: list[tuple[tuple[float, float, float], np.ndarray]]) -> Image:
    """Return an X-ray in ROWS rows with lines (k, 2, 2), in its pixels, in their colours."""
    from PIL import Image, ImageDraw

    scale = ROWS / len(grey)
    size = round(scale * grey.shape[1]), ROWS
    pane = Image.fromarray(grey).resize(size).convert("RGB")
    pen = ImageDraw.Draw(pane)
    for colour, pieces in lines:
        rgb = "#" + "".join(f"{round(255 * part):02x}" for part in colour)
        for piece in scale * (pieces + 0.5):
            pen.line([tuple(point) for point in piece.tolist()], rgb, WIDTH)
    return pane


def _beside(panes: list[Image], words: str) -> Image:
    """Return pictures beside each other, with a few words."""
    from PIL import Image, ImageDraw, ImageFont

    width = sum(pane.width for pane in panes) + GAP * (len(panes) - 1)
    whole, left = Image.new("RGB", (width, ROWS)), 0
    for pane in panes:
        whole.paste(pane, (left, 0))
        left += pane.width + GAP
    font = ImageFont.load_default(LETTERS)
    ImageDraw.Draw(whole).text(
        (GAP, GAP), words, "white", font, stroke_width=2, stroke_fill="black"
    )
    return whole
