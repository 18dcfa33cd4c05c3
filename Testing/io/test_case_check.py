"""What `mvreg case check` says of a case, against readings of C-arms that are known."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.testing import assert_allclose
from tiny_case import READING, START, full, minimal, run

from MultiViewRegistrationLib import Case
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case_check import check_case, findings, summary_lines

#: The scene from two directions.
VIEWS_OF_THE_SCENE = 2


@pytest.fixture
def check_of(write_case):
    """A function: the check of a case of C-arm views, AP and LAT, with these readings."""

    def check(*readings, start=START, **more):
        return check_case(Case.load(write_case(with_readings(*readings, start=start) | more)))

    return check


def with_readings(*readings, start=START):
    case = minimal()
    case["views"] = case["views"][: len(readings)]
    for view, changes in zip(case["views"], readings):
        del view["projection_matrix"]
        view["c_arm"] = READING | changes
    case["world_from_ct"] = start
    return {key: value for key, value in case.items() if value is not None}


SIDE = {"rao_lao_deg": 90}


def test_check_reports_the_c_arm_geometry(check_of):
    check = check_of({}, SIDE)
    ap, lateral = check["views"]
    assert ap["source_to_detector_mm"] == pytest.approx(1000)
    assert ap["field_mm"] == pytest.approx((20 * 4 * 0.7, 16 * 4 * 0.7))
    assert_allclose(ap["source"], [0, 700, 0], atol=1e-9)  # behind the patient, as DICOM has it
    assert_allclose(lateral["source"], [-700, 0, 0], atol=1e-9)  # detector at the patient's left
    assert ap["anatomy_depth_mm"] == pytest.approx(703)  # START moves it by (2, -3, 1)
    assert ap["ct_inside"] == pytest.approx(16 * 4 * 0.7 / 48, abs=0.03)  # the box is 48 mm high
    angle, gap = pytest.approx(90), pytest.approx(0)
    assert check["pairs"] == [{"views": ["AP", "LAT"], "angle_deg": angle, "gap_mm": gap}]


def test_a_slot_scan_is_shown_with_the_source_of_its_middle_row(write_case, tmp_path):
    path = write_case(full())
    check = check_case(Case.load(path))
    *others, scout = check["views"]
    assert scout["slot_scan"] and not any(view["slot_scan"] for view in others)
    assert_allclose(scout["source"], [0, 541, 0], atol=1e-9)
    assert scout["projection_matrix"] is None and scout["source_to_detector_mm"] is None
    assert scout["field_mm"][1] == pytest.approx(64) and scout["mirrored"]
    said = "scout: a slot scan, source of its middle row at (0, 541, 0) mm"
    assert said in " ".join(summary_lines(check))
    run(f"case show {path} --out {tmp_path}/show.html")
    page = (tmp_path / "show.html").read_text()
    assert page.count("data:image/svg+xml") == len(check["views"]) + VIEWS_OF_THE_SCENE
    assert "scout" in page


def test_the_box_is_that_of_the_voxels_outer_faces(write_case):
    """SimpleITK's own idea of where the voxels lie, and the projection matrix by hand."""
    path = write_case(minimal())
    check = check_case(Case.load(path))
    image = sitk.ReadImage(str(path.parent / "ct.mha"))
    size = image.GetSize()
    for n, index in ((0, (-0.5, -0.5, -0.5)), (6, (-0.5, size[1] - 0.5, size[2] - 0.5))):
        world = START @ [*image.TransformContinuousIndexToPhysicalPoint(index), 1]
        assert_allclose(check["ct_corners_world"][n], world[:3], atol=1e-9)
        u, v, depth = np.array(check["views"][0]["projection_matrix"]) @ world
        assert_allclose(check["views"][0]["ct_corners"][n], [u / depth, v / depth], atol=1e-9)


def test_summary_lists_targets_outside_the_ct_and_the_tracker(check_of):
    """The CT's box goes from -24 to 24 mm; its mask, which is smaller, does not count."""
    tracker = np.linalg.inv([[0, 0, 1, 50], [1, 0, 0, -60], [0, 1, 0, 70], [0, 0, 0, 1]])
    check = check_of(
        {},
        SIDE,
        mask="bone.mha",
        targets=[[23, 0, 0], [0, 25, 0], [0, 0, -26]],
        reference_from_world=tracker,
    )
    sentence = "2 of 3 targets lie outside of the CT; check that they are of this CT, in LPS mm."
    assert [each for each in findings(check) if "outside of the CT" in each] == [sentence]
    for part in ("3 targets, 1 of them within", "(50, -60, 70) mm"):
        assert part in " ".join(summary_lines(check))


@pytest.mark.parametrize("mirrored, x, side", [(False, -1, "left"), (True, 1, "right")])
def test_which_way_the_patient_lies(check_of, mirrored, x, side):
    """At 0/0 the source looks from the back to the front, head up.

    As it sees the patient, left is left; mirrored, left is right.
    """
    check = check_of({"mirrored": mirrored}, {**SIDE, "mirrored": mirrored}, start=np.eye(4))
    ap = check["views"][0]
    assert_allclose(
        [ap["toward"][letter] for letter in "LPS"], [[x, 0, 0], [0, 0, -1], [0, -1, 0]], atol=1e-9
    )
    said = f"the {side} on the left, the front towards the detector, the feet at the bottom"
    assert said in summary_lines(check)[2]
    assert ap["mirrored"] == mirrored and not findings(check)


SMALL = {"source_to_detector_mm": 100, "source_to_isocentre_mm": 70, "pixel_mm": [0.4, 0.4]}
METRES = {"source_to_detector_mm": 1.02, "source_to_isocentre_mm": 0.7, "pixel_mm": [0.016, 0.016]}
ASIDE = {"isocentre_offset_mm": [0, 80], "pixel_mm": [16, 16]}


@pytest.mark.parametrize(
    "first, second, said",
    [
        ({}, {"rao_lao_deg": 5}, "AP and LAT are nearly parallel (5.0 degrees)"),
        ({}, SIDE | {"mirrored": True}, "LAT is stored as seen from the detector and the other views as from the source"),
        ({}, SIDE | ASIDE, "AP and LAT have middle rays that pass 80 mm"),
        (SMALL, SIDE, "AP has 100 mm from source to detector, unlike a C-arm"),
        ({}, {"rao_lao_deg": 1.5708}, "The angles of LAT look like radians, as the largest is 1.57 and"),
        (METRES, SIDE | METRES, "The geometry of AP and LAT looks like metres, as source to detector is 1.02; give mm."),
        ({"pixel_mm": [40, 40]}, SIDE, "AP has pixels of 28.1 mm at the anatomy"),
        ({"principal_point": [60, 8]}, SIDE, "AP barely shows the CT at the start pose"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*does not show the CT")
def test_suspicious_geometry_is_reported(check_of, first, second, said):
    (reported,) = (each for each in findings(check_of(first, second)) if each.startswith(said))
    assert reported.endswith(".")


def test_without_a_start_the_ct_is_put_where_the_views_meet(check_of, load):
    check = check_of({}, SIDE, start=None)
    case = load(minimal())
    assert check["start_pose"] == "assumed" and check_case(case)["start_pose"] == "given"
    middle = rigid.transform_points(np.array(check["world_from_ct"]), case.ct.centroid())
    assert_allclose(middle, 0, atol=1e-6)
    single = check_of({}, start=None)
    assert single["views"][0]["isocentre_depth_mm"] == pytest.approx(700)
    assert not single["pairs"] and not findings(single)


def test_case_check_prints_findings(write_case, capsys):
    path = write_case(minimal())
    run(f"case check {path}")
    reported = capsys.readouterr()
    assert "AP: source at (0, 700, 0) mm in the world" in reported.out
    assert "Nothing looks suspicious" in reported.out and not reported.err
    write_case({**minimal(), "tragets": []})
    run(f"case check {path} --json")
    assert any("tragets" in each for each in json.loads(capsys.readouterr().out)["findings"])


def test_a_page_never_replaces_a_case(write_case, refused):
    path = write_case(minimal())
    before = path.read_bytes()
    refused(f"case show {path} --out {path}", "expected the name of a page")
    assert path.read_bytes() == before
