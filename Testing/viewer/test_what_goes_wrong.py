"""What nobody expected to go wrong in the viewer is told, and the work goes on."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

import pytest

pytest.importorskip("trame_slicer", reason="needs slicer-core: pip install -e .[viewer]")


def test_a_fault_that_comes_again_and_again_is_told_once(monkeypatch, caplog):
    from MultiViewRegistrationLib.viewer import application

    faults = iter([ValueError("one"), ValueError("one"), None, KeyError("two"), KeyError("two")])

    class Faulty(application.Application):
        def __init__(self) -> None:
            self.state, self.told = nullcontext(), []

        def tell(self, message: str) -> None:
            self.told.append(message)

        def tick(self) -> None:
            fault = next(faults, asyncio.CancelledError())
            if fault is not None:
                raise fault

    monkeypatch.setattr(application, "TICK_S", 0)
    faulty = Faulty()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(faulty.run())
    assert [next(name for name in ("ValueError", "KeyError") if name in told) for told in faulty.told] == [
        "ValueError",
        "KeyError",
    ]
    assert len([record for record in caplog.records if record.exc_info]) == 2
