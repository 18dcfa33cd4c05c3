"""A registration of the phantom that ended where it should, and others of it."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from helpers.phantom import CORNERS, NEAR

from MultiViewRegistrationLib.assessment.verdict import assess
from MultiViewRegistrationLib.registration.optimizer import Refinement
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT


class Registered(NamedTuple):
    """What is assessed, and of which causes are searched for."""

    anatomy: PreparedCT
    views: list
    found: Refinement
    start: np.ndarray = NEAR

    def of(self, views, **more):
        """Other X-rays, registered."""
        return self._replace(views=views, found=refine(self.anatomy, views, NEAR, **more))

    def given(self, views):
        """The same pose, with other X-rays."""
        return self._replace(views=views, found=replace(self.found, views=views))

    def at(self, pose, views=None):
        """As if a registration had ended at this pose."""
        views = views or self.views
        fit = self.anatomy.fit(views, pose, pose)
        return Registered(self.anatomy, views, Refinement(pose, fit, [], views, np.zeros(6)), pose)

    def assessed(self, targets=CORNERS, **options):
        return assess(*self, targets, **options)


@pytest.fixture(scope="session")
def registered(anatomy, views):
    return Registered(anatomy, views, None).of(views)


@pytest.fixture(scope="session")
def found(registered):
    return registered.found


@pytest.fixture(scope="session")
def assessment(registered):
    """The assessment of a correct pose."""
    return registered.assessed()
