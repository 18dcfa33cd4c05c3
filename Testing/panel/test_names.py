"""Every name that the panel uses of Qt, CTK and Slicer's widgets exists, by the tables made from their headers."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from code_names import api, problems_in_code
from hosts import IN_SLICER

MODULE = Path(__file__).resolve().parents[2] / "MultiViewRegistration"
UI_FILE = MODULE / "Resources" / "UI" / "MultiViewRegistration.ui"
CODE = [*MODULE.glob("*.py"), *sorted((MODULE / "MultiViewRegistrationLib" / "panel").glob("*.py"))]


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_names_in_code(path):
    entries = ET.parse(UI_FILE).getroot().iter("widget")
    widgets = {entry.get("name"): entry.get("class") for entry in entries}
    assert problems_in_code(path.read_text(encoding="utf-8"), widgets) == []


def test_classes_of_mrml_exist():
    slicer = pytest.importorskip(
        "slicer", reason='needs slicer-core: pip install "trame-slicer[standalone]>=2.0"'
    )
    files = [*CODE, *sorted((MODULE / "MultiViewRegistrationLib" / "mrml").glob("*.py"))]
    names = {
        name
        for path in files
        for name in re.findall(r"\bslicer\.(vtk\w+)", path.read_text(encoding="utf-8"))
    }
    assert not [name for name in sorted(names) if not hasattr(slicer, name)]


@pytest.mark.skipif(IN_SLICER, reason="there is none in Slicer")
def test_stand_ins_offer_only_what_the_real_classes_have(host):
    from PySide6 import QtCore
    from slicer_host.stand_in import stand_ins

    wrong = []
    for name, cls in stand_ins.items():
        assert name in api(), f"{name} is not in the tables: add it to api/"
        qt_base = next(base for base in cls.__mro__ if base.__module__.startswith("PySide6"))
        own = {
            attribute: value
            for base in cls.__mro__
            if base.__module__.startswith("slicer_host")
            for attribute, value in base.__dict__.items()
        }
        for attribute, value in own.items():
            if (
                attribute.startswith("_")
                or attribute == "staticMetaObject"
                or hasattr(qt_base, attribute)
            ):
                continue  # what overrides a method of Qt is not an offer
            kind = api().kind(name, attribute)
            meant = {QtCore.Property: ("property", "readonly"), QtCore.Signal: ("signal",)}.get(
                type(value), ("call",) if callable(value) else ("enum",)
            )
            if kind not in meant:
                wrong.append(f"{name}.{attribute} is {kind} of the real class")
    assert not wrong, "\n".join(wrong)
