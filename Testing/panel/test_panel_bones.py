"""Bones in the panel: which a hand moves, their colours, and the choice among many."""

import numpy as np
import pytest
from gui_driver import GuiDriver
from helpers.phantom_scene import begun, make_registration
from helpers.running_session import STARTED_AT

from MultiViewRegistrationLib.imaging.body import Structures
from MultiViewRegistrationLib.mrml.ct_3d import put_bones
from MultiViewRegistrationLib.mrml.image import structures_node

NAMES = ("vertebrae_T11", "vertebrae_T10_of_a_long_name", "vertebrae_T9")
COLOURS = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]


@pytest.fixture
def person(host, ct, views):
    """At three bones that lie by themselves."""
    person = GuiDriver(host)
    registration = begun(make_registration(host.scene, ct, views, STARTED_AT))
    labels = np.zeros(ct.volume.values.shape, np.uint8)
    for n, part in enumerate(np.array_split(np.argwhere(ct.volume.values > 300), 3), start=1):
        labels[tuple(part.T)] = n
    node = structures_node(host.scene, "Segments", Structures(NAMES, labels), registration.ct)
    for n, colour in enumerate(COLOURS):
        node.GetSegmentation().GetNthSegment(n).SetColor(*colour)
    registration.choose_segment(node)
    put_bones(registration, dict.fromkeys(NAMES, STARTED_AT))
    person.begin("check", registration)
    return person


def pressed(person):
    """Whether "Move this bone" and "Move the CT" are drawn as pressed."""
    person.host.process(0.1)
    return tuple(person.widget("check", key).checked for key in ("move_bone", "move"))


def test_the_button_of_what_a_hand_moves_is_pressed_and_no_other(person):
    person.pick("check", "bones", 1, 1)
    assert pressed(person) == (False, False)
    assert "is moved now" not in person.text("check", "chosen")
    person.press("check", "move_bone")
    assert pressed(person) == (True, False) and person.panel.hand.on
    assert "is moved now" in person.text("check", "chosen")
    person.press("check", "move")
    assert person.panel.hand.on and not person.session.bones.chosen
    assert person.widget("check", "move").checked
    person.pick("check", "bones", 1, 1)
    assert pressed(person) == (True, False)
    person.press("check", "move_bone")
    assert pressed(person) == (False, False) and not person.panel.hand.on


def test_rows_of_bones_have_the_colours_of_their_segments(person):
    table = person.widget("check", "bones")
    shown = [
        table.item(row, 0).icon().pixmap(10, 10).toImage().pixelColor(4, 4) for row in range(3)
    ]
    assert [colour.name() for colour in shown] == ["#ff0000", "#00ff00", "#0000ff"]
