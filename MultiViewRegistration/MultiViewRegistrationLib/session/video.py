"""A sequence for people: a video of all frames, and a still of the frame that is shown."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..imaging.xray import View, XRay
from ..io.own_folders import staged
from ..mrml.bones import named_bones
from ..mrml.image import greys
from ..mrml.layout import css
from ..mrml.nodes import Colour, transform_to_ras
from ..mrml.structures import outlined
from ..mrml.xray import DetectorPlane, GreyRange
from ..translation import _
from .bones import surfaces
from .tasks import Writer

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..registration.prepared_ct import PreparedCT
    from ..sequence.tracker import Tracked
    from .session import Session

VIDEO = "sequence.gif"
#: Rows of an X-ray in a picture, columns between two, and the size of the letters.
ROWS = 480
GAP = 8
LETTERS = 18


def take_video(session: Session, folder: Path) -> Writer:
    """Return a function that writes a video of all frames so far, and a still, in any thread.

    Each shows the X-rays side by side, with the outline of each bone where it was found; where none
    was, with the edges of the CT's bone.

    Raises
    ------
    InputError
        Without a sequence, and as `Inputs.bodies`.
    """
    player = session.sequence.player
    if player is None or not player.played.frames:
        raise InputError(
            _("Video: there is no sequence, expected one that was tracked; track it, or open one.")
        )
    played = player.played
    rate = player.rate
    shown = player.number or 0
    frames = list(played.frames)
    images = played.images
    views = {view.name: view for view in session.registration.xrays}
    views = {name: view for name, view in views.items() if name in played.views and view.placed}
    given = {name: view.camera for name, view in views.items()}
    colours = named_bones(session.registration)
    bodies = session.bodies()
    ready = session.ready()

    def write() -> list[Path]:
        anatomy = ready(lambda progress: True)
        windows: dict[str, GreyRange] = {}
        made = surfaces(bodies)

        def picture(frame: Tracked) -> Image:
            try:
                found = images.read(frame.number)
            except InputError:  # the frame's own verdict says why: it shows nothing
                found = {}
            cameras = given | dict(zip(played.views, frame.cameras, strict=False))
            poses = frame.bone_poses
            outlines = [name for name in colours if name in made and name in poses]
            panes = []
            for name, view in views.items():
                xray = found[name].xray if found else None
                if xray is not None and name not in windows:
                    windows[name] = greys(xray)[0]
                detector = DetectorPlane(view, None, cameras[name], np.eye(4), ())
                lines = []
                for bone in outlines:
                    drawn = outlined(made[bone][1], transform_to_ras(poses[bone]), detector)
                    lines.append((colours[bone], drawn))
                window = windows.get(name, (0.0, 1.0))
                pane = _pane(_grey(xray, window, cameras[name].size), lines)
                if xray is not None and frame.kept and not outlines:
                    _draw_edges(pane, View(name, xray, cameras[name]), anatomy, frame)
                panes.append(pane)
            return _beside(panes, f"{frame.number}: {frame.answer}")

        with staged(folder, last=VIDEO) as staging:
            still = f"frame_{shown}.png"
            picture(frames[shown]).save(staging / still)
            rest: Iterator[Image] = map(picture, frames[1:])
            first = picture(frames[0])
            milliseconds = round(1000 / rate)
            first.save(
                staging / VIDEO, save_all=True, append_images=rest, duration=milliseconds, loop=0
            )
        return [folder / name for name in (still, VIDEO)]

    return write


def _grey(xray: XRay | None, window: GreyRange, size: tuple[int, int]) -> np.ndarray:
    """Return uint8 (rows, columns): an X-ray in a window, black without one."""
    if xray is None:
        return np.zeros(size[::-1], np.uint8)
    low, high = window
    share = np.clip((xray.line_integrals - low) / (high - low), 0, 1)
    return (255 * share * xray.valid).astype(np.uint8)


def _pane(grey: np.ndarray, lines: list[tuple[Colour, np.ndarray]]) -> Image:
    """Return an X-ray in ROWS rows with lines (k, 2, 2), in its pixels, in their colours."""
    from PIL import Image, ImageDraw

    scale = ROWS / len(grey)
    size = round(scale * grey.shape[1]), ROWS
    pane = Image.fromarray(grey).resize(size).convert("RGB")
    pen = ImageDraw.Draw(pane)
    for colour, pieces in lines:
        for piece in scale * (pieces + 0.5):
            pen.line([tuple(point) for point in piece.tolist()], css(colour))
    return pane


def _draw_edges(pane: Image, view: View, anatomy: PreparedCT, frame: Tracked) -> None:
    """Draw the edges of the CT's bone at the pose of a frame over an X-ray."""
    from PIL import Image

    from ..report.overlays import film_of, live_layer

    small = view.pooled(max(len(view.xray.valid) // ROWS, 1))
    assert frame.world_from_ct is not None, "the frame was lost"
    bones = anatomy.drr(small.camera, frame.world_from_ct, bones=True)
    layer = live_layer("edges", film_of(small.xray), bones, structure=anatomy.structure)
    over = Image.fromarray(layer).resize(pane.size)
    pane.paste(over, (0, 0), over)


def _beside(panes: list[Image], words: str) -> Image:
    """Return pictures beside each other, with a few words."""
    from PIL import Image, ImageDraw, ImageFont

    gap = np.zeros((ROWS, GAP, 3), np.uint8)
    parts = list(chain(*((gap, np.asarray(pane)) for pane in panes)))
    whole = Image.fromarray(np.concatenate(parts[1:], axis=1))
    font = ImageFont.load_default(LETTERS)
    ImageDraw.Draw(whole).text(
        (GAP, GAP), words, "white", font, stroke_width=2, stroke_fill="black"
    )
    return whole
