"""Cameras from beads of known places in the X-rays themselves, also those of a case's marker, and the file that has those."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, Show, naming, unseen
from ...geometry.bead_cameras import ALL, KNOWN, Bundle, Observation, bundle, free_intrinsics
from ...geometry.bead_match import LIKELY_DISTANCES, Match, is_flat, match_beads, match_near
from ...geometry.camera import Camera, check_size
from ...imaging.beads import Bead, find_beads
from ...imaging.field import find_field
from ...imaging.reading import RawImage, raw_image
from ...imaging.xray import XRay, load_image, to_line_integrals
from ..files import JsonObject, json_text
from ..points import BeadModel, read_bead_model
from ..view_record import FIXED_TO, ViewRecord, read_uncertainty
from .calibrated import CalibratedView

#: What marks the file of `to_json`.
FORMAT = "mvreg cameras"


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
    sd_px
        Rms standard deviation of where it shows points within 80 mm of the model.
    beads
        Those of the model.
    missing_pixels
        Where beads of the model should be that were not found, (2,) by their names.
    others
        (k, 2) pixels of what looked like beads and is none of the model's.
    line_integrals
        (rows, columns) of the image, None where the camera was read from a file.
    """

    name: str
    camera: Camera
    uncertainty: dict[str, float]
    residual_px: float
    sd_px: float
    beads: tuple[SeenBead, ...] = ()
    missing_pixels: Mapping[str, np.ndarray] = field(default_factory=dict)
    others: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    line_integrals: np.ndarray | None = field(default=None, repr=False)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of beads of the model that were not found."""
        return tuple(self.missing_pixels)

    def to_json(self) -> dict[str, Any]:
        """Return the camera as an entry of `views` in a file of cameras."""
        of_bead = ("name", "pixel", "residual_px")
        return {
            "name": self.name,
            "projection_matrix": self.camera.projection_matrix,
            "camera": self.camera,
            "size": self.camera.size,
            **self.uncertainty,
            "residual_px": self.residual_px,
            "sd_px": self.sd_px,
            "beads": [{key: getattr(bead, key) for key in of_bead} for bead in self.beads],
            "missing": self.missing,
            "others": self.others,
        }


def cameras_json(cameras: Sequence[BeadCamera], model_file: str, intrinsics: str) -> str:
    """Return the file of cameras, in the frame of the model, that `read_cameras` reads."""
    content = {
        "format": FORMAT,
        "version": 1,
        "model": model_file,
        "intrinsics": intrinsics,
        "views": cameras,
    }
    return json_text(content)


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


#: Diameters of beads, mm, and by how much the image magnifies them at most.
DIAMETERS_MM = (1.0, 10.0)
MAX_MAGNIFICATION = 2.5
#: Radii of beads in an image of unknown pixel size: least, px, and largest, as a share of it.
MIN_RADIUS_PX = 1.3
MAX_RADIUS_SHARE = 0.03
#: Beads, in numbers of the model's, that are looked at in an image.
MAX_BEADS = 4


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
    else:
        if isinstance(image, str | os.PathLike):
            raw = load_image(os.fspath(image))
            intensity = intensity or "auto"
        else:
            raw = image if isinstance(image, RawImage) else raw_image(np.asarray(image), None)
        everything = np.ones(raw.values.shape[:2], bool)
        xray = to_line_integrals(raw, intensity or "linear", valid=everything)
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


INTRINSICS = ("free", "shared", "known")
#: Distances from the source, mm, between which a model in mm lies.
LIKELY_DEPTH_MM = (150.0, 3000.0)
#: Images of a flat model from which intrinsics that they share can be found (Zhang, 2000).
FLAT_IMAGES = 3
#: Chance to take the larger residuals of two matches that name the beads alike for the worse ones;
#: of 640 models of 6 to 15 beads, 4 to 12 mm to each side of their middle, 0 were mirrored so.
CHANCE = 1e-3
#: Share of the work that finds beads; the rest names them.
FINDING_SHARE = 0.6


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
    progress: Show = unseen,
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

    Raises
    ------
    InputError
        Beginning with the name of the image or the file of the model: for beads that are too few,
        in one plane with free intrinsics, on a line, in another unit than mm, not those of the
        model, or fit by several poses; for a mirrored image where it is said not to be.
    """
    names = [f"view{n + 1}" for n in range(len(images))] if names is None else list(names)
    given: list[Camera | None] = [None] * len(images) if cameras is None else list(cameras)
    if isinstance(model, str | os.PathLike):
        model = read_bead_model(model)
    if intrinsics not in INTRINSICS:
        raise InputError(
            f'intrinsics: found "{intrinsics}", expected one of {", ".join(INTRINSICS)}; choose one.'
        )
    _check_question(model, names, intrinsics, given, mirrored)
    seen: list[BeadImage] = []
    for number, (image, name) in enumerate(zip(images, names, strict=True)):
        progress(FINDING_SHARE * number / len(images), name)
        with naming(name):
            if not isinstance(image, BeadImage):
                image = find_in_image(image, len(model.points), intensity, pixel_mm)
        seen.append(image)
    matches = []
    for number, (shown, name) in enumerate(zip(seen, names, strict=True)):
        progress(FINDING_SHARE + (1 - FINDING_SHARE) * number / len(images), name)
        with naming(name):
            guess = given[number]
            tried = [guess] if guess else _guesses(shown.xray, pixel_mm, distance_mm, mirrored)
            candidates = _matches(model, shown, tried, intrinsics)
            matches.append(_clear_match(model, shown.beads, candidates))
    progress(1.0, "cameras")
    fit = _fitted(model, seen, matches, intrinsics, given)
    for name, camera in zip(names, fit.cameras, strict=True):
        _check_scale(model, name, camera)
    return [_bead_camera(model, each, fit, n, matches[n], seen[n]) for n, each in enumerate(names)]


def _check_question(
    model: BeadModel,
    names: Sequence[str],
    intrinsics: str,
    cameras: Sequence[Camera | None],
    mirrored: bool | None,
) -> None:
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
    if is_flat(model.points) and mirrored is None and not all(cameras):
        raise InputError(
            f"{model.file}: has its beads in one plane, which a mirrored image shows as another "
            "pose; say whether the images are mirrored (--mirrored yes or no)."
        )


def _guesses(
    xray: XRay, pixel_mm: float | None, distance_mm: float | None, mirrored: bool | None
) -> list[Camera]:
    """Return cameras of likely intrinsics at no pose, mirrored and not."""
    rows, columns = xray.line_integrals.shape
    pixel = pixel_mm or (xray.pixel_mm and min(xray.pixel_mm))
    widths = [max(rows, columns) * each for each in LIKELY_DISTANCES]
    focal = [distance_mm / pixel] if distance_mm and pixel else widths
    signs = [1, -1]
    if mirrored is not None:
        signs = [-1 if mirrored else 1]
    guesses = []
    for distance in focal:
        for sign in signs:
            K = np.diag([sign * distance, distance, 1.0])
            K[:2, 2] = (columns - 1) / 2, (rows - 1) / 2
            guesses.append(Camera(K, np.eye(4), (columns, rows)))
    return guesses


def _matches(
    model: BeadModel, seen: BeadImage, tried: Sequence[Camera], intrinsics: str
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
    if seen.near is not None:
        near = match_near(model.points, pixels, seen.near, sd, free_intrinsics=free)
        if near is not None:
            return [near]
    signs = {bool(each.intrinsics[0, 0] < 0) for each in tried}
    flat = is_flat(model.points)
    # A mirrored image fits nearly as well at another pose: which it is shows only beside the other.
    both = [*tried, *(_flipped(each) for each in tried)] if len(signs) == 1 and not flat else tried
    found = match_beads(model.points, pixels, both, sd, free_intrinsics=free)
    said = [match for match in found if bool(match.camera.intrinsics[0, 0] < 0) in signs]
    if not said:
        raise InputError(
            f"is {'not ' * signs.pop()}mirrored by its beads, but its geometry says otherwise; "
            "correct that, or the image."
        )
    return said


def _flipped(camera: Camera) -> Camera:
    """Return the camera of the mirrored image."""
    return replace(camera, intrinsics=camera.intrinsics * [[-1, 1, 1], [1, 1, 1], [1, 1, 1]])


def _fitted(
    model: BeadModel,
    images: Sequence[BeadImage],
    matches: Sequence[Match],
    intrinsics: str,
    given: Sequence[Camera | None],
) -> Bundle:
    """Return the cameras that fit what is matched, with intrinsics that `given` says as well as `intrinsics`."""
    seen = []
    for image, match in zip(images, matches, strict=True):
        beads = [image.beads[n] for n in match.bead]
        pixels = np.array([bead.pixel for bead in beads])
        sd_px = np.array([bead.sd_px for bead in beads])
        seen.append(Observation(model.points[match.model], pixels, sd_px))
    cameras = [match.camera for match in matches]
    if intrinsics == "known":
        return bundle(seen, cameras, KNOWN)
    # What little is known of intrinsics is known of those tried, not of those that a match found.
    cameras = [
        camera if guess is None else replace(camera, intrinsics=guess.intrinsics)
        for camera, guess in zip(cameras, given, strict=True)
    ]
    return bundle(seen, cameras, free_intrinsics(cameras[0].size, shared=intrinsics == "shared"))


def _clear_match(model: BeadModel, beads: list[Bead], matches: Sequence[Match]) -> Match:
    """Return the best match of an image.

    Raises
    ------
    InputError
        Where another fits about as well: names a bead that may be one or another, or what else
        differs.
    """
    best, *others = matches
    for other in others:
        named = dict(zip(other.bead.tolist(), other.model.tolist(), strict=True))
        for bead, first in zip(best.bead.tolist(), best.model.tolist(), strict=True):
            if named.get(bead, first) == first:
                continue
            column, row = beads[bead].pixel
            raise InputError(
                f"fits the model in {len(matches)} ways about equally well: the bead at column "
                f'{column:.0f}, row {row:.0f} may be "{model.names[first]}" or '
                f'"{model.names[named[bead]]}"; show more of the model, or say whether the image '
                "is mirrored."
            )
        if not _is_worse(other, best):
            raise InputError(
                "fits the model about equally well mirrored and not, as that is small or far away; "
                "say whether the image is mirrored (--mirrored yes or no)."
            )
    return best


def _is_worse(match: Match, best: Match) -> bool:
    """Return whether residuals are larger than those of the best match by more than chance (F test)."""
    from scipy.stats import f

    freedom = (2 * len(each.model) - ALL for each in (match, best))
    return bool(match.rms_px**2 > f.isf(CHANCE, *freedom) * best.rms_px**2)


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
    model: BeadModel, name: str, fit: Bundle, number: int, match: Match, image: BeadImage
) -> BeadCamera:
    residuals = fit.residuals[number]
    beads = image.beads
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
        seen,
        {
            each: pixel
            for each, pixel in zip(model.names, fit.cameras[number].project(model.points))
            if each not in matched
        },
        np.array(others).reshape(-1, 2),
        image.xray.line_integrals,
    )


def with_marker_cameras(file: str, views: Sequence[ViewRecord]) -> list[ViewRecord]:
    """Return the views with the cameras that the marker in their images shows.

    Views of which none names a file of beads stay as they are. A camera that a view gives beside
    its marker says whether the image is mirrored, and about how far the detector is.

    Raises
    ------
    InputError
        Beginning with `file`: where some views have no marker, or another one, and as
        `calibrate_from_beads`.
    """
    models = {view.marker_model.path.resolve() for view in views if view.marker_model}
    if not models:
        return list(views)
    without = [view.name for view in views if view.marker_model is None]
    if without:
        raise InputError(
            f'{file}: view "{without[0]}" has no marker and others have one, expected it in every '
            "view, as their cameras share its frame; add it, or remove it from the others."
        )
    if len(models) > 1:
        raise InputError(
            f"{file}: the views have {len(models)} models of a marker, expected one, as its frame "
            "is the world of all; write the beads into one file."
        )
    asked = tuple(
        (view.name, view.image_path, view.frame, view.intensity, _hint(view)) for view in views
    )
    paths = (*models, *(view.image_path for view in views))
    with naming(file):
        cameras = _cameras(models.pop(), asked, tuple(path.stat().st_mtime_ns for path in paths))
    return [
        replace(
            view,
            geometry=camera.camera,
            uncertainty={**camera.uncertainty, **view.uncertainty},
            geometry_field=f"{file}: views[{number}].marker",
            assumptions=(*view.assumptions, *bead_assumptions(camera, view.marker)),
            marker_model=None,
        )
        for number, (view, camera) in enumerate(zip(views, cameras, strict=True))
    ]


def bead_origin(camera: BeadCamera) -> str:
    """Return where a camera comes from, in a few words."""
    return f"{len(camera.beads)} beads, {camera.residual_px:.2f} px"


def bead_assumptions(camera: BeadCamera, fixed_to: str) -> tuple[str, ...]:
    """Return where a camera comes from and what is assumed of it, a sentence each.

    Parameters
    ----------
    fixed_to
        One of FIXED_TO.
    """
    sentence = (
        f"The camera comes from {len(camera.beads)} beads in the image, which it shows "
        f"{camera.residual_px:.2f} px off."
    )
    return sentence, FIXED_TO[fixed_to]


def _hint(view: ViewRecord) -> tuple[tuple[float, ...], tuple[int, int]] | None:
    """Return intrinsics and size of the camera that a view gives beside its marker."""
    camera = None if view.has_gaps else view.own_camera
    return None if camera is None else (tuple(camera.intrinsics.ravel().tolist()), camera.size)


@lru_cache(maxsize=8)
def _cameras(model: Path, asked: tuple, changed: tuple[int, ...]) -> list[BeadCamera]:
    """Return the cameras of the images; `changed`, when the files were, keeps them apart in memory."""
    names = []
    images = []
    hints = []
    for name, path, frame, intensity, hint in asked:
        names.append(name)
        images.append(to_line_integrals(load_image(path, frame), intensity))
        known = hint and Camera(np.reshape(hint[0], (3, 3)), np.eye(4), hint[1])
        hints.append(known)
    return calibrate_from_beads(images, read_bead_model(model), names=names, cameras=hints)
