"""Connections through which messages go to navigation, as a client or as a server. A peer that drops gets them again when it is back.

pyigtl's own client and server hold a connection for good as long as nothing is sent, and lose the message on which they notice.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from ...errors import InputError
from .messages import Messages

PORT = 18944
INTERVAL_S = 1.0  # between two of the small messages
RETRY_S = 0.5
LOCAL = "127.0.0.1"


def address(text: str) -> tuple[str, int]:
    """Host and port of "host:port"; the port may be left out."""
    host, _, port = text.rpartition(":") if ":" in text else (text, "", str(PORT))
    if not _is_host(host) or not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536):
        raise InputError(f'--igtl: found "{text}", expected host:port, as in 127.0.0.1:{PORT}; correct it.')
    return host.strip().strip("[]"), int(port)


def _is_host(text: str) -> bool:
    try:
        return bool(text.strip()) and bool(text.strip().encode("idna"))
    except UnicodeError:
        return False


def send_to(
    host: str,
    port: int,
    messages: Messages,
    stop: threading.Event,
    tell: Callable[[str], object],
    interval_s: float = INTERVAL_S,
) -> None:
    """Be a client of a server until `stop` is set: all messages at each connection, the small ones again at each interval."""
    told = ""
    while not stop.is_set():
        try:
            with socket.create_connection((host, port), timeout=2.0) as connection:
                tell(f"connected to {host}:{port}")
                told = ""
                _feed(connection, messages, stop, interval_s)
                if not stop.is_set():
                    tell(f"{host}:{port} closed the connection")
        except OSError as error:
            reason = f"waiting for {host}:{port} ({error.strerror or error})"
            if reason != told:
                tell(reason)
            told = reason
        stop.wait(RETRY_S)


def serve(
    port: int, messages: Messages, stop: threading.Event, tell: Callable[[str], object], interval_s: float = INTERVAL_S
) -> None:
    """Be a server on this machine alone (127.0.0.1) until `stop` is set, for any number of clients.

    InputError where the port is taken.
    """
    try:
        listening = socket.create_server((LOCAL, port))
    except (OSError, OverflowError) as error:
        raise InputError(
            f"--igtl-server: port {port} cannot be opened ({getattr(error, 'strerror', None) or error}), expected a free one; "
            "choose another."
        ) from None
    clients = []
    with listening:
        listening.settimeout(0.2)
        tell(f"waiting for clients at {LOCAL}:{listening.getsockname()[1]}")
        while not stop.is_set():
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                continue
            clients = [client for client in clients if client.is_alive()]
            clients.append(
                threading.Thread(target=_serve_one, args=(connection, messages, stop, tell, interval_s), daemon=True)
            )
            clients[-1].start()
    for client in clients:
        client.join(2.0)


def _serve_one(
    connection: socket.socket,
    messages: Messages,
    stop: threading.Event,
    tell: Callable[[str], object],
    interval_s: float,
) -> None:
    tell("a client connected")
    with connection, suppress(OSError):  # it is gone, and may come back
        _feed(connection, messages, stop, interval_s)
    if not stop.is_set():
        tell("a client is gone")


def _feed(connection: socket.socket, messages: Messages, stop: threading.Event, interval_s: float) -> None:
    """All messages, and the small ones again, until the peer is gone (then it returns, or raises OSError) or `stop` is set."""
    connection.settimeout(10.0)
    due, outgoing = 0.0, [*messages.small, *messages.images]
    while not stop.is_set():
        if monotonic() >= due:
            for pack in outgoing:
                connection.sendall(pack())
            due, outgoing = monotonic() + interval_s, messages.small
        connection.settimeout(0.1)
        try:
            if not connection.recv(65536):
                return
        except TimeoutError:
            pass
        connection.settimeout(10.0)
