"""Simulated appearances of X-rays, and the fit of what chance poses look like."""

import numpy as np
import pytest
from helpers.phantom import make_ct, make_views

from benchmarks.appearances import fitted, judged, risk, told
from benchmarks.simulation.appearance import CARBON_DENSITY, Appearance, Things, random_appearance
from benchmarks.simulation.simulator import Wire
from MultiViewRegistrationLib.assessment import votes
from MultiViewRegistrationLib.regressor.machine import KINDS, Machine

PIXEL_MM = 0.6


def materials():
    """A slab of water with a rod of bone down its middle, g/cm^2."""
    water, bone = np.full((64, 64), 15.0), np.zeros((64, 64))
    bone[:, 28:36] = 2.0
    return np.stack([water, bone])


def contrast(appearance):
    image = appearance.xray(materials(), PIXEL_MM, np.random.default_rng(0)).line_integrals
    return float(image[:, 30:34].mean() - image[:, 20:25].mean())


def test_scatter_and_glare_reduce_contrast():
    plain = Appearance(Machine(photons=1e6))
    others = [Appearance(Machine(**each)) for each in ({"scatter_to_primary": 1.0}, {"glare": 0.4})]
    assert contrast(plain) > 0.2
    for other in others:
        assert 0 < contrast(other) < 0.9 * contrast(plain)


@pytest.mark.quick_variants("scout")
@pytest.mark.parametrize("group", KINDS)
def test_bone_is_bright_in_every_group(group):
    for seed in range(3):
        appearance = random_appearance(np.random.default_rng(seed), group)
        assert contrast(appearance) > 0


@pytest.mark.parametrize("agent_in", ["xray", "ct"])
def test_contrast_agent_is_in_xray_or_ct(agent_in):
    ct, tube = make_ct(), Wire((0.0, 0.0, -15.0), (0.0, 0.0, 15.0), 8.0)
    camera = make_views(ct, size=64)[0].camera
    things = Things(couch=(tube,), ct_couch=(), vessels=(tube,), agent_in=agent_in)
    water, bone = things.materials(np.zeros((2, 64, 64)), camera, np.eye(4))
    assert water.max() == pytest.approx(0.8 * CARBON_DENSITY, rel=0.1)
    changed = things.ct(ct).volume.values != ct.volume.values
    assert (bone.any(), changed.any()) == (agent_in == "xray", agent_in == "ct")


def row(share, *, wrong, group="a"):
    how, mtre = ("far", 30.0) if wrong else ("right", 0.2)
    shares = [share, 1.0]
    return {"failed": None, "how": how, "mtre_mm": mtre, "in_place": shares, "group": group}


def test_fit_recovers_beta_distribution_and_excludes_groups():
    shares = np.random.default_rng(1).beta(2, 18, 4000)
    rows = [row(share, wrong=True, group="ab"[n % 2]) for n, share in enumerate(shares)]
    mean, concentration = fitted(rows)
    assert mean == pytest.approx(0.1, abs=0.005) and concentration == pytest.approx(20, rel=0.15)
    few = rows[:200] + [row(0.9, wrong=False, group=group) for group in "ab"]
    assert told([*few, {"failed": "nothing shown"}]) == few
    assert judged(few, "group").splitlines()[-1].split("|")[4].strip() == "1.000"


def test_risk_equals_vote_risk():
    numbers = votes.CHANCE_FRACTION, votes.CONCENTRATION
    for share in (votes.MIN_FRACTION, 0.5, 0.6):
        expected = votes.vote_risk(np.array([share, 1.0]))
        assert risk(row(share, wrong=True), *numbers) == pytest.approx(expected, rel=1e-6)


def test_appearance_resamples_ct_slices():
    given = make_ct()
    thick = Appearance(slice_mm=4.0).ct(given).volume
    assert thick.spacing_mm[2] == 4.0 and len(thick.values) == 24
    soft = Appearance(kernel_mm=2.0).ct(given).volume.values
    assert soft.std() < given.volume.values.std()
