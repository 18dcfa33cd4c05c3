"""Energies and attenuation coefficients of the simulated X-rays.

Coefficients: J. H. Hubbell, S. M. Seltzer, Tables of X-Ray Mass Attenuation Coefficients, NIST SRD 126,
https://doi.org/10.18434/T4D01F, tables 3 and 4 (liquid water; cortical bone of ICRU Report 44; iron).
"""

from __future__ import annotations

import numpy as np

ENERGIES_KEV = np.array([30.0, 40.0, 50.0, 60.0, 80.0, 100.0])

# Share of each energy in the signal of an open field: roughly 100 kV, 3 mm Al + 0.1 mm Cu, a CsI detector.
SIGNAL_SHARE = np.array([0.06, 0.18, 0.23, 0.27, 0.18, 0.08])

# Mass attenuation coefficients in cm^2/g at ENERGIES_KEV
WATER = np.array([0.3756, 0.2683, 0.2269, 0.2059, 0.1837, 0.1707])
BONE = np.array([1.331, 0.6655, 0.4242, 0.3148, 0.2229, 0.1855])
IRON = np.array([8.176, 3.629, 1.958, 1.205, 0.5952, 0.3717])

# Densities in g/cm^3
BONE_DENSITY = 1.92
IRON_DENSITY = 7.874


def at_energy(coefficients: np.ndarray, energy_kev: float) -> float:
    """A coefficient between the tabulated energies (linear in the logarithms)."""
    return float(np.exp(np.interp(np.log(energy_kev), np.log(ENERGIES_KEV), np.log(coefficients))))


def transmission(water: np.ndarray, bone: np.ndarray, iron: np.ndarray) -> np.ndarray:
    """Share of the open field's signal left behind so many g/cm^2 of each material (arrays of one shape)."""
    total = np.zeros_like(water)
    for share, mu_water, mu_bone, mu_iron in zip(SIGNAL_SHARE, WATER, BONE, IRON, strict=True):
        total += share * np.exp(-(mu_water * water + mu_bone * bone + mu_iron * iron))
    return total
