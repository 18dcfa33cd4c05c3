"""Domain randomisation: what is drawn for an image, to make it an X-ray as any device might have taken it of any patient.

`draw` is compiled by numba, and by Warp, see `on_warp`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba as nb
import numpy as np

from . import drawn
from .drawn import Ends, Row, Rows, State
from .draws import TURN, bell, between, bits, chance, log_between, perhaps, uniform, whole
from .field import draw_field
from .shapes import add_bone, add_metal, add_soft_tissue


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
    straight_share, round_share, text_share: fields, see `field.close_field`.   border_share: of these, images in which the border was
        not recognised and stays, dense, in the image.
    neighbour_deg, neighbour_mm: standard deviations by which what lies around a structure (a mask) moves against it.
    """

    soft: Ends = (0.6, 1.2)
    bone: Ends = (0.45, 1.5)
    dense: Ends = (0.6, 1.4)
    soft_removed_share: float = 0.06
    all_bone: float = 0.0
    hardening: Ends = (0.0, 0.6)
    scatter: Ends = (0.0, 1.5)
    glare: Ends = (0.0, 0.3)
    photons: Ends = (3e3, 3e5)
    saturation_share: float = 0.4
    saturation: Ends = (0.7, 3.0)
    darkest_share: float = 0.3
    darkest: Ends = (1.5, 5.0)
    shading: float = 0.25
    blur: Ends = (-0.8, 0.8)
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


@nb.njit(nogil=True)
def draw(how: Randomisation, rows: int, columns: int, mm: float, state: State, numbers: Row, capsules: Rows):
    """Draws an image's numbers and capsules, and the state from which the noise of its pixels is drawn, one after the other.

    how: a `Randomisation`.   mm: of a pixel, at the anatomy's depth.   state: (1,) uint64, see `draws`.
    numbers: (NUMBERS,), capsules: (MOST_CAPSULES, CAPSULE) float64, see `drawn`, out.   Returns a uint64.
    """
    for n in range(numbers.shape[0]):
        numbers[n] = 0.0
    _draw_tissue(how, 0.5 * mm * float(rows), state, numbers, capsules)
    numbers[drawn.SOFTER] = between(state, how.hardening)
    numbers[drawn.SCATTER] = between(state, how.scatter)
    numbers[drawn.GLARE] = between(state, how.glare)
    if numbers[drawn.SCATTER] > 0.0:
        numbers[drawn.BLURS] = float(whole(state, 4, drawn.MOST_BLURS))
    for n in range(5):
        numbers[drawn.SHADE + n] = how.shading * bell(bits(state))
    if how.photons[1] > 0.0:
        numbers[drawn.PHOTONS] = log_between(state, how.photons[0], how.photons[1])
    numbers[drawn.BRIGHTEST] = 1e30
    if chance(state, how.saturation_share):
        numbers[drawn.BRIGHTEST] = math.exp(between(state, how.saturation))
    numbers[drawn.DARKEST] = 1e-9
    if chance(state, how.darkest_share):
        numbers[drawn.DARKEST] = math.exp(-between(state, how.darkest))
    draw_field(numbers, rows, columns, state, how.straight_share, how.round_share, how.text_share)
    numbers[drawn.BORDER] = perhaps(state, how.border_share, 1.0, 4.0)
    numbers[drawn.BLUR] = between(state, how.blur)
    return bits(state)


@nb.njit(nogil=True)
def _draw_tissue(how: Randomisation, half: float, state: State, numbers: Row, capsules: Rows):
    """half: of the image's height, mm."""
    soft = between(state, how.soft)
    if chance(state, how.soft_removed_share):
        soft = soft * uniform(state, 0.0, 0.3)
    bone = between(state, how.bone)
    numbers[drawn.SOFT] = soft * (1.0 + how.all_bone * (bone - 1.0))
    numbers[drawn.OTHERS_SOFT] = soft
    numbers[drawn.BONE] = bone
    numbers[drawn.DENSE] = bone * between(state, how.dense)
    if chance(state, how.ghost_share):
        for n in range(whole(state, 1, drawn.MOST_GHOSTS)):
            _draw_ghost(soft, bone, state, numbers, drawn.GHOSTS + n * drawn.GHOST)
    if chance(state, how.tissue_share):
        add_soft_tissue(numbers, capsules, half, state)
    numbers[drawn.SOFT_END] = numbers[drawn.METAL_END]
    if chance(state, how.bones_share):
        for _ in range(whole(state, 1, 4)):
            add_bone(numbers, capsules, half, state)
    numbers[drawn.BONE_END] = numbers[drawn.METAL_END]
    if chance(state, how.metal_share):
        for _ in range(whole(state, 1, 2)):
            add_metal(numbers, capsules, half, state)


@nb.njit(nogil=True)
def _draw_ghost(soft: float, bone: float, state: State, numbers: Row, first: int):
    """The anatomy once more, mirrored so that nothing is there twice, turned, scaled and shifted."""
    angle, beside, scale = uniform(state, 0.0, TURN), 0.0, uniform(state, 0.8, 2.0)
    if chance(state, 0.5):  # side by side, as radius and ulna
        angle, beside = uniform(state, -0.2, 0.2), 1.0
    numbers[first] = angle
    numbers[first + 1] = beside
    numbers[first + 2] = scale
    numbers[first + 3] = uniform(state, -0.5, 0.5)
    numbers[first + 4] = uniform(state, -0.5, 0.5)
    numbers[first + 5] = soft * uniform(state, 0.4, 1.2) / scale
    numbers[first + 6] = bone * uniform(state, 0.4, 1.2) / scale
