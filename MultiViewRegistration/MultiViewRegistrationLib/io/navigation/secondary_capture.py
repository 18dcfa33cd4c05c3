"""A DRR as a DICOM Secondary Capture image (PS3.3 A.8.1), which says in words that it was computed and is no X-ray."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from ... import __version__
from ..dicom_origin import DicomImage
from .dicom_objects import MANUFACTURER, line, new_object, reference_to, save

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SIMULATED = "SIMULATED X-ray (DRR of CT)"
DERIVATION = (
    "Simulated radiograph (DRR): line integrals of attenuation through a CT at its registered pose, bone bright, on the pixels "
    "of the X-ray with its lens distortion removed, if any. Computed, not taken: not an X-ray of the patient."
)
BRIGHTEST = 99.9  # percentile at the upper end of the window
THOUSANDTHS = 1000  # a window must be 1 wide at least (C.11.2.1.2), where a line integral is 5 or so


@dataclass(frozen=True, eq=False)
class Drr:
    """line_integrals: (rows, columns).   number: of the view, from 1.   pixel_mm: (column, row) on the detector, where known.

    xray: the image that it stands beside, where that is DICOM.   identity: patient and study, see `dicom_objects.identity_of`.
    """

    line_integrals: np.ndarray
    number: int
    pixel_mm: tuple[float, float] | None = None
    xray: DicomImage | None = None
    identity: Dataset | None = None


def write_secondary_capture(
    path: str | os.PathLike, drr: Drr, study_uid: str, series_uid: str, caution: str | None = None
) -> None:
    """Write it in 16 bits; a stored value times RescaleSlope is 1000 times the line integral.

    study_uid: taken where there is no identity, whose study counts otherwise.   caution: is the first thing that its descriptions say.
    """
    data = new_object(SECONDARY_CAPTURE, "OT", drr.identity)
    data.SeriesInstanceUID, data.InstanceNumber = series_uid, drr.number
    if drr.identity is None:
        data.StudyInstanceUID = study_uid
    data.ConversionType = "SYN"
    data.SecondaryCaptureDeviceManufacturer = data.SecondaryCaptureDeviceManufacturerModelName = MANUFACTURER
    data.SecondaryCaptureDeviceSoftwareVersions = __version__
    data.ImageType = ["DERIVED", "SECONDARY", "DRR"]
    data.SeriesDescription = line(f"NOT FOR USE, {SIMULATED}" if caution else SIMULATED)
    data.DerivationDescription = f"NOT FOR USE: {caution} {DERIVATION}".replace("\\", "/") if caution else DERIVATION
    if caution and not caution.isascii():
        data.SpecificCharacterSet = "ISO_IR 192"
    data.ImageComments = f"{SIMULATED}, view {drr.number}"
    data.PatientOrientation = ""
    data.BurnedInAnnotation, data.LossyImageCompression = "NO", "00"
    if drr.xray is not None:
        data.ReferencedImageSequence = [reference_to(drr.xray)]
    if drr.pixel_mm is not None:
        data.PixelSpacing = [format_number_as_ds(float(mm)) for mm in reversed(drr.pixel_mm)]
    _add_pixels(data, drr.line_integrals)
    save(path, data)


def _add_pixels(data: Dataset, line_integrals: np.ndarray) -> None:
    positive = THOUSANDTHS * np.maximum(line_integrals, 0)
    slope = float(format_number_as_ds(max(float(positive.max()), 1.0) / (2**16 - 1)))
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = positive.shape
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.RescaleSlope, data.RescaleIntercept, data.RescaleType = format_number_as_ds(slope), 0, "US"
    width = max(float(np.percentile(positive, BRIGHTEST)), 1.0)
    data.WindowCenter, data.WindowWidth = format_number_as_ds(width / 2), format_number_as_ds(width)
    stored = np.minimum(np.rint(positive / slope), 2**16 - 1).astype("<u2").tobytes()
    data.add_new("PixelData", "OW", stored)
