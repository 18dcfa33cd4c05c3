"""What of a registration does not live in its scene: the prepared CT, the work under way, the results it came to."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from itertools import combinations
from time import monotonic

import numpy as np

from ..errors import InputError
from ..progress import TimeLeft, left_in_words
from . import work
from .case import case_of, ct_of, xray_of
from .drawing import Drawing
from .fingerprint import fingerprint, of_ct, of_view
from .history import Entry, History
from .loading import camera_content
from .registration import Registration
from .regressor import Regressor
from .run import Asked, Run
from .warned import warned
from .worker import TURN, Worker
from .xray import XRayView

#: Where a registration may begin: the pose as it is ("given", or set "by hand"), or one that is found.
STARTS = ("given", "search", "landmarks", "by hand", "regressor")
#: Of these the pose as it is means nothing.
PLACELESS = ("landmarks", "regressor")
#: Seconds that `stop` waits for threads to end, after which they end by themselves.
PATIENCE = 1.0


class Session:
    """One registration at work. A timer polls it some 20 times a second, and has `drawing` take a step; nothing waits but the poll.

    message: what went wrong last, a sentence; "" if nothing did.   notes: what the last registration warned of, a sentence each.
    ended: how the last one ended, "done", "failed" or "cancelled"; "" before it has.
    regressor: where there is one for this CT.
    """

    def __init__(self, registration: Registration) -> None:
        self.registration, self.history = registration, History(registration)
        self.message, self.notes, self.ended = "", [], ""
        self.regressor: Regressor | None = None
        self._run: Run | None = None
        self._left = TimeLeft()
        self._preparation: tuple[str, Worker] | None = None
        self._ending: list[Worker] = []
        self.drawing = Drawing(registration, self._prepared, self.xray)
        self._ct: tuple[str, object] = ("", None)
        self._xrays: dict[str, tuple[str, object]] = {}
        self._results: dict[str, object] = {}

    # What there is to register

    def case(self, *, placed: bool = True):
        """The `io.case.Case` of the scene as it is. InputError for what is missing or wrong, and for two views with one geometry.

        placed: see `scene.case.case_of`.
        """
        case = case_of(self.registration, self.xray, self.ct(), placed=placed)
        for a, b in combinations(case.views, 2):
            if np.allclose(a.camera.projection_matrix, b.camera.projection_matrix):
                raise InputError(f"X-rays: {a.name} and {b.name} have the same geometry, expected another for each; correct that of one, "
                                 "or skip it.")
        return case

    def ct(self):
        """The `imaging.ct.CT`, made anew only where the volume or the structure in it has changed. InputError as `scene.case.ct_of`."""
        key = of_ct(self.registration)
        if self._ct[0] != key:
            self._ct = key, ct_of(self.registration)
        return self._ct[1]

    def xray(self, view: XRayView):
        """The view's `imaging.xray.XRay`, made anew only where the image or what is known of it has changed."""
        key = of_view(view)
        if self._xrays.get(view.node.GetID(), ("",))[0] != key:
            self._xrays[view.node.GetID()] = key, xray_of(view)
        return self._xrays[view.node.GetID()][1]

    # The work under way

    @property
    def running(self) -> bool:
        """Whether a registration is under way."""
        return self._run is not None

    @property
    def progress(self):
        """Of the registration under way, a `registration.pipeline.Progress`; None before its first pose, and without one."""
        return self._run and self._run.progress

    @property
    def stage(self) -> str:
        """What is being done, in a few words; "" where nothing is."""
        if self.progress is not None:
            return self.progress.stage
        return "preparing the CT" if self.running or self.preparing else ""

    @property
    def spent(self) -> float:
        """Seconds since the registration under way was begun."""
        return self._run.seconds if self._run else 0.0

    @property
    def left(self) -> str:
        """Of the registration under way, in words: "about 2 min left"; "" as long as nobody can know."""
        return left_in_words(self._left.seconds(self.progress.fraction)) if self.progress is not None else ""

    @property
    def preparing(self) -> bool:
        """Whether a CT is being made ready."""
        return self._preparation is not None and self._preparation[1].state == "running"

    def register(self, start: str = "given", *, refinement: str = "joint", seed: int = 0) -> None:
        """Begin a registration. InputError for a start that is not there, and as `case`.

        start: one of STARTS.   refinement: see `refinements.refiner`; the published ones run in a child process.   seed: of a search.
        """
        if start not in STARTS:
            raise InputError(f'Start: found "{start}", expected one of {", ".join(STARTS)}.')
        if self.running:
            raise InputError("Register: a registration is under way, expected none; wait for it, or cancel it.")
        if start == "regressor" and self.regressor is None:
            raise InputError("Start: there is no regressor for this CT, expected a trained one; train one, or choose another start.")
        if start == "search" and refinement != "joint":
            raise InputError(f'Register: the refinement "{refinement}" cannot search, expected a start at a pose; choose another start, or '
                             'the refinement "joint".')
        with warned() as told:
            case = self.case(placed=start not in PLACELESS)
        preparation, regressor = self._begin_to_prepare(), self.regressor

        def find(tell):
            return work.registered(case, preparation.result_for(tell), start, refinement, seed, regressor, tell)

        self.registration.world_from_ct = self.registration.world_from_ct  # under its transform, should somebody have removed that
        self.history.note("moved" if self.history.entries else "before")
        self.message, self.notes, self.ended, self._left = "", [], "", TimeLeft()
        self._run = Run(self.registration, Asked(start, refinement, seed), Worker(find), told)

    def prepare(self) -> bool:
        """Whether the CT is ready for DRRs; if not, begin to make it ready, once the packages for it are installed. InputError as `ct`."""
        if self._prepared() is None and find_spec("numba"):
            self._begin_to_prepare(again=False)
        return self._prepared() is not None

    def poll(self, wait: float = TURN) -> bool:
        """Take what the work under way has come to; whether the CT has moved, or any work has ended.

        Never raises: `message` tells what went wrong. Where the registration has left its scene, all work is cancelled and forgotten.
        """
        self._give_time(wait)
        if self.registration.scene is None:
            return self._forget()
        ended, run = self._look_at_preparation(), self._run
        if run is None:
            return ended
        obstacle = run.obstacle()
        if obstacle:
            self.cancel()
            self.message = obstacle
            return True
        progress = run.worker.poll(0)
        if progress is not None:
            run.show(progress)
        if run.worker.state == "running":
            return ended or progress is not None
        self._end(run)
        return True

    def cancel(self) -> None:
        """Make an end of the registration under way, at once; the CT goes back to where it was, unless it was moved meanwhile."""
        run = self._run
        if run is not None:
            run.worker.cancel()
            run.put_back()
            self._ending.append(run.worker)
            self._run, self.ended = None, "cancelled"

    def stop(self, patience: float = PATIENCE) -> None:
        """Cancel, and give threads so many seconds to end: when the panel is left, and nobody polls any more."""
        self.cancel()
        until = monotonic() + patience
        for worker in self._ending:
            worker.wait(max(0.0, until - monotonic()))

    def finish(self) -> None:
        """Poll until the registration under way has ended. InputError where it failed."""
        while self.running:
            self.poll()
        if self.message:
            raise InputError(self.message)

    # What it came to

    @property
    def result(self):
        """The `result.Result` of the history's current entry, None where it is none of this session's."""
        entry = self.history.current
        return self._results.get(entry.key) if entry else None

    def similarity(self) -> dict[str, float]:
        """Local NCC of each view that is used, where the CT is now, by name. Empty before `prepare` is true. InputError as `case`."""
        anatomy = self._prepared()
        if anatomy is None:
            return {}
        case, pose = self.case(), self.registration.world_from_ct
        fit = anatomy.fit(case.views, pose, pose)
        return dict(zip((view.name for view in case.views), map(float, fit.similarity), strict=True))

    def doubt(self) -> str:
        """Why the pose should not be handed on as the result of a registration, in a sentence; "" where nothing speaks against it."""
        entry = self.history.current
        if entry is None or not entry.fingerprint:
            return "This pose is no result of a registration."
        if self.history.moved:
            return "The CT was moved by hand since the registration."
        if entry.fingerprint != fingerprint(self.registration):
            return "The result is stale: the CT, an X-ray or its geometry has changed since the registration."
        return ""

    # Within

    def _prepared(self):
        """The prepared CT, None where the scene's is another, or there is none yet."""
        if self._preparation is None:
            return None
        key, worker = self._preparation
        return worker.result if worker.state == "done" and key == of_ct(self.registration) else None

    def _begin_to_prepare(self, again: bool = True) -> Worker:
        """What prepares the CT that the scene has now.   again: also where that went wrong before."""
        key, ct = of_ct(self.registration), self.ct()
        if self._preparation is not None:
            if self._preparation[0] == key and not (again and self._preparation[1].state == "failed"):
                return self._preparation[1]
            self._ending.append(self._preparation[1])
        self._preparation = key, Worker(lambda tell: work.make_ready(ct))
        return self._preparation[1]

    def _look_at_preparation(self) -> bool:
        """Whether it has just ended."""
        if not self.preparing:
            return False
        worker = self._preparation[1]
        worker.poll(0)
        if worker.state == "failed" and not self.running:
            self.message = worker.message
        return worker.state != "running"

    def _give_time(self, wait: float) -> None:
        """Let the threads get on for so many seconds, if there are any: Python's lock is free only while this waits."""
        working = [self._run.worker] if self._run else [self._preparation[1]] if self.preparing else self._ending
        if working:
            working[0].wait(wait)
        self._ending = [worker for worker in self._ending if not worker.wait(0)]

    def _forget(self) -> bool:
        """Cancel all work; whether there was any."""
        working = self.running or self.preparing
        self.cancel()
        if self._preparation is not None:
            self._ending.append(self._preparation[1])
        self._preparation, self._results = None, {}
        return working

    def _end(self, run: Run) -> None:
        worker, self._run = run.worker, None
        self.notes, self.ended, self.message = [*run.told, *worker.warnings], worker.state, worker.message
        if worker.state != "done":
            run.put_back()
            return
        try:
            self._keep(run, worker.result)
        except Exception as error:
            logging.exception("MultiViewRegistration")
            self.ended = "failed"
            self.message = f"The result could not be kept because of an error of the program, {type(error).__name__}: {error}"

    def _keep(self, run: Run, result) -> None:
        """Put the CT and the cameras as a result has them, and remember it."""
        views = list(zip(result.case.views, result.views, strict=True))
        corrected = {given.name: {**camera_content(view.camera), "of": run.geometry[given.name]}
                     for given, view in views if view.camera is not given.camera}
        similarity = dict(zip((view.name for view in result.views), map(float, result.refinement.fit.similarity), strict=True))
        entry = Entry.now(
            run.asked.start, result.world_from_ct, similarity=similarity, cameras=corrected, fingerprint=run.fingerprint,
            reasons=[*result.reasons, *self.notes], seconds=result.seconds["total"],
            refinement="" if run.asked.refinement == "joint" else run.asked.refinement)
        self.history.add(entry)
        self.history.put(entry)
        same = {key: other for key, other in self._results.items() if other.anatomy is result.anatomy}  # others hold a CT each
        self._results = {**same, entry.key: result}
