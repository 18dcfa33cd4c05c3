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
def test_frame_uids_are_the_same_in_each_export_and_registration(session, tmp_path):
    first = uids(session, tmp_path / "1")
    assert set(first) == {"world", "ct"}
    change_settings(session.registration, reference_from_world=np.eye(4))
    register_given(session)
    tracked = uids(session, tmp_path / "2")
    assert {**tracked, **first} == tracked and set(tracked) == {"world", "ct", "reference"}
    again = Session(Registration(session.registration.node))  # as read from the scene
    assert uids(again, tmp_path / "3") == tracked


def test_each_geometry_has_its_own_world(session):
    registration, view = session.registration, session.registration.xrays[0]
    before, camera = world_uid(registration), view.record.geometry
    view.change(geometry=camera.corrected(1.0, np.array([1.0, 0.0])))
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
    assert notices.sentences == [] == UnreadNotices(registration).sentences  # stored in the scene


@pytest.mark.slow
def test_different_patients_are_named_until_the_ct_is_replaced(loaded, scene):
    registration = loaded(PatientID="OTHER-1", PatientName="Smith^John")
    assert patients_in_words(registration).splitlines() == [
        "PatientID: CT PID-77419-X, ap OTHER-1",
        "PatientName: CT PLANTAGENET ELEONORE, ap SMITH JOHN",
    ]
    registration.ct = volume_node(scene, "CT", np.full((12, 12, 12), -900.0), np.eye(4))
    assert not patients_in_doubt(registration)


@pytest.mark.slow
def test_saved_scene_keeps_its_patients_when_images_are_added(loaded, tmp_path, monkeypatch):
    registration = loaded(PatientID="OTHER-1")
    monkeypatch.setattr(identity, "_identities", {})
    add(registration, tmp_path / "third.dcm", PatientID="OTHER-1")
    (mismatch,) = identity_mismatches(registration)
    assert mismatch.sentence.startswith("ap and third and CT are of different patients")


@pytest.mark.slow
def test_confirmed_identity_holds_for_the_images_of_that_time(loaded, tmp_path):
    registration = loaded(PatientID="OTHER-1")
    UnreadNotices(registration).say_same_patient()
    assert not patients_in_doubt(registration)
    add(registration, tmp_path / "third.dcm", PatientID="THIRD-3")
    assert patients_in_doubt(registration)


@pytest.mark.slow
def test_the_case_of_a_scene_has_mismatches(loaded):
    registration = loaded(PatientID="OTHER-1")
    (view,) = registration.xrays
    view.change(geometry=CArm(**READING, size=view.size))
    case = Session(registration).case()
    assert len(case.identity_findings) == 1 and not case.identity_notes
    assert case_content(Session(registration))["header_mismatch"] == {"patient": True}
    UnreadNotices(registration).say_same_patient()
    case = Session(registration).case()
    assert not case.identity_findings and case.identity_notes == [SAME_PATIENT]


@pytest.mark.filterwarnings("ignore")
def test_the_doubt_of_a_case_without_headers_is_that_of_its_scene(scene, tmp_path):
    path = write_phantom_case(tmp_path)
    content = read_json(path)
    write_json(path, {**content, "header_mismatch": {"patient": True}})
    registration = read_case(path)(scene)
    assert patients_in_doubt(registration) and Session(registration).case().identity_findings
    write_json(path, {**content, "header_mismatch": {"patient": True}, "same_patient": True})
    assert Session(read_case(path)(scene)).case().identity_notes == [SAME_PATIENT]


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
def test_volumes_of_slicers_dicom_module_are_looked_up_in_its_database(loaded, tmp_path, database):
    registration = loaded(PatientID="OTHER-1")
    database |= {"1.1": tmp_path / "ct" / "slice000.dcm", "2.2": tmp_path / "ap.dcm"}
    for attribute in (FRAME_UID, IDENTITY_KEY, SLICES):
        registration.ct.RemoveAttribute(attribute)
    registration.ct.SetAttribute("DICOM.instanceUIDs", "1.1 1.2")
    (view,) = registration.xrays
    view.source.SetAttribute("DICOM.instanceUIDs", "2.2")
    added = adding.add_volume(registration, view.source)
    view.change(use=False)
    (mismatch,) = identity_mismatches(registration)
    assert mismatch.sentence.startswith(f"{added.name} and CT are of different patients")
    slices = ct_images(registration)[""]
    assert [each.sop_instance_uid for each in slices] == ["1.1", "1.2"]
    assert ct_uid(registration) == "1.2.3.4"
    instance = pydicom.dcmread(tmp_path / "ap.dcm").SOPInstanceUID
    assert origin_of(registration).views[added.name].sop_instance_uid == instance


def test_x_ray_from_slicer_equals_its_file_unless_it_was_processed(scene, slicer_loads):
    path, volume = slicer_loads(64, 64)
    (dropped,) = adding.read(path)(Registration.create(scene))
    added = adding.add_volume(Registration.create(scene), volume)
    assert added.record == dropped.record and added.placed
    assert added.mask.GetName() == "shutter" and of_image(added) == of_image(dropped)
    cropped = slicer.util.arrayFromVolume(volume)[:, 8:, 8:].copy()
    slicer.util.updateVolumeFromArray(volume, cropped)
    added = adding.add_volume(Registration.create(scene), volume)
    assert added.source is volume and not added.placed


def test_frame_that_a_sequence_of_slicer_shows_is_recognised(scene, slicer_loads):
    path, volume = slicer_loads(3, 64, 64)
    slicer.util.updateVolumeFromArray(volume, slicer.util.arrayFromVolume(volume)[2:].copy())
    added = adding.add_volume(Registration.create(scene), volume)
    (dropped,) = adding.read(path)(Registration.create(scene))
    assert added.record == replace(dropped.record, frame=2)
    assert of_image(added) == of_image(dropped)
