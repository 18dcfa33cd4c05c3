"""Beads in an image are named by a model at any pose, with missing and false ones."""

import numpy as np
import pytest
from helpers.bead_scene import PHANTOM, random_camera
from helpers.refusals import refuses

from MultiViewRegistrationLib import Camera
from MultiViewRegistrationLib.geometry.bead_match import (
    LIKELY_DISTANCES,
    is_flat,
    match_beads,
    match_near,
    symmetries,
)
from MultiViewRegistrationLib.io.points import read_bead_model

MODEL = read_bead_model(PHANTOM).points
CUBE = 20.0 * np.stack(np.meshgrid(*3 * [(-1, 1)]), axis=-1).reshape(-1, 3)


def guesses(size=(1024, 1024), signs=(1, -1)):
    for width in LIKELY_DISTANCES:
        for sign in signs:
            K = np.diag([sign * width * size[0], width * size[0], 1.0])
            K[:2, 2] = (np.array(size) - 1) / 2
            yield Camera(K, np.eye(4), size)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_any_pose_with_missing_and_false_beads(seed):
    rng = np.random.default_rng(seed)
    camera = random_camera(rng, mirrored=bool(seed % 2), off_px=60)
    kept = rng.permutation(len(MODEL))[: rng.integers(8, 13)]
    false = rng.uniform(200, 800, (rng.integers(0, 6), 2))
    shown = camera.project(MODEL[kept]) + rng.normal(0, 0.07, (len(kept), 2))
    matches = match_beads(MODEL, np.concatenate([shown, false]), list(guesses()))
    assert len(matches) == 1
    named = dict(zip(matches[0].bead.tolist(), matches[0].model.tolist(), strict=True))
    assert named == dict(enumerate(kept.tolist()))
    assert (matches[0].camera.intrinsics[0, 0] < 0) == bool(seed % 2)


def test_likely_beads_are_found_among_more_false_ones():
    rng = np.random.default_rng(5)
    camera = random_camera(rng, off_px=60)
    false = rng.uniform(0, 1024, (15, 2))  # of a thorax with a stent, as wide as the image
    shown = np.concatenate([camera.project(MODEL), false])
    (match,) = match_beads(MODEL, shown, list(guesses())[:1])
    assert match.model.tolist() == match.bead.tolist() == list(range(12))


def test_a_camera_nearby_names_the_beads_at_once_and_one_elsewhere_none():
    rng = np.random.default_rng(7)
    camera = random_camera(rng)
    shown = camera.project(MODEL[1:]) + rng.normal(0, 0.07, (len(MODEL) - 1, 2))
    sd = np.full(len(shown), 0.1)
    match = match_near(MODEL, shown, camera, sd)
    assert match.model.tolist() == list(range(1, len(MODEL)))
    assert match.bead.tolist() == list(range(len(shown)))
    assert match_near(MODEL, shown + 200, camera, sd) is None


@pytest.mark.quick_variants("3-found 3 beads, expected 6 or more")
@pytest.mark.parametrize(
    "count, said", [(8, "fit the model in no pose"), (3, "found 3 beads, expected 6 or more")]
)
def test_beads_that_are_not_those_of_the_model_are_refused(count, said):
    pixels = np.random.default_rng(1).uniform(100, 900, (count, 2))
    with refuses(said):
        match_beads(MODEL, pixels, list(guesses(signs=(1,)))[:1])


def test_a_symmetric_model_is_known():
    assert len(symmetries(CUBE)) == 23  # rotations of a cube but one
    assert symmetries(MODEL) == []
    assert is_flat(CUBE * [1, 1, 0]) and not is_flat(CUBE)
