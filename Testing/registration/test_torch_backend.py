"""Objective, descents and search by PyTorch, and bones by Triton's kernels, too, interpreted where there is no CUDA, against numba."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.bent_spine import POSE, background, bent_case
from helpers.phantom import TRUE_POSE, error_mm, make_slot_scan, make_views, masked, misplaced, off
from numpy.testing import assert_allclose

from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.registration.objective import EvaluationPoint, Objective, Scorer
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.register_bones import LEVEL, objective_at
from MultiViewRegistrationLib.registration.similarity import Settings
from MultiViewRegistrationLib.rendering.drr import Projector

torch = pytest.importorskip("torch", reason="they are in PyTorch: pip install torch")

PIVOT = np.array([1.0, 2.0, 3.0])
NEAR = off(TRUE_POSE, [1.0, -1.5, 0.5], [2.0, 1.0, -3.0])
NEXT = off(TRUE_POSE, [0.8, -1.2, 0.7], [1.5, 1.2, -2.0])
SETTINGS = {
    "intensity": Settings(intensity_radius=6),
    "gradient": Settings(gradient_radius=6),
    "both, robust": Settings(intensity_radius=5, gradient_radius=7, cauchy=0.5),
    "a structure": Settings(intensity_radius=4, gradient_radius=5, cauchy=0.5, silhouette_mm=4.0),
}


@pytest.fixture(params=["cpu", *["cuda"] * torch.cuda.is_available()])
def device(request):
    """What makes objectives and scorers, by numba and there, and its name."""
    from MultiViewRegistrationLib.registration.torch_backend import TorchObjective, TorchScorer

    there = partial(TorchObjective, device=request.param)
    return SimpleNamespace(
        objective=there,
        objectives=(Objective, there),
        scorers=(Scorer, partial(TorchScorer, device=request.param)),
        name={"cpu": "torch-cpu"}.get(request.param, request.param),
    )


@pytest.fixture(scope="module")
def projector(ct):
    return Projector(attenuation(ct))


@pytest.fixture(scope="module")
def views(ct):
    """Two of different sizes, the first with a collimator."""
    first, second = make_views(ct, size=64)
    field = np.outer(np.arange(64) < 50, np.arange(64) >= 9)
    return [masked(first, field), second.cropped(3, 5, 52, 48)]


def same_fit(mine, theirs):
    """To 1e-4, a gradient in terms of what its Hessian and the cost allow it to be."""
    assert mine.pixels == theirs.pixels and mine.shown == theirs.shown
    assert mine.cost == pytest.approx(theirs.cost, rel=1e-4)
    assert mine.similarity == pytest.approx(theirs.similarity, rel=1e-4)
    assert mine.sharpness == pytest.approx(theirs.sharpness, rel=1e-3)
    same_system((mine.gradient, mine.hessian), (theirs.gradient, theirs.hessian), theirs.cost)
    for of_view, expected in zip(mine.by_view, theirs.by_view, strict=True):
        same_system(of_view, expected, theirs.cost)


def same_bones(mine, theirs):
    assert mine.pixels == theirs.pixels
    assert mine.cost == pytest.approx(theirs.cost, rel=1e-4)
    close(mine.shown, theirs.shown, 1e-3)
    for of_view, expected in zip(mine.by_view, theirs.by_view, strict=True):
        same_system(of_view, expected, theirs.cost)


def same_system(mine, theirs, cost):
    scale = np.sqrt(np.maximum(np.diag(theirs[1]), 1e-9))
    close(mine[0] / scale, theirs[0] / scale, 1e-4 * np.sqrt(cost))
    close(mine[1] / np.outer(scale, scale), theirs[1] / np.outer(scale, scale), 1e-4)


def close(mine, theirs, most=1e-4):
    assert_allclose(mine, theirs, rtol=0, atol=most)


@pytest.mark.parametrize("name", SETTINGS)
def test_cost_gradient_and_hessian_are_those_of_numba(device, projector, views, name):
    fits, costs = [], []
    for maker in device.objectives:
        objective = maker(projector, views, SETTINGS[name], PIVOT)
        fits.append(objective.evaluate(EvaluationPoint([NEAR])).linearise())
        costs.append(objective.evaluate(EvaluationPoint([NEXT])).cost())
    assert fits[0].gradient.shape == (6,)
    same_fit(fits[1], fits[0])
    assert costs[1] == pytest.approx(costs[0], rel=1e-4)


def test_slot_scan_and_pinhole_view_are_compared_as_by_numba(device, projector, ct, views):
    """The derivatives by pose and intrinsics, and the scores of poses, the last outside the views."""
    mixed = [views[0], make_slot_scan(ct, 70).pooled(2)]
    point = EvaluationPoint([NEAR], intrinsics=True)
    expected, found = (
        maker(projector, mixed, SETTINGS["both, robust"], PIVOT).evaluate(point).linearise()
        for maker in device.objectives
    )
    assert min(expected.similarity) > 0.2
    same_fit(found, expected)
    poses = np.stack([off(TRUE_POSE, [3.0 * n, -n, 2], [2.0 * n, 1, -n]) for n in range(6)])
    poses[5, :3, 3] += 400
    expected, found = (
        maker(projector, mixed, Settings(intensity_radius=3), np.zeros(3)).scores(poses)
        for maker in device.scorers
    )
    close(found, expected)
    assert (expected[:, 5] == 0).all() and np.ptp(expected) > 0.1


def test_a_pose_at_which_nothing_can_be_compared_costs_infinitely(device, projector, views):
    objective = device.objective(projector, views, SETTINGS["intensity"], PIVOT)
    outside = EvaluationPoint([off(TRUE_POSE, [0, 0, 0], [0, 0, 500.0])])
    assert objective.evaluate(outside).linearise().cost == np.inf
    # Nothing was settled with which to compare it.
    assert objective.evaluate(EvaluationPoint([NEAR])).cost() == np.inf


STARTS = [
    off(TRUE_POSE, [2.0, -1, 1], [2.0, 3, -1]),
    off(TRUE_POSE, [-2.0, 1, 2], [-3.0, 1, 1]),
    off(TRUE_POSE, [1.0, 3, 0], [0, -2, 3.0]),
]


def test_too_little_memory_makes_smaller_batches_and_at_last_a_memory_error(
    device, projector, views, monkeypatch
):
    from MultiViewRegistrationLib.registration import torch_backend

    looks, sizes, most = torch_backend._evaluate_batch, [], 2
    few, none = RuntimeError("CUDA error: out of memory"), torch.OutOfMemoryError("Too much.")

    def limited(pairs):
        sizes.append(len(pairs))
        if len(pairs) > most:
            raise few if most else none
        return looks(pairs)

    def costs():
        first = device.objective(projector, views, SETTINGS["intensity"], PIVOT)
        several = [first.with_pivot(PIVOT) for _ in STARTS]
        asked = [EvaluationPoint([start]) for start in STARTS]
        return [look.linearise().cost for look in first.evaluate_together(several, asked)]

    expected = costs()
    monkeypatch.setattr(torch_backend, "_evaluate_batch", limited)
    assert costs() == expected and sizes == [3, 1, 2]
    most = 0
    with pytest.raises(MemoryError):
        costs()


@pytest.mark.slow
def test_a_registration_ends_as_by_numba_and_needs_no_image_of_the_cpu(device, ct, monkeypatch):
    views, anatomy = make_views(ct), PreparedCT(ct)
    start = off(TRUE_POSE, [4.0, -5, 3], [6.0, 5, -7])
    expected = refine(anatomy, views, start)
    monkeypatch.setattr(Objective, "project", None)
    monkeypatch.setattr(Scorer, "scores", None)
    found = refine(anatomy.on_device(device.name), views, start)
    assert error_mm(found.world_from_ct, expected.world_from_ct) < 0.02
    assert error_mm(found.world_from_ct) < 0.2
    assert found.candidates == expected.candidates


@pytest.fixture(params=["cpu", "cuda" if torch.cuda.is_available() else "interpreted"])
def bones_device(request, monkeypatch):
    if request.param == "cuda":
        return "cuda"
    if request.param == "interpreted":
        pytest.importorskip("triton", reason="the kernels are Triton's: pip install triton")
        from MultiViewRegistrationLib.rendering import torch_drr, triton_drr

        monkeypatch.setattr(triton_drr, "TILE", (64, 64))  # which takes fewer steps
        monkeypatch.setattr(torch_drr, "kernels_on", lambda _device: triton_drr)
    return "torch-cpu"


@pytest.mark.quick_variants("cpu")
def test_bones_the_rest_and_cameras_are_compared_as_by_numba(bones_device):
    """By wrong cameras, and their intrinsics."""
    level = LEVEL._replace(coarseness=4, settings=replace(LEVEL.settings, gradient_radius=3))
    poses = np.array([POSE @ motion for motion in [*bent_case().motions, np.eye(4)]])
    fits, costs = [], []
    for where in ("cpu", bones_device):
        rest = background(device=where)._replace(moves=True)
        objective = objective_at(rest, bent_case().views, level)
        second = misplaced(objective.views[1], [0.8, -0.6, 0.7], [2.0, 3.0, -1.5])
        cameras = [objective.views[0].camera, second.camera]
        point = EvaluationPoint(poses, cameras, intrinsics=True)
        fits.append(objective.evaluate(point).linearise())
        costs.append(objective.evaluate(EvaluationPoint(np.array([POSE] * 5), cameras)).cost())
    same_bones(fits[1], fits[0])
    assert costs[1] == pytest.approx(costs[0], rel=1e-4)
    assert len(fits[1].gradient) == 9 * 5
