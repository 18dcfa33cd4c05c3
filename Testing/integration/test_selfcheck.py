"""`mvreg selfcheck`: a phantom's study and a head's, what is printed and the page, and studies that are wrong."""

import shutil
from dataclasses import replace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from helpers.file_io import read_json, write_json
from helpers.phantom_study import write_scout
from helpers.program import codes_of, mvreg
from numpy.testing import assert_allclose

from MultiViewRegistrationLib import register
from MultiViewRegistrationLib.assessment.records import Finding
from MultiViewRegistrationLib.jobs import Job
from MultiViewRegistrationLib.studies import selfcheck


@pytest.mark.slow
def test_all_starts_lead_back_to_the_scanner(phantom_study, tmp_path):
    page = tmp_path / "kept" / "page.html"
    said = mvreg(f"selfcheck {phantom_study} --starts 2 --json --out {page}")
    answer, text = said.json, page.read_text()
    assert "Wrote" in said.err and answer["mtre_mm"] < 0.05
    assert answer["verdict"] in ("accept", "check") and not answer["misfits"]
    assert answer["errors"]["points"] == "visible bone"
    assert len(answer["runs"]) == answer["agreeing"] == 2
    for run in answer["runs"]:
        assert run["start_mtre_mm"] > 40 > 0.1 > run["mtre_mm"]
    first, second = answer["runs"]
    assert_allclose(first["world_from_ct"], np.eye(4), atol=0.05)
    assert not np.allclose(first["start_world_from_ct"], second["start_world_from_ct"])
    assert "http" not in text.replace("http-equiv", "") and text.count("data:image/") > 6


def test_a_scanner_pose_at_the_edge_of_the_search_is_no_reason(phantom_study, monkeypatch):
    def register_at_the_rim(*arguments, **options):
        found = register(*arguments, **options)
        doubtful = found.assessment.with_findings([Finding("unlike-known")])
        rim = replace(found.refinement, rim="55 mm from its middle")
        return replace(found, assessment=doubtful, refinement=rim)

    monkeypatch.setattr(selfcheck, "register", register_at_the_rim)
    monkeypatch.setattr(selfcheck, "START_DEG", 3.0)
    monkeypatch.setattr(selfcheck, "START_MM", 6.0)
    answer = mvreg(f"selfcheck {phantom_study} --starts 1 --json").json
    assert answer["verdict"] == "check" and "range-too-small" not in codes_of(answer)


@pytest.fixture
def own_case(case_file, tmp_path):
    shutil.copytree(case_file.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.slow
def test_a_result_is_found_again_from_known_offsets(own_case, monkeypatch):
    every = list(selfcheck.known_offsets())
    monkeypatch.setattr(selfcheck, "known_offsets", lambda: every[::5])  # of each size and kind
    mvreg(f"register {own_case}")
    answer = mvreg(f"selfcheck {own_case}/result --offsets --json --out {own_case}/p.html").json
    offsets, page = answer["offsets"], (own_case / "p.html").read_text()
    assert answer["passed"] and (len(every), len(offsets)) == (36, 8)
    assert max(each["distance_mm"] for each in offsets) < 0.1
    assert all(each["offset"] in page for each in offsets)


@pytest.mark.slow
def test_offsets_of_a_mirrored_xray_fail_with_an_exit_status(own_case):
    image = str(own_case / "view2.mha")
    sitk.WriteImage(sitk.ReadImage(image)[::-1, :], image)
    said = mvreg(f"selfcheck {own_case} --offsets --out {own_case}/page.html", 4)
    assert said.out.startswith("FAIL") and "reject" in said.out
    assert "FAIL" in (own_case / "page.html").read_text()


@pytest.mark.slow
def test_a_case_of_a_study_is_checked_as_the_study(phantom_study, tmp_path):
    """Which is how missing values are given, and one scout alone is checked."""
    case = tmp_path / "case.json"
    mvreg(f"case new --ct {phantom_study} --scouts --out {case}")
    content = read_json(case)
    write_json(case, {**content, "views": content["views"][:1]})
    said = mvreg(f"selfcheck {case} --starts 1 --out {tmp_path}/page.html").out
    assert "Only one X-ray determines the pose" in said and "1 of 1 starts" in said
    assert "Verdict, without knowing the scanner's pose: check." in said


def test_a_study_with_a_wrong_scout_is_refused(phantom_study, tmp_path):
    names = "mirrored", "untold"
    mirrored, untold = (shutil.copytree(phantom_study, tmp_path / name) for name in names)
    write_scout(untold, "LAT", DistanceSourceToPatient=None)
    pixels = pydicom.dcmread(phantom_study / "LAT.dcm").pixel_array
    write_scout(mirrored, "LAT", np.ascontiguousarray(pixels[:, ::-1]))
    missing = "is missing source_to_isocentre_mm (DistanceSourceToPatient)"
    assert f'{untold}: views[1] ("LAT") {missing}' in mvreg(f"selfcheck {untold}", 2).refusal
    turned = "LAT: the image is mirrored left to right against its header"
    assert turned in mvreg(f"selfcheck {mirrored}", 2).refusal


@pytest.mark.parametrize(
    "words, sentence",
    [
        ("nothing", "is no folder. Name the folder"),
        ("STUDY/ct", "holds no localizer of its CT"),
        ("CASE", "is no case of a CT's own scouts"),
        ("STUDY --starts 0", "--starts: found 0"),
        ("STUDY --out page.pdf", "expected the name of a page"),
    ],
)
def test_what_is_no_study_is_refused(phantom_study, case_file, words, sentence):
    given = words.replace("STUDY", str(phantom_study)).replace("CASE", str(case_file))
    assert sentence in mvreg(f"selfcheck {given}", 2).refusal


@pytest.mark.slow
def test_it_can_be_cancelled(phantom_study, tmp_path):
    job = Job(["selfcheck", phantom_study, "--starts", 500, "--out", tmp_path / "page.html"])
    seen = False
    while job.state == "running":
        record = job.poll()
        if record and "start" in record.stage and not seen:
            seen = True
            job.cancel()
    assert seen and job.state == "cancelled" and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_scouts_of_a_head_with_another_patients_ct_are_rejected(shared_data, tmp_path):
    mvreg(f"case new --ct {shared_data}/scout --scouts --out {tmp_path}/case.json")
    image = sitk.ReadImage(str(shared_data / "ct" / "torso_3mm.nii.gz"))
    middle = [(size - 1) / 2 for size in image.GetSize()]
    centre = np.array(image.TransformContinuousIndexToPhysicalPoint(middle))
    image.SetOrigin((np.array(image.GetOrigin()) - centre + [3, 18, 63]).tolist())
    sitk.WriteImage(image, str(tmp_path / "torso.nii.gz"))
    case = tmp_path / "case.json"
    write_json(case, {**read_json(case), "ct": "torso.nii.gz"})
    answer = mvreg(f"selfcheck {tmp_path} --starts 2 --json").json
    assert answer["verdict"] == "reject" and len(answer["misfits"]) == 2
    assert "most-likely-wrong" in [finding["code"] for finding in answer["findings"]]
