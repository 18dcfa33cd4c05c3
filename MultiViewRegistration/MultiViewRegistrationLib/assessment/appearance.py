"""Where targets appear in the X-rays, and how far that is known.

Cameras and pose are solved for together. What is not known of the cameras moves the bone in the
room, and the X-rays still show it where the overlay has it: errors of pose and cameras go together
(`uncertainty.PoseUncertainty.in_view`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import hypot

import numpy as np

from ..imaging.xray import SharedUnknowns, View
from ..reasons import Use
from ..registration.cameras import CameraCorrections
from .features import ReliabilityFeatures
from .prediction import Model, Prediction
from .uses import OVERLAY_MM, Error

#: X-rays of a kind that the model does not know are off by so many times what noise explains: with
#: 2 the bound held for 32 of 34 simulated right ones, with 2.5 for all.
CARRIED_INFLATION = 2.5


def appearance(
    features: ReliabilityFeatures,
    points: np.ndarray,
    model: Model,
    numbers: Mapping[str, float],
) -> Error:
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
    of_noise, of_cameras = features.appearing
    of_views = []
    for seen in features.seen:
        noise = of_noise.in_view(points, *seen)
        likely = typical * noise.mean_mm
        most = upper * noise.bound_mm()
        if of_cameras:
            cameras = of_cameras.in_view(points, *seen)
            likely = hypot(likely, cameras.mean_mm)
            most = hypot(most, cameras.bound_mm())
        of_views.append((likely, most))
    return Error(*map(max, zip(*of_views, strict=True)))


def appears_right(
    prediction: Prediction, model: Model, upper95_mm: float, *, in_each_view: bool
) -> bool:
    """Return whether the bone appears in these X-rays where the pose has it.

    Wherever it lies in the room. Where views disagree, each alone has to show it there.
    """
    safe = prediction.image_failure_probability <= model.accept
    here = replace(prediction, agree=prediction.agree or in_each_view)
    return safe and upper95_mm <= OVERLAY_MM and here.known_kind


def use_of(views: Sequence[View], shared: SharedUnknowns) -> Use:
    """Return what a pose is for by how well cameras are known: the room where they were calibrated or tracked."""
    presumed = any(view.presumed_principal_point_sd_px for view in views)
    inexact = presumed or CameraCorrections(views, shared).free.size
    return "overlay" if inexact else "room"
