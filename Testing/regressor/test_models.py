"""Models on disk: what is loaded is what was written, for the CT and the views it was trained for, and nothing else."""

import hashlib
import json
import pickle
import random
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.file_io import read_json, write_json
from helpers.phantom import TRUE_POSE, error_mm, make_slot_scan, off
from helpers.refusals import refuses
from numpy.testing import assert_array_equal

from MultiViewRegistrationLib import InputError, Volume
from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT
from MultiViewRegistrationLib.regressor import model_store
from MultiViewRegistrationLib.regressor.fusion import LandmarkVotes
from MultiViewRegistrationLib.regressor.images import Window
from MultiViewRegistrationLib.regressor.model import (
    RegressorModel,
    cameras_of,
    load_model,
)
from MultiViewRegistrationLib.regressor.model_store import CARD, Card, ct_sha256, save_checkpoint
from MultiViewRegistrationLib.regressor.network import (
    CORNER_AUGMENTATIONS,
    choose_landmarks,
    make_network,
)
from MultiViewRegistrationLib.regressor.poses import AXES
from MultiViewRegistrationLib.regressor.training import _cameras_json


@pytest.fixture(scope="module")
def card(ct, views):
    return Card(
        ct_sha256=ct_sha256(ct),
        cameras=_cameras_json([Window.of(view.camera) for view in views]),
        world_from_ct=np.eye(4).tolist(),
        centroid=ct.centroid().tolist(),
        half_widths=dict(zip(AXES, (15.0, 15.0, 20.0, 15.0, 15.0, 20.0), strict=True)),
        network="voting",
        loss="likelihood",
        seed=0,
        minutes=1.0,
        steps=10,
        every=5,
        created="2026-01-01T00:00:00",
        versions={},
        done=10,
        seconds=1.5,
        losses=[[10, -1.0]],
        validation=[[10, 1.5, 5.0, 9.0, 9.0]],
        expected=[5.0, 9.0, 1.0],
    )


@pytest.fixture(scope="module")
def state(ct, card):
    """Of a network of the card, as a checkpoint has it."""
    centre = ct.centroid()
    landmarks = choose_landmarks(ct, centre)
    network = make_network("voting", cameras_of(card), np.eye(4), centre, landmarks, seed=3)
    return {f"network.{name}": tensor for name, tensor in network.state_dict().items()}


@pytest.fixture
def folder(tmp_path, card, state):
    save_checkpoint(tmp_path / "model", card, state)
    return tmp_path / "model"


class Oracle:
    """A network that sees through the image.

    Its evidence is the truth as projected points, which tests what lies around it.
    """

    AUGMENTATIONS = CORNER_AUGMENTATIONS

    def __init__(self, ct, scale_px):
        self.landmarks, self.centroid = choose_landmarks(ct, ct.centroid()), ct.centroid()
        self.scale_px, self.seen = scale_px, []

    def __call__(self, images, view):
        assert images.shape[1:] == (2, 64, 64)
        self.seen.append(view.tolist())
        return images

    def evidence(self, predicted, cameras):
        world = rigid.transform_points(self.truth, self.landmarks)
        projected = [camera.project(world) for camera in cameras]
        scales = np.full((len(self.landmarks), 1), self.scale_px)
        return [
            LandmarkVotes(camera, self.landmarks, self.centroid, points.T[..., None], scales, 3.0)
            for camera, points in zip(cameras, projected, strict=True)
        ]


def test_the_same_model_is_read_again(folder, card, views, ct):
    model, again = load_model(folder), load_model(folder)
    unwritten = {"weights": "", "weights_sha256": ""}
    assert replace(model.card, **unwritten) == replace(card, **unwritten)
    first, second = (each.candidates(views)[0] for each in (model, again))
    assert_array_equal(first.world_from_ct, second.world_from_ct)
    assert sorted(path.name for path in folder.iterdir()) == sorted([CARD, model.card.weights])
    model.check_ct(ct)
    with refuses("the model is of another CT"):
        model.check_ct(CT(Volume(ct.volume.values + 1, ct.volume.ct_from_index)))


def rewritten(folder, **changes):
    content = read_json(folder / CARD)
    content.update(changes)
    write_json(folder / CARD, {key: value for key, value in content.items() if value is not ...})


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format": "something"}, "is no card of a trained model"),
        ({"version": 99}, "written by another version"),
        ({"steps": ...}, "was changed or damaged"),
        ({"more": 1}, "was changed or damaged"),
        ({"weights": "../../elsewhere.safetensors"}, '"weights" is no file beside it'),
        ({"weights": "gone.safetensors"}, "found no weights as safetensors"),
        ({"weights_sha256": "0" * 64}, "is not the file that was written"),
        ({"network": "other"}, 'the network "other" is not known'),
        ({"network": "published"}, "its weights do not fit its card"),
        ({"validation": []}, "stopped before it had learnt anything"),
    ],
)
def test_changed_cards_are_refused(folder, changes, message):
    rewritten(folder, **changes)
    with refuses(message):
        load_model(folder)


def test_other_files_are_refused(folder, tmp_path):
    with refuses(f"found no {CARD}"):
        load_model(tmp_path)
    with pytest.raises(InputError):
        load_model(folder / CARD)
    (folder / CARD).write_text((folder / CARD).read_text()[:100])
    with refuses("is damaged"):
        load_model(folder)


@pytest.mark.parametrize(
    "spoil", [lambda data: data[: len(data) // 2], lambda data: data[:-1] + bytes([data[-1] ^ 1])]
)
def test_weights_that_were_cut_short_or_changed(folder, spoil):
    path = next(folder.glob("*.safetensors"))
    path.write_bytes(spoil(path.read_bytes()))
    with refuses("cut short, damaged or changed"):
        load_model(folder)


class Alarm:
    """Whoever unpickles this runs code."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_pickles_are_refused(folder, suffix):
    data = pickle.dumps(Alarm())
    (folder / f"weights{suffix}").write_bytes(data)
    rewritten(folder, weights=f"weights{suffix}", weights_sha256=hashlib.sha256(data).hexdigest())
    with refuses("as safetensors"):
        load_model(folder)


def test_weights_with_nan_are_refused(folder, card, state):
    bias = torch.full_like(state["network.head.bias"], torch.nan)
    save_checkpoint(folder, card, {**state, "network.head.bias": bias})
    with refuses("do not fit its card"):
        load_model(folder)


def test_one_ct_has_one_hash_however_it_lies_in_memory(ct):
    values = np.asfortranarray(ct.volume.values)
    assert ct_sha256(CT(Volume(values, ct.volume.ct_from_index + 1e-5))) == ct_sha256(ct)
    assert ct_sha256(CT(ct.volume, mask=ct.volume.values > 0)) == ct_sha256(ct)
    assert ct_sha256(CT(Volume(values, ct.volume.ct_from_index + 0.01))) != ct_sha256(ct)
    other_way_round = ct.volume.ct_from_index @ np.diag([1, 1, -1, 1])
    other_way_round[:3, 3] += ct.volume.ct_from_index[:3, 2] * (len(values) - 1)
    assert ct_sha256(CT(Volume(values[::-1], other_way_round))) == ct_sha256(ct)


def oracle(card, ct, truth, scale_px=0.3):
    network = Oracle(ct, scale_px)
    network.truth = truth
    return RegressorModel(card, network, None)


def test_views_in_another_order_and_alone(card, ct, views):
    model = oracle(card, ct, TRUE_POSE)
    for chosen, trained in ((views, [0, 1]), (views[::-1], [1, 0]), (views[1:], [1])):
        assert error_mm(model.candidates(chosen)[0].world_from_ct) < 0.2
        assert model.network.seen.pop() == trained and not model.network.seen


def test_the_same_arm_in_another_world(card, ct, views):
    """As a tracker's, of which the case's start tells.

    Without it these cameras see the CT from behind.
    """
    moved = off(np.eye(4), (0, 150, 20), (300, -200, 40))
    cameras = [view.camera.camera_from_world @ rigid.inverse(moved) for view in views]
    there = [view.with_camera(camera_from_world=camera) for view, camera in zip(views, cameras)]
    model = oracle(card, ct, moved @ TRUE_POSE)
    found = model.candidates(there, moved @ off(np.eye(4), (3, 4, 2), (4, 5, 6)))[0]
    assert error_mm(found.world_from_ct, moved @ TRUE_POSE) < 0.2
    with refuses('view "view[12]": its camera sees the CT otherwise than any that the model'):
        model.candidates(there)


def test_slot_scans_and_only_where_one_was_trained(card, ct, views):
    mixed = [views[0], make_slot_scan(ct, 90)]
    corners = rigid.transform_points(TRUE_POSE, 45 * np.stack([-np.ones(3), np.ones(3)]))
    windows = [Window.of(view.camera, corners) for view in mixed]
    model = oracle(
        replace(card, cameras=json.loads(json.dumps(_cameras_json(windows)))), ct, TRUE_POSE, 20.0
    )
    assert all(
        again.same_as(window.camera) for again, window in zip(cameras_of(model.card), windows)
    )
    assert error_mm(model.candidates(mixed)[0].world_from_ct) < 0.2
    assert error_mm(model.candidates(mixed[::-1])[0].world_from_ct) < 0.2
    assert len(model.network.seen) == 4  # with augmentations
    with refuses('view "slot90": its camera sees the CT otherwise than any'):
        oracle(card, ct, TRUE_POSE).candidates(mixed)


def test_the_store(monkeypatch, tmp_path, card):
    monkeypatch.setenv("MVREG_DATA", str(tmp_path / "data"))
    assert model_store.all_models() == [] and model_store.models_of("ab" * 32) == []
    made = []
    for sha, day in (("ab" * 32, 2), ("ab" * 32, 3), ("cd" * 32, 1)):
        made.append(model_store.new_folder(sha))
        begun = replace(card, ct_sha256=sha, created=f"2026-01-0{day}T00:00:00")
        save_checkpoint(made[-1], begun, {"network.x": torch.zeros(100)})
    (made[0].parent / "not-a-model").mkdir()
    assert len(set(made)) == 3
    assert [each.folder for each in model_store.models_of("ab" * 32)] == [made[1], made[0]]
    assert len(model_store.all_models()) == 3
    model_store.remove_model(model_store.models_of("cd" * 32)[0])
    assert (
        model_store.models_of("cd" * 32) == [] and not made[2].parent.exists() and made[0].exists()
    )


VALUES = [None, True, -1, 0, 10**30, 1e308, np.nan, np.inf, "", "x", "../x", [], [[]], [None], {},
          {"a": None}, [[1, 2], [3]]]  # fmt: skip


@pytest.mark.slow
def test_damaged_cards_are_refused_in_a_sentence_or_stand_for_a_model(
    folder, monkeypatch, capsys, ct
):
    """Each value of a card in turn is another, at any depth.

    The store lists what is left, and a registration finds its model.
    """
    monkeypatch.setenv("MVREG_DATA", str(folder.parent))
    home = model_store.new_folder(ct_sha256(ct))
    shutil.copytree(folder, home)
    whole, rng = read_json(home / CARD), random.Random("cards")
    refused = 0
    for key in whole:
        for value in VALUES:
            content = json.loads(json.dumps(whole))
            part, at = content, key
            while isinstance(part[at], (list, dict)) and part[at] and rng.random() < 0.5:
                part = part[at]
                at = rng.choice(list(part) if isinstance(part, dict) else range(len(part)))
            part[at] = value
            write_json(home / CARD, content)
            try:
                model = load_model(home)
                assert model.card.finished in (True, False)
                assert f"{model.card.minutes:g} {model.card.error_mm}"
            except InputError as error:
                assert len(str(error).splitlines()) == 1 and str(error).endswith("."), str(error)
                refused += 1
            assert len(model_store.all_models()) <= 1
            assert main("models --json".split()) == 0
    assert refused > 300
