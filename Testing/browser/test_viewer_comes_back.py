"""The server is killed: the next one offers the work, and the page that is open finds it by itself."""

from __future__ import annotations

import numpy as np
import pytest
from served import Served

#: Keeps the websockets of a page, to be closed as a network closes them.
SOCKETS = """window.sockets = []; window.WebSocket = class extends window.WebSocket {
  constructor(...given) { super(...given); window.sockets.push(this); } };"""


def leave(tab) -> None:
    """Close a page whose server is gone, which it tells the console, too."""
    tab.page.close()
    tab.errors.clear()


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("MVREG_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "autosave"


def test_the_work_is_offered_gone_on_with_and_removed(own_data, open_tab, case_file, tmp_path):
    server = Served(str(case_file), folder=tmp_path)
    tab = open_tab(server)
    tab.ready()
    tab.register()
    pose = tab.exported(tmp_path).GetParameters()
    assert server.end() == 0  # saves what has changed; when it is killed: Testing/viewer/test_autosave.py
    leave(tab)

    second = Served(folder=tmp_path)
    tab = open_tab(second)
    offer = tab.page.get_by_role("button", name="Go on where you were")
    assert case_file.parent.name in offer.inner_text()
    tab.shot("offered")
    offer.click()
    tab.ready()
    assert tab.history()[-1][1]
    np.testing.assert_allclose(tab.exported(tmp_path).GetParameters(), pose, atol=1e-9)
    second.end()
    leave(tab)

    third = Served(folder=tmp_path)
    tab = open_tab(third)
    tab.page.get_by_role("button", name="Go on where you were").wait_for()
    tab.button("Remove").click()
    tab.wait_state("!s.left.length")
    assert not list(own_data.iterdir())
    third.end()
    leave(tab)


def test_a_page_says_that_the_server_is_gone_and_comes_back_by_itself(own_data, open_tab, case_file, tmp_path):
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
    tab.page.get_by_text("The server was started anew.").wait_for()  # it has another token
    other = tab.page.context.new_page()
    other.goto(second.address)
    tab.page.get_by_role("button", name="Go on where you were").wait_for()
    second.end()
    leave(tab)


def test_a_connection_that_breaks_off_comes_back_where_the_work_is(open_tab, server):
    tab = open_tab(server)
    tab.ready()
    tab.page.add_init_script(SOCKETS)
    tab.page.reload()
    tab.page.wait_for_selector(".mv-app")
    tab.ready()
    tab.page.evaluate("() => { window.before = true; window.sockets.forEach(socket => socket.close()); }")
    tab.page.get_by_text("The connection to the server is closed.").wait_for()
    tab.page.wait_for_function("!window.before")
    tab.page.wait_for_selector(".mv-app")
    tab.ready()
    leave(tab)
