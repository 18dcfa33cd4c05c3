"""`mvreg case new` with calibration files, search, targets, landmarks and a tracker's frame."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from tiny_case import SIZE, START, camera, refusal

from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.points import read_pixels, read_targets
from MultiViewRegistrationLib.io.transforms import read_pose, write_transform

AP, LAT = camera(0), camera(90)
RAS = np.diag([-1.0, -1, 1, 1])
REFERENCE = np.array([[0, 0, 1, 5], [1, 0, 0, -6], [0, 1, 0, 7], [0, 0, 0, 1]], float)
DISTORTION = [-40.0, 10.0, 0.4, -0.3, 5.0]  # of an image that is narrow for its distance


@pytest.fixture
def files(case_folder, tmp_path, monkeypatch):
    """The tiny case's files, both cameras in an OpenCV file in cm, and what else a case may be given; the program runs among them."""
    folder = tmp_path / "patient"
    shutil.copytree(case_folder, folder)
    cameras = {
        name: {
            "camera_matrix": matrix(view.intrinsics),
            "R": matrix(view.camera_from_world[:3, :3]),
            "t": matrix(view.camera_from_world[:3, 3:] / 10),
        }
        for name, view in (("AP", AP), ("side", LAT))
    }
    cameras["side"]["distortion_coefficients"] = matrix([DISTORTION])
    (folder / "cameras.json").write_text(json.dumps(cameras))
    write_transform(folder / "start.tfm", START)
    np.savetxt(folder / "tracker.txt", RAS @ np.linalg.inv(REFERENCE) @ RAS)
    (folder / "targets.txt").write_text("# RAS\n1, 2, 3\n-4 5 6  # hip\n")
    (folder / "marks.fcsv").write_text(
        "# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n# columns = label,x,y,z\n"
        "tip,1,2,3\nheel,0,0,-3\n"
    )
    (folder / "ap.csv").write_text('# name, column, row\ntip, 9.5, 7\n"heel", 8, 6.5\n')
    monkeypatch.chdir(folder)
    return folder


def matrix(values):
    values = np.atleast_2d(values)
    return {"rows": values.shape[0], "cols": values.shape[1], "dt": "d", "data": values.ravel().tolist()}


def new(*more, said=("unit=cm", "axes=lps")):
    return [
        "case",
        "new",
        "--ct",
        "ct.mha",
        "--out",
        "case.json",
        "--world-from-ct",
        "start.tfm",
        *more,
        "--view",
        "AP",
        "ap.mha",
        "--calibration",
        "cameras.json",
        *(["--given", *said] if said else []),
        "--intensity",
        "linear",
        "--landmark-pixels",
        "ap.csv",
        "--view",
        "LAT",
        "lat.mha",
        "--calibration",
        "cameras.json",
        "side",
        "--given",
        "unit=cm",
        "axes=lps",
        "--intensity",
        "linear",
    ]


def test_views_get_the_geometry_of_their_calibration_file(files):
    assert main(new("--landmarks", "marks.fcsv")) == 0
    case = Case.load(files / "case.json")
    for view, expected in zip(case.views, (AP, LAT), strict=True):
        np.testing.assert_allclose(view.camera.intrinsics, expected.intrinsics, rtol=1e-12)
        np.testing.assert_allclose(view.camera.camera_from_world, expected.camera_from_world, atol=1e-9)
    ap, lateral = json.loads((files / "case.json").read_text())["views"]
    assert "distortion" not in ap and lateral["distortion"] == DISTORTION and lateral["camera"]["size"] == list(SIZE)


def test_an_image_with_distortion_is_undistorted(files):
    """By OpenCV's formula (calib3d) and SciPy's interpolation."""
    assert main(new("--landmarks", "marks.fcsv")) == 0
    shown = Case.load(files / "case.json").views[1].xray
    stored = sitk.GetArrayFromImage(sitk.ReadImage(str(files / "lat.mha"))).astype(np.float32)
    fx, fy, (cx, cy) = LAT.intrinsics[0, 0], LAT.intrinsics[1, 1], LAT.intrinsics[:2, 2]
    rows, columns = np.indices(stored.shape)
    x, y = (columns - cx) / fx, (rows - cy) / fy
    (k1, k2, p1, p2, k3), r2 = DISTORTION, x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    bent = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    by_scipy = -np.log(map_coordinates(stored, [bent[1] * fy + cy, bent[0] * fx + cx], order=1, cval=np.nan))
    inside = shown.valid & np.isfinite(by_scipy)
    assert inside.mean() > 0.8 and np.abs(bent[0] - x).max() * fx > 0.005
    assert np.ptp((shown.line_integrals - by_scipy)[inside]) < 1e-3


def test_the_parts_of_a_case_come_from_their_files(files):
    assert (
        main(
            new(
                "--landmarks",
                "marks.fcsv",
                "--search",
                "12",
                "34.5",
                "--targets",
                "targets.txt",
                "ras",
                "--reference-from-world",
                "tracker.txt",
                "ras",
                "resampling",
            )
        )
        == 0
    )
    case = Case.load(files / "case.json")
    assert case.search == {"rotation_deg": 12, "translation_mm": 34.5}
    np.testing.assert_array_equal(case.targets, [[-1, -2, 3], [4, -5, 6]])
    np.testing.assert_allclose(case.reference_from_world, REFERENCE, atol=1e-9)
    np.testing.assert_allclose(case.world_from_ct, START, atol=1e-9)
    tip, heel = case.landmarks
    assert (
        tip.name == "tip"
        and list(tip.ct) == [1, 2, 3]
        and list(tip.pixels) == ["AP"]
        and list(heel.pixels["AP"]) == [8, 6.5]
    )


def test_targets_come_from_slicers_files_with_their_own_axes(files):
    np.testing.assert_array_equal(read_targets("marks.fcsv"), [[1, 2, 3], [0, 0, -3]])
    markups = {
        "markups": [
            {
                "type": "Fiducial",
                "coordinateSystem": "RAS",
                "controlPoints": [{"label": "same", "position": [1, 2, 3]}, {"label": "same", "position": [4, 5, 6]}],
            }
        ]
    }
    (files / "points.mrk.json").write_text(json.dumps(markups))
    np.testing.assert_array_equal(read_targets("points.mrk.json"), [[-1, -2, 3], [-4, -5, 6]])
    np.testing.assert_array_equal(read_targets("targets.txt", "lps"), [[1, 2, 3], [-4, 5, 6]])


@pytest.mark.parametrize(
    "more, said",
    [
        (["--landmarks", "ap.csv"], "CoordinateSystem"),
        ([], "--landmarks: is missing"),
        (["--landmarks", "other.fcsv"], 'view AP has "heel"'),
        (["--targets", "targets.txt"], "add lps or ras"),
        (["--targets", "marks.fcsv", "ras"], "leave it out"),
        (["--targets", "ct.mha", "ras"], "not text"),
        ("--landmarks marks.fcsv --search 200 10".split(), "search.rotation_deg"),
        (["--reference-from-world", "tracker.txt"], "the word lps or the word ras"),
        (["--reference-from-world", "start.tfm", "ras"], "says lps itself"),
        (["--reference-from-world", "start.tfm", "upside"], "upside behind the file"),
        (["--reference-from-world", "ap.csv", "ras"], "a 4x4 matrix"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(files, capsys, more, said):
    (files / "other.fcsv").write_text((files / "marks.fcsv").read_text().replace("heel", "toe"))
    assert main(new(*more)) == 2
    told = capsys.readouterr()
    assert not told.out and told.err.count("\n") == 1 and said in told.err, told.err
    assert not (files / "case.json").exists()


@pytest.mark.parametrize(
    "words, told",
    [
        (new(said=()), "--given axes=VALUE"),
        (new(said=("axes=ras",)), "--given unit=VALUE"),
        (new(said=("unit=inch", "axes=lps")), "unit: found"),
        (new(said=("zoom=3",)), "key=value"),
        ([word for word in new() if word != "side"], "several cameras"),
        (["front" if word == "side" else word for word in new()], 'no camera "front"'),
        ([*new(), "--c-arm", "roll_deg=0"], "--calibration and --c-arm"),
        (
            [part for word in new() for part in ((word, "view") if word == "side" else (word,))],
            "3 words behind --calibration",
        ),
        (
            [word for word in new() if word not in ("--calibration", "cameras.json", "side")],
            "--given without --calibration",
        ),
    ],
)
def test_what_a_calibration_leaves_open_is_named(files, capsys, words, told):
    assert main([*words[:2], "--landmarks", "marks.fcsv", *words[2:]]) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.count("\n") == 1 and told in said.err, said.err
    assert not (files / "case.json").exists()


def test_what_a_calibration_leaves_open_is_asked_for_at_a_terminal(files, monkeypatch, capsys):
    asked, answers = [], ["up", "lps", "cm"]
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or answers[len(asked) - 1])
    assert main(new("--landmarks", "marks.fcsv", said=())) == 0, capsys.readouterr().err
    assert len(asked) == 3 and "axes" in asked[0] and asked[1] == asked[0] and "unit" in asked[2]
    np.testing.assert_allclose(Case.load(files / "case.json").views[0].camera.source, AP.source, atol=1e-9)


def test_a_calibration_may_be_the_answer_to_what_is_asked(files, monkeypatch, capsys):
    answers = ["ap.txt", "cameras.json", "lps", "cm", ""]
    np.savetxt("ap.txt", AP.projection_matrix)
    (files / "cameras.json").write_text(json.dumps({"LAT": json.loads((files / "cameras.json").read_text())["side"]}))
    asked = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or answers[len(asked) - 1])
    assert (
        main(
            [
                "case",
                "new",
                "--ct",
                "ct.mha",
                "--out",
                "case.json",
                "--world-from-ct",
                "start.tfm",
                "--view",
                "AP",
                "ap.mha",
                "--intensity",
                "log",
                "--view",
                "LAT",
                "lat.mha",
                "--intensity",
                "log",
            ]
        )
        == 0
    ), capsys.readouterr().err
    assert len(asked) == 4
    for view, expected in zip(Case.load(files / "case.json").views, (AP, LAT), strict=True):
        np.testing.assert_allclose(view.camera.projection_matrix, expected.projection_matrix, rtol=1e-9, atol=1e-6)


def test_poses_are_read_in_all_four_ways(files):
    for frame, turn in (("lps", np.eye(4)), ("ras", RAS)):
        for direction, pose in (("forward", START), ("resampling", np.linalg.inv(START))):
            np.savetxt("pose.txt", turn @ pose @ turn)
            np.testing.assert_allclose(read_pose("pose.txt", "world_from_ct", [frame, direction]), START, atol=1e-12)
            np.testing.assert_allclose(read_pose("pose.txt", "world_from_ct", [direction, frame]), START, atol=1e-12)
    write_transform(files / "back.tfm", np.linalg.inv(START))
    np.testing.assert_allclose(read_pose("back.tfm", "world_from_ct", ["resampling"]), START, atol=1e-9)
    np.savetxt("named.txt", REFERENCE, header="reference_from_world: x_reference = matrix @ x_world, mm, axes LPS")
    np.testing.assert_allclose(read_pose("named.txt", "reference_from_world"), REFERENCE)
    assert "holds reference_from_world" in refusal(read_pose, "named.txt", "world_from_ct")
    np.savetxt("large.txt", 2 * REFERENCE)
    assert "world_from_ct" not in refusal(read_pose, "large.txt", "reference_from_world", ["lps"])


TEXTS = st.text(max_size=60) | st.lists(
    st.lists(st.floats() | st.text(max_size=3), max_size=4).map(lambda row: ",".join(map(str, row))), max_size=4
).map("\n".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS)
def test_any_text_is_points_or_refused(tmp_path, text):
    (tmp_path / "any.txt").write_text(text, encoding="utf-8")
    assert _numbers_or_refused(lambda path: read_targets(path, "ras"), tmp_path / "any.txt")
    assert _numbers_or_refused(lambda path: list(read_pixels(path).values()), tmp_path / "any.txt")


def _numbers_or_refused(read, path):
    try:
        return np.isfinite(read(path)).all()
    except InputError as error:
        return len(str(error).splitlines()) == 1
