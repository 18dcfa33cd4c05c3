"""A server of the viewer in a process of its own, and a page of it in a browser, with what a person does there."""

from __future__ import annotations

import base64
import http.client
import io
import os
import re
import signal
import subprocess
import sys
import threading
import zipfile
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import SimpleITK as sitk
from PIL import Image

from MultiViewRegistrationLib.geometry import rigid

LIBRARY = Path(__file__).resolve().parents[2] / "MultiViewRegistration"
#: With Ctrl-C and a closing terminal as at one: whoever was begun in the background, or by nohup,
#: would ignore them.
MVREG = [
    sys.executable,
    "-c",
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "signal.signal(getattr(signal, 'SIGHUP', signal.SIGTERM), signal.SIG_DFL); "
    "from MultiViewRegistrationLib.cli.main import main; sys.exit(main())",
]
PATIENCE_S = 90.0
#: Finds a control in the form of a section.
CONTROL = """(section, key) => {
    const find = all => {
        for (const each of all || []) {
            if (each.key === key) return each;
            const inside = find(each.children);
            if (inside) return inside;
        }
        return null;
    };
    return find((s[section + '_form'] || {}).controls);
}"""
#: What a browser begins a websocket with.
HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


FORM = "multipart/form-data; boundary=xyz"


def form(files, folder=""):
    """A form with files by their names, written as the page does."""
    parts = [
        f'--xyz\r\nContent-Disposition: form-data; name="file"; filename="{quote(folder + name, safe="")}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join([*parts, b"--xyz--\r\n"])


def mtre_mm(transform, case):
    """Of a transform of SimpleITK at the targets of a case.json, against its truth."""
    targets = np.array(case["targets"])
    found = np.array([transform.TransformPoint(point.tolist()) for point in targets])
    return float(
        np.linalg.norm(
            found - rigid.transform_points(np.array(case["truth"]["world_from_ct"]), targets),
            axis=1,
        ).mean()
    )


#: The names of the X-rays; that of the CT, "" without one; whether files of either are being read.
XRAYS = "() => ((c('xrays', 'xrays') || {}).lines || []).map(line => line.cells[0].text)"
CT = "() => { const ct = c('ct', 'ct'); return ct && ct.value ? ct.options.find(o => o.value === ct.value).title : ''; }"
READING = "() => (c('files', 'looking') || { label: '' }).label !== ''"
#: Drags files over the first element of a selector, with these events.
DRAG = """([selector, files, kinds]) => { const data = new DataTransfer();
    for (const [name, content] of files) data.items.add(new File([Uint8Array.from(atob(content), c => c.charCodeAt(0))], name));
    const place = document.querySelector(selector);
    for (const kind of kinds) place.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true })); }"""
#: The numbers of the pose that an X-ray has.
NUMBERS = """() => Object.values(s).find(each => each?.pose?.world_from_ct).pose.world_from_ct.flat().map(
    each => each.toFixed(3))"""


class Served:
    """`mvreg view` with arguments.

    address: of the page, with its token.   root: without it.   cookie: what a browser that has opened the address sends.
    lines: what it has printed.
    """

    def __init__(self, *arguments, folder, opens=""):
        """opens: the program that it opens as the browser; none by default."""
        own = {
            "MVREG_DATA": str(folder.with_name(f"{folder.name}-data"))
        }  # where no test has set it, as for a whole module
        self.environment = {
            **own,
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(LIBRARY), os.environ.get("PYTHONPATH", "")]),
            "TMPDIR": str(folder),
            **({"BROWSER": opens, "HOME": str(folder)} if opens else {}),
        }
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*MVREG, "view", *arguments, *([] if opens else ["--no-browser"])],
            env=self.environment,
            cwd=folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._known = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        self._known.wait(PATIENCE_S)
        found = re.search(r"http://\S+", self.output)
        assert found, self.output
        self.address = found[0]
        self.root, _, self.token = self.address.partition("?token=")
        self.port = urlsplit(self.root).port
        self.cookie = f"mvreg_{self.port}={self.token}"

    @property
    def output(self):
        return "".join(self.lines)

    def ask(
        self,
        path="",
        data=None,
        *,
        cookie=None,
        **headers,
    ):
        """Status, text and headers of an answer.   cookie.

        This server's by default, "" for none.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if cookie != "":
            sent["Cookie"] = self.cookie if cookie is None else cookie
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET" if data is None else "POST", f"/{path}", data, sent)
            answer = connection.getresponse()
            text = "" if answer.status == 101 else answer.read().decode(errors="replace")
            return answer.status, text, {name.title(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def send(self, target, *files, folder=""):
        """Send files, or names and contents, as a page does, and a folder's as it is dropped.

        Status and text of the answer.
        """
        named = [
            (file.name, file.read_bytes()) if isinstance(file, Path) else file for file in files
        ]
        return self.ask(f"upload?target={target}", form(named, folder), Content_Type=FORM)[:2]

    def end(self):
        """Ctrl-C; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            if "http://" in line:
                self._known.set()
        self._known.set()


class Tab:
    """A page of a `server`.   page: Playwright's.   errors: that the browser told of."""

    def __init__(self, browser, server, pictures, width=1440, height=900):
        self.errors: list[str] = []
        self.server, self._pictures = server, pictures
        self._context = browser.new_context(
            viewport={"width": width, "height": height}, accept_downloads=True
        )
        self.page = self._context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE_S)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._hear)
        self.page.goto(server.address)
        self.page.wait_for_selector(".mv-app, .mv-welcome")

    def _hear(self, message):
        if (
            message.type == "error" and "405" not in message.text
        ):  # trame asks for a launcher of servers, and there is none
            self.errors.append(f"{message.text} {message.location}")

    def close(self):
        with self._leaving():
            self._context.close()

    def reload(self):
        with self._leaving():
            self.page.reload()
            self.page.wait_for_selector(".mv-app")

    @contextmanager
    def _leaving(self):
        """What a page still asks or waits for when it is left is rejected.

        That is no error of it.
        """
        before = len(self.errors)
        yield
        self.errors[before:] = [
            error
            for error in self.errors[before:]
            if error != "Object" and "connection not open" not in error
        ]

    def shot(self, name):
        """A picture of the page."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self._pictures / f"{name}.png")

    def state(self, name):
        """What the server told the page under this name; "register.running" for a part of it."""
        return self.page.evaluate(
            "(name) => name.split('.').reduce((value, key) => value && value[key], "
            "window.trame.state.state)",
            name,
        )

    def wait_state(self, expression, seconds=PATIENCE_S):
        """Wait until a JavaScript expression is true.

        Of the state `s`, of controls, `c(section, key)`, of the pose, `n()`, of names, `xrays()`
        and `ct()`, of `reading()`.
        """
        self.page.wait_for_function(f"() => {self._of_state(expression)}", timeout=1000 * seconds)

    def _of_state(self, expression):
        return (
            f"{{ const s = window.trame.state.state, c = {CONTROL}, n = {NUMBERS}, xrays = {XRAYS}, ct = {CT}, "
            f"reading = {READING}; return {expression}; }}"
        )

    def evaluate(self, expression):
        """What such an expression is now."""
        return self.page.evaluate(f"() => {self._of_state(expression)}")

    def control(self, section, key):
        """A control as the server shows it in a section's form; None where it is not seen."""
        return self.page.evaluate(
            "([section, key]) => "
            f"{{ const s = window.trame.state.state; return ({CONTROL})(section, key); }}",
            [section, key],
        )

    def numbers(self):
        """The pose as the page shows it."""
        return self.evaluate("n()")

    def registered(self):
        """Whether the last registration has ended with a verdict."""
        return self.state("answer.kind") in ("accept", "check", "reject")

    def history(self):
        """The poses so far: time, method, verdict, expected error, seconds."""
        table = self.control("register", "history")
        return [[cell["text"] for cell in line["cells"]] for line in table["lines"]]

    def ready(self):
        """Wait until there is a registration, its CT is ready for DRRs, and a new case is registered."""
        self.wait_state(
            "s.has_registration && c('register', 'register') && "
            "!s.register_form.state.text.startsWith('preparing') && s.answer.kind !== 'running' && "
            "!(s.answer.kind === 'none' && c('answer', 'register') && !c('register', "
            "'history').lines.length)"
        )
        self.drawn()

    def drawn(self):
        """Wait until the X-rays show what they are to show."""
        self.page.wait_for_function(
            """() => {
                const all = [...document.querySelectorAll('.mvx')];
                return all.length && all.every(e => e.xray && e.xray.picture.film
                    && !e.xray.stale() && !e.xray.mover.busy);
            }"""
        )

    def picture(self, number):
        """An X-ray as its canvas shows it, uint8 (rows, columns, 3)."""
        address = self.page.evaluate(
            "(n) => document.querySelectorAll('.mvx canvas')[n].toDataURL('image/png')", number
        )
        return np.asarray(
            Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB")
        )

    def drag(self, number, start, end):
        """Drag in an X-ray from one place to another, in shares of its width and height."""
        box = self.page.locator(".mvx-surface").nth(number).bounding_box()
        places = [
            (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)
        ]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        self.page.mouse.move(*places[1], steps=5)
        self.page.mouse.up()
        self.drawn()

    def button(self, name):
        """The button with exactly this name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def open_step(self, name):
        """Open a step of the column, where it is closed."""
        title = self.page.locator(".mv-step", has_text=name)
        for _ in range(3):  # a step above that grows meanwhile moves it away from under the mouse
            if title.get_attribute("aria-expanded") == "true":
                break
            title.click()
            self.page.wait_for_timeout(300)

    def open_group(self, name):
        """Unfold a part of a step, where it is folded."""
        group = self.page.locator(
            "details", has=self.page.locator(f'> summary:text-is("{name}")')
        ).first
        if group.get_attribute("open") is None:
            group.locator("> summary").click()

    def download(self, button, folder, place="body"):
        """Press a button, in a place of the page, that downloads a file; its path in a folder."""
        with self.page.expect_download() as download:
            self.page.locator(place).get_by_role("button", name=button, exact=True).click()
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path

    def exported(self, folder):
        """The transform that the answer's Export gives, read by SimpleITK."""
        archive = self.download("Export", folder, ".mv-answer")
        zipfile.ZipFile(archive).extractall(folder)
        return sitk.ReadTransform(str(folder / archive.stem / "world_from_ct.tfm"))

    def choose(self, box, option):
        """Choose from a box by its label."""
        self.page.get_by_label(box, exact=True).first.click(force=True)
        self.page.get_by_role("option", name=option).click()
        self.page.get_by_role("option", name=option).wait_for(state="hidden")

    def drop(
        self,
        *files,
        selector="body",
        kinds=("dragover", "drop"),
    ):
        """Drag files, or names and contents, over what a selector finds, and drop them there."""
        named = [
            (file.name, file.read_bytes()) if isinstance(file, Path) else file for file in files
        ]
        coded = [(name, base64.b64encode(content).decode()) for name, content in named]
        self.page.evaluate(DRAG, [selector, coded, list(kinds)])

    def pick(self, hint, *paths, kind="files"):
        """Pick files, or "a folder", where the page asks for these."""
        self.page.get_by_label(f"Choose {kind}: {hint}").set_input_files(list(paths))

    def register(self):
        """Register in the step of that name, and wait until that has ended."""
        entries = len(self.history())
        self.open_step("Register")
        self.page.locator(".mv-steps").get_by_role("button", name="Register", exact=True).click()
        self.wait_state(
            "!c('answer', 'cancel') && c('register', 'register').enabled && c('register', "
            f"'history').lines.length > {entries}"
        )
