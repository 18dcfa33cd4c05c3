"""A CT and X-rays of different patients are never accepted, unless a person says that they are of one."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from file_io import write_json
from phantom import CORNERS, TRUE_POSE, make_ct, make_views
from planted_dicom import SECRETS, write_ct, write_xray
from program import mvreg

from MultiViewRegistrationLib.api import assess, register
from MultiViewRegistrationLib.assessment import verdict
from MultiViewRegistrationLib.io.arrays import Body, View
from MultiViewRegistrationLib.io.case import SAME_PATIENT, Case
from MultiViewRegistrationLib.report.result_page import save_result

OTHER = "OTHER-77"


@pytest.fixture
def arrays(tmp_path, monkeypatch, no_cause):
    """A function: a case of DICOM files whose CT has these tags.

    Any pose of it would be accepted in the room.
    """
    monkeypatch.setattr(verdict, "decide", lambda *given, **more: "accept")
    ct = make_ct()
    views = make_views(ct)

    def case(same_patient: bool = False, **tags) -> Case:
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
        made.use = "room"
        return made

    return case


@pytest.mark.parametrize(
    "tags", [{"PatientID": OTHER}, {"PatientBirthDate": "19410407"}, {"Laterality": "R"}]
)
def test_another_patient_or_side_is_the_first_reason_of_a_check(arrays, tags):
    result = register(arrays(**tags))
    assert result.verdict == "check" and "are of different" in result.reasons[0]
    assert assess(result.case, TRUE_POSE, result.anatomy).verdict == "check"
    unassessed = replace(result, assessment=None)
    assert unassessed.verdict is None and unassessed.reasons[0] == result.reasons[0]


def test_one_patient_is_accepted_and_another_day_is_a_caution(arrays):
    assert register(arrays()).verdict == "accept"
    result = register(arrays(StudyDate="20190101"))
    assert result.verdict == "accept" and "different days" in result.reasons[-1]


def test_a_person_may_say_that_it_is_the_same_patient_and_the_result_says_so(arrays, tmp_path):
    result = register(arrays(PatientID=OTHER, same_patient=True))
    assert result.verdict == "accept" and result.reasons == [SAME_PATIENT]
    assert result.to_json()["same_patient"] is True
    save_result(result, tmp_path / "out")
    written = "".join(path.read_text() for path in (tmp_path / "out").glob("*.[jh]*"))
    assert SAME_PATIENT in written and not any(secret in written for secret in [*SECRETS, OTHER])


def test_the_command_line_says_so_and_exports_no_identity(arrays, tmp_path):
    """With a CT whose files say another patient than those of the X-rays."""
    views = [
        {
            "name": view.name,
            "image": f"{view.name}.dcm",
            "projection_matrix": view.camera.projection_matrix.tolist(),
        }
        for view in arrays(PatientID=OTHER).views
    ]
    content = {"version": 1, "ct": "ct", "views": views, "world_from_ct": TRUE_POSE.tolist()}
    content["targets"] = CORNERS.tolist()
    path = tmp_path / "case.json"
    write_json(path, content)
    result = mvreg(f"register {path} --json").json
    assert result["verdict"] != "accept" and "different patients" in result["reasons"][0]
    assert "same_patient" not in result
    result, out = tmp_path / "result", tmp_path / "out"
    export = f"export {result} --case {path} --as dicom --identity --out {out}"
    refused = mvreg(export, 2).err
    assert "different patients" in refused and OTHER not in refused
    assert SAME_PATIENT in mvreg(f"register {path} --json --same-patient").json["reasons"]
    write_json(path, {**content, "same_patient": True})
    mvreg(f"register {path} --out {result}")
    mvreg(export)
