"""The server ends: the next one offers the work, the page that is open finds it by itself, and no temporary file stays."""

import os
import signal
import zipfile
from time import monotonic, sleep

import pytest
from numpy.testing import assert_allclose
from served import PATIENCE_S, Served

pytestmark = pytest.mark.slow

#: Keeps the websockets of a page, to be closed as a network closes them.
SOCKETS = """window.sockets = []; window.WebSocket = class extends window.WebSocket {
  constructor(...given) { super(...given); window.sockets.push(this); } };"""


def leave(tab):
    """Close a page whose server is gone, which the console has shown, too."""
    tab.page.close()
    tab.errors.clear()


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("MVREG_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "autosave"


def test_the_work_is_offered_opened_and_removed(own_data, open_tab, case_file, tmp_path):
    """When it is killed: Testing/viewer/test_autosave.py."""
    server = Served(str(case_file), folder=tmp_path)
    tab = open_tab(server)
    tab.ready()
    tab.register()
    pose = tab.exported(tmp_path).GetParameters()
    assert server.end() == 0  # saves what has changed
    leave(tab)

    for button in ("Go on where you were", "Remove"):
        server = Served(folder=tmp_path)
        tab = open_tab(server)
        offer = tab.page.locator(".mv-autosaved")
        offer.get_by_text(case_file.parent.name).first.wait_for()
        tab.button(button).click()
        if button == "Remove":
            offer.wait_for(state="hidden")
            assert not list(own_data.iterdir())
        else:
            tab.ready()
            assert_allclose(tab.exported(tmp_path).GetParameters(), pose, atol=1e-9)
        server.end()
        leave(tab)


def test_a_page_says_that_the_server_is_gone_and_comes_back_by_itself(
    own_data, open_tab, case_file, tmp_path
):
    server = Served(str(case_file), folder=tmp_path)
    tab = open_tab(server)
    tab.ready()
    while not list(own_data.glob("*/state.json")):
        tab.page.wait_for_timeout(200)
    server.process.kill()
    server.process.wait()
    tab.page.get_by_text("The connection to the server is closed.").wait_for()
    tab.page.get_by_text("start it again: its start page offers to go on").wait_for()
    assert "Connection closed" not in tab.page.locator("body").inner_text()
    tab.shot("closed")

    second = Served("--port", str(server.port), folder=tmp_path)
    tab.page.get_by_text("The server was started again.").wait_for()  # it has another token
    other = tab.page.context.new_page()
    other.goto(second.address)
    tab.page.get_by_role("button", name="Go on where you were").wait_for()
    second.end()
    leave(tab)


def test_a_connection_that_breaks_off_comes_back_where_the_work_is(open_tab, server):
    tab = open_tab(server)
    tab.ready()
    tab.page.add_init_script(SOCKETS)
    tab.reload()
    tab.ready()
    tab.page.evaluate(
        "() => { window.before = true; window.sockets.forEach(socket => socket.close()); }"
    )
    tab.page.get_by_text("The connection to the server is closed.").wait_for()
    tab.page.wait_for_function("!window.before")
    tab.page.wait_for_selector(".mv-app")
    tab.ready()
    leave(tab)


@pytest.mark.parametrize("ending", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_no_temporary_file_stays(tmp_path, ending):
    pytest.importorskip("trame_slicer", reason='needs slicer-core: pip install -e ".[viewer]"')
    server = Served(folder=tmp_path)
    file = tmp_path.parent / "refused.mrb"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("s/s.mrml", "not a scene")
    until = monotonic() + PATIENCE_S
    while server.send("open", file)[0] != 200:
        assert monotonic() < until
        sleep(0.2)  # it is starting
    while any(names for *_, names in os.walk(tmp_path)):  # while it still runs
        assert monotonic() < until
        sleep(0.1)
    os.kill(server.process.pid, getattr(signal, ending))
    status = server.process.wait(30)
    assert "Traceback" not in server.output and (status == 0) == (ending != "SIGKILL")
    if ending == "SIGKILL":
        assert list(tmp_path.iterdir())
        Served(folder=tmp_path).end()
    assert not list(tmp_path.iterdir())
