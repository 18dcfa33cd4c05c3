"""What a person said of the edges goes with the result, its files and its scene."""

import pydicom
import pytest
import slicer
from helpers.file_io import read_json
from helpers.phantom_scene import settled_session
from helpers.result_schema import assert_fits_schema

from MultiViewRegistrationLib.session import assessment
from MultiViewRegistrationLib.session.result_files import (
    read_result,
    write_case_folder,
    write_result,
    write_together,
)
from MultiViewRegistrationLib.session.session import Session


@pytest.fixture
def session(scene):
    return settled_session(scene, verdict="check")


@pytest.fixture(scope="module")
def checked(slicer_app, tmp_path_factory):
    """A folder with case and result with confirmed edges, and whether the session states it."""
    slicer.mrmlScene, folder = slicer_app.scene, tmp_path_factory.mktemp("checked")
    session = settled_session(slicer_app.scene, verdict="check")
    say(session, True, True)
    write(session, folder)
    said = assessment.checked(session)
    slicer_app.scene.Clear(False)
    return folder, said


def say(session, first, second):
    assessment.store_edge_check(session, "view1", first)
    assessment.store_edge_check(session, "view2", second)


def write(session, folder):
    case, result = write_case_folder(session, folder), write_result(session, folder, ["dicom"])
    write_together(session, folder, [case, result])()


@pytest.mark.slow
def test_result_report_and_dicom_state_that_the_edges_were_confirmed(checked):
    folder, _said = checked
    result = read_json(folder / "result.json")
    assert_fits_schema(result)
    assert (result["verdict"], result["checked"]) == ("check", True)
    assert "check, edges confirmed" in (folder / "report.html").read_text(encoding="utf-8")
    registration = pydicom.dcmread(folder / "world_from_ct.dcm")
    assert "Checked: the user confirmed" in registration.CommentsOnThePerformedProcedureStep


def test_a_result_that_is_opened_again_is_checked_still(checked, scene):
    folder, said = checked
    again = Session(read_result(folder)(scene))
    assert assessment.checked(again) and said
    assert assessment.verdict(again) == "check" and assessment.stale_reason(again) == ""


def test_a_scene_that_is_opened_again_is_checked_still(session):
    say(session, True, True)
    again = Session(session.registration)
    assert assessment.checked(again)


@pytest.mark.slow
def test_a_no_is_a_reason_of_the_result_and_stays_with_it(session, scene, tmp_path):
    say(session, True, False)
    write(session, tmp_path)
    result = read_json(tmp_path / "result.json")
    assert_fits_schema(result)
    assert "checked" not in result and result["findings"][0]["code"] == "edges-off"
    again = Session(read_result(tmp_path)(scene))
    assert assessment.headline(again).startswith(assessment.headline(session))


def test_a_view_that_is_renamed_keeps_its_answer(session):
    say(session, True, True)
    session.history.rename_view("view1", "AP")
    assert list(session.history.current.edge_checks) == ["view2", "AP"]
