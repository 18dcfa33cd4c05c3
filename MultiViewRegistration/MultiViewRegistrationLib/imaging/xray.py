"""X-ray images: readers, line integrals with a mask of valid pixels, and views (X-rays with cameras)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from ..errors import InputError, naming
from ..geometry.camera import Camera
from ..geometry.fields import PRESUMED, SLOT_SCAN_UNCERTAINTY
from ..geometry.machines import CArm
from ..known import without_none
from .burned_in import BurnedIn, find_burned_in
from .dicom_file import DicomFile, read_dicom
from .field import block_sums, bone_is_bright, continued, find_annotations, find_field, hull
from .image_source import check_room
from .reading import RawImage, StoredImage, raw_image, read_image, read_slice

MIN_VALID_SHARE = 0.7  # of a block of pixels, for their mean to stand for it
DIRECT_EXPOSURE_PERCENTILE = 99.5
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
#: World mm mirrored left to right.
MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])
MIN_TRANSMISSION = 1e-5  # of direct exposure: the smallest transmission above zero


@dataclass(frozen=True, eq=False)
class XRay:
    """An X-ray image as the registration uses it.

    Attributes
    ----------
    line_integrals
        float32 (rows, columns), `-log(I / I0)`, bone bright; finite everywhere, but meaningless
        where not valid.
    valid
        bool (rows, columns), True where the image shows the patient or air.
    pixel_mm
        (between columns, between rows) on the detector, None where unknown; of a slot scan at the
        isocentre.
    burned_in
        Text and frame detected in the image and blanked in `line_integrals`; None if they were not
        searched for.
    """

    line_integrals: np.ndarray = field(repr=False)
    valid: np.ndarray = field(repr=False)
    pixel_mm: tuple[float, float] | None = None
    burned_in: BurnedIn | None = field(default=None, repr=False)

    def pooled(self, factor: int) -> XRay:
        """Return means over blocks of `factor` x `factor` pixels, of the valid ones.

        A block is valid if 70 % of its pixels are valid.

        Rows and columns beyond the last whole block are omitted, as in `Camera.pooled`. A block
        with no valid pixel is 0.
        """
        if factor == 1:
            return self
        weight = self.valid.astype(np.float32)
        total = block_sums(self.line_integrals * weight, factor)
        count = block_sums(weight, factor)
        pixel_mm = self.pixel_mm and (factor * self.pixel_mm[0], factor * self.pixel_mm[1])
        return XRay(total / np.maximum(count, 1), count >= MIN_VALID_SHARE * factor**2, pixel_mm)


def load_image(path: str | Path, frame: int | None = None) -> RawImage:
    """Read one frame of a grey image: DICOM (MONOCHROME1 or 2), PNG, TIFF, MHA, NRRD, NIfTI, ...

    Other frames of a DICOM file are not decoded. A colour image with equal channels is grey.

    Raises
    ------
    InputError
        As `load_xray`.
    """
    dicom = _grey_dicom(path)
    if dicom is not None:
        from .dicom_image import dicom_image

        return dicom_image(dicom, frame)
    index = frame or 0
    image, count = read_slice(path, index)
    frames = _frames(path, image)
    if not 0 <= index < count:
        raise InputError(
            f"{path}: frame {index} was requested, but it has {count}; give a frame from 0 to "
            f"{count - 1}."
        )
    return _raw_frame(path, image, frames[0])


def load_frames(path: str | Path) -> list[RawImage]:
    """Read all frames of a grey image, one for a still image.

    Raises
    ------
    InputError
        As `load_image`.
    """
    dicom = _grey_dicom(path)
    if dicom is not None:
        from .dicom_image import dicom_image, frame_count

        count = frame_count(dicom)
        check_room(
            path, f"{count} frames", 8 * count * dicom.whole("Rows") * dicom.whole("Columns")
        )  # as float32, and what they come from
        return [dicom_image(dicom, frame) for frame in range(count)]
    image = read_image(path)
    return [_raw_frame(path, image, values) for values in _frames(path, image)]


def count_frames(path: str | Path) -> int:
    """Return the number of frames of an image, 1 for a still image.

    Raises
    ------
    InputError
        As `load_image`.
    """
    dicom = _grey_dicom(path)
    if dicom is not None:
        from .dicom_image import frame_count

        return frame_count(dicom)
    image, count = read_slice(path, 0)
    _frames(path, image)
    return count


def _grey_dicom(path: str | Path) -> DicomFile | None:
    """Return the DICOM file with one value per pixel; None for files that are read by SimpleITK."""
    dicom = read_dicom(path)
    if not dicom:
        return None
    from .dicom_image import is_grey

    return dicom if is_grey(dicom) else None


def _frames(path: str | Path, image: StoredImage) -> np.ndarray:
    """Return the frames (frames, rows, columns), with an additional axis for colours."""
    dimensions = len(image.size)
    if dimensions not in (2, 3):
        raise InputError(
            f"{path}: has {dimensions} dimensions, but an X-ray image with 2, or 3 with frames, is "
            "expected."
        )
    return image.values[None] if dimensions == 2 else image.values


def _raw_frame(path: str | Path, image: StoredImage, values: np.ndarray) -> RawImage:
    with naming(path):
        return raw_image(values, _pixel_mm(path, image))


def recognised(raw: RawImage, intensity: str = "auto") -> tuple[str, bool]:
    """Return the meaning of an intensity in this image, "auto" or one of the two, and whether it is inverted.

    Raises
    ------
    InputError
        If the image is ambiguous.
    """
    if intensity != "auto":
        return intensity, False
    whole = replace(raw, values=_filled(raw.values))
    burned_in = find_burned_in(whole)
    return _recognise(burned_in.blanked(whole.values)[burned_in.margins.inside], raw)


def to_line_integrals(
    raw: RawImage,
    intensity: str = "linear",
    inverted: bool = False,
    valid: np.ndarray | None = None,
) -> XRay:
    """Return the line integrals and validity mask of an image.

    Direct exposure is the 99.5th percentile of the valid pixels: a few bright pixels are noise or
    glare. If no pixel is air, this value is too small, which adds a constant to all line integrals;
    the registration does not depend on it.

    Burned-in text and the uniform frame of a screenshot are invalid and also blanked in the line
    integrals, so they are not legible in pictures of these.

    Integer grey levels are taken at the middle of their step, so that 0 has a logarithm; at or
    below 0 the line integral ends at about 11. Saturated pixels stay valid, as direct exposure:
    their line integral is near 0, and truly no larger.

    Parameters
    ----------
    intensity
        What the values are. "linear": detected intensity, bone dark; the result is `-log(I / I0)`.
        "log": line integrals already, bone bright, taken as they are. "auto": one of the two, by
        whether bone is dark or bright (`bone_is_bright`); where DICOM has a word on the curve, or
        on what is bright, that holds.
    inverted
        The grey scale has been turned round: "linear" with bone bright, or "log" with bone dark.
    valid
        bool (rows, columns), pixels to use; invalid pixels within their hull are blanked, like
        text. Default: what `find_burned_in`, `find_field`, `find_annotations` and the image's
        shutters leave.

    Raises
    ------
    InputError
        If the image has no contrast or no valid pixel, or is ambiguous for "auto".
    """
    values = _filled(raw.values)
    finite = np.isfinite(raw.values)
    burned_in = None
    inside = (slice(None), slice(None))
    if valid is None:
        burned_in = find_burned_in(replace(raw, values=values))
        values = burned_in.blanked(values)
        inside = burned_in.margins.inside
    elif (unused := hull(valid) & ~valid).any():
        values = continued(values, ~unused)
    if intensity == "auto":
        intensity, inverted = _recognise(values[inside], raw)
    elif intensity not in ("linear", "log"):
        raise InputError(
            f'the intensity is "{intensity}", but "linear", "log" or "auto" is expected.'
        )
    if inverted:
        values = raw.white - values
    if intensity == "linear":
        detected = values + raw.step / 2
        line_integrals = -np.log(np.maximum(detected, MIN_TRANSMISSION * detected.max()))
        density = line_integrals
    else:
        line_integrals = values.astype(np.float32)
        density = (
            4 * (values - values.min()) / np.ptp(values)
        )  # the scale is unknown; to e^-4 there is little that lead could hide
    if burned_in is not None:
        valid = _field_within(density, inside) & ~burned_in.text
        marks = find_annotations(density, valid)
        if marks.any():
            valid &= ~marks
            line_integrals = continued(line_integrals, ~marks)
            burned_in = burned_in.with_text(marks)
        if raw.open is not None:
            valid &= raw.open
    assert valid is not None
    valid = valid & finite
    if not valid.any():
        raise InputError("has no valid pixel; check its mask.")
    if intensity == "linear":
        air = np.percentile(line_integrals[valid], 100 - DIRECT_EXPOSURE_PERCENTILE)
        line_integrals -= np.float32(air)
    return XRay(line_integrals, valid, raw.pixel_mm, burned_in)


def _field_within(density: np.ndarray, inside: tuple[slice, slice]) -> np.ndarray:
    """Return a mask of the collimated field within a region."""
    within = np.zeros(density.shape, bool)
    within[inside] = True
    field = find_field(density)
    if (field & ~within).any():  # of a frame that is no border of the field by itself
        field = np.zeros(density.shape, bool)
        field[inside] = find_field(density[inside])
    return field & within


def _filled(values: np.ndarray) -> np.ndarray:
    """Return the values with non-finite values replaced by the median."""
    finite = np.isfinite(values)
    if not finite.any() or np.ptp(values[finite]) == 0:
        raise InputError("has no contrast, all pixels are the same; give an X-ray image.")
    return values if finite.all() else np.where(finite, values, np.median(values[finite]))


def _recognise(values: np.ndarray, raw: RawImage) -> tuple[str, bool]:
    """Return the meaning of "auto": "linear" or "log", and whether inverted."""
    bright = bone_is_bright(values) if raw.bone_bright is None else raw.bone_bright
    if bright is None:
        raise InputError(
            "whether bone is bright or dark cannot be seen in this image; set its intensity to "
            '"linear" (bone dark) or "log" (line integrals, bone bright).'
        )
    curve = raw.curve or ("log" if bright else "linear")
    return curve, bright == (curve == "linear")


def _pixel_mm(path: str | Path, image: StoredImage) -> tuple[float, float] | None:
    """Return the file's spacing, if any.

    ITK reports 1 mm if there is none, and pictures give dots per inch of paper.
    """
    spacing = (image.spacing_mm[0], image.spacing_mm[1])
    return None if spacing == (1.0, 1.0) or Path(path).suffix.lower() in PICTURES else spacing


@dataclass(frozen=True)
class SharedUnknowns:
    """Standard deviations of the geometric unknowns shared by all views; None = known exactly.

    Attributes
    ----------
    source_to_detector_sd_mm
        Source-to-detector distance; the image scale depends on it.
    principal_point_sd_px
        Principal point, in pixels of the stored images, along each axis.
    isocentre_sd_mm
        Position of the world origin in the camera frame, along each axis.
    """

    source_to_detector_sd_mm: float | None = None
    principal_point_sd_px: float | None = None
    isocentre_sd_mm: float | None = None

    def to_json(self) -> dict[str, float]:
        """Return the unknowns that are not exact as plain data for JSON."""
        return without_none(asdict(self))


CALIBRATED = SharedUnknowns()


@dataclass(frozen=True, eq=False)
class View:
    """An X-ray, the camera that took it, and the camera's uncertainty.

    Attributes
    ----------
    rotation_sd_deg, translation_sd_mm
        Standard deviation of `camera_from_world` relative to the first view; rotation about the
        world origin. 0 = exact, None = unknown.
    principal_point_sd_px
        Standard deviation of the principal point, in pixels of the stored image, along each axis.
        0 = exact.
    distance_sd_percent
        Standard deviation of the source-to-detector distance, or of a slot scan's fan width. 0 = exact.
    step_sd_percent
        Standard deviation of a slot scan's row distance. 0 = exact, and for all other cameras.
    presumed_principal_point_sd_px
        Standard deviation of the principal point assumed by the verdict if its uncertainty is not
        stated (the pose is solved with `principal_point_sd_px`); 0 if it is stated.
    doubt
        Reason why the image may not belong to the camera, a sentence; "" for none.
    marker
        Object to which the marker used to locate the camera is fixed; "" without a marker.
    assumptions
        Assumptions about the geometry, one sentence each.
    taken
        Other acquisition parameters, by the keys of `geometry.fields.TAKEN`.

    Raises
    ------
    InputError
        If the image and the camera differ in size.
    """

    name: str
    xray: XRay
    camera: Camera
    rotation_sd_deg: float | None = 0.0
    translation_sd_mm: float | None = 0.0
    principal_point_sd_px: float = 0.0
    distance_sd_percent: float = 0.0
    step_sd_percent: float = 0.0
    presumed_principal_point_sd_px: float = 0.0
    doubt: str = ""
    marker: str = ""
    assumptions: tuple[str, ...] = ()
    taken: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows, columns = self.xray.valid.shape
        if tuple(self.camera.size) != (columns, rows):
            raise InputError(
                f'view "{self.name}": the image has {columns} x {rows} pixels, its camera {self.camera.size[0]} x '
                f"{self.camera.size[1]}; give the camera for the image as it is stored."
            )

    @property
    def c_arm(self) -> CArm | None:
        """C-arm angles and distances of a camera whose world origin is the isocentre.

        None for other cameras.
        """
        try:
            return CArm.from_camera(self.camera, self.xray.pixel_mm or (1.0, 1.0))
        except InputError:
            return None

    def exact(self) -> View:
        """Return the view with its camera assumed to be exact."""
        exact: dict[str, Any] = dict.fromkeys((*SLOT_SCAN_UNCERTAINTY, PRESUMED), 0.0)
        return replace(self, **exact)

    @property
    def presumed(self) -> View:
        """The view with the presumed uncertainty of its principal point."""
        sd = max(self.principal_point_sd_px, self.presumed_principal_point_sd_px)
        return replace(self, principal_point_sd_px=sd, presumed_principal_point_sd_px=0.0)

    def with_xray(self, **changes: Any) -> View:
        """Return the view with these fields of its X-ray."""
        return replace(self, xray=replace(self.xray, **changes))

    def with_camera(self, **changes: Any) -> View:
        """Return the view with these fields of its camera."""
        return replace(self, camera=replace(self.camera, **changes))

    def turned(self, back: Callable[[np.ndarray], np.ndarray]) -> View | None:
        """Return the view with its image rotated back; None if the rotated image has another size."""
        image, valid = (
            np.ascontiguousarray(back(each)) for each in (self.xray.line_integrals, self.xray.valid)
        )
        if image.shape != self.xray.valid.shape:
            return None
        return self.with_xray(line_integrals=image, valid=valid)

    def mirrored(self) -> View:
        """Return the view in the world mirrored by MIRROR: its image is mirrored left to right."""
        mirrored = self.turned(np.fliplr)
        assert mirrored  # of the same size
        intrinsics = self.camera.intrinsics.copy()
        intrinsics[0, 1] *= -1
        intrinsics[0, 2] = self.camera.size[0] - 1 - intrinsics[0, 2]
        pose = MIRROR @ self.camera.camera_from_world @ MIRROR
        return mirrored.with_camera(intrinsics=intrinsics, camera_from_world=pose)

    def pooled(self, factor: int) -> View:
        """Return the view with image and camera at 1 / `factor` of the resolution."""
        return replace(self, xray=self.xray.pooled(factor), camera=self.camera.pooled(factor))

    def cropped(self, left: int, top: int, columns: int, rows: int) -> View:
        """Return the part of the view whose top-left pixel is (left, top)."""
        part = np.s_[top : top + rows, left : left + columns]
        xray = XRay(
            np.ascontiguousarray(self.xray.line_integrals[part]),
            self.xray.valid[part],
            self.xray.pixel_mm,
        )
        return replace(self, xray=xray, camera=self.camera.cropped(left, top, columns, rows))


def window_mean(radius: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a filter that computes window means of an image; radius in pixels."""
    return partial(scipy.ndimage.uniform_filter, size=2 * radius + 1)


def local_moments(
    image: np.ndarray, mask: np.ndarray, blurred: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return local mean and standard deviation (rows, columns) of an image's masked pixels.

    Parameters
    ----------
    image, mask
        (rows, columns), floating point; non-zero pixels of the mask are used.
    blurred
        A filter that returns the means of a window about each pixel, more than a thousandth of
        which is masked wherever the moments have a meaning.
    """
    share = np.maximum(blurred((mask != 0).astype(image.dtype)), 1e-3)
    masked = np.where(mask, image, 0)
    mean = blurred(masked) / share
    return mean, np.sqrt(np.maximum(blurred(masked**2) / share - mean**2, 0))


def detail_of(sd: np.ndarray, mask: np.ndarray, least: float) -> np.ndarray:
    """Return the local standard deviation (rows, columns), at least this fraction of its median on the mask.

    Flat areas contain only noise.
    """
    some = sd[mask & (sd > 0)]
    return np.maximum(sd, least * np.median(some) if len(some) else 1.0)


def with_cameras(views: Sequence[View], cameras: Sequence[Camera]) -> list[View]:
    """Return copies of the views with these cameras."""
    return [replace(view, camera=camera) for view, camera in zip(views, cameras, strict=True)]
