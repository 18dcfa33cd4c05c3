"""The section Register, driven by clicks, and what may happen while it runs."""

from __future__ import annotations

import re

import numpy as np
import pytest
from driven_panel import STARTED_AT, Driven, no_thread_is_left
from held import Held
from phantom import TRUE_POSE, error_mm, off

from MultiViewRegistrationLib.errors import InputError


@pytest.fixture
def driven(host, ct, views):
    return Driven(host, ct, views)


@pytest.fixture
def held(driven):
    """A registration that is under way until it is let go."""
    held = Held(off(TRUE_POSE, (1, 0, 0), (0, 2, 0)))
    driven.choose_start("given")
    driven.press_register()
    assert driven.session.running_registration
    yield held
    Held.release_all()


def nodes(scene):
    return {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}


# The button, its progress, what it came to


def test_one_button_registers_and_tells_what_it_came_to(driven):
    ui = driven.register.ui
    driven.choose_start("search")
    assert ui.registerButton.enabled and "Ctrl+Return" in ui.registerButton.toolTip
    assert not ui.progressBar.visible and not ui.cancelButton.enabled and not ui.notesLabel.visible
    driven.press_register()
    assert ui.progressBar.visible and ui.cancelButton.enabled and not ui.registerButton.enabled
    assert driven.header("register").startswith("\u25b6") and "under way" in ui.registerButton.toolTip
    driven.wait()
    assert error_mm(driven.registration.world_from_ct) < 0.1
    assert re.fullmatch(r"Done in \d+\.\d s: similarity view1 0\.98, view2 0\.98\.", ui.statusLabel.text)
    assert not ui.progressBar.visible and not ui.cancelButton.enabled and ui.registerButton.enabled
    assert driven.header("register") == "\u2714  4. Register  \u2013  accept, probably below 0.1 mm"
    assert driven.header("start").startswith("\u2714")
    assert driven.message() == "" and no_thread_is_left()


def test_a_simulated_pelvis_from_its_case(host, shared_data):
    from driven_panel import MODULE

    host.load_module(MODULE)
    widget = host.open_module(width=450)
    host.answers.open_files = [shared_data / "sim" / "pelvis-three-views-wires" / "case.json"]
    host.click(widget.panel.ui.loadCaseButton)
    host.process(60, until=lambda: not widget.panel.opening.under_way)
    section = widget.panel.sections["register"]
    section.button.collapsed = False
    host.process(0.1)
    host.click(section.ui.registerButton)
    host.process(60, until=lambda: not widget.panel.session.running)
    host.process(0.1)
    assert widget.panel.session.error() < 0.2
    assert section.ui.statusLabel.text.startswith("Done in ") and section.ui.historyTable.rowCount == 2


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


def test_progress_is_told_in_the_header_and_below_the_bar(driven, held):
    from MultiViewRegistrationLib.registration.pipeline import Progress

    ui, run = driven.register.ui, driven.session.running_registration
    driven.host.process(0.1)
    assert ui.progressBar.maximum == 0 and "reparing the CT" in ui.statusLabel.text
    run.show(Progress(0.4, "refining at 64 x 64 px", STARTED_AT, 0.1))
    driven.host.process(0.1)
    assert (ui.progressBar.maximum, ui.progressBar.value) == (100, 40)
    assert ui.statusLabel.text.startswith("Refining at 64 x 64 px, ")
    assert driven.header("register") == "\u25b6  4. Register  \u2013  40 %"


def test_the_button_says_what_is_missing(driven):
    driven.choose_start("search")
    registration, ui = driven.registration, driven.register.ui
    second = registration.xrays[1]
    camera = second.content["camera"]
    for spoil, told, mend in (
        (
            lambda: registration.node.SetParameter("start", "landmarks"),
            "Click four landmarks",
            lambda: registration.node.SetParameter("start", "search"),
        ),
        (
            lambda: registration.node.SetParameter("refinement", "xvr"),
            "choose a start that does not search",
            lambda: registration.node.SetParameter("refinement", "joint"),
        ),
        (lambda: second.change(camera=None), "view2", lambda: second.change(camera=camera)),
        (
            lambda: second.change(camera=registration.xrays[0].content["camera"]),
            "same geometry",
            lambda: second.change(camera=camera),
        ),
        (
            lambda: [view.change(use=False) for view in registration.xrays],
            "Add an X-ray first",
            lambda: [view.change(use=True) for view in registration.xrays],
        ),
        (lambda: setattr(registration, "ct", None), "Choose a CT", lambda: None),
    ):
        spoil()
        driven.panel.invalidate()
        driven.host.process(0.1)
        assert not ui.registerButton.enabled and told in ui.registerButton.toolTip and told in ui.statusLabel.text
        assert driven.header("register").startswith("\u25cb")
        mend()


def test_a_ct_with_numbers_that_are_none_is_a_message(driven):
    import slicer

    driven.registration.ct.GetImageData().AllocateScalars(11, 1)
    slicer.util.arrayFromVolume(driven.registration.ct)[...] = np.nan
    slicer.util.arrayFromVolumeModified(driven.registration.ct)
    driven.host.process(0.1)
    driven.choose_start("search")
    driven.press_register()
    assert "not finite" in driven.message() and not driven.session.running


@pytest.mark.parametrize(
    "verdict, upper95_mm, told, state",
    [
        ("accept", 0.21, "\u2714 accept, probably below 0.3 mm", "done"),
        ("check", 2.0, "\u26a0 check, probably below 2.0 mm", "check"),
        ("check", None, "\u26a0 check", "check"),
        ("reject", 0.3, "\u2718 reject", "reject"),
        (None, None, None, "ready"),
    ],
)
def test_the_headers_carry_the_verdict(driven, verdict, upper95_mm, told, state):
    from MultiViewRegistrationLib.mrml.fingerprint import fingerprint
    from MultiViewRegistrationLib.session.history import Entry

    driven.session.history.add(
        Entry.now(
            "search",
            driven.registration.world_from_ct,
            similarity={"view1": 0.97, "view2": 0.07},
            fingerprint=fingerprint(driven.registration),
            verdict=verdict,
            upper95_mm=upper95_mm,
        )
    )
    driven.panel.refresh()
    for name, title in (("register", "4. Register"), ("check", "5. Check")):
        symbol, text = driven.header(name).split(f"  {title}  \u2013  ")
        assert driven.panel.sections[name].button.property("state") == state
        assert told is None or f"{symbol} {text}" == told
        assert "similarity" not in text and (symbol == "\u2714") == (verdict == "accept")
    tone = {"check": "caution", "reject": "error"}.get(verdict, "")
    assert driven.panel.sections["check"].ui.verdictLabel.property("tone") == tone


def test_what_a_person_must_know_is_in_plain_sight(driven):
    from MultiViewRegistrationLib.session.history import Entry

    driven.choose_start("search")
    driven.press_register()
    driven.wait()
    entry = driven.session.history.current
    told = "Ambiguous: another pose fits nearly as well."
    driven.session.history.add(
        Entry.now("search", entry.pose, similarity=entry.similarity, fingerprint=entry.fingerprint, reasons=[told])
    )
    driven.host.process(0.1)
    notes = driven.register.ui.notesLabel
    assert notes.visible and notes.text == f"\u26a0 {told}"
    driven.registration.xrays[0].change(rotation_sd_deg=1.0)
    driven.panel.invalidate()
    driven.host.process(0.1)
    assert "stale" in notes.text and driven.header("register").startswith("\u25d0")


def test_a_failure_is_a_message_beside_the_button(driven, monkeypatch):
    def register(*arguments, **options):
        raise InputError("X-rays: they show too little of the CT, expected most of it; correct the pose.")

    monkeypatch.setattr("MultiViewRegistrationLib.api.register", register)
    driven.choose_start("given")
    driven.press_register()
    driven.wait()
    assert driven.register.ui.statusLabel.text == driven.message() != ""
    assert driven.header("register").startswith("\u26a0") and driven.is_at(STARTED_AT)


# Cancel, and what may happen meanwhile


def test_cancel(driven, held):
    driven.host.click(driven.register.ui.cancelButton)
    assert not driven.session.running and driven.is_at(STARTED_AT)
    assert driven.register.ui.statusLabel.text == "Cancelled. The CT is where it was before."
    assert driven.register.ui.registerButton.enabled and driven.header("register").startswith("\u25d0")
    held.let_go()
    assert no_thread_is_left()


@pytest.mark.parametrize(
    "remove, told",
    [
        (lambda registration: registration.ct, "the CT"),
        (lambda registration: registration.ct_transform, "the CT's transform"),
        (lambda registration: registration.xrays[1].node, "view2"),
    ],
    ids=["CT", "transform", "X-ray"],
)
def test_a_node_that_is_removed_ends_it(driven, held, remove, told, caplog):
    node = remove(driven.registration)
    name = node.GetName()
    driven.host.scene.RemoveNode(node)
    driven.host.process(0.3)
    assert not driven.session.running
    assert driven.message() == f"The registration was stopped, as {told} was removed or replaced."
    held.let_go()
    driven.host.process(0.3)
    assert not any(
        other.GetName() == name
        for other in driven.host.slicer.util.getNodesByClass(node.GetClassName())
        if told != "the CT's transform"
    )  # the CT has a new one then
    assert no_thread_is_left() and not caplog.records


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
    assert not driven.register.widget.enabled and driven.header("register") == "\u25cb  4. Register"
    held.let_go()
    driven.host.process(0.3)
    assert nodes(driven.host.scene) == left and no_thread_is_left()
    assert not caplog.records and "Traceback" not in capfd.readouterr().err


def test_leaving_the_module_ends_it_and_coming_back_is_fine(driven, held, caplog, capfd):
    driven.host.leave(driven.widget)
    assert not driven.session.running and driven.is_at(STARTED_AT)
    held.let_go()
    assert no_thread_is_left() and not caplog.records
    driven.host.enter(driven.widget)
    driven.choose_start("search")
    driven.press_register()
    driven.wait()
    assert error_mm(driven.registration.world_from_ct) < 0.1
    driven.registration.node.SetParameter("refinement", "xvr")  # the panel follows its node again
    driven.host.process(0.1)
    assert not driven.register.ui.registerButton.enabled and "Traceback" not in capfd.readouterr().err


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


# History


def test_the_history_is_clicked_undone_and_redone(driven):
    ui, host = driven.register.ui, driven.host
    driven.choose_start("given")
    driven.press_register()
    driven.wait()
    found = driven.registration.world_from_ct
    assert driven.history() == ["Before", "As placed"] and driven.selected() == [1]
    assert ui.historyTable.item(1, 2).text() == "0.98" and "view2 0.98" in ui.historyTable.item(1, 2).toolTip()
    host.click_cell(ui.historyTable, 0, 1)
    assert driven.is_at(STARTED_AT) and driven.selected() == [0]
    assert (ui.undoButton.enabled, ui.redoButton.enabled) == (False, True)
    host.click(ui.redoButton)
    assert driven.is_at(found) and driven.selected() == [1]
    host.click(ui.undoButton)
    assert driven.is_at(STARTED_AT)


def test_keys_register_undo_and_redo_from_anywhere_in_the_panel(driven):
    from PySide6.QtCore import Qt

    host = driven.host
    driven.choose_start("search")
    driven.widget.parent.activateWindow()
    focus = driven.start.ui.rangeComboBox
    focus.setFocus()
    host.key(focus, Qt.Key_Return, Qt.ControlModifier)
    assert driven.session.running_registration
    driven.wait()
    found = driven.registration.world_from_ct
    host.key(focus, Qt.Key_Z, Qt.ControlModifier)
    assert driven.is_at(STARTED_AT)
    host.key(focus, Qt.Key_Y, Qt.ControlModifier)
    assert driven.is_at(found)


# Published baselines


def test_a_baseline_needs_the_extension_for_torch(driven, monkeypatch):
    from MultiViewRegistrationLib.panel import packages

    ui = driven.register.ui
    driven.choose_start("given")
    ui.advancedGroupBox.collapsed = False
    driven.host.choose(ui.refinementComboBox, "DiffPose (published baseline)")
    assert driven.registration.parameter("refinement") == "diffpose"
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "torch" else object())
    driven.press_register()
    assert "extension PyTorch is not installed" in driven.message() and not driven.session.running


@pytest.mark.parametrize("agrees", [True, False])
def test_torch_comes_by_its_extension(host, monkeypatch, agrees):
    import sys
    import types

    from MultiViewRegistrationLib.panel import packages

    asked = []

    class Logic:
        def installTorch(self, **how):
            asked.append(how)
            return object() if agrees else None

    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=Logic))
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    if agrees:
        packages.ensure_torch("choose another start")
    else:
        with pytest.raises(InputError, match="consent"):
            packages.ensure_torch("choose another start")
    assert asked == [{"askConfirmation": True, "torchVersionRequirement": ">=2"}]
