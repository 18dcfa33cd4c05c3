"""DICOM X-rays as raw images: their grey scale, what it means, and their shutters.

The modality LUT is applied, as it gives the pixel values their meaning; VOI LUTs and windows are for display, and are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from .dicom_file import DicomFile
from .dicom_frame import DicomFrame
from .dicom_pixels import frame_count, stored_pixels, stored_range
from .dicom_shutter import open_pixels
from .raw_image import RawImage

if TYPE_CHECKING:
    import pydicom

PROPERTIES = "FramePixelDataPropertiesSequence"
#: Pixel Intensity Relationship (PS3.3 C.8.7.1.1.2, C.8.11.3.1.2); DISP, made for display, says nothing that could be computed with.
CURVES = {"LIN": "linear", "LOG": "log"}


def is_grey(file: DicomFile) -> bool:
    """Whether its pixels have one grey value each, as those of XA, XRF, CR and DX."""
    return file.whole("SamplesPerPixel", 1) == 1 and file.text("PhotometricInterpretation") in (
        "MONOCHROME1",
        "MONOCHROME2",
    )


def says_grey_scale(file: DicomFile, frame: int | None = None) -> bool:
    """Whether the header says what its grey values are, or that they are not what an image is taken for that says nothing: linear."""
    header = DicomFrame(file, frame or 0)
    curve, sign = _relationship(header)
    return curve == "log" or curve is not None and sign is not None or _to_linear(header, curve) is not None


def dicom_image(file: DicomFile, frame: int | None = None) -> RawImage:
    """One frame of a DICOM X-ray. InputError for a frame that is not there, and for what `stored_pixels` refuses."""
    count, index = frame_count(file), frame or 0
    if not 0 <= index < count:
        file.refuse(f"frame {index} is asked for, but it has {count}; give a frame from 0 to {count - 1}.")
    header = DicomFrame(file, index)
    stored = stored_pixels(file, index)
    curve, sign = _relationship(header)
    linear = _to_linear(header, curve)
    if linear is not None:
        values, low, high = _looked_up(file, stored, linear)
        step, curve, sign = 1.0, "linear", 1
    else:
        values, low, high, step, curve, turned = _modality(header, stored, curve)
        sign = None if sign is None else sign * turned
    values = values.astype(np.float32)
    if file.text("PhotometricInterpretation") == "MONOCHROME1":
        values, sign = np.float32(low + high) - values, None if sign is None else -sign
    return RawImage(
        values,
        step,
        high,
        curve,
        _pixel_mm(header),
        bone_bright=None if sign is None else sign < 0,
        open=open_pixels(header, stored.shape),
    )


def _relationship(frame: DicomFrame) -> tuple[str | None, int | None]:
    """The curve, and whether larger stored values are more (1) or less (-1) intensity; None for what the header does not say."""
    sign = frame.number("PixelIntensityRelationshipSign", PROPERTIES)
    return CURVES.get(frame.text("PixelIntensityRelationship", PROPERTIES)), int(sign) if sign in (1, -1) else None


def _to_linear(frame: DicomFrame, curve: str | None) -> pydicom.Dataset | None:
    """The table that makes stored values linear in intensity, where they are not (PS3.3 C.7.6.16.2.13)."""
    tables = frame.items("PixelIntensityRelationshipLUTSequence") if curve != "linear" else []
    return next((table for table in tables if frame.file.text("LUTFunction", table) == "TO_LINEAR"), None)


def _modality(
    frame: DicomFrame, stored: np.ndarray, curve: str | None
) -> tuple[np.ndarray, float, float, float, str | None, int]:
    """Values after the modality LUT, their least and largest, their step, their curve, and -1 where it turned their order round."""
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
    slope, intercept = (
        number if (number := frame.number(key, "PixelValueTransformationSequence")) is not None else default
        for key, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    if slope == 0:
        file.refuse("has a RescaleSlope of 0, expected another number; export it again.")
    low, high = sorted(slope * number + intercept for number in stored_range(file))
    with np.errstate(over="ignore", invalid="ignore"):
        values = slope * stored.astype(np.float64) + intercept
    if not max(abs(low), abs(high), np.abs(values).max()) < float(np.finfo(np.float32).max) / 4:
        file.refuse("has a RescaleSlope or RescaleIntercept beyond all measure, expected grey values; export it again.")
    return values, low, high, abs(slope), curve, 1 if slope > 0 else -1


def _looked_up(file: DicomFile, stored: np.ndarray, table: pydicom.Dataset) -> tuple[np.ndarray, float, float]:
    """The values of a table, and the least and largest that it has."""
    entries, first = _table(file, table)
    values = entries[np.clip(stored.astype(np.int64) - first, 0, len(entries) - 1)]
    return values, 0.0, float(entries.max())


def _table(file: DicomFile, table: pydicom.Dataset) -> tuple[np.ndarray, int]:
    """The entries (n,) of a look-up table, and the stored value of the first (PS3.3 C.11.1.1)."""
    descriptor = file.numbers("LUTDescriptor", table)
    data = file.value("LUTData", table)
    if isinstance(data, bytes):
        data = np.frombuffer(data[: len(data) // 2 * 2], "<u2")
    entries = np.array([] if data is None else data).ravel()
    count = int(descriptor[0]) % 65536 or 65536 if len(descriptor) == 3 else -1
    if len(entries) != count or entries.dtype.kind not in "iu" or np.ptp(entries) == 0:
        raise InputError(
            f"{file.path}: has a look-up table that does not fit its LUTDescriptor, expected as many entries as that says; "
            "export it again."
        )
    return entries.astype(np.int64) & 0xFFFF, int(descriptor[1])


def _pixel_mm(frame: DicomFrame) -> tuple[float, float] | None:
    """(between columns, between rows) on the detector, where the header says it: PixelSpacing may be that of a plane in the patient."""
    spacing = frame.numbers("ImagerPixelSpacing", PROPERTIES)
    return (float(spacing[1]), float(spacing[0])) if len(spacing) == 2 and spacing.min() > 0 else None
