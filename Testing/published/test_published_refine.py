"""The published refinements: where they arrive, sparse rays and masks, progress, cancelling, repeatability, what they refuse."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from helpers.phantom import START, TRUE_POSE, error_mm, off
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
    once, again = (
        refine(anatomy, list(views), START, QUICK).world_from_ct
        for views in zip(*hidden, strict=True)
    )
    assert_array_equal(once, again)


def test_a_seed_determines_the_pose(anatomy, views):
    poses = [refine(anatomy, views, START, QUICK, seed=seed).world_from_ct for seed in (1, 1, 2)]
    assert_array_equal(poses[0], poses[1])
    assert not np.array_equal(poses[0], poses[2])


def test_progress_counts_pixels_and_ends_with_the_result(anatomy, views):
    """Larger images take longer, so fractions are weighted by the number of pixels."""
    reports = []
    two_stages = replace(QUICK, stages=(Stage(32, 1, 3), Stage(64, 2, 1)))
    found = refine(anatomy, views, START, two_stages, progress=reports.append)
    assert [progress.fraction for progress in reports] == pytest.approx([0.05, 0.1, 0.15, 0.6])
    assert_array_equal(reports[-1].world_from_ct, found.world_from_ct)
    assert [(level.name, len(level.steps)) for level in found.levels] == [
        ("32 x 32 px", 3),
        ("64 x 64 px", 1),
    ]


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
