"""The pose through OpenIGTLink: what goes out, when, to whom; the connector is a stand-in that behaves as SlicerOpenIGTLink's."""

from __future__ import annotations

import numpy as np
import pytest
from phantom import TRUE_POSE
from phantom_scene import settled_session

from MultiViewRegistrationLib.errors import InputError

FLIP = np.diag([-1.0, -1, 1, 1])


@pytest.fixture
def session(scene):
    return settled_session(scene, "Jane Doe")


@pytest.fixture
def connector(session, monkeypatch):
    """The connector that the session will use, once it has sent something."""
    import slicer
    from slicer_host.igtl_connector import vtkMRMLIGTLConnectorNode

    monkeypatch.setattr(slicer, "vtkMRMLIGTLConnectorNode", vtkMRMLIGTLConnectorNode, raising=False)
    return lambda: session.registration.node.GetNodeReference("connector")


def send(session, *address, **options):
    from MultiViewRegistrationLib.scene.link import send

    send(session, *address, **options)


def test_without_the_extension_it_says_what_to_install(session):
    from MultiViewRegistrationLib.scene.link import available, connection

    assert not available()
    assert connection(session.registration) is None
    with pytest.raises(InputError, match="SlicerOpenIGTLink"):
        send(session)


def test_the_pose_goes_out_once_the_connection_stands_in_ras_and_without_a_name(session, connector):
    from MultiViewRegistrationLib.scene.link import connection

    send(session, "navigation", 18945)
    assert connector().sent == []
    assert connection(session.registration) == (False, "navigation:18945")
    connector().connect()
    assert connection(session.registration) == (True, "navigation:18945")
    [(address, name, matrix, status)] = connector().sent
    assert (address, name, status) == ("navigation:18945", "CTToWorld", "OK")
    assert np.allclose(matrix, FLIP @ session.registration.world_from_ct @ FLIP, atol=1e-9)
    assert "Jane" not in f"{name}{connector().GetName()}"


def test_it_does_not_follow_the_ct_but_each_call_sends(session, connector):
    send(session)
    connector().connect()
    session.registration.world_from_ct = TRUE_POSE
    assert len(connector().sent) == 1
    send(session, override=True)
    *_, (_, _, matrix, status) = connector().sent
    assert np.allclose(matrix, FLIP @ TRUE_POSE @ FLIP, atol=1e-9)
    assert status == "UNKNOWN"  # overridden: nobody vouches for it
    before = len(connector().sent)
    send(session, override=True)
    assert len(connector().sent) > before  # the same pose again


def test_what_speaks_against_the_pose_must_be_overridden(session, connector):
    session.registration.world_from_ct = TRUE_POSE
    with pytest.raises(InputError, match="moved by hand.*override"):
        send(session)
    assert connector() is None


def test_another_server_is_another_connection(session, connector):
    send(session, "one", 1)
    connector().connect()
    send(session, "two", 2)
    assert connector().GetState() == connector().StateWaitConnection
    connector().connect()
    assert [address for address, *_ in connector().sent] == ["one:1", "two:2"]  # nothing of it to the one before
    with pytest.raises(InputError, match="no host"):
        send(session, "  ")


def test_disconnecting_ends_it(session, connector):
    from MultiViewRegistrationLib.scene.link import connection, disconnect

    disconnect(session.registration)  # nothing to end yet
    send(session)
    disconnect(session.registration)
    assert connection(session.registration) is None
    send(session)
    connector().connect()
    assert len(connector().sent) == 1


def test_a_tracker_gets_the_pose_in_its_own_frame_too(session, connector):
    import json

    reference_from_world = np.array([[0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1.0]])
    session.registration.node.SetParameter("case", json.dumps({"reference_from_world": reference_from_world.tolist()}))
    send(session, override=True)
    connector().connect()
    sent = {name: matrix for _, name, matrix, _ in connector().sent}
    assert set(sent) == {"CTToWorld", "CTToReference"}
    assert np.allclose(sent["CTToReference"], FLIP @ reference_from_world @ session.registration.world_from_ct @ FLIP, atol=1e-9)


def test_nothing_of_it_stays_behind(session, connector, scene):
    send(session)
    session.registration.remove()
    left = [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
    assert not [node for node in left if "To navigation" in (node.GetName() or "") or (node.GetName() or "") == "CTToWorld"]
