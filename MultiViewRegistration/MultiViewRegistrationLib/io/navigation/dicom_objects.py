"""What every DICOM object of an export has: a patient and a study, which by default say nothing of whose they are."""

from __future__ import annotations

import os
import warnings
from datetime import datetime
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from ...errors import InputError
from ..dicom_origin import DicomImage, new_uid
from ..files import written_atomically

MANUFACTURER = "MultiViewRegistration"
IMPLEMENTATION = "2.25.219471036128305411250126714012365720118"  # of this writer, from a UUID (PS3.5 B.2)
LONGEST = 64  # characters of a DICOM LO
#: Of the patient and the study (PS3.3 C.7.1.1, C.7.2.1), empty by default.
PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
STUDY = ("StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName")
IDENTITY = ("SpecificCharacterSet", *PATIENT, "IssuerOfPatientID", *STUDY, "StudyDescription")


def new_object(sop_class: str, modality: str, identity: Dataset | None = None) -> Dataset:
    """An object of a new series, made now, of `identity` and its study; without one in a study of its own, of nobody."""
    now, data = datetime.now(), Dataset()
    data.SOPClassUID, data.SOPInstanceUID = sop_class, new_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = new_uid(), new_uid()
    for empty in (*PATIENT, "AccessionNumber", "ReferringPhysicianName", "Laterality"):
        setattr(data, empty, "")
    data.Manufacturer = MANUFACTURER
    data.Modality, data.SeriesNumber, data.InstanceNumber = modality, 1, 1
    data.StudyID = "1"
    for what in ("Study", "Series", "Content"):
        setattr(data, f"{what}Date", now.strftime("%Y%m%d"))
        setattr(data, f"{what}Time", now.strftime("%H%M%S"))
    if identity is not None:
        data.update(identity)
    return data


def identity_of(path: Path) -> Dataset | None:
    """Patient and study of a DICOM file, of which a PatientID or a name and the study are needed; None for any other file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            header = dcmread(path, stop_before_pixels=True, specific_tags=list(IDENTITY))
    except Exception:  # of many kinds where it is no DICOM; whether the image is, its own reader says
        return None
    if not (header.get("PatientID") or header.get("PatientName")) or not header.get("StudyInstanceUID"):
        return None
    identity = Dataset()
    for key in (*PATIENT, *STUDY):
        setattr(identity, key, "")  # rather than what `new_object` says of today's study
    identity.update({element.tag: element for element in header if element.keyword in IDENTITY})
    return identity


def agreed_identity(identities: list[Dataset]) -> Dataset:
    """The first of several, which are of one patient; InputError where they are not."""
    if len({str(identity.PatientID) for identity in identities}) > 1:
        raise InputError(
            "--identity: the images of the case have different PatientIDs, expected those of one patient; leave --identity "
            "out, or correct the case."
        )
    return identities[0]


def reference_to(image: DicomImage, *, with_frame: bool = True) -> Dataset:
    """An item of a sequence that names an image."""
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.sop_class_uid, image.sop_instance_uid
    if with_frame and image.frame is not None:
        reference.ReferencedFrameNumber = image.frame + 1
    return reference


def line(text: str) -> str:
    """A DICOM LO in the default character set."""
    plain = "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in " ".join(text.split()))
    return plain if len(plain) <= LONGEST else plain[: LONGEST - 3].rstrip() + "..."


def save(path: str | os.PathLike, data: Dataset) -> None:
    """The object as a file (PS3.10), explicit VR little endian, whole or not at all."""
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0  # pydicom counts it
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION
    with written_atomically(path) as temporary:
        file = FileDataset(
            temporary, data, file_meta=meta, preamble=b"\0" * 128, is_implicit_VR=False, is_little_endian=True
        )
        file.save_as(temporary)
