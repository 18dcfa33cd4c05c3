"""A regressor that knows the truth and errs as it is told.

What one says, and how a registration deals with it, without training any.
"""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.regressor.fusion import RADIUS_MM, Candidate


@dataclass
class FakeModel:
    """Says of all views together, and then of each alone, a pose that is off the truth (4, 4) by `together_mm` and `alone_mm`.

    expects_mm: what it expects to be off by, together; alone twice as much.   other_ct: whether it is of another CT.
    refuses: how many cameras it knows at most, for views of which it cannot say anything.
    asked: the names of the views at each question.
    """

    truth: np.ndarray
    centroid: np.ndarray
    together_mm: float = 2.0
    alone_mm: float = 6.0
    expects_mm: float = 3.0
    other_ct: bool = False
    refuses: int = 9
    folder: Path | None = Path("models/2026-01-02")
    card: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(minutes=2.0, device="cpu")
    )
    asked: list = field(default_factory=list)

    def check_ct(self, ct):
        if self.other_ct:
            raise InputError("model: is of another CT.")

    def candidates(self, views, world_from_ct):
        self.asked.append([view.name for view in views])
        if len(views) > self.refuses:
            raise InputError("model: knows other cameras.")
        random, groups = np.random.default_rng(3), [(n,) for n in range(len(views))]
        said = (
            [(tuple(range(len(views))), self.together_mm, self.expects_mm)]
            if len(views) > 1
            else []
        )
        said += [(group, self.alone_mm, 2 * self.expects_mm) for group in groups]
        return [
            Candidate(
                missed(self.truth, self.centroid, off_mm, random), covariance(expects_mm), group
            )
            for group, off_mm, expects_mm in said
        ]

    def reach(self, views, world_from_ct):
        """About a pose that is off by 10 mm."""
        return missed(self.truth, self.centroid, 10.0, np.random.default_rng(0)), 25.0, 40.0


def missed(truth, centroid, off_mm, random):
    """A pose off the truth by so much, root mean square of points at RADIUS_MM from the centroid, in a random direction."""
    error = random.normal(size=6) * np.repeat([np.sqrt(3 / 2) / RADIUS_MM, 1.0], 3)
    error *= off_mm / np.sqrt(2 / 3 * RADIUS_MM**2 * error[:3] @ error[:3] + error[3:] @ error[3:])
    motion = rigid.turn_and_shift(error[:3], error[3:])
    return rigid.about(rigid.transform_points(truth, centroid), motion) @ truth


def covariance(expected_mm):
    """(6, 6), of which a candidate's expected error is so much, turn and shift with equal shares."""
    return np.diag(np.repeat([expected_mm**2 / (4 * RADIUS_MM**2), expected_mm**2 / 6], 3))
