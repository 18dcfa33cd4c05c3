"""Scrambled Sobol points in six dimensions: those of scipy.stats.qmc.Sobol, bit by bit, without the import of scipy.stats, which takes as
long as a refinement."""

from __future__ import annotations

import numpy as np

BITS = 30
#: For each dimension a primitive polynomial over GF(2), by the bits of a number, and the first direction numbers (Joe and Kuo, SIAM J.
#: Sci. Comput. 30, 2008).
DIRECTIONS = ((1, ()), (3, (1,)), (7, (1, 3)), (11, (1, 3, 1)), (13, (1, 1, 1)), (19, (1, 1, 3, 3)))


class Sobol:
    """The sequence of a seed (Sobol, USSR Comput. Math. Math. Phys. 7, 1967), scrambled (Matousek, J. Complexity 14, 1998)."""

    def __init__(self, seed: int) -> None:
        rng, dimensions = np.random.default_rng(seed), len(DIRECTIONS)
        places = np.arange(BITS, dtype=np.uint32)
        self._shift = rng.integers(2, size=(dimensions, BITS), dtype=np.uint32) @ (np.uint32(1) << places)
        mixing = np.tril(rng.integers(2, size=(dimensions, BITS, BITS), dtype=np.uint32))
        mixing[:, places, places] = 1
        numbers = np.array([_direction_numbers(*each) for each in DIRECTIONS], np.uint32)
        bits = numbers[:, None, :] >> places[::-1, None] & 1  # (dimensions, bits, numbers), the highest bit first
        self._numbers = np.tensordot(np.uint32(1) << places[::-1], mixing @ bits & 1, (0, 1))
        self._drawn = 0

    def random(self, count: int) -> np.ndarray:
        """The next points (count, 6) of the unit cube."""
        index = np.arange(self._drawn, self._drawn + count, dtype=np.uint32)
        self._drawn += count
        gray = (index ^ index >> 1)[:, None]
        points = np.tile(self._shift, (count, 1))
        for place in range(BITS):
            points ^= (gray >> place & 1) * self._numbers[:, place]
        return points / 2.0**BITS


def _direction_numbers(polynomial: int, first: tuple[int, ...]) -> list[int]:
    """BITS numbers of BITS bits, by the recurrence of the polynomial."""
    degree = len(first)
    m = list(first) or [1] * BITS
    while len(m) < BITS:
        new = m[-degree] ^ m[-degree] << degree
        for k in range(1, degree):
            if polynomial >> (degree - k) & 1:
                new ^= m[-k] << k
        m.append(new)
    return [each << (BITS - 1 - place) for place, each in enumerate(m)]
