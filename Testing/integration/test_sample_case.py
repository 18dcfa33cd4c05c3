"""The sample that comes with the Slicer extension, its X-rays by another simulator (RTK).

Registered as a user's first case.
"""

import pytest

from MultiViewRegistrationLib import register


@pytest.mark.parametrize("start", [pytest.param("given", marks=pytest.mark.slow), "search"])
def test_the_sample_is_registered(sample, start):
    result = register(sample, start=start)
    assert result.errors.mtre_mm < 0.1
    assert result.reasons == []
