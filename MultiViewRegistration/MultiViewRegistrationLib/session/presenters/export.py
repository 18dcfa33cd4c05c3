"""The section Export: files, and the result handed to navigation through OpenIGTLink."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import monotonic

import numpy as np

from ...io.navigation import igtl
from ...mrml.fingerprints import fingerprint
from ...translation import _
from .. import result_files
from ..assessment import reason_not_to_use
from ..tasks import Writer
from .form import (
    Button,
    Choice,
    Control,
    Download,
    Form,
    Link,
    Switch,
    Text,
    TextField,
    group,
    options_of,
    quiet,
    row,
)
from .number import Number
from .section import Host, Presenter, State, folder_name, written_to

MODES = {"client": _("Send to a server"), "server": _("Offer to clients on the same computer")}
PORT = Number(_("Port"), 1, 65535, whole=True)
REPORT = "report.html"
TRANSFORM = "world_from_ct.tfm"
#: What is offered beside the archive of all files.
SINGLE = (TRANSFORM, "world_from_ct.slicer.tfm", "result.json", REPORT)
#: What an export may hold, by its name here: what it is called, and what that is.
CONTENT = {
    "result": (
        _("Transforms and report"),
        _("Transforms for ITK and Slicer, result.json, and a report with overlays."),
    ),
    "case": (
        _("Case, to register again elsewhere"),
        _("case.json with the CT, the X-rays, their masks and geometry, from this pose."),
    ),
}
#: Seconds between two looks at whether the result still stands.
LOOK_S = 0.3


class ExportPresenter(Presenter):
    """The files to write, the reasons not to, and the connection to navigation."""

    TITLE = _("Export")

    names = False
    mode = "client"
    address = "127.0.0.1"
    port = str(igtl.PORT)

    def __init__(self, host: Host) -> None:
        self.chosen = {"result": True, "case": False}
        self._kinds: list[str] = []
        super().__init__(host)

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self._stale_reason = ""
        self._override = False
        self._text = ""
        self._files: list[Path] = []
        self._sending = False
        self._link_text = ""
        self._looked = 0.0
        self._exported: tuple | None = None  # the pose that was written
        self._rejected = ""  # key of an entry of the history that the export has rejected

    def state(self) -> State:
        """Return how far this step is."""
        if self._reason():
            return State("todo")
        return State("done", _("written")) if self._written_files() else State("ready")

    def form(self) -> Form:
        """Return the controls."""
        stale_reason = self._update_stale_reason()
        missing = self.missing()
        node = self.registration.ct_transform
        in_slicer = self.in_slicer
        tools = self.host.slicer_tools
        controls: Form = []
        if tools is not None:
            tip = _(
                "Open the Transforms module with this transform: its matrix, inverse, and hardening."
            )
            name = _("The CT's transform: {name}").format(name=node.GetName())
            show = partial(tools.show_in_module, node)
            button = Button("show_transform", _("Show in Transforms"), show, tip=tip)
            controls.append(row("transform", Text("transform_name", name), button))
        if stale_reason:
            override = _("Export it all the same; the files will say so")
            change = partial(setattr, self, "_override")
            controls += [
                Text("stale_reason", f"\u26a0 {stale_reason}", tone="caution"),
                Switch("override", override, change, on=self._override),
            ]
        for what, (label, tip) in CONTENT.items():
            change = partial(self.chosen.__setitem__, what)
            controls.append(Switch(what, label, change, on=self.chosen[what], tip=tip))
        if self.chosen["result"]:
            controls += [self._named(), self._formats()]
        told = in_slicer and self._is_exported() and not self.session.message
        offered = (REPORT,) if in_slicer else SINGLE
        titles = {REPORT: _("Open report")}
        files = [file for file in self._written_files() if file.name in offered]
        links = [Link(file.name, titles.get(file.name, file.name), path=file) for file in files]
        return [
            *controls,
            quiet("missing", missing),
            self.download(),
            Text("written", self._text if told else ""),
            row("links", *links),
            self._link(),
        ]

    def download(self) -> Download:
        """Return the control that writes what is chosen."""
        missing = self.missing()
        return Download(
            "registration",
            _("Export"),
            self.writer,
            done=self._written,
            name=lambda: folder_name("registration", self.registration),
            enabled=not missing,
            needs=("rendering",),
            tip=missing or _("Into a new folder, all files or none."),
        )

    def receipt(self) -> Form:
        """Return where the pose that is shown was written.

        Nothing in a browser, which says that itself.
        """
        if not self.in_slicer or not self._is_exported():
            return []
        if not self._files:
            return [quiet("exported", self._text if self.session.running else "")]
        report = next((file for file in self._files if file.name == REPORT), None)
        return [
            Text("exported", _("Exported to {folder}.").format(folder=self._files[0].parent)),
            Link("open_report", _("Open report"), path=report) if report else None,
        ]

    def _named(self) -> Control:
        return Switch(
            "names",
            _("Name the case in the report"),
            partial(setattr, self, "names"),
            on=self.names,
            tip=_(
                "Its name may be a patient's; without, the report has the names of the X-rays "
                "alone."
            ),
        )

    def _formats(self) -> Control:
        """Return the control for files for other programs."""
        poses = _(" and ").join(result_files.poses_offered(self.session))
        switches = []
        for kind, title in result_files.KIND_NAMES.items():
            missing = result_files.missing_for_kind(self.registration, kind)
            choose = partial(self._choose_kind, kind)
            on = kind in self.kinds()
            switches.append(
                Switch(f"format.{kind}", title, choose, on=on, enabled=not missing, tip=missing)
            )
        return group(
            "formats",
            _("Files for other programs") + (f" ({len(self.kinds())})" if self.kinds() else ""),
            quiet(
                "poses",
                _("Of {poses}; transforms in both directions, matrices in LPS and in RAS.").format(
                    poses=poses
                ),
            ),
            *switches,
            open=False,
        )

    def kinds(self) -> list[str]:
        """Return the files for other programs that are written."""
        missing = partial(result_files.missing_for_kind, self.registration)
        return [kind for kind in self._kinds if not missing(kind)] if self.chosen["result"] else []

    def _link(self) -> Control:
        """Return the control of OpenIGTLink."""
        missing = self._wait_or_override()
        server = self.mode == "server"
        hint = _(
            "Send the CT's pose, its verdict and the overlays to this server, until it is "
            "disconnected."
        )
        if server:
            hint = _(
                "Offer the CT's pose, its verdict and the overlays to clients on this computer, "
                "until it is disconnected."
            )
        return group(
            "igtl",
            _("OpenIGTLink, to navigation"),
            Choice(
                "mode",
                _("How"),
                partial(setattr, self, "mode"),
                value=self.mode,
                options=options_of(MODES),
            ),
            row(
                "peer",
                TextField(
                    "host",
                    _("Host"),
                    partial(setattr, self, "address"),
                    text=self.address,
                    enabled=not server,
                ),
                TextField("port", _("Port"), partial(setattr, self, "port"), text=self.port),
            ),
            row(
                "connection",
                Button(
                    "send",
                    _("Offer") if server else _("Send"),
                    self.connect,
                    enabled=not missing,
                    tip=missing or hint,
                    needs=("rendering", "navigation"),
                ),
                Button(
                    "disconnect",
                    _("Disconnect"),
                    self.session.igtl.close,
                    enabled=self.session.igtl.open,
                ),
            ),
            Text(
                "link",
                self._connection(),
                tone="caution" if self.session.igtl.stale_reason else "",
            ),
            open=False,
        )

    def missing(self) -> str:
        """Return the steps missing before files can be written; "" for none."""
        if self.host.reading:
            return _("Wait until what is being read is open.")
        if not self.session.running and not self.chosen["result"]:
            return "" if self.chosen["case"] else _("Choose what to write.")
        return self._wait_or_override()

    def tick(self) -> bool:
        """Take what threads have done; return whether there is something new to show."""
        text = self._connection()
        changed = text != self._link_text
        self._link_text = text
        if monotonic() - self._looked > LOOK_S:
            self._looked = monotonic()
            changed |= self._reason() != self._stale_reason  # the CT was moved, or an image changed
        return changed

    # What a person does

    def _choose_kind(self, kind: str, on: bool) -> None:
        chosen = {*self._kinds, kind} if on else {*self._kinds} - {kind}
        self._kinds = [each for each in result_files.KIND_NAMES if each in chosen]

    def writer(self, folder: Path) -> Writer:
        """Return a function that writes the chosen files into a folder, for a thread.

        Raises
        ------
        InputError
            As of `session.result_files`.
        """
        self._files = []
        self._text = _("Writing...")
        self._exported = self._pose()
        writers = []
        if self.chosen["case"]:
            writers.append(result_files.write_case_folder(self.session, folder))
        if self.chosen["result"]:
            writers.append(
                result_files.write_result(
                    self.session, folder, self.kinds(), override=self._override, names=self.names
                )
            )
        return result_files.write_together(self.session, folder, writers)

    def _written(self, files: list[Path]) -> None:
        self._files = files
        self._text = written_to(files)
        if self.chosen["result"] and not any(file.name.endswith(TRANSFORM) for file in files):
            self._rejected = self._entry_key()
            self._text += " " + _("The result was rejected: its transforms were not written.")

    def _reason(self) -> str:
        """Return why only an override exports the pose, a sentence; "" for no reason."""
        found = self._rejected and self._rejected == self._entry_key()
        return reason_not_to_use(self.session) or (_("The result was rejected.") if found else "")

    def _entry_key(self) -> str:
        entry = self.session.history.current
        return entry.key if entry else ""

    def _pose(self) -> tuple:
        """Return what identifies the pose as it is, how it came about, and what it is of."""
        pose = np.round(self.registration.world_from_ct, 6) + 0.0  # not -0
        return self.session.history.position, pose.tobytes(), fingerprint(self.registration)

    def _is_exported(self) -> bool:
        """Return whether what was exported last, or is being exported, is the pose as it is."""
        return self._exported is not None and self._exported == self._pose()

    def _written_files(self) -> list[Path]:
        """Return the files of the pose as it is."""
        return self._files if self._is_exported() else []

    def connect(self) -> None:
        """Send the pose as it is now to a server, or offer it to clients.

        Raises
        ------
        InputError
            For an invalid host or port.
        """
        peer = self.session.igtl
        port = round(PORT.read(self.port))
        server = None if self.mode == "server" else igtl.address_of(self.address, port)
        begin = partial(peer.serve, port) if server is None else partial(peer.send_to, *server)
        making = result_files.take_messages(self.session, override=self._override)
        self.session.run(making, lambda made: begin(*made))
        self._sending = True

    def _update_stale_reason(self) -> str:
        """Return why the pose is stale; the override holds for one reason only."""
        stale_reason = self._reason()
        if stale_reason != self._stale_reason:
            self._stale_reason = stale_reason
            self._override = False
        return stale_reason

    def _wait_or_override(self) -> str:
        if self.session.running:
            return _("Wait until the work under way is done.")
        refused = self._update_stale_reason() and not self._override
        return _("Register first, or override the warning above.") if refused else ""

    def _connection(self) -> str:
        """Return the state of the connection, in a sentence."""
        self._sending = self._sending and self.session.running
        if self._sending:
            return _("Preparing the overlays to send...")
        peer = self.session.igtl
        if not peer.status:
            return _("Not connected.")
        text = f"{peer.status[0].upper()}{peer.status[1:].rstrip('.')}."
        if not peer.open:
            return text
        if peer.stale_reason:
            stopped = _(
                "\u26a0 {link} It is told not to use {pose}, which is not sent any more. {reason} "
                "Send again, or disconnect."
            )
            return stopped.format(link=text, pose=peer.pose, reason=peer.stale_reason)
        return _("{link} It gets {pose}.").format(link=text, pose=peer.pose)
