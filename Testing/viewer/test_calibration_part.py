"""A calibration file that takes its time: what is asked about it stays in the page meanwhile."""

from __future__ import annotations

from contextlib import nullcontext
from threading import Event
from time import monotonic, sleep
from types import SimpleNamespace

import pytest

from MultiViewRegistrationLib.errors import InputError

pytest.importorskip("trame_slicer", reason="needs slicer-core: pip install -e .[viewer]")


def test_the_questions_stay_while_an_answer_is_taken(tmp_path, monkeypatch):
    from MultiViewRegistrationLib.viewer import calibration_part

    go_on = Event()
    go_on.set()
    read = calibration_part.read_cameras
    monkeypatch.setattr(calibration_part, "read_cameras", lambda *given: go_on.wait(30) and read(*given))
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "matrix.txt").write_text("1000 0 64 0\n0 1000 64 0\n0 0 1 700\n")
    given = calibration_part.Calibration()

    def keep(changed):
        nonlocal given
        given = changed

    part = calibration_part.CalibrationPart(SimpleNamespace(acting=nullcontext), lambda: given, keep)
    view = SimpleNamespace(name="front", size=(128, 128))

    def asked() -> list[str]:
        return [question["label"] for question in part.content(view, given)["questions"]]

    def until_read() -> None:
        latest = monotonic() + 30
        while not part.tick() and monotonic() < latest:
            sleep(0.01)

    part.take(tmp_path / "one")
    if not asked():
        until_read()
    questions = asked()
    assert questions[:2] == ["First pixel at", "World axes"]
    go_on.clear()
    part.answer("first_pixel", "0")
    assert asked() == questions
    with pytest.raises(InputError, match="being read"):
        part.camera(view, given)
    go_on.set()
    until_read()
    assert asked() == questions
    with pytest.raises(InputError, match="The file does not say, and nothing is assumed: World axes"):
        part.camera(view, given)
    go_on.clear()
    part.take(tmp_path / "other")  # nothing is known yet of what this one leaves open
    assert asked() == []
    go_on.set()
