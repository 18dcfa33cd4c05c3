"""OpenIGTLink: a result as messages, and connections that resend them.

For as long as a person wants, and marked once the result is stale. pyigtl packs the messages; its
own server takes one client, sends nothing to it again, and sets signals, as only a main thread may.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from time import monotonic

import numpy as np

from ...errors import InputError, install_command
from ...known import without_empty
from ...translation import _
from ..result_json import RegistrationExport
from ..transforms import turned

#: How many characters OpenIGTLink allows for the name of a device; what that of a bone in the
#: tracker's frame ends in.
MAX_DEVICE = 20
REFERENCE = "ToReference"
#: Of a digest in a device's name, 5 bits each: two of 100 names share one in 1 of 200,000 results.
CHARACTERS = 6
CT_TO_WORLD = "CTToWorld"
CT_TO_REFERENCE = "CTToReference"
STATUS = "MultiViewReg"
OVERLAY = "Overlay"
#: What no name of a bone may have in it, to be sent as it is.
OWN = (CT_TO_WORLD, CT_TO_REFERENCE, STATUS, OVERLAY, REFERENCE)
DEVICES = {"world_from_ct": CT_TO_WORLD, "reference_from_ct": CT_TO_REFERENCE}
#: Of the protocol's STATUS codes: OK; device not ready, for what a person has yet to judge; device
#: disabled, for what must not be used.
OK = 1
NOT_READY = 13
DISABLED = 15
#: The basis of a verdict: an OK is no promise for real X-rays, and the navigation system must be
#: able to show that.
BASIS = "calibrated on simulated X-rays alone"


@dataclass
class Messages:
    """The messages for a peer, which may be replaced while they are sent.

    Each function packs a new message with its own time stamp.

    Attributes
    ----------
    small
        TRANSFORM and STATUS, which are repeated.
    images
        The overlays, sent once a connection.
    """

    small: list[Callable[[], bytes]]
    images: list[Callable[[], bytes]]


def messages_of(
    exported: RegistrationExport,
    poses_of: Sequence[RegistrationExport] = (),
    pictures: Sequence[np.ndarray] = (),
) -> Messages:
    """Return the messages of a result.

    They are the poses that are sent, in RAS (float32, as the protocol has it), those of each bone
    under its name, STATUS with the verdict of `exported`, the result or a bone, and the pictures,
    uint8 (rows, columns, 3), as overlays.

    Raises
    ------
    InputError
        Where pyigtl is missing.
    """
    try:
        import pyigtl
    except ImportError:
        raise InputError(
            "OpenIGTLink: the Python package pyigtl is not installed; install it with "
            f"{install_command('navigation')}."
        ) from None

    def packed(kind: type, device: str, further: dict[str, str], **content) -> bytes:
        message = kind(device_name=device, **content)
        message.header_version = 2  # the one with metadata
        message.metadata = {key: _sendable(value) for key, value in further.items()}
        return message.pack()

    small: list[Callable[[], bytes]] = []
    devices: list[str] = []
    for each in poses_of:
        for name, matrix in each.poses.items():
            devices.append(devices_of(each)[name])
            said = devices[-1], {**_metadata(each), "Pose": f"{name}, mm, RAS"}
            small.append(partial(packed, pyigtl.TransformMessage, *said, matrix=turned(matrix)))
    images: list[Callable[[], bytes]] = []
    for number, pixels in enumerate(pictures, start=1):
        overlay = pyigtl.ImageMessage, f"{OVERLAY}{number}", _metadata(exported)
        images.append(partial(packed, *overlay, image=pixels[None]))
    body = _status(exported, devices)
    status = type(
        "StatusMessage", (pyigtl.messages.MessageBase,), {"_pack_content": lambda _: body}
    )

    def packed_status() -> bytes:
        message = status(device_name=STATUS)
        message._message_type = "STATUS"
        return message.pack()

    return Messages([*small, packed_status], images)


def devices_of(exported: RegistrationExport) -> dict[str, str]:
    """Return the device names of a result's poses, by the poses' names: DEVICES for the whole CT.

    A bone's is its own where the protocol has room for it: MAX_DEVICE characters of ASCII, of which
    that to the tracker's frame ends in REFERENCE. Any other is what fits of its ASCII characters and
    CHARACTERS of the SHA-256 of the full name, so that it is the same whatever else is sent.
    """
    name = exported.structure
    if name is None:
        return {pose: DEVICES[pose] for pose in exported.poses}
    endings = {"world_from_ct": "", "reference_from_ct": REFERENCE}
    return {pose: _device(name, endings[pose]) for pose in exported.poses}


def _device(name: str, ending: str) -> str:
    room = MAX_DEVICE - len(ending)
    plain = re.fullmatch(r"[!-~]([ -~]*[!-~])?", name) and not any(own in name for own in OWN)
    if plain and len(name) <= room:
        return name + ending
    digest = base64.b32encode(hashlib.sha256(name.encode()).digest()).decode()[:CHARACTERS].lower()
    kept = "".join(re.findall(r"[A-Za-z0-9]+", name))[: room - CHARACTERS - 1]
    return f"{kept}{'-' if kept else ''}{digest}{ending}"


def _metadata(exported: RegistrationExport) -> dict[str, str]:
    """Return what every message about a pose says of it."""
    return {
        "Verdict": json.dumps(exported.verdict),
        "TransformStatus": "UNKNOWN" if exported.warning else "OK",
        **({"Override": exported.warning} if exported.warning else {}),
        **{key.capitalize(): text for key, text in _told(exported).items()},
    }


def _told(exported: RegistrationExport) -> dict[str, str]:
    """Return what messages say of a pose beside its verdict."""
    said = exported.said
    basis = BASIS if exported.verdict else ""
    told = {
        "basis": basis,
        "checked": said.get("checked"),
        "structure": exported.structure,
    }
    return without_empty(told)


def _status(exported: RegistrationExport, devices: list[str]) -> bytes:
    """Return the body of STATUS: code, subcode, name and message (OpenIGTLink protocol, STATUS).

    The message is JSON.
    """
    code = OK if exported.verdict == "accept" else NOT_READY
    if exported.warning:
        code = DISABLED
    name = "override" if exported.warning else exported.verdict or "not assessed"
    message = {
        "verdict": exported.verdict,
        "override": exported.warning,
        "poses": devices,
        **_told(exported),
    }
    return (
        struct.pack("> H q 20s", code, 0, name.encode())
        + json.dumps(message).encode("ascii")
        + b"\0"
    )


def pictures_beside(exported: RegistrationExport) -> list[np.ndarray]:
    """Return the overlays that lie beside a result.json, as `messages_of` takes them.

    Raises
    ------
    InputError
        Where one cannot be read.
    """
    names = (f"{Path(view.name).name}_edges_after.png" for view in exported.views)
    files = map(exported.path.parent.joinpath, names)
    return [_pixels(file) for file in files if file.is_file()]


def _pixels(picture: Path) -> np.ndarray:
    from PIL import Image  # the panel, which knows the names above, opens without it

    try:
        with Image.open(picture) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError):
        raise InputError(
            f"{picture}: cannot be read as a picture, expected the overlay of a view; write the "
            "result again, or remove it."
        ) from None


class _Utf8(str):
    """Text that pyigtl 0.3.4 sends in UTF-8: it waits for the error of the other direction."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        try:
            return super().encode(encoding, errors)
        except UnicodeEncodeError as error:
            raise UnicodeDecodeError(encoding, b"?", 0, 1, error.reason) from None


def _sendable(text: str) -> str:
    """Return a text that pyigtl can pack."""
    from pyigtl.messages import MessageBase

    try:
        MessageBase.encode_text(text)
    except UnicodeEncodeError:
        return _Utf8(text)
    return text


PORT = 18944
INTERVAL_S = 1.0  # between two of the small messages
RETRY_S = 0.5
LOCAL = "127.0.0.1"


def address(text: str) -> tuple[str, int]:
    """Return host and port of "host:port"; the port may be left out."""
    host, _, port = text.rpartition(":") if ":" in text else (text, "", str(PORT))
    if not _is_host(host) or not (
        port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536
    ):
        raise InputError(
            f'--igtl: found "{text}", expected host:port, as in 127.0.0.1:{PORT}; correct it.'
        )
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
    notify: Callable[[str], object],
    interval_s: float = INTERVAL_S,
) -> None:
    """Be a client of a server until `stop` is set.

    All messages at each connection, the small ones again at each interval.
    """
    last_reason = ""
    while not stop.is_set():
        try:
            with socket.create_connection((host, port), timeout=2.0) as connection:
                notify(f"connected to {host}:{port}")
                last_reason = ""
                _feed(connection, messages, stop, interval_s)
                if not stop.is_set():
                    notify(f"{host}:{port} closed the connection")
        except OSError as error:
            reason = f"waiting for {host}:{port} ({error.strerror or error})"
            if reason != last_reason:
                notify(reason)
            last_reason = reason
        stop.wait(RETRY_S)


def serve(
    port: int,
    messages: Messages,
    stop: threading.Event,
    notify: Callable[[str], object],
    interval_s: float = INTERVAL_S,
) -> None:
    """Be a server on this machine alone (127.0.0.1) until `stop` is set, for any number of clients.

    Raises
    ------
    InputError
        Where the port is taken.
    """

    class Client(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            """Send the messages to a client until it is gone."""
            notify("a client connected")
            with suppress(OSError):  # it is gone, and may come back
                _feed(self.request, messages, stop, interval_s)
            if not stop.is_set():
                notify("a client is gone")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = os.name != "nt"  # where it would share the port with another program
        daemon_threads = True
        block_on_close = False

    try:
        server = Server((LOCAL, port), Client)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"--igtl-server: port {port} cannot be opened "
            f"({getattr(error, 'strerror', None) or error}), expected a free one; choose another."
        ) from None
    with server:
        notify(f"waiting for clients at {LOCAL}:{server.server_address[1]}")
        server.timeout = 0.2
        while not stop.is_set():
            server.handle_request()


def _feed(
    connection: socket.socket, messages: Messages, stop: threading.Event, interval_s: float
) -> None:
    """Send all messages, and the small ones again, until the peer is gone or `stop` is set.

    Where the peer is gone it returns, or raises OSError.
    """
    connection.settimeout(10.0)
    due = 0.0
    outgoing = [*messages.small, *messages.images]
    while not stop.is_set():
        if monotonic() >= due:
            for pack in outgoing:
                connection.sendall(pack())
            due = monotonic() + interval_s
            outgoing = messages.small
        connection.settimeout(0.1)
        try:
            if not connection.recv(65536):
                return
        except TimeoutError:
            pass
        connection.settimeout(10.0)


#: The warning of a pose that was sent, once the CT lies elsewhere.
MOVED_SINCE_SENT = _("The CT lies elsewhere than when this was sent.")
#: The largest difference of two matrices of one pose.
POSE_TOLERANCE = 1e-6


def address_of(host: str, port: int) -> tuple[str, int]:
    """Return the host and port for `IgtlConnection.send_to`.

    Raises
    ------
    InputError
        For an invalid host.
    """
    if not host.strip():
        raise InputError(
            _(
                "OpenIGTLink: found no host, expected the name or address of the computer with the "
                "server; enter it."
            )
        )
    return address(f"{host.strip()}:{port}")


class IgtlConnection:
    """At most one connection: as a client of a server, or as a server for clients on this machine.

    A thread keeps it.

    Attributes
    ----------
    status
        Of the connection, a few words; "" without a connection.
    pose
        Which one is sent, in words.
    stale_reason
        Why that pose is not sent any more, a sentence; "" while it is.
    """

    def __init__(self) -> None:
        self.status = self.pose = self.stale_reason = ""
        self._stop: threading.Event | None = None
        self._thread: threading.Thread | None = None
        self._sent: tuple[RegistrationExport, Messages] | None = None
        self._small: list[Callable[[], bytes]] = []

    @property
    def open(self) -> bool:
        """Whether there is a connection, or one is tried for."""
        return self._stop is not None and self._thread is not None and self._thread.is_alive()

    def send_to(
        self, host: str, port: int, exported: RegistrationExport, messages: Messages
    ) -> None:
        """Send a result to a server, again and again.

        After a lost connection it gets all of it again.
        """
        self._begin(partial(send_to, host, port), exported, messages)

    def serve(self, port: int, exported: RegistrationExport, messages: Messages) -> None:
        """Offer a result to clients on this machine. Where the port is taken, `status` says so."""
        self._begin(partial(serve, port), exported, messages)

    def mark_stale(self, world_from_ct: np.ndarray, reason: str) -> None:
        """Stop the pose where it stands no more, for another reason than a person knew who sent it.

        The next message is a status with the reason alone, as many a peer looks at no status. Send
        it again once it stands again.

        Parameters
        ----------
        world_from_ct
            (4, 4), where the CT is now.
        reason
            Why not to use the pose there, "" for none.
        """
        if self._sent is None or not self.open:
            return
        exported, live = self._sent
        if not np.allclose(exported.world_from_ct, world_from_ct, rtol=0, atol=POSE_TOLERANCE):
            reason = MOVED_SINCE_SENT
        given = exported.warning or ""
        reason = "" if reason in given else reason
        if reason != self.stale_reason:
            self.stale_reason = reason
            warning = " ".join(filter(None, [given, reason]))
            status = messages_of(replace(exported, warning=warning or None)).small
            live.small = status if reason else self._small

    def close(self) -> None:
        """End the connection; nothing happens without one."""
        if self._stop is not None:
            self._stop.set()
        self._stop = None
        self.status = ""
        self.pose = ""
        self.stale_reason = ""

    def _begin(self, run: Callable, exported: RegistrationExport, messages: Messages) -> None:
        self.close()
        before = self._thread
        stop = threading.Event()
        live = replace(messages)  # whose small ones change while they are sent
        self._small = messages.small
        self._stop = stop
        self._sent = (exported, live)
        self.pose = _("the pose of {time} ({verdict})").format(
            time=datetime.now().strftime("%H:%M:%S"), verdict=exported.verdict or _("not assessed")
        )

        def notify(text: str) -> None:
            if self._stop is stop:
                self.status = text

        def work() -> None:
            if before is not None:
                before.join()  # its port is free then
            try:
                run(live, stop, notify)
            except InputError as error:
                notify(str(error))

        self._thread = threading.Thread(target=work, name="MultiViewRegistration link", daemon=True)
        self._thread.start()
