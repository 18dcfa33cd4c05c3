"""Several bones compared by PyTorch, on the processor and by Triton's kernels, interpreted there, against those of numba."""

from dataclasses import replace

import numpy as np
import pytest
from bent_spine import POSE, anatomy, bent_case, structures
from numpy.testing import assert_allclose
from phantom import misplaced

from MultiViewRegistrationLib.registration.bone import bones_of, ties_of
from MultiViewRegistrationLib.registration.bones import BonesObjective
from MultiViewRegistrationLib.registration.objective import EvaluationPoint
from MultiViewRegistrationLib.registration.register_bones import (
    LEVEL,
    LEVELS,
    LEVELS_WITHOUT_REST,
    objective_at,
    register_bones,
)

torch = pytest.importorskip("torch", reason="it is in PyTorch: pip install torch")

#: Not as fine as they are, which takes PyTorch minutes here.
COARSE, COARSE_WITHOUT_REST = LEVELS[0], LEVELS_WITHOUT_REST[0]._replace(coarseness=4)


@pytest.fixture(params=["cpu", "cuda" if torch.cuda.is_available() else "interpreted"])
def device(request, monkeypatch):
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


def objectives(device, level, *, with_rest=True, moving_rest=False):
    """By numba and by the device."""
    found = []
    for whole in (anatomy(), anatomy().on_device(device)):
        bones, rest = bones_of(structures(), whole), whole if with_rest else None
        given = rest, bones, bent_case().views, POSE, ties_of(bones), level
        found.append(objective_at(*given, moving_rest=moving_rest))
    return found


def same(mine, theirs):
    """To 1e-4, a gradient in terms of what its Hessian and the cost allow it to be."""
    assert mine.pixels == theirs.pixels
    assert mine.cost == pytest.approx(theirs.cost, rel=1e-4)
    assert_allclose(mine.shown, theirs.shown, atol=1e-3)
    for (gradient, hessian), (expected, system) in zip(mine.by_view, theirs.by_view, strict=True):
        scale = np.sqrt(np.maximum(np.diag(system), 1e-9))
        off = (gradient - expected) / scale
        assert_allclose(off, 0, atol=1e-4 * np.sqrt(theirs.cost))
        assert_allclose((hessian - system) / np.outer(scale, scale), 0, atol=1e-4)


@pytest.mark.parametrize("level, with_rest", [(COARSE, True), (COARSE_WITHOUT_REST, False)])
def test_bones_are_compared_as_by_numba(device, level, with_rest):
    fits, costs = [], []
    for objective in objectives(device, level, with_rest=with_rest):
        fits.append(objective.evaluate(EvaluationPoint([POSE] * 4)).linearise())
        costs.append(objective.evaluate(EvaluationPoint(true_poses())).cost())
    same(fits[1], fits[0])
    assert costs[1] == pytest.approx(costs[0], rel=1e-4)
    assert_allclose(fits[1].similarity, fits[0].similarity, atol=1e-4)


def test_bones_the_rest_and_cameras_are_compared_as_by_numba(device):
    """By wrong cameras, and their intrinsics."""
    level = LEVEL._replace(coarseness=4, settings=replace(LEVEL.settings, gradient_radius=3))
    fits = []
    for objective in objectives(device, level, moving_rest=True):
        off = misplaced(objective.views[1], [0.8, -0.6, 0.7], [2.0, 3.0, -1.5])
        cameras = [objective.views[0].camera, off.camera]
        point = EvaluationPoint(np.array([*true_poses(), POSE]), cameras, intrinsics=True)
        fits.append(objective.evaluate(point).linearise())
    same(fits[1], fits[0])
    assert len(fits[1].gradient) == 9 * 5


def test_bones_end_where_numba_has_them_without_an_image_by_numba(monkeypatch):
    ends = []
    for whole in (anatomy(), anatomy().on_device("torch-cpu")):
        bones = bones_of(structures(), whole)
        if bones[0].device:  # but where the rest is made, and the bones are judged
            monkeypatch.setattr(BonesObjective, "cost", None)
        levels = [COARSE._replace(iterations=6)]
        ends.append(register_bones(whole, bones, bent_case().views, POSE, levels=levels))
    for bone, mine, theirs in zip(ends[0].bones, ends[1].poses, ends[0].poses, strict=True):
        assert bone.apart(mine, theirs) < 0.02
    assert_allclose(ends[1].fit.similarity, ends[0].fit.similarity, atol=1e-3)
