"""A case with structures in the panel.

Its outlines in Slicer's views, what the bar says, and the choice of one structure.
"""

from __future__ import annotations

import pytest
from bent_spine import write_case
from gui_driver import GuiDriver

from MultiViewRegistrationLib.mrml.structures import MISFITS


@pytest.fixture
def person(host, tmp_path) -> GuiDriver:
    """With a case whose spine is bent, once it has been registered."""
    write_case(tmp_path)
    person = GuiDriver(host)
    person.give_views(900, 700)
    host.answers.open_files = [tmp_path / "case.json"]
    host.click(person.ui.loadCaseButton)
    person.wait_until_read()
    person.wait(lambda: person.session is not None and len(person.session.history.entries) > 1, 120)
    person.registration = person.panel.registration
    return person


def outlines(person) -> list:
    """The models of what does not fit, of the X-rays that have one."""
    found = [view.node.GetNodeReference(MISFITS) for view in person.registration.xrays]
    return [node for node in found if node is not None]


def test_what_lies_elsewhere_is_outlined_and_told(person, tmp_path):
    host = person.host
    assert "CHECK: L3 lies " in person.answer()
    person.begin("check")
    person.wait(lambda: len(outlines(person)) == 2)
    for node, view in zip(outlines(person), person.registration.xrays, strict=True):
        assert (
            node.GetPolyData().GetNumberOfLines() > 20 and node.GetDisplayNode().GetColor()[0] > 0.9
        )
        assert (
            tuple(node.GetDisplayNode().GetViewNodeIDs())
            and not node.GetDisplayNode().GetVisibility3D()
        )
        assert node.GetName() == f"what does not fit in {view.name}"
    assert "Red outlines: L2, L3" in person.widget("check", "misfits").text
    host.process(2.0)
    host.grab(host.main_window, tmp_path / "views.png")
    host.grab(person.panel.widget, tmp_path / "panel.png")
    person.choose("check", "overlay", "X-ray alone")
    person.wait(lambda: not outlines(person))
    person.choose("check", "overlay", "Blend")
    person.wait(lambda: len(outlines(person)) == 2)
    person.registration.world_from_ct = person.session.history.entries[0].pose
    person.wait(lambda: not outlines(person))
