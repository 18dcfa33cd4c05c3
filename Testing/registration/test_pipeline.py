"""The refinement as a whole: where it arrives, progress, cancelling, repeatability."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from phantom import TRUE_POSE, error_mm, off
from scipy import ndimage

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.registration.cameras import CALIBRATED
from MultiViewRegistrationLib.registration.optimizer import MIN_CONVINCING_NCC, DescentStart
from MultiViewRegistrationLib.registration.pipeline import Progress, RegistrationPipeline, refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT

START = off(TRUE_POSE, [3.0, -2.0, 4.0], [6.0, 5.0, -4.0])


def test_a_masked_structure_among_others_is_found(ct, views):
    k = np.indices(ct.volume.values.shape)[0]
    structure = replace(ct, mask=(k > 16) & (ct.volume.values > 300))
    found = refine(PreparedCT(structure), views, START)
    assert found.candidates > 1
    assert error_mm(found.world_from_ct) < 0.5


def test_two_views_find_the_true_pose_and_report_progress(anatomy, views):
    reports: list[Progress] = []
    found = refine(anatomy, views, START, reports.append)
    assert error_mm(found.world_from_ct) < 0.1 and error_mm(START) > 8
    rigid.check_rigid(found.world_from_ct, "result")
    assert all(similarity > 0.9 for similarity in found.fit.similarity)
    fractions = [progress.fraction for progress in reports]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < fractions[-1] < 1
    np.testing.assert_array_equal(reports[-1].world_from_ct, found.world_from_ct)
    assert "%" in str(reports[0])
    last = [step.cost for step in found.levels[-1].steps]
    assert [progress.cost for progress in reports][-len(last) :] == last


def test_what_the_ct_does_not_hold_is_left_out_of_the_last_steps(anatomy, ct, views):
    """A plate beside the middle of each image pulls the pose.

    The fit that is told is that of all pixels.
    """
    plated = []
    for number, view in enumerate(views):
        image = view.xray.line_integrals.copy()
        plate = ndimage.gaussian_filter(np.random.default_rng(number).normal(size=image.shape), 2)
        image[20:100, 64:108] = (2.5 + 0.6 * plate / plate.std())[20:100, 64:108]
        plated.append(replace(view, xray=type(view.xray)(image, view.xray.valid)))
    registration = RegistrationPipeline(anatomy, plated, TRUE_POSE, lambda report: None, CALIBRATED)
    (best,) = registration.descend(3, [DescentStart(TRUE_POSE)])
    end = registration._without_outliers(best)
    assert error_mm(end.world_from_ct) < 0.5 * error_mm(best.world_from_ct)
    assert end.fit.pixels == best.fit.pixels
    assert end.fit.cost == pytest.approx(
        anatomy.fit(plated, end.world_from_ct, TRUE_POSE).cost, rel=1e-3
    )
    found = registration.refine_to_finest(registration.descend(1, [DescentStart(TRUE_POSE)]))
    assert found.levels[-1].name == "128 x 128 px, outliers left out"
    structure = PreparedCT(
        replace(ct, mask=(np.indices(ct.volume.values.shape)[0] > 16) & (ct.volume.values > 300))
    )
    alone = RegistrationPipeline(structure, plated, TRUE_POSE, lambda report: None, CALIBRATED)
    assert alone._without_outliers(best) is None, "what lies before and behind it would be left out"
    clean = RegistrationPipeline(anatomy, views, TRUE_POSE, lambda report: None, CALIBRATED)
    assert clean._without_outliers(clean.descend(3, [DescentStart(TRUE_POSE)])[0]) is None


@pytest.mark.slow
def test_a_correct_start_behind_tools_is_kept(anatomy, views):
    """Bars over a fifth of each image, twenty times as dense as the body.

    Coarse windows hold little else.
    """
    barred = []
    for number, view in enumerate(views):
        image = view.xray.line_integrals.copy()
        rows, columns = np.indices(image.shape)
        for bar in range(4):
            image[
                abs(rows + (bar - 1.5 + 0.3 * number) * columns - (20 + 30 * bar))
                < 4 * np.hypot(1, bar - 1.5)
            ] += 6.0
        barred.append(replace(view, xray=type(view.xray)(image, view.xray.valid)))
    assert (
        0.15
        < np.mean(
            [
                np.mean(a.xray.line_integrals != b.xray.line_integrals)
                for a, b in zip(views, barred, strict=True)
            ]
        )
        < 0.4
    )
    start = off(TRUE_POSE, [0.3, -0.2, 0.3], [0.4, 0.3, -0.4])
    found = refine(anatomy, barred, start)
    assert found.fit.min_similarity < MIN_CONVINCING_NCC and error_mm(found.world_from_ct) < 0.5
    registration = RegistrationPipeline(anatomy, barred, start, lambda report: None, CALIBRATED)
    coarse = registration.refine_to_finest(
        registration.descend(1, registration.descend(0, [DescentStart(start)]))
    )
    assert coarse.fit.evidence < found.fit.evidence


@pytest.mark.parametrize("structure", [False, True])
@pytest.mark.parametrize(
    "shift",
    [[0, 0, 300], [0, 900, 0], [-900, 900, 0]],
    ids=["beside the images", "behind a source", "behind both"],
)
def test_a_start_beside_the_images_or_behind_a_source_is_refused(ct, views, shift, structure):
    k = np.indices(ct.volume.values.shape)[0]
    anatomy = PreparedCT(replace(ct, mask=(k > 16) & (ct.volume.values > 300)) if structure else ct)
    with pytest.raises(InputError, match="world_from_ct: "):
        refine(anatomy, views, off(TRUE_POSE, [0, 0, 0], shift))


@pytest.mark.slow
def test_a_view_with_the_ct_behind_its_source_is_ignored(anatomy, ct, views):
    camera = views[1].camera
    beyond = rigid.from_rotation_translation(
        np.eye(3), [0, 0, -1500]
    )  # the source goes past the body
    turned = replace(
        views[1], camera=replace(camera, camera_from_world=beyond @ camera.camera_from_world)
    )
    assert turned.camera.depth(TRUE_POSE[:3, 3]) < 0
    found = refine(anatomy, [views[0], turned], off(TRUE_POSE, [1, 1, 2], [3, 2, -3]))
    pixels = views[0].camera.project(np.stack([found.world_from_ct[:3, 3], TRUE_POSE[:3, 3]]))
    assert np.linalg.norm(pixels[0] - pixels[1]) < 0.2
    assert found.fit.shown[0] > 1000 and found.fit.shown[1] == 0


@pytest.mark.slow
def test_a_far_start_begins_a_search_around_it(anatomy, views):
    far = off(TRUE_POSE, [20.0, 20.0, 20.0], [30.0, 30.0, 10.0])
    assert error_mm(refine(anatomy, views, far).world_from_ct) < 0.5
