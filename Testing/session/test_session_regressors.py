"""The regressors of a registration without a panel.

Which is used, and what of it lives in the scene.
"""

import pytest
import slicer
from helpers.phantom import TRUE_POSE, error_mm, off
from helpers.phantom_scene import make_registration
from helpers.refusals import refuses
from helpers.running_session import look
from helpers.tiny_store import TinyStore, sha_of

from MultiViewRegistrationLib.mrml.image import segmentation_node
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
def test_a_choice_is_for_its_ct(registration, store, ct):
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
    bone = segmentation_node(registration.scene, "bone", before > 300, registration.ct)
    for structure in (bone, (None,)):
        registration.choose_segment(*structure)
        look(session)
        assert session.regressors.model == folder
    voxels[20:25] += 10
    slicer.util.arrayFromVolumeModified(registration.ct)
    look(session)
    assert session.regressors.model is None and session.regressors.models == []
    voxels[:] = before
    slicer.util.arrayFromVolumeModified(registration.ct)
    look(session)
    assert session.regressors.model == folder and session.regressors.missing() == ""
    session.register("auto")
    session.finish()
    assert store.asked == [folder] and error_mm(registration.world_from_ct) < 0.1
    entry = session.history.current
    assert (
        entry.method == session.result.method == "auto" and entry.regressor["model"] == folder.name
    )
    assert entry.regressor["expected_mm"] == pytest.approx(3.0)


@pytest.mark.slow
@pytest.mark.parametrize("seen", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_child_gets_the_pose_where_it_shows_the_ct(registration, store, ct, seen):
    registration.node.SetParameter("rotation_deg", "25")
    registration.world_from_ct = TRUE_POSE if seen else off(TRUE_POSE, (0, 0, 0), (0, 0, 900))
    session = session_of(registration)
    store.behave("reads its case")
    session.regressors.train(7)
    with refuses("wait until the current training has finished"):
        session.regressors.train()
    while session.regressors.is_training:
        session.poll()
    assert store.arguments[:3] == ["train", "--minutes", "7"]
    assert store.told["placed"] == seen and store.told["search"]["rotation_deg"] == 25
    assert store.told["sha"] == sha_of(ct)
    look(session)
    assert (
        session.regressors.model == session.regressors.models[0].folder
        and registration.parameter("start") == "auto"
    )


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
