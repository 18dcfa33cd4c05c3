"""A network that learns a CT, in a child process: `mvreg train`, on a case that was written for it, and a graphics card if one can."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..errors import InputError
from ..jobs.child_process import Job
from ..jobs.progress import ProgressRecord
from ..mrml.background_task import Worker
from ..rendering.devices import AUTO
from .work import written


class Training:
    """One training. It ends with `cancel`, or once nobody holds this any more; what was learnt until then stays in the store of models.

    state: "running", "done", "failed" or "cancelled", as the last `poll` found it.   message: why it failed, a sentence.
    progress: the last `ProgressRecord`, None before the first; its stage has the error so far in mm.
    folder: of the model, once done.   warnings: what the child warned of.
    worker: writes the case, in a thread.
    """

    def __init__(self, case, minutes: float, unfinished: Path | None = None) -> None:
        """case: an `io.case.Case`.   minutes: to train for.   unfinished: the folder of a training to go on with."""
        self.state, self.message, self.ending = "running", "", False
        self.progress: ProgressRecord | None = None
        self.folder: Path | None = None
        self.warnings: list[str] = []
        self._how = (
            ["--minutes", minutes, "--device", AUTO] if unfinished is None else ["--out", unfinished, "--resume"]
        )
        self._place = tempfile.TemporaryDirectory(prefix="mvreg-case-", ignore_cleanup_errors=True)
        self._job: Job | None = None
        self.worker = Worker(lambda tell: written(case, case.world_from_ct, self._place.name))

    @property
    def stage(self) -> str:
        """What is being done, in a few words."""
        return "stopping" if self.ending else self.progress.stage if self.progress else "preparing the training"

    def poll(self) -> bool:
        """See how far it is; whether it has just ended. Takes milliseconds. On the main thread."""
        if self.state != "running":
            return False
        try:
            self._look_at_job() if self._job is not None else self._look_at_case()
        except InputError as error:
            self.state, self.message = "failed", str(error)
        if self.state != "running":
            self._place.cleanup()
        return self.state != "running"

    def cancel(self) -> None:
        """Ask it to stop, without waiting for it."""
        self.ending = True
        if self._job is not None:
            self._job.cancel()

    def _look_at_case(self) -> None:
        self.worker.poll(0)
        if self.worker.state == "failed":
            raise InputError(self.worker.message)
        if self.worker.state != "done":
            return
        if self.ending:
            self.state = "cancelled"
        else:
            self._job = Job(["train", self.worker.result.parent, *self._how])

    def _look_at_job(self) -> None:
        self.progress = self._job.poll() or self.progress
        self.state, self.message, self.warnings = self._job.state, self._job.message, list(self._job.warnings)
        if self.state == "done":
            self.folder = Path(self._job.result["folder"])
