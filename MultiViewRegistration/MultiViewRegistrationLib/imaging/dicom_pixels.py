"""The pixels of one frame of a DICOM X-ray, as they are stored."""

from __future__ import annotations

import mmap
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .dicom_file import BIG_ENDIAN, DicomFile, quiet
from .reading import MAX_PIXELS, read_image, silenced

if TYPE_CHECKING:
    import pydicom


J2K_BEGINS = b"\xff\x4f\xff\x51"  # start of codestream, image and tile size (ISO 15444-1, A.4 and A.5)
JPEG_BEGINS = b"\xff\xd8"
#: Markers of a frame's header in JPEG (ISO 10918-1, B.1.1.3) and JPEG-LS (ISO 14495-1, C.1.1.1).
FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
#: Markers without a length behind them.
ALONE = {0x01, *range(0xD0, 0xDA)}
MAX_TILES = 1 << 12


def size_of(encoded: bytes) -> tuple[int, int, int] | None:
    """(columns, rows, components) of JPEG, JPEG-LS or JPEG 2000; None for another stream, and for one in so many tiles that it is none."""
    if encoded[:2] == JPEG_BEGINS:
        return _jpeg(encoded)
    at = encoded[:4096].find(J2K_BEGINS)
    return None if at < 0 else _j2k(encoded[at + 4 : at + 42])


def _jpeg(encoded: bytes) -> tuple[int, int, int] | None:
    at = 2
    while at + 10 <= len(encoded):
        if encoded[at] != 0xFF:
            return None
        marker = encoded[at + 1]
        if marker in FRAMES:
            rows, columns = (int.from_bytes(encoded[start : start + 2], "big") for start in (at + 5, at + 7))
            return columns, rows, encoded[at + 9]
        alone = marker in ALONE
        at += 1 if marker == 0xFF else 2 if alone else 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")
    return None


def _j2k(sizes: bytes) -> tuple[int, int, int] | None:
    if len(sizes) < 38:
        return None
    right, bottom, left, top, tile_columns, tile_rows = (
        int.from_bytes(sizes[at : at + 4], "big") for at in range(4, 28, 4)
    )
    components = int.from_bytes(sizes[36:38], "big")
    if min(tile_columns, tile_rows) < 1 or -(-right // tile_columns) * -(-bottom // tile_rows) > MAX_TILES:
        return None
    return right - left, bottom - top, components


RLE = "1.2.840.10008.1.2.5"
#: Pixels for each byte: an X-ray has noise, and compresses far less.
MAX_COMPRESSION = 5000
DESCRIBED = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)


def frame_count(file: DicomFile) -> int:
    """How many frames the header says.

    Raises
    ------
    InputError
        For none.
    """
    count = file.whole("NumberOfFrames", 1)
    if count < 1:
        file.refuse(f"has {count} frames by its header, expected 1 or more; export the file again.")
    return count


def check_claimed_size(file: DicomFile) -> None:
    """For a reader that makes room for all frames of any kind of image by the header's word.

    Raises
    ------
    InputError
        Where the file is far too small.
    """
    rows, columns, samples, allocated = (
        file.whole(key, 1) for key in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")
    )
    claimed, there = rows * columns * samples * frame_count(file), file.path.stat().st_size
    if (
        min(rows, columns, samples, allocated) < 1
        or claimed * (1 / MAX_COMPRESSION if file.compressed else allocated / 8) > there
    ):
        file.refuse(
            f"has {columns} x {rows} x {samples} values in each of {frame_count(file)} frames by its header, but {there} bytes, "
            "expected a whole file; copy or export it again."
        )


def stored_pixels(file: DicomFile, frame: int) -> np.ndarray:
    """The stored values (rows, columns) of a frame, from 0, integers. Only that frame is decoded.

    Raises
    ------
    InputError
        For a file that ends early or claims more than it holds, and for pixels that cannot be decoded.
    """
    rows, columns, allocated, stored = (file.whole(key) for key in ("Rows", "Columns", "BitsAllocated", "BitsStored"))
    if file.pixels_at is None:
        file.refuse(
            "has no pixels (PixelData), or ends before them, expected an X-ray image; copy or export the file again."
        )
    if min(rows, columns) < 1 or allocated not in (8, 16, 32) or not 0 < stored <= allocated:
        file.refuse(
            f"has {columns} x {rows} pixels of {stored} bits in {allocated}, expected an image of 8, 16 or 32 bits; export it "
            "again."
        )
    if rows * columns > MAX_PIXELS:
        file.refuse(
            f"has {columns} x {rows} pixels by its header, expected an X-ray image of at most {MAX_PIXELS >> 20} million; check "
            "that it is the right file."
        )
    pixels = _decoded(file, frame, rows, columns) if file.compressed else _plain(file, frame, rows, columns, allocated)
    return _of_bits_stored(file, pixels, allocated, stored)


def _plain(file: DicomFile, frame: int, rows: int, columns: int, allocated: int) -> np.ndarray:
    size, count = rows * columns * allocated // 8, frame_count(file)
    with file.opened() as data:
        there = len(data) - file.pixels_at
        if min(there, file.pixels_length or there) < size * count:
            file.refuse(
                f"ends early: its header claims {size * count} bytes of pixels, but {min(there, file.pixels_length or there)} "
                "are there, expected a whole file; copy or export it again."
            )
        at = file.pixels_at + frame * size
        bytes_ = data[at : at + size]
    sign = "i" if file.whole("PixelRepresentation", 0) else "u"
    order = ">" if file.syntax == BIG_ENDIAN else "<"
    return (
        np.frombuffer(bytes_, f"{order}{sign}{allocated // 8}")
        .reshape(rows, columns)
        .astype(f"={sign}{allocated // 8}")
    )


def _decoded(file: DicomFile, frame: int, rows: int, columns: int) -> np.ndarray:
    import pydicom

    with quiet():
        uid = pydicom.uid.UID(file.syntax)
    if not uid.is_valid or uid.is_private or uid.type != "Transfer Syntax":
        shown = file.syntax if uid.is_valid else "no UID"
        file.refuse(
            f"is stored in an unknown transfer syntax ({shown}), expected one of DICOM's; export it uncompressed."
        )
    encoded = _encoded_frame(file, frame)
    if rows * columns > MAX_COMPRESSION * len(encoded):
        file.refuse(
            f"has {columns} x {rows} pixels by its header, but {len(encoded)} bytes for them, expected a whole file; copy or "
            "export it again."
        )
    if file.syntax != RLE and size_of(encoded) != (columns, rows, 1):
        file.refuse(
            f"has {columns} x {rows} pixels by its header, but its compressed pixels ({uid.name}) are damaged or of another size, "
            "expected one size; copy or export it again."
        )
    one = _one_frame(file, encoded)
    pixels = _decoded_by_plugins(one)
    pixels = _decoded_by_itk(file, one) if pixels is None else pixels
    if pixels.shape != (rows, columns) or pixels.dtype.kind not in "iu":
        file.refuse(
            f"has {columns} x {rows} pixels by its header, but others within, expected one size; export it again."
        )
    return pixels


def _encoded_frame(file: DicomFile, frame: int) -> bytes:
    """The compressed pixels of a frame."""
    count = frame_count(file)
    try:
        with file.opened() as data, quiet():
            data.seek(file.pixels_at)
            return _encoded(data, frame, count)
    except Exception:
        file.refuse(
            f"ends early, or frame {frame} is damaged, expected all of the frames that its header claims; copy or export it "
            "again."
        )


def _one_frame(file: DicomFile, encoded: bytes) -> pydicom.Dataset:
    """A DICOM image of one compressed frame alone, with nothing but what describes its pixels."""
    import pydicom

    one = pydicom.Dataset()
    for key in DESCRIBED:
        if (value := file.value(key)) is not None:
            setattr(one, key, value)
    one.PixelRepresentation = file.whole("PixelRepresentation", 0)
    one.NumberOfFrames = 1
    one.SOPClassUID, one.SOPInstanceUID = pydicom.uid.SecondaryCaptureImageStorage, pydicom.uid.generate_uid()
    one.file_meta = pydicom.dataset.FileMetaDataset()
    one.file_meta.TransferSyntaxUID = file.syntax
    one.file_meta.MediaStorageSOPClassUID, one.file_meta.MediaStorageSOPInstanceUID = (
        one.SOPClassUID,
        one.SOPInstanceUID,
    )
    one.PixelData = pydicom.encaps.encapsulate([encoded])
    one["PixelData"].VR = "OB"
    one["PixelData"].is_undefined_length = True
    return one


def _encoded(data: mmap.mmap, frame: int, count: int) -> bytes:
    """A frame of the encapsulated pixels that begin where `data` stands."""
    from pydicom import encaps

    if hasattr(encaps, "get_frame"):  # pydicom 3
        return encaps.get_frame(data, frame, number_of_frames=count)
    for number, encoded in enumerate(encaps.generate_pixel_data_frame(data.read(), count)):
        if number == frame:
            return encoded
    raise ValueError


def _decoded_by_plugins(one: pydicom.Dataset) -> np.ndarray | None:
    """By the first of pydicom's decoders that can; None where there is none, or all fail."""
    for plugin in _plugins(one.file_meta.TransferSyntaxUID):
        try:
            with quiet(), silenced():
                if _pydicom_is_2():
                    one.convert_pixel_data(plugin)
                else:
                    one.pixel_array_options(decoding_plugin=plugin)
                return np.asarray(one.pixel_array)
        except Exception:  # noqa: PERF203 - each fails in its own way
            continue
    return None


def _plugins(syntax: str) -> list[str]:
    """The decoders to ask, but for gdcm's: of a damaged image it ends the whole process. SimpleITK has another of it, which does not."""
    if _pydicom_is_2():
        return ["rle", "pillow", "pylibjpeg"]
    from pydicom.pixels import get_decoder

    try:
        return [name for name in get_decoder(syntax).available_plugins if name != "gdcm"]
    except NotImplementedError:  # a transfer syntax that is none of pixels
        return []


def _pydicom_is_2() -> bool:
    import pydicom

    return pydicom.__version_info__[0] == "2"


def _decoded_by_itk(file: DicomFile, one: pydicom.Dataset) -> np.ndarray:
    """By the decoders in SimpleITK, for a compression of which pydicom has no plugin."""
    import pydicom
    import SimpleITK as sitk

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "frame.dcm")
        try:
            with quiet():
                if _pydicom_is_2():
                    one.is_little_endian, one.is_implicit_VR = True, False
                    pydicom.dcmwrite(path, one, write_like_original=False)
                else:
                    pydicom.dcmwrite(path, one, enforce_file_format=True)
            values = sitk.GetArrayFromImage(read_image(path))
        except Exception:
            name = pydicom.uid.UID(file.syntax).name
            file.refuse(
                f"its pixels ({name}) cannot be decoded: they are damaged, or no plugin for pydicom decodes them; install "
                "multiview-registration[dicom], or export the file uncompressed."
            )
    values = values.reshape(values.shape[-2:]) if values.ndim == 3 and len(values) == 1 else values
    photometric = file.text("PhotometricInterpretation")
    if photometric == "MONOCHROME1" and values.dtype.kind in "iu":  # ITK turned them round
        low, high = stored_range(file)
        return (low + high - values.astype(np.int64)).astype(values.dtype)
    return values


def stored_range(file: DicomFile) -> tuple[int, int]:
    """The least and the largest value that can be stored."""
    bits, signed = file.whole("BitsStored"), file.whole("PixelRepresentation", 0)
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def _of_bits_stored(file: DicomFile, pixels: np.ndarray, allocated: int, stored: int) -> np.ndarray:
    """The values without what else stands in their unused bits, overlays for one (PS3.5, 8.1.1)."""
    high = file.whole("HighBit", stored - 1)
    if stored == allocated or not stored - 1 <= high < allocated or file.compressed:
        return pixels
    above = allocated - 1 - high
    return (pixels << above) >> (allocated - stored)
