"""The surface of the CT's bone, made in a thread where there is none."""

from time import monotonic, sleep

from helpers.phantom_scene import phantom_registration

from MultiViewRegistrationLib.mrml.ct_3d import BONES
from MultiViewRegistrationLib.session.inputs import BoneSurfaceUpdater


def has_bones(registration, updater):
    """Whether there are bones after a while."""
    end = monotonic() + 20
    while registration.node.GetNodeReference(BONES) is None and monotonic() < end:
        updater.update(registration)
        sleep(0.01)
    return registration.node.GetNodeReference(BONES) is not None


def test_the_bones_of_the_same_ct_are_made_again_in_a_new_scene(scene):
    """Where the new registration and its CT have the IDs of those before."""
    updater, ids = BoneSurfaceUpdater(), []
    for _ in range(3):
        registration = phantom_registration(scene)
        ids.append(registration.node.GetID())
        assert has_bones(registration, updater)
        scene.Clear(False)
    assert ids[1] == ids[2]
