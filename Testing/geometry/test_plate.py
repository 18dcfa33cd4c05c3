"""The distortion of an image intensifier from a plate, against one that is known."""

import numpy as np
from helpers.refusals import refuses

from MultiViewRegistrationLib.geometry.camera import inverted
from MultiViewRegistrationLib.geometry.machines import rotation
from MultiViewRegistrationLib.geometry.plate import (
    POWERS,
    PolynomialDistortion,
    distortion_between,
    fitted_plates,
    grid_of,
)

SIZE = (512, 512)


def grid(turn_deg=3.0, spacing=24.0):
    i, j = np.meshgrid(np.arange(-9, 10), np.arange(-9, 10))
    nodes = np.column_stack([i.ravel(), j.ravel()]) * spacing
    turn = np.radians(turn_deg)
    R = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return (nodes @ R.T + [258.0, 251.0])[np.hypot(*nodes.T) < 220]


def bent_by(field):
    """S-shaped and pincushion distortion of 1 to 5 px, and a turn of up to a degree, by a field (3,)."""
    coefficients = np.zeros((len(POWERS), 2))
    at = {tuple(power): n for n, power in enumerate(POWERS.tolist())}
    coefficients[at[3, 0], 0] = coefficients[at[0, 3], 1] = 8.0
    coefficients[at[1, 2], 0] = coefficients[at[2, 1], 1] = 8.0
    turn = 4.0 * field[2]
    coefficients[at[0, 1], 0], coefficients[at[1, 0], 1] = -turn, turn
    coefficients[at[0, 3], 0], coefficients[at[3, 0], 1] = -2 * field[2], 2 * field[2]
    coefficients[at[0, 0]] = 3 * field[:2]
    return PolynomialDistortion(coefficients, SIZE)


def seen(distortion, rng, noise_px=0.05):
    pixels = distortion.distort(grid())
    pixels = pixels[rng.random(len(pixels)) > 0.05]
    false = rng.uniform(0, 512, (8, 2))
    return rng.permutation(np.concatenate([pixels + rng.normal(0, noise_px, pixels.shape), false]))


def test_a_pose_between_those_measured_has_its_own_distortion():
    rng, field = np.random.default_rng(2), np.array([0.4, -0.5, 0.77])
    angles = [(a, b) for a in (-60, -20, 20, 60, 95) for b in (-20, 20)]
    rotations = np.array([rotation(*each) for each in angles])
    true = [bent_by(R.T @ field) for R in rotations]
    fits = fitted_plates([seen(each, rng) for each in true], SIZE, [str(each) for each in angles])
    between, nodes = rotation(5, 5), grid()
    taken = bent_by(between.T @ field).distort(nodes)
    # The grid that counts as straight is that of all poses, turned and shifted as they are on average.
    straight = [
        inverted(fit.distortion.distort, each.distort(nodes))
        for fit, each in zip(fits, true, strict=True)
    ]
    expected = np.mean(straight, axis=0)
    assert np.linalg.norm(straight - expected, axis=2).max() < 0.25
    found = distortion_between(rotations, [fit.distortion for fit in fits], between)
    assert np.linalg.norm(inverted(found.distort, taken) - expected, axis=1).max() < 0.3
    nearest = inverted(fits[2].distortion.distort, taken)
    assert np.linalg.norm(nearest - expected, axis=1).max() > 0.5


def test_what_is_no_plate_is_refused():
    rng = np.random.default_rng(3)
    with refuses("found 12 beads or holes of the plate, expected 42"):
        grid_of(rng.uniform(0, 512, (12, 2)))
    with refuses("lie on a square grid"):
        grid_of(rng.uniform(0, 512, (200, 2)))
