"""How well the landmarks fit that were clicked so far, before a registration begins from them."""

from __future__ import annotations

from functools import partial

from ..geometry.landmarks import LandmarkFit, LandmarkResidual, locate
from ..mrml.case import landmarks_of
from ..mrml.registration import Registration
from ..mrml.xray import ATTRIBUTE
from .tasks import BackgroundValue


class LandmarkFitUpdater:
    """Keeps `fit`, the pose that landmarks have; None while there are too few, or none fits them."""

    def __init__(self, registration: Registration) -> None:
        self._registration = registration
        self._found = BackgroundValue()

    @property
    def fit(self) -> LandmarkFit | None:
        """The newest fit."""
        return self._found.value

    @property
    def residuals(self) -> dict[tuple[str, str], LandmarkResidual]:
        """The residuals, by the names of landmark and X-ray."""
        return {} if self.fit is None else {(one.name, one.view): one for one in self.fit.residuals}

    def update(self) -> bool:
        """Follow the scene, from a timer, and return whether there is another fit."""
        views = [view for view in self._registration.used_xrays if view.placed]
        found = landmarks_of(self._registration, views)
        cameras = {view.name: view.camera for view in views}
        points = [
            (one.name, one.ct.tobytes(), name, pixel.tobytes())
            for one in found
            for name, pixel in one.pixels.items()
        ]
        geometries = [(view.name, view.node.GetAttribute(ATTRIBUTE)) for view in views]
        return self._found.update((points, geometries), lambda: partial(locate, found, cameras))
