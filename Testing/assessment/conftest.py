"""A registration of the phantom that ended where it should."""

from __future__ import annotations

import numpy as np
import pytest
from phantom import TRUE_POSE, off

from MultiViewRegistrationLib.assessment.verdict import Assessment, assess
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.refinement import Refinement

NEAR = off(TRUE_POSE, [2.0, -3.0, 1.0], [4.0, 2.0, -5.0])


@pytest.fixture(scope="session")
def near() -> np.ndarray:
    """(4, 4): the start of `found`."""
    return NEAR


@pytest.fixture(scope="session")
def found(anatomy, views) -> Refinement:
    return refine(anatomy, views, NEAR)


@pytest.fixture(scope="session")
def told(anatomy, views, found) -> Assessment:
    """What is said of `found`, in which nothing is wrong."""
    return assess(anatomy, views, found, NEAR)


@pytest.fixture(scope="session")
def unrefined():
    """A function: a pose as if a registration had ended there."""
    return lambda anatomy, views, pose: Refinement(
        pose, anatomy.fit(views, pose, pose), [], list(views), np.zeros(6)
    )
