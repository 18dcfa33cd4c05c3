"""The CT's bone in the 3D view, on slicer-core's own volume rendering."""

from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from helpers.hosts import IN_SLICER
from helpers.phantom_scene import remove
from helpers.tiny_scene import registration_of

from MultiViewRegistrationLib.mrml import ct_3d
from MultiViewRegistrationLib.mrml.loading import volume_node


@pytest.fixture
def rendering(slicer_app, monkeypatch):
    """Slicer's module Volume Rendering."""
    if IN_SLICER:
        return slicer.modules.volumerendering.logic()
    logic = slicer_app.volume_rendering._logic
    monkeypatch.setattr(
        slicer,
        "modules",
        SimpleNamespace(volumerendering=SimpleNamespace(logic=lambda: logic)),
        raising=False,
    )
    return logic


def volume(scene, name):
    return volume_node(scene, name, np.zeros((4, 5, 6), np.int16), np.diag([2, 2, 3, 1.0]))


@pytest.fixture
def registration(scene):
    made = registration_of(scene)
    made.ct = volume(scene, "CT")
    return made


def test_a_ct_without_bone_has_an_empty_surface_and_no_warning_in_slicers_log(registration, capfd):
    assert ct_3d.take_surface(registration)().GetNumberOfPoints() == 0
    assert "No data to smooth" not in capfd.readouterr().err


def rendered(scene):
    """The names of the volumes that are shown in 3D."""
    nodes = slicer.util.getNodesByClass("vtkMRMLVolumeRenderingDisplayNode", scene)
    return [node.GetVolumeNode().GetName() for node in nodes if node.GetVisibility()]


def test_bone_is_shown_and_hidden(scene, registration, rendering):
    assert ct_3d.can_show_volume(registration) and not ct_3d.volume_is_shown(registration)
    ct_3d.show_volume(registration, False)
    assert rendered(scene) == []
    ct_3d.show_volume(registration)
    opacity = (
        rendering.GetFirstVolumeRenderingDisplayNode(registration.ct)
        .GetVolumePropertyNode()
        .GetScalarOpacity()
    )
    assert opacity.GetValue(-500) == opacity.GetValue(0) == 0 and opacity.GetValue(600) > 0.5  # HU
    assert ct_3d.volume_is_shown(registration) and rendered(scene) == ["CT"]
    ct_3d.show_volume(registration, False)
    ct_3d.show_volume(registration)
    assert rendered(scene) == ["CT"]


def test_what_a_person_has_set_up_stays(scene, registration, rendering):
    display = rendering.CreateDefaultVolumeRenderingNodes(registration.ct)
    display.SetVisibility(False)
    before = display.GetVolumePropertyNode().GetScalarOpacity().GetValue(600)
    assert rendered(scene) == []
    ct_3d.show_volume(registration)
    assert (
        rendered(scene) == ["CT"]
        and display.GetVolumePropertyNode().GetScalarOpacity().GetValue(600) == before
    )
    remove(registration)
    assert scene.IsNodePresent(display)


def test_another_ct_takes_its_place(scene, registration, rendering):
    ct_3d.show_volume(registration)
    registration.ct = volume(scene, "Other")
    ct_3d.update_volume(registration)
    assert rendered(scene) == ["Other"]
    ct_3d.update_volume(registration)
    assert (
        rendered(scene) == ["Other"]
        and scene.GetNumberOfNodesByClass("vtkMRMLVolumePropertyNode") == 1
    )


def test_without_a_ct_or_volume_rendering_it_is_nothing(scene, registration, monkeypatch):
    monkeypatch.setattr(slicer, "modules", SimpleNamespace(), raising=False)
    assert not ct_3d.can_show_volume(registration)
    ct_3d.show_volume(registration)
    ct_3d.update_volume(registration)
    assert rendered(scene) == []
