"""Objective, descents and search by PyTorch, on the processor and on CUDA where there is one, against those of numba."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from phantom import TRUE_POSE, error_mm, make_ct, make_slot_scan, make_views, off

from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.registration.objective import EvaluationPoint, Objective
from MultiViewRegistrationLib.registration.optimizer import DescentStart, descend
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.similarity import Scorer, Settings
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
    """What makes objectives and scorers there, and its name."""
    from MultiViewRegistrationLib.registration.torch_backend import TorchObjective, TorchScorer

    return SimpleNamespace(
        objective=partial(TorchObjective, device=request.param),
        scorer=partial(TorchScorer, device=request.param),
        name={"cpu": "torch-cpu"}.get(request.param, request.param),
    )


@pytest.fixture(scope="module")
def ct():
    return make_ct()


@pytest.fixture(scope="module")
def projector(ct):
    return Projector(attenuation(ct))


@pytest.fixture(scope="module")
def views(ct):
    """Two of different sizes, the first with a collimator."""
    first, second = make_views(ct, size=64)
    valid = first.xray.valid.copy()
    valid[:, :9] = valid[50:] = False
    return [
        replace(first, xray=XRay(first.xray.line_integrals, valid)),
        second.cropped(3, 5, 52, 48),
    ]


def same_fit(mine, theirs):
    """To 1e-4, a gradient in terms of what its Hessian and the cost allow it to be."""
    assert mine.pixels == theirs.pixels and mine.shown == theirs.shown
    assert mine.cost == pytest.approx(theirs.cost, rel=1e-4)
    assert mine.similarity == pytest.approx(theirs.similarity, rel=1e-4)
    assert mine.sharpness == pytest.approx(theirs.sharpness, rel=1e-3)
    same_system((mine.gradient, mine.hessian), (theirs.gradient, theirs.hessian), theirs.cost)
    for of_view, expected in zip(mine.by_view, theirs.by_view, strict=True):
        same_system(of_view, expected, theirs.cost)


def same_system(mine, theirs, cost):
    scale = np.sqrt(np.diag(theirs[1]))
    np.testing.assert_allclose(
        mine[0] / scale, theirs[0] / scale, rtol=0, atol=1e-4 * np.sqrt(cost)
    )
    np.testing.assert_allclose(
        mine[1] / np.outer(scale, scale), theirs[1] / np.outer(scale, scale), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("intrinsics", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SETTINGS)
def test_cost_gradient_and_hessian_are_those_of_numba(device, projector, views, name, intrinsics):
    on_cpu, on_device = (
        Objective(projector, views, SETTINGS[name], PIVOT),
        device.objective(projector, views, SETTINGS[name], PIVOT),
    )
    fits, costs = [], []
    for objective in (on_cpu, on_device):
        fits.append(objective.evaluate(EvaluationPoint(NEAR, intrinsics=intrinsics)).linearise())
        costs.append(objective.evaluate(EvaluationPoint(NEXT, intrinsics=intrinsics)).cost())
    assert fits[0].gradient.shape == ((9,) if intrinsics else (6,))
    same_fit(fits[1], fits[0])
    assert costs[1] == pytest.approx(costs[0], rel=1e-4)


def test_a_slot_scan_beside_a_pinhole_is_compared_as_by_numba(device, projector, ct, views):
    """By the pose and the intrinsics of both, and scored."""
    mixed = [views[0], make_slot_scan(ct, 70).pooled(2)]
    settings, point = SETTINGS["both, robust"], EvaluationPoint(NEAR, intrinsics=True)
    fits = [
        maker(projector, mixed, settings, PIVOT).evaluate(point).linearise()
        for maker in (Objective, device.objective)
    ]
    assert min(fits[0].similarity) > 0.2
    same_fit(fits[1], fits[0])
    poses = np.stack([off(TRUE_POSE, [3.0 * n, -n, 2], [2.0 * n, 1, -n]) for n in range(6)])
    scored = [
        maker(projector, mixed, Settings(intensity_radius=3), np.zeros(3)).scores(poses)
        for maker in (Scorer, device.scorer)
    ]
    np.testing.assert_allclose(scored[1], scored[0], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_what_is_added_to_the_drrs_is_as_by_numba(device, projector, views):
    settings = SETTINGS["a structure"]
    rest = [
        projector.render(view.camera, off(TRUE_POSE, [0, 30, 0], [5, 0, 5])).image for view in views
    ]
    fits, costs = [], []
    for objective in (
        maker(projector, views, settings, PIVOT, rest).with_pivot(PIVOT)
        for maker in (Objective, device.objective)
    ):
        fits.append(objective.evaluate(EvaluationPoint(NEAR)).linearise())
        costs.append(objective.evaluate(EvaluationPoint(NEXT)).cost())
    same_fit(fits[1], fits[0])
    assert costs[1] == pytest.approx(costs[0], rel=1e-4)
    without = (
        Objective(projector, views, settings, PIVOT).evaluate(EvaluationPoint(NEAR)).linearise()
    )
    assert fits[0].cost != pytest.approx(without.cost, rel=0.01)
    poses = np.stack([off(TRUE_POSE, [0, 0, 0], [2.0 * n, 0, 0]) for n in range(5)])
    scored = [
        maker(projector, views, settings, np.zeros(3), rest).scores(poses)
        for maker in (Scorer, device.scorer)
    ]
    np.testing.assert_allclose(scored[1], scored[0], rtol=0, atol=1e-4)


def test_a_pose_at_which_nothing_can_be_compared_costs_infinitely(device, projector, views):
    objective = device.objective(projector, views, SETTINGS["intensity"], PIVOT)
    assert (
        objective.evaluate(EvaluationPoint(off(TRUE_POSE, [0, 0, 0], [0, 0, 500.0])))
        .linearise()
        .cost
        == np.inf
    )
    assert (
        objective.evaluate(EvaluationPoint(NEAR)).cost() == np.inf
    )  # nothing was settled with which to compare it


@pytest.mark.parametrize(
    "settings", [Settings(intensity_radius=3), Settings(gradient_radius=6, silhouette_mm=6)]
)
def test_scores_are_those_of_numba(device, projector, views, settings):
    random = np.random.default_rng(2)
    poses = np.stack(
        [off(TRUE_POSE, random.uniform(-15, 15, 3), random.uniform(-40, 40, 3)) for _ in range(60)]
    )
    poses[7, :3, 3] += 400  # out of the views
    centroid = np.array([2.0, -1.0, 4.0])
    expected = Scorer(projector, views, settings, centroid).scores(poses)
    scores = device.scorer(projector, views, settings, centroid).scores(poses)
    assert scores.shape == (2, 60) and (expected[:, 7] == 0).all() and np.ptp(expected) > 0.3
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4)


STARTS = [
    off(TRUE_POSE, turn, shift)
    for turn, shift in (
        ([2.0, -1, 1], [2.0, 3, -1]),
        ([-2.0, 1, 2], [-3.0, 1, 1]),
        ([1.0, 3, 0], [0, -2, 3.0]),
    )
]


@pytest.mark.slow
def test_descents_in_step_end_as_each_by_itself_and_as_by_numba(device, projector, views):
    settings, how = (
        SETTINGS["both, robust"],
        {"iterations": 15, "tolerance_mm": 0.005, "centroid": np.zeros(3)},
    )
    starts = [DescentStart(start) for start in STARTS]
    in_step = descend(device.objective(projector, views, settings, PIVOT), starts, **how)
    on_cpu = descend(Objective(projector, views, settings, PIVOT), starts, **how)
    for start, end, expected in zip(starts, in_step, on_cpu, strict=True):
        (alone,) = descend(device.objective(projector, views, settings, PIVOT), [start], **how)
        np.testing.assert_array_equal(end.world_from_ct, alone.world_from_ct)
        assert error_mm(end.world_from_ct, expected.world_from_ct) < 0.02
        assert error_mm(expected.world_from_ct) < 0.3


def test_too_little_memory_makes_smaller_batches_and_at_last_a_memory_error(
    device, projector, views, monkeypatch
):
    from MultiViewRegistrationLib.registration import torch_backend

    looks, sizes, most = torch_backend._evaluate_batch, [], 2

    def limited(pairs):
        sizes.append(len(pairs))
        if len(pairs) > most:
            raise (
                RuntimeError("CUDA error: out of memory")
                if most
                else torch.OutOfMemoryError("Tried to allocate too much.")
            )
        return looks(pairs)

    first = device.objective(projector, views, SETTINGS["intensity"], PIVOT)
    asked = [EvaluationPoint(start) for start in STARTS]
    expected = [
        look.linearise().cost
        for look in first.evaluate_together([first.with_pivot(PIVOT) for _ in STARTS], asked)
    ]
    monkeypatch.setattr(torch_backend, "_evaluate_batch", limited)
    assert [
        look.linearise().cost
        for look in first.evaluate_together([first.with_pivot(PIVOT) for _ in STARTS], asked)
    ] == expected
    assert sizes == [3, 1, 2]
    most = 0
    with pytest.raises(MemoryError):
        first.evaluate_together([first.with_pivot(PIVOT) for _ in STARTS], asked)


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


@pytest.mark.slow
def test_pixels_that_are_left_out_are_left_out_as_by_numba(device, projector, views):
    settings = SETTINGS["both, robust"]
    pixels = [
        np.indices(view.xray.valid.shape)[0] < view.xray.valid.shape[0] // 3 for view in views
    ]
    fits = [
        maker(projector, views, settings, PIVOT)
        .excluding(pixels)
        .evaluate(EvaluationPoint(NEAR))
        .linearise()
        for maker in (Objective, device.objective)
    ]
    same_fit(fits[1], fits[0])
    assert (
        0
        < fits[0].pixels[0]
        < 0.8
        * Objective(projector, views, settings, PIVOT)
        .evaluate(EvaluationPoint(NEAR))
        .linearise()
        .pixels[0]
    )
