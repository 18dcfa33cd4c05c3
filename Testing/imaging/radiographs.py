"""Made-up radiographs, noise and all, whose field is known."""

from functools import cache

import numpy as np
from scipy import ndimage
from scipy.special import ndtr

SIZE = 400
Y, X = np.mgrid[:SIZE, :SIZE].astype(float)


@cache
def trunk(seed=0):
    """Line integrals of soft tissue that fills the image, with two long bones, a round one and bowel gas."""
    rng = np.random.default_rng(seed)
    tissue = 2.5 + 0.8 * ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), 30) * 60
    bones = bone(X + 0.3 * Y, 170, 16) + bone(X - 0.2 * Y, 210, 13)
    ball = 0.05 * np.sqrt(np.maximum(30**2 - (X - 150) ** 2 - (Y - 220) ** 2, 0))
    gas = np.minimum(ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), 8) * 16, 0)
    return np.maximum(tissue + bones + ball + 0.4 * gas, 0.2)


def bone(across, centre, radius):
    """A hollow shaft: dense cortex around marrow."""

    def chord(r):
        return 2 * np.sqrt(np.maximum(r**2 - (across - centre) ** 2, 0))

    return 0.03 * (chord(radius) - chord(0.65 * radius))


def limb(centre, radius):
    """Line integrals of a thigh that runs down the image, air at its sides."""
    flesh = 0.012 * 2 * np.sqrt(np.maximum(radius**2 - (X - centre) ** 2, 0))
    return flesh + bone(X, centre, 0.2 * radius)


def exposed(line_integrals, photons=3000, seed=1):
    """Detected intensity as 16 bit, direct exposure at 50,000."""
    counts = np.random.default_rng(seed).poisson(photons * np.exp(-line_integrals))
    return np.minimum(np.round(counts * 50_000 / photons), 65_535)


#: Pixels from the edge of a field, positive inside.
FIELDS = {
    "circle": 170 - np.hypot(X - 190, Y - 205),
    "circle cut by the image": 225 - np.hypot(X - 200, Y - 190),
    "rectangle": np.minimum(140 - abs(X - 210), 120 - abs(Y - 190)),
    "turned rectangle": np.minimum(
        120 - abs(0.9 * (X - 200) + 0.436 * (Y - 200)), 135 - abs(-0.436 * (X - 200) + 0.9 * (Y - 200))
    ),
    "one blade": 330 - (0.985 * X + 0.174 * Y),
    "two blades": 150 - abs(X - 200),
    "octagon": np.minimum(np.minimum(160 - abs(X - 200), 150 - abs(Y - 200)), 230 - abs(X - 200) - abs(Y - 200)),
}  # fmt: skip


def collimated(intensity, inside, style):
    """The image with everything outside a field hidden.

    By lead (sharp, blurred or leaky), or painted over.
    """
    if style == "painted white":
        return np.where(inside > 0, intensity, 65_535)
    if style == "painted black":
        return np.where(inside > 0, intensity, 0)
    blur, leak = {"lead": (0.7, 0.0), "blurred lead": (3.0, 0.0), "leaky lead": (1.0, 0.02)}[style]
    scatter = leak * 50_000 * np.random.default_rng(2).gamma(40, 1 / 40, intensity.shape)
    share = ndtr(inside / blur)
    return np.round(intensity * share + scatter * (1 - share))
