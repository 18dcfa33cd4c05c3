"""What is kept for the case that the server ends: the scene as it was a minute ago at most, whole, and for nobody else."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from time import sleep, time
from types import SimpleNamespace

import numpy as np
import pytest
from phantom import write_phantom_case

from MultiViewRegistrationLib.errors import InputError

pytest.importorskip("trame_slicer", reason="needs slicer-core: pip install -e .[viewer]")

#: How often the walk is killed (MVREG_KILLS=20 for all), how often it saves, and what a busy computer may take longer, in s.
KILLS, EVERY_S, LATE_S = int(os.environ.get("MVREG_KILLS") or 5), 1.0, 2.0
LIBRARY = Path(__file__).resolve().parents[2] / "MultiViewRegistration"


@pytest.fixture(scope="module")
def scene():
    import slicer
    from trame_slicer.core import SlicerApp

    slicer.mrmlScene = SlicerApp().scene
    yield slicer.mrmlScene
    slicer.mrmlScene.Clear(False)


@pytest.fixture(scope="module")
def case_file(tmp_path_factory):
    return write_phantom_case(tmp_path_factory.mktemp("phantom"))


@pytest.fixture
def application(scene, case_file):
    """What `Autosave` needs of the application, the phantom open."""
    from MultiViewRegistrationLib.mrml.loading import read_case
    from MultiViewRegistrationLib.session.session import Session

    scene.Clear(False)
    registration, told = read_case(case_file)(scene), []
    session = Session(registration)
    yield SimpleNamespace(
        scene=scene,
        registration=registration,
        session=session,
        tell=told.append,
        told=told,
        moving=SimpleNamespace(under_way=lambda: False),
    )
    session.stop()


@pytest.fixture
def autosave(application):
    from MultiViewRegistrationLib.viewer.autosave import Autosave

    return Autosave(application)


def die() -> None:
    """What this process keeps is a dead one's."""
    from MultiViewRegistrationLib.viewer import autosave

    for folder in autosave.place().iterdir():
        name = folder.name.split("-")
        if name[2] == str(os.getpid()):
            of_a_dead(folder)


def of_a_dead(folder: Path) -> Path:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    kind, host, _, last = folder.name.split("-", 3)
    return folder.rename(folder.with_name(f"{kind}-{host}-{ended.pid}-{last}"))


def kept() -> list:
    from MultiViewRegistrationLib.viewer.autosave import all_kept

    return all_kept()


def files() -> set:
    from MultiViewRegistrationLib.viewer.autosave import place

    return {path for path in place().rglob("*") if path.is_file()}


def opened(scene, one):
    """The registration that is kept."""
    from MultiViewRegistrationLib.viewer.scene_files import read_scene

    load = read_scene(one.scene)
    scene.Clear(False)
    return load(scene)


def move(registration) -> np.ndarray:
    pose = np.array(registration.world_from_ct)
    pose[0, 3] += 1
    registration.world_from_ct = pose
    return pose


def test_it_is_the_scene_and_private(application, autosave, scene):
    from MultiViewRegistrationLib.mrml.fingerprint import fingerprint
    from MultiViewRegistrationLib.viewer.autosave import place

    pose, inputs = move(application.registration), fingerprint(application.registration)
    autosave.close()
    assert place().stat().st_mode & 0o777 == 0o700
    (folder,) = place().iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700 and {file.stat().st_mode & 0o777 for file in files()} == {0o600}
    assert not kept()  # it is this server's, which lives
    die()
    (one,) = kept()
    assert one.name == application.registration.name and not application.told
    registration = opened(scene, one)
    np.testing.assert_allclose(registration.world_from_ct, pose, atol=1e-12)
    assert fingerprint(registration) == inputs and len(registration.xrays) == 2


def test_only_what_has_changed_is_written(application, autosave):
    autosave.close()
    first = files()
    autosave.close()
    assert files() == first
    move(application.registration)
    autosave.close()
    assert {file for file in files() if file.suffix == ".nrrd"} == {file for file in first if file.suffix == ".nrrd"}
    assert len(files()) == len(first) and files() != first


def test_a_registration_under_way_has_not_begun(application, autosave, scene):
    before = np.array(application.registration.world_from_ct)
    application.session.register("given")
    while application.session.running_registration.progress is None or np.allclose(
        application.registration.world_from_ct, before
    ):
        application.session.poll()
    shown = np.array(application.registration.world_from_ct)
    autosave.close()
    np.testing.assert_array_equal(application.registration.world_from_ct, shown)
    assert not application.session.running_registration.obstacle()
    application.session.cancel()
    die()
    np.testing.assert_allclose(opened(scene, kept()[0]).world_from_ct, before, atol=1e-12)


def test_it_waits_for_a_hand_and_for_its_time(application, autosave, monkeypatch):
    now, held = [1000.0], [True]
    monkeypatch.setattr("MultiViewRegistrationLib.viewer.autosave.monotonic", lambda: now[0])
    application.moving.under_way = lambda: held[0]
    autosave.opened()
    saved = []
    monkeypatch.setattr(autosave, "save", lambda: saved.append(now[0]))
    for now[0] in range(1000, 1400):
        held[0] = now[0] < 1100
        autosave.tick()
    assert saved[0] == 1100 and max(np.diff(saved)) <= 60 and min(np.diff(saved)) >= 45


def test_a_full_disk_is_told_and_leaves_what_was_kept(application, autosave, scene, monkeypatch):
    autosave.close()
    before = np.array(application.registration.world_from_ct)
    move(application.registration)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        autosave.close()
    assert application.told and "The work is not kept" in application.told[0]
    die()
    np.testing.assert_allclose(opened(scene, kept()[0]).world_from_ct, before, atol=1e-12)


def test_the_newest_are_kept_and_what_is_none_is_removed(monkeypatch, tmp_path):
    from MultiViewRegistrationLib.viewer import autosave, own_folders

    monkeypatch.setenv("MVREG_DATA", str(tmp_path))
    autosave.place().mkdir()
    now = datetime(2026, 11, 22, 14, 10)
    for age in (3, 1, 2, 4, 0, None, "later"):
        folder = of_a_dead(own_folders.new_folder(autosave.KIND, autosave.place()))
        if age is not None:
            state = {
                "version": 99 if age == "later" else 1,
                "name": f"{age}",
                "scene": "../../a.mrml",
                "saved": (now - timedelta(days=0 if age == "later" else age)).isoformat(),
            }
            (folder / "state.json").write_text(json.dumps(state))
    found = kept()
    assert [(one.name, one.told(now)) for one in found] == [
        ("0", "14:10"),
        ("1", "21 November 2026, 14:10"),
        ("2", "20 November 2026, 14:10"),
    ]
    assert all(one.scene.parent == one.folder for one in found)
    assert len(list(autosave.place().iterdir())) == 4  # with that of a later version


def test_one_that_is_gone_on_with_is_this_servers(application, autosave, scene):
    from MultiViewRegistrationLib.viewer.autosave import Autosave

    autosave.close()
    die()
    (one,) = kept()
    second = Autosave(application)
    second.opened(one.folder)
    assert not kept() and not one.folder.exists()
    pose = move(application.registration)
    second.close()
    die()
    np.testing.assert_allclose(opened(scene, kept()[0]).world_from_ct, pose, atol=1e-12)
    Autosave(application).opened(one.folder)  # another server was faster


def walk(case_file, folder, seconds: float) -> tuple[float, list]:
    """Walk through the steps, and kill that; when it was killed, and the states that it had reached."""
    log = folder / "log"
    log.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("steps_walk.py")), str(case_file), str(log), str(EVERY_S)],
        env={
            **os.environ,
            "PYTHONPATH": f"{LIBRARY}{os.pathsep}{LIBRARY.parent / 'Testing'}",
            "TMPDIR": str(folder / "tmp"),
            "MVREG_DATA": str(folder / "data"),
        },
        stderr=subprocess.PIPE,
    )
    until = time() + 120
    while not (log.exists() and log.read_bytes()) and time() < until and process.poll() is None:
        sleep(0.05)
    try:
        process.wait(seconds)
        raise AssertionError(process.stderr.read().decode())
    except subprocess.TimeoutExpired:
        process.kill()
    killed = time()
    process.wait()
    lines = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return killed, [json.loads(line) for line in lines]


def test_killed_at_random_moments_nothing_older_is_lost(scene, case_file, tmp_path, monkeypatch):
    from MultiViewRegistrationLib.mrml.landmarks import lists
    from MultiViewRegistrationLib.viewer import own_folders

    monkeypatch.setenv("MVREG_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    dice = random.Random(21)
    for _ in range(KILLS):
        killed, states = walk(case_file, tmp_path, dice.uniform(0.2, 7))
        late_s = LATE_S + 3 * states[-1][-1]  # on a busy computer everything waits, the thread that writes too
        old = [number for number, when, *_ in states if when < killed - EVERY_S - late_s]
        found = kept()
        assert len(found) == 1 or not old
        for one in found:
            registration = opened(scene, one)
            number = int(registration.parameter("walk", "0"))
            assert number >= max(old, default=0)
            near = [state for state in states if number <= state[0] <= number + 1]
            pose, points = (
                registration.world_from_ct,
                sum(markups.GetNumberOfControlPoints() for markups in lists(registration)),
            )
            assert any(np.allclose(pose, state[2], atol=1e-9) for state in near) or not near or _moving(pose, near)
            assert not near or points in {state[3] for state in near}
            own_folders.remove(one.folder)
    with own_folders.temporary():
        pass
    assert not list((tmp_path / "tmp").iterdir())


def _moving(pose, near) -> bool:
    """Whether it is a pose of a hand that paused on its way: of four small moves."""
    return bool(np.abs(pose[:3, 3] - np.array(near[0][2])[:3, 3]).max() < 4)


def test_what_it_raises_is_a_sentence(application, autosave, monkeypatch):
    monkeypatch.setattr(
        "MultiViewRegistrationLib.viewer.autosave._Storing.write", lambda *_: (_ for _ in ()).throw(InputError("No."))
    )
    autosave.close()
    assert application.told == [
        "The work is not kept for the case that the server ends (No); free some space, or save it."
    ]
