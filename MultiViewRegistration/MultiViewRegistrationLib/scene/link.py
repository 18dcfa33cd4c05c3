"""The pose handed on to navigation through OpenIGTLink, by the extension SlicerOpenIGTLink where it is installed."""

from __future__ import annotations

import json

import numpy as np
import slicer

from ..errors import InputError
from ..io.navigation.messages import CT_TO_REFERENCE, CT_TO_WORLD
from .case import EXTRAS
from .export import settled
from .frames import set_transform
from .products import product
from .registration import Registration
from .session import Session

CONNECTOR = "connector"
PORT = 18944
#: Attributes by which SlicerOpenIGTLink knows what to do with a node: send it as soon as the connection stands; what to say of it.
ON_CONNECT, STATUS = "OpenIGTLinkIF.pushOnConnect", "TransformStatus"
OK, OVERRIDDEN = "OK", "UNKNOWN"


def available() -> bool:
    """Whether SlicerOpenIGTLink is installed."""
    return hasattr(slicer, "vtkMRMLIGTLConnectorNode")


def send(session: Session, host: str = "127.0.0.1", port: int = PORT, *, override: bool = False) -> None:
    """Send the CT's pose, RAS, to an OpenIGTLink server, as the TRANSFORM message CTToWorld, and with a tracker's frame as CTToReference.

    At this call, or as soon as the connection stands, and not whenever the CT moves. One that was overridden goes out with the status
    UNKNOWN in its metadata.

    InputError where SlicerOpenIGTLink or the host is missing, and as `export.write_result` at once.
    """
    if not available():
        raise InputError("OpenIGTLink: the extension SlicerOpenIGTLink is missing, expected it; install it in the Extensions Manager.")
    if not host.strip():
        raise InputError("OpenIGTLink: found no host, expected the name or address of the computer with the server; enter it.")
    doubt, registration = settled(session, override), session.registration
    connector = product(registration.node, CONNECTOR, "vtkMRMLIGTLConnectorNode", "To navigation")
    _connect(connector, host.strip(), port)  # first: what is changed below goes out at once where a connection stands
    messages = [_message(registration, name, pose, doubt) for name, pose in _poses(registration).items()]
    outgoing = [connector.GetOutgoingMRMLNode(i) for i in range(connector.GetNumberOfOutgoingMRMLNodes())]
    for message in messages:
        if message not in outgoing:
            connector.RegisterOutgoingMRMLNode(message)
        connector.PushNode(message)  # to nobody before the connection stands


def disconnect(registration: Registration) -> None:
    """End the connection, if there is one."""
    connector = registration.node.GetNodeReference(CONNECTOR)
    if connector is not None:
        connector.Stop()


def connection(registration: Registration) -> tuple[bool, str] | None:
    """Whether the connection stands, and to which host and port it goes; None where there is none, nor is to be one."""
    connector = registration.node.GetNodeReference(CONNECTOR) if available() else None
    if connector is None or connector.GetState() == connector.StateOff:
        return None
    return connector.GetState() == connector.StateConnected, f"{connector.GetServerHostname()}:{connector.GetServerPort()}"


def _poses(registration: Registration) -> dict[str, np.ndarray]:
    """(4, 4), LPS, by the message's name."""
    world_from_ct = registration.world_from_ct
    reference_from_world = json.loads(registration.parameter(EXTRAS, "{}")).get("reference_from_world")
    further = {} if reference_from_world is None else {CT_TO_REFERENCE: np.array(reference_from_world) @ world_from_ct}
    return {CT_TO_WORLD: world_from_ct, **further}


def _message(registration: Registration, name: str, pose: np.ndarray, doubt: str):
    node = product(registration.node, f"sent{name}", "vtkMRMLLinearTransformNode", name)
    node.SetAttribute(ON_CONNECT, "true")
    node.SetAttribute(STATUS, OVERRIDDEN if doubt else OK)
    set_transform(node, pose)
    return node


def _connect(connector, host: str, port: int) -> None:
    if connector.GetState() != connector.StateOff:
        if (connector.GetServerHostname(), connector.GetServerPort()) == (host, port):
            return
        connector.Stop()
    connector.SetTypeClient(host, port)
    connector.Start()
