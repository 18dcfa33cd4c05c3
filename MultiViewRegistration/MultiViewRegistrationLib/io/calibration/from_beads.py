"""Cameras from beads of known places in the X-rays themselves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from ...geometry.bead_match import LIKELY_DISTANCES, Match, is_flat, match_beads, match_near
from ...geometry.camera import Camera, check_size
from ...imaging.beads import Bead, find_beads
from ...imaging.field import find_field
from ...imaging.reading import RawImage, raw_image
from ...imaging.xray import XRay, load_image, to_line_integrals
from ..bead_model import BeadModel, read_bead_model
from ..files import JsonObject
from ..view_record import read_uncertainty
from .calibrated import CalibratedView

INTRINSICS = ("free", "shared", "known")
#: What marks the file of `to_json`.
FORMAT = "mvreg cameras"
#: Diameters of beads, mm, and by how much the image magnifies them at most.
DIAMETERS_MM, MAX_MAGNIFICATION = (1.0, 10.0), 2.5
#: Radii of beads in an image of unknown pixel size: least, px, and largest, as a share of it.
MIN_RADIUS_PX, MAX_RADIUS_SHARE = 1.3, 0.03
#: Beads, in numbers of the model's, that are looked at in an image.
MAX_BEADS = 4
#: Distances from the source, mm, between which a model in mm lies.
LIKELY_DEPTH_MM = (150.0, 3000.0)
#: Images of a flat model from which intrinsics that they share can be found (Zhang, 2000), and of
#: a model that is known roughly; of what is known the share that must remain unknown at most then.
FLAT_IMAGES, ROUGH_IMAGES, ROUGH_SHARE = 3, 3, 0.5
#: Mm by which beads may lie elsewhere than a model says that is known roughly.
MAX_ROUGH_MM = 3.0


@dataclass(frozen=True, eq=False)
class BeadImage:
    """An X-ray, and what looks like a bead in it.

    Attributes
    ----------
    xray
        Valid within its field.
    beads
        In any order.
    near
        A camera that shows the model about where the beads are, None where none is known.
    """

    xray: XRay
    beads: list[Bead]
    near: Camera | None = None


Image = str | os.PathLike | np.ndarray | RawImage | XRay | BeadImage


@dataclass(frozen=True, eq=False)
class SeenBead:
    """A bead of the model in an image.

    Attributes
    ----------
    name
        In the model.
    pixel
        (2,) where the image shows it.
    residual_px
        (2,) from there to where the camera shows it.
    radius_px
        Of its outline.
    """

    name: str
    pixel: np.ndarray
    residual_px: np.ndarray
    radius_px: float


@dataclass(frozen=True, eq=False)
class BeadCamera:
    """The camera of one image, from the beads that it shows.

    Attributes
    ----------
    name
        Of the image.
    camera
        In the frame of the model, mm.
    uncertainty
        Standard deviations by their keys in a case.json, as `Bundle.equivalent` has them.
    residual_px
        Weighted rms distance of the beads from where the camera shows them.
    sd_px, bootstrap_sd_px
        Rms standard deviation of where it shows points within 80 mm of the model: by the noise of
        the beads, and by drawing their residuals again at random.
    beads
        Those of the model.
    missing_pixels
        Where beads of the model should be that were not found, (2,) by their names.
    others
        (k, 2) pixels of what looked like beads and is none of the model's.
    line_integrals
        (rows, columns) of the image, None where the camera was read from a file.
    measured
        The model as all images show it, where it was known roughly.
    measured_sd_mm
        Of its least known point, in proportion.
    """

    name: str
    camera: Camera
    uncertainty: dict[str, float]
    residual_px: float
    sd_px: float
    bootstrap_sd_px: float
    beads: tuple[SeenBead, ...] = ()
    missing_pixels: Mapping[str, np.ndarray] = field(default_factory=dict)
    others: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    line_integrals: np.ndarray | None = field(default=None, repr=False)
    measured: BeadModel | None = None
    measured_sd_mm: float = 0.0

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of beads of the model that were not found."""
        return tuple(self.missing_pixels)

    def to_json(self) -> dict[str, Any]:
        """Return the camera as an entry of `views` in a file of cameras."""
        return {
            "name": self.name,
            "projection_matrix": self.camera.projection_matrix.tolist(),
            "camera": self.camera.to_json(),
            "size": list(self.camera.size),
            **self.uncertainty,
            "residual_px": self.residual_px,
            "sd_px": self.sd_px,
            "bootstrap_sd_px": self.bootstrap_sd_px,
            "beads": [
                {
                    "name": bead.name,
                    "pixel": bead.pixel.tolist(),
                    "residual_px": bead.residual_px.tolist(),
                }
                for bead in self.beads
            ],
            "missing": list(self.missing),
            "others": self.others.tolist(),
        }


def calibrate_from_beads(
    images: Sequence[Image],
    model: BeadModel | str | os.PathLike,
    *,
    names: Sequence[str] | None = None,
    intrinsics: str = "free",
    cameras: Sequence[Camera | None] | None = None,
    intensity: str | None = None,
    pixel_mm: float | None = None,
    distance_mm: float | None = None,
    mirrored: bool | None = None,
    rough_mm: float | None = None,
    progress: Callable[[float, str], object] = lambda fraction, stage: None,
) -> list[BeadCamera]:
    """Return the camera of each image, from the beads of a model that it shows.

    Parameters
    ----------
    images
        Paths, X-rays, arrays (rows, columns) of detected intensity with bone dark, or what
        `find_in_image` found.
    model
        Of beads, or its file.
    names
        Of the images; by default view1, view2, ...
    intrinsics
        "free": principal point and distance are found for each image; "shared": for all together;
        "known": they are those of `cameras`.
    cameras
        For each image a camera, whose intrinsics are near the truth, or None.
    intensity
        As of `to_line_integrals`; by default "linear" of an array, "auto" of a file.
    pixel_mm, distance_mm
        Of the detector, and from the source to it, if they are known.
    mirrored
        Whether the images are stored mirrored, if it is known; a model that is not flat shows it.
    rough_mm
        Standard deviation of the beads' places along each axis where these are known roughly, None
        for exact. They are found together with the cameras then, from three or more images with
        the same intrinsics. No image shows how large the model is: on the whole it stays as it is.

    Raises
    ------
    InputError
        Beginning with the name of the image or the file of the model: for beads that are too few,
        in one plane with free intrinsics, on a line, in another unit than mm, not those of the
        model, or fit by several poses; for a mirrored image where it is said not to be.
    """
    model = model if isinstance(model, BeadModel) else read_bead_model(model)
    names = [f"view{n + 1}" for n in range(len(images))] if names is None else list(names)
    given = [None] * len(images) if cameras is None else list(cameras)
    if rough_mm is not None and intrinsics == "free":
        intrinsics = "shared"
    _check_question(model, names, intrinsics, given)
    _check_roughness(names, rough_mm)
    if is_flat(model.points) and mirrored is None and not all(given):
        raise InputError(
            f"{model.file}: has its beads in one plane, which a mirrored image shows as another "
            "pose; say whether the images are mirrored (--mirrored yes or no)."
        )
    xrays, found, candidates_of = [], [], []
    for number, (image, name) in enumerate(zip(images, names, strict=True)):
        progress(number / len(images), name)
        with naming(name):
            seen = (
                image
                if isinstance(image, BeadImage)
                else find_in_image(image, len(model.points), intensity, pixel_mm)
            )
            guess = given[number]
            tried = [guess] if guess else _guesses(seen.xray, pixel_mm, distance_mm, mirrored)
            candidates = _matches(model, seen, tried, intrinsics, rough_mm or 0.0)
            if rough_mm is None:
                _check_ambiguity(model, seen.beads, candidates)
        xrays.append(seen.xray)
        found.append(seen.beads)
        candidates_of.append(candidates)
    progress(1.0, "cameras")
    matches = [each[0] for each in candidates_of]
    if rough_mm is not None:
        matches = _alike_mirrored(names, candidates_of)
    fit = _fit(model, found, matches, intrinsics, given, rough_mm)
    if rough_mm is not None:
        model, matches, fit = _measured(model, names, found, fit, intrinsics, rough_mm)
    for number, name in enumerate(names):
        _check_scale(model, name, fit.cameras[number])
    found_cameras = [
        _bead_camera(model, name, fit, number, found[number], matches[number], xrays[number])
        for number, name in enumerate(names)
    ]
    if rough_mm is None:
        return found_cameras
    return [replace(each, measured=model, measured_sd_mm=fit.point_sd_mm) for each in found_cameras]


def _check_question(
    model: BeadModel, names: Sequence[str], intrinsics: str, cameras: Sequence[Camera | None]
) -> None:
    if intrinsics not in INTRINSICS:
        raise InputError(
            f'intrinsics: found "{intrinsics}", expected one of {", ".join(INTRINSICS)}; choose one.'
        )
    if not names:
        raise InputError("images: found none, expected one or more X-rays; give some.")
    if intrinsics == "known" and not all(cameras):
        raise InputError(
            "intrinsics: are said to be known, but no camera has them; give a camera for each image."
        )
    enough = intrinsics == "known" or (intrinsics == "shared" and len(names) >= FLAT_IMAGES)
    if is_flat(model.points) and not enough:
        raise InputError(
            f"{model.file}: has its beads in one plane, which leaves the distance of the source "
            f"open; use a model with depth, {FLAT_IMAGES} or more images with shared intrinsics, or "
            "known intrinsics."
        )


def _check_roughness(names: Sequence[str], rough_mm: float | None) -> None:
    if rough_mm is None:
        return
    if not 0 < rough_mm <= MAX_ROUGH_MM:
        raise InputError(
            f"rough_mm: found {rough_mm:g}, expected more than 0 and at most {MAX_ROUGH_MM:g} mm; "
            "measure the beads' places anew, by a ruler."
        )
    if len(names) < ROUGH_IMAGES:
        raise InputError(
            f"images: found {len(names)}, expected {ROUGH_IMAGES} or more of a model that is known "
            "roughly, as fewer do not show its shape beside their cameras; take more, from other "
            "sides."
        )


def find_in_image(
    image: Image, count: int, intensity: str | None = None, pixel_mm: float | None = None
) -> BeadImage:
    """Return an image with its beads, those that stop most of the radiation first.

    Parameters
    ----------
    image, intensity, pixel_mm
        As of `calibrate_from_beads`.
    count
        Of the beads in the model.
    """
    xray = _xray(image, intensity)
    return BeadImage(xray, _beads(xray, count, pixel_mm))


def _xray(image: Image, intensity: str | None) -> XRay:
    """Return the image as line integrals, all of its field valid."""
    if isinstance(image, XRay):
        xray = image
    elif isinstance(image, str | os.PathLike):
        xray = to_line_integrals(load_image(os.fspath(image)), intensity or "auto")
    else:
        raw = image if isinstance(image, RawImage) else raw_image(np.asarray(image), None)
        xray = to_line_integrals(raw, intensity or "linear")
    # Beads may be the darkest thing of all, as burned-in letters are, and those are left out.
    return replace(xray, valid=find_field(xray.line_integrals))


def _beads(xray: XRay, count: int, pixel_mm: float | None) -> list[Bead]:
    pixel = pixel_mm or (xray.pixel_mm and min(xray.pixel_mm))
    size = max(xray.line_integrals.shape)
    if pixel:
        low, high = np.array(DIAMETERS_MM) / 2 / pixel
        radii = max(MIN_RADIUS_PX, low), max(2 * MIN_RADIUS_PX, MAX_MAGNIFICATION * high)
    else:
        radii = MIN_RADIUS_PX, max(2 * MIN_RADIUS_PX, MAX_RADIUS_SHARE * size)
    radii = radii[0], min(radii[1], size / 8)
    return find_beads(xray.line_integrals, xray.valid, radii)[: MAX_BEADS * count]


def _guesses(
    xray: XRay, pixel_mm: float | None, distance_mm: float | None, mirrored: bool | None
) -> list[Camera]:
    """Return cameras of likely intrinsics at no pose, mirrored and not."""
    rows, columns = xray.line_integrals.shape
    pixel = pixel_mm or (xray.pixel_mm and min(xray.pixel_mm))
    widths = [max(rows, columns) * each for each in LIKELY_DISTANCES]
    focal = [distance_mm / pixel] if distance_mm and pixel else widths
    signs = (1, -1) if mirrored is None else (-1,) if mirrored else (1,)
    guesses = []
    for distance in focal:
        for sign in signs:
            K = np.diag([sign * distance, distance, 1.0])
            K[:2, 2] = (columns - 1) / 2, (rows - 1) / 2
            guesses.append(Camera(K, np.eye(4), (columns, rows)))
    return guesses


def _matches(
    model: BeadModel,
    seen: BeadImage,
    tried: Sequence[Camera],
    intrinsics: str,
    rough_mm: float,
) -> list[Match]:
    """Return the matches of an image's beads, more than one where it is ambiguous.

    Raises
    ------
    InputError
        Where none fits, or the image is mirrored and its geometry is not, or the other way round.
    """
    pixels = np.array([bead.pixel for bead in seen.beads]).reshape(-1, 2)
    sd = np.array([bead.sd_px for bead in seen.beads])
    free = intrinsics != "known"
    if seen.near is not None and not rough_mm:
        near = match_near(model.points, pixels, seen.near, sd, free_intrinsics=free)
        if near is not None:
            return [near]
    signs = {bool(each.intrinsics[0, 0] < 0) for each in tried}
    flat = is_flat(model.points)
    # A mirrored image fits nearly as well at another pose: which it is shows only beside the other.
    both = [*tried, *(_flipped(each) for each in tried)] if len(signs) == 1 and not flat else tried
    found = match_beads(model.points, pixels, both, sd, free_intrinsics=free, rough_mm=rough_mm)
    said = [match for match in found if bool(match.camera.intrinsics[0, 0] < 0) in signs]
    if not said:
        raise InputError(
            f"is {'not ' * signs.pop()}mirrored by its beads, but its geometry says otherwise; "
            "correct that, or the image."
        )
    return said


def _check_ambiguity(model: BeadModel, beads: list[Bead], matches: Sequence[Match]) -> None:
    """Refuse an image that fits a model in several ways.

    Raises
    ------
    InputError
        Names a bead that may be one or another.
    """
    if len(matches) == 1:
        return
    best, other = matches[:2]
    by_bead = dict(zip(other.bead.tolist(), other.model.tolist(), strict=True))
    pairs = zip(best.bead.tolist(), best.model.tolist(), strict=True)
    bead, first = next(
        (each for each in pairs if by_bead.get(each[0], each[1]) != each[1]),
        (int(best.bead[0]), int(best.model[0])),
    )
    column, row = beads[bead].pixel
    raise InputError(
        f"fits the model in {len(matches)} ways about equally well: the bead at column "
        f'{column:.0f}, row {row:.0f} may be "{model.names[first]}" or '
        f'"{model.names[by_bead.get(bead, first)]}"; show more of the model, or say whether '
        "the image is mirrored."
    )


def _alike_mirrored(names: Sequence[str], candidates_of: Sequence[Sequence[Match]]) -> list[Match]:
    """Return the best match of each image under which all are mirrored, or none, as most are.

    Raises
    ------
    InputError
        Names an image that has none.
    """
    mirrored = [each[0].camera.intrinsics[0, 0] < 0 for each in candidates_of]
    most, matches = 2 * sum(mirrored) > len(mirrored), []
    for name, candidates in zip(names, candidates_of, strict=True):
        alike = [one for one in candidates if (one.camera.intrinsics[0, 0] < 0) == most]
        if not alike:
            raise InputError(
                f"{name}: is {'not ' * most}mirrored by its beads, unlike the others, expected "
                "images of one C-arm; leave it out, or store it as the others are."
            )
        matches.append(alike[0])
    return matches


def _flipped(camera: Camera) -> Camera:
    return replace(camera, intrinsics=camera.intrinsics * [[-1, 1, 1], [1, 1, 1], [1, 1, 1]])


def _fit(
    model: BeadModel,
    found: Sequence[list[Bead]],
    matches: Sequence[Match],
    intrinsics: str,
    given: Sequence[Camera | None],
    rough_mm: float | None,
) -> Bundle:
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
    shape = None if rough_mm is None else RoughShape(model.points, rough_mm)
    return bundle(seen, cameras, how, shape)


def _observed(points: np.ndarray, beads: list[Bead], match: Match, rough: bool) -> Observation:
    return Observation(
        points[match.model],
        np.array([beads[n].pixel for n in match.bead]),
        np.array([beads[n].sd_px for n in match.bead]),
        match.model if rough else None,
    )


def _measured(
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
    again = _fit(model, found, matches, intrinsics, fit.cameras, rough_mm)
    if again.point_sd_mm > ROUGH_SHARE * rough_mm:
        raise InputError(
            f"{model.file}: is known to {rough_mm:g} mm, and the images show it no better than to "
            f"{again.point_sd_mm:.2g} mm; take more of them, from sides further apart."
        )
    return BeadModel(model.names, again.points, model.file), matches, again


def _check_scale(model: BeadModel, name: str, camera: Camera) -> None:
    depth = float(camera.depth(model.points.mean(axis=0)))
    low, high = LIKELY_DEPTH_MM
    if low <= depth <= high:
        return
    unit = "inches or cm" if depth < low else "another unit"
    raise InputError(
        f"{model.file}: would lie {depth:.0f} mm from the source of {name}, expected {low:g} to "
        f"{high:g}; its coordinates look as if they were in {unit}: give them in mm."
    )


def _bead_camera(
    model: BeadModel,
    name: str,
    fit: Bundle,
    number: int,
    beads: list[Bead],
    match: Match,
    xray: XRay,
) -> BeadCamera:
    residuals = fit.residuals[number]
    seen = tuple(
        SeenBead(model.names[place], beads[bead].pixel, residual, beads[bead].radius_px)
        for place, bead, residual in zip(match.model, match.bead, residuals, strict=True)
    )
    matched = {bead.name for bead in seen}
    others = [bead.pixel for n, bead in enumerate(beads) if n not in set(match.bead.tolist())]
    return BeadCamera(
        name,
        fit.cameras[number],
        fit.equivalent(number),
        fit.rms_px[number],
        fit.sd_px(number),
        fit.bootstrap_sd_px(number),
        seen,
        {
            each: pixel
            for each, pixel in zip(model.names, fit.cameras[number].project(model.points))
            if each not in matched
        },
        np.array(others).reshape(-1, 2),
        xray.line_integrals,
    )


def cameras_json(cameras: Sequence[BeadCamera], model: BeadModel, intrinsics: str) -> str:
    """Return the file of cameras, in the frame of the model, that `read_cameras` reads."""
    content = {
        "format": FORMAT,
        "version": 1,
        "model": model.file,
        "intrinsics": intrinsics,
        "views": [camera.to_json() for camera in cameras],
    }
    return json.dumps(content, indent=1) + "\n"


def read_cameras(content: dict, file: str) -> list[CalibratedView]:
    """Return the views of a file of cameras."""
    views = []
    for entry in JsonObject(file, "", content).sections("views", "a list of one or more views"):
        section = entry.section("camera")
        camera = Camera(
            section.array("intrinsics", (3, 3), "3 rows of 3 numbers"),
            section.array("camera_from_world", (4, 4), "4 rows of 4 numbers"),
            check_size(section.array("size", (2,), "[columns, rows]")),
        )
        views.append(
            CalibratedView(
                entry.text("name", "a name for the view"),
                camera.projection_matrix,
                camera.size,
                camera,
                uncertainty=read_uncertainty(entry, "camera"),
            )
        )
    return views
