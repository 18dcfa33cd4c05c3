"""The CT prepared for DRRs and registrations in a thread, again whenever it has changed; numba kernels compiled in a child process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, get_ident

from ..errors import InputError
from ..jobs import HIDDEN, python
from ..mrml.ct_3d import put_surface, surface_is_current, take_surface
from ..mrml.fingerprint import of_ct
from ..mrml.registration import Registration
from .background_task import BackgroundValue, Worker
from .inputs import Inputs

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
