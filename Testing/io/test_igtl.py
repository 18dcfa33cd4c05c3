"""OpenIGTLink with real pyigtl peers.

A server and a client of pyigtl's own, which drop and come back.
"""

import json
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from handed_result import OVERRIDE, pose, write_result
from numpy.testing import assert_allclose, assert_array_equal
from tiny_case import refusal

pyigtl = pytest.importorskip("pyigtl", reason='needs pyigtl: pip install -e ".[navigation]"')
pytestmark = pytest.mark.usefixtures("igtl_status")

from MultiViewRegistrationLib.io.navigation import igtl  # noqa: E402
from MultiViewRegistrationLib.io.navigation.igtl import messages_of, pictures_beside  # noqa: E402
from MultiViewRegistrationLib.io.navigation.registration_export import RegistrationExport  # noqa: E402

POSE, REFERENCE = pose(1), pose(2)
TURN = np.diag([-1.0, -1.0, 1.0, 1.0])
SOON_S = 20.0


@pytest.fixture
def messages(tmp_path):
    def make(**changes):
        exported = RegistrationExport.read(write_result(tmp_path / "result", **changes))
        return messages_of(exported, pictures=pictures_beside(exported))

    return make


@contextmanager
def running(function, *arguments):
    """In a thread, until the block ends; yields what was reported."""
    stop, reported = threading.Event(), []
    thread = threading.Thread(
        target=function,
        args=(*arguments, stop, reported.append),
        kwargs={"interval_s": 0.1},
        daemon=True,
    )
    thread.start()
    try:
        yield reported
    finally:
        stop.set()
        thread.join(SOON_S)
        assert not thread.is_alive()


@contextmanager
def client(port):
    peer = pyigtl.OpenIGTLinkClient("127.0.0.1", port)
    try:
        yield peer
    finally:
        peer.stop()


@contextmanager
def server(port):
    peer = pyigtl.OpenIGTLinkServer(port=port, local_server=True)
    try:
        yield peer
    finally:
        peer.stop()


def test_a_client_of_pyigtl_gets_poses_overlays_and_the_verdict(port, messages):
    with (
        running(igtl.serve, port, messages(reference_from_world=REFERENCE.tolist())),
        client(port) as peer,
    ):
        world, reference = (
            peer.wait_for_message("CTToWorld", SOON_S),
            peer.wait_for_message("CTToReference", SOON_S),
        )
        assert_allclose(world.matrix, TURN @ POSE @ TURN, rtol=1e-6, atol=1e-6)
        assert_allclose(reference.matrix, TURN @ REFERENCE @ POSE @ TURN, rtol=1e-6, atol=1e-6)
        assert world.metadata == {
            "Verdict": "null",
            "TransformStatus": "OK",
            "Pose": "world_from_ct, mm, RAS",
        }
        assert "reference_from_ct" in reference.metadata["Pose"]
        for number in (1, 2):
            overlay = peer.wait_for_message(f"Overlay{number}", SOON_S)
            assert_array_equal(overlay.image, np.full((1, 6, 8, 3), 49 + number))
        status = peer.wait_for_message("MultiViewReg", SOON_S)
        assert (status.code, status.name) == (13, "not assessed")
        assert json.loads(status.text) == {
            "verdict": None,
            "override": None,
            "poses": ["CTToWorld", "CTToReference"],
        }


@pytest.mark.parametrize(
    "changes, code, name, override",
    [
        ({"verdict": "accept"}, 1, "accept", None),
        ({"verdict": "check"}, 13, "check", None),
        ({"verdict": "accept", "uses": {"room": {"verdict": "check"}}}, 13, "check", None),
        ({"verdict": "accept", "override": OVERRIDE}, 15, "override", OVERRIDE),
        ({"verdict": "reject"}, 15, "override", "The result was rejected."),
    ],
)
def test_the_status_follows_the_verdict_in_the_room(port, messages, changes, code, name, override):
    with running(igtl.serve, port, messages(**changes)), client(port) as peer:
        status = peer.wait_for_message("MultiViewReg", SOON_S)
        assert (status.code, status.name) == (code, name)
        assert (
            json.loads(status.text)["verdict"]
            == changes.get("uses", {"room": changes})["room"]["verdict"]
            and json.loads(status.text)["override"] == override
        )
        transform = peer.wait_for_message("CTToWorld", SOON_S)
        assert (
            json.loads(status.text)["basis"]
            == "calibrated on simulated X-rays alone"
            == transform.metadata["Basis"]
        )
        assert transform.metadata["TransformStatus"] == ("UNKNOWN" if override else "OK")
        assert ("Override" in transform.metadata) == bool(override)


def test_clients_that_drop_are_served_again_and_others_meanwhile(port, messages):
    with running(igtl.serve, port, messages()) as reported:
        for _ in range(2):
            with client(port) as peer, client(port) as other:
                assert peer.wait_for_message("Overlay1", SOON_S) and other.wait_for_message(
                    "Overlay1", SOON_S
                )
        wait_until(lambda: reported.count("a client is gone") >= 4)


def test_a_server_of_pyigtl_that_drops_gets_everything_again(port, messages):
    with running(igtl.send_to, "127.0.0.1", port, messages()) as reported:
        wait_until(lambda: any("waiting" in line for line in reported))
        for _ in range(2):
            with server(port) as peer:
                transform = peer.wait_for_message("CTToWorld", SOON_S)
                assert_allclose(transform.matrix, TURN @ POSE @ TURN, rtol=1e-6, atol=1e-6)
                assert peer.wait_for_message("Overlay2", SOON_S) and peer.wait_for_message(
                    "MultiViewReg", SOON_S
                )
                assert peer.wait_for_message("CTToWorld", SOON_S)  # once more
    assert sum("connected to" in line for line in reported) == 2


def wait_until(condition):
    end = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_no_name_of_a_person_goes_out(messages):
    packed = b"".join(pack() for pack in [*messages().small, *messages().images])
    assert b"Doe" not in packed and b"CTToWorld" in packed


def test_only_this_machine_is_served(port, messages):
    with running(igtl.serve, port, messages()) as reported:
        wait_until(lambda: reported)
        assert f"127.0.0.1:{port}" in reported[0]
        assert "cannot be opened" in refusal(igtl.serve, port, messages(), threading.Event(), print)


@pytest.mark.parametrize(
    "text, expected",
    [("host:1", ("host", 1)), ("host", ("host", 18944)), ("[::1]:18944", ("::1", 18944))],
)
def test_an_address_is_host_and_port(text, expected):
    assert igtl.address(text) == expected


@pytest.mark.parametrize("text", ["", "host:0", "host:70000", "host:x", "host:٣"])
def test_other_addresses_are_refused(text):
    assert "host:port" in refusal(igtl.address, text)
