"""What of a registration does not live in its scene: the prepared CT, the work under way, the results it came to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Protocol

import numpy as np

from ..errors import InputError
from .case import case_of, ct_of, xray_of
from .drawing import Drawing
from .fingerprint import fingerprint, of_ct, of_view
from .history import Entry, History
from .loading import camera_content
from .registration import Registration
from .worker import TURN, Worker
from .xray import XRayView

#: Ways to the pose that the refinement begins with.
STARTS = ("given", "search", "landmarks", "regressor")


class Regressor(Protocol):
    """A network that tells a pose from the X-rays of one patient's CT."""

    def __call__(self, case) -> np.ndarray:
        """(4, 4) world_from_ct, LPS mm, of an `io.case.Case`. InputError where it is not for this CT or these views."""


class Session:
    """One registration at work. A timer polls it some 20 times a second, and has `drawing` take a step; nothing waits but the poll.

    message: what went wrong last, a sentence; "" if nothing did.   notes: what the last work warned of, a sentence each.
    progress: of the work under way, a `registration.pipeline.Progress`, or None.
    regressor: where there is one for this CT.
    """

    def __init__(self, registration: Registration) -> None:
        self.registration, self.history = registration, History(registration)
        self.message, self.notes, self.progress = "", [], None
        self.regressor: Regressor | None = None
        self._worker: Worker | None = None
        self._then: Callable[[object], None] = lambda _: None
        self._before = np.eye(4)
        self._anatomy, self._anatomy_of = None, ""
        self.drawing = Drawing(registration, self._prepared, self.xray)
        self._xrays: dict[str, tuple[str, object]] = {}
        self._results: dict[str, object] = {}

    # What there is to register

    def case(self):
        """The `io.case.Case` of the scene as it is. InputError for what is missing or wrong, and for two views with one geometry."""
        case = case_of(self.registration, self.xray)
        for a, b in combinations(case.views, 2):
            if np.allclose(a.camera.projection_matrix, b.camera.projection_matrix):
                raise InputError(f"X-rays: {a.name} and {b.name} have the same geometry, expected another for each; correct that of one, "
                                 "or skip it.")
        return case

    def xray(self, view: XRayView):
        """The view's `imaging.xray.XRay`, made anew only where the image or what is known of it has changed."""
        key = of_view(view)
        if self._xrays.get(view.node.GetID(), ("",))[0] != key:
            self._xrays[view.node.GetID()] = key, xray_of(view)
        return self._xrays[view.node.GetID()][1]

    # Work in the background

    @property
    def running(self) -> bool:
        return self._worker is not None

    def register(self, start: str = "given", *, refinement: str = "joint", seed: int = 0) -> None:
        """Begin a registration. InputError for a start that is not there, and as `case`."""
        from ..workflow import register

        case, anatomy, told = self.case(), self._prepared(), fingerprint(self.registration)
        regress = self.regressor
        if start == "regressor" and regress is None:
            raise InputError("Start: there is no regressor for this CT, expected a trained one; train one, or choose another start.")

        def work(tell):
            if start == "regressor":
                begun = replace(case, world_from_ct=regress(case))
                result = register(begun, "given", tell, anatomy, seed, refinement)
            else:
                result = register(case, start, tell, anatomy, seed, refinement)
            return result

        self._launch(work, lambda result: self._registered(result, start, told))

    def prepare(self) -> bool:
        """Whether the CT is ready for DRRs; if not, begin to make it ready where nothing else is under way. InputError as `ct_of`."""
        if self._prepared() is not None:
            return True
        if not self.running:
            from ..registration.anatomy import Anatomy

            ct, key = ct_of(self.registration), of_ct(self.registration)

            def keep(anatomy) -> None:
                self._anatomy, self._anatomy_of = anatomy, key

            self._launch(lambda tell: _ready(Anatomy(ct)), keep)
        return False

    def poll(self, wait: float = TURN) -> bool:
        """Take what the work under way has come to; whether the CT has moved, or the work has ended.

        Where the registration has left its scene, the work is cancelled and forgotten.
        """
        worker = self._worker
        if worker is None:
            return False
        if self.registration.scene is None:
            self.cancel()
            self._worker = self.progress = None
            return True
        progress = worker.poll(wait)
        if progress is not None:
            self.progress = progress
            self.registration.world_from_ct = progress.world_from_ct
        if worker.state == "running":
            return progress is not None
        self._worker = self.progress = None
        self.notes = worker.warnings
        if worker.state == "done":
            self._then(worker.result)
        else:
            self.message = worker.message
            self.registration.world_from_ct = self._before
        return True

    def cancel(self) -> None:
        """Stop the work under way; the CT goes back to where it was. The next poll tells."""
        if self._worker is not None:
            self._worker.cancel()

    def finish(self) -> None:
        """Poll until the work under way has ended. InputError where it failed."""
        while self.running:
            self.poll()
        if self.message:
            raise InputError(self.message)

    def _launch(self, work, then) -> None:
        if self.running:
            raise InputError("Register: a registration is under way, expected none; wait for it, or cancel it.")
        self.message, self.notes, self._before = "", [], self.registration.world_from_ct
        self._worker, self._then = Worker(work), then

    def _registered(self, result, start: str, told: str) -> None:
        corrected = {given.name: camera_content(view.camera) for given, view in zip(result.case.views, result.views, strict=True)
                     if view.camera is not given.camera}
        similarity = dict(zip((view.name for view in result.views), map(float, result.refinement.fit.similarity), strict=True))
        entry = Entry.now(start, result.world_from_ct, similarity=similarity, cameras=corrected, fingerprint=told,
                          reasons=[*result.reasons, *self.notes], seconds=result.seconds["total"])
        if not self.history.entries:
            self.history.add(Entry.now("before", self._before))
        self.history.add(entry)
        self.history.go(self.history.position)
        self._results[entry.key] = result
        self._anatomy, self._anatomy_of = result.anatomy, of_ct(self.registration)

    def _prepared(self):
        """The prepared CT, None where the scene's is another, or there is none yet."""
        return self._anatomy if self._anatomy_of == of_ct(self.registration) else None

    # What is seen of it

    def similarity(self) -> dict[str, float]:
        """Local NCC of each view that is used, where the CT is now, by name. Empty before `prepare` is true. InputError as `case`."""
        anatomy = self._prepared()
        if anatomy is None:
            return {}
        case, pose = self.case(), self.registration.world_from_ct
        fit = anatomy.fit(case.views, pose, pose)
        return dict(zip((view.name for view in case.views), map(float, fit.similarity), strict=True))

    def error(self) -> float | None:
        """mTRE in mm of the result at which the history is, where its case had the truth."""
        entry = self.history.current
        result = entry and self._results.get(entry.key)
        return result.errors.mtre_mm if result and result.errors else None

    # Whether it can be handed on

    def doubt(self) -> str:
        """Why the pose should not be handed on as the result of a registration, in a sentence; "" where nothing speaks against it."""
        entry = self.history.current
        if entry is None or not entry.fingerprint:
            return "This pose is no result of a registration."
        if not np.allclose(entry.pose, self.registration.world_from_ct, atol=1e-6):
            return "The CT was moved by hand since the registration."
        if entry.fingerprint != fingerprint(self.registration):
            return "The result is stale: the CT, an X-ray or its geometry has changed since the registration."
        return ""


def _ready(anatomy):
    """The anatomy, with what the first DRR needs."""
    for level in (0, 1):
        anatomy.projector(level)
    return anatomy
