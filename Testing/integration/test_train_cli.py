"""`mvreg train` and `mvreg models`, as a person and another program run them."""

import json
import os
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from helpers.file_io import read_json, write_json
from helpers.program import ENVIRONMENT, MVREG, mvreg
from helpers.refusals import refusal, refuses
from numpy.testing import assert_array_equal

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.errors import install_command
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.regressor import initialise
from MultiViewRegistrationLib.rendering import devices

pytest.importorskip("torch", reason="a regressor needs torch: pip install torch")
pytest.importorskip("safetensors")

from MultiViewRegistrationLib.regressor.model_store import CARD, Card
from MultiViewRegistrationLib.training import LEARNING_CURVES, train

pytestmark = pytest.mark.filterwarnings("ignore:Only")


@pytest.mark.slow
def test_a_model_is_trained_listed_found_and_removed(few_steps, case_file, anatomy):
    assert mvreg("models --json").json == {"models": []}
    trained = mvreg(f"train {case_file} --json").json
    assert (trained["card"]["done"], trained["card"]["network"]) == (4, "voting")
    assert os.path.exists(os.path.join(trained["folder"], LEARNING_CURVES))
    (listed,) = mvreg("models --json").json["models"]
    assert listed["folder"] == trained["folder"] and listed["finished"] and listed["bytes"] > 1e6
    name = listed["name"]
    assert f"{name}  CT {listed['ct_sha256'][:8]}  voting, 2 min" in mvreg("models").out
    case = Case.load(case_file)
    result = register(case.starting_at(None), "regressor", anatomy=anatomy)
    assert result.regressor.model == name and not result.regressor.trained
    assert 'found no models named "another"' in mvreg("models --remove another", 2).err
    mvreg(f"models --remove {name}")
    assert initialise.find_model(case) is None


@pytest.mark.slow
def test_a_structure_begins_with_the_model_of_its_whole_ct(few_steps, case_file):
    case = Case.load(case_file)
    upper = np.indices(case.ct.volume.values.shape)[0] > 26
    masked = replace(case, bodies=(replace(case.bodies[0], ct=replace(case.ct, mask=upper)),))
    card = train(masked).card
    assert_array_equal(card.centroid, masked.ct.centroid())
    found = initialise.find_model(case)
    assert found.card == card
    result = register(masked, "regressor")
    assert result.regressor.model == found.folder.name and not result.regressor.trained


@pytest.mark.slow
def test_a_training_that_is_stopped_can_be_resumed(case_file, tmp_path, few_steps):
    folder = tmp_path / "model"
    words = f"train {case_file} --out {folder}"
    command = [*MVREG, *f"{words} --minutes 9 --progress json".split()]
    streams = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    child = subprocess.Popen(command, env=ENVIRONMENT, **streams)
    for line in child.stderr:
        if line.startswith("{") and "step 2 of" in json.loads(line)["stage"]:
            child.stdin.close()
            break
    rest = child.stderr.read()
    assert child.wait(timeout=60) == 130, rest
    card = Card.read(folder)
    assert card.done >= 2 and not card.finished
    write_json(folder / CARD, {**read_json(folder / CARD), "steps": card.done + 2})
    assert mvreg(f"{words} --resume --json").json["card"]["done"] == card.done + 2


@pytest.mark.slow
@pytest.mark.filterwarnings("default:device cuda")
def test_an_unusable_device_falls_back_to_the_cpu_with_a_warning(
    case_file, tmp_path, few_steps, monkeypatch
):
    monkeypatch.setattr(devices, "_why_unusable", lambda kind, number: "there is no NVIDIA driver")
    monkeypatch.setattr(devices, "has_card", lambda: False)
    said = mvreg(f"train {case_file} --out {tmp_path}/asked --device cuda --json")
    told = "device cuda: there is no NVIDIA driver; the processor does the work."
    assert told in said.err and "s on cpu; of random" in said.err
    assert said.json["card"]["device"] == "cpu"
    said = mvreg(f"train {case_file} --out {tmp_path}/auto --device auto")
    assert "warning: device" not in said.err


@pytest.mark.slow
@pytest.mark.parametrize(
    "options, sentence",
    [
        ("--minutes -1", "minutes: found -1.0, expected a number above 0 and below 10000"),
        (
            "--device gpu",
            'device: found "gpu", expected auto, cpu, cuda or cuda:N (the Nth CUDA device, from 0)',
        ),
        ("--network big", 'the network "big" is not known, expected one of voting, published'),
        ("--loss cui2025", 'which the network "voting" does not say; use the network "published"'),
        ("--resume", "resume: found no folder"),
        ("--resume --out nothing", f"found no {CARD}"),
    ],
)
def test_a_wrong_option_is_refused_in_a_sentence(
    case_file, tmp_path, monkeypatch, options, sentence
):
    monkeypatch.chdir(tmp_path)
    assert sentence in mvreg(f"train {case_file} {options}", 2).err


@pytest.mark.slow
def test_without_pytorch_it_is_a_sentence(case_file, monkeypatch):
    monkeypatch.setattr(initialise, "find_spec", lambda name: None)
    remedy = f"expected PyTorch and safetensors; install them with {install_command('torch')}"
    assert remedy in refusal(train, Case.load(case_file))


@pytest.mark.slow
def test_ranges_that_put_the_ct_out_of_the_field(case_file, few_steps):
    case = replace(Case.load(case_file), training={"columns_mm": 400.0})
    with refuses('training: at columns_mm -?400 the CT is out of the field of view "view1"'):
        train(case)
