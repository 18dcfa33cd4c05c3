"""CT localizers: real ones of GE, and headers as others write them.

The CT and the scouts of a study.
"""

import shutil

import numpy as np
import pydicom
import pytest
from helpers.file_io import write_json
from helpers.refusals import refusal
from imaging.dicom_files import CT_IMAGE, tagged, write_dicom, write_series
from numpy.testing import assert_allclose, assert_array_equal

from MultiViewRegistrationLib import Case
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.machines import SlotScan
from MultiViewRegistrationLib.imaging.xray import load_image
from MultiViewRegistrationLib.io.dicom_geometry import (
    BENT_FAN,
    BY_TUBE_ANGLE,
    FAR_SIDE,
    FLAT_FAN,
    IN_IMAGE,
)
from MultiViewRegistrationLib.io.localizer import find_study, read_slot_scan, study_with_localizers

SIZE = COLUMNS, ROWS = 40, 30
FRAME = "1.2.3.9"


AT = ["-20", "-155", "15"]


def geometry_of(folder, **tags):
    """What is read of a topogram with these tags."""
    return read_slot_scan(write_localizer(folder / "top.dcm", **tags))


def write_localizer(path, **tags):
    """A topogram from the front as Siemens has it, 0.5 mm along the table and 1 mm across.

    A tag given as None is left out.
    """
    noise = np.random.default_rng(3).integers(0, 40, (ROWS, COLUMNS))
    image = (noise + 900 * (np.arange(COLUMNS) > 15)).astype(np.int16)
    described = tagged(
        "Modality=CT Manufacturer=SIEMENS PatientPosition=HFS DistanceSourceToPatient=595 "
        "DistanceSourceToDetector=1085.6 ImageOrientationPatient=1/0/0/0/0/-1 PixelSpacing=0.5/1 "
        "RescaleIntercept=-1024 RescaleSlope=1 SeriesInstanceUID=1.2.3.4.6"
    )
    described["ImageType"] = ["ORIGINAL", "PRIMARY", "LOCALIZER", "CT_SOM5 TOP"]
    described |= {"FrameOfReferenceUID": FRAME, "ImagePositionPatient": AT}
    write_dicom(path, image, CT_IMAGE, **(described | tags))
    return path


@pytest.mark.slow
def test_scouts_of_ge_are_where_their_scanner_says(shared_data):
    """The tube 541 mm from the axis: below the table, or at the patient's left."""
    study = find_study(shared_data / "scout")
    assert list(study.localizers) == ["AP", "LAT"] and study.ct.name == "ct" and not study.others
    ap, lateral = (read_slot_scan(path) for path in study.localizers.values())
    for geometry, tube in ((ap, [0, 1, 0]), (lateral, [1, 0, 0])):
        assert not geometry.missing
        assert_allclose(geometry.values["isocentre_to_source"], tube)
        assert geometry.values["source_to_isocentre_mm"] == 541
        assert geometry.values["pixel_mm"] == [0.634731, 0.545455]
        assert {FAR_SIDE, FLAT_FAN, IN_IMAGE} <= set(geometry.assumptions)


@pytest.mark.parametrize(
    "tags, to_source",
    [
        ("TubeAngle=180.0", [0, 1, 0]),
        ("AngularPosition=90 Manufacturer=Philips", [1, 0, 0]),
        ("TubeAngle=180.0 PatientPosition=HFP", [0, -1, 0]),
        ("AngularPosition=90 PatientPosition=FFS", [-1, 0, 0]),
    ],
)
def test_the_tube_is_where_its_angle_puts_it_about_the_patient(tmp_path, tags, to_source):
    geometry = geometry_of(tmp_path, **tagged(tags))
    assert_allclose(geometry.values["isocentre_to_source"], to_source, atol=1e-12)
    assert not geometry.missing and BY_TUBE_ANGLE in geometry.assumptions


def test_columns_of_philips_are_at_equal_angles_unless_the_case_says_otherwise(tmp_path):
    path = write_localizer(tmp_path / "surview.dcm", Manufacturer="Philips", AngularPosition="90")
    geometry, flat = read_slot_scan(path), read_slot_scan(path, {"fan": "flat"})
    assert geometry.values["fan"] == "equal_angles" and BENT_FAN in geometry.assumptions
    assert flat.values["fan"] == "flat" and not {BENT_FAN, FLAT_FAN} & set(flat.assumptions)


def test_azimuth_of_ge_is_in_a_private_attribute(tmp_path):
    path = write_localizer(tmp_path / "scout.dcm", Manufacturer="GE MEDICAL SYSTEMS")
    assert_allclose(read_slot_scan(path).values["isocentre_to_source"], [0, 1, 0])
    data = pydicom.dcmread(path)
    data.private_block(0x19, "GEMS_ACQU_01", create=True).add_new(0x26, "SL", 0)
    data.save_as(path)
    assert_allclose(read_slot_scan(path).values["isocentre_to_source"], [0, -1, 0], atol=1e-12)


def test_the_central_ray_is_that_of_the_data_collection_centre_where_that_is_told(tmp_path):
    centre = [3.0, -155.0, 0.0]
    values = geometry_of(tmp_path, TubeAngle=0.0, DataCollectionCenterPatient=centre).values
    assert values["central_column"] == pytest.approx(23)
    assert_allclose(values["isocentre"], [3, -155, 15])


@pytest.mark.parametrize(
    "tags, key, why",
    [
        ("TubeAngle=", "isocentre_to_source", "TubeAngle"),
        ("DistanceSourceToPatient=", "source_to_isocentre_mm", "DistanceSourceToPatient"),
        ("DistanceSourceToPatient=1090", "source_to_isocentre_mm", "1090 mm, not less than"),
        ("ImageOrientationPatient=", "rows_along", "ImageOrientationPatient"),
        ("ImagePositionPatient=", "isocentre", "ImagePositionPatient"),
    ],
)
def test_what_a_header_lacks_is_named(tmp_path, tags, key, why):
    assert why in geometry_of(tmp_path, **{"TubeAngle": 0.0, **tagged(tags)}).missing[key]


def test_other_files_and_a_tilted_gantry_are_no_localizers(tmp_path, case_folder):
    assert read_slot_scan(case_folder / "ap.mha") is None
    assert geometry_of(tmp_path, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"]) is None
    assert "tilted gantry" in refusal(geometry_of, tmp_path, GantryDetectorTilt="12")


@pytest.fixture
def study(tmp_path):
    """A CT of a bone that stands on its end, with a topogram, in one folder each."""
    k, j, i = np.indices((12, 16, 16)) - 7.5
    pixels = np.where(np.hypot(i, j) < 4, 800, -1000).astype(np.int16)
    affine = rigid.from_rotation_translation(np.diag([2, 2, 2.0]), [-15, -170, -10])
    write_series(tmp_path / "series 2", pixels, affine, FrameOfReferenceUID=FRAME)
    (tmp_path / "series 1").mkdir()
    write_localizer(tmp_path / "series 1" / "top.dcm", TubeAngle=0.0)
    return tmp_path


def loaded(study, content):
    write_json(study / "case.json", content)
    return Case.load(study)


def test_what_a_localizer_lacks_can_be_given_in_the_case(study):
    write_localizer(study / "series 1" / "top.dcm", DistanceSourceToPatient=None)
    content = study_with_localizers(study).case()
    message = refusal(loaded, study, content)
    assert 'views[0] ("AP") is missing' in message and "isocentre_to_source (TubeAngle" in message
    assert "source_to_isocentre_mm (Distance" in message and "slot_scan" in message
    given = {"isocentre_to_source": [0, -1, 0], "source_to_isocentre_mm": 600}
    content["views"][0]["slot_scan"] = given
    (view,) = loaded(study, content).views
    assert_allclose(view.camera.source, [-0.5, -755, 7.75])


def test_folders_without_a_study_are_refused(study):
    shutil.rmtree(study / "series 1")
    assert "holds no localizer of its CT, expected one or more" in refusal(
        study_with_localizers, study
    )
    shutil.rmtree(study / "series 2")
    assert "holds no slices of a CT" in refusal(find_study, study)
    assert "is no folder" in refusal(find_study, study / "nothing")


def test_slices_and_scouts_may_lie_in_one_folder(study):
    for path in (study / "series 1").iterdir():
        shutil.move(path, study / "series 2")
    found = find_study(study / "series 2")
    assert found.ct == study / "series 2"
    assert found.localizers == {"AP": study / "series 2" / "top.dcm"}
    assert loaded(study, found.case()).ct.volume.values.shape == (12, 16, 16)


def test_longest_series_with_localizers_is_selected(study):
    files = sorted((study / "series 2").iterdir())
    for name, tags in (("thick", {}), ("earlier", {"FrameOfReferenceUID": "1.2.3.8"})):
        (study / name).mkdir()
        for number, path in enumerate(files[:: 2 if name == "thick" else 1] * (1 + bool(tags))):
            data = pydicom.dcmread(path)
            for tag, value in tags.items():
                setattr(data, tag, value)
            data.save_as(study / name / f"{number}.dcm")
    found = find_study(study)
    assert found.ct.name == "series 2" and found.series is None
    (sentence,) = found.left_out
    assert "thick (6 slices)" in sentence and "earlier (24 slices)" in sentence


def test_a_scout_of_another_part_of_the_patient_is_left_out(study):
    chest = [*AT[:2], "-200"]
    path = write_localizer(
        study / "series 1" / "chest.dcm", TubeAngle=0.0, ImagePositionPatient=chest
    )
    found = find_study(study)
    assert found.elsewhere == [path] and len(found.localizers) == 1
    assert "chest.dcm is a localizer of another part of the patient" in found.left_out[0]


@pytest.mark.parametrize(
    "axes", ["0.0872 0 -0.9962 0.9962 0 0.0872", "0.9962 0 -0.0872 -0.0872 0 -0.9962"]
)
def test_a_turned_localizer_is_refused(tmp_path, axes):
    turned = {"TubeAngle": 0.0, "ImageOrientationPatient": axes.split()}
    assert "5 degrees off" in refusal(geometry_of, tmp_path, **turned)


def test_lying_scout_is_read_as_upright(tmp_path):
    """A scout turned with its header so that its columns follow the table."""
    path = write_localizer(tmp_path / "top.dcm", TubeAngle=0.0)
    upright, before = read_slot_scan(path).values, load_image(path)
    data = pydicom.dcmread(path)
    axes = np.array(data.ImageOrientationPatient, float)
    across_mm = data.PixelSpacing[1] * axes[:3] * (data.Columns - 1)
    data.ImagePositionPatient = np.add(data.ImagePositionPatient, across_mm).tolist()
    data.ImageOrientationPatient = [*axes[3:], *-axes[:3]]
    data.PixelSpacing = data.PixelSpacing[::-1]
    turned = np.rot90(data.pixel_array)
    data.Rows, data.Columns = turned.shape
    data.PixelData = turned.tobytes()
    data.save_as(path)
    lying, image = read_slot_scan(path).values, load_image(path)
    for key in "size pixel_mm isocentre isocentre_to_source columns_along".split():
        assert_allclose(lying[key], upright[key], atol=1e-5)
    assert_array_equal(image.values, before.values)
    assert image.pixel_mm == before.pixel_mm


def test_mirrored_localizer_with_mirrored_header_has_the_same_geometry(tmp_path):
    mirrored = {
        "ImageOrientationPatient": "-1 0 0 0 0 -1".split(),
        "ImagePositionPatient": ["19", *AT[1:]],
    }
    plain, other = (
        SlotScan(**geometry_of(tmp_path, TubeAngle=0.0, **tags).values).camera()
        for tags in ({}, mirrored)
    )
    point = [5.0, -100, 3]
    turned = [COLUMNS - 1, 0] + plain.project(point) * [-1, 1]
    assert_allclose(other.project(point), turned, atol=1e-9)


def test_a_cropped_localizer_has_no_central_column(tmp_path):
    path = write_localizer(
        tmp_path / "cropped.dcm", TubeAngle=0.0, ImagePositionPatient=["-50", *AT[1:]]
    )
    message = "30 mm off the scanner's axis: it may be cropped or turned"
    assert message in read_slot_scan(path).missing["central_column"]
    geometry = read_slot_scan(path, {"central_column": 50})
    assert not geometry.missing
    assert_allclose(geometry.values["isocentre"], [0, -155, 15])
