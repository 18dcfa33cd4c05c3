"""What `mvreg case check` says of a case, against readings of C-arms that are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from tiny_case import READING, START, camera, changed, minimal

from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.case_check import check_case
from MultiViewRegistrationLib.io.case_summary import findings, summary_lines, to_json


def with_readings(*readings, start=START) -> dict:
    """A case of C-arm views, AP and LAT, with these readings instead of the usual ones."""
    case = minimal()
    for view, changes in zip(case["views"], readings, strict=True):
        del view["projection_matrix"]
        view["c_arm"] = {**READING, **changes}
    case["world_from_ct"] = None if start is None else np.asarray(start).tolist()
    return {key: value for key, value in case.items() if value is not None}


def findings_of(path) -> list[str]:
    return findings(check_case(Case.load(path)))


def test_numbers_are_those_of_the_reading(write_case):
    check = check_case(Case.load(write_case(with_readings({}, {"rao_lao_deg": 90}))))
    ap, lateral = check.views
    assert ap.source_to_detector_mm == pytest.approx(1000)
    assert ap.isocentre_depth_mm == pytest.approx(700)
    assert ap.field_mm == pytest.approx((20 * 4 * 0.7, 16 * 4 * 0.7))
    np.testing.assert_allclose(ap.camera.source, [0, 700, 0], atol=1e-9)  # behind the patient, as DICOM has it at 0/0
    np.testing.assert_allclose(lateral.camera.source, [-700, 0, 0], atol=1e-9)  # detector at the patient's left
    assert ap.anatomy_depth_mm == pytest.approx(703) and ap.pixel_at_anatomy_mm == pytest.approx(
        4 * 0.703
    )  # START moves it by (2, -3, 1)
    assert ap.inside == pytest.approx(16 * 4 * 0.7 / 48, abs=0.03) and not ap.mirrored  # the box is 48 mm high
    assert check.pairs[0].angle_deg == pytest.approx(90) and check.pairs[0].gap_mm == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(check.isocentre, 0, atol=1e-9)
    assert findings(check) == []


def test_the_box_is_that_of_the_voxels_outer_faces(write_case):
    """SimpleITK's own idea of where the voxels lie, and the projection matrix by hand."""
    path = write_case(minimal())
    check = check_case(Case.load(path))
    image = sitk.ReadImage(str(path.parent / "ct.mha"))
    size = np.array(image.GetSize())
    told = to_json(check)
    for n in range(8):
        index = [size[axis] - 0.5 if n >> axis & 1 else -0.5 for axis in range(3)]
        world = START @ [*image.TransformContinuousIndexToPhysicalPoint(index), 1]
        np.testing.assert_allclose(check.corners[n], world[:3], atol=1e-9)
        for view in told["views"]:
            u, v, depth = np.array(view["projection_matrix"]) @ world
            np.testing.assert_allclose(view["ct_corners"][n], [u / depth, v / depth], atol=1e-9)
            assert view["ct_corner_depths_mm"][n] == pytest.approx(depth)


def test_points_outside_of_the_ct_are_suspicious(write_case):
    """The CT's box goes from -24 to 24 mm; its mask, which is smaller, does not count."""
    case = {
        **minimal(),
        "mask": "bone.mha",
        "targets": [[23, 0, 0], [0, 25, 0], [0, 0, -26]],
        "search": {"rotation_deg": 7, "translation_mm": 9.5},
        "landmarks": [{"name": "tip", "ct": [1, 2, 3], "views": {}}],
    }
    tracker = np.linalg.inv([[0, 0, 1, 50], [1, 0, 0, -60], [0, 1, 0, 70], [0, 0, 0, 1]])
    check = check_case(Case.load(write_case({**case, "reference_from_world": tracker.tolist()})))
    assert [finding for finding in findings(check) if "outside of the CT" in finding] == [
        "2 of 3 targets lie outside of the CT; check that they are of this CT, in LPS mm."
    ]
    told = " ".join(summary_lines(check))
    assert (
        "3 targets, 1 of them within" in told and "1 landmarks, all within" in told and "7 degrees and 9.5 mm" in told
    )
    assert "origin at (50, -60, 70) mm" in told
    assert to_json(check)["points"] == [
        {"what": "targets", "count": 3, "inside": 1},
        {"what": "landmarks", "count": 1, "inside": 1},
    ]


def test_the_share_inside_is_that_of_the_box(write_case):
    """Where the central ray hits the left edge of the image, half of the box is left of it."""
    half = np.eye(4)
    away = {"principal_point": [-0.5, 7.5]}
    check = check_case(Case.load(write_case(with_readings(away, {"rao_lao_deg": 90}, start=half))))
    assert check.views[0].inside == pytest.approx(check.views[1].inside / 2, abs=0.01)


@pytest.mark.parametrize("mirrored", [False, True])
def test_which_way_the_patient_lies(write_case, mirrored):
    """At 0/0 the source looks from the back to the front, head up: as it sees the patient, left is left; mirrored, left is right."""
    axes = np.eye(4)
    both = {"mirrored": mirrored}, {"rao_lao_deg": 90, "mirrored": mirrored}
    check = check_case(Case.load(write_case(with_readings(*both, start=axes))))
    toward = check.views[0].toward
    np.testing.assert_allclose(toward["L"], [1 if mirrored else -1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(toward["P"], [0, 0, -1], atol=1e-9)
    np.testing.assert_allclose(toward["S"], [0, -1, 0], atol=1e-9)
    side = "left" if mirrored else "right"
    assert f"the {side} to the right, the front towards the detector, the feet downwards" in summary_lines(check)[2]
    assert check.views[0].mirrored == mirrored and not findings(check)


@pytest.mark.parametrize(
    "readings, start, said",
    [
        (({}, {"rao_lao_deg": 5}), START, "AP and LAT are nearly parallel (5.0 degrees)"),
        (({}, {"rao_lao_deg": 178}), START, "AP and LAT are nearly parallel (178.0 degrees)"),
        (({}, {"rao_lao_deg": 90, "mirrored": True}), START, "LAT is mirrored and the other views are not"),
        (
            ({}, {"rao_lao_deg": 90, "isocentre_offset_mm": [0, 80], "pixel_mm": [16, 16]}),
            START,
            "AP and LAT have middle rays that pass 80 mm apart",
        ),
        (
            ({"source_to_detector_mm": 100, "source_to_isocentre_mm": 70, "pixel_mm": [0.4, 0.4]}, {"rao_lao_deg": 90}),
            START,
            "AP has 100 mm from source to detector, unlike a C-arm",
        ),
        (({"pixel_mm": [40, 40]}, {"rao_lao_deg": 90}), START, "AP has pixels of 28.1 mm at the anatomy"),
        (({}, {"rao_lao_deg": 90}), START + np.eye(4, k=3) * 48, "AP hardly shows the CT at the start pose"),
    ],
)
def test_what_is_suspicious_is_said(write_case, readings, start, said):
    told = [
        finding
        for finding in findings_of(write_case(with_readings(*readings, start=start)))
        if finding.startswith(said)
    ]
    assert len(told) == 1 and told[0].endswith(".")


def test_the_same_image_in_two_views_is_said(write_case):
    path = write_case(minimal())
    (path.parent / "lat.mha").write_bytes((path.parent / "ap.mha").read_bytes())
    assert any(finding.startswith("LAT has the same image as AP") for finding in findings_of(path))


def test_without_a_start_the_ct_is_put_where_the_views_meet(write_case):
    check = check_case(Case.load(write_case(with_readings({}, {"rao_lao_deg": 90}, start=None))))
    assert not check.placed and to_json(check)["start_pose"] == "assumed"
    case = Case.load(check_path := write_case(minimal()))
    assert check_path and check_case(case).placed
    np.testing.assert_allclose(
        check.world_from_ct[:3, :3] @ case.ct.centroid() + check.world_from_ct[:3, 3], 0, atol=1e-6
    )


def test_a_single_view_is_judged_about_the_worlds_origin(write_case):
    content = with_readings({}, {}, start=None)
    content["views"].pop()
    check = check_case(Case.load(write_case(content)))
    assert check.views[0].isocentre_depth_mm == pytest.approx(700) and check.pairs == [] and findings(check) == []


def test_a_page_never_replaces_a_case(write_case, capsys):
    path = write_case(minimal())
    before = path.read_bytes()
    assert main(["case", "show", str(path), "--out", str(path)]) == 2 and path.read_bytes() == before
    assert "expected the name of a page" in capsys.readouterr().err


def test_the_program_says_it_and_refuses_a_fault_with_one_sentence(write_case, capsys):
    path = write_case(minimal())
    assert main(["case", "check", str(path)]) == 0
    told = capsys.readouterr()
    assert "AP: source at (0, 700, 0) mm in the world" in told.out and "90.0 degrees between them" in told.out
    assert "Nothing looks suspicious" in told.out and not told.err
    write_case(changed(minimal(), ["views", 0, "projection_matrix", 0, 0], "x"))
    assert main(["case", "check", str(path)]) == 2
    told = capsys.readouterr()
    assert not told.out and told.err.count("\n") == 1 and "views[0].projection_matrix[0][0]" in told.err


def test_an_unknown_key_is_told_as_suspicious(write_case, capsys):
    assert main(["case", "check", str(write_case({**minimal(), "tragets": []})), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert any("tragets" in finding for finding in told["findings"])


def test_show_prints_the_resolved_matrices_of_every_kind_of_geometry(write_case, capsys):
    given = camera(90, mirrored=True)
    case = with_readings({"mirrored": True}, {})
    case["views"][1].pop("c_arm")
    case["views"][1]["projection_matrix"] = (3 * given.projection_matrix).tolist()  # any scale
    path = write_case(case)
    assert main(["case", "show", str(path), "--json"]) == 0
    views = json.loads(capsys.readouterr().out)["views"]
    for view, expected in zip(views, (camera(0, mirrored=True), given), strict=True):
        np.testing.assert_allclose(view["projection_matrix"], expected.projection_matrix, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(view["camera"]["intrinsics"], expected.intrinsics, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(view["source"], expected.source, atol=1e-6)
        assert view["mirrored"] and view["size"] == [20, 16]
