"""A training of less than a minute, of a real CT, held against X-rays of another simulator."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.phantom import c_arm

from MultiViewRegistrationLib import PreparedCT
from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.imaging.xray import View, raw_image, to_line_integrals

pytest.importorskip("itk", reason="needs RTK: pip install itk-rtk")

from benchmarks.simulation.cases import Patient
from benchmarks.simulation.simulator import SimulatedXRay
from MultiViewRegistrationLib.io.datasets.chest import chest_ct
from MultiViewRegistrationLib.regressor import training
from MultiViewRegistrationLib.regressor.network import choose_landmarks
from MultiViewRegistrationLib.regressor.poses import PoseRange
from MultiViewRegistrationLib.regressor.training import Training

pytestmark = pytest.mark.slow

PIXEL_MM = 2.32


@pytest.mark.slow
def test_half_a_minute_finds_a_chest_within_centimetres(tmp_path, monkeypatch):
    """From 15, 15, 30 degrees and 50, 75, 50 mm.

    Half of the poses within 15 mm of the truth, which by chance are 50 mm off.
    """
    monkeypatch.setattr(training, "VALIDATED", 4)
    monkeypatch.setattr(training, "LAST_VALIDATED", 20)
    monkeypatch.setattr(Training, "_set_pace", lambda self: None)
    ct = load_ct(chest_ct())
    centroid, corners = ct.centroid(), PreparedCT(ct).corners()
    seen = {"source_to_detector_mm": 1020, "pixel_mm": (PIXEL_MM, PIXEL_MM)}
    cameras = [c_arm(angle, **seen) for angle in (0, 90)]
    nominal = rigid.translation(-centroid)
    poses = PoseRange(cameras[0], nominal, centroid, np.array([15.0, 15, 30, 50, 75, 50]))
    begun = Training.begin(ct, cameras, poses, corners, tmp_path / "model")
    begun.card = replace(begun.card, steps=320, every=1000)
    model = begun.run()

    rng = np.random.default_rng(3)
    projector = Patient(chest_ct(), couch=True, beyond_mm=60).projector
    errors, chance, targets = [], [], choose_landmarks(ct, centroid)
    for truth in poses.sample(np.random.default_rng(3), 10):
        views = []
        for camera in cameras:
            image = SimulatedXRay(PIXEL_MM).take(projector, camera, truth, rng)
            views.append(View("AP", to_line_integrals(raw_image(image)), camera))
        errors.append(mtre(model.candidates(views)[0].world_from_ct, truth, targets))
        chance.append(mtre(poses.world_from_ct, truth, targets))
    assert np.median(chance) > 40 and np.median(errors) < 15, (chance, errors)
