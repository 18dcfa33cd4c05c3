"""The module where nothing is installed beside what Slicer brings.

It is listed, opened, and says what it needs when it needs it.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from hosts import IN_SLICER

pytestmark = pytest.mark.skipif(IN_SLICER, reason="in a process of its own, on the stand-in")
TESTING = Path(__file__).resolve().parents[1]
MODULE = TESTING.parent / "MultiViewRegistration" / "MultiViewRegistration.py"
ABSENT = ("torch", "numba", "llvmlite", "pydicom", "h5py", "nanodrr", "itk", "PIL")
CHILD = """
import sys
sys.path[:0] = sys.argv[1:3]
from slicer_host import Host
host = Host()
absent = sys.argv[4:]
for name in [name for name in sys.modules if name.partition(".")[0] in absent]:  # slicer-core brings some of them
    del sys.modules[name]
sys.modules.update(dict.fromkeys(absent))  # importing any of them is an ImportError from now on
host.load_module(sys.argv[3])
widget = host.open_module()
host.process(0.2)
for section in widget.panel.sections.values():
    section.button.collapsed = False
host.process(0.2)
host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
host.process(0.2)
host.choose(widget.panel.sections["ct"].form.drawn["ct"].widget, "CT")
host.process(0.2)
assert widget.panel.registration is not None and not host.shown("critical", "warning", "pip")
print("opened", [name for name in absent if sys.modules[name]])
host.close()
"""


def test_the_panel_opens_without_any_package(host):
    """host: only for its reason to skip; the panel is opened in a process of its own."""
    command = [sys.executable, "-c", CHILD, str(TESTING), str(MODULE.parent), str(MODULE), *ABSENT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "opened []" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr
