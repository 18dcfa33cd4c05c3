"""A result sent to navigation through OpenIGTLink for as long as a person wants, marked once it is stale."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

import numpy as np

from ...errors import InputError
from ...translation import _
from . import igtl
from .igtl import PORT, Messages, messages_of
from .registration_export import RegistrationExport

__all__ = ["PORT", "IgtlConnection", "address"]

#: The warning of a pose that was sent, once the CT lies elsewhere.
MOVED_SINCE_SENT = _("The CT lies elsewhere than when this was sent.")
#: The largest difference of two matrices of one pose.
POSE_TOLERANCE = 1e-6


def address(host: str, port: int) -> tuple[str, int]:
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
    return igtl.address(f"{host.strip()}:{port}")


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
        self._begin(partial(igtl.send_to, host, port), exported, messages)

    def serve(self, port: int, exported: RegistrationExport, messages: Messages) -> None:
        """Offer a result to clients on this machine. Where the port is taken, `status` says so."""
        self._begin(partial(igtl.serve, port), exported, messages)

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
