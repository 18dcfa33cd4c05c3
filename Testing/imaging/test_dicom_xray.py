"""Pixels of DICOM X-rays, built tag by tag from PS3.3.

SimpleITK and gdcm read and compress the same files.
"""

from functools import partial

import numpy as np
import pydicom
import pytest
from dicom_files import XA_IMAGE, compressed, item, tagged, write_dicom
from helpers.file_io import read_values
from image_files import refusal
from numpy.testing import assert_array_equal
from pydicom import encaps

from MultiViewRegistrationLib.imaging.xray import (
    count_frames,
    load_image,
    recognised,
    to_line_integrals,
)

SHAPE = (48, 64)  # rows, columns
DX_IMAGE = "1.2.840.10008.5.1.4.1.1.1.1"


def body(frames=0):
    """Detected intensities, 12 bits.

    A bright rim of air, noise, a dark bone that is elsewhere in each frame.
    """
    values = np.random.default_rng(3).normal(1500, 30, (max(frames, 1), *SHAPE))
    for number, image in enumerate(values):
        image[:, :4] = 3500
        image[20:24, 8 + number : 40 + number] -= 700
    return (values if frames else values[0]).clip(0, 4095).astype(np.uint16)


def twelve_bits(path, pixels, sop_class=XA_IMAGE, **tags):
    stored = {"Modality": "XA", "BitsStored": 12, "HighBit": 11}
    write_dicom(path, pixels, sop_class, **stored | tags)
    return path


refused = partial(refusal, load_image)


@pytest.mark.parametrize("sop_class, dtype", [(XA_IMAGE, np.uint8), (DX_IMAGE, np.int16)])
def test_uncompressed_pixels_equal_simpleitk(tmp_path, sop_class, dtype):
    pixels = (body() // 16).astype(dtype) - (100 if dtype == np.int16 else 0)
    write_dicom(tmp_path / "a.dcm", pixels, sop_class)
    assert_array_equal(load_image(tmp_path / "a.dcm").values, pixels)
    assert_array_equal(read_values(tmp_path / "a.dcm").reshape(SHAPE), pixels)


def test_unused_bits_are_masked(tmp_path):
    """An overlay in the high bits, as older files have it.

    And a sign that is not repeated there.
    """
    pixels = body()
    twelve_bits(tmp_path / "a.dcm", pixels | np.uint16(1 << 14))
    assert_array_equal(load_image(tmp_path / "a.dcm").values, pixels)
    signed = pixels.astype(np.int16) - 2048
    twelve_bits(tmp_path / "b.dcm", (signed & 0x0FFF).astype(np.int16))
    assert_array_equal(load_image(tmp_path / "b.dcm").values, signed)


RLE = "1.2.840.10008.1.2.5"
COMPRESSIONS = {
    RLE: np.uint16,
    "1.2.840.10008.1.2.4.70": np.uint16,  # JPEG lossless, first order
    "1.2.840.10008.1.2.4.80": np.uint16,  # JPEG-LS
    "1.2.840.10008.1.2.4.90": np.uint16,  # JPEG 2000
    "1.2.840.10008.1.2.4.50": np.uint8,  # JPEG baseline
}


@pytest.mark.parametrize("syntax", COMPRESSIONS)
def test_compressed_frames_are_decoded(tmp_path, syntax):
    dtype = COMPRESSIONS[syntax]
    frames = (body(3) // (16 if dtype == np.uint8 else 1)).astype(dtype)
    path = compressed(tmp_path / "run.dcm", frames, syntax)
    for number in (2, 0):
        difference = load_image(path, number).values - frames[number]
        assert np.abs(difference).max() <= (4 if syntax.endswith(".50") else 0)


def test_rle_pixels_of_another_size_are_rejected(tmp_path):
    data = pydicom.dcmread(compressed(tmp_path / "a.dcm", body(), RLE))
    data.Columns = 32
    data.save_as(tmp_path / "a.dcm")
    assert "(RLE Lossless) are damaged or of another size" in refused(tmp_path / "a.dcm")


def table_of(entries):
    data = entries.astype("<u2").tobytes()
    return item(LUTDescriptor=[4096, 0, 16], LUTData=data, ModalityLUTType="US")


def test_modality_lut_and_rescale_slope_are_applied(tmp_path):
    """In XA a LOG image has a table to what is linear in intensity (PS3.3 A.14.4).

    A slope makes larger steps.
    """
    entries = (60000 * np.exp((np.arange(4096) - 4095) / 800)).astype(int)
    stored = np.interp(body().astype(float), entries, np.arange(4096)).astype(np.uint16)
    tags = {"ModalityLUTSequence": table_of(entries), "PixelIntensityRelationship": "LOG"}
    image = load_image(twelve_bits(tmp_path / "a.dcm", stored, **tags))
    assert_array_equal(image.values, entries[stored])
    assert image.curve == "linear" and image.step == 1
    scaled = {"RescaleSlope": "0.5", "RescaleIntercept": "3", "RescaleType": "US"}
    image = load_image(twelve_bits(tmp_path / "b.dcm", body(), **scaled))
    assert_array_equal(image.values, 0.5 * body() + 3)
    assert (image.step, image.white) == (0.5, 0.5 * 4095 + 3)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("curve", ["LIN", "LOG"])
def test_line_integrals_are_independent_of_encoding(tmp_path, photometric, sign, curve):
    """The header says it all; how the image is shown changes nothing."""
    intensity = body().astype(float)
    stored = intensity if curve == "LIN" else 600 * np.log(intensity / 4095) + 4095
    stored = (stored if sign == 1 else 4095 - stored).round().astype(np.uint16)
    told = {"PixelIntensityRelationship": curve, "PixelIntensityRelationshipSign": sign}
    told |= {"Modality": "DX", "PhotometricInterpretation": photometric}
    image = load_image(twelve_bits(tmp_path / "a.dcm", stored, DX_IMAGE, **told))
    assert image.bone_bright == ((sign == 1) == (photometric == "MONOCHROME1"))
    found = to_line_integrals(image, "auto").line_integrals / (1 if curve == "LIN" else 600)
    assert np.ptp(found + np.log(intensity)) < 5e-3


def seen(tmp_path, **tags):
    image = load_image(twelve_bits(tmp_path / "shutter.dcm", body(), **tags))
    valid = to_line_integrals(image).valid
    assert not (valid & ~image.open).any() and valid.any()
    return image.open


ROWS, COLUMNS = np.indices(SHAPE) + 1  # as DICOM counts them
CIRCLE = {"ShutterShape": "CIRCULAR", "RadiusOfCircularShutter": "18"}
CIRCLE["CenterOfCircularShutter"] = ["20", "30"]


def test_shutters_are_intersected(tmp_path):
    edges = tagged(
        "ShutterLeftVerticalEdge=10 ShutterRightVerticalEdge=50 ShutterUpperHorizontalEdge=5 "
        "ShutterLowerHorizontalEdge=40"
    )
    corners = {"VerticesOfThePolygonalShutter": "4 8 4 56 44 56".split()}
    in_edges = (COLUMNS >= 10) & (COLUMNS <= 50) & (ROWS >= 5) & (ROWS <= 40)
    in_circle = np.hypot(ROWS - 20, COLUMNS - 30) <= 18
    in_corners = (ROWS >= 4) & (COLUMNS <= 56) & ((COLUMNS - 8) * 40 >= (ROWS - 4) * 48)
    assert_array_equal(seen(tmp_path, ShutterShape="RECTANGULAR", **edges), in_edges)
    assert_array_equal(seen(tmp_path, **CIRCLE), in_circle)
    polygon = seen(tmp_path, ShutterShape="POLYGONAL", **corners)
    assert (polygon != in_corners).sum() < 100 and not (polygon & ~in_corners).any()
    both = seen(tmp_path, **CIRCLE | edges | {"ShutterShape": ["CIRCULAR", "RECTANGULAR"]})
    assert_array_equal(both, in_edges & in_circle)


@pytest.mark.parametrize(
    "tags, said",
    [
        ({"NumberOfFrames": "100000"}, "its header states 100000 frames, but the file has"),
        ({"Rows": 65535, "Columns": 65535}, "has 65535 x 65535 pixels by its header"),
        ({"Columns": 63}, "6048 bytes, but 6144 bytes of pixels, expected one size"),
        ({"BitsAllocated": 12}, "12 bits in 12"),
        ({"RescaleSlope": "0", "RescaleIntercept": "0"}, "RescaleSlope of 0"),
        ({**CIRCLE, "CenterOfCircularShutter": ["900", "900"]}, "shutters hide every pixel"),
        ({"ModalityLUTSequence": table_of(np.array([1, 2]))}, "LUTDescriptor"),
    ],
)
def test_contradictory_headers_are_rejected(tmp_path, tags, said):
    assert said in refused(twelve_bits(tmp_path / "a.dcm", body(), **tags))


def rewritten(path, syntax, pixel_data, **tags):
    """A file that claims another transfer syntax."""
    data = pydicom.dcmread(twelve_bits(path, body(), **tags))
    data.file_meta.TransferSyntaxUID = syntax
    data.PixelData = encaps.encapsulate([pixel_data])
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    data.save_as(path, enforce_file_format=True)
    return path


def test_undecodable_pixels_are_rejected(tmp_path, capfd):
    data = pydicom.dcmread(twelve_bits(tmp_path / "plain.dcm", body()))
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    data.save_as(tmp_path / "deflated.dcm", enforce_file_format=True)
    assert "deflated" in refused(tmp_path / "deflated.dcm")
    assert "its pixels (1.2.3.4.5) cannot be decoded" in refused(
        rewritten(tmp_path / "a.dcm", "1.2.3.4.5", b"\0" * 2000)
    )
    frame = b"\xff\xd8\xff\xc3\0\x0b\x0c%b\1\1\x11\0" + b"\0" * 2000
    right = frame % np.array(SHAPE, ">u2").tobytes()
    said = refused(rewritten(tmp_path / "b.dcm", "1.2.840.10008.1.2.4.70", right))
    assert "cannot be decoded" in said and "export the file uncompressed" in said
    size = {"Rows": 10000, "Columns": 10000, "BitsStored": 16, "HighBit": 15}
    claims = rewritten(tmp_path / "c.dcm", "1.2.840.10008.1.2.4.90", b"\0" * 100, **size)
    assert claims.stat().st_size < 2000
    assert "bytes for them, expected a whole file" in refused(claims)
    whole = twelve_bits(tmp_path / "d.dcm", body()).read_bytes()
    for length in (140, 400, len(whole) - 2000):
        (tmp_path / "d.dcm").write_bytes(whole[:length])
        assert "damaged" in (said := refused(tmp_path / "d.dcm")) or "expected a whole file" in said
    assert capfd.readouterr().err == ""


def test_count_frames_rejects_more_frames_than_the_file_holds(tmp_path):
    write_dicom(tmp_path / "a.dcm", body().astype(np.uint16), XA_IMAGE)
    header = pydicom.dcmread(tmp_path / "a.dcm")
    header.NumberOfFrames = 2**31 - 1
    header.PixelData = encaps.encapsulate([bytes(64)])
    header.file_meta.TransferSyntaxUID = RLE
    header.save_as(tmp_path / "b.dcm")
    assert count_frames(tmp_path / "a.dcm") == 1
    message = refusal(count_frames, tmp_path / "b.dcm")
    assert "its header states 2147483647 frames, but the file has" in message


def test_enhanced_table_to_linear_is_applied(tmp_path):
    roots = np.sqrt(body() * 16.0).astype(np.uint16)
    data = (np.arange(256) ** 2).astype("<u2").tobytes()
    table = item(LUTDescriptor=[256, 0, 16], LUTData=data, LUTFunction="TO_LINEAR")
    shown = item(PixelIntensityRelationship="DISP", PixelIntensityRelationshipSign=1)
    shared = {"PixelIntensityRelationshipLUTSequence": table}
    shared = item(**shared, FramePixelDataPropertiesSequence=shown)
    image = load_image(
        twelve_bits(tmp_path / "a.dcm", roots, SharedFunctionalGroupsSequence=shared)
    )
    assert_array_equal(image.values, np.float32(roots) ** 2)
    assert recognised(image) == ("linear", False)
