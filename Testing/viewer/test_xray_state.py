"""What goes to the page as numbers, what comes from it, and errors that nothing expects."""

import asyncio
from contextlib import nullcontext

import numpy as np
import pytest
from refusals import refuses

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.viewer import application
from MultiViewRegistrationLib.viewer.browser_drr import checked_pose
from MultiViewRegistrationLib.viewer.xray_pixels import (
    FIRST,
    LAST,
    MASKED,
    USED,
    encoded,
    field_codes,
)


def test_line_integrals_become_codes_and_nothing_is_0():
    codes = encoded(np.array([[0.5, 1.5, 2.5], [np.nan, -1e9, 1e9]]), 0.5, 2.5)
    assert codes.dtype == np.uint16
    assert codes.tolist() == [[FIRST, (FIRST + LAST) // 2, LAST], [0, FIRST, LAST]]
    fine = np.linspace(0, 4, 1000)
    back = (encoded(fine, 0.0, 4.0).astype(float) - FIRST) / (LAST - FIRST) * 4
    assert np.abs(back - fine).max() < 4 / 60000


def test_the_field_has_codes_for_what_is_used_and_what_a_mask_leaves_out_within():
    used = np.zeros((6, 8), bool)
    used[:, 2:], used[2:4, 4:6] = True, False
    xray = XRay(np.zeros(used.shape, np.float32), used)
    codes = field_codes(xray, 1, used.shape)
    assert codes.dtype == np.uint8 and (codes[:, :2] == 0).all()
    assert (codes[2:4, 4:6] == MASKED).all() and (codes == USED).sum() == used.sum()
    assert field_codes(xray, 2, (3, 4)).tolist() == [
        [0, *[USED] * 3],
        [0, USED, MASKED, USED],
        [0, *[USED] * 3],
    ]
    assert not field_codes(None, 2, (3, 4)).any()


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


def test_an_error_that_comes_again_and_again_is_shown_once(monkeypatch, caplog):
    errors = iter([ValueError("one"), ValueError("one"), None, KeyError("two"), KeyError("two")])

    class Faulty(application.Application):
        moving = False

        def __init__(self) -> None:
            self.state, self.messages = nullcontext(), []

        def show_message(self, message: str) -> None:
            self.messages.append(message)

        def tick(self):
            error = next(errors, asyncio.CancelledError())
            if error is not None:
                raise error
            yield

    monkeypatch.setattr(application, "TICK_S", 0)
    faulty = Faulty()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(faulty.run())
    assert [
        "ValueError" in faulty.messages[0],
        "KeyError" in faulty.messages[1],
        len(faulty.messages),
    ] == [1, 1, 2]
    assert len([record for record in caplog.records if record.exc_info]) == 2


def test_pages_are_answered_between_the_parts_of_a_tick():
    order = []

    class Busy(application.Application):
        moving = False

        def __init__(self) -> None:
            self.state = nullcontext()

        def tick(self):
            for part in ("follow", "views", "refresh"):
                order.append(part)
                yield
            raise asyncio.CancelledError

    async def both() -> None:
        async def answer() -> None:
            while True:
                order.append("page")
                await asyncio.sleep(0)

        answering = asyncio.ensure_future(answer())
        try:
            await Busy().run()
        finally:
            answering.cancel()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(both())
    assert order == ["follow", "page", "views", "page", "refresh", "page"]


def test_what_follows_the_ct_waits_longer_while_it_is_moved(monkeypatch):
    ticks, pauses = iter([True, False]), []

    class Moved(application.Application):
        moving = True

        def __init__(self) -> None:
            self.state = nullcontext()

        def tick(self):
            self.moving = next(ticks, None)
            if self.moving is None:
                raise asyncio.CancelledError
            yield

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(application.asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(Moved().run())
    assert pauses == [0, application.MOVING_TICK_S, 0, application.TICK_S]
