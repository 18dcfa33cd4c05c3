"""Who can open the page: only a browser with the token.

No other user, no other site, no other name of the computer.
"""

import contextlib
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from served import HANDSHAKE, Served

pytestmark = pytest.mark.slow

SHAKE = {name.replace("-", "_"): value for name, value in HANDSHAKE.items()}
#: What another user of the computer can do: connect to every port that listens, and try what the
#: arguments of any program say.
OTHER_USER = r"""
import glob, re, sys, urllib.error, urllib.request
words = set()
for file in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
    try:
        words |= set(re.findall(r"[\w-]{20,}", open(file, errors="replace").read()))
    except OSError:
        pass
ports = {int(line.split()[1].split(":")[1], 16) for line in open("/proc/net/tcp").readlines()[1:] if line.split()[3] == "0A"}
assert int(sys.argv[1]) in ports
for token in ["", *sorted(words)]:
    for path in ("index.html", f"index.html?token={token}", "vue.global.js"):
        request = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/{path}", headers={"Cookie": f"mvreg_{sys.argv[1]}={token}"})
        try:
            print(urllib.request.urlopen(request, timeout=20).status)
        except urllib.error.HTTPError as error:
            print(error.code)
"""


@pytest.fixture
def elsewhere():
    """Serves a page of another site, its HTML given, on a port of its own; its address."""
    servers = []

    def serve(page, host="127.0.0.1"):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(page.encode())

            def log_message(self, *_):
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://{host}:{servers[-1].server_port}/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def context(browser):
    """A browser that knows no cookies."""
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def page(context, server):
    """A page of the server."""
    page = context.new_page()
    page.goto(server.address)
    page.wait_for_selector(".mv-app")
    return page


def test_another_address_asks_for_the_token_too(serve):
    server = serve("--host", "0.0.0.0")
    for path in ("", "ws", "?token=wrong"):
        assert server.ask(path, cookie="")[0] == 403
    assert server.ask(f"?token={server.token}", cookie="")[0] == 200
    assert server.ask("index.html", Host=f"ward.example:{server.port}")[0] == 200
    assert "Other computers reach this page" in server.output


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to be another user"
)
def test_another_user_of_the_computer_gets_nothing(server):
    program = next(path for path in ("/usr/bin/python3", sys.executable) if Path(path).exists())
    done = subprocess.run(
        [program, "-I", "-c", OTHER_USER, str(server.port)],
        user=65534,
        group=65534,
        extra_groups=[],
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"403"}


def test_the_browser_is_opened_without_showing_the_token_to_all_users(
    tmp_path, browser, require_program
):
    """Arguments of programs can be listed by all; the file that they name cannot be read by all."""
    require_program("sh", package="dash")
    script = tmp_path / "browser"
    script.write_text(
        f'#!/bin/sh\ncd "{tmp_path}"\nprintf "%s\\n" "$@" > arguments.new\nmv arguments.new arguments\n'
    )
    script.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    server = Served(folder=home, opens=f"{script} %s")
    with contextlib.ExitStack() as ending:
        ending.callback(server.end)
        while not (tmp_path / "arguments").exists():
            assert server.process.poll() is None, server.output
        opened = (tmp_path / "arguments").read_text().strip()
        assert server.token not in opened
        assert Path(opened.removeprefix("file://")).parent.stat().st_mode & 0o077 == 0
        page = browser.new_page()
        ending.callback(page.close)
        page.goto(opened)
        page.wait_for_selector(".mv-welcome")
        assert page.url == f"{server.root}index.html"
    assert not any(home.glob("mvreg*"))


def test_the_token_leaves_the_address_and_stays_in_a_cookie(context, page, server):
    assert page.url == f"{server.root}index.html" and page.evaluate("document.cookie") == ""
    (cookie,) = context.cookies()
    expected = {"name": f"mvreg_{server.port}", "path": "/", "domain": "127.0.0.1", "expires": -1}
    expected |= {"httpOnly": True, "sameSite": "Strict", "secure": False}
    assert {key: cookie[key] for key in expected} == expected
    page.go_back()
    assert server.token not in page.url


def test_several_tabs_browsers_and_servers(browser, context, page, serve, server):
    """The address is good until the server ends, also in another browser, which has nothing without it; cookies are of one port each."""
    second = serve()
    for address, seen in ((second.address, ".mv-welcome"), (server.root, ".mv-app")):
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector(seen)
    assert second.ask("index.html", cookie=server.cookie)[0] == 403
    assert second.ask("index.html", cookie=f"{server.cookie}; {second.cookie}")[0] == 200
    other = browser.new_context()
    assert other.new_page().goto(server.root).status == 403
    other.close()


def test_a_link_of_another_site_leads_in_only_with_the_token(context, elsewhere, server):
    page = context.new_page()
    for address, seen in (
        (server.address, ".mv-app"),
        (server.root, "text=The token is missing or wrong"),
    ):
        page.goto(
            elsewhere(f'<a href="{address}">in</a>', host="localhost")
        )  # another site, as browsers see it
        page.get_by_text("in").click()
        page.wait_for_selector(seen)


def test_a_foreign_page_cannot_frame_it_nor_talk_to_it(page, elsewhere, server):
    """One of another port of this computer.

    To a browser that is the same site, so that it sends the cookie along.
    """
    page.goto(
        elsewhere(f"""<iframe src="{server.root}index.html"></iframe><iframe src="{server.root}nothing"></iframe>
        <script>
          const done = {{}}, note = (what, promise) => promise.then(() => done[what] = true, () => done[what] = false);
          note("read", fetch("{server.root}index.html", {{ credentials: "include" }}).then(r => r.text()));
          note("embed", fetch("{server.root}vue.global.js", {{ credentials: "include", mode: "no-cors" }}));
          note("socket", new Promise((take, fail) => {{
            const socket = new WebSocket("ws://127.0.0.1:{server.port}/ws"); socket.onopen = take; socket.onerror = fail; }}));
        </script><form method="post" enctype="multipart/form-data" action="{server.root}upload?target=ct/files" target="sent">
        <input type="hidden" name="a" value="b"></form><iframe name="sent"></iframe>""")
    )
    page.wait_for_function("Object.keys(done).length === 3")
    assert page.evaluate("done") == {"read": False, "embed": False, "socket": False}
    assert all(not frame.locator(".mv-app, .mv-steps").count() for frame in page.frames)
    with page.expect_response(lambda answer: "upload" in answer.url) as answer:
        page.evaluate("document.forms[0].submit()")
    assert answer.value.status == 403
    page.wait_for_timeout(1000)
    assert [frame.url for frame in page.frames[1:3]] == ["chrome-error://chromewebdata/"] * 2


def test_a_name_that_was_bound_to_this_computer_gets_nothing(chromium, server):
    """DNS rebinding: a site whose name leads to 127.0.0.1 has been opened, even with the token."""
    port = server.port
    for name in (
        f"evil.example:{port}",
        "127.0.0.1.evil.example",
        "[::2]",
        "2130706433",
        "127.0.0.1; evil.example",
        "127.0.0.1@evil.example",
        "",
    ):
        for path, more in (
            ("index.html", {}),
            ("ws", SHAKE),
            (f"index.html?token={server.token}", {}),
        ):
            status, text, _ = server.ask(path, Host=name, **more)
            assert status in (400, 403) and "mv-" not in text, (name, path)
    others = (
        "evil.example",
        f"127.0.0.1:{port + 1}",
        f"localhost:{port}",
        f"127.0.0.1:{port}@evil.example",
    )
    for origin in ("null", "file://", *(f"http://{other}" for other in others)):
        for path in ("ws", "index.html"):
            status, text, _ = server.ask(path, Origin=origin, **(SHAKE if path == "ws" else {}))
            assert status == 403 and "another site" in text, origin
    for name in ("127.0.0.1", "LOCALHOST", "[::1]"):
        host = f"{name}:{port}"
        assert server.ask("ws", Host=host, Origin=f"http://{host}", **SHAKE)[0] == 101, name
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--host-resolver-rules=MAP evil.example 127.0.0.1",
    ]
    seen = subprocess.run(
        [chromium, *options, "--dump-dom", f"http://evil.example:{port}/?token={server.token}"],
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert "answers only by its own name" in seen.stdout and "mv-" not in seen.stdout


@pytest.mark.parametrize("cookie", [None, ""])
@pytest.mark.parametrize("path", ["", "vue.global.js", "upload?target=ct/files", "nothing"])
def test_every_answer_says_how_it_may_be_used(server, path, cookie):
    headers = server.ask(path, cookie=cookie)[2]
    said = {"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff"}
    said |= {"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
    assert {key: headers[key] for key in said} == said
    written = headers["Content-Security-Policy"]
    policy = dict(part.strip().split(" ", 1) for part in written.split(";"))
    assert policy["frame-ancestors"] == policy["default-src"] == "'none'"
    assert policy["connect-src"] == f"'self' ws://127.0.0.1:{server.port}"
    assert "'unsafe-inline'" not in policy["script-src"] and "http" not in written


REFUSED = "window.refused = []; addEventListener('securitypolicyviolation', e => refused.push(e.effectiveDirective))"


def test_the_page_passes_its_own_policy_in_all_steps(open_tab, server, tmp_path):
    tab = open_tab(server)  # which fails where the console shows an error
    tab.ready()
    page = tab.page
    page.evaluate(REFUSED)
    for step in (
        "1. CT",
        "2. X-rays",
        "3. Start",
        "4. Register",
        "5. Check",
        "6. Export",
        "7. Sequence",
    ):
        tab.open_step(step)
        page.wait_for_timeout(500)  # it scrolls there
    tab.shot("steps")
    tab.register()
    page.wait_for_function("() => document.querySelector('.mv-3d img')")
    tab.download("Save", tmp_path)
    assert page.evaluate("refused") == []


def test_what_a_file_smuggles_into_the_page_cannot_run_nor_leave(page, elsewhere):
    other = elsewhere("")
    page.evaluate(REFUSED)
    page.evaluate(
        """(other) => {
        document.body.insertAdjacentHTML('beforeend', `<img src="x" onerror="window.evil = 1"><img src="${other}?stolen">`);
        document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.evil = 2' }));
        document.body.append(Object.assign(document.createElement('iframe'), { src: other }));
        fetch(other).catch(() => 0);
        try { new WebSocket(other.replace('http', 'ws')); } catch { } }""",
        other,
    )
    page.wait_for_function("refused.length >= 6")
    assert page.evaluate("window.evil") is None
    refused = set(page.evaluate("refused"))
    assert {"img-src", "connect-src", "frame-src", "script-src-elem", "script-src-attr"} <= refused
