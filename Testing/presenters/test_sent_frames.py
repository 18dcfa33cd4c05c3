"""A case of several frames that a page sends: its frames are read as they are tracked."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from moving import swing, write_moving_case

from MultiViewRegistrationLib.session.presenters.opening import Opening


@pytest.mark.parametrize("count", [1, 2])
def test_frames_are_kept_as_long_as_their_registration_is_open(scene, tmp_path, count):
    sent = tmp_path / "sent"
    sent.mkdir()
    case = write_moving_case(sent, swing(count))
    host = SimpleNamespace(registration=None, session=None, show_message=print)
    host.show_reading, host.ui_action = print, nullcontext
    host.take_read = lambda read, autosaved: setattr(host, "registration", read(scene))
    opening = Opening(host)
    opening.open(case, sent=sent)
    opening.tick(60)
    assert host.registration is not None and sent.exists() == (count > 1)
    opening.tick()
    assert sent.exists() == (count > 1)
    host.registration = None
    opening.tick()
    assert not sent.exists()
