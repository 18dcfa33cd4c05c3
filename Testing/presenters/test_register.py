"""The section Register, without panel and page."""

from __future__ import annotations

import re

import numpy as np
import pytest
from phantom import TRUE_POSE, error_mm, off
from phantom_scene import START
from presenter_host import act, cells, control, text
from running_session import PausedRegistration

from MultiViewRegistrationLib.errors import InputError


@pytest.fixture
def register(host):
    from MultiViewRegistrationLib.session.presenters.register import RegisterPresenter

    yield RegisterPresenter(host)
    PausedRegistration.release_all()
    host.session.stop()


def run(host, register, start: str = "given") -> None:
    host.registration.node.SetParameter("start", start)
    act(register, "register")
    host.wait(register, lambda: not host.session.running)


def test_it_registers_and_goes_back_and_forth(host, register):
    run(host, register)
    found = host.registration.world_from_ct
    assert error_mm(found) < 0.1
    assert re.fullmatch(r"Done in \d+\.\d s.*: similarity view1 0\.98, view2 0\.98\.", text(register, "outcome"))
    assert [row[1:3] for row in cells(register, "history")] == [["Before", ""], ["From here", "0.98"]]
    assert (
        control(register, "history").selected == "1"
        and "view2 0.98" in control(register, "history").lines[1].cells[2].tip
    )
    assert not control(register, "redo").enabled
    act(register, "undo")
    assert np.allclose(host.registration.world_from_ct, START) and not control(register, "undo").enabled
    act(register, "redo")
    assert np.allclose(host.registration.world_from_ct, found)
    act(register, "history", "0", 1)
    assert np.allclose(host.registration.world_from_ct, START)
    act(register, "compare", "1")
    host.wait(register, lambda: control(register, "picture0now"))
    assert "mm apart" in text(register, "compared")
    act(register, "close")
    assert control(register, "compared") is None


def test_progress_and_cancel(host, register):
    from MultiViewRegistrationLib.registration.pipeline import Progress

    held = PausedRegistration(off(TRUE_POSE, (1, 0, 0), (0, 2, 0)))
    host.registration.node.SetParameter("start", "given")
    act(register, "register")
    assert control(register, "progress").percent is None and "reparing the CT" in text(register, "progress")
    assert not control(register, "register").enabled and "under way" in control(register, "register").tip
    host.session.running_registration.show(Progress(0.4, "refining at 64 x 64 px", START, 0.1))
    host.wait(register, lambda: control(register, "progress").percent == 40)
    assert text(register, "progress").startswith("Refining at 64 x 64 px, ")
    assert (register.state().kind, register.state().text, register.changing) == ("running", "40 %", True)
    act(register, "cancel")
    assert text(register, "outcome") == "Cancelled. The CT is where it was before."
    assert np.allclose(host.registration.world_from_ct, START) and control(register, "register").enabled
    held.resume()


def test_the_button_says_what_is_missing(host, register):
    registration = host.registration
    first, second = registration.xrays
    camera, node = second.content["camera"], registration.node
    for spoil, told, mend in (
        (
            lambda: node.SetParameter("start", "landmarks"),
            "Click four landmarks",
            lambda: node.SetParameter("start", "search"),
        ),
        (
            lambda: node.SetParameter("refinement", "xvr"),
            "choose a start that does not search",
            lambda: node.SetParameter("refinement", "joint"),
        ),
        (lambda: second.change(camera=None), "view2", lambda: second.change(camera=camera)),
        (lambda: second.change(camera=first.content["camera"]), "same geometry", lambda: second.change(camera=camera)),
        (
            lambda: [view.change(use=False) for view in registration.xrays],
            "Add an X-ray first",
            lambda: [view.change(use=True) for view in registration.xrays],
        ),
        (lambda: setattr(registration, "ct", None), "Choose a CT", lambda: None),
    ):
        spoil()
        button = control(register, "register")
        assert not button.enabled and told in button.tip and told in text(register, "outcome")
        assert register.state().kind == "todo"
        mend()


def test_a_failure_is_a_sentence(host, register, monkeypatch):
    def fail(*arguments, **options):
        raise InputError("X-rays: they show too little of the CT, expected most of it; correct the pose.")

    monkeypatch.setattr("MultiViewRegistrationLib.api.register", fail)
    run(host, register)
    assert text(register, "outcome").startswith("X-rays: they show too little")
    assert control(register, "outcome").tone == "error" and register.state().kind == "problem"


@pytest.mark.parametrize(
    "verdict, typical_mm, state",
    [
        ("accept", 0.21, ("done", "accept, probably 0.2 mm")),
        ("check", 2.0, ("check", "check, probably 2.0 mm")),
        ("check", None, ("check", "check")),
        ("reject", 0.3, ("reject", "reject")),
        (None, None, ("ready", "registered, not assessed")),
    ],
)
def test_the_state_is_the_verdict_and_a_stale_result_says_so(host, register, verdict, typical_mm, state):
    from MultiViewRegistrationLib.mrml.identity import fingerprint
    from MultiViewRegistrationLib.session.history import HistoryEntry

    entry = HistoryEntry.now(
        "search",
        host.registration.world_from_ct,
        similarity={"view1": 0.97, "view2": 0.07},
        fingerprint=fingerprint(host.registration),
        verdict=verdict,
        typical_mm=typical_mm,
        reasons=["Ambiguous: another pose fits nearly as well."],
    )
    host.session.history.add(entry)
    assert (register.state().kind, register.state().text) == state
    assert text(register, "note0") == "\u26a0 Ambiguous: another pose fits nearly as well."
    host.registration.xrays[0].change(rotation_sd_deg=1.0)
    assert "stale" in text(register, "note0") and register.state().kind == "ready"


def test_what_a_registration_needs_installed(host, register):
    assert control(register, "register").needs == ("rendering",)
    act(register, "refinement", "diffpose")
    host.registration.node.SetParameter("start", "regressor")
    assert control(register, "register").needs == ("rendering", "torch", "network")
