"""The first minute after the extension was installed.

Only the files that CMake installs, none of the packages beside Slicer's, nothing compiled, no restart.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cmake_lists import configure, install
from helpers.hosts import IN_SLICER
from helpers.phantom import write_phantom_case

pytestmark = pytest.mark.skipif(IN_SLICER, reason="in a process of its own, on the stand-in")
TESTING = Path(__file__).resolve().parents[1]
CHILD = """
import sys, threading
from importlib.machinery import PathFinder

testing, module, case = sys.argv[1:]
sys.path[:0] = [testing]


class Hiding(PathFinder):
    '''Finds what PathFinder finds, but for some packages, as if they were not installed.'''

    names = {"numba", "llvmlite"}

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in cls.names else PathFinder.find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Hiding
from slicer_host import Host

host = Host()
Hiding.names.update(("torch", "pydicom", "h5py", "nanodrr", "itk", "PIL"))
for name in [name for name in sys.modules if name.partition(".")[0] in Hiding.names]:  # slicer-core brings some of them
    del sys.modules[name]
compiled = []


def pip_ensure(requirements, **how):
    Hiding.names.clear()
    from numba.core import event

    class Compiled(event.Listener):
        def on_start(self, event):
            pass

        def on_end(self, event):
            if event._exc_details is None:  # it was compiled, and not refused
                compiled.append(event.data["dispatcher"].py_func.__name__)

    event.register("numba:compile", Compiled())


host.slicer.packaging.pip_ensure = pip_ensure
opened = host.load_module(module)
panel = host.open_module().panel
import MultiViewRegistrationLib

assert MultiViewRegistrationLib.__file__.startswith(module.rpartition("/")[0]), MultiViewRegistrationLib.__file__
opened.loadSample(case)
host.process(60, until=lambda: panel.registration is not None)
ct, register = panel.sections["ct"], panel.sections["register"]
for section in panel.sections.values():
    section.button.collapsed = False
host.process(60, until=lambda: ct.presenter.facts is not None)
host.process(0.2)
controls = ct.form.controls
assert controls["packages"].label and not controls["problem"].label and not panel.ui.messageLabel.visible
assert not host.shown("question", "pip") and "numba" not in sys.modules
host.click(register.form.drawn["register"].widget)
assert len(host.shown("question")) == 1 and panel.session.running_registration
host.process(0.1)
assert "packages" not in ct.form.controls or not ct.form.controls["packages"].label
stages = []


def done():
    run = panel.session.running_registration
    if run is not None and run.stage not in stages:
        stages.append(run.stage)
    return run is None


host.process(400, until=done)
host.process(60, until=lambda: not panel.session.preparing)
host.process(0.5)
assert panel.session.error() < 0.5 and not panel.ui.messageLabel.visible, panel.ui.messageLabel.text
assert "preparing for the first time (once, about 10 s)" in stages, stages
print(register.form.controls["outcome"].label, sorted(set(compiled)), sep="|")
host.close()
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory, require_program):
    """The module file in a folder with what CMake installs."""
    cmake, build = require_program("cmake", package="cmake"), tmp_path_factory.mktemp("build")
    assert configure(cmake, build).returncode == 0
    return install(cmake, build, tmp_path_factory.mktemp("installed"))


@pytest.mark.slow
def test_it_registers_without_a_restart(host, installed, tmp_path):
    """host: only for its reason to skip; all happens in a process of its own."""
    case = write_phantom_case(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(TESTING), str(installed), str(case)],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=tmp_path,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    text, _, compiled = done.stdout.strip().splitlines()[-1].partition("|")
    assert (
        text.startswith("Done in ")
        and ", of which " in text
        and "the first-time preparation" in text
    )
    assert compiled == "[]"  # a child process did it
