"""A surface that is dropped is asked for its material, and becomes a body beside the CT."""

from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from phantom import TRUE_POSE, make_ct, write_ct_file
from presenter_host import PresenterHost, act, control, text
from tiny_scene import reopened
from two_bones import write_cone
from vtkmodules.vtkFiltersSources import vtkConeSource

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.mrml.bones import bones_of
from MultiViewRegistrationLib.session.presenters.form import visible


@pytest.fixture
def host(scene, watch, monkeypatch):
    monkeypatch.setattr(slicer, "modules", SimpleNamespace(), raising=False)
    return PresenterHost(scene)


def drop(host, *paths, material):
    """What the buttons of the question say."""
    host.files.take(paths)
    host.wait(host.files, lambda: control(host.files, "asked0.0"))
    (buttons,) = (each.children for each in visible(host.files.form()) if each.key == "asked0.row")
    before = len(host.registration.apart)
    act(host.files, f"asked0.{material}")
    host.wait(host.files, lambda: len(host.registration.apart) > before)
    return [button.label for button in buttons]


def with_ct(host, tmp_path):
    write_ct_file(tmp_path / "ct.nrrd")
    host.files.take([tmp_path / "ct.nrrd"])
    host.wait(host.presenters.ct, lambda: host.registration.ct is not None)
    host.registration.world_from_ct = TRUE_POSE


def test_an_implant_begins_where_the_ct_has_it(host, tmp_path):
    with_ct(host, tmp_path)
    middle = make_ct().centroid()
    asked = drop(host, write_cone(tmp_path / "stem.stl", middle), material=1)
    assert asked == ["Titanium", "Cobalt-chrome", "Steel", "Polyethylene", "Leave out"]
    drop(host, write_cone(tmp_path / "ct.stl", middle + 500), material=0)  # a name that is taken
    whole, stem, screw = host.session.bodies()
    assert [(each.name, each.ct.unit) for each in (whole, stem, screw)] == [
        ("", "hu"),
        ("stem", "cobalt-chrome"),
        ("ct 2", "titanium"),
    ]
    assert np.allclose(stem.world_from_ct, TRUE_POSE)
    away = rigid.transform_points(screw.world_from_ct, screw.ct.centroid())
    assert np.allclose(away, rigid.transform_points(TRUE_POSE, middle), atol=2)
    assert "ct 2 begins in the middle of the CT" in " ".join(host.session.notices.sentences)
    assert text(host.presenters.ct.bones, "apart") == "Implants: stem, ct 2."
    assert len(control(host.presenters.ct, "unit").options) == 2  # no material is the CT's


def test_an_implant_without_a_ct_is_what_is_registered(host, tmp_path):
    drop(host, write_cone(tmp_path / "stem.stl", [0, 0, 0]), material=2)
    drop(host, write_cone(tmp_path / "cup.stl", [0, 0, 0]), material=3)
    assert [body.name for body in host.session.bodies()] == ["stem", "cup"]
    assert next(each.value for each in control(host.presenters.ct, "unit").options) == "steel"


def test_implants_of_a_saved_scene_are_there_again(host, tmp_path, slicer_app):
    with_ct(host, tmp_path)
    drop(host, write_cone(tmp_path / "stem.stl", make_ct().centroid()), material=0)
    (registration,) = reopened(slicer_app, tmp_path / "scene.mrb")
    assert list(registration.apart) == list(bones_of(registration)) == ["stem"]


def test_a_model_of_the_scene_is_taken_as_a_dropped_surface(host, tmp_path, scene):
    """In Slicer's RAS."""
    with_ct(host, tmp_path)
    middle = make_ct().centroid()
    source = vtkConeSource()
    source.SetHeight(30)
    source.SetRadius(8)
    source.SetCenter(*(middle * [-1, -1, 1]))
    source.Update()
    model = scene.AddNewNodeByClass("vtkMRMLModelNode", "a/stem")
    model.SetAndObservePolyData(source.GetOutput())
    act(host.presenters.ct, "model", model.GetID())
    host.wait(host.files, lambda: control(host.files, "asked0.0"))
    act(host.files, "asked0.2")
    host.wait(host.files, lambda: host.registration.apart)
    (_whole, stem) = host.session.bodies()
    assert (stem.name, stem.ct.unit) == ("a stem", "steel")
    assert np.allclose(stem.ct.centroid()[1:], middle[1:], atol=0.2)
    assert np.allclose(stem.world_from_ct, TRUE_POSE)
