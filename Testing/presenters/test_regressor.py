"""Regressors in section Start.

Training in a process, choosing, going on, removing, and what goes wrong.
"""

from shutil import rmtree

import pytest
from helpers.phantom_scene import phantom
from helpers.tiny_store import TinyStore
from presenter_host import act, cells, control, text

from MultiViewRegistrationLib.errors import install_command
from MultiViewRegistrationLib.session.presenters import start_parts

pytestmark = pytest.mark.slow  # each training is a process


@pytest.fixture
def store(monkeypatch, tmp_path):
    return TinyStore(monkeypatch, tmp_path, phantom()[0])


@pytest.fixture
def start(store, host):

    start = host.presenters.start
    looked(host, start)
    yield start
    host.session.regressors.cancel()
    host.session.stop()


def looked(host, start):
    host.wait(start, lambda: host.session.regressors.up_to_date)


def begin(host, start):
    act(start, "train")
    host.wait(start, lambda: host.session.regressors.training.progress is not None)


def trained(host, start):
    host.wait(start, lambda: not host.session.regressors.is_training)
    looked(host, start)


def test_one_is_trained_and_a_registration_begins_with_it(host, start, store):
    assert control(start, "models") is None
    assert control(start, "other_start").refused == ("regressor", "auto")
    begin(host, start)
    assert "mm after" in text(start, "training") and "about 60 s left" in text(start, "training")
    assert not control(start, "train").enabled and start.state().kind == "running"
    trained(host, start)
    assert store.arguments[:2] == ["train", "--minutes"] and float(store.arguments[2]) == 2
    name = host.session.regressors.model.name
    assert cells(start, "models") == [[name, "2 min", "3.0 mm", "7.6 MB", "in use"]]
    assert control(start, "other_start").value == "auto"
    assert control(start, "other_start").refused == ()


def test_one_of_several_is_chosen_and_another_removed(host, start, store):
    ct = phantom()[0]
    first, second = store.add(ct, "a", 2, 4.2), store.add(ct, "b", 10, 1.5)
    store.add(ct, "c", finished=False)
    host.session.regressors.reload()
    looked(host, start)
    assert [(row[0], row[-1]) for row in cells(start, "models")] == [
        ("c", "unfinished"),
        ("b", "in use"),
        ("a", ""),
    ]
    assert host.session.regressors.model == second
    act(start, "models", str(first), 1)
    assert host.session.regressors.model == first
    act(start, "remove_model")
    looked(host, start)
    assert not first.exists() and host.session.regressors.model == second
    act(start, "models", str(second), 1)
    rmtree(second)
    host.registration.node.SetParameter("start", "regressor")
    assert "is not there any more: choose another one, or train one" in text(start, "hint")


def test_a_training_is_cancelled_and_gone_on_with(host, start, store):
    store.behave("lingers")
    begin(host, start)
    act(start, "stop")
    assert not control(start, "stop").enabled and text(start, "training") == "Stopping"
    store.release()
    trained(host, start)
    assert [row[1:] for row in cells(start, "models")] == [
        ["2 min", "7.0 mm", "7.6 MB", "unfinished"]
    ]
    unfinished = str(host.session.regressors.models[0].folder)

    store.behave("learns")
    act(start, "resume")
    trained(host, start)
    assert store.arguments[1:4] == ["--out", unfinished, "--resume"]
    assert [row[-1] for row in cells(start, "models")] == ["in use"]


@pytest.mark.parametrize(
    "behaviour, key, told",
    [("fails", "ended", "The disk is full"), ("stumbles", "models", "early")],
)
def test_a_training_that_fails_or_ends_early_says_so(host, start, store, behaviour, key, told):
    act(start, "start", "given")
    store.behave(behaviour)
    begin(host, start)
    trained(host, start)
    found = control(start, key)
    assert told in (found.label if key == "ended" else found.lines[0].cells[4].tip)
    assert host.registration.start == "given" and control(start, "train").enabled


def test_what_training_needs_is_said(host, start, monkeypatch):
    monkeypatch.setattr(start_parts, "find_spec", lambda name: None)
    assert "which is not installed: Train offers to install it" in text(start, "models_text")
    assert control(start, "train").needs == ("network",)
    host.installs_packages = False
    assert control(start, "train").tip == f"A regressor needs PyTorch: {install_command('torch')}."
