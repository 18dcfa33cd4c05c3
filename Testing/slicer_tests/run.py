"""Runs the tests of panel and scene, or a walk, in Slicer's own application: `make test-slicer SLICER=/path/to/Slicer`.

    Slicer --no-splash --ignore-slicerrc --disable-settings --additional-module-paths MultiViewRegistration
    --python-script Testing/slicer_tests/run.py --tests [--install] [PYTEST'S ARGUMENTS] | --walk WALK.py [ITS ARGUMENTS]

One application runs all tests; where one ends it, go_on.py starts it again, and it leaves out what was begun before. Slicer's Python
lacks pytest and some of what the tests need: --install has pip install it there. build/slicer gets the results of each run, after each
test, and a picture of the main window for each test that fails. Slicer ends with pytest's status, 2 where something is missing, or the
walk's. An option comes first, since Slicer takes a file.py that comes first for its script.
"""

import os
import re
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import slicer

sys.path.insert(0, str(Path(__file__).resolve().parent))
from go_on import ALL_DONE, BEGUN, OUT, begun_tests

ROOT = Path(__file__).resolve().parents[2]
#: Packages by the name of the module.
NEEDED = {
    "pytest": "pytest>=8.0",
    "hypothesis": "hypothesis>=6.100",
    "jsonschema": "jsonschema>=4.20",
    "numba": "numba>=0.60",
    "PIL": "pillow>=10.0",
    "safetensors": "safetensors>=0.4",
}
#: The scene first: once the panel was opened, it looks after the scene, too.
TESTS = ("Testing/mrml", "Testing/panel")


def picture(path):
    """The main window with its views, and what lies over it on the screen."""
    slicer.util.forceRenderAllViews()
    slicer.app.processEvents()
    window = slicer.util.mainWindow()
    window.windowHandle().screen().grabWindow(window.winId()).save(str(path))


class Pictures:
    """A plugin of pytest."""

    @staticmethod
    def pytest_exception_interact(node):
        picture(OUT / f"{re.sub(r'[^A-Za-z0-9]+', '-', node.name)}.png")


class Journal:
    """A plugin of pytest that leaves nothing to the end, which Slicer may not see."""

    def pytest_collection_modifyitems(self, items):
        begun = {*begun_tests()}
        items[:] = [item for item in items if item.nodeid not in begun]

    def pytest_runtest_logstart(self, nodeid):
        self._write(nodeid)

    def pytest_runtest_logfinish(self):
        self._junit.pytest_sessionfinish()

    def pytest_sessionstart(self, session):
        plugins = session.config.pluginmanager.get_plugins()
        self._junit = next(each for each in plugins if type(each).__name__ == "LogXML")

    def pytest_sessionfinish(self):
        self._write(ALL_DONE)

    @staticmethod
    def _write(line):
        with BEGUN.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def walk(arguments):
    sys.argv = arguments
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def main(arguments):
    kind, *arguments = arguments
    if kind == "--walk":
        return walk(arguments)
    lacking = [NEEDED[name] for name in NEEDED if find_spec(name) is None]
    if lacking and "--install" not in arguments:
        print(f"Slicer's Python lacks {', '.join(lacking)}: add INSTALL=1 to install them there.")
        return 2
    if lacking:
        slicer.util.pip_install(lacking)
    import pytest

    sys.stdout = sys.__stdout__ or sys.stdout  # Slicer's own cuts letters beyond ASCII
    os.chdir(ROOT)
    OUT.mkdir(parents=True, exist_ok=True)
    given = [each for each in arguments if each != "--install"]
    paths = [] if any(map(os.path.exists, (each.partition("::")[0] for each in given))) else TESTS
    runs = len(list(OUT.glob("junit-*.xml")))
    own = [f"--junitxml={OUT / f'junit-{runs:03}.xml'}"]
    return int(pytest.main([*own, *given, *paths], plugins=[Pictures(), Journal()]))


if __name__ == "__main__":
    status = 1
    try:
        status = main(sys.argv[1:])
    finally:
        slicer.util.exit(status)
