"""DICOM files of CT slices and X-rays in whose headers identity is planted."""

import numpy as np
from imaging.dicom_files import XA_IMAGE, write_dicom, write_series
from pydicom.uid import generate_uid

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
SECRETS = (
    "Plantagenet Eleonore PID-77419-X 19310407 Zwetschgenberger Lindenwinkel 0551-8842117 20240229 "
    "2024-02-29 131747 ACC-5519-Q SID-90210 Ottilien Quacksalber Wunibald Handlanger Notburga "
    "SER-44121 OTTI-OP-2"
).split() + ["bekannt als Nori"]


def write_xray(path, pixels=None, **tags):
    """An XA image (rows, columns) of detected intensity, stored as uint16.

    pixels: by default noise that each name of a file has its own of.
    `tags` add to IDENTITY or replace it.
    """
    if pixels is None:
        random = np.random.default_rng(list(path.name.encode()))
        pixels = random.integers(2000, 4000, (16, 20))
    said = {
        "Modality": "XA",
        "PixelIntensityRelationship": "LIN",
        **_new_uids(),
        **IDENTITY,
        **tags,
    }
    write_dicom(path, pixels.astype(np.uint16), XA_IMAGE, **said)
    return path


def write_ct(folder, hu, ct_from_index, **tags):
    """A series of slices of HU (nk, nj, ni)."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.clip(np.rint(hu) + 1024, 0, 4095).astype(np.uint16)
    said = {"RescaleIntercept": -1024, **_new_uids(), **IDENTITY, **tags}
    write_series(folder, pixels, ct_from_index, prefix="slice", **said)
    return folder


def _new_uids():
    return {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID")}
