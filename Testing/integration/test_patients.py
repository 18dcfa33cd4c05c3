"""A CT and X-rays of different patients are never accepted, unless a person says that they are of one.

Names, IDs, dates and institutions in DICOM headers are in nothing that the program writes or prints.
"""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from helpers import phantom
from helpers.file_io import read_json, write_json
from helpers.phantom import CORNERS, TRUE_POSE, make_ct, make_views
from helpers.planted_dicom import IDENTITY, SECRETS, write_ct, write_xray
from helpers.program import codes_of, mvreg
from helpers.refusals import refuses

from MultiViewRegistrationLib.api import assess, register
from MultiViewRegistrationLib.assessment import verdict
from MultiViewRegistrationLib.assessment.records import Assessment
from MultiViewRegistrationLib.io.arrays import Body, View
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration import warm_up
from MultiViewRegistrationLib.report.messages import MESSAGES
from MultiViewRegistrationLib.report.result_page import save_result

OTHER = "OTHER-77"
SAME_PATIENT = MESSAGES["patient-confirmed"].headline


@pytest.fixture
def arrays(tmp_path, monkeypatch, no_cause):
    """A function: a case of DICOM files whose CT has these tags.

    The 3D position of any pose would be accepted.
    """
    monkeypatch.setattr(verdict, "_concluded", lambda *given: Assessment(()))
    ct = make_ct()
    views = make_views(ct)

    def case(same_patient=False, **tags):
        folder = write_ct(
            tmp_path / "ct", np.rint(ct.volume.values), ct.volume.ct_from_index, **tags
        )
        shown = []
        for view in views:
            path = tmp_path / f"{view.name}.dcm"
            write_xray(path, np.rint(40000 * np.exp(-view.xray.line_integrals)).astype(np.uint16))
            shown.append(View(path, view.camera, intensity="linear"))
        body = Body(folder, world_from_ct=TRUE_POSE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = Case.from_arrays(body, *shown, same_patient=same_patient, targets=CORNERS)
        return made

    return case


@pytest.mark.parametrize("tags", [{"PatientID": OTHER}, {"PatientBirthDate": "19410407"}])
def test_different_patients_are_refused_before_anything_is_computed(arrays, monkeypatch, tags):
    case = arrays(**tags)
    monkeypatch.setattr(warm_up, "warm_up", lambda: pytest.fail("something is computed"))
    for compute in (register, lambda case: assess(case, TRUE_POSE)):
        with refuses("are of different (patients|dates of birth)") as refused:
            compute(case)
        assert refused.value.key == "same_patient" and not held(str(refused.value))


@pytest.mark.slow
def test_another_side_is_the_first_reason_of_a_check(arrays):
    result = register(arrays(Laterality="R"))
    assert result.verdict == "check" and result.findings[0].code == "different-sides"
    assert assess(result.case, TRUE_POSE, result.anatomy).verdict == "check"
    unassessed = replace(result, assessment=None)
    assert unassessed.verdict is None and unassessed.findings[0] == result.findings[0]


@pytest.mark.slow
def test_one_patient_is_accepted_and_another_day_is_a_caution(arrays):
    assert register(arrays()).verdict == "accept"
    result = register(arrays(StudyDate="20190101"))
    assert result.verdict == "accept" and result.findings[-1].code == "other-day"


@pytest.mark.slow
def test_a_person_may_say_that_it_is_the_same_patient_and_the_result_says_so(arrays, tmp_path):
    result = register(arrays(PatientID=OTHER, same_patient=True))
    assert result.verdict == "accept"
    assert [finding.code for finding in result.findings] == ["patient-confirmed"]
    assert result.to_json()["same_patient"] is True
    save_result(result, tmp_path / "out")
    written = "".join(path.read_text() for path in (tmp_path / "out").glob("*.[jh]*"))
    assert SAME_PATIENT in written and not any(secret in written for secret in [*SECRETS, OTHER])


@pytest.fixture(scope="module")
def planted_case(tmp_path_factory):
    """A case of the phantom in DICOM files with identity in their headers.

    The second X-ray has bone bright, and is of another patient. Not to be changed.
    """
    folder = tmp_path_factory.mktemp("planted")
    ct = phantom.make_ct()
    write_ct(folder / "ct", ct.volume.values, ct.volume.ct_from_index)
    headers = {}, {"PatientID": OTHER, "PixelIntensityRelationship": "LIN"}
    views = []
    for view, header in zip(phantom.make_views(ct), headers, strict=True):
        detected = np.clip(60000 * np.exp(-view.xray.line_integrals), 0, 65535)
        detected[20:110:12, 20:108] *= 0.5  # wires, by which "auto" sees what is dense
        detected = 65535 - detected if header else detected
        spacing = {"ImagerPixelSpacing": ["1.25", "1.25"]}
        write_xray(folder / f"{view.name}.dcm", detected, **spacing, **header)
        matrix = view.camera.projection_matrix.tolist()
        views.append({"name": view.name, "image": f"{view.name}.dcm", "projection_matrix": matrix})
    views[1]["intensity"] = "auto"
    start = phantom.off(phantom.TRUE_POSE, [1.0, -2.0, 1.0], [2.0, 1.0, -2.0])
    case = {"version": 1, "ct": "ct", "views": views, "world_from_ct": start.tolist()}
    case["targets"] = phantom.CORNERS.tolist()
    write_json(folder / "case.json", case)
    return folder / "case.json"


def held(text):
    """The secrets that a text holds, in the encodings in which a file may have them."""
    data = text.encode() if isinstance(text, str) else text
    codes = "utf-8", "utf-16-le", "utf-32-le"
    return {each for each in [*SECRETS, OTHER] if any(each.encode(code) in data for code in codes)}


def test_what_is_planted_is_found_where_it_is(planted_case):
    """Or else the tests below could not fail.

    Every identifying tag is in the files, and looked for.
    """
    everything = b"".join(path.read_bytes() for path in planted_case.parent.rglob("*.dcm"))
    assert held(everything) == {*SECRETS, OTHER} - {"2024-02-29"}
    named = IDENTITY.keys() - {"PatientSex", "Laterality"}
    assert all(held(IDENTITY[tag]) for tag in named)


@pytest.mark.slow_variants("register CASE --same-patient --out OUT --json")
@pytest.mark.parametrize(
    "command",
    [
        "case check CASE",
        "case check CASE --json",
        "case show CASE --json --out OUT/page.html",
        "register CASE --same-patient --out OUT --json",
        "render CASE --out OUT --json",
    ],
)
def test_no_command_reveals_the_patient(planted_case, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    words = command.replace("CASE", str(planted_case)).replace("OUT", str(tmp_path))
    said = mvreg(words)
    assert "different patients (PatientID)" in said.out + said.err
    assert not held(said.out) and not held(said.err)
    for path in tmp_path.rglob("*"):
        assert not held(path.name) and not (path.is_file() and held(path.read_bytes())), path


@pytest.mark.slow
def test_register_needs_a_confirmation_for_different_patients_and_export_refuses_their_identity(
    planted_case, tmp_path
):
    refused = mvreg(f"register {planted_case} --json", 2)
    assert not refused.out and "--same-patient" in refused.err and OTHER not in refused.err
    result = tmp_path / "result"
    said = mvreg(f"register {planted_case} --same-patient --out {result} --json")
    assert "patient-confirmed" in codes_of(said.json)
    export = f"export {result} --case {planted_case} --as dicom --identity --out {tmp_path}/out"
    refused = mvreg(export, 2).err
    assert "different patients" in refused and OTHER not in refused
    assert not (tmp_path / "out").exists()


def test_a_result_has_names_of_files_and_none_of_their_folders(tmp_path):
    folder, home = tmp_path / "DOE_JANE_1950", tmp_path / "case"
    folder.mkdir()
    home.mkdir()
    content = read_json(phantom.write_phantom_case(folder))
    content["ct"] = f"../{folder.name}/{content['ct']}"
    for number, view in enumerate(content["views"]):
        there = folder / f"series{number}" / "image.mha"
        there.parent.mkdir()
        (folder / view["image"]).rename(there)
        view["image"] = f"../{folder.name}/{there.parent.name}/{there.name}"
    write_json(home / "case.json", content)
    assert set(Case.load(home).inputs) == {"case.json", "ct.nii.gz", "image.mha", "image.mha (2)"}
