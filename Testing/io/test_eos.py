"""EOS images: headers as public programs that read them expect them, no real file."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.eos_images import COLUMNS, ROWS, SPACING, write_eos
from helpers.phantom import START, TRUE_POSE, error_mm, make_ct, make_slot_scan
from helpers.refusals import refuses
from imaging.dicom_files import tagged, write_series
from numpy.testing import assert_allclose
from tiny_case import run

from MultiViewRegistrationLib import Case, register
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.fields import usual_uncertainty
from MultiViewRegistrationLib.geometry.machines import SlotScan
from MultiViewRegistrationLib.imaging.body import Body
from MultiViewRegistrationLib.io import dicom_geometry as assumed
from MultiViewRegistrationLib.io.localizer import read_slot_scan


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """Frontal and lateral image, and a CT of a bone in the middle of the cabin, in the folder where the program runs."""
    monkeypatch.chdir(tmp_path)
    k, j, i = np.indices((12, 12, 12)) - 5.5
    pixels = np.where(np.hypot(i, j) < 3, 800, -1000).astype(np.int16)
    write_series(tmp_path / "ct", pixels, rigid.translation([-5.5, -5.5, -5.5]))
    return [
        write_eos(tmp_path / f"{number}.dcm", plane)
        for number, plane in enumerate(COLUMNS, start=1)
    ]


NEW = "case new --ct ct --view AP 1.dcm --view LAT 2.dcm --out new/case.json"
#: Of both images.
KINDS = "EOS_WORLD EOS_TOGETHER EOS_AT_ISOCENTRE EOS_FAN IN_IMAGE"
ASSUMED = {getattr(assumed, kind) for kind in KINDS.split()}


def test_a_pair_becomes_a_case_with_no_option(pair):
    """The tubes in front of the patient and at his left.

    Each image by similar triangles about the middle of the cabin.
    """
    run(NEW)
    case = Case.load("new/case.json")
    sources = [view.camera.source for view in case.views]
    assert_allclose(sources, [[0, -987, 0], [918, 0, 0]], atol=1e-9)
    for view, plane in zip(case.views, COLUMNS, strict=True):
        assert view.camera.intrinsics[0, 0] > 0  # as the tube sees it
        for point in ([0.0, 0, 0], [3.0, 2, 4], [-2.0, 3, -5]):
            x, y, up = point
            x, depth, distance = (x, y, 987) if plane == "frontal" else (y, -x, 918)
            across = x * distance / (distance + depth)
            expected = [(COLUMNS[plane] - 1) / 2 + across / SPACING, (ROWS - 1) / 2 - up / SPACING]
            assert_allclose(view.camera.project(point), expected, atol=1e-6)
        lateral = {assumed.EOS_LATERAL} if view.name == "LAT" else set()
        assert set(case.assumptions[view.name]) == ASSUMED | lateral


@pytest.mark.parametrize(
    "tags, expected",
    [
        ({"Manufacturer": "EOS Imaging SA", "ManufacturerModelName": None}, True),
        ({"Manufacturer": None, "ManufacturerModelName": "EOSedge"}, True),
        ({"Manufacturer": "Canon", "ManufacturerModelName": "EOS 5D"}, False),
    ],
)
def test_eos_image_is_recognised_by_manufacturer_or_model(tmp_path, tags, expected):
    assert (read_slot_scan(write_eos(tmp_path / "eos.dcm", **tags)) is not None) is expected


PA = {"ViewPosition": "PA"}


@pytest.mark.parametrize(
    "plane, tags, columns, tube",
    [
        ("frontal", {}, [1, 0, 0], [0, -1, 0]),
        ("frontal", PA, [1, 0, 0], [0, 1, 0]),  # mirrored
        ("frontal", PA | {"PatientOrientation": ["R", "F"]}, [-1, 0, 0], [0, 1, 0]),
        ("lateral", {"PatientOrientation": ["A", "F"]}, [0, -1, 0], [-1, 0, 0]),
        ("lateral", {"PatientOrientation": ["PL", "F"]}, [0, 1, 0], [1, 0, 0]),  # a little turned
    ],
)
def test_the_tube_is_where_view_and_letters_put_it(tmp_path, plane, tags, columns, tube):
    geometry = read_slot_scan(write_eos(tmp_path / "lateral LAT.dcm", plane, **tags))
    assert not geometry.missing and geometry.values["columns_along"] == columns
    assert_allclose(geometry.values["isocentre_to_source"], tube)
    assert (SlotScan(**geometry.values).camera().intrinsics[0, 0] < 0) == (tags == PA)


@pytest.mark.parametrize(
    "plane, tags, key, why",
    [
        ("frontal", "DistanceSourceToIsocenter= DistanceSourceToPatient=", "source_to_isocentre_mm", "Patient"),
        ("frontal", "DistanceSourceToIsocenter=1300.0", "source_to_isocentre_mm", "not less than the 1300 mm"),
        ("frontal", "ViewPosition=", "isocentre_to_source", "AP or PA"),
        ("frontal", "PatientOrientation=", "columns_along", "its header calls it frontal"),
        ("lateral", "PatientOrientation=L/F", "columns_along", "of a frontal image, but its header calls it lateral"),
        ("frontal", "PixelSpacing=0.254/0.254", "pixel_mm", "the same as ImagerPixelSpacing"),
    ],
)  # fmt: skip
def test_missing_header_values_are_reported(tmp_path, plane, tags, key, why):
    geometry = read_slot_scan(write_eos(tmp_path / "eos.dcm", plane, **tagged(tags)))
    assert why in geometry.missing[key] and key not in geometry.values


def test_what_is_lacking_is_asked_for_and_may_be_given(pair, refused):
    write_eos(pair[0], ViewPosition=None, PatientOrientation=None, PixelSpacing=None)
    columns = "columns_along (PatientOrientation; its header calls it frontal), rows_along"
    refused(NEW, f"view AP: is missing {columns}", "pixel_mm (PixelSpacing", "--slot-scan")
    given = f"--slot-scan columns_along=1,0,0 rows_along=0,0,-1 pixel_mm={SPACING}"
    command = NEW.replace("--view LAT", f"{given} --view LAT")
    refused(command, "view AP: is missing isocentre_to_source (ViewPosition, AP or PA")
    run(command.replace(given, f"{given} isocentre_to_source=0,-1,0"))
    assert_allclose(Case.load("new").views[0].camera.source, [0, -987, 0], atol=1e-9)


C_ARM = {"PositionerPrimaryAngle": "90", "PositionerSecondaryAngle": "0"}
C_ARM |= {"Manufacturer": "SIEMENS", "ManufacturerModelName": None}


@pytest.mark.parametrize(
    "tags, said",
    [
        ({"StudyInstanceUID": "1.2.3.5"}, "different frames of reference (EOS images: studies)"),
        ({"rows": 80}, "their rows cover 11 and 14 mm of the patient"),
        ({"PatientOrientation": ["A", "F"]}, "has the lateral one at his left"),
        (C_ARM, 'views[0] ("AP") is an EOS image and views[1] ("LAT") is not'),
    ],
)
def test_images_that_are_not_of_one_scan_are_refused(pair, refused, tags, said):
    write_eos(pair[1], "lateral", **tags)
    refused(NEW, said, "different worlds" if tags is C_ARM else "expected those of one")


def test_a_damaged_header_is_refused(tmp_path):
    with refuses("DistanceSourceToIsocenter is no number"):
        read_slot_scan(write_eos(tmp_path / "eos.dcm", DistanceSourceToIsocenter=float("nan")))


@pytest.mark.slow
def test_a_lateral_that_shows_all_a_third_of_a_millimetre_higher_is_within_the_bound():
    """As beads in real images, github.com/kkjaergaard/eos-rsa."""
    lifted = rigid.translation([0, 0, 0.33]) @ TRUE_POSE
    views = [make_slot_scan(make_ct(), 0), make_slot_scan(make_ct(), 90, lifted)]
    usual = usual_uncertainty("slot_scan", views[0].xray.pixel_mm)
    case = Case((Body(make_ct(), world_from_ct=START),), [replace(view, **usual) for view in views])
    result = register(case)
    assert error_mm(result.world_from_ct) < 0.2 < result.predicted_tre_mm["typical"]
