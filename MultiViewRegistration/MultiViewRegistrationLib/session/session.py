"""The state of a registration outside its scene: the prepared CT, the running work, the results."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, collect_warnings
from ..finding import REGRESSOR_STARTS, SEARCH_STARTS
from ..io.case import Case
from ..io.navigation.igtl import IgtlConnection
from ..mrml import manual_pose
from ..mrml.case import searches_whole_ct
from ..mrml.ct_3d import places_of
from ..mrml.drawing import Drawing
from ..mrml.identity import world_uid
from ..mrml.registration import Registration
from ..translation import _
from .assessment import stale_reason
from .bones import Bones
from .history import History, HistoryEntry
from .inputs import FIRST_TIME, Inputs, LandmarkFitUpdater, Preparation, UnreadNotices
from .registering import (
    API_START,
    POSELESS_STARTS,
    STARTS,
    RunningRegistration,
    is_outside,
)
from .regressors import Regressors
from .sequence import Sequence
from .tasks import POLL_WAIT_S, Task, await_threads, ended, let_threads_run

if TYPE_CHECKING:
    from ..registration.prepared_ct import PreparedCT
    from ..report.result import Result


#: Seconds between two checks of whether what goes out to navigation still stands; that the thread
#: which sends it gets at each poll.
IGTL_CHECK_S = 0.3
IGTL_SLEEP_S = 0.005
#: Seconds that `stop` waits for threads to end, after which they end by themselves.
STOP_TIMEOUT_S = 1.0


class Session(Inputs):
    """One registration at work. A timer polls it some 20 times a second, and has `drawing` take a step; nothing waits but the poll.

    Attributes
    ----------
    message
        Last error, a sentence; "" for none.
    notes
        Warnings of the last registration, one sentence each.
    ended
        How the last registration ended: "done", "failed" or "cancelled"; "" before.
    regressors
        The regressors of this CT, and their training.
    sequence
        Frames that are tracked and played.
    igtl
        The connection to navigation through OpenIGTLink.
    notices
        Notices for the user, shown until acknowledged.
    landmarks
        Fit of the placed landmarks.
    held
        Whether the panel is hidden, see `hold`.
    whole
        The last whole-CT registration, and the fingerprint of its inputs without bones; None before
        the first.
    bones
        The bones with separate poses, and their displaced regions.
    """

    def __init__(self, registration: Registration) -> None:
        super().__init__(registration)
        self.history = History(registration)
        self.message = ""
        self.ended = ""
        self.held = False
        self.notes: list[str] = []
        self.regressors = Regressors(self)
        self.sequence = Sequence(self)
        self.igtl = IgtlConnection()
        self._igtl_checked = 0.0
        self.notices = UnreadNotices(registration)
        self.landmarks = LandmarkFitUpdater(registration)
        self.running_registration: RunningRegistration | None = None
        self._background_task: tuple[Task, Callable[[Any], object]] | None = None
        self._preparation = Preparation(self)
        self.drawing = Drawing(
            registration,
            lambda: self.bones.parts.placed,
            self.xray,
            lambda: self.running_registration is not None,
        )
        self.bones = Bones(self)
        self._results: dict[str, Result] = {}
        self.whole: tuple[str, Result] | None = None

    # The work under way

    @property
    def running(self) -> bool:
        """Whether a registration, or other work that the user started, is running."""
        return bool(self.running_registration or self._background_task or self.sequence.working)

    @property
    def preparing(self) -> str:
        """The stage of the CT's preparation, in a few words; "" where none is under way."""
        return self._preparation.stage if self._preparation.working else ""

    def cache_case(self, case: Case, ready: Task | None = None) -> None:
        """As `Inputs.cache_case`.

        Parameters
        ----------
        ready
            Running task that calls `prepare_for_drr` with the case's CT, if any.
        """
        super().cache_case(case)
        if ready is not None:
            self._preparation.use(ready)

    def register(self, start: str = "given", *, refinement: str = "joint", seed: int = 0) -> None:
        """Start a registration.

        A CT outside all X-rays is centred in them first. Its pose is then unknown, and the joint
        refinement searches the whole CT.

        Parameters
        ----------
        start
            One of STARTS.
        refinement
            See `refinement_method`; the published ones run in a child process.
        seed
            Of a search.

        Raises
        ------
        InputError
            If the start is not available, and as `Inputs.case`.
        """
        if start not in STARTS:
            raise InputError(
                _('Start: found "{start}", expected one of {starts}.'),
                start=start,
                starts=", ".join(STARTS),
            )
        self.require_idle()
        if refused := self.refused(start, refinement):
            raise InputError(refused)
        self.registration.take_in()  # a person may have taken the CT out of its transform, or removed that
        outside = is_outside(self.registration, start)
        if outside:
            self.centre()
        anywhere = outside and refinement == "joint"
        if anywhere:
            start = "search"
        with collect_warnings() as warnings:
            case = self.case(placed=self.is_placed(start))
        if anywhere:
            case = replace(case.starting_at(None), search=None)
        ready = self.ready()
        model = self.regressors.model if start in REGRESSOR_STARTS else None
        device = self.registration.device

        def find(on_progress: Callable) -> tuple[Result, float]:
            from ..api import register

            began = monotonic()
            anatomy = ready(on_progress)
            first_time_s = monotonic() - began if self._preparation.stage == FIRST_TIME else 0.0
            how = API_START.get(start, start), on_progress, anatomy, seed, refinement, device, model
            return replace(register(case, *how), method=start), first_time_s

        self.history.note_here()
        self.message = ""
        self.notes = []
        self.ended = ""
        self.running_registration = RunningRegistration(
            self.registration, start, refinement, Task(find), lambda: self.preparing, warnings
        )

    def centre(self) -> None:
        """Move the CT's centre to the intersection of the central rays. This can be undone.

        Raises
        ------
        InputError
            As `manual_pose.centre_ct`.
        """
        self.history.note_here()
        manual_pose.centre_ct(self.registration)
        self.history.note("centred")

    def refused(self, start: str, refinement: str = "joint") -> str:
        """Return the reason why a registration with these options cannot start, a sentence; "" if it can."""
        if start in SEARCH_STARTS and refinement != "joint":
            return _(
                'The refinement "{refinement}" cannot search: choose a start that does not search, or the refinement "joint".'
            ).format(refinement=refinement)
        return self.regressors.missing() if start in REGRESSOR_STARTS else ""

    def run(self, work: Callable[[], Any], then: Callable[[Any], object]) -> None:
        """Run work in a thread; when it has finished, `poll` passes its result to `then`.

        Raises
        ------
        InputError
            If other work is in progress.
        """
        self.require_idle()
        self.message = ""
        self._background_task = Task(lambda on_progress: work()), then

    def require_idle(self) -> None:
        """Raise an InputError while work is in progress.

        What begins before the first poll begins without the sequence of a saved scene.

        Raises
        ------
        InputError
            While work is under way.
        """
        self.sequence.restore_scene_before_sequence()
        if self.running:
            raise InputError(_("Register: wait until the current task has finished, or cancel it."))

    def is_placed(self, start: str) -> bool:
        """Return whether a start, one of STARTS, uses the current pose and that pose is meaningful."""
        if start == "search" and searches_whole_ct(self.registration):
            return False
        return start not in POSELESS_STARTS or (
            start in REGRESSOR_STARTS and manual_pose.ct_is_seen(self.registration)
        )

    @property
    def placed(self) -> bool:
        """Whether the pose of the CT was set by the user, a file or a registration."""
        history = self.history
        centred = history.current is not None and history.current.method == "centred"
        there = not np.allclose(self.registration.world_from_ct, np.eye(4))
        return there and not (centred and not history.moved)

    def ready(self) -> Callable[[Callable], PreparedCT]:
        """Begin to make the CT ready.

        What gives its `registration.prepared_ct.PreparedCT` to a task's thread. InputError as `ct`.
        """
        self._preparation.begin(again=True)
        return self._preparation.all_ready()

    def prepare(self) -> bool:
        """Return whether the CT is ready for DRRs.

        If not, begin to make it ready, once the packages for it are installed.

        InputError as `ct`.
        """
        if self.anatomy is None and find_spec("numba"):
            self._preparation.begin(again=False)
        return self.anatomy is not None

    def poll(self, wait: float = POLL_WAIT_S) -> bool:
        """Apply the results of the running work.

        Errors are reported in `message`, not raised. If the registration was removed from its scene,
        all work is cancelled and discarded.

        Returns
        -------
        bool
            Whether the CT has moved, or any work has ended, a training included.
        """
        if not let_threads_run(wait) and self.igtl.open:
            sleep(min(wait, IGTL_SLEEP_S))
        if self.registration.scene is None:
            return self._reset()
        self._check_igtl()
        self.bones.update()
        news = [
            self._check_preparation(),
            self._check_task(),
            self.regressors.poll(),
            self.sequence.poll(),
        ]
        return self._check_registration() or any(news)

    def cancel(self) -> None:
        """Cancel the work in progress immediately.

        The CT returns to its previous pose unless the user has moved it.
        """
        self.forget_task()
        self.sequence.cancel()
        if self.running_registration is not None:
            self.running_registration.task.cancel()
            self.running_registration.put_back()
            self.running_registration = None
            self.ended = "cancelled"

    def hold(self) -> str:
        """Let a registration go on while nobody looks.

        Nothing moves under the tools of another module: the CT lies where it did before, and the
        result waits while `held` is true. The tracking of a sequence ends.

        Returns what becomes of the work, a sentence; "" for none.
        """
        self.held = True
        if self.sequence.working:
            self.sequence.cancel()
            return _("{name}: the tracking was stopped. The frames that are done stay.").format(
                name=self.registration.name
            )
        if self.running_registration is None:
            return ""
        self.running_registration.put_back()
        return _("{name}: the registration goes on. Its result waits until you come back.").format(
            name=self.registration.name
        )

    def forget_task(self) -> None:
        """Discard the work started by `run`."""
        self._background_task = None

    @property
    def waiting(self) -> bool:
        """Whether a registration has ended, and its result waits."""
        run = self.running_registration
        return self.held and run is not None and ended(run.task)

    def news(self) -> list[str]:
        """Return the sentences to report immediately in any module, each while it applies."""
        news = []
        if self.waiting:
            news.append(
                _("{name}: the registration has ended. Its result waits until you come back.")
            )
        if self.igtl.stale_reason:
            news.append(_("{name}: its pose is not sent to navigation any more. {reason}"))
        named = {"name": self.registration.name, "reason": self.igtl.stale_reason}
        return [sentence.format(**named) for sentence in news]

    def stop(self, patience: float = STOP_TIMEOUT_S) -> None:
        """Cancel, and give threads so many seconds to end: when there is no panel any more.

        A training takes minutes, and goes on.
        """
        self.cancel()
        await_threads(patience)

    def finish(self) -> None:
        """Poll until the work under way has ended.

        Raises
        ------
        InputError
            Where it failed.
        """
        while self.running:
            self.poll()
        if self.message:
            raise InputError(self.message)

    # Results

    @property
    def result(self) -> Result | None:
        """Result of the current history entry; None if it is not from this session."""
        entry = self.history.current
        return self._results.get(entry.key) if entry else None

    def add_result(
        self, method: str, pose: np.ndarray, result: Result, *, put: bool = True, **more: Any
    ) -> None:
        """Make a result an entry of the history, and keep it for as long as the session lasts.

        Those of another CT are kept no more.

        Parameters
        ----------
        put
            Whether CT, bones and cameras go where it has them.
        more
            See `HistoryEntry.of_result`.
        """
        entry = HistoryEntry.of_result(method, pose, result, **more)
        self.history.add(entry)
        if put:
            self.history.put(entry)
        kept = {key: each for key, each in self._results.items() if each.anatomy is result.anatomy}
        self._results = {**kept, entry.key: result}

    def error(self) -> float | None:
        """Return the mTRE of the result in mm if its case has a ground truth."""
        return self.result.errors.mtre_mm if self.result and self.result.errors else None

    @property
    def anatomy(self) -> PreparedCT | None:
        """The current CT, prepared for DRRs; None before `prepare` is true."""
        return self._preparation.anatomy()

    def find_result(self, *, again: bool = False) -> Callable[[], Result]:
        """Return a function for a thread that returns the result of the current pose.

        It returns the stored result, or else assesses the pose.

        This call raises an InputError as `case`; the function, if the X-rays show too little of the CT.

        Parameters
        ----------
        again
            Assess again if the stored result is of inputs that have changed since.
        """
        entry = self.history.current
        known = self.result
        if known is not None and not self.history.is_displaced and not again:
            return lambda: known
        case = self.corrected_case()
        ready = self.ready()
        method = "by hand" if entry is None else entry.method
        places = places_of(self.registration)
        bone_poses = places if places.keys() >= {*case.bone_names} else None
        uid = world_uid(self.registration)

        def find() -> Result:
            from ..api import assess

            anatomy = ready(lambda progress: True)
            result = assess(case, places[""], anatomy, method, bone_poses=bone_poses)
            return replace(result, world_uid=uid)

        return find

    def find_checked_result(self) -> Callable[[], Result]:
        """Return a function that computes the result, including the user's edge checks for this pose."""
        finding = self.find_result()
        entry = self.history.current
        stands = entry is not None and self.history.inputs in entry.inputs
        checks = (
            entry.edge_checks
            if entry is not None and stands and not self.history.is_displaced
            else {}
        )
        return lambda: finding().with_edge_checks(checks)

    # Within

    def _check_preparation(self) -> bool:
        """Return whether it has just ended."""
        ready = self._preparation.poll()
        if ready and self.running_registration is None:
            self.message = self._preparation.message or self.message
        return ready

    def _check_igtl(self) -> None:
        if self.igtl.open and monotonic() - self._igtl_checked > IGTL_CHECK_S:
            self.igtl.mark_stale(self.registration.world_from_ct, stale_reason(self))
            self._igtl_checked = monotonic()

    def _check_task(self) -> bool:
        """Return whether the task has just ended."""
        if self._background_task is None:
            return False
        task, then = self._background_task
        if not ended(task):
            return False
        self._background_task = None
        self.message = task.message
        if not task.message:
            with self._report_errors():
                then(task.result)
        return True

    def _check_registration(self) -> bool:
        """Return whether the CT has moved, or the registration has just ended."""
        run = self.running_registration
        if run is None:
            return False
        obstacle = run.obstacle()
        if obstacle:
            self.cancel()
            self.message = obstacle
            return True
        progress = run.task.poll(0)
        if self.held:
            return False
        if progress is not None:
            run.show(progress)
        if not ended(run.task):
            return progress is not None
        self._end(run)
        return True

    @contextmanager
    def _report_errors(self) -> Iterator[None]:
        """Turn an error on the way from a thread into the scene into a message."""
        try:
            yield
        except InputError as error:
            self.ended = "failed"
            self.message = str(error)
        except Exception as error:
            logging.exception("MultiViewRegistration")
            self.ended = "failed"
            self.message = _(
                "The result could not be taken because of an error of the program, {kind}: {error}"
            ).format(kind=type(error).__name__, error=error)

    def _reset(self) -> bool:
        """Cancel all work, and return whether there was any."""
        working = self.running or bool(self.preparing) or self.regressors.is_training
        self.cancel()
        self.regressors.cancel()
        self.igtl.close()
        self._preparation = Preparation(self)
        self._results = {}
        self.sequence = Sequence(self)
        self.bones = Bones(self)
        self.whole = None
        return working

    def _end(self, run: RunningRegistration) -> None:
        task = run.task
        self.running_registration = None
        self.notes = [*run.warnings, *task.warnings]
        self.ended = task.state
        self.message = task.message
        if task.state != "done":
            run.put_back()
            return
        with self._report_errors():
            self._keep(run, *task.result)

    def _keep(self, run: RunningRegistration, result: Result, first_time_s: float) -> None:
        """Apply the pose and the cameras of a result, and store it."""
        result = replace(result, world_uid=world_uid(self.registration))
        report = result.regressor
        corrected = {}
        for given, view in zip(result.case.views, result.views, strict=True):
            if view.camera is not given.camera:
                of = run.geometry[given.name]
                corrected[given.name] = {**view.camera.to_json(), "of": of}
        self.add_result(
            run.start,
            result.world_from_ct,
            result,
            cameras=corrected,
            fingerprint=run.fingerprint,
            notes=[*([] if result.assessment else result.reasons), *self.notes],
            seconds=run.seconds,
            first_time_s=first_time_s,
            refinement="" if run.refinement == "joint" else run.refinement,
            regressor={
                "model": report.model or "",
                "expected_mm": report.expected_mm,
                "selected_start": report.selected_start,
            }
            if report
            else {},
        )
        self.whole = run.of_body, result
