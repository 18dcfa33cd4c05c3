"""Damaged and untrue DICOM X-rays are read or refused in a sentence: nothing else ever comes out.

More than here with MVREG_FUZZ=20000 in the environment.
"""

import os
import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imaging.dicom_files import WITH_FILE_META
from imaging.xray_files import enhanced, item, pixels, write_enhanced, write_xa
from tiny_case import result_or_refusal

from MultiViewRegistrationLib.imaging.xray import load_image
from MultiViewRegistrationLib.io.dicom_geometry import read_header
from MultiViewRegistrationLib.io.files import InputFile
from MultiViewRegistrationLib.io.view_headers import complete_by_headers
from MultiViewRegistrationLib.io.view_record import ViewRecord

EXAMPLES = int(os.environ.get("MVREG_FUZZ", "40"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> list[bytes]:
    """Good files: XA with everything, a run that turns, enhanced XA."""
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
                    FieldOfViewOrigin=[0.0, 1.0],
                    FieldOfViewRotation=90.0,
                    FieldOfViewHorizontalFlip="YES",
                )
            },
        ),
    ]
    return [path.read_bytes() for path in paths]


def check(data: bytes, frame: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image.dcm")
        path.write_bytes(data)
        image = result_or_refusal(load_image, path, frame)
        assert image is None or image.values.ndim == 2
        if result_or_refusal(read_header, path, frame) is not None:
            view = ViewRecord("AP", InputFile(path.name, path), frame, field="views[0]")
            for record in result_or_refusal(complete_by_headers, "case.json", [view]) or []:
                assert np.isfinite(record.own_camera.linear_forms).all()


KEYWORDS = (
    "Rows Columns BitsAllocated BitsStored HighBit NumberOfFrames PixelRepresentation "
    "SamplesPerPixel DistanceSourceToDetector DistanceSourceToPatient ImagerPixelSpacing "
    "PixelSpacing PixelAspectRatio PositionerPrimaryAngle PositionerSecondaryAngle "
    "PositionerPrimaryAngleIncrement PositionerSecondaryAngleIncrement FieldOfViewRotation "
    "FieldOfViewOrigin RescaleSlope RescaleIntercept PositionOfIsocenterProjection "
    "DetectorElementSpacing RadiusOfCircularShutter CenterOfCircularShutter "
    "VerticesOfThePolygonalShutter ShutterLeftVerticalEdge TableVerticalIncrement DetectorBinning "
    "PhysicalDetectorSize"
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


def with_other_values(content: bytes, data) -> bytes:
    dataset = pydicom.dcmread(BytesIO(content))
    for keyword in data.draw(st.lists(st.sampled_from(KEYWORDS + WORDS), max_size=4, unique=True)):
        several = st.lists(numbers, max_size=3).map(
            lambda found: [f"{number:.6g}" for number in found]
        )
        drawn = data.draw(words.map(lambda word: [word]) if keyword in WORDS else several)
        groups = [
            element.value[0]
            for shared in dataset.get("SharedFunctionalGroupsSequence", [])
            for element in shared
            if element.VR == "SQ" and element.value
        ]
        # Of another kind than it should be, perhaps.
        data.draw(st.sampled_from([dataset, *groups])).add_new(keyword, "LO", "\\".join(drawn))
    stream = BytesIO()
    dataset.save_as(stream, **WITH_FILE_META)
    return stream.getvalue()


@pytest.mark.slow
@settings(max_examples=EXAMPLES, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(whole, data):
    """With other values, other bytes, or cut short."""
    content = bytearray(with_other_values(data.draw(st.sampled_from(whole)), data))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(132, len(content) - 1))
        new = data.draw(st.binary(min_size=1, max_size=8))
        content[at : at + len(new)] = new
    cut = data.draw(st.integers(132, len(content)) | st.just(len(content)))
    check(bytes(content[:cut]), data.draw(st.integers(0, 2)))
