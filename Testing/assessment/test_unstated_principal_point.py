"""Principal points of which nobody says how well they are known: the pose stays, and what can be trusted of it does not."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.file_io import read_json
from helpers.phantom import decentred, make_views
from helpers.program import changed
from numpy.testing import assert_array_equal

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.assessment.records import WRONG_MM
from MultiViewRegistrationLib.geometry.fields import CALIBRATION
from MultiViewRegistrationLib.io.arrays import Body, View
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.files import JsonObject
from MultiViewRegistrationLib.io.view_record import ViewRecord

PRESUMED_PX = 0.003 * 800
UNSTATED = {**CALIBRATION, "presumed_principal_point_sd_px": PRESUMED_PX}


@pytest.fixture
def case_that_says(case_file, tmp_path):
    """A function: the phantom's case with this, and nothing else, said of its matrices."""

    def load(**stated):
        views = read_json(changed(case_file, tmp_path))["views"]
        for view in views:
            del view["principal_point_sd_px"]
            view |= stated
        return Case.load(changed(case_file, tmp_path, views=views))

    return load


@pytest.mark.slow
def test_position_by_two_views_is_accepted_if_the_case_states_their_calibration(
    case_that_says,
):
    said, unsaid = (
        register(case_that_says(**stated), start="given") for stated in (CALIBRATION, {})
    )
    verdicts = [
        {use: told.verdict for use, told in result.uses.items()} for result in (said, unsaid)
    ]
    assert verdicts == [
        {"overlay": "accept", "position": "accept"},
        {"overlay": "accept", "position": "check"},
    ]
    assert_array_equal(said.world_from_ct, unsaid.world_from_ct)
    limiting = [finding for finding in unsaid.findings if finding.severity]
    assert limiting[0].code == "principal-point-unstated"
    before, after = said.assessment, unsaid.assessment
    bounds_mm = [each.errors["position"].upper95_mm for each in (before, after)]
    assert bounds_mm[0] < WRONG_MM < bounds_mm[1]
    assert after.risk > 10 * before.risk


@pytest.mark.slow
def test_the_bound_covers_what_such_a_principal_point_does_to_the_pose(registered, views):
    """The pose found with principal points off by as much as is presumed, along either axis."""
    presumed = [replace(view, **UNSTATED) for view in views]
    right = registered.of(presumed)
    bound_mm = right.assessed().errors["position"].upper95_mm
    for aside in ((0, PRESUMED_PX), (PRESUMED_PX, 0)):
        moved = registered.of([decentred(view, *aside) for view in presumed]).found
        shift = np.linalg.norm((moved.world_from_ct - right.found.world_from_ct)[:3, 3])
        assert 1 < shift < bound_mm


@pytest.mark.slow
def test_what_two_views_hide_of_it_is_no_error_of_their_overlays_and_what_they_contradict_is(
    registered, views
):
    """Across the axis that both share it moves the CT without changing the overlay, along it the CT lies between the two."""
    first, second = (replace(view, **UNSTATED) for view in views)
    hidden, contradicted = (
        registered.of([decentred(first, *aside), second]).assessed().errors["overlay"]
        for aside in ((0, PRESUMED_PX), (PRESUMED_PX, 0))
    )
    assert hidden.upper95_mm < WRONG_MM
    assert contradicted is None or contradicted.upper95_mm > WRONG_MM


@pytest.mark.slow
def test_a_third_view_takes_the_doubt(registered, ct):
    for angles, unsure in (((0, 0), (90, 0)), True), (((0, 0), (90, 0), (45, 0)), False):
        views = [replace(view, **UNSTATED) for view in make_views(ct, angles)]
        assessment = registered.of(views).assessed()
        assert (assessment.evidence.risk.camera_failure > 0.001) == unsure
        assert assessment.has("principal-point-unstated") == unsure


def test_what_is_stated_counts_and_other_geometries_have_their_own(case_that_says):
    for view in case_that_says(principal_point_sd_px=0.5).views:
        assert (view.principal_point_sd_px, view.presumed_principal_point_sd_px) == (0.5, 0)
    for view in case_that_says().views:
        assert view.presumed_principal_point_sd_px == pytest.approx(PRESUMED_PX)
    assert view.presumed.principal_point_sd_px == pytest.approx(PRESUMED_PX)
    assert view.exact().presumed.principal_point_sd_px == 0
    camera = {"camera": view.camera.to_json()}
    matrix = {"projection_matrix": view.camera.projection_matrix.tolist()}
    for geometry in (camera, matrix):
        record = ViewRecord.read(JsonObject("case.json", "", {"name": "AP", **geometry}))
        assert record.presumed == pytest.approx({"presumed_principal_point_sd_px": PRESUMED_PX})
        assert replace(record, uncertainty={"distance_sd_percent": 1.0}).presumed
        assert not replace(record, uncertainty=CALIBRATION).presumed


def test_arrays_say_it_as_cases_do(case_that_says):
    case = case_that_says()
    arrays = case.ct.volume.values.T, case.ct.volume.ct_from_index
    images = [np.exp(-view.xray.line_integrals) for view in case.views]
    matrices = [view.camera.projection_matrix for view in case.views]
    for stated, expected in ((None, PRESUMED_PX), (CALIBRATION, 0)):
        views = [View(*each, uncertainty=stated) for each in zip(images, matrices, strict=True)]
        made = Case.from_arrays(Body(*arrays), *views)
        assert made.views[0].presumed_principal_point_sd_px == pytest.approx(expected)
