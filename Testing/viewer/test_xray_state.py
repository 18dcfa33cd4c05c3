"""What goes to the page as numbers, what comes from it, and errors that nothing expects."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

import numpy as np
import pytest

from MultiViewRegistrationLib.errors import InputError

pytest.importorskip("trame_slicer", reason="needs slicer-core: pip install -e .[viewer]")

from MultiViewRegistrationLib.viewer import application
from MultiViewRegistrationLib.viewer.xray_pixels import FIRST, LAST, encoded
from MultiViewRegistrationLib.viewer.xray_state import checked


def test_line_integrals_become_codes_and_nothing_is_0():
    codes = encoded(np.array([[0.5, 1.5, 2.5], [np.nan, -1e9, 1e9]]), 0.5, 2.5)
    assert codes.dtype == np.uint16
    assert codes.tolist() == [[FIRST, (FIRST + LAST) // 2, LAST], [0, FIRST, LAST]]
    fine = np.linspace(0, 4, 1000)
    back = (encoded(fine, 0.0, 4.0).astype(float) - FIRST) / (LAST - FIRST) * 4
    assert np.abs(back - fine).max() < 4 / 60000


def test_only_movements_are_taken():
    for movement in ({"shift": [1.0, -2]}, {"turn": [0.1], "beam": [3]}, {}):
        assert checked(movement) == movement
    values = ([1.0], [1.0, float("nan")], 3, ["1", 2], [True, 1], [1e6, 1])
    for movement in (*({"shift": value} for value in values), {"jump": [1]}, [1], None, "shift"):
        with pytest.raises(InputError, match="Movement"):
            checked(movement)


def test_an_error_that_comes_again_and_again_is_shown_once(monkeypatch, caplog):
    errors = iter([ValueError("one"), ValueError("one"), None, KeyError("two"), KeyError("two")])

    class Faulty(application.Application):
        def __init__(self) -> None:
            self.state, self.messages = nullcontext(), []

        def show_message(self, message: str) -> None:
            self.messages.append(message)

        def tick(self) -> None:
            error = next(errors, asyncio.CancelledError())
            if error is not None:
                raise error

    monkeypatch.setattr(application, "TICK_S", 0)
    faulty = Faulty()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(faulty.run())
    assert ["ValueError" in faulty.messages[0], "KeyError" in faulty.messages[1], len(faulty.messages)] == [1, 1, 2]
    assert len([record for record in caplog.records if record.exc_info]) == 2
