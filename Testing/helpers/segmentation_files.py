"""Segmentations as files: DICOM SEG (PS3.3 A.51), and Slicer's .seg.nrrd."""

import numpy as np
import pydicom
import SimpleITK as sitk
from imaging import dicom_files
from imaging.dicom_files import write_dicom
from pydicom.uid import SegmentationStorage

from helpers.file_io import placed

RT_STRUCT = "1.2.840.10008.5.1.4.1.1.481.3"


def item(**values):
    listed = {
        key: pydicom.Sequence(each) if key.endswith("Sequence") else each
        for key, each in values.items()
    }
    return dicom_files.item(**listed)[0]


def write_regions(path, regions, kind="CLOSED_PLANAR", digits=".3f", **tags):
    """An RT Structure Set with contours (n, 3) of each region by its name."""
    frame = {"ReferencedFrameOfReferenceUID": tags.pop("FrameOfReferenceUID", "")}
    frame = frame if any(frame.values()) else {}
    named, drawn = [], []
    for number, (name, contours) in enumerate(regions.items(), start=1):
        parts = []
        for points in contours:
            data = [f"{value:{digits}}" for value in points.ravel()]
            shape = {"ContourGeometricType": kind, "NumberOfContourPoints": len(points)}
            parts.append(item(**shape, ContourData=data))
        named.append(item(ROINumber=number, ROIName=name, **frame))
        drawn.append(item(ReferencedROINumber=number, ContourSequence=parts))
    sequences = {
        "StructureSetROISequence": pydicom.Sequence(named),
        "ROIContourSequence": pydicom.Sequence(drawn),
    }
    pixels = np.zeros((1, 1), np.uint16)
    write_dicom(path, pixels, RT_STRUCT, Modality="RTSTRUCT", **sequences, **tags)
    return path


def write_seg(path, masks, place, kind="BINARY", codes=(), **tags):
    """A DICOM segmentation of masks (nk, nj, ni) by their names, without their empty slices.

    place: (4, 4), axes along the patient's.   codes: scheme, value and meaning of what each is of.
    """
    x_mm, y_mm, z_mm = np.diag(place)[:3].tolist()
    segments = [
        item(SegmentNumber=number, SegmentLabel=name, SegmentAlgorithmType="MANUAL")
        for number, name in enumerate(masks, start=1)
    ]
    for segment, code in zip(segments, codes, strict=False):
        category = ("SCT", "123037004", "Anatomical Structure")
        segment.SegmentedPropertyCategoryCodeSequence = pydicom.Sequence([coded(*category)])
        segment.SegmentedPropertyTypeCodeSequence = pydicom.Sequence([coded(*code)])
    frames, groups = [], []
    for number, k, pixels in _frames(masks, kind):
        position = [*place[:2, 3].tolist(), float(place[2, 3] + k * z_mm)]
        group = {"PlanePositionSequence": [item(ImagePositionPatient=position)]}
        if number:
            group["SegmentIdentificationSequence"] = [item(ReferencedSegmentNumber=number)]
        frames.append(pixels.astype(np.uint8))
        groups.append(item(**group))
    stored = np.array(frames)
    measures = item(PixelSpacing=[y_mm, x_mm], SliceThickness=z_mm, SpacingBetweenSlices=z_mm)
    axes = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared = item(PlaneOrientationSequence=[axes], PixelMeasuresSequence=[measures])
    said = {
        **dict.fromkeys(("PatientName", "PatientID", "StudyInstanceUID")),
        "Modality": "SEG",
        "SegmentationType": kind,
        "SharedFunctionalGroupsSequence": pydicom.Sequence([shared]),
        "PerFrameFunctionalGroupsSequence": pydicom.Sequence(groups),
        "SegmentSequence": pydicom.Sequence(segments),
    }
    if kind == "BINARY":
        said |= {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
        packed = np.packbits(stored.ravel(), bitorder="little").tobytes()
    elif kind == "FRACTIONAL":
        said["MaximumFractionalValue"] = 255
        packed = (200 * stored).tobytes()
    else:
        packed = stored.tobytes()
    said["PixelData"] = packed + b"\0" * (len(packed) % 2)
    write_dicom(path, stored, SegmentationStorage, **{**said, **tags})
    return path


def _frames(masks, kind):
    """Number of the segment, slice, and pixels of each frame."""
    numbered = list(enumerate(masks.values(), start=1))
    if kind == "LABELMAP":
        labels = sum(number * mask.astype(np.uint8) for number, mask in numbered)
        yield from ((0, k, pixels) for k, pixels in enumerate(labels))
        return
    for number, mask in numbered:
        yield from ((number, k, mask[k]) for k in np.flatnonzero(mask.any((1, 2))))


def coded(scheme, value, meaning):
    return item(CodingSchemeDesignator=scheme, CodeValue=value, CodeMeaning=meaning)


def write_seg_nrrd(path, layers, place, segments):
    """Slicer's .seg.nrrd.   segments: name, value and layer of each."""
    several = len(layers) > 1
    image = placed(np.stack(layers, -1) if several else layers[0], place, vector=several)
    for number, (name, label, layer) in enumerate(segments):
        values = {"ID": f"Segment_{number}", "Name": name, "LabelValue": label, "Layer": layer}
        for key, value in values.items():
            image.SetMetaData(f"Segment{number}_{key}", str(value))
    sitk.WriteImage(image, str(path))
    return path
