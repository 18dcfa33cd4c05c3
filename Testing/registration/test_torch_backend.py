"""Objective, descents and search by PyTorch, and bones by Triton's kernels, too, interpreted where there is no CUDA, against numba."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.bent_spine import POSE, background, bent_case
from helpers.phantom import TRUE_POSE, error_mm, make_slot_scan, make_views, masked, misplaced, off
from numpy.testing import assert_allclose, assert_array_equal

from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.registration.bone import Background, air
from MultiViewRegistrationLib.registration.bones import BonesObjective
from MultiViewRegistrationLib.registration.objective import EvaluationPoint, Objective, Scorer
from MultiViewRegistrationLib.registration.optimizer import DescentStart, descend
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.register_bones import (
    LEVEL,
    LEVELS,
    LEVELS_WITHOUT_REST,
    objective_at,
    register_bones,
)
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


def same_fits(device, *given, point=None, excluding=None):
    """What numba linearises, which is what the device does."""
    fits = []
    for maker in device.objectives:
        objective = maker(*given)
        objective = objective if excluding is None else objective.excluding(excluding)
        fits.append(objective.evaluate(point or EvaluationPoint([NEAR])).linearise())
    same_fit(fits[1], fits[0])
    return fits[0]


def same_scores(device, projector, views, settings, poses, *more, centroid=(0.0, 0, 0)):
    expected, found = (
        maker(projector, views, settings, np.array(centroid), *more).scores(poses)
        for maker in device.scorers
    )
    close(found, expected)
    return expected


@pytest.mark.quick_variants("cpu-intensity-False", "cpu-gradient-False", "cpu-both, robust-False")
@pytest.mark.parametrize("intrinsics", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SETTINGS)
def test_cost_gradient_and_hessian_are_those_of_numba(device, projector, views, name, intrinsics):
    fits, costs = [], []
    for maker in device.objectives:
        objective = maker(projector, views, SETTINGS[name], PIVOT)
        fits.append(objective.evaluate(EvaluationPoint([NEAR], intrinsics=intrinsics)).linearise())
        costs.append(objective.evaluate(EvaluationPoint([NEXT], intrinsics=intrinsics)).cost())
    assert fits[0].gradient.shape == ((9,) if intrinsics else (6,))
    same_fit(fits[1], fits[0])
    assert costs[1] == pytest.approx(costs[0], rel=1e-4)


def test_a_slot_scan_beside_a_pinhole_is_compared_as_by_numba(device, projector, ct, views):
    """By the pose and the intrinsics of both, and scored."""
    mixed = [views[0], make_slot_scan(ct, 70).pooled(2)]
    given = projector, mixed, SETTINGS["both, robust"], PIVOT
    fit = same_fits(device, *given, point=EvaluationPoint([NEAR], intrinsics=True))
    assert min(fit.similarity) > 0.2
    poses = np.stack([off(TRUE_POSE, [3.0 * n, -n, 2], [2.0 * n, 1, -n]) for n in range(6)])
    same_scores(device, projector, mixed, Settings(intensity_radius=3), poses)


def test_a_pose_at_which_nothing_can_be_compared_costs_infinitely(device, projector, views):
    objective = device.objective(projector, views, SETTINGS["intensity"], PIVOT)
    outside = EvaluationPoint([off(TRUE_POSE, [0, 0, 0], [0, 0, 500.0])])
    assert objective.evaluate(outside).linearise().cost == np.inf
    # Nothing was settled with which to compare it.
    assert objective.evaluate(EvaluationPoint([NEAR])).cost() == np.inf


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [Settings(intensity_radius=3), Settings(gradient_radius=6, silhouette_mm=6)]
)
def test_scores_are_those_of_numba(device, projector, views, settings):
    random = np.random.default_rng(2)
    drawn = [(random.uniform(-15, 15, 3), random.uniform(-40, 40, 3)) for _ in range(60)]
    poses = np.stack([off(TRUE_POSE, *each) for each in drawn])
    poses[7, :3, 3] += 400  # out of the views
    scores = same_scores(device, projector, views, settings, poses, centroid=(2.0, -1.0, 4.0))
    assert scores.shape == (2, 60) and (scores[:, 7] == 0).all() and np.ptp(scores) > 0.3


STARTS = [
    off(TRUE_POSE, [2.0, -1, 1], [2.0, 3, -1]),
    off(TRUE_POSE, [-2.0, 1, 2], [-3.0, 1, 1]),
    off(TRUE_POSE, [1.0, 3, 0], [0, -2, 3.0]),
]


@pytest.mark.slow
def test_descents_in_step_end_as_each_by_itself_and_as_by_numba(device, projector, views):
    given = projector, views, SETTINGS["both, robust"], PIVOT
    starts = [DescentStart(start) for start in STARTS]

    def ends(maker, some):
        how = {"iterations": 15, "tolerance_mm": 0.005, "centroid": np.zeros(3)}
        return descend(maker(*given), some, **how)

    in_step, on_cpu = ends(device.objective, starts), ends(Objective, starts)
    for start, end, expected in zip(starts, in_step, on_cpu, strict=True):
        (alone,) = ends(device.objective, [start])
        assert_array_equal(end.world_from_ct, alone.world_from_ct)
        assert error_mm(end.world_from_ct, expected.world_from_ct) < 0.02
        assert error_mm(expected.world_from_ct) < 0.3


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


@pytest.mark.slow
def test_pixels_that_are_left_out_are_left_out_as_by_numba(device, projector, views):
    upper = [np.indices(each.xray.valid.shape)[0] < len(each.xray.valid) // 3 for each in views]
    given = projector, views, SETTINGS["both, robust"], PIVOT
    fit, whole = same_fits(device, *given, excluding=upper), same_fits(device, *given)
    assert 0 < fit.pixels[0] < 0.8 * whole.pixels[0]


#: Not as fine as they are, which takes PyTorch minutes here.
COARSE, COARSE_WITHOUT_REST = LEVELS[0], LEVELS_WITHOUT_REST[0]._replace(coarseness=4)


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


def true_poses():
    return np.array([POSE @ motion for motion in bent_case().motions])


def objectives(device, level, *, with_rest=True, moves=False):
    """By numba and by the device."""
    found = []
    for where in ("cpu", device):
        behind = background(device=where)._replace(moves=moves)
        apart = ()
        if not with_rest:
            apart = behind.bones, [POSE] * 4
            behind = Background(air(), POSE)
        found.append(objective_at(behind, bent_case().views, level, *apart))
    return found


@pytest.mark.quick_variants("cpu-level0-True", "cpu-level1-False")
@pytest.mark.parametrize("level, with_rest", [(COARSE, True), (COARSE_WITHOUT_REST, False)])
def test_bones_are_compared_as_by_numba(bones_device, level, with_rest):
    fits, costs = [], []
    for objective in objectives(bones_device, level, with_rest=with_rest):
        fits.append(objective.evaluate(EvaluationPoint([POSE] * 4)).linearise())
        costs.append(objective.evaluate(EvaluationPoint(true_poses())).cost())
    same_bones(fits[1], fits[0])
    assert costs[1] == pytest.approx(costs[0], rel=1e-4)
    assert_allclose(fits[1].similarity, fits[0].similarity, atol=1e-4)


@pytest.mark.quick_variants("cpu")
def test_bones_the_rest_and_cameras_are_compared_as_by_numba(bones_device):
    """By wrong cameras, and their intrinsics."""
    level = LEVEL._replace(coarseness=4, settings=replace(LEVEL.settings, gradient_radius=3))
    fits = []
    for objective in objectives(bones_device, level, moves=True):
        off = misplaced(objective.views[1], [0.8, -0.6, 0.7], [2.0, 3.0, -1.5])
        cameras = [objective.views[0].camera, off.camera]
        point = EvaluationPoint(np.array([*true_poses(), POSE]), cameras, intrinsics=True)
        fits.append(objective.evaluate(point).linearise())
    same_bones(fits[1], fits[0])
    assert len(fits[1].gradient) == 9 * 5


@pytest.mark.slow
def test_bones_end_where_numba_has_them_without_an_image_by_numba(monkeypatch):
    ends = []
    for device in ("cpu", "torch-cpu"):
        behind = background(device=device)
        if behind.bones[0].device:  # but where the rest is made, and the bones are judged
            monkeypatch.setattr(BonesObjective, "cost", None)
        levels = [COARSE._replace(iterations=6)]
        ends.append(register_bones(behind, bent_case().views, levels=levels))
    for bone, mine, theirs in zip(ends[0].bones, ends[1].poses, ends[0].poses, strict=True):
        assert bone.apart(mine, theirs) < 0.02
    assert_allclose(ends[1].fit.similarity, ends[0].fit.similarity, atol=1e-3)
