"""The CT made ready for DRRs and registrations, in a thread, and anew whenever it has changed."""

from __future__ import annotations

from collections.abc import Callable

from ..mrml.background_task import Worker
from ..mrml.fingerprint import of_ct
from . import work
from .inputs import Inputs

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
    def under_way(self) -> bool:
        """Whether the CT is not ready for DRRs yet."""
        return self.worker is not None and self.worker.state == "running"

    @property
    def working(self) -> list[Worker]:
        """The workers at work."""
        return [worker for worker in (self.worker, self._rest) if worker is not None and worker.state == "running"]

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
        self._rest = Worker(lambda tell: work.make_all_ready(worker.result_for(tell), tell))

    def begin(self, *, again: bool) -> list[Worker]:
        """Have the CT made ready as it is now, where it is not. Returns the workers at another CT. InputError as `Inputs.ct`.

        again: also where that has failed before.
        """
        of, ct = of_ct(self._inputs.registration), self._inputs.ct()
        if self.worker is not None and self._of == of and not (again and self.worker.state == "failed"):
            return []
        before, self.stage = self.working, PREPARING
        self.follow(Worker(lambda tell: work.make_ready(ct, tell)))
        return before

    def look(self) -> bool:
        """Whether the CT has just become ready for DRRs, or failed to."""
        before = self.under_way
        for worker in self.working:
            self.stage = worker.poll(0) or self.stage
        self.message = self.worker.message if self.worker is not None else ""
        return before and not self.under_way
