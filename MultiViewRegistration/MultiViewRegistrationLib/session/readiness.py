"""Whether the X-rays of a registration can be used, told while a person is still at them, and cheaply enough for a timer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from ..errors import InputError
from ..mrml.fingerprint import of_view
from ..mrml.image import refresh
from ..mrml.xray import XRayView
from .inputs import Inputs


class Readiness:
    """What is wrong with the X-rays of one registration.

    `step`, called from a timer, has one look at one image at a time; what a sequence shows now becomes the picture.

    inputs: of the registration, which make a view's `imaging.xray.XRay`, and know of frames that were shown whole.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._registration, self._inputs = inputs.registration, inputs
        self._made_from: dict[str, tuple[str, int]] = {}  # source and the time of its last change, by the view's node
        self._looked: dict[str, tuple[str, str]] = {}  # fingerprint and what was found, by the view's node

    def step(self) -> bool:
        """Look at one view that has changed; whether there was one."""
        for view in self._registration.xrays:
            changed = self._source_changed(view)
            if not changed and self._looked.get(view.node.GetID(), ("",))[0] == of_view(view):
                continue
            if not self._inputs.is_shown(view):
                self._look_at(view, refresh if changed else self._inputs.xray)
                return True
            self._looked[view.node.GetID()] = of_view(view), ""
        return False

    def of(self, view: XRayView) -> str:
        """What is wrong with a view, a sentence; "" where nothing is, or nobody has looked yet."""
        if view.size == (0, 0):
            return f"{view.name}: has no image, expected an X-ray; remove it, or add it again."
        try:
            view.camera  # noqa: B018
        except InputError as error:
            return str(error)
        return self._looked.get(view.node.GetID(), ("", ""))[1]

    def twins(self) -> tuple[XRayView, XRayView] | None:
        """Two views that are used and have the same geometry, if there are any."""
        placed = [view for view in self._registration.xrays if view.used and view.placed]
        matrices = [view.camera.projection_matrix for view in placed]
        return next(
            (
                (placed[i], placed[j])
                for i, j in combinations(range(len(placed)), 2)
                if np.allclose(matrices[i], matrices[j])
            ),
            None,
        )

    def _source_changed(self, view: XRayView) -> bool:
        """Whether the volume that a picture was made from is another one now; what it was is remembered from the first look on."""
        source = view.source
        if source is None or source.GetImageData() is None:
            return False
        now, before = (source.GetID(), source.GetImageData().GetMTime()), self._made_from.get(view.node.GetID())
        self._made_from[view.node.GetID()] = now
        return before is not None and before != now

    def _look_at(self, view: XRayView, look: Callable[[XRayView], object]) -> None:
        try:
            look(view)
            trouble = ""
        except InputError as error:
            trouble = str(error)
        self._looked[view.node.GetID()] = of_view(view), trouble
