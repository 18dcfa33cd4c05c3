"""The section Sequence in Qt: a sequence is dropped, tracked and stepped through."""

from gui_driver import GuiDriver
from moving import swing, write_moving_case


def test_a_sequence_is_tracked_and_stepped_through(host, tmp_path):
    person = GuiDriver(host)
    person.drop(write_moving_case(tmp_path, swing(3)))
    person.wait(lambda: person.panel.registration is not None)
    person.begin("sequence")
    person.wait_for_work()
    person.press("sequence", "track")
    person.wait(lambda: person.session.sequence.ended == "done", 120)
    player = person.session.sequence.player
    for key, number in (("first", 0), ("on", 1)):
        person.press("sequence", key)
        person.wait(lambda wanted=number: player.number == wanted)
    assert person.text("sequence", "headline").startswith("Frame 1: followed")
