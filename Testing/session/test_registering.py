"""A published baseline in a child process: what it is given, what is taken back, and that nothing stays behind."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from phantom import TRUE_POSE, error_mm, off
from phantom_scene import make_registration
from tiny_store import TinyStore

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.jobs import ProgressRecord
from MultiViewRegistrationLib.session.session import Session

STARTED_AT = off(TRUE_POSE, (3, 2, 0), (5, 0, 4))


@pytest.fixture
def session(scene, ct, views, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return Session(make_registration(scene, ct, views, STARTED_AT))


def result(pose):
    return {
        "world_from_ct": pose.tolist(),
        "seconds": {"load": 1.0, "initialise": 0.0, "refine": 100.0, "assess": 0.0, "total": 101.0},
        "software": {"version": "1", "device": "CPU, 2 threads, x86_64, PyTorch on cpu"},
    }


class Child:
    """Stands for `jobs.Job`: reads its case, tells one pose, and is done, unless it is to fail or waits to be cancelled."""

    fails = waits = False
    made: ClassVar[list[Child]] = []

    def __init__(self, arguments):

        self.arguments, self.state, self.message, self.result, self.cancelled = arguments, "running", "", None, False
        self.case = Case.load(arguments[1])
        self._polls = 0
        Child.made.append(self)

    def poll(self):

        self._polls += 1
        if self.cancelled:
            self.state = "cancelled"
        elif self.fails:
            self.state, self.message = "failed", "xvr: found no patch, expected room for one; check the mask."
        elif self._polls > 2 and not self.waits:
            self.state, self.result = "done", result(TRUE_POSE)
        return ProgressRecord(
            0.5, "xvr at 32 x 32 px", cost=0.2, world_from_ct=off(TRUE_POSE, (1, 0, 0), (1, 0, 0)).tolist()
        )

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def child(monkeypatch):
    Child.made.clear()
    monkeypatch.setattr("MultiViewRegistrationLib.jobs.Job", Child)
    return Child


def test_a_baseline_is_given_the_case_and_its_pose_is_a_result(session, child, views, ct, tmp_path):
    registration = session.registration
    session.register("given", refinement="xvr")
    seen = set()
    while session.running:
        session.poll()
        seen.add(session.running_registration.stage if session.running_registration else "")
    (job,) = child.made
    assert job.arguments[:1] + job.arguments[2:7] == ["register", "--refine", "xvr", "--device", "auto", "--out"]
    assert np.allclose(job.case.world_from_ct, STARTED_AT) and np.array_equal(
        job.case.ct.volume.values, ct.volume.values
    )
    for given, view in zip(job.case.views, session.case().views, strict=True):
        assert given.name == view.name and np.allclose(given.camera.projection_matrix, view.camera.projection_matrix)
        assert np.allclose(given.xray.line_integrals, view.xray.line_integrals) and np.array_equal(
            given.xray.valid, view.xray.valid
        )
    assert "xvr at 32 x 32 px" in seen
    entry = session.history.current
    assert np.allclose(registration.world_from_ct, TRUE_POSE) and (entry.method, entry.refinement) == ("given", "xvr")
    assert 0 < entry.seconds < 60 and min(entry.similarity.values()) > 0.9 and session.stale_reason() == ""
    assert (session.result.refined_by, session.result.torch_device) == ("xvr", "cpu")
    assert np.allclose(session.result.start_world_from_ct, STARTED_AT)
    assert json.dumps(session.result.to_json())  # can be exported as any other
    assert os.listdir(tmp_path) == []


def test_a_baseline_that_fails_is_a_message_and_cancel_ends_the_child(session, child, monkeypatch, tmp_path):
    monkeypatch.setattr(child, "fails", True)
    session.register("given", refinement="xvr")
    with pytest.raises(InputError, match="found no patch"):
        session.finish()
    assert np.allclose(session.registration.world_from_ct, STARTED_AT) and os.listdir(tmp_path) == []
    monkeypatch.setattr(child, "fails", False)
    monkeypatch.setattr(child, "waits", True)
    child.made.clear()
    session.register("given", refinement="xvr")
    while not child.made:
        session.poll()
    session.cancel()
    session.stop(5.0)
    assert child.made[0].cancelled and session.ended == "cancelled"
    assert np.allclose(session.registration.world_from_ct, STARTED_AT) and os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_real_child_is_cancelled(session, tmp_path):
    pytest.importorskip("torch")
    session.register("given", refinement="xvr")
    while not list(Path(tmp_path).glob("mvreg-case-*/case.json")):
        session.poll()
    session.poll(0.5)
    session.stop(15.0)
    assert not session.running and os.listdir(tmp_path) == []


def test_a_baseline_begins_where_the_regressor_sees_the_ct(session, child, ct, monkeypatch, tmp_path):
    TinyStore(monkeypatch, tmp_path / "store", ct).add(ct, "2026-11-20-101500")
    while not session.regressors.up_to_date:
        session.regressors.update()
    session.register("regressor", refinement="xvr")
    session.finish()
    assert 0.1 < error_mm(child.made[0].case.world_from_ct) < 5
    assert error_mm(session.registration.world_from_ct) < 1e-9
