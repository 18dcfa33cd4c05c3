"""What a report says of bones that have a pose of their own: each one's outline in its colour, its verdict, and how it has moved."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence

import numpy as np
import scipy

from ..imaging.structures import colour_of
from ..imaging.xray import View
from ..io.html import Content, embedded, number, table, tag
from ..registration.bones import Bone
from .overlays import film_of, jpeg
from .result import Result

#: The outline lies where a bone attenuates by this share of its median.
OUTLINE_SHARE = 0.25
WORDS = {"accept": "\u2713 accept", "check": "! check", "reject": "\u2715 reject"}


def bones_section(result: Result) -> list[ET.Element]:
    """Pictures and tables; none for a result without structures."""
    found = result.structures
    if found is None:
        return []
    names = [view.name for view in result.views]
    figures = []
    for v, view in enumerate(result.views):
        image = tag("img", src=embedded(jpeg(outlined(result, v)), "jpeg"), alt=f"{view.name}, bones", decoding="async")
        figures.append(tag("figure", tag("figcaption", view.name), image))
    rows: list[list[Content]] = []
    for n, bone in enumerate(found.bones):
        predicted = bone.predicted_tre_mm
        rows.append(
            [
                tag("span", f"\u25a0 {bone.name}", style=f"color: {css(n)}"),
                WORDS[bone.verdict],
                number(bone.moved.mm, "mm", 1),
                number(bone.moved.degrees, "\u00b0", 1),
                number(predicted["mean"], "mm", 2) if predicted else "unknown",
                ", ".join(
                    f"{name} {each:.2f}" for name, each in zip(names, bone.similarity, strict=True) if np.isfinite(each)
                ),
                " ".join(bone.reasons),
            ]
        )
    head = ["Bone", "Verdict", "Moved", "Turned", "Likely error", "Similarity", "Reasons"]
    parts: list[ET.Element] = [
        tag("p", "Each bone at its own pose; moved and turned are against the pose of the whole CT."),
        tag("div", *figures, class_="views"),
        table(head, rows),
    ]
    if found.motions:
        motions: list[list[Content]] = [
            [f"{each.name} on {each.against}", each.words, number(each.mm, "mm", 1)] for each in found.motions
        ]
        parts += [
            tag("p", "How neighbours have moved against each other since the CT:"),
            table(["", "Motion", "Shift at the joint"], motions),
        ]
    return parts


def css(n: int) -> str:
    """The colour of the n-th bone, for a page."""
    red, green, blue = (round(255 * each) for each in colour_of(n, 0.35, 0.8))
    return f"rgb({red} {green} {blue})"


def outlined(result: Result, v: int) -> np.ndarray:
    """uint8 (rows, columns, 3): an X-ray with the outline of each bone in its colour."""
    bones = result.structures.bones if result.structures else ()
    return with_outlines(result.views[v], [(bone.bone, bone.world_from_ct) for bone in bones])


def with_outlines(view: View, bones: Sequence[tuple[Bone, np.ndarray | None]]) -> np.ndarray:
    """The same of an X-ray and of bones at poses (4, 4), None of those that are nowhere."""
    picture = np.repeat(255 * film_of(view.xray).grey[..., None], 3, axis=-1)
    for n, (bone, world_from_ct) in enumerate(bones):
        colour = 255 * np.array(colour_of(n))
        for line in () if world_from_ct is None else _outline(bone, view, world_from_ct):
            picture[line] = colour
    return picture.astype(np.uint8)


def _outline(bone: Bone, view: View, world_from_ct: np.ndarray) -> Iterator[np.ndarray]:
    """bool (rows, columns), the outline of a bone's shadow; nothing where a view does not show it."""
    if (view.camera.depth(bone.surface) <= 0).any():
        return
    shadow = bone.projector(0).render(view.camera, world_from_ct).image
    if shadow.any():
        dark = scipy.ndimage.gaussian_filter(shadow, 1) > OUTLINE_SHARE * np.median(shadow[shadow > 0])
        thick = max(1, max(dark.shape) // 700)
        yield dark & ~scipy.ndimage.binary_erosion(dark, iterations=thick)
