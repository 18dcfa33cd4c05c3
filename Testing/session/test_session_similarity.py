"""Similarity is measured where the CT comes to rest, by a thread, and told once there is something new."""

from __future__ import annotations

import time

import numpy as np
import pytest
from phantom import TRUE_POSE, off
from phantom_scene import phantom_registration

from MultiViewRegistrationLib.session.comparison import SimilarityUpdater
from MultiViewRegistrationLib.session.session import Session


@pytest.fixture
def session(scene):
    session = Session(phantom_registration(scene))
    until = time.monotonic() + 30
    while not session.prepare() and time.monotonic() < until:
        session.poll()
    return session


def measured(similarity, seconds: float = 60.0) -> bool:
    """Whether something new was measured, while a timer polls, as in panel and page."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        similarity._session.poll()
        if similarity.update():
            return True
    return False


def test_it_is_measured_once_for_a_pose_and_again_for_another(session):
    similarity = SimilarityUpdater(session)
    assert similarity.values == {}
    session.drawing.step()  # while the CT moves nothing is measured
    assert not session.drawing.at_rest and not similarity.update() and similarity._measured._worker is None
    assert measured(similarity)
    before = dict(similarity.values)
    assert set(before) == {"view1", "view2"}
    assert not measured(similarity, 0.2)
    session.registration.world_from_ct = TRUE_POSE
    assert measured(similarity)
    assert all(similarity.values[name] > before[name] + 0.1 for name in before)
    session.registration.xrays[0].change(use=False)
    assert measured(similarity)
    assert set(similarity.values) == {"view2"}


def test_a_ct_in_no_view_has_none(session):
    similarity = SimilarityUpdater(session)
    assert measured(similarity)
    session.registration.world_from_ct = off(TRUE_POSE, [0, 0, 0], [0, 0, 900.0])
    assert measured(similarity)
    assert similarity.values == {}
    assert not measured(similarity, 0.2)
    session.registration.world_from_ct = TRUE_POSE
    assert measured(similarity)
    assert np.min(list(similarity.values.values())) > 0.9
