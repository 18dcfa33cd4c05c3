"""What is kept for when the server ends: the scene as it was a minute ago at most, whole, private.

And which folders are removed.
"""

import os
import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.file_io import read_json, write_json
from helpers.phantom import make_ct, write_phantom_case
from helpers.planted_dicom import write_ct
from numpy.testing import assert_allclose, assert_array_equal

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io import folders
from MultiViewRegistrationLib.mrml.fingerprints import fingerprint
from MultiViewRegistrationLib.mrml.loading import read_case
from MultiViewRegistrationLib.session.session import Session
from MultiViewRegistrationLib.viewer import autosave as autosaving
from MultiViewRegistrationLib.viewer.autosave import Autosave, place, saved_scenes
from MultiViewRegistrationLib.viewer.scene_files import read_scene


@pytest.fixture
def application(scene, case_file):
    """What `Autosave` needs of the application, the phantom open."""
    made = application_of(read_case(case_file)(scene))
    yield made
    made.session.stop()


def application_of(registration):
    found = SimpleNamespace(scene=registration.scene, registration=registration, messages=[])
    found.session, found.moving = Session(registration), False
    found.show_message = found.messages.append
    return found


@pytest.fixture
def autosave(application):
    return Autosave(application)


@pytest.fixture
def end_server(end_process):
    """Makes what this process keeps that of one that has ended."""

    def end():
        for folder in place().iterdir():
            if f"-{os.getpid()}-" in folder.name:
                end_process(folder)

    return end


def files():
    return {path for path in place().rglob("*") if path.is_file()}


def opened(scene, one):
    """The registration that is kept."""
    load = read_scene(one.scene)
    scene.Clear(False)
    return load(scene)


def move(registration):
    pose = np.array(registration.world_from_ct)
    pose[0, 3] += 1
    registration.world_from_ct = pose
    return pose


@pytest.mark.slow
def test_it_is_the_scene_and_private(application, autosave, scene, end_server):
    pose, inputs = move(application.registration), fingerprint(application.registration)
    autosave.close()
    (folder,) = place().iterdir()
    assert [path.stat().st_mode & 0o777 for path in (place(), folder)] == [0o700] * 2
    assert {file.stat().st_mode & 0o777 for file in files()} == {0o600}
    assert not saved_scenes()  # it is this server's, which lives
    end_server()
    (one,) = saved_scenes()
    assert one.name == application.registration.name and not application.messages
    registration = opened(scene, one)
    assert_allclose(registration.world_from_ct, pose, atol=1e-12)
    assert fingerprint(registration) == inputs and len(registration.xrays) == 2


def test_only_what_has_changed_is_written(application, autosave):
    autosave.close()
    first = files()
    autosave.close()
    assert files() == first
    move(application.registration)
    autosave.close()
    second = files()
    assert {file for file in second if file.suffix == ".nrrd"} == {
        file for file in first if file.suffix == ".nrrd"
    }
    assert len(second) == len(first) and second != first


@pytest.mark.slow
def test_a_registration_under_way_has_not_begun(application, autosave, scene, end_server):
    registration, session = application.registration, application.session
    before = np.array(registration.world_from_ct)
    session.register("given")
    while session.running_registration.task.progress is None or np.allclose(
        registration.world_from_ct, before
    ):
        session.poll()
    shown = np.array(registration.world_from_ct)
    autosave.close()
    assert_array_equal(registration.world_from_ct, shown)
    assert not session.running_registration.obstacle()
    session.cancel()
    end_server()
    assert_allclose(opened(scene, saved_scenes()[0]).world_from_ct, before, atol=1e-12)


def test_it_waits_for_a_drag_and_for_its_time(application, autosave, monkeypatch):
    now, saved = [1000.0], []
    monkeypatch.setattr(autosaving, "monotonic", lambda: now[0])
    autosave.opened()
    monkeypatch.setattr(autosave, "save", lambda by_parts: saved.append(now[0]))
    for now[0] in range(1000, 1400):
        application.moving = now[0] < 1100
        autosave.tick()
    assert saved[0] == 1100 and max(np.diff(saved)) <= 60 and min(np.diff(saved)) >= 45


@pytest.mark.parametrize("failing", ["os.fsync", f"{autosaving.__name__}._write"])
def test_a_full_disk_is_reported_and_leaves_what_was_kept(
    application, autosave, scene, monkeypatch, end_server, failing
):
    autosave.close()
    before = np.array(application.registration.world_from_ct)
    move(application.registration)

    def full(*_):
        raise OSError(28, "No space left on device") if failing == "os.fsync" else InputError("No.")

    with monkeypatch.context() as patch:
        patch.setattr(failing, full)
        autosave.close()
    why = "No space left on device" if failing == "os.fsync" else "No"
    assert application.messages == [
        f"The work is not kept for the case that the server ends ({why}); free some space, or save "
        "it."
    ]
    end_server()
    assert_allclose(opened(scene, saved_scenes()[0]).world_from_ct, before, atol=1e-12)


def test_the_newest_are_kept_and_folders_without_a_scene_removed(
    monkeypatch, tmp_path, end_process
):
    monkeypatch.setenv("MVREG_DATA", str(tmp_path))
    place().mkdir()
    now = datetime(2026, 11, 22, 14, 10)
    for age in (*range(11, -1, -1), None, "later"):
        folder = end_process(folders.new_folder(autosaving.KIND, place()))
        if age is not None:
            state = {
                "version": 99 if age == "later" else 1,
                "name": f"{age}",
                "xrays": 2,
                "scene": "../../a.mrml",
                "saved": (now - timedelta(days=0 if age == "later" else age)).isoformat(),
            }
            write_json(folder / "state.json", state)
    found = saved_scenes()
    assert [one.name for one in found] == [str(age) for age in range(10)]
    assert found[1].facts() == "2026-11-21 14:10 \u00b7 2 X-rays\n\u25cb NOT ASSESSED"
    assert all(one.scene.parent == one.folder for one in found)
    assert len(list(place().iterdir())) == 11  # with that of a later version


@pytest.mark.slow
@pytest.mark.parametrize("folder, shown", [("work", "A-1"), ("Alpha", "")])
def test_the_id_is_read_again_where_the_files_are_what_they_were(
    scene, tmp_path, end_server, folder, shown
):
    """A path that names the patient is not kept."""
    who = {"PatientID": "A-1", "PatientName": "Alpha^Anna", "PatientBirthDate": "19500101"}
    (tmp_path / folder).mkdir()
    path = write_phantom_case(tmp_path / folder)
    volume = make_ct().volume

    def write_slices(**more):
        hu = np.rint(volume.values)
        write_ct(path.parent / "ct", hu, volume.ct_from_index, **{**who, **more})

    write_slices()
    write_json(path, {**read_json(path), "ct": "ct"})
    read = read_case(path)
    application = application_of(read(scene))
    application.session.cache_case(read.case)
    Autosave(application).close()
    state = next(place().rglob(autosaving.STATE)).read_text()
    assert "A-1" not in state and (str(path.parent) in state) == bool(shown)
    end_server()
    (one,) = saved_scenes()
    assert one.patient_id() == shown and (str(path.parent) in one.facts()) == bool(shown)
    write_slices(PatientID="B")
    assert one.patient_id() == ""


def test_one_that_is_opened_is_this_servers(application, autosave, scene, end_server):
    autosave.close()
    end_server()
    (one,) = saved_scenes()
    second = Autosave(application)
    second.opened(one.folder)
    assert not saved_scenes() and not one.folder.exists()
    pose = move(application.registration)
    second.close()
    end_server()
    assert_allclose(opened(scene, saved_scenes()[0]).world_from_ct, pose, atol=1e-12)
    Autosave(application).opened(one.folder)  # another server was faster


@pytest.mark.parametrize("survived", [0, 8, 10, 99])
def test_killed_while_it_writes_the_scene_before_or_after_is_whole(
    application, autosave, scene, monkeypatch, end_server, survived
):
    """So many operations on files are done, and no more."""
    autosave.close()
    before, done, replace = np.array(application.registration.world_from_ct), [], Path.replace
    pose = move(application.registration)

    def until_killed(original):
        def do(*args, **kwargs):
            if len(done) == survived:
                raise OSError("killed")
            done.append(original)
            return original(*args, **kwargs)

        return do

    with monkeypatch.context() as patch:
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
            patch.setattr(owner, name, until_killed(getattr(owner, name)))
        autosave.close()
    assert bool(application.messages) == (survived < 99)
    end_server()
    found = opened(scene, saved_scenes()[0])
    assert_allclose(found.world_from_ct, pose if replace in done else before)
    assert len(found.xrays) == 2 and found.ct is not None


# Folders for temporary files


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_all_temporary_files_lie_in_one_private_folder_that_goes(temporary):
    with folders.temporary():
        (folder,) = temporary.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert Path(tempfile.mkdtemp()).parent == folder
        assert not folders.abandoned(folders.TEMPORARY, temporary)  # of a server that lives
    assert not list(temporary.iterdir()) and tempfile.gettempdir() == str(temporary)


def test_what_ended_servers_left_is_removed_and_nothing_else(temporary, end_process):
    left = end_process(folders.new_folder(folders.TEMPORARY))
    (left / "patient").mkdir()
    (left / "patient" / "ct.nrrd").write_text("private")
    living = folders.new_folder(folders.TEMPORARY)
    others = [
        temporary / name
        for name in ("mvreg-view-x", "mvreg-view-0-1-a", left.name.replace("-view", "-open"))
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        others.append(end_process(folders.new_folder(folders.TEMPORARY)))
    for folder in others:
        folder.mkdir(exist_ok=True)
    if len(others) == 4:  # of another user
        shutil.chown(others[3], 65534)
    link = temporary / f"{left.name[:-4]}link"
    link.symlink_to(living)
    with folders.temporary():
        assert not left.exists()
        assert living.exists() and link.is_symlink() and all(folder.exists() for folder in others)
