"""A calibration file that takes its time: its questions stay meanwhile."""

from __future__ import annotations

from threading import Event
from time import monotonic, sleep
from types import SimpleNamespace

import pytest
import SimpleITK as sitk

from MultiViewRegistrationLib.errors import InputError

pytest.importorskip("trame_slicer", reason="needs slicer-core: pip install -e .[viewer]")


def test_the_questions_stay_while_an_answer_is_taken(tmp_path, monkeypatch):
    from MultiViewRegistrationLib.session.presenters import calibration

    go_on = Event()
    go_on.set()
    read = calibration.read_cameras
    monkeypatch.setattr(calibration, "read_cameras", lambda *given: go_on.wait(30) and read(*given))
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "matrix.txt").write_text("1000 0 64 0\n0 1000 64 0\n0 0 1 700\n")
    given = calibration.CalibrationFile()

    def keep(changed):
        nonlocal given
        given = changed

    presenter = calibration.CalibrationPresenter(lambda: given, keep, patience_s=0.05)
    view = SimpleNamespace(name="front", size=(128, 128))

    def asked() -> list[str]:
        return [question.label for question in presenter.shown(view, given).questions]

    def until_read() -> None:
        latest = monotonic() + 30
        while not presenter.tick() and monotonic() < latest:
            sleep(0.01)

    presenter.open(tmp_path / "one" / "matrix.txt")
    if not asked():
        until_read()
    questions = asked()
    assert questions[:2] == ["First pixel at", "World axes"]
    go_on.clear()
    presenter.answer("first_pixel", "0")
    assert asked() == questions
    with pytest.raises(InputError, match="being read"):
        presenter.camera(view, given)
    go_on.set()
    until_read()
    assert asked() == questions
    with pytest.raises(InputError, match="The file does not say, and nothing is assumed: World axes"):
        presenter.camera(view, given)
    go_on.clear()
    presenter.open(tmp_path / "other" / "matrix.txt")  # nothing is known yet of what this one leaves open
    assert asked() == []
    go_on.set()


def test_a_second_file_is_read_only_where_it_was_sent_beside_the_first(tmp_path):
    from MultiViewRegistrationLib.session.presenters.calibration import BESIDE, CalibrationFile, CalibrationPresenter

    folder, view = tmp_path / "sent", SimpleNamespace(size=(128, 128), name="view1")
    folder.mkdir()
    transform = sitk.AffineTransform(3)
    for path in (folder / "carm.tfm", folder / "camera.tfm", tmp_path / "elsewhere.tfm"):
        sitk.WriteTransform(transform, str(path))
    answers = {"direction": "forward", "axes": "lps", "intrinsics": "1000 0 64 0 1000 64 0 0 1", "first_pixel": "0"}
    presenter = CalibrationPresenter(None, None, patience_s=30)

    def given(beside: str) -> CalibrationFile:
        files = (folder / "camera.tfm", folder / "carm.tfm")
        return CalibrationFile(files[1], folder, files, {**answers, BESIDE: beside})

    asked = {question.key: question for question in presenter.shown(view, given("")).questions}
    assert [choice.value for choice in asked[BESIDE].choices] == ["", "none", "camera.tfm"]
    for beside in ("camera.tfm", "none"):
        assert presenter.shown(view, given(beside)).told.startswith("A camera of 128 \u00d7 128 pixels")
    for path in (tmp_path / "elsewhere.tfm", "../elsewhere.tfm", "/etc/hostname"):
        assert presenter.shown(view, given(str(path))).told == ""
        with pytest.raises(InputError, match="nothing is assumed"):
            presenter.camera(view, given(str(path)))
