"""A pose as a DICOM Spatial Registration object (PS3.3 A.39 and C.20.2). Nothing of the patient is in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from ..dicom_origin import DicomImage, new_uid
from ..files import written_atomically
from .handover import Handover

SPATIAL_REGISTRATION = "1.2.840.10008.5.1.4.1.1.66.1"
IMPLEMENTATION = "2.25.219471036128305411250126714012365720118"  # of this writer, from a UUID (PS3.5 B.2)
LONGEST = 64  # characters of a DICOM LO


def write_spatial_registration(path: str | os.PathLike, handover: Handover, target: str) -> None:
    """Write how the CT lies in the "world" of the X-rays, or in the "reference" frame of a tracker.

    The object's frame of reference is the target. Each item's matrix takes points of its own frame to that one (C.20.2.1.1): identity for
    the target itself, reference_from_world where it is a tracker's, and target_from_ct for the CT. The X-rays that were DICOM stand with
    their world. It belongs to a study of its own, since it does not say whose it is. A caution is its series description and its label.

    handover: with its UIDs, see `Handover.with_uids`.
    """
    now = datetime.now()
    data = _patient_and_study(now)
    images = [view.image for view in handover.views if view.image]
    caution, unassessed = handover.caution, handover.verdict in (None, "check")
    data.SeriesDescription = _line(f"NOT FOR USE: {caution}" if caution else f"{target} from CT")
    data.ContentLabel = "NOT_FOR_USE" if caution else "REGISTRATION"
    data.ContentDescription = _line(f"NOT FOR USE: {caution}" if caution else
                                    "To be checked by a person: accuracy not assessed" if unassessed else "Rigid registration, accepted")
    data.ContentCreatorName = ""
    data.FrameOfReferenceUID = handover.uids[target]
    data.PositionReferenceIndicator = ""
    items = [_item(handover.uids[target], np.eye(4), target, images if target == "world" else [])]
    if target == "reference":
        items.append(_item(handover.uids["world"], handover.reference_from_world, "reference_from_world", images))
    name = f"{target}_from_ct"
    items.append(_item(handover.uids["ct"], handover.poses[name], name, []))
    data.RegistrationSequence = items
    if images:
        data.StudiesContainingOtherReferencedInstancesSequence = _studies(images)
    _save(path, data)


def _patient_and_study(now: datetime) -> Dataset:
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = SPATIAL_REGISTRATION, new_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = new_uid(), new_uid()
    for empty in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "ReferringPhysicianName", "Laterality"):
        setattr(data, empty, "")
    data.Manufacturer = "MultiViewRegistration"
    data.Modality, data.SeriesNumber, data.InstanceNumber = "REG", 1, 1
    data.StudyID = "1"
    for what in ("Study", "Series", "Content"):
        setattr(data, f"{what}Date", now.strftime("%Y%m%d"))
        setattr(data, f"{what}Time", now.strftime("%H%M%S"))
    return data


def _item(uid: str, matrix: np.ndarray, comment: str, images: Sequence[DicomImage]) -> Dataset:
    """One registered frame; `matrix` (4, 4) takes its points to the object's frame."""
    rigid = Dataset()
    rigid.FrameOfReferenceTransformationMatrixType = "RIGID"
    # 16 characters a number: 1e-13 of a rotation, and better than 1e-9 mm up to 10 m
    rigid.FrameOfReferenceTransformationMatrix = [format_number_as_ds(float(number)) for number in matrix.ravel()]
    registration = Dataset()
    registration.FrameOfReferenceTransformationComment = comment
    registration.RegistrationTypeCodeSequence = []
    registration.MatrixSequence = [rigid]
    item = Dataset()
    item.FrameOfReferenceUID = uid
    if images:
        item.ReferencedImageSequence = [_reference(image) for image in images]
    item.MatrixRegistrationSequence = [registration]
    return item


def _reference(image: DicomImage, *, with_frame: bool = True) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.sop_class_uid, image.sop_instance_uid
    if with_frame and image.frame is not None:
        reference.ReferencedFrameNumber = image.frame + 1
    return reference


def _studies(images: Sequence[DicomImage]) -> list[Dataset]:
    """The Common Instance Reference (C.12.2) of images in other studies: by study and series, each instance once."""
    tree: dict[str, dict[str, dict[str, DicomImage]]] = {}
    for image in images:
        tree.setdefault(image.study_uid, {}).setdefault(image.series_uid, {})[image.sop_instance_uid] = image
    studies = []
    for study_uid, several in tree.items():
        study = Dataset()
        study.StudyInstanceUID, study.ReferencedSeriesSequence = study_uid, []
        for series_uid, instances in several.items():
            series = Dataset()
            series.SeriesInstanceUID = series_uid
            series.ReferencedInstanceSequence = [_reference(image, with_frame=False) for image in instances.values()]
            study.ReferencedSeriesSequence.append(series)
        studies.append(study)
    return studies


def _line(text: str) -> str:
    """A DICOM LO in the default character set."""
    plain = "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in " ".join(text.split()))
    return plain if len(plain) <= LONGEST else plain[:LONGEST - 3].rstrip() + "..."


def _save(path: str | os.PathLike, data: Dataset) -> None:
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0  # pydicom counts it
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION
    with written_atomically(path) as temporary:
        file = FileDataset(temporary, data, file_meta=meta, preamble=b"\0" * 128, is_implicit_VR=False, is_little_endian=True)
        file.save_as(temporary)
