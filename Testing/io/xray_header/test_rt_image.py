"""RT Images, RT Plans: known points fall where the axes of IEC 61217 put them.

The oracle goes another way than the reader: it carries points of the patient through the frames of
the table, the room, the gantry and the receptor, and intersects their rays with the image plane.
"""

import numpy as np
import pytest
from helpers.refusals import refuses
from imaging.dicom_files import tagged, write_dicom, write_plan
from numpy.testing import assert_allclose, assert_array_equal

from MultiViewRegistrationLib import CArm, CaseFile
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.dicom_file import read_dicom
from MultiViewRegistrationLib.io.view_headers import planned_pose, read_rt_image

RT_IMAGE = "1.2.840.10008.5.1.4.1.1.481.1"
#: The device that limits the beam turns no image.
USUAL = tagged(
    "Modality=RTIMAGE RTImagePlane=NORMAL RTImageSID=1500 RadiationMachineSAD=1000 "
    "ImagePlanePixelSpacing=0.8/0.5 RTImagePosition=-40/30 GantryAngle=0 PatientSupportAngle=0 "
    "BeamLimitingDeviceAngle=30 PatientPosition=HFS"
)
#: How the patient's left, back and head lie along X, Y (to the gantry) and Z (up) of the table.
LYING = {
    "HFS": {"L": [1, 0, 0], "P": [0, 0, -1], "S": [0, 1, 0]},
    "HFP": {"L": [-1, 0, 0], "P": [0, 0, 1], "S": [0, 1, 0]},
    "FFS": {"L": [-1, 0, 0], "P": [0, 0, -1], "S": [0, -1, 0]},
    "FFP": {"L": [1, 0, 0], "P": [0, 0, 1], "S": [0, -1, 0]},
    "HFDR": {"L": [0, 0, 1], "P": [1, 0, 0], "S": [0, 1, 0]},
}


@pytest.fixture
def rt_image(tmp_path):
    """Writes an RT Image of 160 x 120 pixels with these tags, and returns its path."""

    def write(name="image.dcm", **tags):
        pixels = np.arange(120 * 160, dtype=np.uint16).reshape(120, 160)
        write_dicom(tmp_path / name, pixels, RT_IMAGE, **USUAL | tags)
        return tmp_path / name

    return write


def reading(path):
    return read_rt_image(read_dicom(path))


def camera_of(path):
    found = reading(path)
    assert not found.missing
    return CArm(**found.values).camera()


def expected_pixel(point, tags):
    """Where a point (3,) from the isocentre, LPS, falls, by way of the frames of IEC 61217."""
    tags = USUAL | tags
    x, y, z = np.array(point, float) @ np.array(
        [LYING[tags["PatientPosition"]][axis] for axis in "LPS"], float
    )
    support, gantry = np.radians([tags["PatientSupportAngle"], tags["GantryAngle"]])
    x, y = np.cos(support) * x - np.sin(support) * y, np.sin(support) * x + np.cos(support) * y
    # The gantry's own axes: its source is at (sin, 0, cos) of the room.
    right = np.cos(gantry) * x - np.sin(gantry) * z
    up = np.sin(gantry) * x + np.cos(gantry) * z
    scale = tags["RTImageSID"] / (tags["RadiationMachineSAD"] - up)
    across, along = scale * right, scale * y
    moved = tags.get("XRayImageReceptorTranslation", [0.0, 0.0, 0.0])
    across, along = across - moved[0], along - moved[1]
    turn = np.radians(tags.get("XRayImageReceptorAngle", 0.0))
    across, along = (
        np.cos(turn) * across + np.sin(turn) * along,
        -np.sin(turn) * across + np.cos(turn) * along,
    )
    first, (row_mm, column_mm) = tags["RTImagePosition"], tags["ImagePlanePixelSpacing"]
    return (across - first[0]) / column_mm, (first[1] - along) / row_mm


@pytest.mark.parametrize(
    "tags",
    [
        "GantryAngle=270.0 PatientPosition=FFS",
        "GantryAngle=350.0 PatientSupportAngle=345.0 PatientPosition=HFP",
        "GantryAngle=181.0 PatientPosition=FFP PatientSupportAngle=90.0",
        "GantryAngle=40.0 XRayImageReceptorTranslation=12.0/-7.0/-500.0",
        "GantryAngle=120.0 XRayImageReceptorAngle=90.0 RTImageSID=1600.0",
    ],
)
def test_points_fall_where_the_frames_of_iec_61217_put_them(rt_image, tags):
    camera, tags = camera_of(rt_image(**tagged(tags))), tagged(tags)
    for point in ([0, 0, 0], [30, 0, 0], [0, 20, 0], [0, 0, 25], [-12, 31, 18]):
        assert_allclose(
            camera.project(np.array(point, float)), expected_pixel(point, tags), atol=1e-6
        )


def test_an_image_that_is_stored_mirrored_is_known_by_its_cosines(rt_image):
    plain = camera_of(rt_image())
    mirrored = camera_of(
        rt_image(RTImageOrientation=[-1, 0, 0, 0, -1, 0], RTImagePosition=[40.0, 30.0])
    )
    assert plain.intrinsics[0, 0] > 0 > mirrored.intrinsics[0, 0]
    point = [15.0, 4.0, -8.0]
    (u, v), (u_mirrored, v_mirrored) = plain.project(point), mirrored.project(point)
    assert v_mirrored == pytest.approx(v) and u_mirrored == pytest.approx(160 - u)


@pytest.mark.parametrize(
    ("tags", "missing", "why"),
    [
        ("GantryAngle=", "rao_lao_deg", "GantryAngle"),
        ("PatientPosition=", "rao_lao_deg", "PatientPosition"),
        ("RTImageSID=", "source_to_detector_mm", "RTImageSID"),
        ("ImagePlanePixelSpacing=", "pixel_mm", "ImagePlanePixelSpacing"),
        ("RTImagePlane=NON_NORMAL", "mirrored", "NON_NORMAL"),
        ("TableTopPitchAngle=2.0", "rao_lao_deg", "are 2 and 0, expected 0"),
    ],
)
def test_missing_header_values_are_reported(rt_image, tags, missing, why):
    assert why in reading(rt_image(**tagged(tags))).missing[missing]


def test_views_of_other_isocentres_are_carried_to_that_of_the_first(rt_image, tmp_path):
    """A point of the patient falls where it does in an image about its own isocentre."""
    isocentres = np.array([[10.0, -20.0, 30.0], [14.0, -26.0, 33.0]])
    for n, place in enumerate(isocentres):
        rt_image(f"{n}.dcm", IsocenterPosition=list(place), GantryAngle=40.0 * n)
    content = {
        "version": 1,
        "ct": "ct.nii.gz",
        "views": [{"name": f"{n}", "image": f"{n}.dcm"} for n in range(2)],
    }
    (tmp_path / "ct.nii.gz").touch()
    views = CaseFile.from_json(tmp_path / "case.json", content).views
    point = np.array([25.0, -30.0, 21.0])
    pixel = views[1].camera((160, 120)).project(point - isocentres[0])
    assert_allclose(pixel, expected_pixel(point - isocentres[1], {"GantryAngle": 40.0}), atol=1e-6)


def test_the_planned_isocentre_is_the_start(tmp_path, rt_image):
    isocentre = [-19.7, -15.0, -11.5]
    for path in (
        write_plan(tmp_path / "plan.dcm", isocentre, isocentre),
        rt_image(IsocenterPosition=isocentre),
    ):
        pose = planned_pose(path)
        assert_allclose(rigid.transform_points(pose, np.array(isocentre)), 0, atol=1e-9)
        assert_array_equal(pose[:3, :3], np.eye(3))


def test_plans_that_say_no_one_isocentre_are_refused(tmp_path, rt_image):
    with refuses("isocentres up to 5.0 mm apart"):
        planned_pose(write_plan(tmp_path / "two.dcm", [0, 0, 0], [3, 4, 0]))
    with refuses("has no IsocenterPosition"):
        planned_pose(write_plan(tmp_path / "none.dcm"))
    with refuses("no RT Plan and no RT Image"):
        planned_pose(rt_image(Modality="XA"))
