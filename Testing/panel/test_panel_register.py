"""The section Register, driven by clicks, and what may happen while it runs."""

from __future__ import annotations

import pytest
from driven_panel import STARTED_AT, Driven, no_thread_is_left
from person import Person
from phantom import TRUE_POSE, error_mm, off
from running_session import PausedRegistration


@pytest.fixture
def driven(host, ct, views):
    return Driven(host, ct, views)


@pytest.fixture
def held(driven):
    """A registration that is under way until it is let go."""
    held = PausedRegistration(off(TRUE_POSE, (1, 0, 0), (0, 2, 0)))
    driven.choose_start("given")
    driven.press_register()
    assert driven.session.running_registration
    yield held
    PausedRegistration.release_all()


def nodes(scene):
    return {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}


def test_one_button_registers_and_says_what_it_came_to(driven):
    driven.press_register()
    assert driven.widget("register", "progress").visible and driven.header("register").startswith("\u25b6")
    driven.finish()
    assert error_mm(driven.pose) < 0.1 and not driven.widget("register", "progress").visible
    assert driven.header("register") == "\u2714 accept, probably below 0.1 mm"
    assert driven.history() == ["Before", "Search*"]
    driven.pick("register", "history", 0)
    assert driven.is_at(STARTED_AT) and driven.history() == ["Before*", "Search"]
    assert driven.message == "" and no_thread_is_left()


@pytest.mark.slow
def test_a_simulated_pelvis_from_its_case(host, shared_data):
    person = Person(host, width=450)
    host.answers.open_files = [shared_data / "sim" / "pelvis-three-views-wires" / "case.json"]
    host.click(person.ui.loadCaseButton)
    person.wait_until_read()
    person.press("register", "register")
    person.wait_for_work()
    assert person.panel.session.error() < 0.2
    assert person.text("register", "outcome").startswith("Done in ") and len(person.history()) == 2


def test_the_overlay_follows_level_by_level(driven, held):
    from MultiViewRegistrationLib.registration.pipeline import Progress

    host, view, seen = driven.host, driven.registration.xrays[0], set()
    host.process(60, until=lambda: not driven.session.preparing)
    for step in range(3):
        driven.session.running_registration.show(
            Progress(step / 3, "refining", off(STARTED_AT, (0, 0, 0), (step, 0, 0)), 0.1)
        )
        host.process(0.2)
        seen.add(host.slicer.util.arrayFromVolume(view.node.GetNodeReference("drr")).tobytes())
    assert len(seen) == 3


@pytest.mark.parametrize(
    "end",
    [
        lambda driven: driven.host.scene.Clear(False),
        lambda driven: driven.host.scene.RemoveNode(driven.registration.node),
    ],
)
def test_without_its_registration_nothing_is_left(driven, held, end, caplog, capfd):
    session = driven.session
    end(driven)
    driven.host.process(0.3)
    left = nodes(driven.host.scene)
    assert not session.running and driven.panel.registration is None
    assert not driven.panel.sections["register"].widget.enabled and driven.header("register") == "\u25cb"
    held.resume()
    driven.host.process(0.3)
    assert nodes(driven.host.scene) == left and no_thread_is_left()
    assert not caplog.records and "Traceback" not in capfd.readouterr().err


def test_leaving_the_module_ends_it_and_coming_back_is_fine(driven, held, caplog, capfd):
    driven.host.leave(driven.module_widget)
    assert not driven.session.running and driven.is_at(STARTED_AT)
    held.resume()
    assert no_thread_is_left() and not caplog.records
    driven.host.enter(driven.module_widget)
    driven.choose_start("search")
    driven.press_register()
    driven.finish()
    assert error_mm(driven.registration.world_from_ct) < 0.1
    driven.registration.node.SetParameter("refinement", "xvr")  # the panel follows its node again
    driven.host.process(0.1)
    assert not driven.widget("register", "register").enabled and "Traceback" not in capfd.readouterr().err


def test_another_registration_ends_it(driven, held, ct, views):
    from phantom_scene import make_registration

    session = driven.session
    driven.panel.choose(make_registration(driven.host.scene, ct, views, name="Other"))
    assert not session.running and driven.is_at(STARTED_AT)
    assert driven.history() == []


def test_a_scene_that_is_opened_next_has_a_session_of_its_own(driven, ct, views):
    """Nodes of a new scene have the same IDs."""
    from phantom_scene import make_registration

    before = driven.session
    driven.host.scene.Clear(False)
    driven.host.process(0.1)
    other = make_registration(driven.host.scene, ct, views, STARTED_AT)
    assert other.node.GetID() == "vtkMRMLScriptedModuleNode1"
    driven.panel.choose(other)
    assert driven.session is not before and driven.session.registration == other


def test_keys_register_undo_and_redo_from_anywhere_in_the_panel(driven):
    from PySide6.QtCore import Qt

    host = driven.host
    driven.choose_start("search")
    driven.module_widget.parent.activateWindow()
    focus = driven.widget("start", "range")
    focus.setFocus()
    host.key(focus, Qt.Key_Return, Qt.ControlModifier)
    assert driven.session.running_registration
    driven.finish()
    found = driven.registration.world_from_ct
    host.key(focus, Qt.Key_Z, Qt.ControlModifier)
    assert driven.is_at(STARTED_AT)
    host.key(focus, Qt.Key_Y, Qt.ControlModifier)
    assert driven.is_at(found)


# Published baselines


def test_a_baseline_needs_the_extension_for_torch(driven, monkeypatch):
    from MultiViewRegistrationLib.panel import packages

    driven.choose_start("given")
    driven.choose("register", "refinement", "DiffPose (published baseline)")
    assert driven.registration.parameter("refinement") == "diffpose"
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "torch" else object())
    driven.press_register()
    assert "extension PyTorch is not installed" in driven.message and not driven.session.running
