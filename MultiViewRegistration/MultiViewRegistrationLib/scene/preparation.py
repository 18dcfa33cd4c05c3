"""The CT made ready for DRRs and registrations, in a thread, and anew whenever it has changed."""

from __future__ import annotations

from . import work
from .fingerprint import of_ct
from .inputs import Inputs
from .worker import Worker


class Preparation:
    """What prepares the CT of a registration.   message: why the last one failed, a sentence."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._of = ""
        self.worker: Worker | None = None
        self._rest: Worker | None = None
        self.message = ""

    @property
    def under_way(self) -> bool:
        return self.worker is not None and self.worker.state == "running"

    def anatomy(self):
        """The `registration.anatomy.Anatomy` of the CT as it is now; None where there is none yet."""
        done = self.worker is not None and self.worker.state == "done" and self._of == of_ct(self._inputs.registration)
        return self.worker.result if done else None

    def follow(self, worker: Worker) -> None:
        """Take what a worker that began earlier makes of the CT as it is now."""
        self.worker, self._of, self.message = worker, of_ct(self._inputs.registration), ""

    def begin(self, *, again: bool) -> Worker | None:
        """Have the CT made ready as it is now, where it is not. Returns the worker that was at another CT. InputError as `Inputs.ct`.

        again: also where that has failed before.
        """
        of, ct = of_ct(self._inputs.registration), self._inputs.ct()
        if self.worker is not None and self._of == of and not (again and self.worker.state == "failed"):
            return None
        before, self._of, self.message = self.worker, of, ""
        self.worker = Worker(lambda tell: work.make_ready(ct))
        return before

    def look(self) -> bool:
        """Whether it has just ended."""
        if not self.under_way:
            return False
        self.worker.poll(0)
        self.message = self.worker.message
        if self.worker.state == "done":
            anatomy = self.worker.result
            self._rest = Worker(lambda tell: work.make_all_ready(anatomy))
        return not self.under_way
