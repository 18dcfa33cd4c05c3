"""Cameras of tagged X-rays: given back, and with the patient's left, head and back where they must fall."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from imaging.xray_files import COLUMNS, ROWS, SIZE, enhanced, item, pixels, write_enhanced, write_xa
from tiny_case import START, minimal, refusal

from MultiViewRegistrationLib.geometry.c_arm import CArm
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.dicom_geometry import (
    BY_LETTERS,
    IN_IMAGE,
    PATIENT_FROM_TABLE,
    QUARTERS,
    SAME_TABLE,
    TABLE_MOVED,
    read_header,
)

POINTS = np.random.default_rng(5).uniform(-60, 60, (20, 3))
LEFT, BACK, HEAD = np.eye(3)
LETTERS = {"L": LEFT, "R": -LEFT, "P": BACK, "A": -BACK, "H": HEAD, "F": -HEAD}


def c_arm(primary, secondary, **changes) -> CArm:
    return CArm(
        **{
            "source_to_detector_mm": 1195.25,
            "source_to_isocentre_mm": 765.5,
            "pixel_mm": (0.308, 0.308),
            "size": SIZE,
            "rao_lao_deg": primary,
            "cra_cau_deg": secondary,
            "mirrored": True,
            **changes,
        }
    )


def camera_of(path, frame=None, **given):
    """The camera of a header that lacks nothing."""
    found = read_header(path, frame, given)
    assert not found.missing
    return CArm(**found.values).camera()


def orientation(primary, secondary, mirrored, roll=0) -> list[str]:
    """PatientOrientation of an image by that camera: the letters of where its columns and rows run at the isocentre."""
    camera = c_arm(primary, secondary, mirrored=mirrored, roll_deg=roll).camera()
    told = []
    for axis in range(2):
        along = camera.camera_from_world[axis, :3] * (np.sign(camera.intrinsics[0, 0]) if axis == 0 else 1)
        letters = sorted(LETTERS, key=lambda letter: -LETTERS[letter] @ along)
        told.append("".join(letter for letter in letters[:3] if LETTERS[letter] @ along > 0.2))
    return told


@pytest.fixture
def write_pair(write_case):
    """A function: writes a case of two X-rays without geometry in it, and returns its path."""

    def write(first, second, **changes):
        content = minimal()
        for entry, image in zip(content["views"], (first, second), strict=True):
            del entry["projection_matrix"]
            entry["image"] = str(image)
            entry.update(changes.get(entry["name"], {}))
        return write_case(content)

    return write


def test_a_tagged_pair_gives_its_cameras_back(write_pair, tmp_path):
    """From decimal strings, to a millionth."""
    first = write_xa(
        tmp_path / "1.dcm", "-31.75", "12.5", pixels(1), PatientOrientation=orientation(-31.75, 12.5, True)
    )
    second = write_xa(
        tmp_path / "2.dcm", "58.25", "-7.125", pixels(2), PatientOrientation=orientation(58.25, -7.125, True)
    )
    loaded = Case.load(write_pair(first, second))
    for view, angles in zip(loaded.views, ((-31.75, 12.5), (58.25, -7.125)), strict=True):
        expected = c_arm(*angles).camera().projection_matrix
        np.testing.assert_allclose(
            view.camera.projection_matrix, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max()
        )
    assert [view.xray.pixel_mm for view in loaded.views] == [(0.308, 0.308)] * 2
    assert (
        IN_IMAGE in loaded.assumptions["AP"]
        and SAME_TABLE not in loaded.assumptions["AP"]
        and SAME_TABLE in loaded.assumptions["LAT"]
    )


@pytest.mark.parametrize("position, mirrored", [*product(PATIENT_FROM_TABLE, (True, False))])
def test_anatomical_angles_are_the_patients_however_he_lies(tmp_path, position, mirrored):
    """Detector before the patient: his left is on the image's right as seen from the detector, his head is up; at his left: his back is."""
    front = camera_of(
        write_xa(tmp_path / "0.dcm", 0, 0, PatientPosition=position, PatientOrientation=["L" if mirrored else "R", "F"])
    )
    side = camera_of(
        write_xa(
            tmp_path / "90.dcm", 90, 0, PatientPosition=position, PatientOrientation=["P" if mirrored else "A", "F"]
        )
    )
    up = camera_of(
        write_xa(
            tmp_path / "h.dcm", 0, 45, PatientPosition=position, PatientOrientation=["L" if mirrored else "R", "FA"]
        )
    )
    sign, middle = (1 if mirrored else -1), (np.array(SIZE) - 1) / 2
    left, head = front.project(50 * LEFT) - middle, front.project(50 * HEAD) - middle
    assert sign * left[0] > 50 and abs(left[1]) < 1e-9 and head[1] < -50 and abs(head[0]) < 1e-9
    assert sign * (side.project(50 * BACK) - middle)[0] > 50
    np.testing.assert_allclose(front.source, -765.5 * -BACK, atol=1e-9)
    np.testing.assert_allclose(side.source, -765.5 * LEFT, atol=1e-9)
    np.testing.assert_allclose(up.source, -765.5 * (HEAD - BACK) / np.sqrt(2), atol=1e-9)


@pytest.mark.parametrize("position, patient", PATIENT_FROM_TABLE.items())
def test_the_machines_angles_are_turned_to_the_patient(tmp_path, position, patient):
    """Detector above the table: it is before him who lies on his back, at the left of him who lies on his right side."""
    camera = camera_of(write_enhanced(tmp_path / "e.dcm", [enhanced(0, 0, 0)], PatientPosition=position))
    up_of_table = np.array([0, -1.0, 0])
    np.testing.assert_allclose(-camera.source / 765.5, np.array(patient) @ up_of_table, atol=1e-9)
    middle = (np.array(SIZE) - 1) / 2
    for at_table, shown in ((np.array([50.0, 0, 0]), (1, 0)), (np.array([0, 0, 50.0]), (0, -1))):
        moved = (
            camera.project(np.array(patient) @ at_table) - middle
        )  # seen from the detector: table's left to the right, its head up
        np.testing.assert_allclose(moved / np.linalg.norm(moved), shown, atol=1e-6)


def test_a_turned_and_tilted_table_turns_the_patient(tmp_path):
    """A head that is upwards comes nearer to the detector above; a table turned to +X takes the head there."""
    tilted = camera_of(write_enhanced(tmp_path / "t.dcm", [enhanced(0, 0, 0, TableHeadTiltAngle=30.0)]))
    assert tilted.depth(100 * HEAD) == pytest.approx(765.5 + 50, abs=1e-3)
    turned = camera_of(write_enhanced(tmp_path / "h.dcm", [enhanced(0, 0, 0, TableHorizontalRotationAngle=30.0)]))
    assert turned.project(100 * HEAD)[0] > COLUMNS / 2 + 50
    rolled = camera_of(write_enhanced(tmp_path / "c.dcm", [enhanced(0, 0, 0, TableCradleTiltAngle=30.0)]))
    assert rolled.depth(100 * LEFT) == pytest.approx(765.5 + 50, abs=1e-3)


@pytest.mark.parametrize("primary, secondary", [(0, 0), (37, 21), (-91, -33), (160, 5), (90, 40)])
def test_patient_orientation_tells_quarters_and_mirror(tmp_path, primary, secondary):
    for roll, mirrored in product((0, 90, 180, -90), (True, False)):
        path = write_xa(
            tmp_path / f"{roll}{mirrored}.dcm",
            primary,
            secondary,
            PatientOrientation=orientation(primary, secondary, mirrored, roll),
        )
        found = read_header(path)
        expected = c_arm(primary, secondary, mirrored=mirrored, roll_deg=roll).camera()
        np.testing.assert_allclose(camera_of(path).project(POINTS), expected.project(POINTS), atol=1e-9)
        assert QUARTERS in found.assumptions


@pytest.mark.parametrize("turn, flip", [*product((0, 90, 180, 270), ("NO", "YES"))])
def test_a_turned_and_flipped_field_of_view_shows_the_same_points(tmp_path, turn, flip):
    """The stored image is what numpy makes of the detector's: turned to the right, then flipped. A marker on the detector is followed."""
    detector = write_enhanced(
        tmp_path / "detector.dcm",
        [enhanced(12, -8, 3)],
        PositionOfIsocenterProjection=[7.0, 9.0],
        DetectorElementSpacing=[0.308, 0.308],
        shared={
            "FieldOfViewSequence": item(
                FieldOfViewOrigin=[0.0, 0.0], FieldOfViewRotation=0.0, FieldOfViewHorizontalFlip="NO"
            )
        },
    )
    stored = np.rot90(np.zeros((ROWS, COLUMNS)), -turn // 90)
    path = write_enhanced(
        tmp_path / "stored.dcm",
        [enhanced(12, -8, 3)],
        np.zeros((1, *stored.shape), np.uint16),
        PositionOfIsocenterProjection=[7.0, 9.0],
        DetectorElementSpacing=[0.308, 0.308],
        shared={
            "FieldOfViewSequence": item(
                FieldOfViewOrigin=[0.0, 0.0], FieldOfViewRotation=float(turn), FieldOfViewHorizontalFlip=flip
            )
        },
    )
    seen, expected = camera_of(path).project(POINTS), []
    for column, row in camera_of(detector).project(POINTS):
        for _ in range(turn // 90):
            column, row = (ROWS if _ % 2 == 0 else COLUMNS) - 1 - row, column
        expected.append((stored.shape[1] - 1 - column if flip == "YES" else column, row))
    np.testing.assert_allclose(seen, expected, atol=1e-3)


def test_the_field_of_view_moves_the_principal_point(tmp_path):
    """Two by two elements a pixel; the isocentre falls on element (20, 30), the field begins at (4, 6)."""
    path = write_enhanced(
        tmp_path / "o.dcm",
        [enhanced(0, 0, 0)],
        PositionOfIsocenterProjection=[20.0, 30.0],
        DetectorElementSpacing=[0.154, 0.154],
        shared={
            "FieldOfViewSequence": item(
                FieldOfViewOrigin=[4.0, 6.0], FieldOfViewRotation=0.0, FieldOfViewHorizontalFlip="NO"
            )
        },
    )
    found = read_header(path)
    np.testing.assert_allclose(found.values["principal_point"], [(30 - 6 - 0.5) / 2, (20 - 4 - 0.5) / 2], rtol=1e-6)
    assert IN_IMAGE not in found.assumptions


def test_a_run_that_turns_has_a_camera_for_each_frame(tmp_path):
    listed = write_xa(
        tmp_path / "list.dcm",
        "170",
        "1",
        pixels(frames=4),
        PositionerPrimaryAngleIncrement="0 5 15 -4".split(),
        PositionerSecondaryAngleIncrement="0 -1 1 2".split(),
        PositionerMotion="DYNAMIC",
        PatientOrientation=["R", "F"],
    )
    stepped = write_xa(
        tmp_path / "step.dcm",
        "10",
        "1",
        pixels(frames=4),
        PositionerPrimaryAngleIncrement="1.5",
        PositionerSecondaryAngleIncrement="0",
        PositionerMotion="DYNAMIC",
        PatientOrientation=["L", "F"],
    )
    assert [read_header(listed, n).values["rao_lao_deg"] for n in range(4)] == [170, 175, -175, 166]
    assert [read_header(listed, n).values["cra_cau_deg"] for n in range(4)] == [1, 0, 2, 3]
    assert [read_header(stepped, n).values["rao_lao_deg"] for n in range(4)] == [10, 11.5, 13, 14.5]
    wrong = write_xa(
        tmp_path / "wrong.dcm",
        "10",
        "1",
        pixels(frames=4),
        PositionerPrimaryAngleIncrement=["0", "1"],
        PositionerMotion="DYNAMIC",
    )
    assert read_header(wrong, 1).missing["rao_lao_deg"] == "PositionerPrimaryAngleIncrement has 2 values for 4 frames"
    silent = write_xa(tmp_path / "silent.dcm", "10", "1", pixels(frames=4), PositionerMotion="DYNAMIC")
    assert "rao_lao_deg" in read_header(silent, 1).missing and "rao_lao_deg" not in read_header(silent, 0).missing


def table(vertical, longitudinal, lateral):
    return {
        "TablePositionSequence": item(
            TableTopVerticalPosition=str(vertical),
            TableTopLongitudinalPosition=str(longitudinal),
            TableTopLateralPosition=str(lateral),
        )
    }


@pytest.mark.parametrize("position", PATIENT_FROM_TABLE)
def test_the_second_view_follows_the_patient_on_the_table(write_pair, tmp_path, position):
    """A point of the patient is seen where the moved patient has it: his world went with the table, by 9 mm left, 6 down, 3 to its head."""
    frames = [{**enhanced(0, 0), **table(0, 0, 0)}, {**enhanced(90, 10), **table(6, 9, 3)}]
    path = write_enhanced(tmp_path / "e.dcm", frames, PatientPosition=position)
    case = Case.load(write_pair(path, path, AP={"frame": 0}, LAT={"frame": 1}))
    still = c_arm(90, 10).camera()
    moved = POINTS + np.array(PATIENT_FROM_TABLE[position]) @ [9, 6, 3]
    np.testing.assert_allclose(case.views[1].camera.project(POINTS), still.project(moved), atol=1e-2)
    np.testing.assert_allclose(case.views[0].camera.project(POINTS), c_arm(0, 0).camera().project(POINTS), atol=1e-2)
    assert TABLE_MOVED in case.assumptions["LAT"]


def test_a_moved_table_needs_to_know_how_the_patient_lies(write_pair, tmp_path):
    frames = [{**enhanced(0, 0), **table(0, 0, 0)}, {**enhanced(90, 10), **table(20, 30, 10)}]
    path = write_enhanced(tmp_path / "e.dcm", frames, PatientPosition="")
    said = refusal(Case.load, write_pair(path, path, AP={"frame": 0}, LAT={"frame": 1}))
    assert "the table moved between views[0] and views[1]" in said and "PatientPosition" in said


def test_two_machines_share_no_isocentre(write_pair, tmp_path):
    first = write_xa(tmp_path / "1.dcm", 0, 0, PatientOrientation=["L", "F"], DeviceSerialNumber="SECRET-A")
    second = write_xa(
        tmp_path / "2.dcm", 90, 0, pixels(2), PatientOrientation=["P", "F"], DeviceSerialNumber="SECRET-B"
    )
    said = refusal(Case.load, write_pair(first, second))
    assert "views[1] and views[0] were taken by different machines" in said and "SECRET" not in said


def test_what_is_lacking_is_listed_by_name_for_all_views(write_pair, tmp_path):
    first = write_xa(tmp_path / "1.dcm", 0, 0, ImagerPixelSpacing=None)
    second = write_xa(
        tmp_path / "2.dcm", 90, 0, pixels(2), DistanceSourceToDetector=None, PatientOrientation=["P", "F"]
    )
    said = refusal(Case.load, write_pair(first, second))
    assert (
        'views[0] ("AP") lacks pixel_mm (ImagerPixelSpacing), mirrored (PatientOrientation or FieldOfViewHorizontalFlip)'
        in said
    )
    assert 'views[1] ("LAT") lacks source_to_detector_mm (DistanceSourceToDetector) in its DICOM header' in said
    assert (
        "c_arm" in said and "--c-arm KEY=VALUE" in said and "projection_matrix or camera" in said and "\n" not in said
    )


def test_what_is_given_stands_and_completes_the_header(write_pair, tmp_path):
    first = write_xa(tmp_path / "1.dcm", 0, 0, ImagerPixelSpacing=None, PatientOrientation=["L", "F"])
    second = write_xa(tmp_path / "2.dcm", 90, 0, pixels(2), PatientOrientation=None)
    given = {"AP": {"c_arm": {"pixel_mm": [0.2, 0.3]}}, "LAT": {"c_arm": {"mirrored": False, "cra_cau_deg": 5}}}
    case = Case.load(write_pair(first, second, **given))
    for view, expected in zip(
        case.views, (c_arm(0, 0, pixel_mm=(0.2, 0.3)), c_arm(90, 5, mirrored=False)), strict=True
    ):
        np.testing.assert_allclose(view.camera.projection_matrix, expected.camera().projection_matrix, rtol=1e-12)
    wrong = write_pair(first, second, AP={"c_arm": {"pixel_mm": "small"}}, LAT={"c_arm": {"mirrored": False}})
    assert 'c_arm.pixel_mm is "small"' in refusal(Case.load, wrong)


@pytest.mark.parametrize(
    "tags, key, said",
    [
        ({"PositionerPrimaryAngle": "200"}, "rao_lao_deg", "PositionerPrimaryAngle is 200 degrees, beyond 180"),
        ({"DistanceSourceToDetector": "-1000"}, "source_to_detector_mm", "DistanceSourceToDetector is -1000 mm"),
        (
            {"DistanceSourceToPatient": "1200"},
            "source_to_isocentre_mm",
            "DistanceSourceToPatient is 1200 mm, not less than the 1195.25 mm",
        ),
        (
            {"ImagerPixelSpacing": ["0", "0.3"]},
            "pixel_mm",
            "ImagerPixelSpacing is 0 x 0.3 mm, expected two sizes above 0",
        ),
        ({"PixelSpacing": ["0.4", "0.4"]}, "pixel_mm", "but PixelSpacing, nearer to the source, is 0.4 x 0.4 mm"),
        (
            {"DetectorElementSpacing": ["0.1", "0.1"], "DetectorBinning": ["2", "2"]},
            "pixel_mm",
            "times DetectorBinning is 0.2 x 0.2 mm",
        ),
        (
            {"ImagerPixelSpacing": None, "PixelSpacing": ["0.2", "0.2"]},
            "pixel_mm",
            "PixelSpacing does not say at which distance",
        ),
        ({"PatientOrientation": ["H", "F"]}, "mirrored", "PatientOrientation does not fit the angles"),
    ],
)
def test_what_cannot_be_used_is_asked_for(tmp_path, tags, key, said):
    found = read_header(
        write_xa(tmp_path / "x.dcm", **{"primary": 0, "secondary": 0, "PatientOrientation": ["L", "F"], **tags})
    )
    assert list(found.missing) == [key] and said in found.missing[key] and key not in found.values


def test_what_the_letters_say_stands_against_the_flip_of_a_detector(tmp_path):
    tags = {"PatientOrientation": ["L", "F"], "FieldOfViewRotation": "0"}
    for flip, told in (("NO", False), ("YES", True)):
        found = read_header(write_xa(tmp_path / f"{flip}.dcm", 20, 0, FieldOfViewHorizontalFlip=flip, **tags))
        assert found.values["mirrored"] is True and (BY_LETTERS in found.assumptions) is told
    silent = read_header(
        write_xa(tmp_path / "silent.dcm", 20, 0, FieldOfViewHorizontalFlip="YES", FieldOfViewRotation="0")
    )
    assert silent.values["mirrored"] is False and not silent.missing


def test_a_pixel_is_found_by_magnification_or_binning(tmp_path):
    by_plane = write_xa(
        tmp_path / "p.dcm",
        0,
        0,
        ImagerPixelSpacing=None,
        PixelSpacing=["0.2", "0.25"],
        PixelSpacingCalibrationType="GEOMETRY",
    )
    np.testing.assert_allclose(read_header(by_plane).values["pixel_mm"], np.array([0.25, 0.2]) * 1195.25 / 765.5)
    by_binning = write_xa(
        tmp_path / "b.dcm",
        0,
        0,
        ImagerPixelSpacing=None,
        DetectorElementSpacing=["0.1", "0.1"],
        DetectorBinning=["2", "3"],
    )
    np.testing.assert_allclose(read_header(by_binning).values["pixel_mm"], [0.3, 0.2])
    by_factor = write_xa(
        tmp_path / "f.dcm", 0, 0, DistanceSourceToPatient=None, EstimatedRadiographicMagnificationFactor="1.5"
    )
    assert read_header(by_factor).values["source_to_isocentre_mm"] == pytest.approx(1195.25 / 1.5)
    for path in (by_plane, by_binning, by_factor):
        assert len(read_header(path).assumptions) >= 3


def test_a_grey_scale_that_nobody_tells_is_the_headers(write_pair, tmp_path):
    """A logarithm that falls with intensity is line integrals already; what the case says counts all the same."""
    log = {"PixelIntensityRelationship": "LOG", "PixelIntensityRelationshipSign": -1}
    first = write_xa(tmp_path / "1.dcm", 0, 0, pixels(1), PatientOrientation=["L", "F"], **log)
    second = write_xa(tmp_path / "2.dcm", 90, 0, pixels(2), PatientOrientation=["P", "F"])
    case = Case.load(write_pair(first, second))
    np.testing.assert_array_equal(case.views[0].xray.line_integrals, pixels(1))
    assert np.corrcoef(case.views[1].xray.line_integrals.ravel(), pixels(2).ravel())[0, 1] < -0.8
    told = Case.load(write_pair(first, second, AP={"intensity": "linear"}))
    assert np.corrcoef(told.views[0].xray.line_integrals.ravel(), pixels(1).ravel())[0, 1] < -0.8


@pytest.mark.filterwarnings("ignore:.*different patients")
@pytest.mark.parametrize(
    "name, lacks",
    [
        ("xa-multiframe-jpeg.dcm", "source_to_detector_mm source_to_isocentre_mm pixel_mm mirrored".split()),
        (
            "rf-circular-shutter.dcm",
            "source_to_detector_mm source_to_isocentre_mm pixel_mm rao_lao_deg cra_cau_deg mirrored".split(),
        ),
    ],
)
def test_the_shared_files_name_what_they_lack(shared_data, write_pair, tmp_path, name, lacks):
    path = (shared_data / "dicom" / name).resolve()
    assert list(read_header(path).missing) == lacks
    other = write_xa(tmp_path / "2.dcm", 90, 0, PatientOrientation=["P", "F"])
    said = refusal(Case.load, write_pair(path, other))
    assert all(f"{key} (" in said for key in lacks) and "LAT" not in said
    given = {
        "source_to_detector_mm": 1000,
        "source_to_isocentre_mm": 700,
        "pixel_mm": [0.4, 0.4],
        "rao_lao_deg": 10,
        "cra_cau_deg": 2,
        "mirrored": True,
    }
    case = Case.load(write_pair(path, other, AP={"c_arm": {key: given[key] for key in lacks}, "frame": 0}))
    assert case.views[0].xray.valid.any() and case.world_from_ct.tolist() == START.tolist()
