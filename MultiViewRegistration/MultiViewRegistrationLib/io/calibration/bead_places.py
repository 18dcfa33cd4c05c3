"""The places of beads, found with the cameras of the X-rays that show them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import InputError, naming
from ...geometry.bead_cameras import (
    KNOWN,
    Bundle,
    Intrinsics,
    Observation,
    RoughShape,
    bundle,
    free_intrinsics,
)
from ...geometry.bead_match import MIN_MATCHED, Match, match_beads
from ...geometry.bead_shape import LEAST_IMAGES, first_shape, joined, least_apart_deg, places_of
from ...geometry.c_arm import CArm
from ...geometry.camera import Camera
from ...geometry.fields import C_ARM
from ...imaging.beads import Bead
from ...imaging.reading import RawImage
from ..bead_model import BeadModel, UnknownBeads
from ..view_headers import read_c_arm

#: Of what is known of a model's places, the share that may remain unknown.
ROUGH_SHARE = 0.5
#: Mm to which the first three images show places, and degrees between images without which they
#: do not.
UNKNOWN_ROUGH_MM, MIN_APART_DEG = 1.0, 10.0
#: What messages call a model that nobody measured.
UNKNOWN_FILE = "beads"
#: What must be known of a C-arm, and the options that say it; and about the share of the distance
#: from source to detector at which its isocentre lies.
ASKED = {
    "rao_lao_deg": "--angles",
    "cra_cau_deg": "--angles",
    "source_to_detector_mm": "--source-to-detector-mm",
    "pixel_mm": "--pixel-mm",
}
ISOCENTRE_SHARE = 0.6


def flipped(camera: Camera) -> Camera:
    """Return the camera of the mirrored image."""
    return replace(camera, intrinsics=camera.intrinsics * [[-1, 1, 1], [1, 1, 1], [1, 1, 1]])


def fitted(
    model: BeadModel,
    found: Sequence[list[Bead]],
    matches: Sequence[Match],
    intrinsics: str,
    given: Sequence[Camera | None],
    rough_mm: float | None = None,
    scale_sd: float | None = None,
) -> Bundle:
    """Return the cameras, and the places where these are known roughly, that fit what is matched.

    Parameters
    ----------
    given
        Cameras of which the intrinsics are known as well as `intrinsics` says, or None.
    rough_mm, scale_sd
        Of `RoughShape`; None for places that are known.
    """
    seen = [
        _observed(model.points, beads, match, rough_mm is not None)
        for beads, match in zip(found, matches, strict=True)
    ]
    cameras = [match.camera for match in matches]
    size = cameras[0].size
    free = free_intrinsics(size, shared=intrinsics == "shared")
    how: Intrinsics = KNOWN if intrinsics == "known" else free
    if intrinsics != "known":
        # What little is known of intrinsics is known of those tried, not of those that a match found.
        cameras = [
            camera if guess is None else replace(camera, intrinsics=guess.intrinsics)
            for camera, guess in zip(cameras, given, strict=True)
        ]
    shape = None if rough_mm is None else RoughShape(model.points, rough_mm, scale_sd)
    return bundle(seen, cameras, how, shape)


def _observed(points: np.ndarray, beads: list[Bead], match: Match, rough: bool) -> Observation:
    return Observation(
        points[match.model],
        np.array([beads[n].pixel for n in match.bead]),
        np.array([beads[n].sd_px for n in match.bead]),
        match.model if rough else None,
    )


def measured(
    model: BeadModel,
    names: Sequence[str],
    found: Sequence[list[Bead]],
    fit: Bundle,
    intrinsics: str,
    rough_mm: float,
) -> tuple[BeadModel, list[Match], Bundle]:
    """Return a model that was known roughly as the images show it, and what is matched and fitted with it.

    Raises
    ------
    InputError
        Where an image does not fit it, or they do not show it better than it was known.
    """
    matches = []
    for name, beads, camera in zip(names, found, fit.cameras, strict=True):
        pixels = np.array([bead.pixel for bead in beads])
        sd = np.array([bead.sd_px for bead in beads])
        with naming(name):
            # By its shape as all images show it, so that one that was named wrongly comes right.
            matches += match_beads(fit.points, pixels, [camera], sd, free_intrinsics=False)[:1]
    again = fitted(model, found, matches, intrinsics, fit.cameras, rough_mm)
    if again.point_sd_mm > ROUGH_SHARE * rough_mm:
        raise InputError(
            f"{model.file}: the images show where its beads are to {again.point_sd_mm:.2g} mm, "
            f"expected {ROUGH_SHARE * rough_mm:g} or better; take more of them, from sides further "
            "apart."
        )
    return BeadModel(model.names, again.points, model.file), matches, again


def camera_as_said(path: str | os.PathLike, raw: RawImage, given: Mapping[str, Any]) -> Camera:
    """Return about the camera of an X-ray, as its C-arm's angles and distances say it.

    Parameters
    ----------
    path
        Of the image, whose header may say them.
    given
        What is known beside the header, by the keys of a case.json's c_arm.

    Raises
    ------
    InputError
        For angles, a distance or a pixel size that neither says.
    """
    header = read_c_arm(path, given=dict(given))
    known = {
        "pixel_mm": raw.pixel_mm,
        **(given if header is None else header.values),
        "size": raw.values.shape[::-1],
    }
    for key, option in ASKED.items():
        if known.get(key) is None:
            raise InputError(
                f"its C-arm's {key} is missing, which helps to tell the beads apart; give {option}, "
                "near is enough."
            )
    known.setdefault("source_to_isocentre_mm", ISOCENTRE_SHARE * known["source_to_detector_mm"])
    return CArm(**{key: known[key] for key in C_ARM if key in known}).camera()


def check_unknown(names: Sequence[str], cameras: Sequence[Camera | None]) -> None:
    """Refuse what cannot show the places of beads that nobody measured.

    Raises
    ------
    InputError
        For too few images, one without a camera, and images from nearly the same side.
    """
    if len(names) < LEAST_IMAGES:
        raise InputError(
            f"images: found {len(names)}, expected {LEAST_IMAGES} or more of beads whose places "
            "nobody measured; take more with the same C-arm, from other sides."
        )
    for name, camera in zip(names, cameras, strict=True):
        if camera is None:
            raise InputError(
                f"{name}: its C-arm's angles are missing, which tell the beads apart whose places "
                "nobody measured; give them, near is enough."
            )
    apart = least_apart_deg([camera for camera in cameras if camera])
    if apart < MIN_APART_DEG:
        raise InputError(
            f"images: are {apart:.0f} degrees apart by their C-arm's angles, expected three that are "
            f"{MIN_APART_DEG:g} or more from each other; take them from other sides, or correct the "
            "angles."
        )


def model_shown(
    names: Sequence[str],
    found: Sequence[list[Bead]],
    cameras: Sequence[Camera | None],
    intrinsics: str,
    mirrored: bool | None,
) -> tuple[BeadModel, list[Camera | None]]:
    """Return about where beads are that nobody measured, and the cameras, mirrored as the images are.

    Parameters
    ----------
    cameras
        As the C-arm's angles and distances say.
    mirrored
        Whether the images are, as their cameras say; None where the beads are to show it.

    Raises
    ------
    InputError
        Where one has too few beads, or all have in common.
    """
    for name, beads in zip(names, found, strict=True):
        if len(beads) < MIN_MATCHED:
            raise InputError(
                f"{name}: found {len(beads)} beads, expected {MIN_MATCHED} or more; take the image "
                "again with all of them in its field."
            )
    said = [camera for camera in cameras if camera is not None]
    free = free_intrinsics(said[0].size, shared=True)
    how = KNOWN if intrinsics == "known" else free
    pixels, sds = _seen(found)
    both = [said] if mirrored is not None else [said, [flipped(camera) for camera in said]]
    shapes = [first_shape(pixels, sds, signed, how) for signed in both]
    points, signed = max(zip(shapes, both, strict=True), key=lambda each: len(each[0]))
    if not len(points):
        raise InputError(
            f"images: show fewer than {MIN_MATCHED} beads in common under their C-arm's angles; show "
            "the same beads in all, and check the angles, and that no image was turned or mirrored."
        )
    return _model_of(points), list(signed)


def all_beads(
    unknown: UnknownBeads, found: Sequence[list[Bead]], fit: Bundle, intrinsics: str
) -> tuple[BeadModel, list[Match], Bundle]:
    """Return the beads that three or more images show under cameras, as large as they are, and the cameras."""
    pixels, _ = _seen(found)
    tracks = joined(pixels, fit.cameras)
    points = places_of(tracks, pixels, fit.cameras)
    factor, sd = unknown.scale(points)
    cameras = [_larger(camera, factor) for camera in fit.cameras]
    model = _model_of(factor * points)
    matches = []
    for number, camera in enumerate(cameras):
        own = np.flatnonzero(tracks[:, number] >= 0)
        matches.append(Match(camera, own, tracks[own, number], 0.0))
    again = fitted(model, found, matches, intrinsics, cameras, UNKNOWN_ROUGH_MM, sd)
    return _model_of(again.points), matches, again


def _model_of(points: np.ndarray) -> BeadModel:
    names = tuple(f"B{number}" for number in range(1, len(points) + 1))
    return BeadModel(names, points, UNKNOWN_FILE)


def _seen(found: Sequence[list[Bead]]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return places (n, 2) and their standard deviations (n,) of the beads of each image, px."""
    pixels = [np.array([bead.pixel for bead in beads]).reshape(-1, 2) for beads in found]
    return pixels, [np.array([bead.sd_px for bead in beads]) for beads in found]


def _larger(camera: Camera, factor: float) -> Camera:
    """Return the camera that shows a world that is larger by a factor as this one does the world."""
    pose = camera.camera_from_world.copy()
    pose[:3, 3] *= factor
    return replace(camera, camera_from_world=pose)
