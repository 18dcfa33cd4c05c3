"""Domain randomisation: what is drawn for an image, to make it an X-ray as any device might have taken it of any patient."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from . import sample_layout
from .overlays3d import add_bone, add_metal, add_soft_tissue
from .rng import FULL_TURN, bits, chance, compiled, integer, log_uniform, quick_normal, sometimes, uniform

Range = tuple[float, float]
#: Least share of the image that blades leave open.
_MIN_OPEN = 0.3


class Randomisation(NamedTuple):
    """What is drawn anew for each image: evenly between two ends, or with a probability (`..._share`).

    soft, bone, dense: factors of soft tissue, of all bone, and of dense bone besides.   soft_removed_share: nearly without soft tissue.
    all_bone: 1 where the volume is but one bone, 0 otherwise; what counts as soft tissue there then also has bone's factor.
    hardening: share of the softer quanta.   scatter, glare: relative to the image's typical (geometric mean) primary intensity.
    photons: in a pixel at that intensity; the logarithm is drawn.   saturation, darkest: nepers brighter, darker than it at which the
        detector, or the picture's grey levels, end.   shading: standard deviation, nepers, of slow changes of brightness.
    blur: share of a 3 x 3 binomial filter; below 0 it sharpens.
    metal_share, bones_share, tissue_share: images with metal, with other bones, with soft tissue that is not the CT's.
    ghost_share: images with mirrored, turned and scaled copies of the anatomy: bones of its own kind.
    straight_share, round_share, text_share: fields, see `close_field`.   border_share: of these, images in which the border was
        not recognised and stays, dense, in the image.
    neighbour_deg, neighbour_mm: standard deviations by which what lies around a structure (a mask) moves against it.
    """

    soft: Range = (0.6, 1.2)
    bone: Range = (0.45, 1.5)
    dense: Range = (0.6, 1.4)
    soft_removed_share: float = 0.06
    all_bone: float = 0.0
    hardening: Range = (0.0, 0.6)
    scatter: Range = (0.0, 1.5)
    glare: Range = (0.0, 0.3)
    photons: Range = (3e3, 3e5)
    saturation_share: float = 0.4
    saturation: Range = (0.7, 3.0)
    darkest_share: float = 0.3
    darkest: Range = (1.5, 5.0)
    shading: float = 0.25
    blur: Range = (-0.8, 0.8)
    metal_share: float = 0.4
    bones_share: float = 0.1
    tissue_share: float = 0.1
    ghost_share: float = 0.0
    straight_share: float = 0.35
    round_share: float = 0.3
    text_share: float = 0.08
    border_share: float = 0.1
    neighbour_deg: float = 8.0
    neighbour_mm: float = 4.0


#: A body as the CT shows it, or a structure with its surroundings.
BODY = Randomisation()
#: What a body's network can learn from besides where it has the time; a short training ends further off with it.
HARD_BODY = BODY._replace(bone=(0.35, 1.5), scatter=(0.0, 2.5), metal_share=0.5, straight_share=0.5)
#: One bone, and the CT has nothing else: what surrounds it in the X-ray is made up.
BONE = BODY._replace(
    soft=(0.6, 1.2),
    bone=(0.5, 2.5),
    soft_removed_share=0.0,
    all_bone=1.0,
    scatter=(0.0, 0.7),
    glare=(0.0, 0.7),
    shading=0.1,
    metal_share=0.25,
    bones_share=0.8,
    tissue_share=0.85,
    ghost_share=0.6,
)
#: The CT as it is, without any chance.
CLEAN = Randomisation(
    *(
        (1.0, 1.0) if name in ("soft", "bone", "dense") else (0.0, 0.0) if isinstance(value, tuple) else 0.0
        for name, value in BODY._asdict().items()
    )
)


def hardened(how: Randomisation, hardness: float) -> Randomisation:
    """So far, 0 to 1, from BODY to HARD_BODY; any other as it is."""
    if how != BODY:
        return how
    return Randomisation(
        *(
            tuple(np.add(easy, hardness * np.subtract(hard, easy)).tolist())
            if isinstance(easy, tuple)
            else easy + hardness * (hard - easy)
            for easy, hard in zip(BODY, HARD_BODY, strict=True)
        )
    )


@compiled
def draw(how, rows, columns, mm, state, sample):
    """Draw an image's sample, and the state from which the noise of its pixels is drawn, one after the other.

    Parameters
    ----------
    how : Randomisation
    mm : of a pixel, at the anatomy's depth.
    state : (1,) uint64, see `rng`.
    sample : Sample, out.

    Returns
    -------
    uint64
    """
    numbers = sample.numbers
    numbers[:] = 0.0
    _draw_tissue(how, 0.5 * mm * rows, state, sample)
    numbers[sample_layout.SOFTER] = uniform(state, *how.hardening)
    numbers[sample_layout.SCATTER] = uniform(state, *how.scatter)
    numbers[sample_layout.GLARE] = uniform(state, *how.glare)
    if numbers[sample_layout.SCATTER] > 0.0:
        numbers[sample_layout.BLURS] = integer(state, 4, sample_layout.MAX_BLURS)
    for n in range(5):
        numbers[sample_layout.SHADE + n] = how.shading * quick_normal(bits(state))
    if how.photons[1] > 0.0:
        numbers[sample_layout.PHOTONS] = log_uniform(state, *how.photons)
    bright = chance(state, how.saturation_share)
    numbers[sample_layout.BRIGHTEST] = math.exp(uniform(state, *how.saturation)) if bright else 1e30
    dark = chance(state, how.darkest_share)
    numbers[sample_layout.DARKEST] = math.exp(-uniform(state, *how.darkest)) if dark else 1e-9
    if chance(state, how.straight_share):
        numbers[sample_layout.BLADES : sample_layout.BLADES + 5] = _draw_blades(state)
    if chance(state, how.round_share):
        numbers[sample_layout.ROUND : sample_layout.ROUND + 3] = _draw_round(state)
    if chance(state, how.text_share):
        for n in range(integer(state, 1, sample_layout.MAX_BOXES)):
            height, width = integer(state, 2, rows // 12), integer(state, 2, columns // 4)
            top, left = integer(state, 0, rows - height), integer(state, 0, columns - width)
            first = sample_layout.BOXES + 4 * n
            numbers[first : first + 4] = (top, left, height, width)
    numbers[sample_layout.BORDER] = sometimes(state, how.border_share, 1.0, 4.0)
    numbers[sample_layout.BLUR] = uniform(state, *how.blur)
    return bits(state)


@compiled
def _draw_tissue(how, half, state, sample):
    """half: of the image's height, mm."""
    numbers = sample.numbers
    soft = uniform(state, *how.soft)
    if chance(state, how.soft_removed_share):
        soft = soft * uniform(state, 0.0, 0.3)
    bone = uniform(state, *how.bone)
    numbers[sample_layout.SOFT] = soft * (1.0 + how.all_bone * (bone - 1.0))
    numbers[sample_layout.OTHERS_SOFT] = soft
    numbers[sample_layout.BONE] = bone
    numbers[sample_layout.DENSE] = bone * uniform(state, *how.dense)
    if chance(state, how.ghost_share):
        for n in range(integer(state, 1, sample_layout.MAX_GHOSTS)):
            first = sample_layout.GHOSTS + n * sample_layout.GHOST
            numbers[first : first + sample_layout.GHOST] = _draw_ghost(soft, bone, state)
    if chance(state, how.tissue_share):
        add_soft_tissue(sample, half, state)
    numbers[sample_layout.SOFT_END] = numbers[sample_layout.METAL_END]
    if chance(state, how.bones_share):
        for _ in range(integer(state, 1, 4)):
            add_bone(sample, half, state)
    numbers[sample_layout.BONE_END] = numbers[sample_layout.METAL_END]
    if chance(state, how.metal_share):
        for _ in range(integer(state, 1, 2)):
            add_metal(sample, half, state)


@compiled
def _draw_ghost(soft, bone, state):
    """The anatomy once more, mirrored so that nothing is there twice, turned, scaled and shifted."""
    angle, beside, scale = uniform(state, 0.0, FULL_TURN), 0.0, uniform(state, 0.8, 2.0)
    if chance(state, 0.5):  # side by side, as radius and ulna
        angle, beside = uniform(state, -0.2, 0.2), 1.0
    x, y = uniform(state, -0.5, 0.5), uniform(state, -0.5, 0.5)
    of_soft, of_bone = soft * uniform(state, 0.4, 1.2) / scale, bone * uniform(state, 0.4, 1.2) / scale
    return angle, beside, scale, x, y, of_soft, of_bone


@compiled
def _draw_blades(state):
    """Up to four straight edges, square to each other, mostly along the image's own."""
    turn = 0.8 if chance(state, 0.15) else 0.04
    turn = uniform(state, -turn, turn)
    largest = uniform(state, 0.0, 0.5)
    while True:  # as far in as leaves enough of the image open
        left, right = sometimes(state, 0.7, 0.0, largest), sometimes(state, 0.7, 0.0, largest)
        top, bottom = sometimes(state, 0.7, 0.0, largest), sometimes(state, 0.7, 0.0, largest)
        if (1.0 - left - right) * (1.0 - top - bottom) >= _MIN_OPEN and left + right < 0.9:
            return turn, left, right, top, bottom


@compiled
def _draw_round(state):
    """The circle of an intensifier, mostly about the image's middle, else one of which the image is a part: radius, x, y."""
    radius, x, y = uniform(state, 0.43, 0.56), uniform(state, -0.04, 0.04), uniform(state, -0.04, 0.04)
    if chance(state, 0.3):
        radius = uniform(state, 0.5, 2.0)
        angle, off = uniform(state, 0.0, FULL_TURN), uniform(state, 0.0, 1.0) * max(radius - 0.1, 0.0)
        x, y = off * math.cos(angle), off * math.sin(angle)
    return radius, x, y
