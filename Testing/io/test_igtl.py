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
from MultiViewRegistrationLib.io.result_json import RegistrationExport  # noqa: E402

POSE, REFERENCE = pose(1), pose(2)
TURN = np.diag([-1.0, -1.0, 1.0, 1.0])
SOON_S = 20.0


@pytest.fixture
def messages(tmp_path):
    def make(**changes):
        exported = RegistrationExport.read(write_result(tmp_path / "result", **changes))
        return messages_of(exported, [exported], pictures_beside(exported))

    return make


@contextmanager
def running(function, *arguments):
    """In a thread, until the block ends; yields what was reported."""
    stop, reported = threading.Event(), []
    arguments = (*arguments, stop, reported.append)
    often = {"interval_s": 0.1}
    thread = threading.Thread(target=function, args=arguments, kwargs=often, daemon=True)
    thread.start()
    try:
        yield reported
    finally:
        stop.set()
        thread.join(SOON_S)
        assert not thread.is_alive()


@contextmanager
def stopped_after(peer):
    yield peer
    peer.stop()


def client(port):
    return stopped_after(pyigtl.OpenIGTLinkClient("127.0.0.1", port))


def test_a_client_of_pyigtl_gets_poses_overlays_and_the_verdict(port, messages):
    with running(igtl.serve, port, messages(reference_from_world=REFERENCE)), client(port) as peer:
        poses = {"CTToWorld": POSE, "CTToReference": REFERENCE @ POSE}
        for device, pose in poses.items():
            message = peer.wait_for_message(device, SOON_S)
            assert_allclose(message.matrix, TURN @ pose @ TURN, rtol=1e-6, atol=1e-6)
        for number in (1, 2):
            overlay = peer.wait_for_message(f"Overlay{number}", SOON_S)
            assert_array_equal(overlay.image, np.full((1, 6, 8, 3), 49 + number))
        status = peer.wait_for_message("MultiViewReg", SOON_S)
        assert (status.code, status.name) == (13, "not assessed")


@pytest.mark.parametrize(
    "changes, code, name, verdict, override",
    [
        ({"verdict": "check"}, 13, "check", "check", None),
        ({"verdict": "accept", "override": OVERRIDE}, 15, "override", "accept", OVERRIDE),
        ({"verdict": "reject"}, 15, "override", "reject", "The result was rejected."),
    ],
)
def test_status_follows_the_verdict(port, messages, changes, code, name, verdict, override):
    with running(igtl.serve, port, messages(**changes)), client(port) as peer:
        status = peer.wait_for_message("MultiViewReg", SOON_S)
        told = json.loads(status.text)
        assert (status.code, status.name) == (code, name)
        assert (told["verdict"], told["override"]) == (verdict, override)
        metadata = peer.wait_for_message("CTToWorld", SOON_S).metadata
        assert told["basis"] == metadata["Basis"] == "calibrated on simulated X-rays alone"
        assert metadata["TransformStatus"] == ("UNKNOWN" if override else "OK")
        assert ("Override" in metadata) == bool(override)


def test_clients_that_drop_are_served_again_and_others_meanwhile(port, messages):
    with running(igtl.serve, port, messages()) as reported:
        for _ in range(2):
            with client(port) as peer, client(port) as other:
                assert peer.wait_for_message("Overlay1", SOON_S)
                assert other.wait_for_message("Overlay1", SOON_S)
        wait_until(lambda: reported.count("a client is gone") >= 4)


@pytest.mark.slow
def test_a_server_of_pyigtl_that_drops_gets_everything_again(port, messages):
    with running(igtl.send_to, "127.0.0.1", port, messages()) as reported:
        wait_until(lambda: any("waiting" in line for line in reported))
        for _ in range(2):
            with stopped_after(pyigtl.OpenIGTLinkServer(port=port, local_server=True)) as peer:
                transform = peer.wait_for_message("CTToWorld", SOON_S)
                assert_allclose(transform.matrix, TURN @ POSE @ TURN, rtol=1e-6, atol=1e-6)
                for device in ("Overlay2", "MultiViewReg", "CTToWorld"):  # the last once more
                    assert peer.wait_for_message(device, SOON_S)
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


def test_address_has_host_and_port():
    assert igtl.address("host") == ("host", 18944) and igtl.address("[::1]:1") == ("::1", 1)


@pytest.mark.parametrize("text", ["host:70000", "host:x", "host:٣"])
def test_invalid_addresses_are_refused(text):
    assert "host:port" in refusal(igtl.address, text)
