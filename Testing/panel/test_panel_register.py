"""The section Register, used by clicks, and what may happen while it runs."""

import logging

import pytest
import qt
import slicer
from helpers.phantom import TRUE_POSE, error_mm, off
from helpers.running_session import STARTED_AT, PausedRegistration, no_thread_is_left

from MultiViewRegistrationLib.registration.optimizer import Progress


def moved(*mm):
    return off(STARTED_AT, (0, 0, 0), mm)


@pytest.fixture
def held(person):
    """A registration that is under way until it is let go."""
    held = PausedRegistration(off(TRUE_POSE, (1, 0, 0), (0, 2, 0)))
    person.choose("start", "start", "From here")
    person.press("register", "register")
    assert person.session.running_registration
    yield held
    PausedRegistration.release_all()


@pytest.mark.slow
def test_a_registration_goes_on_while_another_module_is_open_and_moves_nothing_there(
    person, held, caplog, capfd
):
    """What is drawn or measured on the CT meanwhile must stay on it."""
    host = person.host
    person.wait(lambda: not person.session.preparing)
    told = Progress(0.5, "refining", moved(9, 0, 0), 0.1)
    person.session.running_registration.show(told)
    host.leave(person.module_widget)
    person.wait(lambda: any("goes on" in text for text in host.shown("status")), 5)
    held.resume()
    person.wait(lambda: person.session.waiting)
    host.process(0.3)
    said = [text for text in host.shown("status") if "has ended" in text]
    assert len(said) == 1 and person.is_at(STARTED_AT)
    host.enter(person.module_widget)
    person.wait_for_work()
    assert error_mm(person.pose) < 0.1 and person.session.ended == "done"
    assert "Traceback" not in capfd.readouterr().err and no_thread_is_left()
    assert all(record.levelno == logging.INFO for record in caplog.records)


@pytest.mark.slow
def test_what_stops_it_in_another_module_is_said_there(person, held):
    person.host.leave(person.module_widget)
    person.registration.world_from_ct = moved(0, 30, 0)
    person.host.process(0.3)
    assert "as the CT was moved" in person.host.shown("status")[-1] and not person.session.running
    person.host.enter(person.module_widget)
    assert "as the CT was moved" in person.message


@pytest.fixture
def status_bar(person):
    """A function: the progress bar in Slicer's status bar and its button, None where they are hidden."""
    bar = slicer.util.mainWindow().statusBar()

    def shown():
        (progress,) = bar.findChildren(qt.QProgressBar)
        around = progress.parentWidget()
        return None if around.isHidden() else (progress, *around.findChildren(qt.QPushButton))

    return shown


def test_progress_in_status_bar_can_be_cancelled_from_another_module(person, status_bar, held):
    person.host.leave(person.module_widget)
    person.wait(lambda: not person.session.preparing)
    told = Progress(0.5, "refining", moved(9, 0, 0), 0.1)
    person.session.running_registration.task._tell(told)
    person.host.process(0.3)
    bar, cancel = status_bar()
    assert bar.value == 50 and bar.format.startswith("Refining")
    cancel.click()
    person.host.process(0.2)
    assert not person.session.running and status_bar() is None


@pytest.mark.slow
def test_a_registration_ends_with_its_scene_and_is_not_said_to_go_on(person, held):
    person.host.leave(person.module_widget)
    session = person.panel.session
    person.host.scene.Clear(False)
    person.host.process(0.3)
    bar = slicer.util.mainWindow().statusBar()
    assert bar.currentMessage() == "" and not session.running
