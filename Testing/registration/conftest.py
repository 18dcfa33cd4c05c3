"""The phantom as a CT ready for registration, and two views of it."""

from __future__ import annotations

import pytest
from phantom import make_ct, make_views

from MultiViewRegistrationLib.registration.anatomy import Anatomy


@pytest.fixture(scope="session")
def ct():
    return make_ct()


@pytest.fixture(scope="session")
def anatomy(ct):
    return Anatomy(ct)


@pytest.fixture(scope="session")
def views(ct):
    return make_views(ct)
