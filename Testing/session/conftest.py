"""A real MRML scene, of slicer-core, for each test."""

import pytest
from helpers.phantom_scene import phantom_registration
from helpers.running_session import new_session
from helpers.tiny_scene import scene, slicer_app, watch

__all__ = ["scene", "slicer_app", "watch"]


@pytest.fixture
def registration(scene):
    """Of the phantom, at a start."""
    return phantom_registration(scene)


@pytest.fixture
def session(registration):
    return new_session(registration)
