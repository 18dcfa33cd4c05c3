"""The section Register, without panel and page."""

import re

import numpy as np
import pytest
from helpers.phantom import error_mm
from helpers.phantom_scene import START, settle
from helpers.refusals import refuses
from presenter_host import act, cells, control, text

from MultiViewRegistrationLib.errors import InputError


@pytest.fixture
def register(host):
    yield host.presenters.register
    host.session.stop()


def run(host, register, start="given"):
    host.registration.node.SetParameter("start", start)
    act(register, "register")
    host.session.finish()


def test_it_registers_and_goes_back_and_forth(host, register):
    run(host, register)
    found = host.registration.world_from_ct
    assert error_mm(found) < 0.1
    assert re.fullmatch(r"Done in \d+\.\d s.* on the processor\.", text(register, "outcome"))
    before, after = (row[1:4] for row in cells(register, "history"))
    assert (
        before == ["Before", "", ""]
        and after[:2] == ["From here", "accept"]
        and re.fullmatch(r"0\.\d+ mm", after[2])
    )
    assert control(register, "history").selected == "1" and not control(register, "redo").enabled
    register.undo()
    assert np.allclose(host.registration.world_from_ct, START)
    act(register, "redo")
    assert np.allclose(host.registration.world_from_ct, found)
    act(register, "history", "0", 1)
    assert np.allclose(host.registration.world_from_ct, START)


@pytest.mark.slow  # the processor's is said above
def test_the_outcome_says_which_device_it_took(host, register):
    host.registration.node.SetParameter("device", "torch-cpu")
    run(host, register)
    assert text(register, "outcome").endswith("on the processor by PyTorch.")
    assert not host.session.notes


def test_a_failure_is_a_sentence(host, register, monkeypatch):
    def fail(*arguments, **options):
        raise InputError("X-rays: they show too little of the CT.")

    monkeypatch.setattr("MultiViewRegistrationLib.api.register", fail)
    with refuses("X-rays: they show too little"):
        run(host, register)
    assert register.state().kind == "problem"


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
def test_the_state_is_the_verdict_and_a_stale_result_says_so(
    host, register, verdict, typical_mm, state
):
    told = {"verdict": verdict, "typical_mm": typical_mm, "reasons": ["Ambiguous."]}
    settle(host.session, host.registration.world_from_ct, **told)
    assert (register.state().kind, register.state().text) == state
    host.registration.xrays[0].change(uncertainty={"rotation_sd_deg": 1.0})
    assert register.state().kind == "ready"


def test_what_a_registration_needs_installed(host, register):
    assert control(register, "register").needs == ("rendering",)
    host.registration.node.SetParameter("start", "regressor")
    assert control(register, "register").needs == ("rendering", "network")
