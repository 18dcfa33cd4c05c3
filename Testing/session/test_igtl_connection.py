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


def client(port):
    return pyigtl.OpenIGTLinkClient("127.0.0.1", port)


def status_that(session, peer, condition):
    """The first STATUS of which it is true, while the session is polled as a timer does."""
    end = time.monotonic() + SOON_S
    while time.monotonic() < end:
        session.poll()
        message = peer.get_latest_messages() and peer.wait_for_message("MultiViewReg", 3.0)
        if message and condition(message):
            return message
    raise AssertionError("no such STATUS came")


def test_a_client_gets_the_pose_the_overlays_and_the_verdict_and_no_name(session, port):
    serve(session, port)
    peer = client(port)
    try:
        world = peer.wait_for_message("CTToWorld", SOON_S)
        assert_allclose(world.matrix, FLIP @ session.registration.world_from_ct @ FLIP, atol=1e-5)
        assert world.metadata["TransformStatus"] == "OK" and "Jane" not in str(vars(world))
        assert peer.wait_for_message("Overlay2", SOON_S).image.ndim == 4
        assert (
            peer.wait_for_message("MultiViewReg", SOON_S).code == 13
        )  # to be checked: it was not registered
    finally:
        peer.stop()
    session.igtl.close()
    assert not session.igtl.open and session.igtl.status == ""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        serve(session, taken.getsockname()[1])
        end = time.monotonic() + SOON_S
        while "cannot be opened" not in session.igtl.status and time.monotonic() < end:
            time.sleep(0.02)
    assert "cannot be opened" in session.igtl.status and not session.igtl.open
    serve(session, port)
    assert session.igtl.open
    remove(session.registration)
    session.poll()
    assert not session.igtl.open


@pytest.mark.slow
def test_a_status_says_that_the_ct_was_moved_and_put_back(session, port):
    serve(session, port)
    peer = client(port)
    try:
        status_that(session, peer, lambda status: status.code == 13)
        pose = session.registration.world_from_ct
        session.registration.world_from_ct = ELSEWHERE
        status = status_that(session, peer, lambda status: status.code == 15)
        assert "lies elsewhere" in json.loads(status.text)["override"]
        peer.get_latest_messages()
        assert peer.wait_for_message("CTToWorld", 3.0) is None  # many a peer looks at no status
        (news,) = session.news()
        assert "not sent to navigation any more" in news and "lies elsewhere" in news
        session.registration.world_from_ct = pose
        status_that(session, peer, lambda status: status.code == 13)
        assert (
            session.news() == []
            and peer.wait_for_message("CTToWorld", SOON_S).metadata["TransformStatus"] == "OK"
        )
        session.registration.xrays[0].change(uncertainty={"rotation_sd_deg": 2.0})
        status = status_that(session, peer, lambda status: status.code == 15)
        assert "stale" in json.loads(status.text)["override"]
    finally:
        peer.stop()


@pytest.mark.slow
def test_a_server_gets_it_and_a_tracker_in_its_own_frame(session, port):
    reference_from_world = np.array([[0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1.0]])
    change_settings(session.registration, reference_from_world=reference_from_world)
    session.igtl.send_to(*address_of(" 127.0.0.1 ", port), *take_messages(session, override=True)())
    peer = pyigtl.OpenIGTLinkServer(port=port, local_server=True)
    try:
        message = peer.wait_for_message("CTToReference", SOON_S)
        assert_allclose(
            message.matrix,
            FLIP @ reference_from_world @ session.registration.world_from_ct @ FLIP,
            atol=1e-5,
        )
        assert (
            "stale" in message.metadata["Override"]
        )  # the frame was not there when the result was found
        assert session.igtl.status == f"connected to 127.0.0.1:{port}"
    finally:
        peer.stop()


@pytest.mark.parametrize("host", ["", "  ", "a..b"])
def test_an_invalid_host_is_refused(host):
    with refuses(r"expected (the name|host:port)"):
        address_of(host, 18944)
