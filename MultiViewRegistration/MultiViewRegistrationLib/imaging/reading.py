"""Image files through SimpleITK, with one plain sentence where they cannot be used; X-ray images without lens distortion."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy
import SimpleITK as sitk

from ..errors import InputError
from ..geometry.distortion import Distortion, EqualAngles
from .image_source import check_room, image_source
from .silence import silenced

# Cosines this far from orthogonal move a point 300 mm away by 0.3 mm: rounding in a header stays below, a
# shear does not.
ORTHOGONAL_TOLERANCE = 1e-3

UNCHECKED = 256 << 20  # bytes that any header may claim
MAX_COMPRESSION = 2000  # bytes for each stored one: deflate reaches 1,032
#: More pixels than any detector or scanned film has.
MAX_PIXELS = 1 << 27


def read_image(path: str | Path) -> sitk.Image:
    """The image in a file of any format that `image_source` knows.

    Raises
    ------
    InputError
        Where there is no such file, it is a folder, cannot be read, names voxels outside its own folder, claims
        more than it or the memory can hold, ends early, or its axes are sheared.
    """
    return _read(path, lambda reader: None)


def read_slice(path: str | Path, number: int) -> tuple[sitk.Image, int]:
    """One slice of a volume, as a volume of its own, and how many there are: of large files that saves reading all of them.

    An image that is no volume, or has no such slice, comes whole.

    Raises
    ------
    InputError
        As `read_image`.
    """
    count = 1

    def choose(reader: sitk.ImageFileReader) -> None:
        nonlocal count
        size = reader.GetSize()
        count = size[2] if len(size) == 3 else 1
        if len(size) == 3 and 0 <= number < count:
            reader.SetExtractSize([*size[:2], 1])
            reader.SetExtractIndex([0, 0, number])

    return _read(path, choose), count


class _Buffer:
    """The values of an image for numpy, which keeps the image alive with them."""

    def __init__(self, image: sitk.Image) -> None:
        self._image, view = image, sitk.GetArrayViewFromImage(image)
        self.__array_interface__ = {**view.__array_interface__, "data": (view.ctypes.data, False)}


def values_of(image: sitk.Image) -> np.ndarray:
    """The values (slices, rows, columns), not a copy: who reads the image may change them."""
    return np.asarray(_Buffer(image))


@dataclass(frozen=True)
class ImageHeader:
    """What an image says of itself.

    Attributes
    ----------
    size, spacing_mm
        Along its axes, columns first; the spacing is 1 mm where the file has none.
    components
        Values in a pixel.
    default_place
        Whether its slices are 1 mm apart, at the origin and along the axes, as those of a file that says nothing of its place.
    """

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    components: int
    default_place: bool


def image_header(path: Path) -> ImageHeader:
    """The header of an image; nothing else is read.

    Raises
    ------
    InputError
        As `check_image`.
    """
    with _opened(path) as reader:
        n, spacing = reader.GetDimension(), tuple(reader.GetSpacing())
        here = np.allclose(reader.GetOrigin(), 0) and np.allclose(reader.GetDirection(), np.eye(n).ravel())
        return ImageHeader(
            tuple(reader.GetSize()), spacing, reader.GetNumberOfComponents(), bool(here) and spacing[-1] == 1.0
        )


def check_image(path: Path) -> None:
    """Check an image's header; nothing else is read.

    Raises
    ------
    InputError
        Where `read_image` would not even read the header.
    """
    with _opened(path):
        pass


def _read(path: str | Path, choose: Callable[[sitk.ImageFileReader], object]) -> sitk.Image:
    """choose: what of it is read, once its header was."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, but an image file is expected; name the file.")
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path.")
    with _opened(path) as reader:
        choose(reader)
        image = reader.Execute()
    if image.HasMetaDataKey("sform_code"):
        _check_nifti(path, image)
    _check_orthogonal(path, image)
    return image


@contextmanager
def _opened(path: Path) -> Iterator[sitk.ImageFileReader]:
    """A reader that has read an image's header, which was found to be good."""
    source = image_source(path)
    try:
        with silenced():
            reader = _reader(source.reader, path)
            _check_claim(path, reader, source.size)
            yield reader
    except (RuntimeError, UnicodeDecodeError) as error:  # the second where ITK quotes bytes that are no text
        if "orthonormal" in str(error):
            raise _sheared(path) from None
        raise InputError(
            f"{path}: cannot be read as an image; it is damaged or not in a format that is read "
            "(DICOM, NIfTI, NRRD, MetaImage, TIFF, PNG, ...), so export it again."
        ) from None


def _reader(by: str, path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO(by)
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader


def _check_claim(path: Path, reader: sitk.ImageFileReader, stored: int, slices: int = 1) -> None:
    """InputError where a header claims far more voxels than there are bytes for, or memory, before that is taken for them.

    slices: how many files like this one are read into one volume.   stored: bytes of all of them.
    """
    size = reader.GetSize()
    voxels = math.prod(size) * reader.GetNumberOfComponents() * slices
    claimed = (
        voxels * sitk.Image([1] * 2, reader.GetPixelID(), reader.GetNumberOfComponents()).GetSizeOfPixelComponent()
    )
    if claimed > UNCHECKED and claimed > MAX_COMPRESSION * stored:
        raise InputError(
            f"{path}: has a header that claims {voxels:.3g} voxels in a file of {stored} bytes, but a "
            "whole file is expected; copy or export it again."
        )
    if math.prod(size[:2]) > MAX_PIXELS:
        raise InputError(
            f"{path}: has {size[0]} x {size[1]} pixels by its header, but at most {MAX_PIXELS >> 20} million are expected; "
            "check that it is the right file."
        )
    if claimed > UNCHECKED:
        check_room(path, f"{voxels:.3g} voxels", claimed + 4 * voxels)  # they are copied as float32


def read_series(folder: Path, files: Sequence[Path]) -> sitk.Image:
    """The volume (float32) of DICOM slices in the order given; their geometry has been checked before."""
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([str(file) for file in files])
    reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        with silenced():
            _check_claim(
                folder, _reader("GDCMImageIO", files[0]), sum(file.stat().st_size for file in files), len(files)
            )
            image = reader.Execute()
    except RuntimeError:
        raise InputError(
            f"{folder}: the pixels of its DICOM slices cannot be read; a slice is damaged or compressed in an unknown "
            "way, so export the series again, uncompressed."
        ) from None
    _check_orthogonal(folder, image)
    return image


def affine_of(image: sitk.Image) -> np.ndarray:
    """(4, 4) float64: voxel index (i, j, k) of a 3D image to LPS mm."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return affine


def check_right_angles(name: str | Path, cosines: np.ndarray) -> None:
    """Check that the axes of a grid are orthogonal.

    Parameters
    ----------
    name
        Begins the message.
    cosines
        (n, n), unit vectors as columns.

    Raises
    ------
    InputError
        Where they are sheared.
    """
    if not np.allclose(cosines.T @ cosines, np.eye(len(cosines)), rtol=0, atol=ORTHOGONAL_TOLERANCE):
        raise _sheared(name)


def _sheared(name: str | Path) -> InputError:
    return InputError(
        f"{name}: its axes are not at right angles (a sheared direction matrix or NIfTI sform), but a rectangular grid is "
        "expected; resample it to one."
    )


def _check_orthogonal(path: Path, image: sitk.Image) -> None:
    n = image.GetDimension()
    check_right_angles(path, np.array(image.GetDirection()).reshape(n, n))


def _check_nifti(path: Path, image: sitk.Image) -> None:
    """ITK reads two broken kinds of NIfTI without a word: a sheared sform beside a qform, and a cut file."""
    if int(image.GetMetaData("sform_code")) > 0:
        sform = np.array([[float(x) for x in image.GetMetaData(f"srow_{axis}").split()] for axis in "xyz"])[:, :3]
        check_right_angles(path, sform / np.maximum(np.linalg.norm(sform, axis=0), 1e-12))
    voxels = np.prod([max(1, int(image.GetMetaData(f"dim[{d}]"))) for d in range(1, 8)], dtype=np.int64)
    expected = int(float(image.GetMetaData("vox_offset"))) + int(voxels) * int(image.GetMetaData("bitpix")) // 8
    if path.suffix == ".nii" and path.stat().st_size < expected or path.suffix == ".gz" and not _holds(path, expected):
        raise InputError(f"{path}: the file ends before its last voxel; copy or export it again.")


def _holds(path: Path, expected: int) -> bool:
    """Whether a gzip file unpacks to at least `expected` bytes."""
    with open(path, "rb") as file:  # a whole file says its unpacked length at its end; only others are unpacked to see
        file.seek(-4, os.SEEK_END)
        if int.from_bytes(file.read(), "little") == expected % 2**32:
            return True
    try:
        with gzip.open(path) as file:
            left = expected
            while left > 0 and (chunk := file.read(1 << 20)):  # no further: a small file may unpack to anything
                left -= len(chunk)
            return left <= 0
    except (EOFError, OSError, zlib.error):
        return False


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
        are not valid.
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


def undistorted(raw: RawImage, intrinsics: np.ndarray, distortion: Distortion | EqualAngles) -> RawImage:
    """The image without its distortion, on the same grid of pixels and with the same intrinsics (3, 3).

    Linear between pixels. What the image as it was taken does not show is NaN, and so left out of what is valid.
    """
    is_open = None if raw.open is None else undistorted_mask(raw.open, intrinsics, distortion)
    return replace(raw, values=_resampled(raw.values, intrinsics, distortion, np.nan), open=is_open)


def undistorted_mask(used: np.ndarray, intrinsics: np.ndarray, distortion: Distortion | EqualAngles) -> np.ndarray:
    """A mask (rows, columns), drawn on the image as it was taken, on the undistorted one: True where all pixels between which that one's
    are interpolated are True."""
    return _resampled(used.astype(np.float32), intrinsics, distortion, 0.0) > 1 - 1e-3


def _resampled(
    image: np.ndarray, intrinsics: np.ndarray, distortion: Distortion | EqualAngles, outside: float
) -> np.ndarray:
    """The image (rows, columns) at where each pixel of the undistorted one comes from, float32; a few rows at a time, as the formula
    takes several times the memory of an image."""
    rows, columns = image.shape
    result = np.empty(image.shape, np.float32)
    for top in range(0, rows, ROWS_AT_ONCE):
        part = result[top : top + ROWS_AT_ONCE]
        v, u = np.indices(part.shape)
        pixels = distortion.distort_pixels(intrinsics, np.stack([u, v + top], -1))
        scipy.ndimage.map_coordinates(image, (pixels[..., 1], pixels[..., 0]), part, order=1, cval=outside)
    return result
