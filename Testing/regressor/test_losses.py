"""The four losses: 0 at the perfect answer, their formulas by numpy, gradients, descent, and what one view cannot see."""

import numpy as np
import pytest
import torch
from helpers import reference_renderer
from helpers.finite_differences import changes
from helpers.phantom import TRUE_POSE, c_arm, slot_scan_of
from helpers.refusals import refuses
from numpy.testing import assert_allclose

from MultiViewRegistrationLib.geometry import rigid, rigid_torch
from MultiViewRegistrationLib.geometry.machines import SlotScan
from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.regressor.images import Window
from MultiViewRegistrationLib.regressor.loss import PRESETS, PoseAndImageLoss, in_cameras
from MultiViewRegistrationLib.rendering.drr import Projector

NAMES = ("pose", "image", "cross_pose", "cross_image")
ALL = dict.fromkeys(NAMES, 1.0)
RADIUS = 700.0


@pytest.fixture(scope="module")
def volume(ct):
    return attenuation(ct).pooled((2, 2, 2))


SEEN = {"pixel_mm": (170 / 32,) * 2, "size": (32, 32)}
CAMERAS = [c_arm(0, 0, **SEEN), c_arm(80, 15, **SEEN)]
THIRD = c_arm(-40, -10, **SEEN)
CORNERS = 47 * np.stack([-np.ones(3), np.ones(3)])
SLOT_SCAN = Window.of(SlotScan(**slot_scan_of(70)).camera(), CORNERS, 32).camera


def losses(volume, weights=ALL, cameras=CAMERAS):
    return PoseAndImageLoss(cameras, [RADIUS] * len(cameras), volume, weights)


def truth(cameras=CAMERAS, count=1):
    """camera_from_ct (count, views, 4, 4)."""
    return in_cameras(cameras, torch.from_numpy(TRUE_POSE).repeat(count, 1, 1))


def xrays_of(volume, cameras=CAMERAS, gain=1.0, offset=0.0):
    """(1, views, rows, columns): by the renderer that knows no gradient."""
    images = np.stack([Projector(volume).render(camera, TRUE_POSE).image for camera in cameras])
    return torch.from_numpy(gain * images[None] + np.float32(offset))


def off(twists, cameras=CAMERAS):
    """The truth, each view's prediction off by a turn and a shift (views, 6) of the CT about itself, with a gradient by these."""
    return truth(cameras) @ rigid_torch.from_rotation_translation(
        torch.linalg.matrix_exp(rigid_torch.hat(twists[:, :3])), twists[:, 3:]
    )


def some_twists(scale=1.0, views=2, seed=3):
    return torch.from_numpy(
        scale * np.random.default_rng(seed).normal(size=(views, 6)) * [0.05, 0.05, 0.05, 4, 4, 4]
    )


def own_formula(camera_b, predicted_b, camera_a, true_a, xray_a, volume):
    """(pose, image) of view a through view b in numpy, by its definition."""
    predicted = camera_a.camera_from_world @ camera_b.world_from_camera @ predicted_b
    isocentre = rigid.translation([0, 0, RADIUS])
    a, b = (rigid.inverse(pose) @ isocentre for pose in (predicted, true_a))
    pose = np.linalg.norm(rigid.log_se3(rigid.inverse(a) @ b)) + rigid.geodesic_distance(
        a, b, RADIUS
    )
    drr = Projector(volume).render(camera_a, camera_a.world_from_camera @ predicted).image
    return pose, 1 - np.corrcoef(xray_a.ravel(), drr.ravel())[0, 1]


@pytest.mark.parametrize(
    "cameras", [CAMERAS[:1], CAMERAS, [*CAMERAS, THIRD], [CAMERAS[0], SLOT_SCAN]]
)
def test_their_formulas_by_numpy(volume, cameras):
    predicted, true = off(some_twists(views=len(cameras)), cameras), truth(cameras)
    xrays, n = xrays_of(volume, cameras, 0.8, 0.1), range(len(cameras))
    of_a = [(cameras[a], true[0, a].numpy(), xrays[0, a].numpy()) for a in n]
    of_b = [(cameras[b], predicted[0, b].numpy()) for b in n]
    table = np.array([[own_formula(*b, *a, volume) for b in of_b] for a in of_a])  # (a, b, 2)
    own = np.eye(len(cameras), dtype=bool)
    means = [table[which].mean(axis=0) for which in (own, ~own) if which.any()]
    terms = losses(volume, cameras=cameras).terms(predicted, true, xrays)
    found = {name: term.item() for name, term in terms.items()}
    assert found == pytest.approx(dict(zip(NAMES, np.ravel(means))), rel=1e-5, abs=1e-6)
    preset, weights = {  # cui2025: a quarter of the sum over four
        1: ("diffpose", (0.01, 1)),
        2: ("cui2025", (0.0025, 0.25)),
    }.get(len(cameras), (None, None))
    if preset:
        total = losses(volume, PRESETS[preset], cameras)(predicted, true, xrays).item()
        assert total == pytest.approx((table @ weights).sum(), rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_differences(volume, name):
    """Of each loss by itself, by the six numbers of both views' predictions.

    The differences are of images in double precision.
    """
    loss = losses(volume, {name: 1.0})
    xrays, twists = xrays_of(volume), some_twists(0.5).requires_grad_()
    (ours,) = torch.autograd.grad(loss(off(twists), truth(), xrays).sum(), twists)
    at_truth = torch.zeros(2, 6, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(off(at_truth), truth(), xrays).sum(), at_truth)
    assert torch.isfinite(gradient).all()
    values, xrays = torch.from_numpy(volume.values).double(), xrays.double()
    loss._renderer = lambda camera, poses: torch.stack(
        [reference_renderer.render(values, volume.ct_from_index, camera, pose) for pose in poses]
    )

    def value(step):
        near = twists.detach() + torch.from_numpy(step).reshape(2, 6)
        return loss(off(near), truth(), xrays).item()

    sizes = np.tile(np.repeat([1e-4, 0.01], 3), 2)
    measured = (changes(value, np.diag(sizes)) / sizes).reshape(2, 6)
    for part in (slice(0, 3), slice(3, 6)):
        scale = np.abs(measured[:, part]).max()
        assert scale > 1e-4
        assert_allclose(ours[:, part], measured[:, part], atol=0.006 * scale)


def test_an_empty_drr_costs_1_without_gradient_and_nan_is_refused(volume):
    away = torch.tensor([[0, 0, 0, 5e3, 0, 0]] * 2, dtype=torch.float64, requires_grad=True)
    value = losses(volume, {"image": 1.0, "cross_image": 1.0})(off(away), truth(), xrays_of(volume))
    (gradient,) = torch.autograd.grad(value.sum(), away)
    assert value.item() == pytest.approx(2) and not gradient.any()
    with refuses("not finite"):
        losses(volume)(truth() * float("nan"), truth(), xrays_of(volume))
