import numpy as np
import pytest

from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.simulation.body import BONE, BONE_DENSITY, WATER, at_energy
from MultiViewRegistrationLib.simulation.cases import SIZE
from MultiViewRegistrationLib.simulation.nuisances import KINDS, hard_xrays, plain_xray
from MultiViewRegistrationLib.simulation.simulator import Ball, SimulatedXRay, Wire

CAMERA = Camera([[1500.0, 0, 20], [0, 1500, 15], [0, 0, 1]], np.eye(4), (40, 30))


def xrays(kind, seed=0):
    return hard_xrays(np.random.default_rng(seed), kind, views=2)


def covered(xray):
    left, top, right, bottom = xray.collimation
    return 1 - (1 - (left + right) / SIZE[0]) * (1 - (top + bottom) / SIZE[1])


@pytest.mark.parametrize(
    ("kind", "ball", "thickest"), [("wires", None, 5.0), ("rods", 15.0, 6.5), ("prosthesis", 32.0, 22.0)]
)
def test_metal_is_of_its_kind_and_the_same_in_all_views(kind, ball, thickest):
    first, second = xrays(kind)
    assert first == second and first.collimation == (0, 0, 0, 0) and first.mineral == 1
    assert {part.diameter_mm for part in first.metal if isinstance(part, Ball)} == ({ball} if ball else set())
    assert max(part.diameter_mm for part in first.metal if isinstance(part, Wire)) == thickest


def test_fields_are_narrow():
    for seed in range(20):
        first, second = xrays("blades", seed)
        assert first.collimation == second.collimation and 0.4 < covered(first) < 0.75 and not first.metal
        first, second = xrays("shutters", seed)
        assert first.collimation != second.collimation
        assert all(0.24 < covered(xray) < 0.46 for xray in (first, second))


def test_scatter_and_weak_bone_are_worse_than_in_any_plain_image():
    plain = [plain_xray(np.random.default_rng(seed)) for seed in range(50)]
    scatter = [xrays("scatter", seed)[0] for seed in range(50)]
    assert min(xray.scatter_to_primary for xray in scatter) > max(xray.scatter_to_primary for xray in plain)
    assert max(xray.photons for xray in scatter) <= min(xray.photons for xray in plain)
    assert all(0.35 <= xrays("weak", seed)[1].mineral <= 0.65 for seed in range(20))


def test_mixed_is_all_at_once_and_drawn_from_the_seed():
    for seed in range(20):
        for xray in xrays("mixed", seed):
            assert xray.metal and covered(xray) > 0.24 and xray.scatter_to_primary >= 2 and xray.mineral < 1
        assert xrays("mixed", seed) == xrays("mixed", seed) != xrays("mixed", seed + 1)
    assert all(xrays(kind) == xrays(kind) != xrays(kind, 1) for kind in KINDS)


def test_bone_that_loses_mineral_gets_marrow_for_it():
    """The same attenuation as of a body made of so much less bone and so much more water."""
    ideal = SimulatedXRay(photons=1e9, scatter_to_primary=0, focal_spot_sd_mm=0, detector_sd_mm=0, vignetting=0)

    def logarithm(xray, water, bone):
        class Body:
            def project(self, camera, world_from_ct):
                columns = np.repeat(np.linspace(0, 1, 40)[None], 30, axis=0)
                return np.stack([water * np.ones((30, 40)), bone * columns]).astype(np.float32)

        image = xray.take(Body(), CAMERA, np.eye(4), np.random.default_rng(0)).astype(float)
        return np.log(image[15, 1] / image[15, -1])  # of the gain and the field nothing is left

    whole, weak = logarithm(ideal, 15, 2.0), logarithm(SimulatedXRay(**{**vars(ideal), "mineral": 0.5}), 15, 2.0)
    at_60 = at_energy(BONE, 60) * 2.0, at_energy(WATER, 60) * 2.0 / BONE_DENSITY
    assert weak / whole == pytest.approx((0.5 * at_60[0] + 0.5 * at_60[1]) / at_60[0], abs=0.05)
