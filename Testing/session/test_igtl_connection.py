"""The pose through OpenIGTLink, to real peers of pyigtl.

The pose, and a status when it no longer holds.
"""

import json
import socket
import time

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE
from helpers.phantom_scene import remove, settle, settled_session
from helpers.refusals import refuses
from helpers.running_session import ELSEWHERE
from numpy.testing import assert_allclose

from MultiViewRegistrationLib.io.navigation.igtl import address_of
from MultiViewRegistrationLib.mrml.case import change_settings
from MultiViewRegistrationLib.session.result_files import take_messages

pyigtl = pytest.importorskip("pyigtl", reason='needs pyigtl: pip install -e ".[navigation]"')
pytestmark = pytest.mark.usefixtures("igtl_status")

FLIP = np.diag([-1.0, -1, 1, 1])
SOON_S = 20.0


@pytest.fixture
def session(scene):
    session = settled_session(scene, "Jane Doe")
    session.registration.world_from_ct = TRUE_POSE  # which an assessment does not reject
    settle(session)
    yield session
    session.igtl.close()


def serve(session, port, **options):
    session.igtl.serve(port, *take_messages(session, **options)())


def status_that(session, peer, condition):
    """The first STATUS of which it is true, while the session is polled as a timer does."""
    end = time.monotonic() + SOON_S
    while time.monotonic() < end:
        session.poll()
        message = peer.get_latest_messages() and peer.wait_for_message("MultiViewReg", 3.0)
        if message and condition(message):
            return message
    raise AssertionError("no such STATUS came")


@pytest.fixture
def connect():
    """A function: a peer, which is stopped after the test."""
    peers = []

    def start(kind, *arguments, **options):
        peers.append(kind(*arguments, **options))
        return peers[-1]

    yield start
    for peer in peers:
        peer.stop()


def test_client_gets_pose_overlays_and_verdict_and_no_name(session, port, connect):
    serve(session, port)
    peer = connect(pyigtl.OpenIGTLinkClient, "127.0.0.1", port)
    world = peer.wait_for_message("CTToWorld", SOON_S)
    assert_allclose(world.matrix, FLIP @ session.registration.world_from_ct @ FLIP, atol=1e-5)
    assert world.metadata["TransformStatus"] == "OK" and "Jane" not in str(vars(world))
    assert peer.wait_for_message("Overlay2", SOON_S).image.ndim == 4
    assert peer.wait_for_message("MultiViewReg", SOON_S).code == 13  # not registered: check
    remove(session.registration)
    session.poll()
    assert not session.igtl.open


def test_port_in_use_is_reported(session):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        serve(session, taken.getsockname()[1])
        end = time.monotonic() + SOON_S
        while "cannot be opened" not in session.igtl.status and time.monotonic() < end:
            time.sleep(0.02)
    assert "cannot be opened" in session.igtl.status and not session.igtl.open


@pytest.mark.slow
def test_status_reports_that_the_ct_was_moved_and_put_back(session, port, connect):
    serve(session, port)
    peer = connect(pyigtl.OpenIGTLinkClient, "127.0.0.1", port)
    status_that(session, peer, lambda status: status.code == 13)
    pose = session.registration.world_from_ct
    session.registration.world_from_ct = ELSEWHERE
    status = status_that(session, peer, lambda status: status.code == 15)
    assert "lies elsewhere" in json.loads(status.text)["override"]
    peer.get_latest_messages()
    assert peer.wait_for_message("CTToWorld", 3.0) is None  # many peers ignore the status
    (news,) = session.news()
    assert "not sent to navigation any more" in news
    session.registration.world_from_ct = pose
    status_that(session, peer, lambda status: status.code == 13)
    world = peer.wait_for_message("CTToWorld", SOON_S)
    assert session.news() == [] and world.metadata["TransformStatus"] == "OK"


@pytest.mark.slow
def test_server_gets_the_pose_in_the_reference_frame(session, port, connect):
    reference_from_world = np.array([[0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1.0]])
    change_settings(session.registration, reference_from_world=reference_from_world)
    session.igtl.send_to(*address_of(" 127.0.0.1 ", port), *take_messages(session, override=True)())
    peer = connect(pyigtl.OpenIGTLinkServer, port=port, local_server=True)
    message = peer.wait_for_message("CTToReference", SOON_S)
    pose = reference_from_world @ session.registration.world_from_ct
    assert_allclose(message.matrix, FLIP @ pose @ FLIP, atol=1e-5)
    assert "stale" in message.metadata["Override"]  # the result was of another frame
    assert session.igtl.status == f"connected to 127.0.0.1:{port}"


@pytest.mark.parametrize("host", ["", "  ", "a..b"])
def test_an_invalid_host_is_refused(host):
    with refuses(r"expected (the name|host:port)"):
        address_of(host, 18944)
