"""What a scene holds, as the backend takes it, and kept as long as nothing of it changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..mrml.case import case_of, ct_of, xray_of
from ..mrml.dicom import origin_of
from ..mrml.fingerprint import of_ct, of_view
from ..mrml.registration import Registration, refuse_nonlinear
from ..mrml.xray import XRayView
from .translation import _


class Inputs:
    """The CT, the X-rays and the case of a registration; only read on the main thread.

    case_path: of the case.json that the scene was filled from, None where it was not, or nobody told.
    """

    def __init__(self, registration: Registration) -> None:
        self.registration = registration
        self.case_path: Path | None = None
        self._made: dict[str, tuple[str, object]] = {}
        self._shown: dict[str, str] = {}

    def cache_case(self, case) -> None:
        """The `io.case.Case` that the scene has just been filled from, of which nothing need be made again."""
        self.case_path = case.path
        xrays = {view.name: view.xray for view in case.views}
        self._made[""] = of_ct(self.registration), case.ct
        self._made.update(
            {
                view.node.GetID(): (of_view(view), xrays[view.name])
                for view in self.registration.xrays
                if view.name in xrays
            }
        )

    def cache_xray(self, view: XRayView, xray) -> None:
        """The `imaging.xray.XRay` that a view has just been given, with its picture."""
        self._shown[view.node.GetID()] = of = of_view(view)
        self._made[view.node.GetID()] = of, xray

    def is_shown(self, view: XRayView) -> bool:
        """Whether a view still has the image, and the picture, that `cache_xray` took."""
        return self._shown.get(view.node.GetID()) == of_view(view)

    def case(self, *, placed: bool = True):
        """The `io.case.Case` of the scene as it is. InputError for what is missing or wrong, and for two views with one geometry.

        placed: see `mrml.case.case_of`.
        """
        case = case_of(self.registration, self.xray, self.ct(), placed=placed)
        if same := twins(case.views):
            raise InputError(
                _(
                    "X-rays: {one} and {other} have the same geometry, expected another for each; correct that of one, or "
                    "skip it."
                ).format(one=same[0].name, other=same[1].name)
            )
        case.dicom = origin_of(self.registration)
        case.inputs = {
            "ct": of_ct(self.registration),
            **{view.name: of_view(view) for view in self.registration.xrays if view.used},
        }
        return case

    def corrected_case(self):
        """The case with the cameras as a registration has corrected them. InputError as `case`."""
        case = self.case()
        cameras = {view.name: view.camera for view in self.registration.xrays}
        return replace(case, views=[replace(view, camera=cameras[view.name]) for view in case.views])

    def ct(self):
        """The `imaging.ct.CT`. InputError as `mrml.case.ct_of`."""
        if self.registration.ct is not None:
            refuse_nonlinear(self.registration.ct)  # of which its fingerprint knows nothing
        return self._kept("", of_ct(self.registration), lambda: ct_of(self.registration))

    def xray(self, view: XRayView):
        """The view's `imaging.xray.XRay`. InputError as `mrml.case.xray_of`."""
        return self._kept(view.node.GetID(), of_view(view), lambda: xray_of(view))

    def _kept(self, name: str, key: str, make: Callable[[], object]):
        """What was made when the key was the same, also where that was an error: a timer asks for it again and again."""
        if self._made.get(name, ("",))[0] != key:
            try:
                self._made[name] = key, make()
            except InputError as error:
                self._made[name] = key, error
        made = self._made[name][1]
        if isinstance(made, InputError):
            raise made
        return made


def twins(views: list) -> tuple | None:
    """Two X-rays with the same geometry, if there are any. InputError for one without a geometry."""
    matrices = [view.camera.projection_matrix for view in views]
    pairs = combinations(range(len(views)), 2)
    return next(((views[i], views[j]) for i, j in pairs if np.allclose(matrices[i], matrices[j])), None)
