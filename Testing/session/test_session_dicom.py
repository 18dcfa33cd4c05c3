"""By which UIDs a result is known, always the same.

And headers that tell of different patients, of which nothing is kept.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
import slicer
from helpers.file_io import read_json, write_json
from helpers.phantom import write_phantom_case
from helpers.phantom_scene import dicom_registration, settled_session
from helpers.planted_dicom import write_xray
from helpers.running_session import register_given
from helpers.tiny_scene import READING

from MultiViewRegistrationLib.errors import Reason
from MultiViewRegistrationLib.geometry.machines import CArm
from MultiViewRegistrationLib.io.case import SAME_PATIENT
from MultiViewRegistrationLib.mrml import identity
from MultiViewRegistrationLib.mrml.case import change_settings
from MultiViewRegistrationLib.mrml.fingerprints import of_image
from MultiViewRegistrationLib.mrml.identity import (
    FRAME_UID,
    IDENTITY_KEY,
    SLICES,
    ct_images,
    ct_uid,
    identity_mismatches,
    origin_of,
    patients_in_doubt,
    patients_in_words,
    world_uid,
)
from MultiViewRegistrationLib.mrml.loading import read_case, volume_node
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.session import adding
from MultiViewRegistrationLib.session.inputs import UnreadNotices
from MultiViewRegistrationLib.session.result_files import case_content, write_result
from MultiViewRegistrationLib.session.session import Session


@pytest.fixture
def session(scene):
    return settled_session(scene)


def uids(session, folder):
    write_result(session, folder)()
    return read_json(folder / "result.json")["frame_of_reference_uid"]


@pytest.mark.slow
def test_a_result_keeps_its_frames_over_exports_registrations_and_a_saved_scene(
    session, tmp_path, scene
):
    first = uids(session, tmp_path / "1")
    assert set(first) == {"world", "ct"} and uids(session, tmp_path / "2") == first
    register_given(session)
    assert uids(session, tmp_path / "3") == first
    change_settings(session.registration, reference_from_world=np.eye(4))
    register_given(session)
    tracked = uids(session, tmp_path / "4")
    assert {**tracked, **first} == tracked and set(tracked) == {"world", "ct", "reference"}
    again = Session(
        Registration(session.registration.node)
    )  # as after loading: nothing is known but the scene
    assert uids(again, tmp_path / "5") == tracked


def test_each_geometry_has_its_own_world(session):
    registration, view = session.registration, session.registration.xrays[0]
    before, camera = world_uid(registration), view.record.geometry
    away = camera.camera_from_world.copy()
    away[0, 3] += 1
    view.change(geometry=replace(camera, camera_from_world=away))
    assert world_uid(registration) != before
    view.change(geometry=camera)
    assert world_uid(registration) == before


@pytest.fixture
def loaded(scene, tmp_path):
    """A function: a registration of DICOM files that were read as the panel reads them, the X-ray with these tags."""

    def load(**ap):
        return dicom_registration(scene, tmp_path, {"FrameOfReferenceUID": "1.2.3.4"}, ap, "ap.dcm")

    return load


def add(registration, path, **tags):
    adding.read(write_xray(path, **tags))(registration)


@pytest.mark.slow
def test_different_sides_are_a_notice_without_values(loaded, tmp_path):
    registration = loaded(PatientID="OTHER-1", ImageLaterality="R", StudyDate="20240210")
    notices = UnreadNotices(registration)
    assert notices.sentences == [
        "ap and CT are of different sides of the body (laterality) by their DICOM headers; check "
        "that they belong together.",
    ]
    notices.acknowledge()
    assert notices.sentences == [] == UnreadNotices(registration).sentences  # the scene keeps it
    add(registration, tmp_path / "lateral.dcm", PatientID="OTHER-1")
    assert notices.sentences  # of other images


def test_what_headers_say_of_a_case_is_not_said_again(loaded):
    notices = UnreadNotices(loaded())
    notices.loaded([Reason("other-frame", "case.json: Aside."), "Another."])
    assert notices.sentences == ["Another."]


@pytest.mark.slow
def test_the_patients_in_doubt_are_named(loaded):
    registration = loaded(PatientID="OTHER-1", PatientName="Smith^John")
    assert patients_in_words(registration).splitlines() == [
        "PatientID: CT PID-77419-X, ap OTHER-1",
        "PatientName: CT PLANTAGENET ELEONORE, ap SMITH JOHN",
    ]


@pytest.mark.slow
def test_of_another_ct_nothing_is_known(loaded, scene):
    registration = loaded(PatientID="OTHER-1")
    assert patients_in_doubt(registration)
    registration.ct = volume_node(scene, "CT", np.full((12, 12, 12), -900.0), np.eye(4))
    assert not patients_in_doubt(registration) and patients_in_words(registration) == (
        "PatientID: CT unknown, ap OTHER-1"
    )


@pytest.mark.slow
def test_what_a_saved_scene_knows_stays_whatever_images_come_and_go(loaded, tmp_path, monkeypatch):
    registration = loaded(PatientID="OTHER-1")
    add(registration, tmp_path / "lateral.dcm", PatientID="OTHER-1")
    assert patients_in_doubt(registration)
    monkeypatch.setattr(identity, "_identities", {})
    add(registration, tmp_path / "third.dcm", PatientID="OTHER-1")
    assert patients_in_doubt(registration)
    registration.xrays[1].change(use=False)
    told = [
        each.sentence.partition(" are of different patients")[0]
        for each in identity_mismatches(registration)
    ]
    assert told == ["ap and CT", "third and CT"]


@pytest.mark.slow
def test_what_a_person_said_holds_for_the_images_of_then(loaded, tmp_path):
    registration = loaded(PatientID="OTHER-1")
    UnreadNotices(registration).say_same_patient()
    add(registration, tmp_path / "third.dcm", PatientID="THIRD-3")
    assert patients_in_doubt(registration)
    UnreadNotices(registration).say_same_patient()
    assert not patients_in_doubt(registration)


@pytest.mark.slow
def test_the_case_of_a_scene_has_mismatches(loaded):
    registration = loaded(PatientID="OTHER-1")
    (view,) = registration.xrays
    view.change(geometry=CArm(**READING, size=view.size))
    case = Session(registration).case()
    assert len(case.identity_reasons) == 1 and not case.identity_cautions
    assert case_content(Session(registration))["header_mismatch"] == {"patient": True}
    UnreadNotices(registration).say_same_patient()
    case = Session(registration).case()
    assert not case.identity_reasons and case.identity_cautions == [SAME_PATIENT]


@pytest.mark.filterwarnings("ignore")
def test_the_doubt_of_a_case_without_headers_is_that_of_its_scene(scene, tmp_path):
    path = write_phantom_case(tmp_path)
    content = read_json(path)
    write_json(path, {**content, "header_mismatch": {"patient": True}})
    registration = read_case(path)(scene)
    assert patients_in_doubt(registration) and Session(registration).case().identity_reasons
    write_json(path, {**content, "header_mismatch": {"patient": True}, "same_patient": True})
    assert Session(read_case(path)(scene)).case().identity_cautions == [SAME_PATIENT]


#: A header that says all of a geometry, and of the grey scale; the right half of the image was
#: shuttered.
SAYS_ALL = {
    "DistanceSourceToDetector": 1000,
    "DistanceSourceToPatient": 700,
    "ImagerPixelSpacing": [1, 1],
    "PositionerPrimaryAngle": -20,
    "PositionerSecondaryAngle": 5,
    "FieldOfViewHorizontalFlip": "NO",
    "PixelIntensityRelationship": "LOG",
    "ShutterShape": "RECTANGULAR",
    "ShutterLeftVerticalEdge": 0,
    "ShutterRightVerticalEdge": 33,
    "ShutterUpperHorizontalEdge": 0,
    "ShutterLowerHorizontalEdge": 65,
}


@pytest.fixture
def database(monkeypatch):
    """The files that the database of Slicer's DICOM module knows, by their UIDs."""
    files = {}
    known = SimpleNamespace(fileForInstance=lambda uid: str(files.get(uid, "")))
    monkeypatch.setattr(slicer, "dicomDatabase", known, raising=False)
    return files


@pytest.fixture
def slicer_loads(scene, tmp_path, database):
    """A function: the file of an X-ray of this shape, and the volume that Slicer's DICOM module makes of it."""

    def load(*shape):
        pixels = np.random.default_rng(1).integers(2000, 4000, shape)
        database["2.2"] = write_xray(tmp_path / "AP.dcm", pixels, **SAYS_ALL)
        volume = volume_node(scene, "AP", np.float32(pixels.reshape(-1, 64, 64)), np.eye(4))
        volume.SetAttribute("DICOM.instanceUIDs", "2.2")
        return database["2.2"], volume

    return load


@pytest.mark.slow
def test_an_x_ray_that_slicer_has_loaded_is_what_its_file_is(scene, slicer_loads):
    path, volume = slicer_loads(64, 64)
    (dropped,) = adding.read(path)(Registration.create(scene))
    added = adding.add_volume(Registration.create(scene), volume)
    assert added.record == dropped.record and added.placed
    assert added.mask.GetName() == "shutter" and of_image(added) == of_image(dropped)


def test_the_frame_that_a_sequence_of_slicers_shows_is_that_of_its_file(scene, slicer_loads):
    path, volume = slicer_loads(3, 64, 64)
    slicer.util.updateVolumeFromArray(volume, slicer.util.arrayFromVolume(volume)[2:].copy())
    added = adding.add_volume(Registration.create(scene), volume)
    (dropped,) = adding.read(path)(Registration.create(scene))
    assert added.record == replace(dropped.record, frame=2)
    assert of_image(added) == of_image(dropped)


def test_what_was_made_of_an_x_ray_that_slicer_has_loaded_is_not_its_file(scene, slicer_loads):
    _path, volume = slicer_loads(64, 64)
    pixels = slicer.util.arrayFromVolume(volume)[0].copy()
    for made in (pixels[8:, 8:], pixels.T):
        slicer.util.updateVolumeFromArray(volume, made[None])
        added = adding.add_volume(Registration.create(scene), volume)
        assert added.source is volume and not added.placed


@pytest.mark.slow
def test_volumes_of_slicers_dicom_module_are_looked_up_in_its_database(loaded, tmp_path, database):
    registration = loaded(PatientID="OTHER-1")
    database |= {"1.1": tmp_path / "ct" / "slice000.dcm", "2.2": tmp_path / "ap.dcm"}
    for attribute in (FRAME_UID, IDENTITY_KEY):
        registration.ct.RemoveAttribute(attribute)
    registration.ct.SetAttribute("DICOM.instanceUIDs", "1.1 1.2")
    (view,) = registration.xrays
    source = view.source
    source.SetAttribute("DICOM.instanceUIDs", "2.2")
    added = adding.add_volume(registration, source)
    view.change(use=False)
    assert [each.sentence for each in identity_mismatches(registration)] == [
        f"{added.name} and CT are of different patients (PatientID) by their DICOM headers; check "
        "that they belong together."
    ]
    origin = origin_of(registration)
    dropped = ct_images(registration)[""]
    assert len(dropped) == 12 and len(set(dropped)) == 12
    registration.ct.RemoveAttribute(SLICES)
    slices = ct_images(registration)[""]
    assert [each.sop_instance_uid for each in slices] == ["1.1", "1.2"]
    assert slices[0].series_uid == dropped[0].series_uid
    assert ct_uid(registration) == "1.2.3.4" and origin.views[added.name].frame is None
    instance = pydicom.dcmread(tmp_path / "ap.dcm").SOPInstanceUID
    assert origin.views[added.name].sop_instance_uid == instance
