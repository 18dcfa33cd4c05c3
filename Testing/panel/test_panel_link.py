"""OpenIGTLink in section Export, driven by clicks, with real peers of pyigtl."""

from __future__ import annotations

import socket
import threading

import numpy as np
import pytest
from person import Person
from phantom import TRUE_POSE, off
from phantom_scene import phantom_registration, settle

pyigtl = pytest.importorskip("pyigtl", reason="needs pyigtl: pip install -e .[navigation]")

FLIP = np.diag([-1.0, -1, 1, 1])
SOON_S = 20.0


@pytest.fixture
def person(host):
    """At the Export section of the phantom, with a right pose that passes for a result, and OpenIGTLink unfolded."""
    person = Person(host)
    person.begin(
        "export", phantom_registration(host.scene, world_from_ct=TRUE_POSE)
    )  # of another the verdict would be a reject
    settle(person.panel.session)
    person.of("export").linkGroupBox.collapsed = False
    host.process(0.1)
    return person


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_it_is_sent_to_a_server_and_the_panel_says_how_it_stands(person, port):
    ui = person.of("export")
    assert ui.linkLabel.text == "Not connected." and not ui.disconnectButton.enabled and ui.sendButton.text == "Send"
    person.host.type(ui.portEdit, str(port))
    person.host.click(ui.sendButton)
    person.wait(lambda: "Waiting for" in ui.linkLabel.text, SOON_S)
    peer = pyigtl.OpenIGTLinkServer(port=port, local_server=True)
    try:
        person.wait(lambda: ui.linkLabel.text == f"Connected to 127.0.0.1:{port}.", SOON_S)
        message = peer.wait_for_message("CTToWorld", SOON_S)
        np.testing.assert_allclose(message.matrix, FLIP @ person.pose @ FLIP, atol=1e-5)
        person.host.click(ui.disconnectButton)
        person.wait(lambda: ui.linkLabel.text == "Not connected.", SOON_S)
        assert not person.panel.session.igtl.open
    finally:
        peer.stop()


def test_it_is_offered_to_this_computer_and_its_client_hears_when_the_ct_is_moved(person, port):
    ui = person.of("export")
    person.host.choose(ui.linkModeBox, "Be a server for this computer")
    assert not ui.hostLineEdit.enabled and ui.sendButton.text == "Offer"
    person.host.type(ui.portEdit, str(port))
    person.host.click(ui.sendButton)
    person.wait(lambda: f"Waiting for clients at 127.0.0.1:{port}" in ui.linkLabel.text, SOON_S)
    peer = pyigtl.OpenIGTLinkClient("127.0.0.1", port)
    try:
        assert peer.wait_for_message("CTToWorld", SOON_S).metadata["TransformStatus"] == "OK"
        person.registration.world_from_ct = off(person.pose, [0, 0, 1.0], [1.0, 0, 0])
        person.wait(
            lambda: (
                peer.wait_for_message("CTToWorld", 0.01) is not None
                and peer.get_latest_messages() is not None
                and _status(peer) == "UNKNOWN"
            ),
            SOON_S,
        )
        assert _status(peer) == "UNKNOWN"
    finally:
        peer.stop()
    person.panel.close()
    assert not person.panel.session.igtl.open


def _status(peer) -> str:
    message = peer.wait_for_message("CTToWorld", 3.0)
    return message.metadata["TransformStatus"] if message else ""


def test_a_pose_in_doubt_is_only_sent_when_somebody_says_so(person, port):
    ui = person.of("export")
    person.registration.world_from_ct = off(person.pose, [0, 0, 1.0], [1.0, 0, 0])
    person.wait(lambda: not ui.sendButton.enabled, 3)
    assert "override" in ui.sendButton.toolTip
    person.host.click(ui.overrideCheckBox)
    person.host.choose(ui.linkModeBox, "Be a server for this computer")
    person.host.type(ui.portEdit, str(port))
    person.host.click(ui.sendButton)
    person.wait(lambda: "Waiting for clients" in ui.linkLabel.text, SOON_S)
    peer = pyigtl.OpenIGTLinkClient("127.0.0.1", port)
    try:
        assert _status(peer) == "UNKNOWN"
    finally:
        peer.stop()


def test_without_a_host_it_says_so(person):
    ui = person.of("export")
    person.host.type(ui.hostLineEdit, " ")
    person.host.click(ui.sendButton)
    assert "found no host" in person.message and not person.panel.session.igtl.open


def test_a_port_that_is_taken_is_told(person):
    ui = person.of("export")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        person.host.choose(ui.linkModeBox, "Be a server for this computer")
        person.host.type(ui.portEdit, str(taken.getsockname()[1]))
        person.host.click(ui.sendButton)
        person.wait(lambda: "cannot be opened" in ui.linkLabel.text, SOON_S)
    assert not ui.disconnectButton.enabled


def test_it_says_what_it_prepares(person, monkeypatch):
    from MultiViewRegistrationLib.session.presenters import export

    go, ui = threading.Event(), person.of("export")
    monkeypatch.setattr(export.result_files, "take_messages", lambda session, override: lambda: go.wait(20))
    person.host.click(ui.sendButton)
    person.host.process(0.1)
    assert ui.linkLabel.text == "Preparing the overlays to send..."
    person.panel.session.cancel()
    person.wait(lambda: ui.linkLabel.text == "Not connected.", SOON_S)
    go.set()


def test_pyigtl_is_installed_if_the_user_agrees(person, monkeypatch):
    from MultiViewRegistrationLib.panel import packages

    find_spec = packages.find_spec
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "pyigtl" else find_spec(name))
    person.host.answers.yes = False
    person.host.click(person.of("export").sendButton)
    (asked,) = person.host.told("question")
    assert asked.startswith("OpenIGTLink needs the Python package pyigtl")
    assert "pyigtl is not installed, expected your consent" in person.message and person.host.told("pip") == []
    assert not person.panel.session.igtl.open


def test_two_registrations_have_a_connection_each(person, port):
    ui, first = person.of("export"), person.registration
    person.host.type(ui.portEdit, str(port))
    person.host.click(ui.sendButton)
    person.wait(lambda: "Waiting for" in ui.linkLabel.text, SOON_S)
    person.panel.choose(phantom_registration(person.host.scene, "Other"))
    person.host.process(0.1)
    assert ui.linkLabel.text == "Not connected."
    person.panel.choose(first)
    person.wait(lambda: "Waiting for" in ui.linkLabel.text, 3)
    person.panel.session.igtl.close()
