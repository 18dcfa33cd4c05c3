"""A host with the phantom, in a real MRML scene."""

import pytest
from helpers.phantom_scene import START, phantom_registration
from helpers.tiny_scene import scene, slicer_app, watch
from presenter_host import PresenterHost

from MultiViewRegistrationLib.session.presenters import geometry

__all__ = ["host", "scene", "slicer_app", "watch"]


@pytest.fixture
def host(scene):
    """With the phantom and its two X-rays, view1 and view2, the CT at START."""
    return PresenterHost(scene, phantom_registration(scene, world_from_ct=START))


@pytest.fixture
def no_picture(monkeypatch):
    """The table of geometries does not draw the C-arm, which takes longer than most tests."""
    monkeypatch.setattr(geometry, "machine_figure", lambda *drawn: None)
    monkeypatch.setattr(geometry, "svg_text", lambda figure: "")
