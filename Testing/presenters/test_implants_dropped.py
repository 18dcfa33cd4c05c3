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
from presenter_host import PresenterHost, act, answer, control, drop, options, settled, text

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Structures
from MultiViewRegistrationLib.mrml.ct_3d import bones_of, put_bones
from MultiViewRegistrationLib.mrml.image import structures_node
from MultiViewRegistrationLib.session.assessment import reason_not_to_use, verdict
from MultiViewRegistrationLib.session.history import History


@pytest.fixture
def host(scene, watch, monkeypatch):
    monkeypatch.setattr(slicer, "modules", SimpleNamespace(), raising=False)
    return PresenterHost(scene)


def drop_as(host, path, material):
    drop(host, path)
    answer(host.files, surface0=material)
    settled(host)


def with_ct(host, tmp_path):
    write_ct_file(tmp_path / "ct.nrrd")
    drop(host, tmp_path / "ct.nrrd")
    host.registration.world_from_ct = TRUE_POSE


@pytest.fixture
def with_stem(host, tmp_path):
    """The file of a stem of titanium that was dropped on a CT."""
    with_ct(host, tmp_path)
    stem = write_cone(tmp_path / "stem.stl", make_ct().centroid())
    drop_as(host, stem, "titanium")
    return stem


def test_an_implant_begins_where_the_ct_has_it(host, tmp_path):
    with_ct(host, tmp_path)
    middle = make_ct().centroid()
    drop_as(host, write_cone(tmp_path / "stem.stl", middle), "cobalt-chrome")
    drop_as(host, write_cone(tmp_path / "ct.stl", middle + 500), "titanium")  # a name that is taken
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
    assert text(host.presenters.ct.bones, "name.stem") == "stem: cobalt-chrome"
    assert text(host.presenters.ct.bones, "name.ct 2") == "ct 2: titanium"
    assert len(control(host.presenters.ct, "unit").options) == 2  # no material is the CT's


def test_a_surface_is_shown_as_a_model_on_the_ct(host, tmp_path):
    with_ct(host, tmp_path)
    middle = make_ct().centroid()
    drop_as(host, write_cone(tmp_path / "screw.stl", middle), "model")
    model = slicer.util.getNode("screw")
    low, high = np.reshape(model.GetPolyData().GetBounds(), (3, 2)).T
    assert np.allclose((low + high) / 2, middle * [-1, -1, 1], atol=0.1)  # RAS
    assert model.GetParentTransformNode() is host.registration.ct_transform
    assert model.GetDisplayVisibility() and not host.registration.apart


def test_a_surface_without_a_ct_cannot_be_a_model_on_it(host, tmp_path):
    drop(host, write_cone(tmp_path / "stem.stl", [0, 0, 0]))
    assert "model" not in options(host.files, "asked.surface0").values()


@pytest.fixture
def accepted(host, tmp_path):
    """A CT whose pose was accepted, and a stem that was dropped after that."""
    with_ct(host, tmp_path)
    settle(host.session, verdict="accept")
    drop_as(host, write_cone(tmp_path / "stem.stl", make_ct().centroid()), "titanium")
    return host


def test_an_implant_that_is_added_leaves_the_verdict_of_the_ct(accepted):
    assert verdict(accepted.session) == "accept" and reason_not_to_use(accepted.session) == ""
    assert accepted.session.bones.summary() == "stem: not registered"


def test_an_added_implant_that_is_moved_by_hand_is_not_registered_there_until_undo(accepted):
    history = accepted.session.history
    bones_of(accepted.registration)["stem"].world_from_ct = rigid.translation([3.0, 0, 0])
    history.note("by hand")
    assert "stem: not registered here" in reason_not_to_use(accepted.session)
    history.undo()
    assert verdict(accepted.session) == "accept"


def test_a_ct_that_is_moved_beside_an_added_implant_has_no_verdict(accepted):
    accepted.registration.world_from_ct = rigid.translation([1.0, 0, 0]) @ TRUE_POSE
    assert verdict(accepted.session) == ""


def test_an_implant_without_a_ct_is_what_is_registered(host, tmp_path):
    drop_as(host, write_cone(tmp_path / "stem.stl", [0, 0, 0]), "steel")
    drop_as(host, write_cone(tmp_path / "cup.stl", [0, 0, 0]), "polyethylene")
    assert [body.name for body in host.session.bodies()] == ["stem", "cup"]
    assert next(each.value for each in control(host.presenters.ct, "unit").options) == "steel"
    bones = host.presenters.ct.bones
    assert control(bones, "remove.stem") is None  # which stands for the CT
    act(bones, "remove.cup")
    assert list(host.registration.apart) == ["stem"]


def dressed_nodes_of(host):
    """The names of all nodes, once each implant has its surface."""
    there = bones_of(host.registration).values()
    host.wait(host.files, lambda: all(bone.surface for bone in there))
    scene = host.registration.scene
    return sorted(scene.GetNthNode(n).GetName() or "" for n in range(scene.GetNumberOfNodes()))


@pytest.mark.slow
def test_an_implant_is_removed_with_all_that_was_made_for_it_and_undo_puts_it_back(host, tmp_path):
    with_ct(host, tmp_path)
    middle = make_ct().centroid()
    drop_as(host, write_cone(tmp_path / "cup.stl", middle), "steel")
    before = dressed_nodes_of(host)
    drop_as(host, write_cone(tmp_path / "stem.stl", middle + 5), "cobalt-chrome")
    assert len(dressed_nodes_of(host)) > len(before)
    moved = rigid.translation([3.0, 0, 0]) @ TRUE_POSE
    bones_of(host.registration)["stem"].world_from_ct = moved
    act(host.presenters.ct.bones, "remove.stem")
    assert dressed_nodes_of(host) == before
    assert [body.name for body in host.session.bodies()] == ["", "cup"]
    assert list(bones_of(host.registration)) == ["cup"]
    history = host.session.history
    for _ in range(2):
        history.undo()
        (_whole, _cup, stem) = host.session.bodies()
        assert (stem.name, stem.ct.unit) == ("stem", "cobalt-chrome")
        assert np.allclose(stem.world_from_ct, moved)
        assert np.allclose(stem.ct.centroid()[1:], middle[1:] + 5, atol=0.5)
        history.redo()
        assert dressed_nodes_of(host) == before


def test_an_implant_of_the_name_of_a_removed_one_stays_whatever_is_undone(host, with_stem):
    act(host.presenters.ct.bones, "remove.stem")
    drop_as(host, with_stem, "cobalt-chrome")
    history = host.session.history
    for act_of in (history.undo, history.undo, history.redo, history.redo):
        act_of()
        (_whole, found) = host.session.bodies()
        assert (found.name, found.ct.unit) == ("stem", "cobalt-chrome")


def test_an_implant_is_dropped_beside_bones_with_poses_of_their_own(host, tmp_path):
    with_ct(host, tmp_path)
    ct = make_ct()
    bone = Structures(("L1",), (ct.volume.values > 300).astype(np.uint8))
    node = structures_node(host.scene, "bones", bone, host.registration.ct)
    host.registration.choose_segment(node)
    put_bones(host.registration, {"L1": TRUE_POSE})
    drop_as(host, write_cone(tmp_path / "stem.stl", ct.centroid()), "titanium")
    assert set(bones_of(host.registration)) == {"L1", "stem"}
    act(host.presenters.ct.bones, "remove.stem")
    assert list(bones_of(host.registration)) == ["L1"]


def test_a_scene_without_a_removed_implant_gets_no_place_of_it(
    host, with_stem, tmp_path, slicer_app
):
    act(host.presenters.ct.bones, "remove.stem")
    (registration,) = reopened(slicer_app, tmp_path / "scene.mrb")
    History(registration).undo()
    assert not bones_of(registration)


def test_implants_of_a_saved_scene_are_there_again(with_stem, tmp_path, slicer_app):
    (registration,) = reopened(slicer_app, tmp_path / "scene.mrb")
    assert list(registration.apart) == list(bones_of(registration)) == ["stem"]


def test_a_model_of_the_scene_is_taken_as_a_dropped_surface(host, tmp_path, scene):
    """In Slicer's RAS."""
    with_ct(host, tmp_path)
    middle = make_ct().centroid()
    model = scene.AddNewNodeByClass("vtkMRMLModelNode", "a/stem")
    model.SetAndObservePolyData(ball(15, middle * [-1, -1, 1], 24))
    act(host.presenters.ct, "model", model.GetID())
    settled(host)
    answer(host.files, surface0="steel")
    settled(host)
    (_whole, stem) = host.session.bodies()
    assert (stem.name, stem.ct.unit) == ("a stem", "steel")
    assert np.allclose(stem.ct.centroid()[1:], middle[1:], atol=0.2)
    assert np.allclose(stem.world_from_ct, TRUE_POSE)
