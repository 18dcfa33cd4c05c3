"""One view alone: its verdict is at best "check", and the interval along its beam holds the true depth error over several poses."""

from dataclasses import replace

import numpy as np
import pytest

from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.assessment.verdict import assess
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT

CASES = ("pelvis-lateral", "pelvis-oblique-1", "pelvis-oblique-2")


@pytest.fixture(scope="module")
def singles(shared_data):
    """Of each X-ray of the cases by itself.

    Its assessment, and its true errors along and across its beam, root mean square, mm.
    """
    case, rows = None, []
    for name in CASES:
        case = Case.load(shared_data / "sim" / name, case)
        anatomy = rows[0][0] if rows else PreparedCT(case.ct)
        for view in case.views:
            view = replace(view, presumed_principal_point_sd_px=0.0)  # measured where it was taken
            found = refine(anatomy, [view], case.world_from_ct)
            reported = assess(anatomy, [view], found, case.world_from_ct, case.targets)
            split = metrics.split_by_view(
                view.camera, found.world_from_ct, case.truth_world_from_ct, case.targets
            )
            rows.append(
                (
                    anatomy,
                    reported,
                    *(
                        float(np.sqrt(np.mean(each**2)))
                        for each in (split.depth_mm, split.in_plane_mm)
                    ),
                )
            )
    return rows


@pytest.mark.slow
def test_no_single_view_is_accepted(singles):
    assert len(singles) == 6
    for _, reported, *_ in singles:
        assert reported.verdict in ("check", "reject")
        assert (
            "Only one X-ray determines the pose: the depth along its beam is uncertain."
            in reported.reasons
        )


@pytest.mark.slow
def test_the_depth_is_within_its_interval(singles):
    held = [depth <= reported.splits[0].depth_mm for _, reported, depth, _ in singles]
    assert sum(held) >= 5, [
        (depth, reported.splits[0].depth_mm) for _, reported, depth, _ in singles
    ]
    # Honest, not merely wide: the depth is reported as worse than what lies across the beam, as it
    # is.
    assert all(
        reported.splits[0].depth_mm > reported.splits[0].in_plane_mm for _, reported, *_ in singles
    )
    assert np.median([depth for *_, depth, _ in singles]) > np.median(
        [across for *_, across in singles]
    )
    assert np.median([reported.splits[0].depth_mm for _, reported, *_ in singles]) < 10
