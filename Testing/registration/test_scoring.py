"""The kernel that scores thousands of poses, against the objective, which goes another way."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from phantom import TRUE_POSE, make_ct, make_views, off

from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.registration.objective import Objective
from MultiViewRegistrationLib.registration.similarity import Scorer, Settings
from MultiViewRegistrationLib.rendering.drr import Projector

CT = make_ct()
CUT = np.array([False, False, False, False, True, True])
POSES = np.stack([off(TRUE_POSE, [4 * n, -n, 2 * n], [n, -2 * n, 3 * n]) for n in range(6)])


def views():
    found = [view.pooled(4) for view in make_views(CT)]
    columns = np.indices(found[0].xray.valid.shape)[1]
    field = XRay(found[0].xray.line_integrals, columns > 5, found[0].xray.pixel_mm)
    return [replace(found[0], xray=field), found[1]]


@pytest.mark.parametrize("with_rest", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        Settings(intensity_radius=5),
        Settings(gradient_radius=4),
        Settings(intensity_radius=5, gradient_radius=4),
        Settings(gradient_radius=4, silhouette_mm=6),
    ],
)
def test_a_score_is_the_similarity_that_the_objective_has_there(settings, with_rest):
    projector = Projector(attenuation(CT), CUT)
    rest = (
        [0.1 * projector.render(view.camera, POSES[2]).image for view in views()]
        if with_rest
        else None
    )
    objective = Objective(projector, views(), settings, TRUE_POSE[:3, 3], rest)
    expected = []
    for pose in POSES:
        fit = objective.linearise(objective.project(pose, jacobian=True))
        shares = [
            1.0 if settings.silhouette_mm else pixels / view.xray.valid.sum()
            for pixels, view in zip(fit.pixels, objective.views)
        ]
        expected.append(fit.similarity * np.sqrt(shares))
    scores = Scorer(projector, views(), settings, np.zeros(3), rest).scores(POSES)
    assert_allclose(scores.T, expected, atol=2e-3)
    assert scores.mean(axis=0).argmax() == 0


def test_a_pose_outside_a_view_scores_0():
    scorer = Scorer(Projector(attenuation(CT)), views(), Settings(intensity_radius=3), np.zeros(3))
    assert not scorer.scores(off(TRUE_POSE, [0, 0, 0], [0, 0, 900])[None]).any()
