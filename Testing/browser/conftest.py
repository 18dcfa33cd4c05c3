"""`mvreg view` as a process of its own, and a real browser that looks at it.

One server for each test module.
"""

import os
from pathlib import Path

import pytest
from helpers.phantom import write_phantom_case
from served import Served, Tab

#: Pictures of each step, to be looked at.
PICTURES = Path(
    os.environ.get("MVREG_PICTURES") or Path(__file__).resolve().parents[2] / "build" / "viewer"
)


@pytest.fixture(scope="session")
def chromium(require_program):
    return require_program("chromium", "google-chrome", package="chromium")


@pytest.fixture(scope="module")
def browser(chromium):
    """A Playwright browser."""
    pytest.importorskip("trame_slicer", reason='needs slicer-core: pip install -e ".[viewer]"')
    playwright = pytest.importorskip(
        "playwright.sync_api", reason='needs playwright: pip install -e ".[dev]"'
    )
    with playwright.sync_playwright() as api:
        browser = api.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def case_file(tmp_path_factory):
    """A case.json of the phantom, its start 9 mm off."""
    return write_phantom_case(tmp_path_factory.mktemp("phantom"))


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """Starts `mvreg view` with arguments; ends it after the module."""
    servers = []

    def start(*arguments):
        servers.append(Served(*map(str, arguments), folder=tmp_path_factory.mktemp("server")))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


@pytest.fixture(scope="module")
def server(serve, case_file):
    """With the phantom's case open."""
    return serve(case_file)


@pytest.fixture
def open_tab(browser, request):
    """Opens pages, and fails where one of them had an error."""
    tabs = []

    def open_one(server, **options):
        tabs.append(Tab(browser, server, PICTURES / request.module.__name__, **options))
        return tabs[-1]

    yield open_one
    errors = [error for tab in tabs for error in tab.errors]
    for tab in tabs:
        tab.close()
    assert not errors


@pytest.fixture
def tab(open_tab, server):
    """A page of the phantom, once the CT is ready for DRRs."""
    tab = open_tab(server)
    tab.ready()
    return tab
