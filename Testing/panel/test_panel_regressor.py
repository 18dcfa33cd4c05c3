"""Regressors in section Start, by clicks: training in a process, choosing, going on, removing, and what goes wrong."""

from __future__ import annotations

import time
from shutil import rmtree

import pytest
from driven_panel import Driven
from little_store import LittleStore
from phantom import error_mm


@pytest.fixture
def store(monkeypatch, tmp_path, ct):
    return LittleStore(monkeypatch, tmp_path, ct)


@pytest.fixture
def driven(host, ct, views, store):
    driven = Driven(host, ct, views)
    driven.start.ui.regressorGroupBox.collapsed = False
    looked(driven)
    yield driven
    driven.panel.close()


def looked(driven) -> None:
    driven.host.process(60, until=lambda: driven.session.regressors.looked)
    driven.host.process(0.1)


def trained(driven, seconds: float = 30.0) -> None:
    driven.host.process(seconds, until=lambda: not driven.session.regressors.is_training)
    looked(driven)


def rows(driven) -> list[list[str]]:
    table = driven.start.ui.modelsTable
    cells = [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]
    return cells if table.visible else []


def begin(driven) -> None:
    driven.host.click(driven.start.ui.trainButton)
    driven.host.process(60, until=lambda: driven.session.regressors.training.progress is not None)
    driven.host.process(0.1)


def test_one_is_trained_and_a_registration_begins_with_it(driven, store):
    ui = driven.start.ui
    assert (
        "There is none for this CT yet" in ui.regressorLabel.text
        and "none for this CT yet" in ui.regressorGroupBox.title
    )
    assert (
        not ui.regressorRadioButton.enabled
        and not ui.autoRadioButton.enabled
        and "train one below" in ui.autoRadioButton.toolTip
    )
    assert not (
        ui.modelsTable.visible
        or ui.trainingBar.visible
        or ui.stopTrainingButton.visible
        or ui.removeModelButton.visible
    )
    driven.choose_start("search")
    begin(driven)
    assert ui.trainingBar.visible and "mm after" in ui.trainingLabel.text and "about 60 s left" in ui.trainingLabel.text
    assert not ui.trainButton.enabled and "under way" in ui.trainButton.toolTip
    assert driven.header("start").startswith("\u25b6  3. Start  \u2013  training") and "%" in driven.header("start")
    assert driven.register.ui.registerButton.enabled  # other work goes on
    longest = 0.0
    while driven.session.regressors.is_training:
        began = time.monotonic()
        driven.host.process(0.01)
        longest = max(longest, time.monotonic() - began)
    assert longest < 1.0  # nothing freezes
    trained(driven)
    assert store.arguments[:2] == ["train", "--minutes"] and float(store.arguments[2]) == 2
    name = driven.session.regressors.model.name
    assert rows(driven) == [[name, "2 min", "3.0 mm", "7.6 MB", "in use"]]
    assert ui.modelsTable.item(0, 1).toolTip() == "On cpu"
    assert not ui.trainingBar.visible and ui.trainingLabel.text == "" and driven.message() == ""
    assert ui.autoRadioButton.checked and ui.regressorRadioButton.enabled
    driven.press_register()
    driven.wait()
    assert [folder.name for folder in store.asked] == [name]
    assert error_mm(driven.registration.world_from_ct) < 0.1 and driven.history() == ["Before", "Automatic"]
    told = f"It began with: both views together, expected within 3.0 mm, regressor {name}."
    assert driven.register.ui.historyTable.item(
        1, 1
    ).toolTip() == told and driven.register.ui.statusLabel.text.endswith(told)
    driven.choose_start("regressor")
    driven.press_register()
    driven.wait()
    assert driven.history()[-1] == "Regressor"


def test_one_of_several_is_chosen_and_another_removed(driven, store, ct):
    ui = driven.start.ui
    first, second = store.add(ct, "a", 2, 4.2), store.add(ct, "b", 10, 1.5)
    store.add(ct, "c", finished=False)
    driven.session.regressors.look_again()
    looked(driven)
    assert [(row[0], row[-1]) for row in rows(driven)] == [("c", "unfinished"), ("b", "in use"), ("a", "")]
    assert driven.session.regressors.model == second and not ui.resumeButton.visible
    driven.host.click_cell(ui.modelsTable, 2, 1)
    assert driven.session.regressors.model == first and driven.registration.parameter("model") == str(first)
    driven.host.answers.yes = False
    driven.host.click(ui.removeModelButton)
    assert first.is_dir() and "Remove the regressor a (7.6 MB)" in driven.host.messages[-1].text
    driven.host.answers.yes = True
    driven.host.click(ui.removeModelButton)
    looked(driven)
    assert (
        not first.exists()
        and [row[0] for row in rows(driven)] == ["c", "b"]
        and driven.session.regressors.model == second
    )


def test_a_training_is_cancelled_and_gone_on_with(driven, store):
    ui = driven.start.ui
    store.behave("lingers")
    begin(driven)
    driven.host.click(ui.stopTrainingButton)
    assert not ui.stopTrainingButton.enabled and ui.trainingLabel.text == "Stopping"
    store.let_go()
    trained(driven)
    assert [row[1:] for row in rows(driven)] == [["2 min", "7.0 mm", "7.6 MB", "unfinished"]]
    unfinished = str(driven.session.regressors.models[0].folder)
    assert ui.trainingLabel.text == "Cancelled. What was learnt is kept: Resume goes on with it."
    assert not ui.autoRadioButton.enabled
    store.behave("learns")
    driven.host.click(ui.resumeButton)
    trained(driven)
    assert store.arguments[1:4] == ["--out", unfinished, "--resume"] and "--minutes" not in store.arguments
    assert [row[-1] for row in rows(driven)] == ["in use"] and not ui.resumeButton.visible


def test_a_failure_is_a_sentence(driven, store):
    store.behave("fails")
    begin(driven)
    trained(driven)
    label = driven.start.ui.trainingLabel
    assert "The disk is full" in label.text and label.visible and driven.start.ui.trainButton.enabled
    assert "\u25b6" not in driven.header("start")


def test_a_training_that_ended_at_a_fault_says_so(driven, store):
    driven.choose_start("given")
    store.behave("stumbles")
    begin(driven)
    trained(driven)
    assert (
        driven.registration.start == "given" and driven.start.ui.autoRadioButton.enabled
    )  # what was chosen meanwhile is left alone
    table = driven.start.ui.modelsTable
    assert table.item(0, 4).text() == "in use"
    assert (
        table.item(0, 4).toolTip()
        == "Its training ended early, at the last good state: Its loss was no number any more."
    )


def test_without_torch_training_offers_to_install_it(driven, monkeypatch):
    from MultiViewRegistrationLib.panel import packages
    from MultiViewRegistrationLib.session.presenters import regressor

    for module in (packages, regressor):
        monkeypatch.setattr(module, "find_spec", lambda name: None if name == "torch" else object())
    driven.panel.refresh()
    assert "PyTorch, which is not installed: Train offers to install it" in driven.start.ui.regressorLabel.text
    driven.host.click(driven.start.ui.trainButton)
    assert "extension PyTorch is not installed" in driven.message() and not driven.session.regressors.is_training


def test_it_goes_on_while_another_registration_or_module_is_shown_and_ends_with_its_own(driven, store, ct, views):
    from phantom_scene import make_registration

    store.behave("waits")
    begin(driven)
    first, session = driven.registration, driven.session
    driven.host.leave(driven.widget)
    driven.host.process(0.2)
    assert session.regressors.is_training
    driven.host.enter(driven.widget)
    driven.panel.choose(make_registration(driven.host.scene, ct, views, name="Another"))
    driven.host.process(0.2)
    assert session.regressors.is_training and not driven.start.ui.trainingBar.visible
    child = session.regressors.training._job._process
    driven.host.scene.RemoveNode(first.node)
    driven.host.process(60, until=lambda: child.poll() is not None)


def test_the_end_of_the_panel_ends_the_child(driven, store):
    store.behave("waits")
    begin(driven)
    child = driven.session.regressors.training._job._process
    driven.panel.close()
    assert child.wait(5.0) == 130


def test_a_model_that_is_gone_is_said(driven, store, ct):
    folder = store.add(ct, "a")
    driven.session.regressors.choose(folder)
    rmtree(folder)
    driven.choose_start("given")
    told = "The regressor that was chosen, a, is not there any more: choose another one, or train one."
    assert driven.start.ui.regressorLabel.text == told and driven.register.ui.registerButton.enabled
    driven.registration.node.SetParameter("start", "regressor")
    driven.host.process(0.2)
    assert driven.start.ui.hintLabel.text == told and not driven.register.ui.registerButton.enabled


def test_without_x_rays_nothing_can_be_trained(driven):
    for view in driven.registration.xrays:
        driven.registration.remove_xray(view)
    driven.host.process(0.2)
    button = driven.start.ui.trainButton
    assert not button.enabled and button.toolTip.startswith("Add an X-ray first")
