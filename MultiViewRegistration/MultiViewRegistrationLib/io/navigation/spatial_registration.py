"""A pose as a DICOM Spatial Registration object (PS3.3 A.39 and C.20.2)."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from ..dicom_origin import DicomImage
from .dicom_objects import line, new_object, reference_to, save
from .handover import Handover

SPATIAL_REGISTRATION = "1.2.840.10008.5.1.4.1.1.66.1"


def write_spatial_registration(
    path: str | os.PathLike, handover: Handover, target: str, identity: Dataset | None = None
) -> None:
    """Write how the CT lies in the "world" of the X-rays, or in the "reference" frame of a tracker.

    The object's frame of reference is the target. Each item's matrix takes points of its own frame to that one (C.20.2.1.1): identity for
    the target itself, reference_from_world where it is a tracker's, and target_from_ct for the CT. The X-rays that were DICOM stand with
    their world. Without an `identity` it belongs to a study of its own, since it does not say whose it is. A caution is its series
    description and its label.

    handover: with its UIDs, see `Handover.with_uids`.   identity: patient and study, see `dicom_objects.identity_of`.
    """
    data = new_object(SPATIAL_REGISTRATION, "REG", identity)
    images = [view.image for view in handover.views if view.image]
    caution, unassessed = handover.caution, handover.verdict in (None, "check")
    data.SeriesDescription = line(f"NOT FOR USE: {caution}" if caution else f"{target} from CT")
    data.ContentLabel = "NOT_FOR_USE" if caution else "REGISTRATION"
    data.ContentDescription = line(
        f"NOT FOR USE: {caution}"
        if caution
        else "To be checked by a person: accuracy not assessed"
        if unassessed
        else "Rigid registration, accepted"
    )
    data.ContentCreatorName = ""
    data.FrameOfReferenceUID = handover.uids[target]
    data.PositionReferenceIndicator = ""
    items = [_item(handover.uids[target], np.eye(4), target, images if target == "world" else [])]
    if target == "reference":
        items.append(_item(handover.uids["world"], handover.reference_from_world, "reference_from_world", images))
    name = f"{target}_from_ct"
    items.append(_item(handover.uids["ct"], handover.poses[name], name, []))
    data.RegistrationSequence = items
    _refer(data, images)
    save(path, data)


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
        item.ReferencedImageSequence = [reference_to(image) for image in images]
    item.MatrixRegistrationSequence = [registration]
    return item


def _refer(data: Dataset, images: Sequence[DicomImage]) -> None:
    """The Common Instance Reference (C.12.2) to images: by study and series, each instance once."""
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
            series.ReferencedInstanceSequence = [reference_to(image, with_frame=False) for image in instances.values()]
            study.ReferencedSeriesSequence.append(series)
        if study_uid == data.StudyInstanceUID:
            data.ReferencedSeriesSequence = study.ReferencedSeriesSequence
        else:
            studies.append(study)
    if studies:
        data.StudiesContainingOtherReferencedInstancesSequence = studies
