"""The Export section in Qt: a folder is chosen, the report opened, the transform shown, packages asked for."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from person import Person
from phantom import TRUE_POSE
from phantom_scene import phantom_registration, settle

from MultiViewRegistrationLib.io.case import Case


@pytest.fixture
def person(host):
    """At the Export section of the phantom, at a pose that passes for a result."""
    person = Person(host)
    person.begin("export", phantom_registration(host.scene))
    settle(person.panel.session)
    host.process(0.1)
    return person


def test_a_result_and_its_case_go_to_a_folder(person, tmp_path):
    out = tmp_path / "out"
    assert person.header("export") == "\u25d0" and person.control("export", "override") is None
    person.switch("export", "case")
    person.drawn("export", "formats").widget.collapsed = False
    person.host.process(0.1)
    person.switch("export", "format.json")
    person.write_files("export", "registration", out)
    person.wait_for_work()
    assert person.message == "" and person.header("export") == "\u2714 written"
    assert "world_from_ct.ras.json" in person.text("export", "written")
    assert "override" not in json.loads((out / "result.json").read_text(encoding="utf-8"))
    point = sitk.ReadTransform(str(out / "world_from_ct.tfm")).TransformPoint((10.0, -20.0, 5.0))
    assert np.allclose(point, (person.pose @ [10, -20, 5, 1])[:3], atol=1e-6)
    assert np.allclose(Case.load(out / "case.json").world_from_ct, person.pose)
    person.press("export", "report.html")
    assert person.host.shown("url") == [(out / "report.html").as_uri()]
    (out / "report.html").unlink()
    person.press("export", "report.html")
    assert "is no longer there" in person.message
    person.press("export", "show_transform")
    assert person.host.shown("module") == [f"module of {person.registration.ct_transform.GetName()}"]
    person.panel.choose(phantom_registration(person.host.scene, "Other", TRUE_POSE))
    assert person.text("export", "written") == "" and "no result" in person.text("export", "doubt")


def test_pyigtl_is_installed_if_the_user_agrees(person, monkeypatch):
    from MultiViewRegistrationLib.panel import packages

    find_spec = packages.find_spec
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "pyigtl" else find_spec(name))
    person.host.answers.yes = False
    person.drawn("export", "igtl").widget.collapsed = False
    person.host.process(0.1)
    person.press("export", "send")
    (asked,) = person.host.shown("question")
    assert asked.startswith("OpenIGTLink needs the Python package pyigtl")
    assert "pyigtl is not installed, expected your consent" in person.message and person.host.shown("pip") == []
    assert not person.panel.session.igtl.open
