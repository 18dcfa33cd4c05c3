"""X-ray images: reading them, and turning them into line integrals with a mask of the pixels to use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from .annotations import find_annotations
from .field import find_field
from .polarity import bone_is_bright
from .reading import read_image

LEAST_VALID_SHARE = 0.7  # of a block of pixels, for their mean to stand for it
DIRECT_EXPOSURE_PERCENTILE = 99.5
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
DARKEST = 1e-5  # of direct exposure: the least transmission that is told apart from none
MOST_CHANNELS = 4  # red, green, blue, opacity


@dataclass(frozen=True, eq=False)
class XRay:
    """An X-ray image as the registration uses it.

    line_integrals: float32 (rows, columns), `-log(I / I0)`, bone bright; finite everywhere, but without meaning
        where not valid.
    valid: bool (rows, columns), True where the image shows the patient or air.
    pixel_mm: (between columns, between rows) on the detector, None where nobody says.
    """

    line_integrals: np.ndarray
    valid: np.ndarray
    pixel_mm: tuple[float, float] | None = None

    def pooled(self, factor: int) -> XRay:
        """Means over blocks of `factor` x `factor` pixels, of the valid ones; a block is valid where 70 % are.

        Rows and columns beyond the last whole block are left out, as `Camera.pooled` does. A block with no
        valid pixel is 0.
        """
        if factor == 1:
            return self
        weight = self.valid.astype(np.float32)
        total, count = _block_sums(self.line_integrals * weight, factor), _block_sums(weight, factor)
        pixel_mm = self.pixel_mm and (factor * self.pixel_mm[0], factor * self.pixel_mm[1])
        return XRay(total / np.maximum(count, 1), count >= LEAST_VALID_SHARE * factor**2, pixel_mm)


@dataclass(frozen=True, eq=False)
class RawImage:
    """An image as its file shows it, bright values bright.

    values: float32 (rows, columns), not always finite.   step: one grey level, 0 for floating point.
    white: the largest value that the file could hold.
    curve: DICOM's word on how values follow detected intensity, "linear" or "log"; None without one.
    pixel_mm: as in XRay.
    """

    values: np.ndarray
    step: float
    white: float
    curve: str | None = None
    pixel_mm: tuple[float, float] | None = None


def load_xray(
    path: str | Path,
    frame: int | None = None,
    intensity: str = "linear",
    inverted: bool = False,
    i0: float | None = None,
) -> XRay:
    """Reads an X-ray image as line integrals.

    frame: of a multi-frame image, from 0 (the default).
    intensity, inverted, i0: see `to_line_integrals`.

    Raises InputError for files that cannot be read, colour, frames that are not there, images without
    contrast, and "auto" where the image does not tell.
    """
    raw = load_image(path, frame)
    try:
        return to_line_integrals(raw, intensity, inverted, i0)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def load_image(path: str | Path, frame: int | None = None) -> RawImage:
    """Reads one frame of a grey image: DICOM (MONOCHROME1 or 2), PNG, TIFF, MHA, NRRD, NIfTI, ...

    A colour image whose channels are equal is grey. Raises InputError as `load_xray`.
    """
    image = read_image(path)
    frames = _frames(path, image)
    index = frame or 0
    if not 0 <= index < len(frames):
        raise InputError(
            f"{path}: frame {index} is asked for, but it has {len(frames)}; give a frame from 0 to {len(frames) - 1}."
        )
    return _raw_frame(path, image, frames[index])


def load_frames(path: str | Path) -> list[RawImage]:
    """Reads all frames of a grey image, one for a still image. Raises InputError as `load_image`."""
    image = read_image(path)
    return [_raw_frame(path, image, values) for values in _frames(path, image)]


def _frames(path: str | Path, image: sitk.Image) -> np.ndarray:
    """(frames, rows, columns), with a further axis for colours."""
    values = sitk.GetArrayViewFromImage(image)
    dimensions = image.GetDimension()
    if dimensions not in (2, 3):
        raise InputError(
            f"{path}: has {dimensions} dimensions, but an X-ray image with 2, or 3 with frames, is expected."
        )
    return values[None] if dimensions == 2 else values


def _raw_frame(path: str | Path, image: sitk.Image, values: np.ndarray) -> RawImage:
    try:
        raw = raw_image(values, _pixel_mm(path, image))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    white = _dicom_white(image)
    return replace(raw, white=raw.white if white is None else white, curve=_dicom_curve(image))


def raw_image(values: np.ndarray, pixel_mm: tuple[float, float] | None = None) -> RawImage:
    """The grey image in an array, taken as one in a file is.

    values: (rows, columns), bright values bright, of any integer or floating-point type: integers have a step of 1 and the
        white of the next usual number of bits, 8, 10, 12, 14 or 16; floating point has the step 0 and its largest value as white.
        Also (rows, columns, channels) where all channels are equal. Where not finite, they are left out of what is valid.
    pixel_mm: (between columns, between rows) on the detector, None where nobody says.

    Raises InputError, without a name in front, for colour, another shape, values that are no real numbers, and pixel_mm not above 0.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "iuf":
        raise InputError(f"holds values of type {values.dtype}, but grey levels, integers or floating point, are expected.")
    if values.ndim == 3 and 1 < values.shape[-1] <= MOST_CHANNELS:
        values = _grey(values)
    if values.ndim != 2 or not values.size:
        shape = " x ".join(str(size) for size in values.shape) or "no"
        raise InputError(f"has the shape {shape}, but an X-ray image of rows x columns is expected; give one frame.")
    if pixel_mm is not None and not (np.isfinite(pixel_mm).all() and min(pixel_mm) > 0):
        raise InputError(f"has pixels of {pixel_mm[0]:g} x {pixel_mm[1]:g} mm, but a size above 0 is expected; correct its spacing.")
    integer = values.dtype.kind in "iu"
    with np.errstate(over="ignore"):  # beyond float32 is not finite
        values = values.astype(np.float32)
    largest = float(values.max(initial=-np.inf, where=np.isfinite(values)))
    white = next((2.0**bits - 1 for bits in (8, 10, 12, 14, 16) if largest < 2**bits), largest) if integer else largest
    pixel_mm = None if pixel_mm is None else (float(pixel_mm[0]), float(pixel_mm[1]))
    return RawImage(values, float(integer), white, pixel_mm=pixel_mm)


def recognised(raw: RawImage) -> tuple[str, bool]:
    """What "auto" stands for in this image: its intensity, and whether it is inverted. InputError where it does not tell."""
    return _recognise(_filled(raw.values), raw.curve)


def to_line_integrals(
    raw: RawImage,
    intensity: str = "linear",
    inverted: bool = False,
    i0: float | None = None,
    valid: np.ndarray | None = None,
) -> XRay:
    """Line integrals and validity mask of an image.

    intensity: what the values are. "linear": detected intensity, bone dark; the result is `-log(I / I0)`.
        "log": line integrals already, bone bright, taken as they are. "auto": one of the two, by whether bone is
        dark or bright (`bone_is_bright`); where DICOM has a word on the curve, that holds.
    inverted: the grey scale has been turned round: "linear" with bone bright, or "log" with bone dark.
    i0: detected intensity of direct exposure; default: the 99.5th percentile of the valid pixels (a few bright
        pixels are noise or glare). Where no pixel sees air it is too small. It adds a constant to all line
        integrals, and no registration here depends on that.
    valid: bool (rows, columns), pixels to use; default: what `find_field` and `find_annotations` leave.

    Integer grey levels are taken at the middle of their step, so that 0 has a logarithm; at or below 0 the line
    integral ends at about 11. Saturated pixels stay valid, as direct exposure: their line integral is near 0, and
    truly no larger.

    Raises InputError where the image has no contrast or no valid pixel, for "auto" where it does not tell, and
    for i0 <= 0.
    """
    if i0 is not None and not i0 > 0:
        raise InputError(f"the intensity of direct exposure, i0, is {i0:g}, but more than 0 is expected.")
    values, finite = _filled(raw.values), np.isfinite(raw.values)
    if intensity == "auto":
        intensity, inverted = _recognise(values, raw.curve)
    elif intensity not in ("linear", "log"):
        raise InputError(f'the intensity is "{intensity}", but "linear", "log" or "auto" is expected.')
    if inverted:
        values = raw.white - values
    if intensity == "linear":
        detected = values + raw.step / 2
        line_integrals = -np.log(np.maximum(detected, DARKEST * detected.max()))
        density = line_integrals
    else:
        line_integrals = values.astype(np.float32)
        density = (
            4 * (values - values.min()) / np.ptp(values)
        )  # the scale is unknown; to e^-4 there is little that lead could hide
    if valid is None:
        valid = find_field(density)
        valid &= ~find_annotations(density, valid)
    valid = valid & finite
    if not valid.any():
        raise InputError("has no valid pixel; check its mask.")
    if intensity == "linear":
        air = (
            np.percentile(line_integrals[valid], 100 - DIRECT_EXPOSURE_PERCENTILE)
            if i0 is None
            else -np.log(i0)
        )
        line_integrals -= np.float32(air)
    return XRay(line_integrals, valid, raw.pixel_mm)


def _filled(values: np.ndarray) -> np.ndarray:
    """The values, the median in place of those that are not finite."""
    finite = np.isfinite(values)
    if not finite.any() or np.ptp(values[finite]) == 0:
        raise InputError("has no contrast, all pixels are the same; give an X-ray image.")
    return values if finite.all() else np.where(finite, values, np.median(values[finite]))


def _block_sums(image: np.ndarray, factor: int) -> np.ndarray:
    rows, columns = (size // factor for size in image.shape)
    whole = image[: rows * factor, : columns * factor]
    by_rows = whole.reshape(rows, factor, -1).sum(1)  # first: along memory
    return by_rows.reshape(rows, columns, factor).sum(2)


def _recognise(values: np.ndarray, curve: str | None) -> tuple[str, bool]:
    """What "auto" stands for: "linear" or "log", and whether inverted."""
    bright = bone_is_bright(values)
    if bright is None:
        raise InputError(
            "whether bone is bright or dark cannot be told from this image; set its intensity to "
            '"linear" (bone dark) or "log" (line integrals, bone bright).'
        )
    curve = curve or ("log" if bright else "linear")
    return curve, bright == (curve == "linear")


def _grey(values: np.ndarray) -> np.ndarray:
    colours = values[..., :3]  # without opacity
    if colours.shape[-1] == 3 and np.ptp(colours, axis=-1).max() <= 2:
        return colours[..., 1]
    raise InputError("is a colour image, but a grey X-ray image is expected; export it without colour overlays.")


def _dicom_white(image: sitk.Image) -> float | None:
    """The largest value that the file could hold by DICOM's bits stored, None without them."""
    if not image.HasMetaDataKey("0028|0101"):
        return None
    bits = int(image.GetMetaData("0028|0101")) - int(image.GetMetaData("0028|0103"))
    slope, intercept = (
        float(image.GetMetaData(key)) if image.HasMetaDataKey(key) else default
        for key, default in (("0028|1053", 1.0), ("0028|1052", 0.0))
    )
    return slope * (2**bits - 1) + intercept


def _pixel_mm(path: str | Path, image: sitk.Image) -> tuple[float, float] | None:
    """The file's spacing, if any: ITK says 1 mm for want of one, and pictures tell dots per inch of paper."""
    spacing = image.GetSpacing()[:2]
    return None if spacing == (1.0, 1.0) or Path(path).suffix.lower() in PICTURES else spacing


def _dicom_curve(image: sitk.Image) -> str | None:
    relationship = image.GetMetaData("0028|1040").strip() if image.HasMetaDataKey("0028|1040") else ""
    return {"LIN": "linear", "LOG": "log"}.get(relationship)
