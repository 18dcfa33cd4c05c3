"""Segmentations as files: DICOM SEG (PS3.3 A.51), and Slicer's .seg.nrrd."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from imaging.dicom_files import write_dicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage, generate_uid

RT_STRUCT = "1.2.840.10008.5.1.4.1.1.481.3"


def item(**values) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(
            dataset, keyword, pydicom.Sequence(value) if keyword.endswith("Sequence") else value
        )
    return dataset


def write_regions(
    path: Path, regions: dict, kind: str = "CLOSED_PLANAR", digits: str = ".3f", **tags
) -> Path:
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


def write_seg(
    path: Path, masks: dict[str, np.ndarray], place: np.ndarray, kind="BINARY", codes=(), **tags
) -> Path:
    """A DICOM segmentation of masks (nk, nj, ni) by their names, without their empty slices.

    place: (4, 4), axes along the patient's.   codes: scheme, value and meaning of what each is of.
    """
    spacing, origin = np.diag(place)[:3], place[:3, 3]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        SegmentationStorage,
        generate_uid(),
    )
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = FileDataset(str(path), Dataset(), file_meta=meta, preamble=b"\0" * 128)
    header.SOPClassUID, header.SOPInstanceUID = SegmentationStorage, meta.MediaStorageSOPInstanceUID
    header.Modality, header.SegmentationType = "SEG", kind
    frames, groups = [], []
    for number, mask in enumerate(masks.values(), start=1):
        for k in (
            np.flatnonzero(mask.any((1, 2)))
            if kind != "LABELMAP"
            else range(len(mask) * (number == 1))
        ):
            position = [float(x) for x in (*origin[:2], origin[2] + k * spacing[2])]
            group = {"PlanePositionSequence": [item(ImagePositionPatient=position)]}
            if kind != "LABELMAP":
                group["SegmentIdentificationSequence"] = [item(ReferencedSegmentNumber=number)]
            frames.append(mask[k])
            groups.append(item(**group))
    if kind == "LABELMAP":
        values = sum(
            number * mask.astype(np.uint8) for number, mask in enumerate(masks.values(), start=1)
        )
        frames = list(values)
    header.SharedFunctionalGroupsSequence = pydicom.Sequence(
        [
            item(
                PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
                PixelMeasuresSequence=[
                    item(
                        PixelSpacing=[float(spacing[1]), float(spacing[0])],
                        SliceThickness=float(spacing[2]),
                        SpacingBetweenSlices=float(spacing[2]),
                    )
                ],
            )
        ]
    )
    header.PerFrameFunctionalGroupsSequence = pydicom.Sequence(groups)
    header.SegmentSequence = pydicom.Sequence(
        [
            item(SegmentNumber=number, SegmentLabel=name, SegmentAlgorithmType="MANUAL")
            for number, name in enumerate(masks, start=1)
        ]
    )
    for segment, code in zip(header.SegmentSequence, codes, strict=False):
        for keyword, of in (
            ("SegmentedPropertyCategoryCodeSequence", ("SCT", "123037004", "Anatomical Structure")),
            ("SegmentedPropertyTypeCodeSequence", code),
        ):
            keys = "CodingSchemeDesignator", "CodeValue", "CodeMeaning"
            setattr(segment, keyword, pydicom.Sequence([item(**dict(zip(keys, of, strict=True)))]))
    header.NumberOfFrames = len(frames)
    header.Rows, header.Columns = frames[0].shape
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = (
        1,
        "MONOCHROME2",
        0,
    )
    bits = 1 if kind == "BINARY" else 8
    header.BitsAllocated = header.BitsStored = bits
    header.HighBit = bits - 1
    pixels = np.array(frames)
    if kind == "BINARY":
        packed = np.packbits(pixels.ravel() != 0, bitorder="little").tobytes()
    else:
        packed = (pixels.astype(np.uint8) * (200 if kind == "FRACTIONAL" else 1)).tobytes()
    if kind == "FRACTIONAL":
        header.MaximumFractionalValue = 255
    header.PixelData = packed + b"\0" * (len(packed) % 2)
    for keyword, value in tags.items():
        setattr(header, keyword, value)
    header.save_as(path, enforce_file_format=True)
    return path


def write_seg_nrrd(
    path: Path, layers: list[np.ndarray], place: np.ndarray, segments: list[tuple[str, int, int]]
) -> Path:
    """Slicer's .seg.nrrd.   segments: name, value and layer of each."""
    image = (
        sitk.GetImageFromArray(np.stack(layers, -1), isVector=True)
        if len(layers) > 1
        else sitk.GetImageFromArray(layers[0])
    )
    image.SetSpacing(np.diag(place)[:3].tolist())
    image.SetOrigin(place[:3, 3].tolist())
    for number, (name, label, layer) in enumerate(segments):
        values = {
            "ID": f"Segment_{number}",
            "Name": name,
            "LabelValue": str(label),
            "Layer": str(layer),
        }
        for key, value in values.items():
            image.SetMetaData(f"Segment{number}_{key}", value)
    sitk.WriteImage(image, str(path))
    return path
