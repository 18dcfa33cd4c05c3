"""What a report says of bones that have a pose of their own.

Each one's outline in its colour, its verdict, and how it has moved.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy
from PIL import Image, ImageDraw, ImageFont

from ..imaging.body import colour_of
from ..imaging.xray import View, detail_of
from ..reasons import UNUSABLE
from .html import Content, figure, number, table, tag
from .overlays import BLUE, ORANGE, film_of, smooth_moments
from .result import Result

if TYPE_CHECKING:
    from ..assessment.bodies import BodyResult
    from ..registration.bone import Bone

#: The outline lies where a bone attenuates by this share of its median.
OUTLINE_SHARE = 0.25
#: Rows of `before_after` and of a name in it, columns between views, and what is around the bones,
#: as a share of the longer side.
PICTURE_ROWS = 900
NAME_ROWS = 24
GAP = 12
ROOM = 0.06
#: Against noise, standard deviation in pixels of the X-ray.
SMOOTH_PX = 1.0
BEFORE_AFTER = "Blue: where the pose of the whole CT has each bone. Orange: its own pose."
POSES = (
    "How the principal axes and the middle of each bone with a CT of its own lie to those of the other, "
    "along its axes that are nearest to left, back and up:"
)
#: Sign and word, on one line.
WORDS = {
    "accept": "\u2713\u00a0accept",
    "check": "!\u00a0check",
    "reject": "\u2715\u00a0reject",
    "not shown": "\u2013\u00a0not shown",
}


def bones_section(result: Result, compared: np.ndarray | None) -> list[ET.Element]:
    """Pictures, of which `compared` is that of `before_after`, and tables, of a result with bones."""
    found = result.together
    figures = []
    for v, view in enumerate(result.views):
        figures.append(figure(f"{view.name}, bones", outlined(result, v), view.name))
    moved = ["Moved", "Turned"] if any(bone.moved for bone in found.bodies) else []
    rows: list[list[Content]] = []
    for n, bone in enumerate(found.bodies):
        predicted = bone.predicted_tre_mm
        rows.append(
            [
                tag("span", f"\u25a0 {bone.name}", style=f"color: {css(n)}"),
                f"checked by {bone.checked.by}" if bone.checked else WORDS[bone.verdict or "check"],
                *_moved(bone)[: len(moved)],
                number(predicted["mean"], "mm", 2) if predicted else "unknown",
                ", ".join(f"{name} {each:.2f}" for name, each in bone.similarity.items()),
                " ".join(bone.reasons),
            ]
        )
    likely = "Likely error if the cameras are right" if moved else "Likely error"
    head = ["Bone", "Verdict", *moved, likely, "Similarity", "Reasons"]
    against = "; moved and turned are against the pose of the whole CT" if moved else ""
    parts: list[ET.Element] = []
    if compared is not None:
        parts.append(tag("div", figure(BEFORE_AFTER, compared), class_="views"))
    parts += [
        tag("p", f"Each bone at its own pose{against}."),
        tag("div", *figures, class_="views"),
        table(head, rows),
    ]
    if found.motions:
        motions: list[list[Content]] = []
        for motion in found.motions:
            pair = f"{motion.name} on {motion.against}"
            mm = number(motion.mm, "mm", 1)
            motions.append([pair, WORDS[motion.verdict], motion.words, mm])
        parts += [
            tag("p", "How neighbours have moved against each other since the CT:"),
            table(["", "Verdict", "Motion, \u00b1 of 95 in 100", "Shift at the joint"], motions),
        ]
    if found.relative_poses:
        poses: list[list[Content]] = []
        for each in found.relative_poses:
            numbers = [*each.numbers.rotation_deg, *each.numbers.shift_mm]
            poses.append([f"{each.name} to {each.against}", *(f"{x:.1f}" for x in numbers)])
        axes = ["left", "back", "up"]
        parts += [
            tag("p", POSES),
            table(
                ["", *(f"{axis} (\u00b0)" for axis in axes), *(f"{axis} (mm)" for axis in axes)],
                poses,
            ),
        ]
    return parts


def _moved(bone: BodyResult) -> list[Content]:
    """Return how far a bone has moved and turned; no CT says that of an implant."""
    if bone.moved is None:
        return ["\u2013", "\u2013"]
    return [number(bone.moved.mm, "mm", 1), number(bone.moved.degrees, "\u00b0", 1)]


def css(n: int) -> str:
    """Return the colour of the n-th bone, for a page."""
    red, green, blue = (round(255 * each) for each in colour_of(n, 0.35, 0.8))
    return f"rgb({red} {green} {blue})"


def outlined(result: Result, v: int) -> np.ndarray:
    """uint8 (rows, columns, 3): an X-ray with the outline of each bone in its colour."""
    bones = [(body.bone, body.world_from_ct) for body in result.together.bodies]
    return with_outlines(result.views[v], bones)


def with_outlines(view: View, bones: Sequence[tuple[Bone | None, np.ndarray | None]]) -> np.ndarray:
    """Return the same of an X-ray and of bones at poses (4, 4), None of those that are nowhere."""
    picture = np.repeat(255 * film_of(view.xray).grey[..., None], 3, axis=-1)
    for n, (bone, world_from_ct) in enumerate(bones):
        if world_from_ct is not None:
            silhouette = _silhouette(bone, view, world_from_ct)
            picture[_edge(silhouette, thick=max(1, max(silhouette.shape) // 700))] = 255 * np.array(
                colour_of(n)
            )
    return picture.astype(np.uint8)


def before_after(result: Result) -> np.ndarray | None:
    """uint8 (rows, columns, 3): the part of each X-ray about the bones, with their outlines by the pose of the whole CT and by their own.

    None where no X-ray shows a bone, and for bones with a CT each.
    """
    bones = [body for body in result.together.bodies if body.moved]
    pictures: list[np.ndarray] = []
    for view in result.views:
        crop = _crop(view, bones, result.world_from_ct)
        if crop is not None:
            pictures += [np.zeros((PICTURE_ROWS, GAP, 3), np.uint8), crop]
    return np.concatenate(pictures[1:], axis=1) if pictures else None


def _crop(view: View, bones: Sequence[BodyResult], world_from_ct: np.ndarray) -> np.ndarray | None:
    """Return the part of one X-ray for `before_after`, enlarged; None where it shows no bone."""
    before = [_silhouette(bone.bone, view, world_from_ct) for bone in bones]
    after = [_silhouette(bone.bone, view, bone.world_from_ct) for bone in bones]
    shown = np.any([each > 0 for each in (*before, *after)], axis=0)
    if not shown.any():
        return None
    part = _around(shown)
    rows, columns = shown[part].shape
    size = round(columns * PICTURE_ROWS / rows), PICTURE_ROWS

    def enlarged(image: np.ndarray) -> np.ndarray:
        return np.asarray(
            Image.fromarray(image[part].astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
        )

    smooth = scipy.ndimage.gaussian_filter(view.xray.line_integrals, SMOOTH_PX)
    image = enlarged(smooth)
    valid = enlarged(view.xray.valid) > 0.99
    mean, spread = smooth_moments(
        image, valid, PICTURE_ROWS // 6
    )  # bone is seen before heart and lung alike
    grey = 0.5 + (image - mean) / (4 * detail_of(spread, valid, 0.5))
    picture = np.repeat(255 * np.clip(np.where(valid, grey, 0), 0, 1)[..., None], 3, axis=-1)
    for colour, silhouettes in ((BLUE, before), (ORANGE, after)):
        for silhouette in silhouettes:
            picture[_edge(enlarged(silhouette), thick=2)] = colour
    crop = Image.fromarray(picture.astype(np.uint8))
    pen = ImageDraw.Draw(crop)
    font = ImageFont.load_default(NAME_ROWS)
    for bone, silhouette in zip(bones, after, strict=True):
        if (silhouette > 0).any():
            name = f"{bone.name} {bone.verdict}" if bone.verdict in UNUSABLE else bone.name
            row, column = scipy.ndimage.center_of_mass(enlarged(silhouette) > 0)
            pen.text((column, row), name, "white", font, "mm", stroke_width=2, stroke_fill="black")
    return np.asarray(crop)


def _around(shown: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of what is shown, with room."""
    rows, columns = scipy.ndimage.find_objects(shown.astype(np.uint8))[0]
    room = round(ROOM * max(rows.stop - rows.start, columns.stop - columns.start))
    return np.s_[
        max(rows.start - room, 0) : rows.stop + room,
        max(columns.start - room, 0) : columns.stop + room,
    ]


def _silhouette(bone: Bone | None, view: View, world_from_ct: np.ndarray) -> np.ndarray:
    """(rows, columns), above 0 in the silhouette of a bone.

    0 everywhere where a view does not show it.
    """
    if bone is None or (view.camera.depth(bone.surface) <= 0).any():
        return np.zeros(view.xray.valid.shape, np.float32)
    shadow = bone.projector(0).render(view.camera, world_from_ct).image
    if not shadow.any():
        return shadow
    return scipy.ndimage.gaussian_filter(shadow, 1) - OUTLINE_SHARE * np.median(shadow[shadow > 0])


def _edge(silhouette: np.ndarray, thick: int) -> np.ndarray:
    """Return bool (rows, columns): a line just inside a silhouette, so many pixels thick."""
    dark = silhouette > 0
    return dark & ~scipy.ndimage.binary_erosion(dark, iterations=thick)
