"""Slicer's stand-in fails where Slicer fails; what differed once is held here, in both."""

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import qt
import slicer
from gui_driver import GuiDriver
from helpers.hosts import IN_SLICER

RUN = Path(__file__).resolve().parents[1] / "slicer_tests" / "run.py"
#: Not of few digits.
ORIGIN_MM, SPACING_MM = 1000 * np.pi, 2.5
#: A Slicer that does nothing but end.
ENDING = """
import runpy, sys, types
util = types.SimpleNamespace(exit=lambda status: print("ends with", status))
sys.modules["slicer"] = types.SimpleNamespace(util=util)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.skipif(IN_SLICER, reason="Slicer loads modules when it starts")
def test_each_file_beside_the_module_file_must_be_a_module(host, tmp_path):
    (tmp_path / "Lonely.py").write_text("class Lonely:\n    def __init__(self, parent): pass\n")
    host.load_module(tmp_path / "Lonely.py")
    (tmp_path / "helper.py").touch()
    with pytest.raises(RuntimeError, match="class helper was not found"):
        host.load_module(tmp_path / "Lonely.py")


@pytest.mark.skipif(IN_SLICER, reason="what is installed here is installed in Slicer")
def test_product_code_imports_no_package_that_slicers_python_lacks(host):
    ours = {"__name__": "MultiViewRegistrationLib.cli"}
    with pytest.raises(ModuleNotFoundError, match="hypothesis"):
        exec("import hypothesis", ours)
    exec("import scipy, numba, matplotlib", ours)


@pytest.mark.skipif(IN_SLICER, reason="Slicer's Qt may be newer")
def test_what_qt_has_since_its_version_6_is_not_there(host):
    assert not hasattr(qt.QFormLayout, "setRowVisible") and not hasattr(qt.QColor, "fromString")
    assert not hasattr(qt.QWidget(), "accessibleIdentifier")
    assert callable(qt.QVBoxLayout().contentsMargins)  # a property since


def test_a_node_selector_holds_a_combo_box_of_ctk(host):
    selector = GuiDriver(host).ui.registrationSelector
    assert selector.className() == "qMRMLNodeComboBox"
    assert len(slicer.util.findChildren(selector, className="ctkComboBox")) == 1
    assert not slicer.util.findChildren(selector, className="QComboBox")


def test_a_shortcut_of_a_widget_reaches_it_only_with_the_focus_there(host, focus):
    inside, outside, pressed = focus(qt.QWidget), focus(qt.QWidget), []
    shortcut = qt.QShortcut(qt.QKeySequence("Ctrl+J"), inside)
    shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
    shortcut.connect("activated()", lambda: pressed.append(True))
    host.key(outside, qt.Qt.Key_J, qt.Qt.ControlModifier)
    assert not pressed
    inside.activateWindow()
    inside.setFocus()
    host.process(1, until=lambda: inside.focus)
    host.key(inside, qt.Qt.Key_J, qt.Qt.ControlModifier)
    assert pressed


#: Of three, the second ends the application that it runs in.
THREE_TESTS = """
import os, signal
def test_before(): pass
def test_end(): os.kill(os.getpid(), signal.SIGKILL)
def test_after(): pass
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_test_that_ends_slicer_hides_no_other(tmp_path):
    tests = shutil.copytree(RUN.parent, tmp_path / "Testing" / "slicer_tests")
    (tmp_path / "test_three.py").write_text(THREE_TESTS)
    slicer_command = [sys.executable, "-c", ENDING, str(tests / "run.py"), "--tests"]
    command = [sys.executable, str(tests / "go_on.py"), *slicer_command, "test_three.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    cases = ET.parse(tmp_path / "build" / "slicer" / "junit.xml").getroot().iter("testcase")
    found = {case.get("name"): [child.tag for child in case] for case in cases}
    assert found == {"test_before": [], "test_after": [], "test_end": ["error"]}
    assert done.returncode == 1
