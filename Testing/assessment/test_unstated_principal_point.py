"""Principal points of which nobody says how well they are known: the pose stays, and what can be trusted of it does not."""

from dataclasses import replace

import numpy as np
import pytest
from file_io import read_json, write_json
from numpy.testing import assert_array_equal
from phantom import CORNERS, TRUE_POSE, make_views, off, write_phantom_case

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.assessment.prediction import WRONG_MM
from MultiViewRegistrationLib.assessment.uses import OVERLAY_MM
from MultiViewRegistrationLib.assessment.verdict import assess
from MultiViewRegistrationLib.geometry.fields import CALIBRATION
from MultiViewRegistrationLib.io.arrays import Body, View
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.files import JsonObject
from MultiViewRegistrationLib.io.view_record import ViewRecord
from MultiViewRegistrationLib.registration.pipeline import refine

FOCAL_PX, NEAR = 800.0, off(TRUE_POSE, [2.0, -3.0, 1.0], [4.0, 2.0, -5.0])
PRESUMED_PX = 0.003 * FOCAL_PX
UNSTATED = {**CALIBRATION, "presumed_principal_point_sd_px": PRESUMED_PX}


@pytest.fixture(scope="module")
def case_file(tmp_path_factory):
    return write_phantom_case(tmp_path_factory.mktemp("unstated"))


def case_that_says(case_file, **stated):
    """The phantom's case with this, and nothing else, said of its matrices."""
    content = read_json(case_file)
    for view in content["views"]:
        del view["principal_point_sd_px"]
        view |= stated
    path = case_file.with_name("said.json")
    write_json(path, content)
    return Case.load(path)


def codes(result):
    return [reason.code for reason in result.reasons]


def test_two_views_are_accepted_in_the_room_where_the_case_says_that_they_are_calibrated(
    case_file,
):
    said, unsaid = (
        register(case_that_says(case_file, **stated), start="given") for stated in (CALIBRATION, {})
    )
    verdicts = [
        {use: told.verdict for use, told in result.uses.items()} for result in (said, unsaid)
    ]
    assert verdicts == [
        {"overlay": "accept", "room": "accept"},
        {"overlay": "accept", "room": "check"},
    ]
    assert_array_equal(said.world_from_ct, unsaid.world_from_ct)
    assert codes(unsaid)[0] == "principal-point-unstated"
    reason = unsaid.reasons[0]
    assert "view1 and view2" in reason and "third X-ray" in reason and "mvreg calibrate" in reason
    before, after = said.assessment, unsaid.assessment
    assert after.prediction.upper95_mm > WRONG_MM > before.prediction.upper95_mm
    assert after.prediction.failure_probability > 10 * before.prediction.failure_probability
    assert after.prediction.image_failure_probability == pytest.approx(
        before.prediction.image_failure_probability
    )
    assert "2.4 px" in after.condition and "0.5 px" in before.summary
    assert "not stated how well the cameras are known" in after.summary
    assert (after.features.tension, after.features.disagreement) == (
        before.features.tension,
        before.features.disagreement,
    )


def test_the_bound_covers_what_such_a_principal_point_does_to_the_pose(anatomy, views):
    """The pose found with principal points off by as much as is presumed, along either axis."""
    presumed = [replace(view, **UNSTATED) for view in views]
    found = refine(anatomy, presumed, NEAR)
    bound_mm = assess(anatomy, presumed, found, NEAR, CORNERS).prediction.upper95_mm
    for axis in (0, 1):
        wrong = []
        for view in presumed:
            K = view.camera.intrinsics.copy()
            K[axis, 2] += PRESUMED_PX
            wrong.append(view.with_camera(intrinsics=K))
        moved = refine(anatomy, wrong, NEAR).world_from_ct
        shift = np.linalg.norm((moved - found.world_from_ct)[:3, 3])
        assert 1 < shift < bound_mm


def test_what_two_views_hide_of_it_is_no_error_of_their_overlays_and_what_they_contradict_is(
    anatomy, views
):
    """Across the axis that both share it moves the CT in the room alone, along it the CT lies between the two."""
    presumed = [replace(view, **UNSTATED) for view in views]
    limits_mm = {}
    for axis, name in ((0, "hidden"), (1, "contradicted")):
        K = presumed[0].camera.intrinsics.copy()
        K[axis, 2] += PRESUMED_PX
        wrong = [presumed[0].with_camera(intrinsics=K), presumed[1]]
        assessed = assess(anatomy, wrong, refine(anatomy, wrong, NEAR), NEAR, CORNERS)
        limits_mm[name] = assessed.appearance and assessed.appearance.upper95_mm
    assert limits_mm["hidden"] < OVERLAY_MM
    assert limits_mm["contradicted"] is None or limits_mm["contradicted"] > OVERLAY_MM


def test_a_third_view_takes_the_doubt(anatomy, ct):
    for angles, unsure in (((0, 0), (90, 0)), True), (((0, 0), (90, 0), (45, 0)), False):
        views = [replace(view, **UNSTATED) for view in make_views(ct, angles)]
        told = assess(anatomy, views, refine(anatomy, views, NEAR), NEAR, CORNERS)
        assert (told.prediction.camera_failure_probability > 0.001) == unsure
        assert ("principal-point-unstated" in [each.code for each in told.reasons]) == unsure


def test_what_is_stated_counts_and_other_geometries_have_their_own(case_file):
    assert [
        view.presumed_principal_point_sd_px for view in case_that_says(case_file).views
    ] == pytest.approx([PRESUMED_PX] * 2)
    for px in (0, 0.5, 4):
        for view in case_that_says(case_file, principal_point_sd_px=px).views:
            assert (view.principal_point_sd_px, view.presumed_principal_point_sd_px) == (px, 0)
    view = case_that_says(case_file).views[0]
    assert view.presumed.principal_point_sd_px == pytest.approx(PRESUMED_PX)
    assert view.exact().presumed.principal_point_sd_px == 0
    camera = {"camera": view.camera.to_json()}
    matrix = {"projection_matrix": view.camera.projection_matrix.tolist()}
    for geometry in (camera, matrix):
        record = ViewRecord.read(JsonObject("case.json", "", {"name": "AP", **geometry}))
        assert record.presumed == pytest.approx({"presumed_principal_point_sd_px": PRESUMED_PX})
        assert replace(record, uncertainty={"distance_sd_percent": 1.0}).presumed
        assert not replace(record, uncertainty=CALIBRATION).presumed


def test_arrays_say_it_as_cases_do(case_file):
    case = case_that_says(case_file)
    arrays = case.ct.volume.values.T, case.ct.volume.ct_from_index
    images = [np.exp(-view.xray.line_integrals) for view in case.views]
    matrices = [view.camera.projection_matrix for view in case.views]
    for stated, expected in ((None, PRESUMED_PX), (CALIBRATION, 0)):
        views = [View(*each, uncertainty=stated) for each in zip(images, matrices, strict=True)]
        made = Case.from_arrays(Body(*arrays), *views)
        assert made.views[0].presumed_principal_point_sd_px == pytest.approx(expected)
