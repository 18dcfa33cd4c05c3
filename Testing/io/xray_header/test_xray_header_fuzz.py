"""Damaged and untrue DICOM X-rays are read or refused in a sentence: nothing else ever comes out.

More than here with MVREG_FUZZ=20000 in the environment; docs/dicom.md tells how many were tried.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imaging.dicom_files import WITH_FILE_META
from imaging.xray_files import COLUMNS, ROWS, enhanced, item, pixels, write_enhanced, write_xa
from pydicom import encaps

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry.c_arm import CArm
from MultiViewRegistrationLib.imaging.xray import load_image
from MultiViewRegistrationLib.io.dicom_geometry import HeaderView, complete, read_header

EXAMPLES = int(os.environ.get("MVREG_FUZZ", "40"))
quickly = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> list[bytes]:
    """Good files: XA with everything, a run that turns, enhanced XA, JPEG, JPEG 2000 and RLE."""
    folder = tmp_path_factory.mktemp("whole")
    shutters = {
        "ShutterShape": ["CIRCULAR", "RECTANGULAR", "POLYGONAL"],
        "CenterOfCircularShutter": ["8", "10"],
        "RadiusOfCircularShutter": "9",
        "ShutterLeftVerticalEdge": "1",
        "ShutterRightVerticalEdge": "19",
        "ShutterUpperHorizontalEdge": "1",
        "ShutterLowerHorizontalEdge": "15",
        "VerticesOfThePolygonalShutter": "1 1 1 19 15 19 15 1".split(),
    }
    paths = [
        write_xa(
            folder / "xa.dcm",
            10,
            20,
            PatientOrientation=["L", "F"],
            FieldOfViewRotation="90",
            FieldOfViewHorizontalFlip="NO",
            PixelAspectRatio=["1", "1"],
            PixelSpacing=["0.2", "0.2"],
            RescaleSlope="2",
            RescaleIntercept="-1",
            **shutters,
        ),
        write_xa(
            folder / "run.dcm",
            10,
            20,
            pixels(frames=3),
            PositionerPrimaryAngleIncrement=["0", "1", "2"],
            PositionerMotion="DYNAMIC",
            TableVerticalIncrement=["0", "1", "2"],
            TableLateralIncrement="0",
            TableLongitudinalIncrement="0",
        ),
        write_enhanced(
            folder / "enhanced.dcm",
            [
                enhanced(
                    1,
                    2,
                    3,
                    TableHeadTiltAngle=5.0,
                    TableXPositionToIsocenter=1.0,
                    TableYPositionToIsocenter=1.0,
                    TableZPositionToIsocenter=1.0,
                ),
                enhanced(2, 3),
            ],
            PositionOfIsocenterProjection=[8.0, 10.0],
            DetectorElementSpacing=[0.154, 0.154],
            shared={
                "FieldOfViewSequence": item(
                    FieldOfViewOrigin=[0.0, 1.0], FieldOfViewRotation=90.0, FieldOfViewHorizontalFlip="YES"
                )
            },
        ),
    ]
    for name, syntax in (
        ("jpeg", "1.2.840.10008.1.2.4.50"),
        ("j2k", "1.2.840.10008.1.2.4.90"),
        ("rle", "1.2.840.10008.1.2.5"),
    ):
        path = write_xa(folder / f"{name}.dcm", 10, 20, pixels(dtype=np.uint8))
        data = pydicom.dcmread(path)
        data.PixelData = encaps.encapsulate([_coded(name, data.pixel_array)])
        data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
        data.file_meta.TransferSyntaxUID = syntax
        data.save_as(path, **WITH_FILE_META)
        assert load_image(path).values.shape == (ROWS, COLUMNS)
        paths.append(path)
    return [path.read_bytes() for path in paths]


def _coded(name: str, image: np.ndarray) -> bytes:
    from io import BytesIO

    from PIL import Image

    if name == "rle":  # one segment of literal runs, and its header of 16 numbers
        packed = b"".join(bytes([len(run) - 1]) + run for row in image for run in [row.tobytes()])
        return np.array([1, 64, *[0] * 14], "<u4").tobytes() + packed + b"\0" * (len(packed) % 2)
    stream = BytesIO()
    Image.fromarray(image).save(
        stream, {"jpeg": "JPEG", "j2k": "JPEG2000"}[name], **({"no_jp2": True} if name == "j2k" else {})
    )
    return stream.getvalue()


def check(data: bytes, frame: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image.dcm")
        path.write_bytes(data)
        try:
            assert load_image(path, frame).values.ndim == 2
        except InputError as error:
            _check_sentence(str(error))
        try:
            found = read_header(path, frame)
            if found is not None:
                ((reading, _),) = complete("case.json", [HeaderView("views[0]", "AP", path, frame)])
                camera = CArm(**reading).camera()
                assert np.isfinite(camera.projection_matrix).all()
        except InputError as error:
            _check_sentence(str(error))


def _check_sentence(said: str) -> None:
    assert "\n" not in said and said.rstrip().endswith(".") and "Secret" not in said, said


@pytest.mark.slow
@quickly
@given(data=st.data())
def test_files_with_other_bytes_or_cut_short(whole, data):
    content = bytearray(data.draw(st.sampled_from(whole)))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(132, len(content) - 1))
        new = data.draw(st.binary(min_size=1, max_size=8))
        content[at : at + len(new)] = new
    cut = data.draw(st.integers(132, len(content)) | st.just(len(content)))
    check(bytes(content[:cut]), data.draw(st.integers(0, 2)))


KEYWORDS = (
    "Rows Columns BitsAllocated BitsStored HighBit NumberOfFrames PixelRepresentation SamplesPerPixel "
    "DistanceSourceToDetector DistanceSourceToPatient ImagerPixelSpacing PixelSpacing PixelAspectRatio "
    "PositionerPrimaryAngle PositionerSecondaryAngle PositionerPrimaryAngleIncrement "
    "PositionerSecondaryAngleIncrement FieldOfViewRotation FieldOfViewOrigin RescaleSlope "
    "RescaleIntercept PositionOfIsocenterProjection DetectorElementSpacing RadiusOfCircularShutter "
    "CenterOfCircularShutter VerticesOfThePolygonalShutter ShutterLeftVerticalEdge TableVerticalIncrement "
    "DetectorBinning PhysicalDetectorSize"
).split()
WORDS = (
    "PatientPosition PatientOrientation FieldOfViewHorizontalFlip PhotometricInterpretation "
    "PixelIntensityRelationship ShutterShape PositionerMotion"
).split()
numbers = (
    st.integers(-5, 70000)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.sampled_from([0, 1e300, -1e-300, 10**30])
)
words = st.text("LRPAHFXS\\", max_size=5) | st.sampled_from(
    ["YES", "BITMAP", "MONOCHROME1", "RGB", "LOG", "DISP", "HFDL", "DYNAMIC", ""]
)


@pytest.mark.slow
@quickly
@given(data=st.data())
def test_attributes_with_other_values(whole, data):
    from io import BytesIO

    dataset = pydicom.dcmread(BytesIO(data.draw(st.sampled_from(whole))))
    for keyword in data.draw(st.lists(st.sampled_from(KEYWORDS + WORDS), max_size=4, unique=True)):
        drawn = (
            [data.draw(words)]
            if keyword in WORDS
            else [f"{number:.6g}" for number in data.draw(st.lists(numbers, max_size=3))]
        )
        group = dataset
        if data.draw(st.booleans()):
            group = _some_group(dataset, data) or dataset
        group.add_new(keyword, "LO", "\\".join(drawn))  # of another kind than it should be, perhaps
    stream = BytesIO()
    dataset.save_as(stream, **WITH_FILE_META)
    check(stream.getvalue(), data.draw(st.integers(0, 2)))


def _some_group(dataset: pydicom.Dataset, data) -> pydicom.Dataset | None:
    sequences = [
        element.value[0]
        for shared in dataset.get("SharedFunctionalGroupsSequence", [])
        for element in shared
        if element.VR == "SQ" and element.value
    ]
    return data.draw(st.sampled_from(sequences)) if sequences else None
