"""DICOM objects of an export: Spatial Registration and Secondary Capture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from ... import __version__
from ...errors import InputError
from ...imaging.dicom_file import quiet, read_dicom
from ..case_file import DicomImage, new_uid
from ..files import written_atomically
from ..result_json import RegistrationExport

MANUFACTURER = "MultiViewRegistration"
IMPLEMENTATION = UID(
    "2.25.219471036128305411250126714012365720118"
)  # of this writer, from a UUID (PS3.5 B.2)
# characters of a DICOM LO and ST
MAX_LENGTH = 64
MAX_TEXT = 1024
#: Attributes of patient and study (PS3.3 C.7.1.1, C.7.2.1), empty by default.
PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
STUDY = (
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)
#: What is kept of an image's header beside these: what it shows, so that the side has a meaning.
PART = ("BodyPartExamined", "Laterality")
IDENTITY = (
    *("SpecificCharacterSet", *PATIENT, "IssuerOfPatientID"),
    *(*STUDY, "StudyDescription", *PART),
)


def dataset(**attributes: Any) -> Dataset:
    """Make a dataset with these attributes, by keyword."""
    data = Dataset()
    for keyword, value in attributes.items():
        setattr(data, keyword, value)
    return data


def new_object(
    sop_class: str, modality: str, identity: Dataset | None, **attributes: Any
) -> Dataset:
    """Make an object of a new series, made now, of `identity` and its study.

    Without one in an anonymous study of its own.
    """
    now = datetime.now()
    data = dataset(
        **dict.fromkeys((*PATIENT, "AccessionNumber", "ReferringPhysicianName"), ""),
        SOPClassUID=sop_class,
        SOPInstanceUID=new_uid(),
        StudyInstanceUID=new_uid(),
        SeriesInstanceUID=new_uid(),
        Manufacturer=MANUFACTURER,
        Modality=modality,
        SeriesNumber=1,
        InstanceNumber=1,
        StudyID="1",
        **{f"{what}Date": now.strftime("%Y%m%d") for what in ("Study", "Series", "Content")},
        **{f"{what}Time": now.strftime("%H%M%S") for what in ("Study", "Series", "Content")},
    )
    data.update(identity or {})
    if not any(key in data for key in PART):
        data.Laterality = ""  # nobody knows the part: only then it may be empty (PS3.3 C.7.3.1)
    data.update(dataset(**attributes))
    return data


def identity_of(path: Path) -> Dataset | None:
    """Read patient and study of a DICOM file that has a PatientID or name, and a study.

    None for any other file.
    """
    try:
        file = read_dicom(path)
        if file is None or not (file.value("PatientID") or file.value("PatientName")):
            return None
        if not file.value("StudyInstanceUID"):
            return None
    except InputError:  # whether the image can be read, its own reader says
        return None
    identity = dataset(
        **dict.fromkeys((*PATIENT, *STUDY), "")
    )  # rather than what `new_object` says of today's study
    with quiet():
        for key in IDENTITY:
            if key in file.header:
                identity[key] = file.header[key]
        if (side := str(file.value("ImageLaterality") or "")) in ("L", "R"):
            identity.Laterality = side
    return identity


def agreed_identity(identities: list[Dataset]) -> Dataset:
    """Return the first of several identities, which are of one patient.

    Raises
    ------
    InputError
        Where they are not.
    """
    if len({str(identity.PatientID) for identity in identities}) > 1:
        raise InputError(
            "--identity: the images of the case have different PatientIDs, expected those of one "
            "patient; leave --identity out, or correct the case."
        )
    return identities[0]


def reference_to(image: DicomImage, *, with_frame: bool = True) -> Dataset:
    """Return an item of a sequence that names an image."""
    reference = dataset(
        ReferencedSOPClassUID=image.sop_class_uid, ReferencedSOPInstanceUID=image.sop_instance_uid
    )
    if with_frame and image.frame is not None:
        reference.ReferencedFrameNumber = image.frame + 1
    return reference


def line(text: str, most: int = MAX_LENGTH) -> str:
    """Return a text of so many characters at most, by default a DICOM LO, in the default character set."""
    plain = "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in " ".join(text.split()))
    return plain if len(plain) <= most else plain[: most - 3].rstrip() + "..."


def save(path: str | os.PathLike, data: Dataset) -> None:
    """Write the object as a file (PS3.10), explicit VR little endian, whole or not at all."""
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0  # pydicom counts it
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = data.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION
    with written_atomically(path) as temporary:
        file = FileDataset(
            temporary,
            data,
            file_meta=meta,
            preamble=b"\0" * 128,
            is_implicit_VR=False,
            is_little_endian=True,
        )
        file.save_as(temporary)


SPATIAL_REGISTRATION = "1.2.840.10008.5.1.4.1.1.66.1"
#: What a verdict means, for the description of an object; the error to expect follows.
MEANINGS = {
    "accept": "Rigid registration, accepted.",
    "check": "To be checked by a person.",
    None: "To be checked by a person: accuracy not assessed",
}


def write_spatial_registration(
    path: str | os.PathLike, exported: RegistrationExport, target: str, identity: Dataset | None
) -> None:
    """Write how the CT lies in the "world" of the X-rays, or in the "reference" frame of a tracker.

    The object's frame of reference is the target. Each item's matrix takes points of its own frame
    to that one (C.20.2.1.1): identity for the target itself, reference_from_world where it is a
    tracker's, and target_from_ct for the CT. The X-rays that were DICOM stand with their world, the
    slices of the CT with its frame. As all structures share the CT's frame, the descriptions of a
    structure's pose name it. Without an `identity` it belongs to a study of its own, since it does
    not say whose it is. A warning is its series description and its label; all that is said of the
    pose is its comment.

    Parameters
    ----------
    exported
        With its UIDs, see `RegistrationExport.with_uids`.
    identity
        Patient and study, see `dicom_objects.identity_of`.
    """
    images = [view.image for view in exported.views if view.image]
    warning = exported.warning
    what = "" if exported.structure is None else f", {exported.structure} alone"
    refused = warning and f"NOT FOR USE{what}: {warning}"
    items = [_item(exported.uids[target], np.eye(4), target, images if target == "world" else [])]
    if target == "reference":
        items.append(
            _item(
                exported.uids["world"],
                np.asarray(exported.reference_from_world),
                "reference_from_world",
                images,
            )
        )
    name = f"{target}_from_ct"
    slices = exported.ct_images
    items.append(_item(exported.uids["ct"], exported.poses[name], line(f"{name}{what}"), slices))
    data = new_object(
        SPATIAL_REGISTRATION,
        "REG",
        identity,
        SeriesDescription=line(refused or f"{target} from CT{what}"),
        ContentLabel="NOT_FOR_USE" if warning else "REGISTRATION",
        ContentDescription=line(refused or f"{MEANINGS[exported.verdict]} {exported.risk}"),
        CommentsOnThePerformedProcedureStep=line(" ".join(exported.comments()), MAX_TEXT),
        ContentCreatorName="",
        FrameOfReferenceUID=exported.uids[target],
        PositionReferenceIndicator="",
        RegistrationSequence=items,
    )
    _refer(data, [*images, *slices])
    save(path, data)


def _item(uid: str, matrix: np.ndarray, comment: str, images: Sequence[DicomImage]) -> Dataset:
    """Return the item of one registered frame.

    `matrix` (4, 4) takes its points to the object's frame.
    """
    # 16 characters a number: 1e-13 of a rotation, and better than 1e-9 mm up to 10 m
    numbers = [format_number_as_ds(float(number)) for number in matrix.ravel()]
    rigid = dataset(
        FrameOfReferenceTransformationMatrixType="RIGID",
        FrameOfReferenceTransformationMatrix=numbers,
    )
    registration = dataset(
        FrameOfReferenceTransformationComment=comment,
        RegistrationTypeCodeSequence=[],
        MatrixSequence=[rigid],
    )
    item = dataset(FrameOfReferenceUID=uid, MatrixRegistrationSequence=[registration])
    if images:
        item.ReferencedImageSequence = [reference_to(image) for image in images]
    return item


def _refer(data: Dataset, images: Sequence[DicomImage]) -> None:
    """Add the Common Instance Reference (C.12.2) to images.

    By study and series, each instance once.
    """
    studies: dict[str, dict[str, dict[str, Dataset]]] = {}
    for image in images:
        series = studies.setdefault(image.study_uid, {}).setdefault(image.series_uid, {})
        series[image.sop_instance_uid] = reference_to(image, with_frame=False)
    others = []
    for study_uid, study in studies.items():
        references = []
        for uid, series in study.items():
            instances = list(series.values())
            references.append(dataset(SeriesInstanceUID=uid, ReferencedInstanceSequence=instances))
        if study_uid == data.StudyInstanceUID:
            data.ReferencedSeriesSequence = references
        else:
            others.append(dataset(StudyInstanceUID=study_uid, ReferencedSeriesSequence=references))
    if others:
        data.StudiesContainingOtherReferencedInstancesSequence = others


SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SIMULATED = "SIMULATED X-ray (DRR of CT)"
DERIVATION = (
    "Simulated radiograph (DRR): line integrals of attenuation through a CT at its registered "
    "pose, its bones at their own where they were registered, bone bright, on the pixels of the "
    "X-ray with its lens distortion removed, if any. Computed, not taken: not an X-ray of the patient."
)
BRIGHTEST = 99.9  # percentile at the upper end of the window
THOUSANDTHS = (
    1000  # a window must be 1 wide at least (C.11.2.1.2), where a line integral is 5 or so
)


@dataclass(frozen=True, eq=False)
class Drr:
    """A DRR to be written as DICOM.

    Attributes
    ----------
    line_integrals
        (rows, columns).
    number
        Of the view, from 1.
    pixel_mm
        (column, row) on the detector, where known.
    xray
        The image that it stands beside, where that is DICOM.
    identity
        Patient and study, see `dicom_objects.identity_of`.
    structure
        The bone that it is of, None for the whole CT.
    """

    line_integrals: np.ndarray
    number: int
    pixel_mm: tuple[float, float] | None = None
    xray: DicomImage | None = None
    identity: Dataset | None = None
    structure: str | None = None


def write_secondary_capture(
    path: str | os.PathLike, drr: Drr, study_uid: str, series_uid: str, warning: str | None
) -> None:
    """Write a DRR in 16 bits; a stored value times RescaleSlope is 1000 times the line integral.

    Parameters
    ----------
    study_uid
        Taken where there is no identity, whose study counts otherwise.
    warning
        Is the first thing that its descriptions say.
    """
    what = SIMULATED if drr.structure is None else f"{SIMULATED}, {drr.structure} alone"
    derivation = DERIVATION if drr.structure is None else f"{DERIVATION} Of {drr.structure} alone."
    data = new_object(
        SECONDARY_CAPTURE,
        "OT",
        drr.identity,
        SeriesInstanceUID=series_uid,
        InstanceNumber=drr.number,
        ConversionType="SYN",
        SecondaryCaptureDeviceManufacturer=MANUFACTURER,
        SecondaryCaptureDeviceManufacturerModelName=MANUFACTURER,
        SecondaryCaptureDeviceSoftwareVersions=__version__,
        ImageType=["DERIVED", "SECONDARY", "DRR"],
        SeriesDescription=line(f"NOT FOR USE, {what}" if warning else what),
        DerivationDescription=(
            f"NOT FOR USE: {warning} {derivation}" if warning else derivation
        ).replace("\\", "/"),
        ImageComments=f"{what}, view {drr.number}",
        PatientOrientation="",
        BurnedInAnnotation="NO",
        LossyImageCompression="00",
    )
    if drr.identity is None:
        data.StudyInstanceUID = study_uid
    if not f"{warning}{what}".isascii():
        data.SpecificCharacterSet = "ISO_IR 192"
    if drr.xray is not None:
        data.ReferencedImageSequence = [reference_to(drr.xray)]
    if drr.pixel_mm is not None:
        data.PixelSpacing = [format_number_as_ds(float(mm)) for mm in reversed(drr.pixel_mm)]
    data.update(_stored(THOUSANDTHS * np.maximum(drr.line_integrals, 0)))
    save(path, data)


def _stored(positive: np.ndarray) -> Dataset:
    """Return an image (rows, columns) in 16 bits, with its scale and window."""
    slope = float(format_number_as_ds(max(float(positive.max()), 1.0) / (2**16 - 1)))
    width = max(float(np.percentile(positive, BRIGHTEST)), 1.0)
    data = dataset(
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        Rows=positive.shape[0],
        Columns=positive.shape[1],
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=0,
        RescaleSlope=format_number_as_ds(slope),
        RescaleIntercept=0,
        RescaleType="US",
        WindowCenter=format_number_as_ds(width / 2),
        WindowWidth=format_number_as_ds(width),
    )
    pixels = np.minimum(np.rint(positive / slope), 2**16 - 1).astype("<u2")
    data.add_new("PixelData", "OW", pixels.tobytes())
    return data
