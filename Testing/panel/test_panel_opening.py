"""A case is read beside the panel, which goes on.

The module is reloaded while it is open, and unloaded whatever is left of it.
"""

import threading

import pytest
import slicer
from gui_driver import GuiDriver
from helpers.phantom_scene import make_registration

from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.session.presenters import frontend


@pytest.fixture
def reading(monkeypatch):
    """Reading begins, in which threads is noted, and lasts until it is let go."""
    read, held = frontend.read_whole, threading.Event()
    held.threads = []

    def slowly(*args):
        held.threads.append(threading.current_thread())
        held.wait(20)
        return read(*args)

    monkeypatch.setattr(frontend, "read_whole", slowly)
    yield held
    held.set()


def opens(person, path):
    person.host.answers.open_files = [path]
    person.host.click(person.ui.loadCaseButton)
    person.host.process(0.1)


def test_a_case_is_read_beside_the_panel(host, case_file, reading):
    person = GuiDriver(host)
    opens(person, case_file)
    label = person.ui.readingLabel
    assert label.visible and label.text == f"Reading {case_file.parent.name}\u2026"
    assert person.panel.registration is None
    reading.set()
    person.wait_until_read()
    assert not label.visible and len(person.panel.registration.xrays) == 2 and person.message == ""
    assert threading.main_thread() not in reading.threads


@pytest.mark.slow
def test_another_choice_takes_its_place(host, ct, views, case_file, reading):
    person = GuiDriver(host)
    opens(person, case_file)
    other = make_registration(person.host.scene, ct, views)
    person.panel.choose(other)
    person.host.process(0.1)
    assert not person.ui.readingLabel.visible
    reading.set()
    person.host.process(1)
    assert person.panel.registration == other and Registration.all(person.host.scene) == [other]


# Reload, and the end


@pytest.mark.slow
def test_a_reloaded_panel_goes_on_where_it_was(person):
    slicer.util.reloadScriptedModule("MultiViewRegistration")
    widget = slicer.modules.MultiViewRegistrationWidget
    person.host.process(0.1)
    assert widget is not person.module_widget and widget.panel.shown
    assert widget.panel.registration == person.registration
    assert widget.panel.ui.layoutButton.enabled and not widget.panel.ui.messageLabel.visible


@pytest.mark.slow
def test_the_module_is_unloaded_once_its_widgets_are_gone(person):
    go, session = threading.Event(), person.session
    session.run(lambda: go.wait(20), lambda result: None)
    for child in person.module_widget.parent.children():
        if child.isWidgetType():
            child.delete()
    person.module_widget.cleanup()
    assert not session.running and not person.panel._timer.active
    go.set()
    person.host.process(0.2)
