"""What a scene holds, as the backend takes it, kept and prepared; what is wrong with it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from threading import Lock, get_ident

import numpy as np

from ..errors import InputError
from ..jobs import HIDDEN, python
from ..mrml.case import case_of, ct_of, xray_of
from ..mrml.ct_3d import put_surface, surface_is_current, take_surface
from ..mrml.dicom import origin_of
from ..mrml.fingerprint import of_ct, of_view
from ..mrml.image import refresh
from ..mrml.registration import Registration, refuse_nonlinear
from ..mrml.xray import XRayView
from .background_task import BackgroundValue, Worker
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
            return _("{name}: has no image, expected an X-ray; remove it, or add it again.").format(name=view.name)
        try:
            view.camera  # noqa: B018
        except InputError as error:
            return str(error)
        return self._looked.get(view.node.GetID(), ("", ""))[1]

    def twins(self) -> tuple[XRayView, XRayView] | None:
        """Two views that are used and have the same geometry, if there are any."""
        return twins([view for view in self._registration.xrays if view.used and view.placed])

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


#: Seconds that a child process may compile.
COMPILE_TIMEOUT_S = 300.0
_loading = Lock()


class NotCached(Exception):
    """A kernel would have to be compiled."""


def load_kernels(prepare: Callable, compiling: Callable[[], object]) -> None:
    """Call `prepare`, a function of `registration.prepared_ct`, in this thread; where the cache lacks a kernel, in a child process before.

    compiling: called before that.
    """
    from ..rendering import threads

    with _loading, threads.by_itself():
        try:
            with _nothing_compiled():
                prepare()
        except NotCached:
            compiling()
            _fill_cache(prepare)
            prepare()  # what the child could not compile, too


@contextmanager
def _nothing_compiled() -> Iterator[None]:
    """NotCached where this thread is about to compile."""
    from numba.core import event

    here = get_ident()

    class Refusal(event.Listener):
        def on_start(self, event) -> None:
            if get_ident() == here:
                raise NotCached

        def on_end(self, event) -> None:
            pass

    with event.install_listener("numba:compile", Refusal()):
        yield


def _fill_cache(prepare: Callable) -> None:
    """Have a child process call `prepare`; whatever becomes of it, this one goes on."""
    low = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)  # the window comes first; elsewhere `nice` does that
    library = (
        Path(__file__).absolute().parents[2]
    )  # not resolved: the cache goes by the path that a module was imported by
    path = os.pathsep.join(filter(None, [str(library), os.environ.get("PYTHONPATH")]))
    try:
        command = [
            python(),
            "-c",
            "import os; getattr(os, 'nice', id)(5); "
            f"from {prepare.__module__} import {prepare.__name__}; {prepare.__name__}()",
        ]
        subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": path},
            creationflags=HIDDEN | low,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=COMPILE_TIMEOUT_S,
        )
    except (InputError, OSError, subprocess.TimeoutExpired):  # there is no interpreter, say
        pass


PREPARING = "preparing the CT"


class Preparation:
    """What prepares the CT of a registration, first for DRRs, then for a registration.

    message: why the last one failed, a sentence.   stage: what is being done, in a few words.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._of = ""
        self.worker: Worker | None = None
        self._rest: Worker | None = None
        self.message, self.stage = "", PREPARING

    @property
    def working(self) -> bool:
        """Whether a CT is being made ready."""
        return any(worker is not None and worker.state == "running" for worker in (self.worker, self._rest))

    def anatomy(self):
        """The `registration.prepared_ct.PreparedCT` of the CT as it is now; None where there is none yet."""
        done = self.worker is not None and self.worker.state == "done" and self._of == of_ct(self._inputs.registration)
        return self.worker.result if done else None

    def all_ready(self) -> Callable[[Callable], object]:
        """What gives the same to another worker's thread once a registration can begin, as `Worker.result_for`."""
        first, rest = self.worker, self._rest

        def wait(tell: Callable) -> object:
            anatomy = first.result_for(tell)
            rest.result_for(tell)
            return anatomy

        return wait

    def follow(self, worker: Worker) -> None:
        """Take what a worker that began earlier makes of the CT as it is now."""
        self.worker, self._of, self.message = worker, of_ct(self._inputs.registration), ""
        self._rest = Worker(lambda tell: prepare_for_registration(worker.result_for(tell), tell))

    def begin(self, *, again: bool) -> None:
        """Have the CT made ready as it is now, where it is not. InputError as `Inputs.ct`.

        again: also where that has failed before.
        """
        of, ct = of_ct(self._inputs.registration), self._inputs.ct()
        if self.worker is None or self._of != of or (again and self.worker.state == "failed"):
            self.stage = PREPARING
            self.follow(Worker(lambda tell: prepare_for_drr(ct, tell)))

    def look(self) -> bool:
        """Whether the CT has just become ready for DRRs, or failed to."""
        if self.worker is None:
            return False
        before = self.worker.state
        for worker in (self.worker, self._rest):
            self.stage = worker.poll(0) or self.stage
        self.message = self.worker.message
        return before == "running" != self.worker.state


class BoneSurfaceUpdater:
    """Has the surface of a registration's CT made, in a thread, where there is none of the CT as it is."""

    def __init__(self) -> None:
        self._made = BackgroundValue()

    def follow(self, registration: Registration) -> None:
        """Call it from a timer."""
        of = registration.node.GetID(), of_ct(registration)
        made = self._made.update(of, lambda: None if surface_is_current(registration) else take_surface(registration))
        if made and self._made.value is not None and self._made.made_of == of:
            put_surface(registration, self._made.value)


#: What a worker tells where the kernels have to be compiled.
FIRST_TIME = "preparing for the first time (once, about 20 s)"


def prepare_for_drr(ct, tell: Callable) -> object:
    """The `registration.prepared_ct.PreparedCT` of a CT, and all that a DRR which follows the CT would have to wait for."""
    from ..registration.prepared_ct import PreparedCT, warm_up_drr

    load_kernels(warm_up_drr, lambda: tell(FIRST_TIME))
    anatomy = PreparedCT(ct)
    for level in (1, 2):
        anatomy.projector(level)
    return anatomy


def prepare_for_registration(anatomy, tell: Callable) -> None:
    """What the first sharp DRR, and the first registration, would have to wait for."""
    from ..registration.prepared_ct import warm_up

    anatomy.projector(0)
    load_kernels(warm_up, lambda: tell(FIRST_TIME))
