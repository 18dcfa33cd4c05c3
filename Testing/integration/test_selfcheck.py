"""`mvreg selfcheck`: a phantom's study and a head's, what is printed and the page, and studies that are wrong."""

import json
import shutil

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from file_io import read_json, write_json
from numpy.testing import assert_allclose
from phantom_study import write_scout

from MultiViewRegistrationLib.jobs import Job


def test_all_starts_lead_back_to_the_scanner(phantom_study, tmp_path, mvreg):
    done = mvreg(
        "selfcheck",
        phantom_study,
        "--starts",
        2,
        "--json",
        "--out",
        tmp_path / "kept" / "page.html",
    )
    assert done.returncode == 0 and "Wrote" in done.stderr, done.stderr
    answer = json.loads(done.stdout)
    assert (
        answer["mtre_mm"] < 0.05
        and answer["verdict"] in ("accept", "check")
        and not answer["misfits"]
    )
    assert len(answer["runs"]) == answer["agreeing"] == 2
    first, second = answer["runs"]
    assert (
        min(first["start_mtre_mm"], second["start_mtre_mm"])
        > 40
        > 0.1
        > max(first["mtre_mm"], second["mtre_mm"])
    )
    assert_allclose(first["world_from_ct"], np.eye(4), atol=0.05)
    assert not np.allclose(first["start_world_from_ct"], second["start_world_from_ct"])
    page = (tmp_path / "kept" / "page.html").read_text()
    assert (
        "2 of 2 starts, 18 degrees and 55 mm off, end within" in page and "<script src" not in page
    )
    assert page.count("data:image/") > 6 and "http" not in page.replace("http-equiv", "")


def test_a_result_is_found_again_from_known_offsets(case_file, tmp_path, mvreg):
    shutil.copytree(case_file.parent, tmp_path, dirs_exist_ok=True)
    assert mvreg("register", tmp_path).returncode == 0
    done = mvreg(
        "selfcheck", tmp_path / "result", "--offsets", "--json", "--out", tmp_path / "p.html"
    )
    answer = json.loads(done.stdout)
    assert done.returncode == 0 and answer["passed"] and len(answer["offsets"]) == 36
    assert max(each["distance_mm"] for each in answer["offsets"]) < 0.1
    assert all(each["offset"] in (tmp_path / "p.html").read_text() for each in answer["offsets"])


def test_offsets_of_a_mirrored_xray_fail_with_an_exit_status(case_file, tmp_path, mvreg):
    shutil.copytree(case_file.parent, tmp_path, dirs_exist_ok=True)
    image = tmp_path / read_json(case_file)["views"][1]["image"]
    sitk.WriteImage(sitk.ReadImage(str(image))[::-1, :], str(image))
    done = mvreg("selfcheck", tmp_path, "--offsets", "--out", tmp_path / "page.html")
    assert done.returncode == 4 and done.stdout.startswith("FAIL") and "reject" in done.stdout
    assert "FAIL" in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_small_offsets_of_a_real_radius_are_found_again(shared_data, mvreg):
    done = mvreg("selfcheck", shared_data / "wrist" / "radius_0002.json", "--offsets", "--json")
    assert all(each["found"] for each in json.loads(done.stdout)["offsets"][:18])


@pytest.mark.slow
def test_a_case_of_a_study_is_checked_as_the_study(phantom_study, tmp_path, mvreg):
    """Which is how missing values are given, and one scout alone is checked."""
    done = mvreg("case", "new", "--ct", phantom_study, "--scouts", "--out", tmp_path / "case.json")
    content = read_json(tmp_path / "case.json")
    write_json(tmp_path / "case.json", {**content, "views": content["views"][:1]})
    done = mvreg(
        "selfcheck", tmp_path / "case.json", "--starts", 1, "--out", tmp_path / "page.html"
    )
    assert done.returncode == 0 and "Only one X-ray determines the pose" in done.stdout
    assert (
        "1 of 1 starts" in done.stdout
        and "Verdict, without knowing the scanner's pose: check." in done.stdout
    )


def test_what_is_no_study_is_refused(phantom_study, tmp_path, case_file, mvreg):
    mirrored, untold = (
        shutil.copytree(phantom_study, tmp_path / name) for name in ("mirrored", "untold")
    )
    write_scout(untold, "LAT", DistanceSourceToPatient=None)
    write_scout(
        mirrored,
        "LAT",
        np.ascontiguousarray(pydicom.dcmread(phantom_study / "LAT.dcm").pixel_array[:, ::-1]),
    )
    for words, said in (
        (
            (untold,),
            f'{untold}: views[1] ("LAT") is missing source_to_isocentre_mm (DistanceSourceToPatient)',
        ),
        ((mirrored,), "LAT: its image is mirrored left to right against its header"),
        ((tmp_path / "nothing",), "is no folder, expected that of a CT study"),
        ((phantom_study / "ct",), "holds no localizer of its CT"),
        ((case_file,), "is no case of a CT's own scouts"),
        ((phantom_study, "--starts", 0), "--starts: found 0"),
        ((phantom_study, "--out", tmp_path / "page.pdf"), "expected the name of a page"),
    ):
        done = mvreg("selfcheck", *words)
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, (
            done.stderr
        )


@pytest.mark.slow
def test_it_can_be_cancelled(phantom_study, tmp_path):
    job, seen = (
        Job(["selfcheck", phantom_study, "--starts", 500, "--out", tmp_path / "page.html"]),
        False,
    )
    while job.state == "running":
        record = job.poll()
        if record and "start" in record.stage and not seen:
            seen = True
            job.cancel()
    assert seen and job.state == "cancelled" and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_scouts_of_a_head_with_another_patients_ct_are_rejected(shared_data, tmp_path, mvreg):
    content = _head_case(shared_data, tmp_path, mvreg)
    image = sitk.ReadImage(str(shared_data / "ct" / "torso_3mm.nii.gz"))
    centre = np.array(
        image.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in image.GetSize()])
    )
    image.SetOrigin((np.array(image.GetOrigin()) - centre + [3, 18, 63]).tolist())
    sitk.WriteImage(image, str(tmp_path / "torso.nii.gz"))
    write_json(tmp_path / "case.json", {**content, "ct": "torso.nii.gz"})
    answer = json.loads(mvreg("selfcheck", tmp_path, "--starts", 2, "--json").stdout)
    assert answer["verdict"] == "reject" and len(answer["misfits"]) == 2


def _head_case(shared_data, folder, mvreg):
    assert (
        mvreg(
            "case", "new", "--ct", shared_data / "scout", "--scouts", "--out", folder / "case.json"
        ).returncode
        == 0
    )
    return read_json(folder / "case.json")
