"""Domain randomisation: what is drawn for an image, to make it an X-ray as any device might have taken it of any patient."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba as nb

from . import drawn
from .draws import STRIDE, between, chance, log_between, normal, uniform, whole
from .field import draw_field
from .shapes import add_bone, add_metal, add_soft_tissue

Ends = tuple[float, float]


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
    bone: Ends = (0.35, 1.5)
    dense: Ends = (0.6, 1.4)
    soft_removed_share: float = 0.06
    all_bone: float = 0.0
    hardening: Ends = (0.0, 0.6)
    scatter: Ends = (0.0, 2.5)
    glare: Ends = (0.0, 0.3)
    photons: Ends = (3e3, 3e5)
    saturation_share: float = 0.4
    saturation: Ends = (0.7, 3.0)
    darkest_share: float = 0.3
    darkest: Ends = (1.5, 5.0)
    shading: float = 0.25
    blur: Ends = (-0.8, 0.8)
    metal_share: float = 0.5
    bones_share: float = 0.1
    tissue_share: float = 0.1
    ghost_share: float = 0.0
    straight_share: float = 0.5
    round_share: float = 0.3
    text_share: float = 0.08
    border_share: float = 0.1
    neighbour_deg: float = 8.0
    neighbour_mm: float = 4.0


#: A body as the CT shows it, or a structure with its surroundings.
BODY = Randomisation()
#: One bone, and the CT has nothing else: what surrounds it in the X-ray is made up.
BONE = BODY._replace(soft=(0.6, 1.2), bone=(0.5, 2.5), soft_removed_share=0.0, all_bone=1.0, scatter=(0.0, 0.7), glare=(0.0, 0.7),
                     shading=0.1, metal_share=0.25, bones_share=0.8, tissue_share=0.85, ghost_share=0.6, straight_share=0.35)
#: The CT as it is, without any chance.
CLEAN = Randomisation(*((1.0, 1.0) if name in ("soft", "bone", "dense") else (0.0, 0.0) if isinstance(value, tuple) else 0.0
                        for name, value in BODY._asdict().items()))


@nb.njit(nogil=True)
def draw(how, rows, columns, mm, state, numbers, capsules):
    """Draws an image's numbers and capsules, and the state from which the noise of its pixels is drawn, one after the other.

    how: a `Randomisation`.   mm: of a pixel, at the anatomy's depth.   state: (1,) uint64, see `draws`.
    numbers: (NUMBERS,) float64, out.   capsules: `drawn.Capsules`, out.   Returns a uint64.
    """
    numbers[:] = 0.0
    capsules.count[0] = 0
    _draw_tissue(how, 0.5 * mm * rows, state, numbers, capsules)
    numbers[drawn.SOFTER] = between(state, how.hardening)
    numbers[drawn.SCATTER], numbers[drawn.GLARE] = between(state, how.scatter), between(state, how.glare)
    if numbers[drawn.SCATTER] > 0.0:
        numbers[drawn.BLURS] = whole(state, 4, 16)
    for n in range(5):
        numbers[drawn.SHADE + n] = how.shading * normal(state)
    if how.photons[1] > 0.0:
        numbers[drawn.PHOTONS] = log_between(state, how.photons)
    numbers[drawn.BRIGHTEST] = math.exp(between(state, how.saturation)) if chance(state, how.saturation_share) else 1e30
    numbers[drawn.DARKEST] = math.exp(-between(state, how.darkest)) if chance(state, how.darkest_share) else 1e-9
    noise = state[0]
    if how.photons[1] > 0.0:
        state[0] += STRIDE * nb.uint64(rows * columns)
    draw_field(numbers, rows, columns, state, how.straight_share, how.round_share, how.text_share)
    if chance(state, how.border_share):
        numbers[drawn.BORDER] = uniform(state, 1.0, 4.0)
    numbers[drawn.BLUR] = between(state, how.blur)
    return noise


@nb.njit(nogil=True)
def _draw_tissue(how, half, state, numbers, capsules):
    """half: of the image's height, mm."""
    soft = between(state, how.soft)
    if chance(state, how.soft_removed_share):
        soft *= uniform(state, 0.0, 0.3)
    bone = between(state, how.bone)
    numbers[drawn.SOFT], numbers[drawn.OTHERS_SOFT] = soft * (1.0 + how.all_bone * (bone - 1.0)), soft
    numbers[drawn.BONE], numbers[drawn.DENSE] = bone, bone * between(state, how.dense)
    if chance(state, how.ghost_share):
        for n in range(whole(state, 1, 3)):
            _draw_ghost(soft, bone, state, numbers[drawn.GHOSTS + n * drawn.GHOST : drawn.GHOSTS + (n + 1) * drawn.GHOST])
    if chance(state, how.tissue_share):
        add_soft_tissue(capsules, half, state)
    numbers[drawn.SOFT_END] = capsules.count[0]
    if chance(state, how.bones_share):
        for _ in range(whole(state, 1, 4)):
            add_bone(capsules, half, state)
    numbers[drawn.BONE_END] = capsules.count[0]
    if chance(state, how.metal_share):
        for _ in range(whole(state, 1, 2)):
            add_metal(capsules, half, state)
    numbers[drawn.METAL_END] = capsules.count[0]


@nb.njit(nogil=True)
def _draw_ghost(soft, bone, state, ghost):
    """The anatomy once more, mirrored so that nothing is there twice, turned, scaled and shifted."""
    angle, beside, scale = uniform(state, 0.0, 2 * math.pi), 0.0, uniform(state, 0.8, 2.0)
    if chance(state, 0.5):  # side by side, as radius and ulna
        angle, beside = uniform(state, -0.2, 0.2), 1.0
    ghost[0], ghost[1], ghost[2] = angle, beside, scale
    ghost[3], ghost[4] = uniform(state, -0.5, 0.5), uniform(state, -0.5, 0.5)
    ghost[5], ghost[6] = soft * uniform(state, 0.4, 1.2) / scale, bone * uniform(state, 0.4, 1.2) / scale
