"""An X-ray image as its file shows it, and without its lens distortion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import map_coordinates

from ..errors import InputError
from ..geometry.distortion import Distortion

MAX_CHANNELS = 4  # red, green, blue, opacity


@dataclass(frozen=True, eq=False)
class RawImage:
    """An image as its file shows it, bright values bright.

    Attributes
    ----------
    values
        float32 (rows, columns), not always finite.
    step
        One grey level, 0 for floating point.
    white
        The largest value that the file could hold.
    curve
        DICOM's word on how values follow detected intensity, "linear" or "log"; None without one.
    pixel_mm
        As in XRay.
    bone_bright
        DICOM's word on whether bone is bright in the values; None without one.
    open
        bool (rows, columns), False where a DICOM shutter hides the pixel; None without shutters.
    """

    values: np.ndarray
    step: float
    white: float
    curve: str | None = None
    pixel_mm: tuple[float, float] | None = None
    bone_bright: bool | None = None
    open: np.ndarray | None = None


def raw_image(values: np.ndarray, pixel_mm: tuple[float, float] | None = None) -> RawImage:
    """The grey image in an array, taken as one in a file is.

    Parameters
    ----------
    values
        (rows, columns), bright values bright, of any integer or floating-point type: integers have a step of 1 and
        the white of the next usual number of bits, 8, 10, 12, 14 or 16; floating point has the step 0 and its
        largest value as white. Also (rows, columns, channels) where all channels are equal. Where not finite, they
        are left out of what is valid.
    pixel_mm
        (between columns, between rows) on the detector, None where unknown.

    Raises
    ------
    InputError
        Without a name in front, for colour, another shape, values that are no real numbers, and pixel_mm not above
        0.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "iuf":
        raise InputError(
            f"holds values of type {values.dtype}, but grey levels, integers or floating point, are expected."
        )
    if values.ndim == 3 and 1 < values.shape[-1] <= MAX_CHANNELS:
        values = _grey(values)
    if values.ndim != 2 or not values.size:
        shape = " x ".join(str(size) for size in values.shape) or "no"
        raise InputError(f"has the shape {shape}, but an X-ray image of rows x columns is expected; give one frame.")
    if pixel_mm is not None and not (np.isfinite(pixel_mm).all() and min(pixel_mm) > 0):
        raise InputError(
            f"has pixels of {pixel_mm[0]:g} x {pixel_mm[1]:g} mm, but a size above 0 is expected; correct its spacing."
        )
    integer = values.dtype.kind in "iu"
    with np.errstate(over="ignore"):  # beyond float32 is not finite
        values = values.astype(np.float32)
    largest = float(values.max(initial=-np.inf, where=np.isfinite(values)))
    white = next((2.0**bits - 1 for bits in (8, 10, 12, 14, 16) if largest < 2**bits), largest) if integer else largest
    pixel_mm = None if pixel_mm is None else (float(pixel_mm[0]), float(pixel_mm[1]))
    return RawImage(values, float(integer), white, pixel_mm=pixel_mm)


def _grey(values: np.ndarray) -> np.ndarray:
    colours = values[..., :3]  # without opacity
    if colours.shape[-1] == 3 and np.ptp(colours, axis=-1).max() <= 2:
        return colours[..., 1]
    raise InputError("is a colour image, but a grey X-ray image is expected; export it without colour overlays.")


ROWS_AT_ONCE = 32


def undistorted(raw: RawImage, intrinsics: np.ndarray, distortion: Distortion) -> RawImage:
    """The image without its distortion, on the same grid of pixels and with the same intrinsics (3, 3).

    Linear between pixels. What the image as it was taken does not show is NaN, and so left out of what is valid.
    """
    is_open = None if raw.open is None else undistorted_mask(raw.open, intrinsics, distortion)
    return replace(raw, values=_resampled(raw.values, intrinsics, distortion, np.nan), open=is_open)


def undistorted_mask(used: np.ndarray, intrinsics: np.ndarray, distortion: Distortion) -> np.ndarray:
    """A mask (rows, columns), drawn on the image as it was taken, on the undistorted one: True where all pixels between which that one's
    are interpolated are True."""
    return _resampled(used.astype(np.float32), intrinsics, distortion, 0.0) > 1 - 1e-3


def _resampled(image: np.ndarray, intrinsics: np.ndarray, distortion: Distortion, outside: float) -> np.ndarray:
    """The image (rows, columns) at where each pixel of the undistorted one comes from, float32; a few rows at a time, as the formula
    takes several times the memory of an image."""
    rows, columns = image.shape
    result = np.empty(image.shape, np.float32)
    for top in range(0, rows, ROWS_AT_ONCE):
        part = result[top : top + ROWS_AT_ONCE]
        v, u = np.indices(part.shape)
        pixels = distortion.distort_pixels(intrinsics, np.stack([u, v + top], -1))
        map_coordinates(image, (pixels[..., 1], pixels[..., 0]), part, order=1, cval=outside)
    return result
