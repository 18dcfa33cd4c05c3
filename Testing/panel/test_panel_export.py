"""The Export section in Qt: a folder is chosen, the report opened, the transform shown, packages asked for."""

from __future__ import annotations

import pytest
from gui_driver import GuiDriver
from phantom_scene import begun, phantom_registration, settle


@pytest.fixture
def person(host):
    """At the Export section of the phantom, at a pose that passes for a result."""
    person = GuiDriver(host)
    person.begin("export", begun(phantom_registration(host.scene)))
    settle(person.panel.session)
    host.process(0.1)
    return person


def test_the_report_and_the_transform_are_opened(person, tmp_path):
    person.write_files("export", "registration", tmp_path)
    person.wait_for_work()
    assert person.message == "" and person.header("export") == "\u2714 written"
    person.press("export", "report.html")
    assert person.host.shown("url") == [(tmp_path / "report.html").as_uri()]
    (tmp_path / "report.html").unlink()
    person.press("export", "report.html")
    assert "is no longer there" in person.message
    person.press("export", "show_transform")
    assert person.host.slicer.util.selectedModule() == "Transforms"


def test_each_export_has_a_folder_of_its_own(person, tmp_path):
    """Where the chosen one has something in it already.

    Beside an earlier export only if the person agrees.
    """
    (tmp_path / "notes.txt").touch()
    person.write_files("export", "registration", tmp_path)
    person.wait_for_work()
    (first,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert first.name.startswith("registration-") and person.host.shown("question") == []
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    assert "world_from_ct.tfm" in before and str(first) in person.text("export", "written")
    assert person.drawn("export", "registration")._last == str(
        tmp_path
    )  # where the next dialog begins
    person.host.process(1.1)  # its name has another time
    person.host.answers.yes = False
    person.write_files("export", "registration", first)
    assert (
        "holds an earlier export" in person.host.shown("question")[0]
        and len(list(tmp_path.iterdir())) == 2
    )
    person.host.answers.yes = True
    person.write_files("export", "registration", first)
    person.wait_for_work()
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before
    (second,) = [path for path in tmp_path.iterdir() if path.is_dir() and path != first]
    assert {path.name for path in second.iterdir()} == set(before)


def test_pyigtl_is_installed_if_the_user_agrees(person, monkeypatch):
    from MultiViewRegistrationLib.panel import packages

    find_spec = packages.find_spec
    monkeypatch.setattr(
        packages, "find_spec", lambda name: None if name == "pyigtl" else find_spec(name)
    )
    person.host.answers.yes = False
    person.drawn("export", "igtl").widget.collapsed = False
    person.host.process(0.1)
    person.press("export", "send")
    (asked,) = person.host.shown("question")
    assert asked.startswith("OpenIGTLink needs the Python package pyigtl")
    assert (
        "pyigtl is not installed, expected your consent" in person.message
        and person.host.shown("pip") == []
    )
    assert not person.panel.session.igtl.open
