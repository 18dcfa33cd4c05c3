"""Rigid motions drawn at random, each from six numbers, and all else about a batch of images that follows from its key.

A batch is drawn from one word, its key. Each of its poses has a key of its own, and from that one everything about it, so that any part of
a batch can be drawn by itself, here or on a device (`device_motions`). Motions are products of exponentials of the six numbers, as of a
robot's joints (Brockett, Robotic manipulators and the product of exponentials formula, 1984).
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np

from ..geometry import rigid
from .drawn import Row, State, Word
from .draws import begun, normal, uniform

#: What is drawn from a pose's key: the pose, how its neighbours move, and from there on the image of each view.
POSE, NEIGHBOURS, IMAGES = np.uint64(0), np.uint64(1), np.uint64(2)
_0, _1 = np.uint64(0), np.uint64(1)


def key_of(*numbers: int) -> np.uint64:
    """The key of a batch by some whole numbers: seed, what it is for, step."""
    key = _0
    for number in numbers:
        key = np.uint64(begun(key, np.uint64(number % 2**64)))
    return key


@nb.njit(nogil=True)
def key_of_pose(key: Word, number: Word):
    """The key of one pose of a batch."""
    return begun(key, number + _1)


@nb.njit(nogil=True)
def variant_of(key: Word, count: Word):
    """Which of so many continuations of the body a batch shows."""
    return begun(key, _0) % count


@nb.njit(nogil=True)
def draw_six(state: State, middle: Row, reach: Row, normally: bool, six: Row):
    """Six numbers, out: evenly within middle -+ reach, or normally distributed with these means and standard deviations."""
    for n in range(6):
        if normally:
            six[n] = middle[n] + reach[n] * normal(state)
        else:
            six[n] = middle[n] + uniform(state, -reach[n], reach[n])


@nb.njit(nogil=True, cache=True)
def states_of_images(key, first, count, views):
    """(views, count) uint64: where the images of a batch begin to be drawn, from pose `first` on."""
    states = np.empty((views, count), np.uint64)
    for n in range(count):
        for view in range(views):
            states[view, n] = begun(key_of_pose(key, np.uint64(first + n)), IMAGES + np.uint64(view))
    return states


@dataclass(frozen=True, eq=False)
class Motions:
    """before @ exp(factors[0] @ six) @ exp(factors[1] @ six) @ ... @ after, of six numbers.

    before, after: (4, 4).   factors: (n, 6, 6), of twists, rad and mm.
    middle, reach, normally: (6,), (6,) and a truth value: how the numbers are drawn, see `draw_six`.
    """

    before: np.ndarray
    factors: np.ndarray
    after: np.ndarray
    middle: np.ndarray
    reach: np.ndarray
    normally: bool

    def of(self, six: np.ndarray) -> np.ndarray:
        """The motions (..., 4, 4) of numbers (..., 6)."""
        motion = self.before
        for factor in self.factors:
            motion = motion @ rigid.exp_se3(np.asarray(six, float) @ factor.T)
        return motion @ self.after

    def sample(self, key: np.uint64, numbers: range, what: np.uint64 = POSE) -> np.ndarray:
        """Those (n, 4, 4) of some poses of a batch, by their numbers.   what: POSE or NEIGHBOURS."""
        return self.of(_sixes(key, numbers.start, len(numbers), what, self.middle, self.reach, self.normally))


def neighbours(centroid: np.ndarray, deg: float, mm: float) -> Motions:
    """How what surrounds a structure moves: a normally distributed turn about the structure's centroid (3,), then a shift.

    deg, mm: standard deviations about and along each axis.
    """
    shift = rigid.from_rotation_translation(np.eye(3), centroid)
    return Motions(
        shift,
        np.stack([along(mm=np.eye(3)), along(rad=np.eye(3))]),
        rigid.inverse(shift),
        np.zeros(6),
        np.repeat([np.radians(deg), mm], 3),
        True,
    )


def along(rad: np.ndarray | float = 0.0, mm: np.ndarray | float = 0.0) -> np.ndarray:
    """(6, 6): a factor whose turn is `rad` (3, 3) times the first three numbers, and its shift `mm` (3, 3) times the last."""
    factor = np.zeros((6, 6))
    factor[:3, :3], factor[3:, 3:] = rad, mm
    return factor


@nb.njit(nogil=True, cache=True)
def _sixes(key, first, count, what, middle, reach, normally):
    six, state = np.empty((count, 6)), np.empty(1, np.uint64)
    for n in range(count):
        state[0] = begun(key_of_pose(key, np.uint64(first + n)), what)
        draw_six(state, middle, reach, normally, six[n])
    return six
