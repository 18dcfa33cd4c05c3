"""The section Register, without panel and page."""

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, error_mm
from helpers.phantom_scene import START, settle
from helpers.refusals import refuses
from presenter_host import act, cells, control, text

from MultiViewRegistrationLib.errors import InputError


@pytest.fixture
def register(host):
    yield host.presenters.register
    host.session.stop()


def test_history_goes_back_and_forth(host, register):
    host.session.history.note("before")
    settle(host.session, verdict="accept", position=(0.21, 0.4), seconds=1.5)
    assert text(register, "outcome") == "Done in 1.5 s on the processor."
    before, after = (row[1:4] for row in cells(register, "history"))
    assert before == ["Before", "", ""] and after == ["From here", "accept", "< 0.5 mm"]
    assert control(register, "history").selected == "1" and not control(register, "redo").enabled
    register.undo()
    assert np.allclose(host.registration.world_from_ct, START)
    act(register, "redo")
    assert np.allclose(host.registration.world_from_ct, TRUE_POSE)
    act(register, "history", "0", 1)
    assert np.allclose(host.registration.world_from_ct, START)


@pytest.mark.slow
@pytest.mark.parametrize(
    "device, said", [("auto", "on the processor."), ("torch-cpu", "on the processor by PyTorch.")]
)
def test_outcome_states_duration_and_device(host, register, device, said):
    host.registration.node.SetParameter("device", device)
    host.registration.node.SetParameter("start", "given")
    act(register, "register")
    host.session.finish()
    assert error_mm(host.registration.world_from_ct) < 0.1
    assert text(register, "outcome").startswith("Done in ")
    assert text(register, "outcome").endswith(said)


def test_failure_is_reported(host, register, monkeypatch):
    def fail(*arguments, **options):
        raise InputError("X-rays: they show too little of the CT.")

    monkeypatch.setattr("MultiViewRegistrationLib.api.register", fail)
    host.registration.node.SetParameter("start", "given")
    act(register, "register")
    with refuses("X-rays: they show too little"):
        host.session.finish()
    assert register.state().kind == "problem"


@pytest.mark.parametrize(
    "verdict, position, state",
    [
        ("accept", (0.21, 0.4), ("done", "accept, expected error < 0.5 mm")),
        ("check", None, ("check", "check")),
        ("reject", (0.3, 3.0), ("reject", "reject")),
        (None, None, ("ready", "registered, not assessed")),
    ],
)
def test_state_is_the_verdict_until_the_result_is_stale(host, register, verdict, position, state):
    settle(host.session, verdict=verdict, position=position)
    assert (register.state().kind, register.state().text) == state
    host.registration.xrays[0].change(uncertainty={"rotation_sd_deg": 1.0})
    assert register.state().kind == "ready"


def test_regressor_needs_the_network_package(host, register):
    assert control(register, "register").needs == ("rendering",)
    host.registration.node.SetParameter("start", "regressor")
    assert control(register, "register").needs == ("rendering", "network")
