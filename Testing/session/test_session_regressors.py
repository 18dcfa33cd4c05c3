"""The regressors of a registration without a panel.

Which is used, and what of it lives in the scene.
"""

import pytest
import slicer
from helpers.phantom import TRUE_POSE, error_mm
from helpers.phantom_scene import make_registration
from helpers.refusals import refuses
from helpers.running_session import look
from helpers.tiny_store import TinyStore, sha_of

from MultiViewRegistrationLib.session.session import Session


@pytest.fixture
def store(monkeypatch, tmp_path, ct):
    return TinyStore(monkeypatch, tmp_path, ct)


@pytest.fixture
def registration(scene, store, ct, views):
    return make_registration(scene, ct, views)


def session_of(registration):
    """A session that has looked for models."""
    session = Session(registration)
    look(session)
    return session


@pytest.mark.slow
def test_selected_regressor_belongs_to_its_ct(registration, store, ct):
    session = session_of(registration)
    with refuses("There is no regressor for this CT"):
        session.register("auto")
    folder, newer = (store.add(ct, f"2026-11-{day}-101500") for day in (19, 20))
    session.regressors.reload()
    look(session)
    assert session.regressors.model == newer
    session.regressors.choose(folder)
    voxels = slicer.util.arrayFromVolume(registration.ct)
    before = voxels.copy()

    for values, models in ((before + 10, set()), (before, {newer, folder})):
        voxels[:] = values
        slicer.util.arrayFromVolumeModified(registration.ct)
        look(session)
        assert {model.folder for model in session.regressors.models} == models
    session.register("auto")
    session.finish()
    assert store.asked == [folder] and error_mm(registration.world_from_ct) < 0.1
    entry = session.history.current
    assert entry.method == session.result.method == "auto"
    assert entry.regressor["model"] == folder.name


@pytest.mark.slow
def test_training_gets_the_pose_and_range_of_the_registration(registration, store, ct):
    registration.node.SetParameter("rotation_deg", "25")
    registration.world_from_ct = TRUE_POSE
    session = session_of(registration)
    store.behave("reads its case")
    session.regressors.train(7)
    with refuses("wait until the current training has finished"):
        session.regressors.train()
    while session.regressors.is_training:
        session.poll()
    assert store.arguments[:3] == ["train", "--minutes", "7"]
    assert store.told["placed"] and store.told["search"]["rotation_deg"] == 25
    assert store.told["sha"] == sha_of(ct)


def test_a_training_that_is_for_another_ct_by_now_changes_nothing(registration, store, ct):
    session = session_of(registration)
    session.regressors.train()
    slicer.util.arrayFromVolume(registration.ct)[20:25] += 10
    slicer.util.arrayFromVolumeModified(registration.ct)
    while session.regressors.is_training:
        session.poll()
    look(session)
    assert (
        session.regressors.model is None
        and registration.kept("model", "") == registration.parameter("start") == ""
    )
