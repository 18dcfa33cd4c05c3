"""Cameras of tagged X-rays: given back, and with the patient's left, head and back where they must fall."""

from itertools import count, product

import numpy as np
import pytest
from imaging.dicom_files import tagged
from imaging.xray_files import COLUMNS, ROWS, SIZE, enhanced, item, pixels, write_enhanced, write_xa
from numpy.testing import assert_allclose, assert_array_equal
from tiny_case import READING, START, minimal, refusal

from MultiViewRegistrationLib import Body, CArm, Case, View
from MultiViewRegistrationLib.io.arrays import BONE_DARK
from MultiViewRegistrationLib.io.dicom_geometry import (
    BY_LETTERS,
    IN_IMAGE,
    PATIENT_FROM_TABLE,
    QUARTERS,
    read_header,
)
from MultiViewRegistrationLib.io.isocentre import SAME_TABLE, TABLE_MOVED

POINTS = np.random.default_rng(5).uniform(-60, 60, (20, 3))
LEFT, BACK, HEAD = np.eye(3)
LETTERS = {"L": LEFT, "R": -LEFT, "P": BACK, "A": -BACK, "H": HEAD, "F": -HEAD}
MIDDLE = (np.array(SIZE) - 1) / 2


#: What every header here says.
SAID = {
    "source_to_detector_mm": 1195.25,
    "source_to_isocentre_mm": 765.5,
    "pixel_mm": (0.308, 0.308),
    "size": SIZE,
    "mirrored": True,
}


def c_arm(primary, secondary, **changes):
    return CArm(**SAID | {"rao_lao_deg": primary, "cra_cau_deg": secondary} | changes)


def camera_of(path, frame=None, **given):
    """The camera of a complete header."""
    found = read_header(path, frame, given)
    assert not found.missing
    return CArm(**found.values).camera()


def orientation(primary, secondary, mirrored=True, roll=0):
    """PatientOrientation of an image by that camera.

    The letters of where its columns and rows run at the isocentre.
    """
    camera = c_arm(primary, secondary, mirrored=mirrored, roll_deg=roll).camera()

    def letters(along):
        nearest = sorted(LETTERS, key=lambda letter: -LETTERS[letter] @ along)
        return "".join(letter for letter in nearest[:3] if LETTERS[letter] @ along > 0.2)

    columns, rows = camera.camera_from_world[:2, :3]
    return [letters(columns * np.sign(camera.intrinsics[0, 0])), letters(rows)]


@pytest.fixture
def xa(tmp_path):
    """A function: writes an XA file with these tags, its patient's left on the image's right unless they say otherwise."""
    numbers = count()

    def write(primary=0, secondary=0, image=None, **tags):
        said = {"PatientOrientation": orientation(float(primary), float(secondary)), **tags}
        return write_xa(tmp_path / f"{next(numbers)}.dcm", primary, secondary, image, **said)

    return write


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


def test_a_tagged_pair_gives_its_cameras_back(write_pair, xa):
    """From decimal strings, to a millionth."""
    angles = (("-31.75", "12.5"), ("58.25", "-7.125"))
    loaded = Case.load(write_pair(*(xa(*each, pixels(seed)) for seed, each in enumerate(angles))))
    for view, each in zip(loaded.views, angles, strict=True):
        expected = c_arm(*map(float, each)).camera().projection_matrix
        atol = 1e-6 * np.abs(expected).max()
        assert_allclose(view.camera.projection_matrix, expected, rtol=1e-6, atol=atol)
        assert view.xray.pixel_mm == (0.308, 0.308) and IN_IMAGE in loaded.assumptions[view.name]
    assert [SAME_TABLE in loaded.assumptions[view.name] for view in loaded.views] == [False, True]


@pytest.mark.parametrize("position, mirrored", [("HFS", True), ("FFP", False)])
def test_anatomical_angles_do_not_depend_on_patient_position(xa, position, mirrored):
    """Detector before the patient.

    His left is on the image's right as seen from the detector, his head is up; at his left: his
    back is.
    """
    views = [(0, 0, "LR", "F"), (90, 0, "PA", "F"), (0, 45, "LR", "FA")]
    front, side, up = (
        camera_of(
            xa(*angles, PatientPosition=position, PatientOrientation=[row[not mirrored], down])
        )
        for *angles, row, down in views
    )
    sign = 1 if mirrored else -1
    left, head = front.project(50 * LEFT) - MIDDLE, front.project(50 * HEAD) - MIDDLE
    assert sign * left[0] > 50 and abs(left[1]) < 1e-9 and head[1] < -50 and abs(head[0]) < 1e-9
    assert sign * (side.project(50 * BACK) - MIDDLE)[0] > 50
    for camera, source in ((front, BACK), (side, -LEFT), (up, (BACK - HEAD) / np.sqrt(2))):
        assert_allclose(camera.source, 765.5 * source, atol=1e-9)


@pytest.mark.parametrize("position", ["FFS", "HFDR"])
def test_machine_angles_are_converted_to_the_patient_frame(tmp_path, position):
    """Detector above the table: it is before him who lies on his back, at the left of him who lies on his right side."""
    path = write_enhanced(tmp_path / "e.dcm", [enhanced(0, 0, 0)], PatientPosition=position)
    camera, patient = camera_of(path), PATIENT_FROM_TABLE[position]
    assert_allclose(-camera.source / 765.5, np.array(patient) @ [0, -1.0, 0], atol=1e-9)
    for at_table, shown in (([50.0, 0, 0], (1, 0)), ([0, 0, 50.0], (0, -1))):
        # Seen from the detector: the table's left to the right, its head up.
        moved = camera.project(np.array(patient) @ at_table) - MIDDLE
        assert_allclose(moved / np.linalg.norm(moved), shown, atol=1e-6)


def test_a_turned_and_tilted_table_turns_the_patient(tmp_path):
    """A head that is upwards comes nearer to the detector above.

    A table turned to +X takes the head there.
    """

    def turned(tag):
        return camera_of(write_enhanced(tmp_path / "t.dcm", [enhanced(0, 0, 0, **{tag: 30.0})]))

    assert turned("TableHeadTiltAngle").depth(100 * HEAD) == pytest.approx(765.5 + 50, abs=1e-3)
    assert turned("TableHorizontalRotationAngle").project(100 * HEAD)[0] > COLUMNS / 2 + 50
    assert turned("TableCradleTiltAngle").depth(100 * LEFT) == pytest.approx(765.5 + 50, abs=1e-3)


@pytest.mark.parametrize("primary, secondary", [(37, 21), (-91, -33)])
def test_patient_orientation_gives_quarter_turns_and_mirror(xa, primary, secondary):
    for roll, mirrored in product((0, 90, 180, -90), (True, False)):
        letters = orientation(primary, secondary, mirrored, roll)
        path = xa(primary, secondary, PatientOrientation=letters)
        expected = c_arm(primary, secondary, mirrored=mirrored, roll_deg=roll).camera()
        assert_allclose(camera_of(path).project(POINTS), expected.project(POINTS), atol=1e-9)
        assert QUARTERS in read_header(path).assumptions


def field_of_view(
    path, turn=0, flip="NO", image=None, origin=(0.0, 0.0), angles=(12, -8, 3), **tags
):
    """An enhanced XA image whose field of view on the detector is known."""
    field = item(
        FieldOfViewOrigin=[*origin], FieldOfViewRotation=float(turn), FieldOfViewHorizontalFlip=flip
    )
    known = {"PositionOfIsocenterProjection": [7.0, 9.0], "DetectorElementSpacing": [0.308] * 2}
    shared = {"FieldOfViewSequence": field}
    return write_enhanced(path, [enhanced(*angles)], image, shared=shared, **known | tags)


@pytest.mark.parametrize("turn, flip", [(90, "NO"), (180, "NO"), (270, "YES")])
def test_a_turned_and_flipped_field_of_view_shows_the_same_points(tmp_path, turn, flip):
    """The stored image is what numpy makes of the detector's: turned to the right, then flipped.

    A marker on the detector is followed.
    """
    detector = field_of_view(tmp_path / "detector.dcm")
    stored = np.rot90(np.zeros((ROWS, COLUMNS), np.uint16), -turn // 90)
    path = field_of_view(tmp_path / "stored.dcm", turn, flip, stored[None])
    seen, expected = camera_of(path).project(POINTS), []
    for column, row in camera_of(detector).project(POINTS):
        for quarter in range(turn // 90):
            column, row = (ROWS if quarter % 2 == 0 else COLUMNS) - 1 - row, column
        expected.append((stored.shape[1] - 1 - column if flip == "YES" else column, row))
    assert_allclose(seen, expected, atol=1e-3)


def test_the_field_of_view_moves_the_principal_point(tmp_path):
    """Two by two elements a pixel.

    The isocentre falls on element (20, 30), the field begins at (4, 6).
    """
    tags = {"DetectorElementSpacing": [0.154] * 2, "PositionOfIsocenterProjection": [20.0, 30.0]}
    path = field_of_view(tmp_path / "o.dcm", origin=(4.0, 6.0), angles=(0, 0, 0), **tags)
    found = read_header(path)
    middle = [(30 - 6 - 0.5) / 2, (20 - 4 - 0.5) / 2]
    assert_allclose(found.values["principal_point"], middle, rtol=1e-6)
    assert IN_IMAGE not in found.assumptions


def test_a_run_that_turns_has_a_camera_for_each_frame(xa):
    def run(primary, letter, increment=None, secondary=None):
        tags = {"PositionerMotion": "DYNAMIC", "PatientOrientation": [letter, "F"]}
        tags["PositionerPrimaryAngleIncrement"] = increment
        tags["PositionerSecondaryAngleIncrement"] = secondary
        return xa(primary, "1", pixels(frames=4), **tags)

    def angles(path, key="rao_lao_deg"):
        return [read_header(path, frame).values[key] for frame in range(4)]

    listed = run("170", "R", "0 5 15 -4".split(), "0 -1 1 2".split())
    assert angles(listed) == [170, 175, -175, 166] and angles(listed, "cra_cau_deg") == [1, 0, 2, 3]
    wrong = read_header(run("10", "L", ["0", "1"]), 1).missing["rao_lao_deg"]
    assert wrong == "PositionerPrimaryAngleIncrement has 2 values for 4 frames"
    silent = run("10", "L")
    missing = ["rao_lao_deg" in read_header(silent, frame).missing for frame in (0, 1)]
    assert missing == [False, True]


@pytest.fixture
def moved_table(tmp_path, write_pair):
    """A function: a case of two frames, the table moved between them by 9 mm left, 6 down, 3 to its head."""

    def write(position):
        frames = []
        for angles, places in (((0, 0), "000"), ((90, 10), "693")):
            along = ("Vertical", "Longitudinal", "Lateral")
            table = {f"TableTop{a}Position": place for a, place in zip(along, places, strict=True)}
            frames.append({**enhanced(*angles), "TablePositionSequence": item(**table)})
        path = write_enhanced(tmp_path / "e.dcm", frames, PatientPosition=position)
        return write_pair(path, path, AP={"frame": 0}, LAT={"frame": 1})

    return write


@pytest.mark.parametrize("position", ["HFS", "FFP"])
def test_the_second_view_follows_the_patient_on_the_table(moved_table, position):
    """A point of the patient is seen where the moved patient has it.

    His world went with the table.
    """
    case = Case.load(moved_table(position))
    moved = POINTS + np.array(PATIENT_FROM_TABLE[position]) @ [9, 6, 3]
    for view, angles, points in zip(case.views, ((0, 0), (90, 10)), (POINTS, moved), strict=True):
        expected = c_arm(*angles).camera().project(points)
        assert_allclose(view.camera.project(POINTS), expected, atol=1e-2)
    assert TABLE_MOVED in case.assumptions["LAT"]


def test_views_that_share_no_world_are_refused(moved_table, write_pair, xa):
    message = refusal(Case.load, moved_table(""))
    assert "the table moved between views[0] and views[1]" in message
    assert "PatientPosition" in message
    first = xa(DeviceSerialNumber="SECRET-A")
    second = xa(90, image=pixels(2), DeviceSerialNumber="SECRET-B")
    message = refusal(Case.load, write_pair(first, second))
    assert "views[1] and views[0] were taken by different machines" in message
    assert "SECRET" not in message


def test_missing_values_are_listed_by_name_and_may_be_given(write_pair, xa):
    first = xa(ImagerPixelSpacing=None, PatientOrientation=None)
    second = xa(90, image=pixels(2), DistanceSourceToDetector=None)
    message = refusal(Case.load, write_pair(first, second))
    for part in (
        'views[0] ("AP") is missing pixel_mm (ImagerPixelSpacing), mirrored (PatientOrientation or FieldOfViewHorizontalFlip)',
        'views[1] ("LAT") is missing source_to_detector_mm (DistanceSourceToDetector) in its DICOM header',
    ):
        assert part in message
    ap = {"pixel_mm": [0.2, 0.3], "mirrored": False}
    lateral = {"LAT": {"c_arm": {"source_to_detector_mm": 1100, "cra_cau_deg": 5}}}
    case = Case.load(write_pair(first, second, AP={"c_arm": ap}, **lateral))
    expected = c_arm(0, 0, **ap), c_arm(90, 5, source_to_detector_mm=1100)
    for view, each in zip(case.views, expected, strict=True):
        assert view.camera.same_as(each.camera())


@pytest.mark.parametrize(
    "tags, key, sentence",
    [
        (
            "PositionerPrimaryAngle=200",
            "rao_lao_deg",
            "PositionerPrimaryAngle is 200 degrees, beyond 180",
        ),
        (
            "ImagerPixelSpacing=0/0.3",
            "pixel_mm",
            "ImagerPixelSpacing is 0 x 0.3 mm, expected two sizes above 0",
        ),
        (
            "PixelSpacing=0.4/0.4",
            "pixel_mm",
            "but PixelSpacing, nearer to the source, is 0.4 x 0.4 mm",
        ),
        (
            "DetectorElementSpacing=0.1/0.1 DetectorBinning=2/2",
            "pixel_mm",
            "times DetectorBinning is 0.2 x 0.2 mm",
        ),
        ("PatientOrientation=H/F", "mirrored", "PatientOrientation does not fit the angles"),
    ],
)
def test_an_unusable_value_is_asked_for(xa, tags, key, sentence):
    found = read_header(xa(**tagged(tags)))
    assert list(found.missing) == [key] and key not in found.values
    assert sentence in found.missing[key]


def test_patient_orientation_wins_over_the_flip_of_a_detector(xa):
    for letters, flip, mirrored, by_letters in (
        (["L", "F"], "NO", True, False),
        (["L", "F"], "YES", True, True),
        (None, "YES", False, False),
    ):
        tags = {"FieldOfViewHorizontalFlip": flip, "FieldOfViewRotation": "0"}
        found = read_header(xa(20, PatientOrientation=letters, **tags))
        assert found.values["mirrored"] is mirrored and not found.missing
        assert (BY_LETTERS in found.assumptions) is by_letters


@pytest.mark.parametrize(
    "tags, key, value",
    [
        (
            "ImagerPixelSpacing= PixelSpacing=0.2/0.25 PixelSpacingCalibrationType=GEOMETRY",
            "pixel_mm",
            np.array([0.25, 0.2]) * 1195.25 / 765.5,
        ),
        (
            "ImagerPixelSpacing= DetectorElementSpacing=0.1/0.1 DetectorBinning=2/3",
            "pixel_mm",
            [0.3, 0.2],
        ),
        (
            "DistanceSourceToPatient= EstimatedRadiographicMagnificationFactor=1.5",
            "source_to_isocentre_mm",
            1195.25 / 1.5,
        ),
    ],
)
def test_pixel_size_is_computed_from_magnification_or_binning(xa, tags, key, value):
    found = read_header(xa(**tagged(tags)))
    assert_allclose(found.values[key], value)
    assert len(found.assumptions) >= 3


def test_intensity_of_the_case_overrides_the_header(write_pair, xa):
    """A logarithm that falls with intensity is line integrals already."""
    first = xa(image=pixels(1), PixelIntensityRelationship="LOG", PixelIntensityRelationshipSign=-1)
    second = xa(90, image=pixels(2))
    case = Case.load(write_pair(first, second))
    assert_array_equal(case.views[0].xray.line_integrals, pixels(1))
    given = Case.load(write_pair(first, second, AP={"intensity": "linear"})).views[0]
    assert np.corrcoef(given.xray.line_integrals.ravel(), pixels(1).ravel())[0, 1] < -0.8


@pytest.mark.filterwarnings("ignore:.*different patients")
def test_real_file_is_completed_by_the_case(shared_data, write_pair, xa):
    path = (shared_data / "dicom" / "rf-circular-shutter.dcm").resolve()
    sizes = "source_to_detector_mm source_to_isocentre_mm pixel_mm"
    missing = f"{sizes} rao_lao_deg cra_cau_deg mirrored".split()
    assert list(read_header(path).missing) == missing
    other = xa(90)
    given = {**READING, "rao_lao_deg": 10, "cra_cau_deg": 2, "mirrored": True}
    known = {key: given[key] for key in missing}
    case = Case.load(write_pair(path, other, AP={"c_arm": known, "frame": 0}))
    assert case.views[0].xray.valid.any() and case.world_from_ct.tolist() == START.tolist()


def test_case_from_arrays_takes_cameras_from_headers(write_pair, xa):
    images = [xa("-31.75", "12.5", pixels(0)), xa("58.25", "-7.125", pixels(1))]
    path = write_pair(*images)
    read = Case.load(path)
    views = [View(image, name=name) for image, name in zip(images, ("AP", "LAT"), strict=True)]
    given = Case.from_arrays(Body(path.parent / "ct.mha", world_from_ct=START), *views)
    said = {name: (*assumed, BONE_DARK) for name, assumed in read.assumptions.items()}
    assert given.assumptions == said  # BONE_DARK: of noise
    for ours, theirs in zip(given.views, read.views, strict=True):
        assert ours.camera.same_as(theirs.camera)
        assert ours.rotation_sd_deg == theirs.rotation_sd_deg
