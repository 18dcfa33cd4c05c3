"""DICOM files of CT slices and X-rays in whose headers identity is planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    XRayAngiographicImageStorage,
    generate_uid,
)

#: What must never be seen again, by tag. The patient's names are two, as both may be written alone.
IDENTITY = {
    "PatientName": "Plantagenet^Eleonore",
    "PatientID": "PID-77419-X",
    "PatientBirthDate": "19310407",
    "PatientSex": "F",
    "OtherPatientNames": "Zwetschgenberger^E",
    "PatientAddress": "Lindenwinkel 14",
    "PatientTelephoneNumbers": "0551-8842117",
    "StudyDate": "20240229",
    "SeriesDate": "20240229",
    "AcquisitionDate": "20240229",
    "StudyTime": "131747",
    "AccessionNumber": "ACC-5519-Q",
    "StudyID": "SID-90210",
    "InstitutionName": "Krankenhaus Sankt Ottilien",
    "InstitutionAddress": "Ottilienweg 3",
    "ReferringPhysicianName": "Quacksalber^Wunibald",
    "OperatorsName": "Handlanger^Notburga",
    "StudyDescription": "Becken von Plantagenet",
    "SeriesDescription": "Aufnahme Plantagenet",
    "PatientComments": "bekannt als Nori",
    "DeviceSerialNumber": "SER-44121",
    "StationName": "OTTI-OP-2",
    "Laterality": "L",
}
SECRETS = [
    "Plantagenet",
    "Eleonore",
    "PID-77419-X",
    "19310407",
    "Zwetschgenberger",
    "Lindenwinkel",
    "0551-8842117",
    "20240229",
    "2024-02-29",
    "131747",
    "ACC-5519-Q",
    "SID-90210",
    "Ottilien",
    "Quacksalber",
    "Wunibald",
    "Handlanger",
    "Notburga",
    "bekannt als Nori",
    "SER-44121",
    "OTTI-OP-2",
]


def write_xray(path: Path, pixels: np.ndarray, **tags) -> Path:
    """An XA image (rows, columns) of detected intensity, stored as uint16.

    `tags` add to IDENTITY or replace it.
    """
    said = {"Modality": "XA", "PixelIntensityRelationship": "LIN", **IDENTITY, **tags}
    header = _header(path, XRayAngiographicImageStorage, pixels.astype(np.uint16), said)
    header.save_as(path, enforce_file_format=True)
    return path


def write_ct(folder: Path, hu: np.ndarray, ct_from_index: np.ndarray, **tags) -> Path:
    """A series of axial slices of HU (nk, nj, ni), on a grid with axes along the patient's."""
    folder.mkdir(parents=True, exist_ok=True)
    spacing, origin, series = np.diag(ct_from_index)[:3], ct_from_index[:3, 3], generate_uid()
    for k, slice_ in enumerate(hu):
        path = folder / f"slice{k:03}.dcm"
        position = [float(f"{value:.6g}") for value in (*origin[:2], origin[2] + k * spacing[2])]
        geometry = {
            "Modality": "CT",
            "ImagePositionPatient": position,
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PixelSpacing": [float(spacing[1]), float(spacing[0])],
            "SliceThickness": float(spacing[2]),
            "RescaleSlope": 1,
            "RescaleIntercept": -1024,
            "SeriesInstanceUID": series,
            "InstanceNumber": k + 1,
        }
        pixels = np.clip(np.rint(slice_) + 1024, 0, 4095).astype(np.uint16)
        _header(path, CTImageStorage, pixels, {**geometry, **IDENTITY, **tags}).save_as(
            path, enforce_file_format=True
        )
    return folder


def _header(path: Path, sop_class: str, pixels: np.ndarray, tags: dict) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = FileDataset(str(path), pydicom.Dataset(), file_meta=meta, preamble=b"\0" * 128)
    header.SOPClassUID, header.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    header.StudyInstanceUID, header.SeriesInstanceUID = generate_uid(), generate_uid()
    header.Rows, header.Columns = pixels.shape
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = (
        1,
        "MONOCHROME2",
        0,
    )
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit = 15
    header.PixelData = pixels.tobytes()
    for tag, value in tags.items():
        setattr(header, tag, value)
    return header
