"""A published refinement in a session.

Where it begins, what is taken of it, and that it can be cancelled.
"""

import json

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, error_mm, off
from helpers.phantom_scene import make_registration
from helpers.tiny_store import TinyStore

from MultiViewRegistrationLib.registration.optimizer import Progress, RefinementMethod
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.session.assessment import stale_reason
from MultiViewRegistrationLib.session.session import Session

STARTED_AT = off(TRUE_POSE, (3, 2, 0), (5, 0, 4))


@pytest.fixture
def session(scene, ct, views):
    return Session(make_registration(scene, ct, views, STARTED_AT))


@pytest.fixture
def began(monkeypatch):
    """The poses that a stand-in for xvr began from.

    It tells one stage, and takes the true pose for the next.
    """
    poses = []

    def run(anatomy, views, world_from_ct, progress, shared):
        poses.append(world_from_ct)
        progress(Progress(0.5, "xvr at 32 x 32 px", world_from_ct, 0.2))
        return refine(anatomy, views, TRUE_POSE, lambda progress: True, shared)

    def method(name, device):
        return RefinementMethod(name, run, "cpu") if name == "xvr" else pytest.fail(name)

    monkeypatch.setattr("MultiViewRegistrationLib.api.refinement_method", method)
    return poses


def test_published_refinement_starts_at_the_pose_and_gives_a_result(session, began):
    session.register("given", refinement="xvr")
    stages = set()
    while session.running:
        session.poll()
        stages.add(session.running_registration.stage if session.running_registration else "")
    assert np.allclose(began[0], STARTED_AT) and "xvr at 32 x 32 px" in stages
    entry, result = session.history.current, session.result
    assert error_mm(session.registration.world_from_ct) < 0.5 and stale_reason(session) == ""
    assert (entry.method, entry.refinement, entry.verdict) == ("given", "xvr", None)
    assert (result.refined_by, result.torch_device) == ("xvr", "cpu")
    assert np.allclose(result.start_world_from_ct, STARTED_AT)
    assert json.dumps(result.to_json())


def test_a_published_refinement_begins_where_the_regressor_sees_the_ct(
    session, began, ct, monkeypatch, tmp_path
):
    TinyStore(monkeypatch, tmp_path / "store", ct).add(ct, "2026-11-20-101500")
    while not session.regressors.up_to_date:
        session.regressors.update()
    session.register("regressor", refinement="xvr")
    session.finish()
    assert 0.1 < error_mm(began[0]) < 5 and error_mm(session.registration.world_from_ct) < 0.5
