"""Part (a): an image, and an image with its derivative by the six numbers of a pose, beside nanodrr and RTK.

Full-resolution volume on both sides, same camera and pose, float32, same threads, same mean step along the ray. nanodrr takes its samples
within the volume, none between source and volume; we leave out the planes of air around the body, too. Of nanodrr the derivative is
what one step of an optimiser needs: forward, and backward from one number to the pose; ours is that of each pixel. Of RTK, which has
none, it is 13 images: central differences. A row counts only if the images agree.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from . import nanodrr_peer, rtk_peer
from .job import Job, Measured, Tell
from .rows import Row, alternated, compared
from .setting import Setting

#: Pixels a side, and how often each is measured.
SIZES = {64: 15, 128: 9, 200: 9, 512: 3}
COMPILED_AT = 200
LEAST_NCC = 0.99
FIGURE = "time of an image against pixels"


def jobs(setting: Setting, sizes: dict[int, int] | None = None) -> list[Job]:
    """A job for each image size, and one with nanodrr compiled by torch."""
    sizes = SIZES if sizes is None else sizes
    found = []
    for pixels, repeats in sizes.items():
        size = f"{pixels}x{pixels}"
        rows = tuple(f"{what} {size}{peer}" for peer in ("", ", RTK") for what in ("image", "image+jacobian"))
        found.append(
            Job("render", rows, 3 + 1e-4 * pixels**2 * (repeats + 1), partial(_measure, setting, pixels, repeats, rows))
        )
    if COMPILED_AT in sizes:
        rows = (f"image+jacobian {COMPILED_AT}x{COMPILED_AT}, nanodrr compiled",)
        found.append(Job("render", rows, 90, partial(_compiled, setting, rows[0])))
    return found


def _measure(setting: Setting, pixels: int, repeats: int, names: tuple[str, ...], tell: Tell) -> Measured:
    camera, pose = setting.camera(pixels), setting.pose
    samples, our_step, peer_step = nanodrr_peer.samples_for_step(setting.volume, camera, pose)
    nanodrr = nanodrr_peer.Renderer(setting.subject, setting.volume, [camera], pose, samples)
    rtk = rtk_peer.Renderer(setting.joseph, camera, pose)
    ours = setting.projector.render(camera, pose, jacobian=True)
    tell(0.1)
    steps = f"mean step {our_step:.3f} mm, nanodrr {peer_step:.3f} mm ({samples} samples a ray)"
    agreement = {
        "nanodrr": (ncc(ours.image, nanodrr.forward()[0]), f"; {steps}"),
        "RTK": (ncc(ours.image, rtk.image()), ""),
    }
    image, jacobian, forward, backward, joseph = alternated(
        [
            lambda: setting.projector.render(camera, pose),
            lambda: setting.projector.render(camera, pose, jacobian=True),
            nanodrr.forward,
            nanodrr.forward_backward,
            rtk.forward,
        ],
        repeats,
    )
    differences = [rtk_peer.IMAGES_FOR_A_JACOBIAN * time for time in joseph]

    def row(name: str, ours: list[float], peer: list[float], peer_name: str) -> Row:
        ncc, note = agreement[peer_name.split()[0]]
        failed = "" if ncc > LEAST_NCC else f"the images do not agree, NCC {ncc:.3f}"
        return compared(
            name, "ms", ours, peer, peer_name, paired=True, failed=failed, note=f"images agree, NCC {ncc:.5f}{note}"
        )

    rows = [
        row(names[0], image, forward, "nanodrr forward"),
        row(names[1], jacobian, backward, "nanodrr forward + backward"),
        row(names[2], image, joseph, "RTK Joseph"),
        row(names[3], jacobian, differences, f"RTK Joseph x {rtk_peer.IMAGES_FOR_A_JACOBIAN}"),
    ]
    lines = {
        "ours, image": image,
        "ours, image + Jacobian": jacobian,
        "nanodrr, forward": forward,
        "nanodrr, forward + backward": backward,
        "RTK, image": joseph,
        f"RTK, image x {rtk_peer.IMAGES_FOR_A_JACOBIAN}": differences,
    }
    return Measured(rows, {FIGURE: {line: [(pixels**2, float(np.median(times)))] for line, times in lines.items()}})


def _compiled(setting: Setting, name: str, tell: Tell) -> Measured:
    """nanodrr names torch.compile as its fastest mode; compiling is not counted."""
    camera, pose = setting.camera(COMPILED_AT), setting.pose
    samples, *_ = nanodrr_peer.samples_for_step(setting.volume, camera, pose)
    peer = "nanodrr forward + backward, torch.compile"
    try:
        nanodrr = nanodrr_peer.Renderer(setting.subject, setting.volume, [camera], pose, samples, compiled=True)
        nanodrr.forward_backward()
    except Exception as error:  # whatever a compiler may raise: none installed, a version that it does not know
        reason = f"torch.compile does not work here ({type(error).__name__})"
        return Measured([compared(name, "ms", [], [], peer, failed=reason)])
    tell(0.6)
    ours, theirs = alternated(
        [lambda: setting.projector.render(camera, pose, jacobian=True), nanodrr.forward_backward], 7
    )
    return Measured([compared(name, "ms", ours, theirs, peer, paired=True)])


def ncc(a: np.ndarray, b: np.ndarray) -> float:
    """Of two images."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
