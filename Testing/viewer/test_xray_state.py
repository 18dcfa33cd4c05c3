"""Numbers sent to and received from the page, errors of the server's ticks, and icons."""

import asyncio
import re
from contextlib import nullcontext

import numpy as np
import pytest
from helpers.refusals import refuses

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.viewer import application, elements
from MultiViewRegistrationLib.viewer.xray_pixels import (
    FIRST,
    LAST,
    LAST_COARSE,
    checked_pose,
    encoded,
)


def test_line_integrals_become_codes_and_nothing_is_0():
    codes = encoded(np.array([[0.5, 1.5, 2.5], [np.nan, -1e9, 1e9]]), 0.5, 2.5)
    assert codes.dtype == np.uint16
    assert codes.tolist() == [[FIRST, (FIRST + LAST) // 2, LAST], [0, FIRST, LAST]]
    fine = np.linspace(0, 4, 1000)
    back = (encoded(fine, 0.0, 4.0).astype(float) - FIRST) / (LAST - FIRST) * 4
    assert np.abs(back - fine).max() < 4 / 60000


def test_a_coarse_picture_has_a_byte_for_each_pixel():
    codes = encoded(np.array([[0.5, 2.5, np.nan]]), 0.5, 2.5, LAST_COARSE)
    assert codes.dtype == np.uint8 and codes.tolist() == [[FIRST, LAST_COARSE, 0]]


def test_only_poses_are_taken():
    pose = rigid.turn_and_shift([0.1, 0.2, -0.3], [1.0, -2, 3])
    assert np.allclose(checked_pose(pose.tolist()), pose, atol=1e-12)
    far, mirrored, unknown = (
        pose + 1e6 * np.eye(4, k=3),
        pose @ np.diag([-1, 1, 1, 1]),
        pose * np.nan,
    )
    for wrong in (
        far,
        mirrored,
        unknown,
        1.1 * pose,
        pose[:3],
        {"turn": [1]},
        None,
        "pose",
        [[True] * 4] * 4,
    ):
        with refuses("Movement"):
            checked_pose(wrong.tolist() if isinstance(wrong, np.ndarray) else wrong)


class Ticking(application.Application):
    """An application without a page, whose ticks are those of a test."""

    moving = False

    def __init__(self, tick):
        self.state, self.tick, self.messages = nullcontext(), tick, []

    def show_message(self, message):
        self.messages.append(message)


def run(coroutine):
    """Until a tick cancels it."""
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(coroutine)


def test_an_error_that_comes_again_and_again_is_shown_once(monkeypatch, caplog):
    errors = iter([ValueError("one"), ValueError("one"), None, KeyError("two"), KeyError("two")])

    def tick():
        error = next(errors, asyncio.CancelledError())
        if error is not None:
            raise error
        yield

    monkeypatch.setattr(application, "TICK_S", 0)
    faulty = Ticking(tick)
    run(faulty.run())
    first, second = faulty.messages
    assert "ValueError" in first and "KeyError" in second
    assert len([record for record in caplog.records if record.exc_info]) == 2


def test_every_icon_that_the_page_names_is_in_its_stylesheet():
    (styles,) = elements.icon_styles().values()
    viewer = elements.BROWSER.parent
    for script in (*viewer.glob("*.py"), *viewer.rglob("*.js")):
        text = script.read_text(encoding="utf-8")
        if script.name != "elements.py":
            assert not re.search(r"mdi-[^a-z]", text), f"{script}: an icon's name in pieces"
        for name in re.findall(r"mdi-[a-z][\w-]+", text):
            assert f".{name}::before" in styles, f"{script}: no icon {name}"
    assert "mdi-abacus" not in styles and "@font-face" in styles and len(styles) < 10_000
