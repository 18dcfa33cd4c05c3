"""`mvreg case new`: with options, with files of other programs, and nothing written where something is wrong."""

import json
import os
import shutil

import numpy as np
import pytest
from helpers.file_io import read_json, read_values, write_volume
from helpers.planted_dicom import write_xray
from imaging.dicom_files import tagged, write_plan, write_series
from numpy.testing import assert_allclose, assert_array_equal
from tiny_case import SIZE, START, camera, run

from MultiViewRegistrationLib import Case
from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.geometry.fields import C_ARM
from MultiViewRegistrationLib.io.dicom_geometry import IN_IMAGE
from MultiViewRegistrationLib.io.transforms import write_transform

AP, LAT = camera(0), camera(90)
RAS = np.diag([-1.0, -1, 1, 1])
CT_FROM_INDEX = np.array([[4.0, 0, 0, -22], [0, 4, 0, -22], [0, 0, 4, -22], [0, 0, 0, 1]])
REFERENCE = np.array([[0, 0, 1, 5], [1, 0, 0, -6], [0, 1, 0, 7], [0, 0, 0, 1]], float)
DISTORTION = [-40.0, 10.0, 0.4, -0.3, 5.0]  # of an image that is narrow for its distance
OUT = "new/case.json"
ASKED = [key for key, field in C_ARM.items() if field.asked]
#: AP by a matrix in text, LAT by a C-arm's readings.
BASIC = (
    f"case new --ct ct.mha --world-from-ct start.tfm --out {OUT} --view AP ap.mha "
    "--projection-matrix ap.txt --intensity linear --view LAT lat.mha --c-arm "
    "source_to_detector_mm=1000 source_to_isocentre_mm=700 pixel_mm=4 rao_lao_deg=90 "
    "cra_cau_deg=0 mirrored=false --intensity log --translation-sd unknown"
)
#: Both by an OpenCV file in cm, LAT with distortion.
CALIBRATED = (
    f"case new --ct ct.mha --out {OUT} --world-from-ct start.tfm --landmarks marks.fcsv --view AP "
    "ap.mha --calibration cameras.json --given unit=cm axes=lps --intensity linear "
    "--landmark-pixels ap.csv --view LAT lat.mha --calibration cameras.json side --given unit=cm "
    "axes=lps --intensity linear"
)


@pytest.fixture
def files(case_folder, tmp_path, monkeypatch):
    """A folder with the tiny case's files and what else a case may be given.

    The program runs there.
    """
    folder = tmp_path / "patient"
    shutil.copytree(case_folder, folder)
    monkeypatch.chdir(folder)
    np.savetxt("ap.txt", AP.projection_matrix)
    write_transform("start.tfm", START)
    cameras = {
        name: {
            "camera_matrix": matrix(view.intrinsics),
            "R": matrix(view.camera_from_world[:3, :3]),
            "t": matrix(view.camera_from_world[:3, 3:] / 10),
        }
        for name, view in (("AP", AP), ("side", LAT))
    }
    cameras["side"]["distortion_coefficients"] = matrix([DISTORTION])
    texts = {
        "cameras.json": json.dumps(cameras),
        "targets.txt": "# RAS\n1, 2, 3\n-4 5 6  # hip\n",
        "marks.fcsv": "# CoordinateSystem = LPS\n# columns = label,x,y,z\ntip,1,2,3\nheel,0,0,-3\n",
        "other.fcsv": "# CoordinateSystem = LPS\n# columns = label,x,y,z\ntip,1,2,3\ntoe,0,0,-3\n",
        "ap.csv": '# name, column, row\ntip, 9.5, 7\n"heel", 8, 6.5\n',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    np.savetxt("tracker.txt", RAS @ np.linalg.inv(REFERENCE) @ RAS)
    return folder


def matrix(values):
    values = np.atleast_2d(values)
    return {
        "rows": values.shape[0],
        "cols": values.shape[1],
        "dt": "d",
        "data": values.ravel().tolist(),
    }


def made(words, out=OUT):
    """The case that these words make."""
    run(words)
    return Case.load(out)


def assert_cameras(case, *expected):
    for view, other in zip(case.views, expected, strict=True):
        assert_allclose(
            view.camera.projection_matrix, other.projection_matrix, rtol=1e-9, atol=1e-6
        )


def test_a_case_is_made_whose_cameras_are_those_given(files, refused, capsys):
    case = made(f"{BASIC} --mask ap_mask.mha")
    assert "Look at it before you use it" in capsys.readouterr().out
    assert_cameras(case, AP, LAT)
    assert_allclose(case.world_from_ct, START, atol=1e-12)
    assert [view.translation_sd_mm for view in case.views] == [0, None]
    content = read_json(files / OUT)
    ap, lateral = content["views"]
    assert content["ct"] == "../ct.mha" and lateral["mask"] == "../ap_mask.mha"
    assert (ap["intensity"], lateral["intensity"]) == ("linear", "log") and "frame" not in ap
    os.rename("new", "mine")
    again = f"{BASIC} --out mine/case.json"
    refused(again, "--force")
    assert os.listdir("mine") == ["case.json"] and read_json(files / "mine/case.json") == content
    made(f"{again} --force", "mine")


@pytest.mark.parametrize(
    "old, new, units",
    [
        (
            "--ct ct.mha --world-from-ct start.tfm",
            "--body bone=ct.mha start.tfm --body nail=nail.mha:titanium",
            {"bone": "hu", "nail": "titanium"},
        ),
        ("--view LAT", "--body nail=nail.mha:0.05/mm --view LAT", {"": "hu", "nail": "0.05/mm"}),
    ],
)
def test_bodies_have_their_units_and_initial_poses(files, old, new, units):
    write_volume(files / "nail.mha", np.ones((4, 4, 4)), START)
    first, second = made(BASIC.replace(old, new)).bodies
    assert {body.name: body.ct.unit for body in (first, second)} == units
    assert_allclose(first.world_from_ct, START, atol=1e-12)
    assert (second.world_from_ct is None) == (first.name == "bone")


def test_copied_case_is_independent_of_its_originals(files, tmp_path):
    copy = f"{BASIC} --ct-labels bone.mha --structures all --copy --out {tmp_path}/copy/case.json"
    made(copy, tmp_path / "copy")
    shutil.rmtree(files)
    assert Case.load(tmp_path / "copy").structures.names == ("1",)


@pytest.mark.parametrize(
    "old, new, said",
    [
        (BASIC[BASIC.index("--c-arm") :], "", f"LAT: is missing {', '.join(ASKED)}, expected"),
        ("lat.mha", "late.mha", "late.mha: no such file"),
        ("--ct ct.mha", "--ct ct.mha --body nail=n.mha", "--body: nail stands beside --ct"),
        ("--ct ct.mha", "--body n.stl:steel", "expected NAME=FILE"),
        ("--ct ct.mha", "--ct ct.mha --rt-plan a.dcm", "--rt-plan: stands beside --world-from-ct"),
    ],
)
def test_invalid_options_are_refused_and_nothing_is_written(files, refused, old, new, said):
    refused(BASIC.replace(old, new), said)


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("--landmarks marks.fcsv", "", "--landmarks: is missing"),
        ("marks.fcsv", "other.fcsv", 'view AP has "heel"'),
        ("--out", "--targets targets.txt --out", "add lps or ras"),
        ("--out", "--targets marks.fcsv ras --out", "leave it out"),
        ("--out", "--reference-from-world tracker.txt --out", "the word lps or the word ras"),
        ("--out", "--reference-from-world ap.csv ras --out", "a 4x4 matrix"),
        ("--calibration cameras.json", "", "--given without --calibration"),
        (" side", " front", 'no camera "front"'),
        (" side", " side view", "3 words behind --calibration"),
    ],
)
def test_invalid_files_are_refused_and_nothing_is_written(files, refused, old, new, said):
    assert old in CALIBRATED
    refused(CALIBRATED.replace(old, new, 1), said)


def test_everything_missing_is_reported_at_once_with_its_option(files, refused):
    refused("case new --out new/case.json", "--ct CT", "--view NAME IMAGE")
    words = CALIBRATED.replace("--ct ct.mha", "").replace("--given unit=cm axes=lps", "", 1)
    words = words.replace("--intensity linear", "", 1)
    more = "--view oblique lat.mha --intensity linear --c-arm pixel_mm=4"
    refused(
        f"{words} {more}",
        "--ct CT",
        "AP: the image does not show whether bone is dark or bright. Add --intensity",
        "--given axes=VALUE",
        "--given unit=VALUE",
        "oblique: is missing source_to_detector_mm, ",
        "--c-arm KEY=VALUE",
    )


def test_ct_series_selects_one_of_two_series(files, capsys):
    ct = read_values("ct.mha").astype(np.int16)
    for uid, number, name in (("1.2.3", 2, "HEAD"), ("1.2.4", 3, "BONE")):
        told = {"SeriesInstanceUID": uid, "SeriesNumber": number, "SeriesDescription": name}
        write_series(files / "ct", ct, CT_FROM_INDEX, prefix=name, **told)
    words = BASIC.replace("ct.mha", "ct")
    assert main(words.split()) == 2
    listed = capsys.readouterr().err
    assert f'2: "HEAD", {len(ct)} slices' in listed and '3: "BONE"' in listed
    assert made(f"{words} --ct-series 3").ct.volume.values.shape == ct.shape
    assert read_json(files / OUT)["ct_series"] == "1.2.4"


def test_an_output_that_cannot_be_written_is_refused(files, refused):
    refused("case new --out ct.mha/case.json", "ct.mha is a file")


def test_a_dicom_header_answers_for_what_is_left_out_and_no_more(files, refused, capsys):
    tags = tagged(
        "DistanceSourceToDetector=1000 DistanceSourceToPatient=650 ImagerPixelSpacing=4/5 "
        "PositionerPrimaryAngle=30 PositionerSecondaryAngle=-10"
    )
    write_xray(files / "xa.dcm", np.random.default_rng(3).integers(2000, 4000, (16, 20)), **tags)
    words = f"{BASIC} --view oblique xa.dcm --intensity linear --c-arm source_to_isocentre_mm=700"
    refused(words, "oblique: is missing mirrored")
    case = made(f"{words} mirrored=true")
    reported = capsys.readouterr().err
    assert "oblique: by the DICOM header" in reported and "; rao_lao_deg 30;" in reported
    assert "source_to_isocentre_mm" not in reported
    assert_cameras(case, AP, LAT, camera(30, cra_cau_deg=-10, pixel_mm=(5, 4), mirrored=True))
    assert IN_IMAGE in read_json(files / OUT)["views"][2]["assumptions"]


def test_the_parts_of_a_case_come_from_their_files(files):
    parts = "--search 12 34.5 --targets targets.txt ras --reference-from-world tracker.txt ras resampling"
    case = made(CALIBRATED.replace("--out", f"{parts} --out"))
    assert_cameras(case, AP, LAT)
    ap, lateral = read_json(files / OUT)["views"]
    assert "distortion" not in ap and lateral["distortion"] == DISTORTION
    assert lateral["camera"]["size"] == list(SIZE)
    assert case.search == {"rotation_deg": 12, "translation_mm": 34.5}
    assert_array_equal(case.targets, [[-1, -2, 3], [4, -5, 6]])
    assert_allclose(case.reference_from_world, REFERENCE, atol=1e-9)
    tip, heel = case.landmarks
    assert (tip.name, list(tip.ct), list(tip.pixels)) == ("tip", [1, 2, 3], ["AP"])
    assert list(heel.pixels["AP"]) == [8, 6.5]


def test_the_start_is_the_isocentre_of_a_plan(files):
    write_plan(files / "plan.dcm", [3.0, -4.0, 5.5])
    case = made(BASIC.replace("--world-from-ct start.tfm", "--rt-plan plan.dcm"))
    assert_array_equal(case.world_from_ct[:3, 3], [-3, 4, -5.5])
