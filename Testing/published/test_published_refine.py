"""The published refinements: where they arrive, sparse rays and masks, progress, cancelling, repeatability, what they refuse."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from helpers.phantom import START, TRUE_POSE, error_mm, make_views, off
from helpers.refusals import refuses
from numpy.testing import assert_array_equal

from MultiViewRegistrationLib import Cancelled
from MultiViewRegistrationLib.finding import refinement_method
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.published.refine import CUI2025, DIFFPOSE, XVR, Stage, refine

pytestmark = pytest.mark.slow

QUICK = replace(DIFFPOSE, stages=(Stage(32, 1, 3),), patch=5, patches=10)


@pytest.mark.parametrize(
    "preset, reached_mm",
    [
        (
            replace(DIFFPOSE, stages=(Stage(32, 1, 60),), patch=9, patches=40),
            2.0,
        ),  # its rates are still high
        (replace(CUI2025, stages=(Stage(64, 1, 60),), patches=40), 2.0),
        (replace(XVR, stages=(Stage(32, 1, 70), Stage(64, 2, 20)), gradient_patch=7), 0.5),
    ],
)
def test_they_come_near_the_true_pose(anatomy, views, preset, reached_mm):
    assert error_mm(START) > 9
    found = refine(anatomy, views, START, preset)
    rigid.check_rigid(found.world_from_ct, "result")
    assert error_mm(found.world_from_ct) < reached_mm
    assert min(found.fit.similarity) > 0.5


def test_a_plateau_ends_a_stage(anatomy, views):
    eager = replace(
        XVR,
        stages=(Stage(32, 1, 40),),
        gradient_patch=None,
        schedule=partial(XVR.schedule, patience=0, threshold=10.0),
    )
    found = refine(anatomy, views, START, eager)
    assert len(found.levels[0].steps) == 3  # the first sets the mark, the next two fail it


def test_learning_rates_decay_as_published(anatomy, views):
    frozen = replace(
        QUICK,
        stages=(Stage(32, 1, 6),),
        schedule=partial(DIFFPOSE.schedule, step_size=2, gamma=0.0),
    )
    moved = [step.moved_mm for step in refine(anatomy, views, START, frozen).levels[0].steps]
    assert min(moved[:2]) > 1 and max(moved[2:]) < 1e-6
    # Adam's first step is its learning rate along each of the six.
    assert moved[0] == pytest.approx(np.sqrt(3) * (7.5 + 100 * 7.5e-3), rel=1e-3)


def test_pixels_outside_the_mask_do_not_matter(anatomy, views):
    """A round field as an X-ray has it, and nonsense outside it."""
    hidden = []
    for view in views:
        rows, columns = np.indices(view.xray.valid.shape)
        valid = np.hypot(rows - 63, columns - 63) < 55
        images = [
            np.where(valid, view.xray.line_integrals, outside).astype(np.float32)
            for outside in (0, 9)
        ]
        hidden.append([replace(view, xray=XRay(image, valid)) for image in images])
    for preset in (QUICK, replace(XVR, stages=(Stage(64, 1, 3),))):
        once, again = (
            refine(anatomy, list(views), START, preset).world_from_ct
            for views in zip(*hidden, strict=True)
        )
        assert_array_equal(once, again)


def test_a_seed_determines_the_pose(anatomy, views):
    poses = [refine(anatomy, views, START, QUICK, seed=seed).world_from_ct for seed in (1, 1, 2)]
    assert_array_equal(poses[0], poses[1])
    assert not np.array_equal(poses[0], poses[2])


def test_progress_counts_pixels_and_ends_with_the_result(anatomy, views):
    """So that the time left is no fiction.

    A larger image takes longer, and of 500 iterations a plateau leaves a few dozen.
    """
    reports = []
    two_stages = replace(QUICK, stages=(Stage(32, 1, 3), Stage(64, 2, 1)))
    found = refine(anatomy, views, START, two_stages, progress=reports.append)
    assert [progress.fraction for progress in reports] == pytest.approx([0.05, 0.1, 0.15, 0.6])
    assert_array_equal(reports[-1].world_from_ct, found.world_from_ct)
    assert [(level.name, len(level.steps)) for level in found.levels] == [
        ("32 x 32 px", 3),
        ("64 x 64 px", 1),
    ]
    assert "diffpose" in reports[0].stage and 0 < reports[0].cost < 2
    reports.clear()
    refine(
        anatomy,
        views,
        START,
        replace(XVR, stages=(Stage(32, 1, 5),), gradient_patch=None),
        progress=reports.append,
    )
    assert [progress.fraction for progress in reports] == pytest.approx(
        [1 - 0.5 ** (n / 25) for n in range(1, 6)]
    )


def test_progress_that_returns_false_cancels(anatomy, views):
    calls = []
    with pytest.raises(Cancelled):
        refine(
            anatomy,
            views,
            START,
            QUICK,
            progress=lambda progress: calls.append(progress) or len(calls) < 2,
        )
    assert len(calls) == 2


def test_one_view_and_three_are_registered_too(anatomy, ct):
    for angles in (((0, 0),), ((-30, 10), (10, -10), (60, 0))):
        found = refine(anatomy, make_views(ct, angles), START, QUICK)
        assert len(found.fit.similarity) == len(angles)
        assert found.levels[0].steps[0].moved_mm > 1


def test_a_start_that_shows_nothing_is_refused(anatomy, views):
    with refuses("show nothing of the CT"):
        refine(anatomy, views, off(TRUE_POSE, [0, 0, 0], [0, 0, 900.0]), QUICK)


def test_an_xray_without_room_for_a_patch_is_refused(anatomy, views):
    chequered = np.indices((128, 128)).sum(0) // 12 % 2 == 0
    broken = [replace(view, xray=XRay(view.xray.line_integrals, chequered)) for view in views]
    with refuses(r'view "view1".*mask'):
        refine(anatomy, broken, START, replace(QUICK, stages=(Stage(128, 1, 3),), patch=13))


def test_a_missing_device_is_refused():
    with refuses("expected auto, cpu, cuda"):
        refinement_method("xvr", "abacus")
    if not torch.cuda.is_available():
        with refuses("device cuda: .*expected a device that can be used"):
            refinement_method("xvr", "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_gives_what_the_cpu_gives(anatomy, views):
    for preset in (QUICK, replace(XVR, stages=(Stage(64, 1, 5),))):
        cpu, gpu = (
            refine(anatomy, views, START, preset, device=device).world_from_ct
            for device in ("cpu", "cuda")
        )
        assert np.abs(cpu - gpu).max() < 0.05
