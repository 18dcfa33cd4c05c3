"""A registration that was deleted comes back as it was."""

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE
from helpers.phantom_scene import phantom_registration, settle

from MultiViewRegistrationLib.mrml import display, image
from MultiViewRegistrationLib.mrml.fingerprints import fingerprint
from MultiViewRegistrationLib.mrml.nodes import nodes_of_class
from MultiViewRegistrationLib.mrml.registration import Registration, delete
from MultiViewRegistrationLib.session.session import Session


@pytest.fixture
def registration(scene, watch):
    registration = phantom_registration(scene)
    image.draw_mask(registration.xrays[0])
    settle(Session(registration))
    display.show(registration)
    return registration


def all_nodes(scene):
    return {node.GetID(): node.GetName() for node in nodes_of_class("vtkMRMLNode", scene)}


def test_it_comes_back_with_all_that_was_made_for_it(scene, registration):
    before, place, of = all_nodes(scene), registration.world_from_ct, fingerprint(registration)
    history, ct = registration.parameter("history"), registration.ct
    deleted = delete(registration)
    assert (
        Registration.all(scene) == []
        and ct.GetScene() is scene
        and ct.GetParentTransformNode() is None
    )
    restored = deleted.restore(scene)
    display.show(restored)
    assert (
        restored == registration
        and Registration.all(scene) == [registration]
        and all_nodes(scene) == before
    )
    assert (
        np.allclose(restored.world_from_ct, place)
        and ct.GetParentTransformNode() is restored.ct_transform
    )
    assert [view.name for view in restored.xrays] == ["view1", "view2"] and restored.xrays[
        0
    ].mask is not None
    assert fingerprint(restored) == of and restored.parameter("history") == history


def test_what_is_gone_or_anothers_meanwhile_is_left(scene, registration):
    ct = registration.ct
    deleted = delete(registration)
    other = Registration.create(scene, "other")
    other.ct, other.world_from_ct = ct, TRUE_POSE
    restored = deleted.restore(scene)
    assert restored.ct is None and np.allclose(other.world_from_ct, TRUE_POSE)
    assert ct.GetParentTransformNode() is other.ct_transform
    deleted = delete(restored)
    scene.RemoveNode(ct)
    assert deleted.restore(scene).ct is None
