"""Every name that the panel uses of Qt, CTK, Slicer's widgets and its .ui files exists, by the tables made from their headers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from api_names import api
from code_names import problems_in_code
from ui_names import problems_in_ui, widgets_of

MODULE = Path(__file__).resolve().parents[2] / "MultiViewRegistration"
UI_FILES = sorted((MODULE / "Resources" / "UI").glob("*.ui"))
CODE = [*MODULE.glob("*.py"), *sorted((MODULE / "MultiViewRegistrationLib" / "panel").glob("*.py"))]
EXAMPLE = Path(__file__).parent / "example"
#: Whose widgets `ui` are in these files, which say it nowhere else.
MAIN = {
    "MultiViewRegistration.py": "MultiViewRegistration.ui",
    "panel.py": "MultiViewRegistration.ui",
    "ExamplePanel.py": "ExamplePanel.ui",
}


@pytest.mark.parametrize(
    "path", [*UI_FILES, EXAMPLE / "Resources" / "UI" / "ExamplePanel.ui"], ids=lambda path: path.name
)
def test_names_in_a_ui_file(path):
    assert problems_in_ui(path) == []


@pytest.mark.parametrize("path", [*CODE, EXAMPLE / "ExamplePanel.py"], ids=lambda path: path.name)
def test_names_in_code(path):
    ui_files = UI_FILES if path in CODE else sorted(EXAMPLE.rglob("*.ui"))
    uis = {file.name: widgets_of(file) for file in ui_files}
    assert problems_in_code(path.read_text(encoding="utf-8"), uis, MAIN.get(path.name, "")) == []


def test_classes_of_mrml_exist():
    slicer = pytest.importorskip("slicer", reason='needs slicer-core: pip install "trame-slicer[standalone]>=2.0"')
    files = [*CODE, *sorted((MODULE / "MultiViewRegistrationLib" / "scene").glob("*.py"))]
    names = {name for path in files for name in re.findall(r"\bslicer\.(vtk\w+)", path.read_text(encoding="utf-8"))}
    assert not [name for name in sorted(names) if not hasattr(slicer, name)]


# the checks themselves -------------------------------------------------------------------------------------------------

UI = {
    "Some.ui": {
        "apply": "QPushButton",
        "slider": "ctkSliderWidget",
        "ct": "qMRMLNodeComboBox",
        "table": "QTableWidget",
    },
    "Other.ui": {"path": "ctkPathLineEdit"},
}


@pytest.mark.parametrize(
    "code, word",
    [
        ("ui.aply.clicked.connect(f)", "no such widget"),
        ("ui.path.browse()", "no such widget"),
        ("ui.slider.text = 'a'", "no such name"),
        ("ui.slider.value()", "not called"),
        ("ui.slider.setMaximum(3)", "no such name"),
        ("ui.slider.setRange(0, 3)", "no such name"),
        ("ui.ct.setNodeTypes(['a'])", "no such name"),
        ("ui.ct.currentNode.GetName()", "is called"),
        ("if ui.apply.isChecked: pass", "is called"),
        ("ui.apply.clicked = f", "cannot be written"),
        ("ui.table.horizontalHeader().hide = True", "cannot be written"),
        ("ui.apply.sizeHint = 3", "cannot be written"),
        ("x = ui.apply.clicked", "connected"),
        ("ui.apply.pressed.conect(f)", "connected"),
        ("ui.ct.connect('currentNodeIDChanged(int)', f)", "no signal"),
        ("ui.table.item(0, 0).txt()", "no such name"),
        ("ui.table.horizontalHeader().setResizeMode(1)", "no such name"),
        ("ui.apply.setText(text='a')", "keyword"),
        ("qt.QLabel('a', parent=None)", "keyword"),
        ("qt.QLable('a')", "tables of names"),
        ("qt.Signal(int)", "tables of names"),
        ("ctk.ctkSlider()", "tables of names"),
        ("slicer.qMRMLNodeCombo()", "tables of names"),
        ("qt.Qt.Key_Lefft", "no such name"),
        ("qt.Qt.Key.Key_Left", "not in the enumeration"),
        ("qt.QMessageBox.StandardButton.Yes", "not in the enumeration"),
        ("qt.QTimer.singleshot(0, f)", "no such name"),
        ("label = qt.QLabel('a')\nlabel.text()", "not called"),
        ("class A:\n def a(self):\n  self.t = qt.QTimer()\n def b(self):\n  self.t.started()", "no such name"),
        ("def f(box: qt.QSpinBox):\n box.range = 3", "no such name"),
        ("slicer.app.layoutManger()", "no such name"),
        ("slicer.util.arrayFromVolum(node)", "no such function"),
        ("with qt.QSignalBlocker(ui.ct): pass", "context manager"),
    ],
)
def test_a_wrong_name_is_noticed(code, word):
    problems = problems_in_code(f"import qt, ctk, slicer\n{code}", UI, "Some.ui")
    assert len(problems) == 1 and word in problems[0], problems


@pytest.mark.parametrize(
    "code",
    [
        "ui.apply.clicked.connect(f)\nui.apply.connect('clicked(bool)', f)\nui.apply.enabled = not ui.apply.enabled",
        "ui.slider.valueChanged.connect(ui.slider.setValue)\nui.slider.setValue(ui.slider.maximum)\nui.slider.name",
        "ui.ct.setCurrentNode(ui.ct.currentNode())\nui.ct.nodeTypes = ['a']\nui.ct.visible = True\nui.ct.deleteLater()",
        "ui.table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)\nui.table.item(0, 0).text()",
        "class A:\n '''Widgets of Other.ui.'''\n def f(self, ui):\n  ui.path.currentPath = ''\n  self.panel.ui.apply.click()",
        "qt.QTimer.singleShot(0, f)\nqt.QMessageBox.question(None, 'a', 'b')\nqt.QMessageBox().exec_()",
        "widget = qt.QLabel()\nwidget = make()\nwidget.anything()",
        "slicer.app.processEvents()\nslicer.app.userSettings().value('a')\nslicer.util.loadUI('a')",
    ],
)
def test_a_right_name_is_left_alone(code):
    assert problems_in_code(f"import qt, ctk, slicer\n{code}", UI, "Some.ui") == []


@pytest.mark.parametrize(
    "old, new, word",
    [
        ("ctkSliderWidget", "ctkSlidersWidget", "no class"),
        ('name="singleStep"', 'name="singleSteps"', "no property"),
        ("QFrame::StyledPanel", "QFrame::StyledPannel", "no value"),
        ("mrmlSceneChanged(vtkMRMLScene*)", "mrmlSceneChanged(vtkMRMLNode*)", "no signal"),
        ("setMRMLScene(vtkMRMLScene*)", "setScene(vtkMRMLScene*)", "no slot"),
        ("<receiver>ctSelector", "<receiver>ctSelektor", "not there"),
        ('name="ctLabel"', 'name="ctSelector"', "two things"),
        ('"qMRMLWidget" name', '"QWidget" name', "the root"),
        ('name="text"', 'name="text" stdset="0"', "not a dynamic one"),
    ],
)
def test_a_wrong_name_in_a_ui_file_is_noticed(tmp_path, old, new, word):
    text = (EXAMPLE / "Resources" / "UI" / "ExamplePanel.ui").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "Wrong.ui"
    path.write_text(text.replace(old, new), encoding="utf-8")
    problems = problems_in_ui(path)
    assert any(word in problem for problem in problems), problems


def test_a_selector_without_the_scene_is_noticed(tmp_path):
    text = (EXAMPLE / "Resources" / "UI" / "ExamplePanel.ui").read_text(encoding="utf-8")
    path = tmp_path / "Wrong.ui"
    path.write_text(text[: text.index("<connections>")] + "</ui>", encoding="utf-8")
    assert [problem for problem in problems_in_ui(path) if "ctSelector" in problem and "scene" in problem]


# the tables and the stand-ins ------------------------------------------------------------------------------------------


def test_the_tables_agree_with_qts_own_meta_objects():
    """Of what Qt 5.15 and Qt 6 both have; those that are only in one are few."""
    widgets = pytest.importorskip("PySide6.QtWidgets", reason='needs PySide6: pip install "PySide6-Essentials>=6.8"')
    for name in (
        "QWidget",
        "QComboBox",
        "QSpinBox",
        "QTableWidget",
        "QPushButton",
        "QSlider",
        "QLineEdit",
        "QTabWidget",
    ):
        meta = getattr(widgets, name).staticMetaObject
        for index in range(meta.propertyOffset(), meta.propertyCount()):
            prop = meta.property(index)
            if prop.name() not in ("accessibleIdentifier", "labelDrawingMode", "supportedDragActions"):  # new in Qt 6
                assert api().kind(name, prop.name()) == ("property" if prop.isWritable() else "readonly"), (
                    name,
                    prop.name(),
                )
        for index in range(meta.methodOffset(), meta.methodCount()):
            method = meta.method(index)
            if method.methodType() == method.MethodType.Signal:
                assert api().has_signal(name, bytes(method.methodSignature()).decode()), (
                    name,
                    method.methodSignature(),
                )


def test_stand_ins_offer_nothing_that_the_real_classes_lack(host):
    from PySide6 import QtCore
    from slicer_host.stand_in import stand_ins

    wrong = []
    for name, cls in stand_ins.items():
        assert name in api(), f"{name} is not in the tables: add it to api/make_api.py"
        qt_base = next(base for base in cls.__mro__ if base.__module__.startswith("PySide6"))
        own = {
            attribute: value
            for base in cls.__mro__
            if base.__module__.startswith("slicer_host")
            for attribute, value in base.__dict__.items()
        }
        for attribute, value in own.items():
            if attribute.startswith("_") or attribute == "staticMetaObject" or hasattr(qt_base, attribute):
                continue  # what overrides a method of Qt is not an offer
            kind = api().kind(name, attribute)
            meant = {QtCore.Property: ("property", "readonly"), QtCore.Signal: ("signal",)}.get(
                type(value), ("call",) if callable(value) else ("enum",)
            )
            if kind not in meant:
                wrong.append(f"{name}.{attribute} is {kind} of the real class")
    assert not wrong, "\n".join(wrong)
