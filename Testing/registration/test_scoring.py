"""The kernel that scores thousands of poses, against the objective, which goes another way."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from phantom import TRUE_POSE, masked, off

from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.registration.objective import Objective
from MultiViewRegistrationLib.registration.scorer import Scorer
from MultiViewRegistrationLib.registration.similarity import Settings
from MultiViewRegistrationLib.rendering.drr import Projector

CUT = np.array([False, False, False, False, True, True])
POSES = np.stack([off(TRUE_POSE, [4 * n, -n, 2 * n], [n, -2 * n, 3 * n]) for n in range(6)])


@pytest.fixture(scope="module")
def pooled(views):
    """The first with a collimator on the left."""
    first, second = (view.pooled(4) for view in views)
    return [masked(first, np.arange(32) > 5), second]


@pytest.mark.parametrize(
    "settings",
    [
        Settings(intensity_radius=5),
        Settings(gradient_radius=4),
        Settings(intensity_radius=5, gradient_radius=4),
        Settings(gradient_radius=4, silhouette_mm=6),
    ],
)
def test_a_score_is_the_similarity_that_the_objective_has_there(ct, pooled, settings):
    projector = Projector(attenuation(ct), CUT)
    objective = Objective(projector, pooled, settings, TRUE_POSE[:3, 3])
    expected = []
    for pose in POSES:
        fit = objective.linearise(objective.project(pose, jacobian=True))
        shares = [
            1.0 if settings.silhouette_mm else pixels / view.xray.valid.sum()
            for pixels, view in zip(fit.pixels, objective.views)
        ]
        expected.append(fit.similarity * np.sqrt(shares))
    scores = Scorer(projector, pooled, settings, np.zeros(3)).scores(POSES)
    assert_allclose(scores.T, expected, atol=2e-3)
    assert scores.mean(axis=0).argmax() == 0


def test_a_pose_outside_a_view_scores_0(ct, pooled):
    scorer = Scorer(Projector(attenuation(ct)), pooled, Settings(intensity_radius=3), np.zeros(3))
    assert not scorer.scores(off(TRUE_POSE, [0, 0, 0], [0, 0, 900])[None]).any()
