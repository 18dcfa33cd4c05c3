"""Damaged and untrue DICOM X-rays are read or refused in a sentence: nothing else ever comes out.

More than here with MVREG_FUZZ=20000 in the environment.
"""

import os
import random
from io import BytesIO

import numpy as np
import pydicom
import pytest
from helpers.refusals import result_or_refusal
from imaging.damaged_files import damaged
from imaging.dicom_files import tagged
from imaging.xray_files import enhanced, item, pixels, write_enhanced, write_xa

from MultiViewRegistrationLib.imaging.xray import load_image
from MultiViewRegistrationLib.io.dicom_geometry import read_header
from MultiViewRegistrationLib.io.files import InputFile
from MultiViewRegistrationLib.io.view_headers import complete_by_headers
from MultiViewRegistrationLib.io.view_record import ViewRecord

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("MVREG_FUZZ", "80"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Good files: XA with everything, a run that turns, enhanced XA."""
    folder = tmp_path_factory.mktemp("whole")
    everything = (
        "PatientOrientation=L/F FieldOfViewRotation=90 FieldOfViewHorizontalFlip=NO "
        "PixelAspectRatio=1/1 PixelSpacing=0.2/0.2 RescaleSlope=2 RescaleIntercept=-1 "
        "ShutterShape=CIRCULAR/RECTANGULAR/POLYGONAL CenterOfCircularShutter=8/10 "
        "RadiusOfCircularShutter=9 ShutterLeftVerticalEdge=1 ShutterRightVerticalEdge=19 "
        "ShutterUpperHorizontalEdge=1 ShutterLowerHorizontalEdge=15 "
        "VerticesOfThePolygonalShutter=1/1/1/19/15/19/15/1"
    )
    turning = (
        "PositionerPrimaryAngleIncrement=0/1/2 PositionerMotion=DYNAMIC TableVerticalIncrement=0/1/2 "
        "TableLateralIncrement=0 TableLongitudinalIncrement=0"
    )
    field = item(
        FieldOfViewOrigin=[0.0, 1.0], FieldOfViewRotation=90.0, FieldOfViewHorizontalFlip="YES"
    )
    table = dict.fromkeys((f"Table{axis}PositionToIsocenter" for axis in "XYZ"), 1.0)
    paths = [
        write_xa(folder / "xa.dcm", 10, 20, **tagged(everything)),
        write_xa(folder / "run.dcm", 10, 20, pixels(frames=3), **tagged(turning)),
        write_enhanced(
            folder / "enhanced.dcm",
            [enhanced(1, 2, 3, TableHeadTiltAngle=5.0, **table), enhanced(2, 3)],
            PositionOfIsocenterProjection=[8.0, 10.0],
            DetectorElementSpacing=[0.154, 0.154],
            shared={"FieldOfViewSequence": field},
        ),
    ]
    return [path.read_bytes() for path in paths]


KEYWORDS = (
    "Rows Columns BitsAllocated BitsStored HighBit NumberOfFrames PixelRepresentation "
    "SamplesPerPixel DistanceSourceToDetector DistanceSourceToPatient ImagerPixelSpacing "
    "PixelSpacing PixelAspectRatio PositionerPrimaryAngle PositionerSecondaryAngle "
    "PositionerPrimaryAngleIncrement PositionerSecondaryAngleIncrement FieldOfViewRotation "
    "FieldOfViewOrigin RescaleSlope RescaleIntercept PositionOfIsocenterProjection "
    "DetectorElementSpacing RadiusOfCircularShutter CenterOfCircularShutter "
    "VerticesOfThePolygonalShutter ShutterLeftVerticalEdge TableVerticalIncrement DetectorBinning "
    "PhysicalDetectorSize PatientPosition PatientOrientation FieldOfViewHorizontalFlip PhotometricInterpretation "
    "PixelIntensityRelationship ShutterShape PositionerMotion"
).split()
VALUES = (
    "-5 0 1 7 70000 0.25 1e300 -1e-300 1e30 nan inf L RP AX YES BITMAP MONOCHROME1 RGB LOG".split()
)
VALUES += ["DISP", "HFDL", "DYNAMIC", "", "1\\2", "L\\F", "0.3\\0.3", "0\\4\\8"]


def with_other_values(content, rng):
    """The file with some values of another kind than they should be, perhaps."""
    dataset = pydicom.dcmread(BytesIO(content))
    shared = dataset.get("SharedFunctionalGroupsSequence", [])
    groups = [each.value[0] for group in shared for each in group if each.VR == "SQ" and each.value]
    for keyword in rng.sample(KEYWORDS, rng.randint(0, 4)):
        rng.choice([dataset, *groups]).add_new(keyword, "LO", rng.choice(VALUES))
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.mark.slow
def test_a_damaged_file_is_read_or_refused(whole, tmp_path):
    """With other values, and other bytes in every second one."""
    path, rng = tmp_path / "image.dcm", random.Random(1)
    for number in range(EXAMPLES):
        data, frame = with_other_values(rng.choice(whole), rng), rng.randint(0, 2)
        path.write_bytes(damaged(data, ".dcm", rng) if number % 2 else data)
        image = result_or_refusal(load_image, path, frame)
        assert image is None or image.values.ndim == 2
        if result_or_refusal(read_header, path, frame) is not None:
            view = ViewRecord("AP", InputFile(path.name, path), frame, field="views[0]")
            for record in result_or_refusal(complete_by_headers, "case.json", [view]) or []:
                assert np.isfinite(record.own_camera.linear_forms).all()
