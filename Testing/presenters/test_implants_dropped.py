"""A surface that is dropped is asked for its material, and becomes a body beside the CT."""

from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from helpers.phantom import TRUE_POSE, make_ct, write_ct_file
from helpers.phantom_scene import settle
from helpers.scene_rendering import ball
from helpers.tiny_scene import reopened
from helpers.two_bones import write_cone
from presenter_host import PresenterHost, act, answer, answers, control

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Structures
from MultiViewRegistrationLib.mrml.ct_3d import bones_of, put_bones
from MultiViewRegistrationLib.mrml.image import structures_node
from MultiViewRegistrationLib.session.assessment import reason_not_to_use, verdict


@pytest.fixture
def host(scene, watch, monkeypatch):
    monkeypatch.setattr(slicer, "modules", SimpleNamespace(), raising=False)
    return PresenterHost(scene)


def drop(host, *paths, material):
    """What the buttons of the question say."""
    host.files.take(paths)
    host.wait(host.files, lambda: answers(host.files))
    asked = [each.label for each in answers(host.files)]
    before = len(host.registration.apart)
    answer(host.files, material)
    host.wait(host.files, lambda: len(host.registration.apart) > before)
    return asked


def with_ct(host, tmp_path):
    write_ct_file(tmp_path / "ct.nrrd")
    host.files.take([tmp_path / "ct.nrrd"])
    host.wait(host.presenters.ct, lambda: host.registration.ct is not None)
    host.registration.world_from_ct = TRUE_POSE


@pytest.fixture
def with_stem(host, tmp_path):
    """The file of a stem of titanium that was dropped on a CT."""
    with_ct(host, tmp_path)
    stem = write_cone(tmp_path / "stem.stl", make_ct().centroid())
    drop(host, stem, material=0)
    return stem


def test_implant_starts_where_the_ct_shows_it(host, tmp_path):
    with_ct(host, tmp_path)
    middle = make_ct().centroid()
    materials = drop(host, write_cone(tmp_path / "stem.stl", middle), material=1)
    assert materials == ["Titanium", "Cobalt-chrome", "Steel", "Polyethylene", "Show as model"]
    drop(host, write_cone(tmp_path / "ct.stl", middle + 500), material=0)  # outside the CT
    whole, stem, screw = host.session.bodies()
    assert [whole.ct.unit, stem.ct.unit, screw.ct.unit] == ["hu", "cobalt-chrome", "titanium"]
    assert [stem.name, screw.name] == ["stem", "ct 2"]  # "ct" is taken
    assert np.allclose(stem.world_from_ct, TRUE_POSE)
    centre = rigid.transform_points(screw.world_from_ct, screw.ct.centroid())
    assert np.allclose(centre, rigid.transform_points(TRUE_POSE, middle), atol=2)
    assert "ct 2 begins in the middle of the CT" in " ".join(host.session.notices.sentences)
    assert len(control(host.presenters.ct, "unit").options) == 2  # no material is the CT's


def test_surface_is_shown_as_a_model_on_the_ct(host, tmp_path):
    with_ct(host, tmp_path)
    middle = make_ct().centroid()
    host.files.take([write_cone(tmp_path / "screw.stl", middle)])
    host.wait(host.files, lambda: answers(host.files))
    answer(host.files, 4)
    host.wait(host.files, lambda: slicer.util.getNodes("screw"))
    model = slicer.util.getNode("screw")
    low, high = np.reshape(model.GetPolyData().GetBounds(), (3, 2)).T
    assert np.allclose((low + high) / 2, middle * [-1, -1, 1], atol=0.1)  # RAS
    assert model.GetParentTransformNode() is host.registration.ct_transform
    assert model.GetDisplayVisibility() and not host.registration.apart


def test_added_implant_keeps_the_verdict_of_the_ct(host, tmp_path):
    with_ct(host, tmp_path)
    settle(host.session, verdict="accept")
    drop(host, write_cone(tmp_path / "stem.stl", make_ct().centroid()), material=0)
    session = host.session
    assert verdict(session) == "accept" and reason_not_to_use(session) == ""
    assert session.bones.summary() == "stem: not registered"
    bones_of(host.registration)["stem"].world_from_ct = rigid.translation([3.0, 0, 0])
    session.history.note("by hand")
    assert "stem: not registered here" in reason_not_to_use(session)
    session.history.undo()
    assert verdict(session) == "accept"
    host.registration.world_from_ct = rigid.translation([1.0, 0, 0]) @ TRUE_POSE
    assert verdict(session) == ""


def test_implants_are_registered_without_a_ct(host, tmp_path):
    drop(host, write_cone(tmp_path / "stem.stl", [0, 0, 0]), material=2)
    drop(host, write_cone(tmp_path / "cup.stl", [0, 0, 0]), material=3)
    assert [body.name for body in host.session.bodies()] == ["stem", "cup"]
    bones = host.presenters.ct.bones
    assert control(bones, "remove.stem") is None  # it takes the place of the CT
    act(bones, "remove.cup")
    assert list(host.registration.apart) == ["stem"]


def dressed_nodes_of(host):
    """The names of all nodes, once each implant has its surface."""
    there = bones_of(host.registration).values()
    host.wait(host.files, lambda: all(bone.surface for bone in there))
    scene = host.registration.scene
    return sorted(scene.GetNthNode(n).GetName() or "" for n in range(scene.GetNumberOfNodes()))


def test_an_implant_of_the_name_of_a_removed_one_stays_whatever_is_undone(host, with_stem):
    act(host.presenters.ct.bones, "remove.stem")
    drop(host, with_stem, material=1)
    history = host.session.history
    for act_of in (history.undo, history.undo, history.redo, history.redo):
        act_of()
        (_whole, found) = host.session.bodies()
        assert (found.name, found.ct.unit) == ("stem", "cobalt-chrome")


@pytest.mark.slow
def test_removed_implant_leaves_no_node_and_undo_restores_it(host, tmp_path):
    with_ct(host, tmp_path)
    middle = make_ct().centroid()
    drop(host, write_cone(tmp_path / "cup.stl", middle), material=2)
    before = dressed_nodes_of(host)
    drop(host, write_cone(tmp_path / "stem.stl", middle + 5), material=1)
    moved = rigid.translation([3.0, 0, 0]) @ TRUE_POSE
    bones_of(host.registration)["stem"].world_from_ct = moved
    act(host.presenters.ct.bones, "remove.stem")
    assert dressed_nodes_of(host) == before
    history = host.session.history
    for _ in range(2):
        history.undo()
        (_whole, _cup, stem) = host.session.bodies()
        assert (stem.name, stem.ct.unit) == ("stem", "cobalt-chrome")
        assert np.allclose(stem.world_from_ct, moved)
        history.redo()
        assert dressed_nodes_of(host) == before


def test_implant_is_added_to_bones_with_separate_poses(host, tmp_path):
    with_ct(host, tmp_path)
    ct = make_ct()
    bone = Structures(("L1",), (ct.volume.values > 300).astype(np.uint8))
    host.registration.choose_segment(
        structures_node(host.scene, "bones", bone, host.registration.ct)
    )
    put_bones(host.registration, {"L1": TRUE_POSE})
    drop(host, write_cone(tmp_path / "stem.stl", ct.centroid()), material=0)
    assert set(bones_of(host.registration)) == {"L1", "stem"}
    act(host.presenters.ct.bones, "remove.stem")
    assert list(bones_of(host.registration)) == ["L1"]


def test_implants_of_a_saved_scene_are_there_again(with_stem, tmp_path, slicer_app):
    (registration,) = reopened(slicer_app, tmp_path / "scene.mrb")
    assert list(registration.apart) == list(bones_of(registration)) == ["stem"]


def test_model_of_the_scene_becomes_an_implant(host, tmp_path, scene):
    with_ct(host, tmp_path)
    middle = make_ct().centroid()
    model = scene.AddNewNodeByClass("vtkMRMLModelNode", "a/stem")
    model.SetAndObservePolyData(ball(15, middle * [-1, -1, 1], 24))  # RAS
    act(host.presenters.ct, "model", model.GetID())
    host.wait(host.files, lambda: answers(host.files))
    answer(host.files, 2)
    host.wait(host.files, lambda: host.registration.apart)
    (_whole, stem) = host.session.bodies()
    assert (stem.name, stem.ct.unit) == ("a stem", "steel")
    assert np.allclose(stem.ct.centroid()[1:], middle[1:], atol=0.2)
