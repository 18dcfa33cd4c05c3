"""A training of seconds for slot scans, alone and beside a C-arm.

It finds the CT nearer than by chance.
"""

from dataclasses import replace

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, error_mm, make_slot_scan, make_views

from MultiViewRegistrationLib.regressor import training
from MultiViewRegistrationLib.regressor.model import load_model
from MultiViewRegistrationLib.regressor.poses import PoseRange
from MultiViewRegistrationLib.regressor.training import Training

pytestmark = pytest.mark.slow

HALF_WIDTHS = np.array([15.0, 15, 20, 15, 15, 20])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Only")  # what learns for seconds is right too rarely
@pytest.mark.parametrize("mixed", [False, True], ids=["two slot scans", "slot scan and C-arm"])
def test_it_learns_where_the_ct_is(ct, anatomy, tmp_path, monkeypatch, mixed):
    monkeypatch.setattr(training, "LAST_VALIDATED", 16)
    monkeypatch.setattr(Training, "_set_pace", lambda self: None)
    views = [make_slot_scan(ct, 0), make_views(ct)[1] if mixed else make_slot_scan(ct, 90)]
    cameras = [view.camera for view in views]
    poses = PoseRange(cameras[0], np.eye(4), ct.centroid(), HALF_WIDTHS)
    begun = Training.begin(ct, cameras, poses, anatomy.corners(), tmp_path / "model")
    begun.card = replace(begun.card, steps=60, every=1000)
    model = begun.run()
    drawn = poses.sample(np.random.default_rng(1), 50)
    by_chance = np.median([error_mm(pose, np.eye(4)) for pose in drawn])
    found = load_model(model.folder).candidates(views)[0].world_from_ct
    assert max(model.card.expected[0], error_mm(found, TRUE_POSE)) < 0.8 * by_chance
