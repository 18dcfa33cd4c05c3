"""A real MRML scene, of slicer-core, for each test."""

import pytest
from helpers.phantom_scene import make_registration
from helpers.tiny_scene import scene, slicer_app, watch

__all__ = ["scene", "slicer_app", "two_xrays", "watch"]


@pytest.fixture
def registration(scene, ct, views):
    """Of the phantom, at its true pose."""
    return make_registration(scene, ct, views)


@pytest.fixture
def two_xrays(scene):
    """A registration with an X-ray AP, and one LAT that is mirrored."""
    from helpers.scene_rendering import add_xray

    from MultiViewRegistrationLib.mrml.registration import Registration

    made = Registration.create(scene)
    add_xray(made, "AP", 5.0)
    add_xray(made, "LAT", 95.0, mirrored=True)
    return made
