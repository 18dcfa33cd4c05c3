"""DICOM files written tag by tag with pydicom."""

import numpy as np
import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
XA_IMAGE = "1.2.840.10008.5.1.4.1.1.12.1"
RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
SERIES = "1.2.3.4.5"


def item(**tags):
    """A sequence of one item."""
    dataset = Dataset()
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    return Sequence([dataset])


def tagged(text):
    """Tags of words as "GantryAngle=33 ImagerPixelSpacing=0.2/0.3"; one without a value is left out by who writes."""
    tags = {}
    for tag, value in (word.split("=") for word in text.split()):
        number = {"DS": float, "FD": float, "FL": float, "US": int, "SS": int}.get(
            dictionary_VR(tag), str
        )
        values = [number(each) for each in value.split("/") if each]
        tags[tag] = values if len(values) > 1 else next(iter(values), None)
    return tags


def write_dicom(path, pixels, sop_class, **tags):
    """Integer pixels (rows, columns) or (frames, rows, columns).

    A tag given as None is left out.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    signed, bits = int(pixels.dtype.kind == "i"), 8 * pixels.dtype.itemsize
    described = {
        "SOPClassUID": sop_class, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID, "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "Rows": pixels.shape[-2], "Columns": pixels.shape[-1],
        "BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": signed,
        "PatientName": "Secret^Person", "PatientID": "4711", "StudyInstanceUID": "1.2.3.4",
    }  # fmt: skip
    if pixels.ndim == 3:
        described["NumberOfFrames"] = len(pixels)
    described["PixelData"] = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    for tag, value in (described | tags).items():
        if value is not None:
            setattr(data, tag, value)
    data.save_as(path, enforce_file_format=True)


def write_series(folder, pixels, ct_from_index, *, positions=None, prefix="", **tags):
    """One CT slice for each pixels[k], int16, placed by ct_from_index or at positions (n, 3).

    Returns the files.
    """
    folder.mkdir(exist_ok=True)
    axes = ct_from_index[:3, :3]
    spacing = np.linalg.norm(axes, axis=0)
    files = []
    for k, slice_pixels in enumerate(pixels):
        position = (ct_from_index @ [0, 0, k, 1])[:3] if positions is None else positions[k]
        described = {
            "Modality": "CT", "SeriesInstanceUID": SERIES, "SeriesNumber": 2, "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "ImagePositionPatient": [f"{x:.6f}" for x in position],
            "ImageOrientationPatient": [f"{x:.8f}" for x in np.concatenate([axes[:, 0] / spacing[0], axes[:, 1] / spacing[1]])],
            "PixelSpacing": [f"{spacing[1]:.6f}", f"{spacing[0]:.6f}"], "RescaleIntercept": "0", "RescaleSlope": "1",
        }  # fmt: skip
        files.append(folder / f"{prefix}{k:03d}.dcm")
        write_dicom(files[-1], slice_pixels, CT_IMAGE, **(described | tags))
    return files


def write_plan(path, *isocentres):
    """An RT Plan with a beam for each isocentre (3,)."""
    beams = [item(ControlPointSequence=item(IsocenterPosition=each))[0] for each in isocentres]
    said = {"Modality": "RTPLAN", "BeamSequence": Sequence(beams)}
    write_dicom(path, np.zeros((1, 1), np.uint16), RT_PLAN, **said)
    return path


def compressed(path, pixels, syntax):
    """A run in a transfer syntax, by gdcm."""
    import pytest

    gdcm = pytest.importorskip("gdcm", reason="needs gdcm: pip install python-gdcm")
    plain = path.with_suffix(".plain")
    stored = {} if pixels.dtype == np.uint8 else {"BitsStored": 12, "HighBit": 11}
    write_dicom(plain, pixels, XA_IMAGE, Modality="XA", **stored)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(plain))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    return path
