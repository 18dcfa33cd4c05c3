"""DICOM X-rays as raw images: stored pixels, grey scale and its meaning, and shutters.

The modality LUT is applied, as it gives the pixel values their meaning; VOI LUTs and windows are
for display, and are not.
"""

from __future__ import annotations

import math
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .dicom_file import BIG_ENDIAN, DicomFile, DicomFrame, is_localizer, lies_down, quiet
from .reading import MAX_PIXELS, RawImage, read_image

if TYPE_CHECKING:
    import pydicom

JPEG_BEGINS = b"\xff\xd8"
#: Markers of a frame's header in JPEG (ISO 10918-1, B.1.1.3) and JPEG-LS (ISO 14495-1, C.1.1.1).
FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
#: Markers without a length behind them.
ALONE = {0x01, *range(0xD0, 0xDA)}


def jpeg_size(encoded: bytes) -> tuple[int, int, int] | None:
    """(columns, rows, components) of JPEG or JPEG-LS; None where they are not said."""
    at = 2
    while at + 10 <= len(encoded) and encoded[at] == 0xFF:
        marker, length, rows, columns, components = struct.unpack_from(">xBHxHHB", encoded, at)
        if marker in FRAMES:
            return columns, rows, components
        if marker == 0xFF:
            at += 1
        else:
            at += 2 if marker in ALONE else 2 + length
    return None


RLE = "1.2.840.10008.1.2.5"
RLE_HEADER_BYTES = 64


def is_rle_of(encoded: bytes, pixels: int, segments: int) -> bool:
    """Return whether RLE (PS3.5, Annex G) has so many segments, each with a byte for each pixel."""
    count, *begins = struct.unpack_from("<16I", encoded.ljust(RLE_HEADER_BYTES, b"\0"))
    ends = [*begins[1:segments], len(encoded)]
    return count == segments and all(
        _holds(encoded[begin:end], pixels) for begin, end in zip(begins, ends)
    )


def _holds(segment: bytes, count: int) -> bool:
    """Return whether a segment of RLE unpacks to so many bytes; zeros behind them fill it up."""
    at = 0
    while at < len(segment) and count > 0:
        code = segment[at]
        literal = code < 128
        if code != 128:  # which means nothing
            count -= min(code + 1, len(segment) - at - 1) if literal else 257 - code
        at += code + 2 if literal else 1 + (code > 128)
    return count == 0 and not any(segment[at:])


#: Pixels for each byte: an X-ray has noise, and compresses far less.
MAX_COMPRESSION = 5000


#: A compressed frame begins with tag and length of its item (PS3.5 A.4).
COMPRESSED_FRAME_BITS = 64


def frame_count(file: DicomFile) -> int:
    """Return the number of frames in the header.

    Raises
    ------
    InputError
        If there are none, or more than the file has room for.
    """
    count = file.whole("NumberOfFrames", 1)
    if count < 1:
        file.refuse(f"has {count} frames by its header, expected 1 or more; export the file again.")
    frame_bits = COMPRESSED_FRAME_BITS
    if not file.compressed:
        sizes = (file.whole(key, 1) for key in ("Rows", "Columns", "BitsAllocated"))
        frame_bits = math.prod(sizes)
    size = file.path.stat().st_size
    if count > 1 and count * frame_bits > 8 * size:
        file.refuse(
            f"ends early: its header states {count} frames, but the file has {size} bytes; copy or "
            "export the file again."
        )
    return count


def requested_frame(file: DicomFile, frame: int | None) -> DicomFrame:
    """Return a frame, from 0, the first for None.

    Raises
    ------
    InputError
        For one that is not there.
    """
    count = frame_count(file)
    index = frame or 0
    if not 0 <= index < count:
        file.refuse(
            f"frame {index} was requested, but it has {count}; give a frame from 0 to {count - 1}."
        )
    return DicomFrame(file, index)


#: Bits of a stored value of an image.
BITS = (8, 16, 32)


def stored_pixels(file: DicomFile, frame: int, bits: tuple[int, ...] = BITS) -> np.ndarray:
    """Return the stored values (rows, columns) of a frame, from 0, integers.

    Only that frame is decoded.

    Parameters
    ----------
    bits
        How many a value may be allocated; single bits are read where they are not compressed.

    Raises
    ------
    InputError
        For a file that ends early or claims more than it holds, and for pixels that cannot be
        decoded.
    """
    rows, columns, allocated, stored = (
        file.whole(key) for key in ("Rows", "Columns", "BitsAllocated", "BitsStored")
    )
    if file.pixels_at is None:
        file.refuse(
            "has no pixels (PixelData), or ends before them, expected an X-ray image; copy or "
            "export the file again."
        )
    if allocated == 1 and (file.compressed or file.syntax == BIG_ENDIAN):
        file.refuse(
            "has compressed single bits, which are not read, expected them as they are; export it "
            "uncompressed."
        )
    if min(rows, columns) < 1 or allocated not in bits or not 0 < stored <= allocated:
        file.refuse(
            f"has {columns} x {rows} pixels of {stored} bits in {allocated}, expected an image of "
            "8, 16 or 32 bits; export it again."
        )
    if rows * columns > MAX_PIXELS:
        file.refuse(
            f"has {columns} x {rows} pixels by its header, expected an X-ray image of at most "
            f"{MAX_PIXELS >> 20} million; check that it is the right file."
        )
    pixels = (
        _decoded(file, frame, rows, columns)
        if file.compressed
        else _plain(file, frame, rows, columns, allocated)
    )
    return _of_bits_stored(file, pixels, allocated, stored)


def _plain(file: DicomFile, frame: int, rows: int, columns: int, allocated: int) -> np.ndarray:
    """Single bits follow each other over the ends of frames, too (PS3.5, 8.1.1)."""
    size = rows * columns * allocated
    claimed = -(-size * frame_count(file) // 8)
    begin = size * frame
    first = file.pixels_at or 0
    with file.opened() as data:
        there = min(len(data) - first, file.pixels_length or len(data))
        if there < claimed:
            file.refuse(
                f"ends early: its header claims {claimed} bytes of pixels, but {there} are there, "
                "expected a whole file; copy or export it again."
            )
        if any(data[first + claimed + 1 : first + (file.pixels_length or 0)]):
            file.refuse(
                f"has {columns} x {rows} pixels by its header, {claimed} bytes, but {there} bytes of "
                "pixels, expected one size; copy or export it again."
            )
        if allocated == 8 and file.syntax == BIG_ENDIAN and data[first - 8 : first - 6] == b"OW":
            words = np.frombuffer(data[first : first + claimed + claimed % 2], ">u2")
            stored = words.byteswap().tobytes()[begin // 8 : (begin + size) // 8]
        else:
            stored = data[first + begin // 8 : first - (-(begin + size) // 8)]
    if allocated == 1:
        packed = np.frombuffer(stored, np.uint8)
        unpacked = np.unpackbits(packed, bitorder="little")[begin % 8 :][:size]
        return unpacked.reshape(rows, columns)
    sign = "i" if file.whole("PixelRepresentation", 0) else "u"
    order = ">" if file.syntax == BIG_ENDIAN else "<"
    values = np.frombuffer(stored, f"{order}{sign}{allocated // 8}").reshape(rows, columns)
    return values.astype(values.dtype.newbyteorder("="))


def _decoded(file: DicomFile, frame: int, rows: int, columns: int) -> np.ndarray:
    """By the decoders in SimpleITK, from a DICOM file of that frame alone, with nothing but what describes its pixels.

    pydicom decodes JPEG lossless, which most C-arms write, only with a plug-in that Slicer does not
    have. SimpleITK reads wrong pixels from JPEG-LS and RLE data whose size differs from the header's,
    so the sizes are compared first.
    """
    import pydicom

    with quiet():
        uid = pydicom.uid.UID(file.syntax)
        name = uid.name if uid.is_valid else "no UID"
    try:
        with file.opened() as data, quiet():
            data.seek(file.pixels_at or 0)
            encoded = pydicom.encaps.get_frame(data, frame, number_of_frames=frame_count(file))  # type: ignore[arg-type]
    except Exception:
        file.refuse(
            f"ends early, or frame {frame} is damaged, expected all of the frames that its header "
            "claims; copy or export it again."
        )
    if rows * columns > MAX_COMPRESSION * len(encoded):
        file.refuse(
            f"has {columns} x {rows} pixels by its header, but {len(encoded)} bytes for them, "
            "expected a whole file; copy or export it again."
        )
    if (encoded[:2] == JPEG_BEGINS and jpeg_size(encoded) != (columns, rows, 1)) or (
        file.syntax == RLE
        and not is_rle_of(encoded, rows * columns, file.whole("BitsAllocated") // 8)
    ):
        file.refuse(
            f"has {columns} x {rows} pixels by its header, but its compressed pixels ({name}) "
            "are damaged or of another size, expected one size; copy or export it again."
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "frame.dcm")
        try:
            with quiet():
                pydicom.dcmwrite(path, _of_one_frame(file, uid, encoded))
            values = read_image(path).values
        except Exception:
            file.refuse(
                f"its pixels ({name}) cannot be decoded: they are damaged, or in a compression "
                "that is not read; export the file uncompressed."
            )
    values = values.reshape(values.shape[-2:]) if values.ndim == 3 and len(values) == 1 else values
    if values.shape != (rows, columns) or values.dtype.kind not in "iu":
        file.refuse(
            f"has {columns} x {rows} pixels by its header, but others within, expected one size; "
            "export it again."
        )
    return values


def _of_one_frame(file: DicomFile, syntax: pydicom.uid.UID, encoded: bytes) -> pydicom.Dataset:
    """Return what describes the pixels of a file, with one frame alone."""
    import pydicom

    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.FileMetaInformationGroupLength = 0
    one = pydicom.FileDataset("", {}, bytes(128), meta, is_implicit_VR=False)
    for key in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        if file.value(key) is not None:
            one[key] = file.header[key]
    one.PhotometricInterpretation = "MONOCHROME2"
    one.SamplesPerPixel = 1
    one.PixelRepresentation = file.whole("PixelRepresentation", 0)
    one.add_new("PixelData", "OB", pydicom.encaps.encapsulate([encoded]))
    return one


def stored_range(file: DicomFile) -> tuple[int, int]:
    """Return the least and the largest value that can be stored."""
    bits = file.whole("BitsStored")
    signed = file.whole("PixelRepresentation", 0)
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def _of_bits_stored(file: DicomFile, pixels: np.ndarray, allocated: int, stored: int) -> np.ndarray:
    """Return the values without what else stands in their unused bits, overlays for one (PS3.5, 8.1.1)."""
    high = file.whole("HighBit", stored - 1)
    if stored == allocated or not stored - 1 <= high < allocated or file.compressed:
        return pixels
    above = allocated - 1 - high
    return (pixels << above) >> (allocated - stored)


TRANSFORMATION = "PixelValueTransformationSequence"
PROPERTIES = "FramePixelDataPropertiesSequence"
#: Pixel Intensity Relationship (PS3.3 C.8.7.1.1.2, C.8.11.3.1.2); DISP, made for display, says
#: nothing that could be computed with.
CURVES = {"LIN": "linear", "LOG": "log"}


def is_grey(file: DicomFile) -> bool:
    """Return whether its pixels have one grey value each, as those of XA, XRF, CR and DX."""
    return file.whole("SamplesPerPixel", 1) == 1 and file.text("PhotometricInterpretation") in (
        "MONOCHROME1",
        "MONOCHROME2",
    )


def has_grey_scale(file: DicomFile, frame: int | None) -> bool:
    """Return whether the header says what its grey values are, or that they are not what an image is taken for that says nothing.

    Linear.
    """
    header = DicomFrame(file, frame or 0)
    curve, sign = _relationship(header)
    return (
        is_localizer(file)
        or curve == "log"
        or curve is not None
        and sign is not None
        or _to_linear(header, curve) is not None
    )


def dicom_image(file: DicomFile, frame: int | None) -> RawImage:
    """Return one frame of a DICOM X-ray.

    Raises
    ------
    InputError
        For a frame that is not there, and for what `stored_pixels` refuses.
    """
    header = requested_frame(file, frame)
    stored = stored_pixels(file, header.index)
    curve, sign = _relationship(header)
    linear = _to_linear(header, curve)
    if linear is not None:
        values, low, high = _looked_up(file, stored, linear)
        step = 1.0
        curve = "linear"
        sign = 1
    else:
        values, low, high, step, curve, turned = _modality(header, stored, curve)
        sign = None if sign is None else sign * turned
    values = values.astype(np.float32)
    if file.text("PhotometricInterpretation") == "MONOCHROME1":
        values = np.float32(low + high) - values
        sign = None if sign is None else -sign
    if is_localizer(file):
        values = _in_nepers(values)
        step = 0.0
        curve = "log"
        sign = -1
    pixel_mm = _pixel_mm(header)
    opened = open_pixels(header, stored.shape)
    if lies_down(file):
        values = np.ascontiguousarray(np.rot90(values, -1))
        pixel_mm = pixel_mm and pixel_mm[::-1]
        opened = None if opened is None else np.ascontiguousarray(np.rot90(opened, -1))
    bone_bright = None if sign is None else sign < 0
    return RawImage(values, step, high, curve, pixel_mm, bone_bright, opened)


def _in_nepers(values: np.ndarray) -> np.ndarray:
    """Line integrals of a localizer, whose grey values rise with them in steps that no header tells."""
    air, dense = np.percentile(values, LOCALIZER_PERCENTILES)
    return (values - np.float32(air)) * np.float32(LOCALIZER_NEPERS / max(dense - air, 1.0))


def _relationship(frame: DicomFrame) -> tuple[str | None, int | None]:
    """Return the curve, and whether larger stored values are more (1) or less (-1) intensity.

    None for what the header does not say.
    """
    sign = frame.number("PixelIntensityRelationshipSign", PROPERTIES)
    return CURVES.get(frame.text("PixelIntensityRelationship", PROPERTIES)), int(sign) if sign in (
        1,
        -1,
    ) else None


def _to_linear(frame: DicomFrame, curve: str | None) -> pydicom.Dataset | None:
    """Return the table that makes stored values linear in intensity, where they are not (PS3.3 C.7.6.16.2.13)."""
    tables = frame.items("PixelIntensityRelationshipLUTSequence") if curve != "linear" else []
    return next(
        (table for table in tables if frame.file.text("LUTFunction", table) == "TO_LINEAR"), None
    )


def _modality(
    frame: DicomFrame, stored: np.ndarray, curve: str | None
) -> tuple[np.ndarray, float, float, float, str | None, int]:
    """Values after the modality LUT, their least and largest, their step, their curve, and -1 where it turned their order round.

    pydicom's `apply_modality_lut` knows no scale of a frame's own, and no table that begins below 0.
    """
    file = frame.file
    tables = file.items("ModalityLUTSequence")
    if tables:
        values, low, high = _looked_up(file, stored, tables[0])
        falls = _table(file, tables[0])[0]
        turned = -1 if falls[-1] < falls[0] else 1
        return (
            values,
            low,
            high,
            1.0,
            "linear" if curve == "log" and file.text("Modality") in ("XA", "RF") else curve,
            turned,
        )
    slope = frame.number("RescaleSlope", TRANSFORMATION)
    slope = 1.0 if slope is None else slope
    intercept = frame.number("RescaleIntercept", TRANSFORMATION) or 0.0
    if slope == 0:
        file.refuse("has a RescaleSlope of 0, expected another number; export it again.")
    low, high = sorted(slope * number + intercept for number in stored_range(file))
    with np.errstate(over="ignore", invalid="ignore"):
        values = slope * stored.astype(np.float64) + intercept
    if not max(abs(low), abs(high), np.abs(values).max()) < float(np.finfo(np.float32).max) / 4:
        file.refuse(
            "has a RescaleSlope or RescaleIntercept beyond all measure, expected grey values; "
            "export it again."
        )
    return values, low, high, abs(slope), curve, 1 if slope > 0 else -1


def _looked_up(
    file: DicomFile, stored: np.ndarray, table: pydicom.Dataset
) -> tuple[np.ndarray, float, float]:
    """Return the values of a table, and the least and largest that it has."""
    entries, first = _table(file, table)
    values = entries[np.clip(stored.astype(np.int64) - first, 0, len(entries) - 1)]
    return values, 0.0, float(entries.max())


def _table(file: DicomFile, table: pydicom.Dataset) -> tuple[np.ndarray, int]:
    """Return the entries (n,) of a look-up table, and the stored value of the first (PS3.3 C.11.1.1)."""
    descriptor = file.numbers("LUTDescriptor", table)
    data = file.value("LUTData", table)
    if isinstance(data, bytes):
        data = np.frombuffer(data[: len(data) // 2 * 2], "<u2")
    entries = np.array([] if data is None else data).ravel()
    count = int(descriptor[0]) % 65536 or 65536 if len(descriptor) == 3 else -1
    if len(entries) != count or entries.dtype.kind not in "iu" or np.ptp(entries) == 0:
        file.refuse(
            "has a look-up table that does not fit its LUTDescriptor, expected as many entries as "
            "that says; export it again."
        )
    return entries.astype(np.int64) & 0xFFFF, int(descriptor[1])


def _pixel_mm(frame: DicomFrame) -> tuple[float, float] | None:
    """(between columns, between rows) on the detector, where the header says it.

    PixelSpacing may be that of a plane in the patient.
    """
    spacing = frame.numbers("ImagerPixelSpacing", PROPERTIES)
    return (
        (float(spacing[1]), float(spacing[0])) if len(spacing) == 2 and spacing.min() > 0 else None
    )


#: What a localizer shows from air to dense bone, in nepers: 6.4 in both of a head
#: (shared/data/scout), by its CT.
LOCALIZER_NEPERS = 6.0
LOCALIZER_PERCENTILES = (1.0, 99.5)

GROUP = "FrameDisplayShutterSequence"
EDGES = (
    "ShutterLeftVerticalEdge",
    "ShutterRightVerticalEdge",
    "ShutterUpperHorizontalEdge",
    "ShutterLowerHorizontalEdge",
)


def open_pixels(frame: DicomFrame, shape: tuple[int, int]) -> np.ndarray | None:
    """Return bool (rows, columns), True where no shutter hides the pixel; None without shutters.

    Of several shutters the least is left. Edges count as open; DICOM counts rows and columns from
    1.

    Raises
    ------
    InputError
        For a shutter without its numbers, and one that leaves nothing.
    """
    shapes = frame.texts("ShutterShape", GROUP)
    known = [name for name in shapes if name in _SHUTTERS]
    if not known:
        return None
    is_open = np.ones(shape, bool)
    rows, columns = (np.arange(1, size + 1) for size in shape)
    for name in known:
        is_open &= _SHUTTERS[name](frame, rows[:, None], columns)
    if not is_open.any():
        frame.file.refuse(
            "its shutters hide every pixel, expected something to be left; export the image "
            "without them."
        )
    return is_open


def _rectangular(frame: DicomFrame, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    left, right, upper, lower = (frame.exactly(1, edge, GROUP)[0] for edge in EDGES)
    return (columns >= left) & (columns <= right) & (rows >= upper) & (rows <= lower)


def _circular(frame: DicomFrame, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the radius counts pixels along a row.

    Where pixels are not square it has fewer or more rows.
    """
    row, column = frame.exactly(2, "CenterOfCircularShutter", GROUP)
    (radius,) = frame.exactly(1, "RadiusOfCircularShutter", GROUP)
    spacing = frame.numbers("ImagerPixelSpacing", PROPERTIES)
    tall = spacing[0] / spacing[1] if len(spacing) == 2 and spacing.min() > 0 else 1.0
    return (columns - column) ** 2 + (tall * (rows - row)) ** 2 <= radius**2


def _polygonal(frame: DicomFrame, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the pixels inside a polygon, by how often a ray to the right crosses its sides."""
    numbers = frame.numbers("VerticesOfThePolygonalShutter", GROUP)
    if len(numbers) < 6 or len(numbers) % 2:
        frame.file.refuse(
            "its polygonal shutter has no VerticesOfThePolygonalShutter, rows and columns of three "
            "or more, expected them; export the image again."
        )
    vertices = numbers.reshape(-1, 2)
    inside = np.zeros((len(rows), len(columns)), bool)
    for (row_a, column_a), (row_b, column_b) in zip(vertices, np.roll(vertices, -1, axis=0)):
        if row_a == row_b:
            continue
        crosses = (rows >= min(row_a, row_b)) & (rows < max(row_a, row_b))
        inside ^= crosses & (
            columns <= column_a + (rows - row_a) * (column_b - column_a) / (row_b - row_a)
        )
    return inside


_SHUTTERS = {"RECTANGULAR": _rectangular, "CIRCULAR": _circular, "POLYGONAL": _polygonal}
