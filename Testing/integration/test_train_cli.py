"""`mvreg train` and `mvreg models`, as a person and another program run them."""

import json
import os
import re
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from file_io import read_json, write_json
from program import ENVIRONMENT, MVREG
from refusals import refuses

from MultiViewRegistrationLib import api
from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.errors import install_command
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.pipeline import RefinementMethod
from MultiViewRegistrationLib.regressor import learning
from MultiViewRegistrationLib.rendering import devices

pytest.importorskip("torch", reason="a regressor needs torch: pip install torch")
pytest.importorskip("safetensors")

from MultiViewRegistrationLib.regressor import training
from MultiViewRegistrationLib.regressor.model_store import CARD, Card


@pytest.fixture
def few_steps(monkeypatch):
    def pace(self):
        self.card = replace(self.card, steps=4, every=2)

    monkeypatch.setattr(training.Training, "_set_pace", pace)
    monkeypatch.setattr(training, "VALIDATED", 2)
    monkeypatch.setattr(training, "LAST_VALIDATED", 4)


def printed(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


@pytest.mark.filterwarnings("ignore:Only")
def test_a_model_is_trained_listed_found_and_removed(few_steps, case_file, capsys, anatomy):
    assert main(["models", "--json"]) == 0 and printed(capsys) == {"models": []}
    assert main(["train", str(case_file), "--json"]) == 0
    trained = printed(capsys)
    assert trained["card"]["done"] == 4 and trained["card"]["network"] == "voting"
    curves = ET.parse(os.path.join(trained["folder"], api.LEARNING_CURVES))
    assert len(curves.getroot().findall(".//{*}polyline")) == 4  # both views, each, and the loss
    assert main(["models", "--json"]) == 0
    (listed,) = printed(capsys)["models"]
    assert listed["folder"] == trained["folder"] and listed["finished"] and listed["bytes"] > 1e6
    assert (
        main(["models"]) == 0
        and f"{listed['name']}  CT {listed['ct_sha256'][:8]}  voting, 2 min"
        in capsys.readouterr().out
    )
    result = register(
        replace(Case.load(case_file), world_from_ct=None), "regressor", anatomy=anatomy
    )
    assert result.regressor.model == listed["name"] and not result.regressor.trained
    assert main(["models", "--remove", "another"]) == 2
    assert 'found no models named "another"' in capsys.readouterr().err
    assert (
        main(["models", "--remove", listed["name"]]) == 0
        and learning.find_model(Case.load(case_file)) is None
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Only")
def test_a_training_that_is_stopped_can_be_resumed(case_file, tmp_path, few_steps, capsys):
    folder = tmp_path / "model"
    command = [
        *MVREG,
        "train",
        str(case_file),
        "--out",
        str(folder),
        "--minutes",
        "9",
        "--progress",
        "json",
    ]
    child = subprocess.Popen(
        command, env=ENVIRONMENT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in child.stderr:
        if line.startswith("{") and "step 2 of" in json.loads(line)["stage"]:
            child.stdin.close()
            break
    rest = child.stderr.read()
    assert child.wait(timeout=60) == 130, rest
    card = Card.read(folder)
    assert card.done >= 2 and not card.finished
    content = read_json(folder / CARD)
    write_json(folder / CARD, {**content, "steps": card.done + 2})
    assert main(["train", str(case_file), "--out", str(folder), "--resume", "--json"]) == 0
    assert printed(capsys)["card"]["done"] == card.done + 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Only", "default:device cuda")
def test_an_unusable_device_falls_back_to_the_cpu_with_a_warning(
    case_file, tmp_path, few_steps, capsys, monkeypatch
):
    monkeypatch.setattr(devices, "_why_unusable", lambda kind, number: "there is no NVIDIA driver")
    monkeypatch.setattr(devices, "has_card", lambda: False)
    assert (
        main(
            [
                "train",
                str(case_file),
                "--out",
                str(tmp_path / "asked"),
                "--device",
                "cuda",
                "--json",
            ]
        )
        == 0
    )
    answer = capsys.readouterr()
    assert (
        "device cuda: there is no NVIDIA driver; the processor does the work." in answer.err
        and "s on cpu; of random" in answer.err
    )
    assert json.loads(answer.out)["card"]["device"] == "cpu"
    assert (
        main(["train", str(case_file), "--out", str(tmp_path / "auto"), "--device", "auto"]) == 0
    )  # and a warning would be an error


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Only")
def test_a_regressor_is_trained_on_the_device_of_the_registration(
    case_file, tmp_path, few_steps, anatomy
):
    result = register(Case.load(case_file), "regressor", anatomy=anatomy, device="torch-cpu")
    assert result.compute_device.name == "torch-cpu" and result.regressor.trained
    assert (
        result.to_json()["regressor"]["device"]
        == "torch-cpu"
        == learning.find_model(result.case).card.device
    )
    assert " of 2 minutes on torch-cpu, trained for this" in str(result.regressor)


def test_device_on_which_a_published_refinement_trains():
    for torch_device, trained_on in (
        ("cuda", "cuda"),
        ("cuda:1", "cuda:1"),
        ("mps", "cpu"),
        ("cpu", "cpu"),
    ):
        assert RefinementMethod("xvr", print, torch_device).trains_on == trained_on


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--minutes", "-1"], "minutes: found -1.0, expected a number above 0 and below 10000"),
        (
            ["--device", "gpu"],
            'device: found "gpu", expected auto, cpu, cuda or cuda:N (the Nth CUDA device, from 0)',
        ),
        (["--network", "big"], 'the network "big" is not known, expected one of voting, published'),
        (
            ["--loss", "cui2025"],
            'which the network "voting" does not say; use the network "published"',
        ),
        (["--resume"], "resume: found no folder"),
        (["--resume", "--out", "nothing"], f"found no {CARD}"),
    ],
)
def test_a_wrong_option_is_refused_in_a_sentence(case_file, mvreg, tmp_path, arguments, sentence):
    done = mvreg("train", case_file, *arguments, cwd=tmp_path)
    assert done.returncode == 2 and sentence in done.stderr


def test_without_pytorch_it_is_a_sentence(case_file, monkeypatch):
    monkeypatch.setattr(learning, "find_spec", lambda name: None)
    remedy = re.escape(
        "no safetensors, expected PyTorch and safetensors; install them with "
        f"{install_command('torch')}"
    )
    with refuses(remedy):
        api.train(Case.load(case_file))


def test_ranges_that_put_the_ct_out_of_the_field(case_file, few_steps):
    case = replace(Case.load(case_file), training={"columns_mm": 400.0})
    with refuses('training: at columns_mm -?400 the CT is out of the field of view "view1"'):
        api.train(case)
