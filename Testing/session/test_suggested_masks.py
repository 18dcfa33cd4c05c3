"""What does not fit is left out by a mask on request; a registration with it is told from one that anybody drew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from phantom import TRUE_POSE, error_mm, off
from phantom_scene import make_registration
from running_session import ELSEWHERE, new_session

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.io.dicom_geometry import LEFT_OUT
from MultiViewRegistrationLib.session.assessment import use_suggested_masks
from MultiViewRegistrationLib.session.result_files import case_content

#: (rows, columns) of a plate with a sharp edge in the first X-ray.
TOOL = (slice(50, 82), slice(44, 76))


@pytest.fixture
def session(scene, ct, views):
    covered = views[0].xray.line_integrals.copy()
    covered[TOOL] += 1.5 * (np.indices(covered[TOOL].shape).sum(axis=0) % 16 < 8)
    views = [replace(views[0], xray=XRay(covered, views[0].xray.valid)), views[1]]
    return new_session(make_registration(scene, ct, views, off(TRUE_POSE, (1, 0, -1), (2, -1, 1))))


def test_a_tool_is_left_out_and_the_result_is_never_an_accept(session):
    with pytest.raises(InputError, match="no result of a registration, expected a pose that was"):
        use_suggested_masks(session)
    session.register("given")
    session.finish()
    assert error_mm(session.history.current.pose) < 0.3
    told = use_suggested_masks(session)
    first, second = session.registration.xrays
    assert "% of view1" in told and "view2" not in told and second.mask is None
    assert first.mask.GetName() == "view1 without what does not fit" and "stale" in session.stale_reason()
    used = session.xray(first).valid
    assert used[TOOL].mean() < 0.5 and used.mean() > 0.8

    session.register("given")
    session.finish()
    entry = session.history.current
    assert error_mm(entry.pose) < 0.3 and entry.verdict == "check"
    assert f"view1, assumed: {LEFT_OUT}" in entry.reasons
    assert (
        case_content(session)["views"][0]["assumptions"] == [LEFT_OUT]
        and "assumptions" not in case_content(session)["views"][1]
    )


def test_nothing_is_left_out_where_the_pose_was_moved_or_all_fits(scene, ct, views):
    session = new_session(make_registration(scene, ct, views, TRUE_POSE))
    session.register("given")
    session.finish()
    with pytest.raises(InputError, match="nothing differs by more than noise explains"):
        use_suggested_masks(session)
    session.registration.world_from_ct = ELSEWHERE
    with pytest.raises(InputError, match="moved by hand"):
        use_suggested_masks(session)
    assert all(view.mask is None for view in session.registration.xrays)
