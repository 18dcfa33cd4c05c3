"""Where targets appear in the X-rays, and how far that is known.

Cameras and pose are solved for together. What is not known of the cameras moves the bone in the
room, and the X-rays still show it where the overlay has it: errors of pose and cameras go together
(`uncertainty.PoseUncertainty.in_view`).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import hypot
from typing import Any, NamedTuple

import numpy as np

from ..reasons import Verdict
from .features import ReliabilityFeatures
from .prediction import Model, Prediction

#: Where a bone appears farther off, at its depth, its overlay misleads.
OVERLAY_MM = 1.0
#: X-rays of a kind that the model does not know are off by so many times what noise explains: with
#: it 31 of 35 simulated sets with a C-arm's readings lay within the bound.
CARRIED_INFLATION = 2.0


class Appearance(NamedTuple):
    """The error of targets as the worst X-ray shows them, mm across its beam at the targets.

    Attributes
    ----------
    typical_mm, upper95_mm
        Median and 95 % bound of the root mean square over the targets.
    """

    typical_mm: float
    upper95_mm: float


class UseVerdict(NamedTuple):
    """How far a pose can be trusted for one use.

    Attributes
    ----------
    typical_mm, upper95_mm
        Median and 95 % bound of its error; None where they are not known.
    """

    verdict: Verdict
    typical_mm: float | None
    upper95_mm: float | None

    def to_json(self) -> dict[str, Any]:
        """Return an entry of `uses` of a result.json."""
        return {key: value for key, value in self._asdict().items() if value is not None}


def appearance(
    features: ReliabilityFeatures,
    points: np.ndarray,
    model: Model,
    numbers: Mapping[str, float],
) -> Appearance:
    """Return how far targets (N, 3), world mm, are known to appear where they do.

    As many times what noise explains as right poses of such features are off, cameras known; and
    what the cameras leave.

    Parameters
    ----------
    numbers
        As of `Model.predict`.
    """
    exact = model.predict(numbers)
    explained = features.uncertainty.at(points)
    typical = upper = CARRIED_INFLATION
    if exact.familiar:
        typical = exact.typical_mm / explained.mean_mm
        upper = exact.upper95_mm / explained.bound_mm()
    of_views = []
    for seen in features.seen:
        noise = features.uncertainty.in_view(points, *seen)
        likely = typical * noise.mean_mm
        most = upper * noise.bound_mm()
        if features.camera_uncertainty:
            cameras = features.camera_uncertainty.in_view(points, *seen)
            likely = hypot(likely, cameras.mean_mm)
            most = hypot(most, cameras.bound_mm())
        of_views.append((likely, most))
    return Appearance(*map(max, zip(*of_views, strict=True)))


def appears_right(prediction: Prediction, model: Model, shown: Appearance) -> bool:
    """Return whether the bone appears in these X-rays where the pose has it, wherever it lies in the room."""
    safe = prediction.image_failure_probability <= model.accept
    return safe and shown.upper95_mm <= OVERLAY_MM and prediction.known_kind


def apart_in_words(uses: Mapping[str, UseVerdict]) -> str:
    """Return the verdicts of uses of which each has another one; "" where they are the same."""
    overlay = uses["overlay"]
    room = uses["room"]
    if overlay.verdict == room.verdict or overlay.typical_mm is None:
        return ""
    mm = f"{overlay.typical_mm:.{2 if overlay.typical_mm < 0.1 else 1}f} mm"
    return f"In these X-rays: {overlay.verdict}, off by probably {mm}. In the room: {room.verdict}."
