"""The refinement as a whole: where it arrives, progress, cancelling, repeatability."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from phantom import START, TRUE_POSE, error_mm, off
from refusals import refuses
from scipy import ndimage

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.registration.cameras import CALIBRATED
from MultiViewRegistrationLib.registration.optimizer import MIN_CONVINCING_NCC, DescentStart
from MultiViewRegistrationLib.registration.pipeline import RegistrationPipeline, refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.refinement import Progress


@pytest.fixture(scope="module")
def plated(views):
    """Views with a plate beside the middle, which pulls the pose."""
    found = []
    for number, view in enumerate(views):
        image = view.xray.line_integrals.copy()
        plate = ndimage.gaussian_filter(np.random.default_rng(number).normal(size=image.shape), 2)
        image[20:100, 64:108] = (2.5 + 0.6 * plate / plate.std())[20:100, 64:108]
        found.append(view.with_xray(line_integrals=image))
    return found


def pipeline(anatomy, views, start=TRUE_POSE) -> RegistrationPipeline:
    return RegistrationPipeline(anatomy, views, start, lambda report: None, CALIBRATED)


def test_two_views_find_the_true_pose_and_report_progress(anatomy, views):
    reports: list[Progress] = []
    found = refine(anatomy, views, START, reports.append)
    assert error_mm(found.world_from_ct) < 0.1 and error_mm(START) > 8
    rigid.check_rigid(found.world_from_ct, "result")
    assert all(similarity > 0.9 for similarity in found.fit.similarity)
    fractions = [progress.fraction for progress in reports]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < fractions[-1] < 1
    assert_array_equal(reports[-1].world_from_ct, found.world_from_ct)
    assert "%" in str(reports[0])
    last = [step.cost for step in found.levels[-1].steps]
    assert [progress.cost for progress in reports][-len(last) :] == last


def test_what_the_ct_does_not_hold_is_left_out_of_the_last_steps(anatomy, plated):
    """The fit that is told is that of all pixels."""
    registration = pipeline(anatomy, plated)
    (best,) = registration.descend(3, [DescentStart(TRUE_POSE)])
    end = registration._without_outliers(best)
    assert error_mm(end.world_from_ct) < 0.5 * error_mm(best.world_from_ct)
    assert end.fit.pixels == best.fit.pixels
    whole = anatomy.fit(plated, end.world_from_ct, TRUE_POSE)
    assert end.fit.cost == pytest.approx(whole.cost, rel=1e-3)
    found = registration.refine_to_finest(registration.descend(1, [DescentStart(TRUE_POSE)]))
    assert found.levels[-1].name == "128 x 128 px, outliers left out"


def test_of_a_structure_or_where_all_fits_nothing_is_left_out(ct, anatomy, views, plated):
    """What lies before and behind a structure would be left out."""
    mask = (np.indices(ct.volume.values.shape)[0] > 16) & (ct.volume.values > 300)
    structure = PreparedCT(replace(ct, mask=mask))
    for registration in (pipeline(structure, plated), pipeline(anatomy, views)):
        (best,) = registration.descend(3, [DescentStart(TRUE_POSE)])
        assert registration._without_outliers(best) is None


@pytest.mark.slow
def test_a_correct_start_behind_tools_is_kept(anatomy, views):
    """Bars over a fifth of each image, twenty times as dense as the body.

    Coarse windows hold little else.
    """
    barred, (rows, columns) = [], np.indices((128, 128))
    for number, view in enumerate(views):
        image = view.xray.line_integrals.copy()
        for bar in range(4):
            away = abs(rows + (bar - 1.5 + 0.3 * number) * columns - (20 + 30 * bar))
            image[away < 4 * np.hypot(1, bar - 1.5)] += 6.0
        barred.append(view.with_xray(line_integrals=image))
    start = off(TRUE_POSE, [0.3, -0.2, 0.3], [0.4, 0.3, -0.4])
    found = refine(anatomy, barred, start)
    assert found.fit.min_similarity < MIN_CONVINCING_NCC and error_mm(found.world_from_ct) < 0.5
    registration = pipeline(anatomy, barred, start)
    ends = registration.descend(1, registration.descend(0, [DescentStart(start)]))
    assert registration.refine_to_finest(ends).fit.evidence < found.fit.evidence


@pytest.mark.parametrize(
    "shift, masked",
    [([0, 0, 300], False), ([0, 900, 0], False), ([0, 0, 300], True), ([-900, 900, 0], True)],
)
def test_a_start_beside_the_images_or_behind_a_source_is_refused(ct, views, shift, masked):
    given = replace(ct, mask=ct.volume.values > 300) if masked else ct
    with refuses("world_from_ct: "):
        refine(PreparedCT(given), views, off(TRUE_POSE, [0, 0, 0], shift))


@pytest.mark.slow
def test_a_view_with_the_ct_behind_its_source_is_ignored(anatomy, views):
    beyond = rigid.translation([0, 0, -1500])  # the source goes past the body
    turned = views[1].with_camera(camera_from_world=beyond @ views[1].camera.camera_from_world)
    found = refine(anatomy, [views[0], turned], off(TRUE_POSE, [1, 1, 2], [3, 2, -3]))
    here, true = views[0].camera.project(np.stack([found.world_from_ct, TRUE_POSE])[:, :3, 3])
    assert np.linalg.norm(here - true) < 0.2
    assert found.fit.shown[0] > 1000 and found.fit.shown[1] == 0
