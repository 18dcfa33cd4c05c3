"""`mvreg case new`: with options, with questions, and nothing written where something is wrong."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted_dicom import write_xray
from tiny_case import START, camera

from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.case_new import C_ARM, C_ARM_OPTIONAL, parse_reading
from MultiViewRegistrationLib.io.transforms import write_transform

READING = [
    "source_to_detector_mm=1000",
    "source_to_isocentre_mm=700",
    "pixel_mm=4",
    "rao_lao_deg=90",
    "cra_cau_deg=0",
    "mirrored=false",
]


@pytest.fixture
def files(case_folder, tmp_path):
    """A folder "patient" with the tiny case's files, the AP's matrix as text, and a start pose."""
    folder = tmp_path / "patient"
    shutil.copytree(case_folder, folder)
    np.savetxt(folder / "ap.txt", camera(0).projection_matrix)
    write_transform(folder / "start.tfm", START)
    return folder


def arguments(files, out, *more):
    return [
        str(argument)
        for argument in (
            "case",
            "new",
            "--ct",
            files / "ct.mha",
            "--world-from-ct",
            files / "start.tfm",
            "--out",
            out,
            "--view",
            "AP",
            files / "ap.mha",
            "--projection-matrix",
            files / "ap.txt",
            "--intensity",
            "linear",
            "--view",
            "LAT",
            files / "lat.mha",
            "--c-arm",
            *READING,
            "--intensity",
            "log",
            "--translation-sd",
            "unknown",
            *more,
        )
    ]


def test_a_case_is_made_whose_cameras_are_those_given(files, tmp_path, capsys):
    out = tmp_path / "cases" / "first" / "case.json"
    assert main(arguments(files, out, "--mask", files / "ap_mask.mha")) == 0
    assert "Look at it before you use it" in capsys.readouterr().out
    case = Case.load(out)
    np.testing.assert_allclose(
        case.views[0].camera.projection_matrix, camera(0).projection_matrix, rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(
        case.views[1].camera.projection_matrix, camera(90).projection_matrix, rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(case.world_from_ct, START, atol=1e-12)
    assert [view.translation_sd_mm for view in case.views] == [0, None]
    content = json.loads(out.read_text())
    assert content["ct"] == "../../patient/ct.mha" and content["views"][1]["mask"] == "../../patient/ap_mask.mha"
    assert [view["intensity"] for view in content["views"]] == ["linear", "log"] and "frame" not in content["views"][0]
    assert os.listdir(out.parent) == ["case.json"]


def test_copied_files_need_the_originals_no_more(files, tmp_path):
    out = tmp_path / "copy" / "case.json"
    assert main(arguments(files, out, "--copy")) == 0
    shutil.rmtree(files)
    assert len(Case.load(out).views) == 2
    assert sorted(os.listdir(out.parent)) == "ap.mha case.json ct.mha lat.mha".split()


def test_an_existing_file_is_replaced_by_force_alone(files, tmp_path, capsys):
    out = tmp_path / "case.json"
    out.write_text("mine")
    assert main(arguments(files, out)) == 2 and out.read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    assert main(arguments(files, out, "--force")) == 0 and len(Case.load(out).views) == 2


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda a: a[: a.index("--c-arm")], f"LAT: lacks {', '.join(C_ARM)}, expected"),
        (lambda a: [part for part in a if part != "mirrored=false"], "LAT: lacks mirrored"),
        (lambda a: [part.replace("mirrored=false", "mirrored=maybe") for part in a], "mirrored"),
        (lambda a: [part.replace("=1000", "=600") for part in a], "case.json: views[1].c_arm.source_to_isocentre_mm"),
        (lambda a: [part.replace("lat.mha", "late.mha") for part in a], "late.mha: no such file"),
        (lambda a: [part.replace("ct.mha", "cat.mha") for part in a], "cat.mha: no such file"),
        (lambda a: [part.replace("LAT", "AP") for part in a], "same name"),
        (lambda a: a[: a.index("--view")], "--view"),
        (lambda a: [*a[:2], *a[4:]], "--ct"),
        (lambda a: [part.replace("ap.txt", "ct.mha") for part in a], "not text"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence_and_nothing_is_written(files, tmp_path, capsys, change, said):
    out = tmp_path / "new" / "case.json"
    assert main(change(arguments(files, out))) == 2
    told = capsys.readouterr()
    assert not told.out and told.err.count("\n") == 1 and said in told.err, told.err
    assert not out.parent.exists()


@pytest.mark.parametrize("wrong", [["--frame", "0"], "--view A b --frame 0 --frame 1".split()])
def test_an_option_belongs_to_one_view_once(wrong, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["case", "new", *wrong])
    assert stop.value.code == 2 and "--frame" in capsys.readouterr().err


def test_what_is_missing_is_asked_for_at_a_terminal(files, tmp_path, monkeypatch, capsys):
    out = tmp_path / "case.json"
    answers = [
        files / "ct.mha",
        "AP",
        files / "ap.mha",
        "linear",
        files / "ap.txt",
        "LAT",
        files / "lat.mha",
        "log",
        "",
        "1000",
        "700",
        "4",
        "90",
        "0",
        "maybe",
        "false",
        "",
        out,
    ]
    asked = []

    def answer(question: str) -> str:
        asked.append(question)
        return str(answers[len(asked) - 1])

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", answer)
    assert main(["case", "new"]) == 0, capsys.readouterr().err
    assert (
        len(asked) == len(answers)
        and "mirrored" in asked[14]
        and asked[15] == asked[14]
        and "positive towards the head" in asked[13]
    )
    case = Case.load(out)
    np.testing.assert_allclose(
        case.views[1].camera.projection_matrix, camera(90).projection_matrix, rtol=1e-12, atol=1e-12
    )


@pytest.mark.filterwarnings("always")
def test_a_warning_names_the_new_case(files, tmp_path, capsys):
    start = START.copy()
    start[2, 3] += 36  # off the image of the LAT, whose field is made a third as large
    write_transform(files / "start.tfm", start)
    out = tmp_path / "new"
    small = [part.replace("pixel_mm=4", "pixel_mm=1") for part in arguments(files, out)]
    assert main(small) == 0
    told = capsys.readouterr().err
    assert f"{out / 'case.json'}: views[1] does not show the CT" in told


def test_a_dicom_header_answers_for_what_is_left_out_and_no_more(files, tmp_path, capsys):
    pixels = np.random.default_rng(3).integers(2000, 4000, (16, 20))
    write_xray(
        files / "xa.dcm",
        pixels,
        DistanceSourceToDetector="1000",
        DistanceSourceToPatient="650",
        ImagerPixelSpacing=["4", "5"],
        PositionerPrimaryAngle="30",
        PositionerSecondaryAngle="-10",
    )
    view = [
        "--view",
        "oblique",
        str(files / "xa.dcm"),
        "--intensity",
        "linear",
        "--c-arm",
        "source_to_isocentre_mm=700",
    ]
    out = tmp_path / "case.json"
    assert main(arguments(files, out, *view)) == 2
    assert "oblique: lacks mirrored" in capsys.readouterr().err
    assert main(arguments(files, out, *view, "mirrored=true")) == 0
    told = capsys.readouterr().err
    assert "oblique: rao_lao_deg is 30.0 by the DICOM header" in told and "source_to_isocentre_mm" not in told
    expected = camera(30, cra_cau_deg=-10, pixel_mm=(5, 4), mirrored=True)
    np.testing.assert_allclose(
        Case.load(out).views[2].camera.projection_matrix, expected.projection_matrix, rtol=1e-12, atol=1e-12
    )


@given(key=st.sampled_from([*C_ARM, *C_ARM_OPTIONAL, "size", ""]), value=st.text(max_size=12) | st.floats().map(str))
def test_any_reading_is_understood_or_refused(key, value):
    try:
        name, reading = parse_reading(f"{key}={value}")
    except InputError:
        return
    assert name == key and (isinstance(reading, bool) or np.isfinite(reading).all())
