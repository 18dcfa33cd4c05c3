"""The section Export: files, and the result handed to navigation through OpenIGTLink."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic

from ...errors import InputError
from .. import igtl_connection, result_files
from ..translation import _
from .section import DONE, READY, TODO, Presenter, State

CLIENT, SERVER = "client", "server"
MAX_PORT = 65535
#: Seconds between two looks at whether the result still stands.
LOOK_S = 0.3


@dataclass(frozen=True)
class Shown:
    """What the widgets show.

    doubt: what speaks against the pose, "" for nothing.   missing: what must be done before files can be written, "" for nothing.
    formats: files for other programs, {"value", "title", "missing"} each.   kinds: those that are chosen.
    """

    doubt: str
    override: bool
    result: bool
    case: bool
    missing: str
    formats: list[dict]
    kinds: list[str]
    poses: str
    link_mode: str
    link_host: str
    link_port: int
    link_missing: str
    linked: bool
    link_text: str

    @property
    def link_ready(self) -> bool:
        return not self.link_missing


class ExportPresenter(Presenter):
    """What is written, whether it may be, and the connection to navigation."""

    TITLE = _("Export")

    def __init__(self, host) -> None:
        self.result, self.case = True, False
        self._kinds: list[str] = []
        self.mode, self.address, self.port = CLIENT, "127.0.0.1", igtl_connection.PORT
        super().__init__(host)

    def reset(self) -> None:
        self._doubt, self._override, self.written = "", False, False
        self._sending, self._link_text, self._looked = False, "", 0.0

    def state(self) -> State:
        if self.session.stale_reason():
            return State(TODO)
        return State(DONE, _("written")) if self.written else State(READY)

    def shown(self) -> Shown:
        doubt = self._take_doubt()
        formats = [] if self.session is None else self._formats()
        usable = [kind["value"] for kind in formats if not kind["missing"]]
        return Shown(
            doubt=doubt,
            override=self._override,
            result=self.result,
            case=self.case,
            missing=self.missing(),
            formats=formats,
            kinds=[kind for kind in self._kinds if kind in usable] if self.result else [],
            poses=_(" and ").join(result_files.poses_offered(self.session)) if self.session is not None else "",
            link_mode=self.mode,
            link_host=self.address,
            link_port=self.port,
            link_missing=self._wait_or_override(),
            linked=self.session is not None and self.session.igtl.open,
            link_text=self._connection(),
        )

    def missing(self) -> str:
        """What must be done before files can be written; "" for nothing."""
        if self.session is not None and not self.session.running and not (self.result or self.case):
            return _("Choose what to write.")
        if self.session is not None and not self.session.running and not self.result:
            return ""
        return self._wait_or_override()

    def tick(self) -> bool:
        text = self._connection()
        changed, self._link_text = text != self._link_text, text
        if monotonic() - self._looked > LOOK_S:
            self._looked = monotonic()
            changed |= self.session.stale_reason() != self._doubt  # the CT was moved, or an image changed
        return changed

    # What a person does

    def choose(self, what: str, on: bool) -> None:
        """Switch "override", "result" or "case"."""
        if what == "override":
            self._override = bool(on)
        elif what == "result":
            self.result = bool(on)
        elif what == "case":
            self.case = bool(on)

    def choose_kinds(self, kinds: list[str] | None) -> None:
        """Choose files for other programs, of `export.formats`."""
        self._kinds = [kind for kind in result_files.formats() if kind in (kinds or [])]

    def set_link(self, what: str, value) -> None:
        """Set "mode", "host" or "port" of the connection; InputError for a port that is none."""
        if what == "mode" and value in (CLIENT, SERVER):
            self.mode = value
        elif what == "host":
            self.address = str(value)
        elif what == "port":
            if value % 1 or not 1 <= value <= MAX_PORT:
                raise InputError(
                    _("Port: found {port:g}, expected a whole number from 1 to {most}; correct it.").format(
                        port=value, most=MAX_PORT
                    )
                )
            self.port = int(value)

    def writer(self, folder: Path) -> Callable[[], list[Path]]:
        """A function that writes the chosen files into a folder, for a thread; InputError where something is missing."""
        if self.missing():
            raise InputError(_("Export: {missing}").format(missing=self.missing()))
        writers = [result_files.write_case_folder(self.session, folder)] if self.case else []
        if self.result:
            writers.append(result_files.write_result(self.session, folder, self.shown().kinds, override=self._override))
        return lambda: [file for write in writers for file in write()]

    def connect(self) -> None:
        """Send the pose as it is now to a server, or offer it to clients."""
        peer = self.session.igtl
        as_server = self.mode == SERVER
        begin = partial(peer.serve, self.port) if as_server else partial(peer.send_to, *self._server())
        making = result_files.take_messages(self.session, override=self._override)
        self.session.run(making, lambda made: begin(*made))
        self._sending = True

    def disconnect(self) -> None:
        """Close the connection."""
        self.session.igtl.close()

    def _server(self) -> tuple[str, int]:
        return igtl_connection.address(self.address, self.port)

    def _take_doubt(self) -> str:
        """What speaks against the pose; an override was for the doubt that there was."""
        doubt = self.session.stale_reason() if self.session is not None else ""
        if doubt != self._doubt:
            self._doubt, self._override = doubt, False
        return doubt

    def _wait_or_override(self) -> str:
        if self.session is None:
            return _("Open a case first.")
        if self.session.running:
            return _("Wait until the work under way is done.")
        return _("Register first, or override the warning above.") if self._take_doubt() and not self._override else ""

    def _formats(self) -> list[dict]:
        return [
            {"value": kind, "title": title, "missing": result_files.missing_for_kind(self.registration, kind)}
            for kind, title in result_files.formats().items()
        ]

    def _connection(self) -> str:
        """How the connection stands, in a sentence."""
        if self.session is None:
            return ""
        self._sending = self._sending and self.session.running
        if self._sending:
            return _("Preparing the overlays to send...")
        text = self.session.igtl.status
        return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else _("Not connected.")
