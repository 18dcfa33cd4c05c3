"""Two patients, one of them opened again: from the recovered work, a case folder or a saved scene, without any header."""

import re

import numpy as np
import pytest
from helpers.file_io import read_json, write_values
from helpers.phantom_scene import dicom_registration
from helpers.planted_dicom import SECRETS, write_xray
from helpers.tiny_scene import READING, save
from presenter_host import PresenterHost, answer, drop, settled, text

from MultiViewRegistrationLib.geometry.machines import CArm
from MultiViewRegistrationLib.io import case_settings
from MultiViewRegistrationLib.mrml import identity
from MultiViewRegistrationLib.mrml.identity import (
    DIGESTED,
    IDENTITY_KEY,
    patient_of,
    patients_in_doubt,
)
from MultiViewRegistrationLib.mrml.loading import read_case
from MultiViewRegistrationLib.session.inputs import UnreadNotices
from MultiViewRegistrationLib.session.result_files import write_case_folder
from MultiViewRegistrationLib.session.session import Session
from MultiViewRegistrationLib.viewer.autosave import Autosave
from MultiViewRegistrationLib.viewer.scene_files import read_scene

A = {"PatientID": "A-1", "PatientName": "Alpha^Anna", "PatientBirthDate": "19500101"}
B = {"PatientID": "B-2", "PatientName": "Beta^Berta", "PatientBirthDate": "19600202"}
NOBODY = dict.fromkeys(A, "")
WAYS = ["recovered", "case", "scene"]


def open_files(scene, folder, ct, xray):
    """A registration of a CT and an X-ray in DICOM with these patients."""
    registration = dicom_registration(scene, folder, ct, xray, "first.dcm")
    (view,) = registration.xrays
    view.change(geometry=CArm(**READING, size=view.size))
    return registration


@pytest.fixture
def reopen(slicer_app, scene, tmp_path, monkeypatch):
    """A function: the registration as another process finds it again, by one of WAYS."""
    monkeypatch.setenv("MVREG_DATA", str(tmp_path / "data"))

    def case(registration):
        (path,) = write_case_folder(Session(registration), tmp_path / "case")()
        read = read_case(path)
        scene.Clear(False)
        return read(scene)

    def saved(registration):
        save(slicer_app, tmp_path / "scene.mrb")
        load = read_scene(tmp_path / "scene.mrb")
        scene.Clear(False)
        return load(scene)

    def recovered(registration):
        host = PresenterHost(scene, registration)
        host.moving = False
        Autosave(host).close()
        (state,) = (tmp_path / "data" / "autosave").glob("*/state.json")
        load = read_scene(state.with_name(read_json(state)["scene"]))
        scene.Clear(False)
        return load(scene)

    def do(way, registration):
        identity.identity_mismatches(registration)  # as every page and panel looks for them
        found = {"case": case, "scene": saved, "recovered": recovered}[way](registration)
        monkeypatch.setattr(identity, "_identities", {})
        return PresenterHost(scene, found)

    return do


def title(host):
    return text(host.files, "asked.title")


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_an_x_ray_of_another_patient_is_asked_about_and_lends_no_name(
    scene, tmp_path, reopen, way, watch
):
    host = reopen(way, open_files(scene, tmp_path, B, B))
    assert patient_of(host.registration) == ""
    for who in (B, {**B, "PatientName": "Gamma^Berta"}, {**B, "PatientBirthDate": ""}):
        drop(host, write_xray(tmp_path / "LAT.dcm", **who))
        assert not title(host)  # a name written otherwise, or a missing date
    assert patient_of(host.registration) == "B-2"
    assert not patients_in_doubt(host.registration)
    drop(host, write_xray(tmp_path / "AP.dcm", **A))
    assert "another patient" in title(host)
    answer(host.files, place="add")
    settled(host)
    assert len(host.registration.xrays) == 5 and patient_of(host.registration) == ""
    assert patients_in_doubt(host.registration)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["case", "scene"])
def test_what_was_saved_before_there_were_digests_is_asked_about(
    scene, tmp_path, reopen, way, watch
):
    registration = open_files(scene, tmp_path, B, B)
    for node in (registration.ct, registration.xrays[0].node):
        for attribute in (DIGESTED, IDENTITY_KEY):
            node.RemoveAttribute(attribute)
    host = reopen(way, registration)
    drop(host, write_xray(tmp_path / "AP.dcm", **A))
    assert "do not show whether" in title(host)
    answer(host.files)
    settled(host)
    assert len(host.registration.xrays) == 2 and patient_of(host.registration) == ""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", WAYS)
def test_that_two_headers_are_of_one_patient_stays_said(scene, tmp_path, reopen, way, watch):
    registration = open_files(scene, tmp_path, B, A)
    UnreadNotices(registration).say_same_patient()
    host = reopen(way, registration)
    assert not patients_in_doubt(host.registration)
    drop(host, write_xray(tmp_path / "AP.dcm", **A))
    assert "another patient" in title(host)


@pytest.mark.slow
@pytest.mark.parametrize("ct, xray, shown", [(A, A, "A-1"), (A, B, ""), (A, NOBODY, "")])
def test_a_name_is_shown_where_all_images_are_known_to_be_that_patients(
    scene, tmp_path, ct, xray, shown
):
    assert patient_of(open_files(scene, tmp_path, ct, xray)) == shown
    assert patient_of(open_files(scene, tmp_path, xray, ct)) == shown


@pytest.mark.quick_variants("False")
@pytest.mark.parametrize("known", [True, False])
def test_a_picture_without_a_header_is_asked_about_once(scene, tmp_path, watch, known):
    host = PresenterHost(scene, open_files(scene, tmp_path, A if known else NOBODY, NOBODY))
    if known:
        host.registration.remove_xray(host.registration.xrays[0])
    for name in ("one.png", "two.png"):
        pixels = np.random.default_rng(len(name)).integers(0, 4000, (16, 20)).astype(np.uint16)
        write_values(tmp_path / name, pixels)
    drop(host, tmp_path / "one.png")
    assert ("do not show whether" in title(host)) == known
    if known:
        answer(host.files)
        settled(host)
    drop(host, tmp_path / "two.png")
    assert not title(host) and patient_of(host.registration) == ""


@pytest.mark.slow
def test_images_of_nobody_knows_whom_are_asked_about_once_beside_a_whole_case(
    scene, tmp_path, watch
):
    host = PresenterHost(scene, open_files(scene, tmp_path, NOBODY, NOBODY))
    drop(host, write_xray(tmp_path / "second.dcm", **NOBODY))
    assert not title(host)  # a case that is still being put together
    host.registration.xrays[1].change(geometry=host.registration.xrays[0].record.geometry)
    drop(host, write_xray(tmp_path / "AP.dcm", **NOBODY))
    assert "do not show whether" in title(host)
    answer(host.files)
    settled(host)
    drop(host, write_xray(tmp_path / "LAT.dcm", **NOBODY))
    assert not title(host) and len(host.registration.xrays) == 4


@pytest.mark.parametrize("replaces", [False, True], ids=["panel", "page"])
def test_a_further_ct_may_be_a_new_registration(scene, tmp_path, watch, replaces):
    host = PresenterHost(scene, open_files(scene, tmp_path, NOBODY, NOBODY))
    host.replaces, first = replaces, host.registration
    drop(host, tmp_path / "ct")
    answer(host.files, place="new")
    settled(host)
    assert host.registration != first and not host.registration.xrays


@pytest.mark.quick_variants("case")
@pytest.mark.parametrize("way", WAYS)
def test_no_file_names_the_patient(scene, tmp_path, reopen, way):
    planted = open_files(scene, tmp_path / "in", {}, {})
    reopen(way, planted)
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and "in" not in path.parts]
    content = b"".join(path.read_bytes() for path in kept)
    assert kept and not any(secret.encode() in content for secret in SECRETS)


@pytest.mark.slow
def test_a_case_keeps_a_random_salt_and_digests_of_two_values_each(scene, tmp_path, reopen):
    for part in "12":
        reopen("case", open_files(scene, tmp_path, B, B))
        (tmp_path / "case").rename(tmp_path / part)
        scene.Clear(False)
    one, two = (read_json(tmp_path / part / "case.json")["patient_digests"] for part in "12")
    assert one["ct"] == one["views"]["first"] and one["ct"].keys() == {
        "id_name",
        "id_birth",
        "name_birth",
    }
    assert one["salt"] != two["salt"] and one["ct"] != two["ct"]
    assert re.fullmatch("[0-9a-f]{32}", one["salt"]) and case_settings.SALT == "salt"


@pytest.mark.slow
@pytest.mark.parametrize("who, doubtful", [(A, True), (B, False)])
def test_a_case_whose_x_rays_may_be_anothers_says_so(scene, tmp_path, watch, who, doubtful):
    (path,) = write_case_folder(Session(open_files(scene, tmp_path, who, who)), tmp_path / "case")()
    scene.Clear(False)
    host = PresenterHost(scene, open_files(scene, tmp_path / "b", B, B))
    drop(host, path)
    assert ("may be of another patient" in title(host)) == doubtful
