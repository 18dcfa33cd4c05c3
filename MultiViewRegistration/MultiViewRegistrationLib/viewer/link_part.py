"""The pose handed to navigation through OpenIGTLink, as a client or as a server on this computer."""

from __future__ import annotations

from functools import partial

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..errors import InputError
from ..session import export, link
from .elements import NumberField
from .xray_editor import number

CLIENT, SERVER = "client", "server"
MODES = "[{value: 'client', title: 'Send to a server'}, {value: 'server', title: 'Offer to clients on the computer of mvreg view'}]"
LARGEST_PORT = 65535


class LinkPart:
    """Below the files of the step Export."""

    def __init__(self, section) -> None:
        self._section, self._mode, self._host, self._port, self._told = section, CLIENT, "localhost", link.PORT, ""

    def build(self) -> None:
        with html.Details(classes="mv-details", open=("exporting.linked",)):
            html.Summary("OpenIGTLink: the pose, its verdict and the overlays to navigation")
            v.VSelect(
                label="How",
                items=(MODES,),
                model_value=("exporting.link_mode",),
                update_modelValue=(self.set, "['mode', $event]"),
                classes="mt-3",
            )
            with html.Div(classes="mv-grid2"):
                v.VTextField(
                    label="Host",
                    model_value=("exporting.link_host",),
                    disabled=("exporting.link_mode === 'server'",),
                    change=(self.set, "['host', $event.target.value]"),
                )
                NumberField(
                    label="Port",
                    min=1,
                    max=LARGEST_PORT,
                    step=1,
                    model_value=("exporting.link_port",),
                    change=(self.set, "['port', $event.target.value]"),
                )
            with html.Div(classes="mv-row"):
                v.VBtn(
                    "{{ exporting.link_mode === 'server' ? 'Offer' : 'Send' }}",
                    click=self.begin,
                    size="small",
                    variant="tonal",
                    disabled=("!exporting.link_ready",),
                )
                v.VBtn("Disconnect", click=self.end, size="small", variant="text", disabled=("!exporting.linked",))
                html.Span("{{ exporting.link_told }}", classes="mv-fact", role="status")

    def content(self) -> dict:
        """What the widgets show."""
        session = self._section.session
        ready = session is not None and not session.running and (self._section.overridden or not session.doubt())
        return {
            "link_mode": self._mode,
            "link_host": self._host,
            "link_port": self._port,
            "link_ready": ready,
            "linked": session is not None and session.link.open,
            "link_told": self._now(),
        }

    def tick(self) -> None:
        """Follow the connection."""
        if self._now() != self._told:
            self._told = self._now()
            self._section.application.invalidate()

    def _now(self) -> str:
        session = self._section.session
        return session.link.told if session is not None and session.link.told else "not connected"

    # What a person does

    def set(self, what: str, value) -> None:
        """Another "mode", "host" or "port"."""
        with self._section.application.acting():
            if what == "mode" and value in (CLIENT, SERVER):
                self._mode = value
            elif what == "host":
                self._host = str(value)
            elif what == "port":
                port = number(value, "Port")
                if port % 1 or not 1 <= port <= LARGEST_PORT:
                    raise InputError(
                        f"Port: found {port:g}, expected a whole number from 1 to {LARGEST_PORT}; correct it."
                    )
                self._port = int(port)

    def begin(self) -> None:
        """Send or offer the pose as it is now."""
        with self._section.application.acting():
            goes_to = self._section.session.link
            start = (
                partial(goes_to.serve, self._port)
                if self._mode == SERVER
                else partial(goes_to.send_to, *link.address(self._host, self._port))
            )
            making = export.take_messages(self._section.session, override=self._section.overridden)
            self._section.session.run(making, lambda made: start(*made))

    def end(self) -> None:
        """Close the connection."""
        with self._section.application.acting():
            self._section.session.link.close()
