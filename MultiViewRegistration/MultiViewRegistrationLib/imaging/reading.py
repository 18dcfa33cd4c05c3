"""Image files through SimpleITK, with one plain sentence where they cannot be used.

X-ray images without lens distortion.
"""

from __future__ import annotations

import errno
import gzip
import math
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy

from ..errors import InputError
from ..geometry.camera import Distortion, EqualAngles
from .child import ITK, Answer, ChildFailed, call
from .image_source import ImageSource, check_room, image_source

if TYPE_CHECKING:
    import SimpleITK as sitk

    from ..geometry.plate import PolynomialDistortion

    #: Intrinsics (3, 3) and distortion of an image as it was taken.
    Lens = tuple[np.ndarray, Distortion | EqualAngles | PolynomialDistortion]


# Cosines this far from orthogonal move a point 300 mm away by 0.3 mm: rounding in a header stays
# below, a shear does not.
ORTHOGONAL_TOLERANCE = 1e-3

UNCHECKED = 256 << 20  # bytes that any header may claim
MAX_COMPRESSION = 2000  # bytes for each stored one: deflate reaches 1,032
#: More pixels than any detector or scanned film has.
MAX_PIXELS = 1 << 27

#: What reading any image may take, and how fast the slowest network is.
READING_BYTES = 512 << 20
READING_S = 60.0
MIN_BYTES_PER_S = 2e6
#: What is asked of an image's header beyond its grid.
KEYS = [
    "sform_code",
    "bitpix",
    "vox_offset",
    "0008|0016",
    *(f"srow_{axis}" for axis in "xyz"),
    *(f"dim[{d}]" for d in range(1, 8)),
]


@dataclass(frozen=True, eq=False)
class StoredImage:
    """An image as its file has it.

    Attributes
    ----------
    values
        (slices, rows, columns) or (rows, columns), with a further axis where a pixel has several
        components.
    spacing_mm, origin_mm, direction
        In LPS, columns first; direction (n, n) has the axes as columns.
    said
        What its header says under some keys of ITK's.
    """

    values: np.ndarray = field(repr=False)
    components: int
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: np.ndarray
    said: Mapping[str, str]

    @property
    def size(self) -> tuple[int, ...]:
        """Along its axes, columns first."""
        return self.values.shape[: len(self.spacing_mm)][::-1]

    @property
    def ct_from_index(self) -> np.ndarray:
        """(4, 4) of a volume: voxel index (i, j, k) to LPS mm."""
        return affine_of(self.spacing_mm, self.origin_mm, self.direction)


@dataclass(frozen=True)
class ImageHeader:
    """What an image says of itself.

    Attributes
    ----------
    size, spacing_mm
        Along its axes, columns first; the spacing is 1 mm where the file has none.
    components
        Values in a pixel.
    bytes
        Of all of them.
    default_place
        Whether its slices are 1 mm apart, at the origin and along the axes, as those of a file that
        says nothing of its place.
    """

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    components: int
    bytes: int
    default_place: bool


def read_image(path: str | Path) -> StoredImage:
    """Return the image in a file of any format that `image_source` knows.

    Raises
    ------
    InputError
        Where there is no such file, it is a folder, cannot be read, names voxels outside its own
        folder, claims more than it or the memory can hold, ends early, or its axes are sheared.
    """
    return _read(Path(path))[0]


def read_slice(path: str | Path, number: int) -> tuple[StoredImage, int]:
    """Return one slice of a volume, as a volume of its own, and how many there are.

    Of large files that saves reading all of them.

    An image that is no volume, or has no such slice, comes whole.

    Raises
    ------
    InputError
        As `read_image`.
    """
    return _read(Path(path), number)


def image_header(path: Path) -> ImageHeader:
    """Return the header of an image, which was found to be good; nothing else is read.

    Raises
    ------
    InputError
        Where `read_image` would not even read the header.
    """
    return _header(path, image_source(path))


def _read(path: Path, number: int | None = None) -> tuple[StoredImage, int]:
    """Return an image, or a slice of it, and how many slices it has."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder, but an image file is expected; name the file.")
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path.")
    source = image_source(path)
    header = _header(path, source)
    count = header.size[2] if len(header.size) == 3 else 1
    if len(header.size) != 3 or number not in range(count):
        number = None
    limits = _limits(source.size, header.bytes)
    with _failing_as(_unreadable(path), path):
        image = _stored(
            call(f"{ITK}:image", [os.fspath(path), source.reader, number, KEYS], *limits)
        )
        if "sform_code" in image.said:
            _check_nifti(path, image)
    check_right_angles(path, image.direction)
    return image, count


def _header(path: Path, source: ImageSource) -> ImageHeader:
    with _failing_as(_unreadable(path), path):
        found = call(f"{ITK}:header", [os.fspath(path), source.reader], *_limits(source.size)).value
        header = _header_of(found)
    _check_claim(path, header, source.size)
    return header


def read_series(folder: Path, files: Sequence[Path]) -> StoredImage:
    """Return the volume (float32) of DICOM slices in the order given.

    Their geometry has been checked before.
    """
    unreadable = InputError(
        f"{folder}: the pixels of its DICOM slices cannot be read; a slice is damaged or "
        "compressed in an unknown way, so export the series again, uncompressed."
    )
    stored = sum(file.stat().st_size for file in files)
    with _failing_as(unreadable, folder):
        first = _header_of(
            call(f"{ITK}:header", [os.fspath(files[0]), "GDCMImageIO"], *_limits(stored)).value
        )
    _check_claim(folder, first, stored, len(files))
    with _failing_as(unreadable, folder):
        limits = _limits(stored, 2 * first.bytes * len(files))
        image = _stored(call(f"{ITK}:series", [[os.fspath(file) for file in files]], *limits))
    check_right_angles(folder, image.direction)
    return image


def _limits(stored: int, claimed: int = 0) -> tuple[int, float]:
    """Return the bytes of memory and the seconds that reading an image may take, by its bytes in the file and in memory."""
    return READING_BYTES + 2 * stored + 3 * claimed, READING_S + (
        stored + claimed
    ) / MIN_BYTES_PER_S


@contextmanager
def _failing_as(error: InputError, path: Path) -> Iterator[None]:
    try:
        yield
    except ChildFailed as failure:
        raise (_sheared(path) if "orthonormal" in str(failure) else error) from None
    except (
        KeyError,
        TypeError,
        ValueError,
        OverflowError,
    ) as failure:  # of an answer that makes no sense
        raise (failure if isinstance(failure, InputError) else error) from None


def _unreadable(path: Path) -> InputError:
    return InputError(
        f"{path}: cannot be read as an image; it is damaged or not in a format that is read "
        "(DICOM, NIfTI, NRRD, MetaImage, TIFF, PNG, ...), so export it again."
    )


def _header_of(found: dict[str, Any]) -> ImageHeader:
    size = tuple(found["size"])
    components = int(found["components"])
    here = np.allclose(found["origin"], 0) and np.allclose(
        found["direction"], np.eye(len(size)).ravel()
    )
    return ImageHeader(
        size,
        tuple(found["spacing"]),
        components,
        math.prod(size) * components * np.dtype(found["type"]).itemsize,
        bool(here) and found["spacing"][-1] == 1.0,
    )


def _stored(answer: Answer) -> StoredImage:
    """Return the image that a child has read.

    ValueError and the like where it does not fit together.
    """
    found = answer.value
    size = found["size"]
    components = found["components"]
    if not (np.isfinite([found["spacing"], found["origin"]]).all() and min(found["spacing"]) > 0):
        raise ValueError("a place that is none")
    shape = (*size[::-1], *([components] if components > 1 else []))
    return StoredImage(
        answer.data.view(found["type"]).reshape(shape),
        components,
        tuple(found["spacing"]),
        tuple(found["origin"]),
        np.reshape(found["direction"], (len(size), len(size))),
        found.get("said", {}),
    )


def _check_claim(path: Path, header: ImageHeader, stored: int, slices: int = 1) -> None:
    """Refuse a header that claims no voxels, or far more than there are bytes for, or memory, before that is taken for them.

    Parameters
    ----------
    slices
        How many files like this one are read into one volume.
    stored
        Bytes of all of them.

    Raises
    ------
    InputError
        Naming the file.
    """
    if min(header.size) < 1:
        shown = " x ".join(map(str, header.size))
        raise InputError(
            f"{path}: has {shown} pixels by its header, but an image is expected; export it again."
        )
    voxels = math.prod(header.size) * header.components * slices
    claimed = header.bytes * slices
    if claimed > UNCHECKED and claimed > MAX_COMPRESSION * stored:
        raise InputError(
            f"{path}: has a header that claims {voxels:.3g} voxels in a file of {stored} bytes, "
            "but a whole file is expected; copy or export it again."
        )
    if math.prod(header.size[:2]) > MAX_PIXELS:
        raise InputError(
            f"{path}: has {header.size[0]} x {header.size[1]} pixels by its header, but at most "
            f"{MAX_PIXELS >> 20} million are expected; check that it is the right file."
        )
    if claimed > UNCHECKED:
        check_room(path, f"{voxels:.3g} voxels", claimed + 4 * voxels)  # they are copied as float32


def affine_of(
    spacing_mm: Sequence[float], origin_mm: Sequence[float], direction: npt.ArrayLike
) -> np.ndarray:
    """Return (4, 4) float64: voxel index (i, j, k) of a 3D image to LPS mm.

    Direction has (3, 3) numbers, the axes as columns.
    """
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(direction, (3, 3)) * np.asarray(spacing_mm)
    affine[:3, 3] = origin_mm
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
    if not np.allclose(
        cosines.T @ cosines, np.eye(len(cosines)), rtol=0, atol=ORTHOGONAL_TOLERANCE
    ):
        raise _sheared(name)


def _sheared(name: str | Path) -> InputError:
    return InputError(
        f"{name}: its axes are not at right angles (a sheared direction matrix or NIfTI sform), "
        "but a rectangular grid is expected; resample it to one."
    )


def _check_nifti(path: Path, image: StoredImage) -> None:
    """Refuse two broken kinds of NIfTI that ITK reads without a word.

    A sheared sform beside a qform, and a cut file.
    """
    if int(image.said["sform_code"]) > 0:
        sform = np.array(
            [[float(x) for x in image.said[f"srow_{axis}"].split()] for axis in "xyz"]
        )[:, :3]
        with np.errstate(
            invalid="ignore", over="ignore"
        ):  # what is not finite is not at right angles
            check_right_angles(path, sform / np.maximum(np.linalg.norm(sform, axis=0), 1e-12))
    voxels = np.prod([max(1, int(image.said[f"dim[{d}]"])) for d in range(1, 8)], dtype=np.int64)
    expected = int(float(image.said["vox_offset"])) + int(voxels) * int(image.said["bitpix"]) // 8
    if (
        path.suffix == ".nii"
        and path.stat().st_size < expected
        or path.suffix == ".gz"
        and not _holds(path, expected)
    ):
        raise InputError(f"{path}: the file ends before its last voxel; copy or export it again.")


def _holds(path: Path, expected: int) -> bool:
    """Return whether a gzip file unpacks to at least `expected` bytes."""
    with open(
        path, "rb"
    ) as file:  # a whole file says its unpacked length at its end; only others are unpacked to see
        file.seek(-4, os.SEEK_END)
        if int.from_bytes(file.read(), "little") == expected % 2**32:
            return True
    try:
        with gzip.open(path) as file:
            left = expected
            while left > 0 and (
                chunk := file.read(1 << 20)
            ):  # no further: a small file may unpack to anything
                left -= len(chunk)
            return left <= 0
    except (EOFError, OSError, zlib.error):
        return False


def itk_image(values: np.ndarray, world_from_index: np.ndarray) -> sitk.Image:
    """Return SimpleITK's image of an array.

    Parameters
    ----------
    values
        The fastest axis last: (rows, columns) or (nk, nj, ni).
    world_from_index
        (n + 1, n + 1) with orthogonal axes, takes (i, j, ..., 1) to LPS mm.
    """
    import SimpleITK as sitk  # takes a while

    n = values.ndim
    axes = world_from_index[:n, :n]
    spacing = np.linalg.norm(axes, axis=0)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((axes / spacing).ravel().tolist())
    image.SetOrigin(world_from_index[:n, n].tolist())
    return image


def write_image(path: str | Path, image: sitk.Image) -> None:
    """Write an image in the format of the path's ending, compressed.

    Raises
    ------
    OSError
        Where it cannot be written; also where it does not come back from the disk: ITK's writers
        leave a short file on a full one without a word.
    """
    import SimpleITK as sitk

    open(path, "wb").close()  # ITK does not say why it cannot write
    try:
        sitk.WriteImage(image, path, useCompression=True)
        sitk.ReadImage(path)
    except RuntimeError:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None


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
    """Return the grey image in an array, taken as one in a file is.

    Parameters
    ----------
    values
        (rows, columns), bright values bright, of any integer or floating-point type: integers have
        a step of 1 and the white of the next usual number of bits, 8, 10, 12, 14 or 16; floating
        point has the step 0 and its largest value as white. Also (rows, columns, channels) where
        all channels are equal. Where not finite, they are not valid.
    pixel_mm
        (between columns, between rows) on the detector, None where unknown.

    Raises
    ------
    InputError
        Without a name in front, for colour, another shape, values that are no real numbers, and
        pixel_mm not above 0.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "iuf":
        raise InputError(
            f"holds values of type {values.dtype}, but grey levels, integers or floating point, "
            "are expected."
        )
    if values.ndim == 3 and 1 < values.shape[-1] <= MAX_CHANNELS:
        values = _grey(values)
    if values.ndim != 2 or not values.size:
        shape = " x ".join(str(size) for size in values.shape) or "no"
        raise InputError(
            f"has the shape {shape}, but an X-ray image of rows x columns is expected; give one "
            "frame."
        )
    if pixel_mm is not None and not (np.isfinite(pixel_mm).all() and min(pixel_mm) > 0):
        raise InputError(
            f"has pixels of {pixel_mm[0]:g} x {pixel_mm[1]:g} mm, but a size above 0 is expected; "
            "correct its spacing."
        )
    integer = values.dtype.kind in "iu"
    with np.errstate(over="ignore"):  # beyond float32 is not finite
        values = values.astype(np.float32)
    largest = float(values.max(initial=-np.inf, where=np.isfinite(values)))
    white = (
        next((2.0**bits - 1 for bits in (8, 10, 12, 14, 16) if largest < 2**bits), largest)
        if integer
        else largest
    )
    pixel_mm = None if pixel_mm is None else (float(pixel_mm[0]), float(pixel_mm[1]))
    return RawImage(values, float(integer), white, pixel_mm=pixel_mm)


def _grey(values: np.ndarray) -> np.ndarray:
    colours = values[..., :3]  # without opacity
    if colours.shape[-1] == 3 and np.ptp(colours, axis=-1).max() <= 2:
        return colours[..., 1]
    raise InputError(
        "is a colour image, but a grey X-ray image is expected; export it without colour overlays."
    )


ROWS_AT_ONCE = 32


def undistorted(raw: RawImage, lens: Lens | None) -> RawImage:
    """Return the image without its distortion, on the same grid of pixels and with the same intrinsics.

    Linear between pixels. What the image as it was taken does not show is NaN, and so left out of
    what is valid.
    """
    if lens is None:
        return raw
    is_open = None if raw.open is None else undistorted_mask(raw.open, lens)
    return replace(raw, values=_resampled(raw.values, lens, np.nan), open=is_open)


def undistorted_mask(used: np.ndarray, lens: Lens | None) -> np.ndarray:
    """Return a mask (rows, columns), drawn on the image as it was taken, on the undistorted one.

    It is True where all pixels between which that one's are interpolated are True.
    """
    return used if lens is None else _resampled(used.astype(np.float32), lens, 0.0) > 1 - 1e-3


def _resampled(image: np.ndarray, lens: Lens, outside: float) -> np.ndarray:
    """Return the image (rows, columns) at where each pixel of the undistorted one comes from, float32.

    A few rows at a time, as the formula takes several times the memory of an image.
    """
    intrinsics, distortion = lens
    result = np.empty(image.shape, np.float32)
    for top in range(0, len(image), ROWS_AT_ONCE):
        part = result[top : top + ROWS_AT_ONCE]
        v, u = np.indices(part.shape)
        pixels = distortion.distort_pixels(intrinsics, np.stack([u, v + top], -1))
        scipy.ndimage.map_coordinates(
            image, (pixels[..., 1], pixels[..., 0]), part, order=1, cval=outside
        )
    return result
