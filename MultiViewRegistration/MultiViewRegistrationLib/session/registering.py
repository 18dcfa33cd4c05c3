"""A registration under way: what a thread does, what it began from, and what in the scene stops it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import numpy as np

from ..errors import InputError
from ..jobs import TimeLeft, left_in_words
from ..mrml.identity import fingerprint, of_geometry
from ..mrml.registration import CT_TRANSFORM, Registration
from .background_task import Stopped, Worker
from .inputs import PREPARING
from .translation import _

#: The start of `api.register` for each that the panel offers without a regressor: a pose that a person set is a given one.
API_START = {"given": "given", "by hand": "given", "search": "search", "landmarks": "landmarks"}
#: Seconds between two polls of a child process.
POLL_S = 0.1


def register_case(
    case, anatomy, start: str, refinement: str, seed: int, model: Path | None, on_progress: Callable
) -> object:
    """The `result.Result` of a case from a start. InputError where it fails.

    model: the folder of the regressor, for a start that uses one; without it, the newest of the store.
    """
    from ..api import register

    if refinement != "joint":
        return by_baseline(case, anatomy, start, refinement, model, on_progress)
    if start in ("regressor", "auto"):
        return register(case, start, on_progress, anatomy, seed, model=model)
    return replace(register(case, API_START[start], on_progress, anatomy, seed), method=start)


def regressor_summary(result) -> dict:
    """The history's entries on a start by a regressor of a `result.Result`; empty where none was used."""
    report = result.regressor
    if report is None:
        return {}
    return {"model": report.model or "", "expected_mm": report.expected_mm, "selected_start": report.selected_start}


def by_baseline(case, anatomy, start: str, refinement: str, model: Path | None, on_progress: Callable) -> object:
    """The `result.Result` of a published refinement, which takes minutes and needs torch: a child process does it, in a folder of its own.

    InputError where it fails; the folder is gone in any case.
    """
    from ..api import assess
    from ..geometry.landmarks import locate
    from ..jobs import Job

    fit = locate(case.landmarks, case.cameras) if start == "landmarks" else None
    begun = fit.world_from_ct if fit else case.world_from_ct
    if start == "regressor":
        begun = regressor_pose(model, case, anatomy)
    with tempfile.TemporaryDirectory(prefix="mvreg-case-", ignore_cleanup_errors=True) as folder:
        path, out = write_child_case(case, begun, folder), Path(folder, "result")
        job = Job(["register", path, "--refine", refinement, "--device", "auto", "--out", out])
        found = await_job(job, begun, on_progress)
    result = assess(case, np.array(found["world_from_ct"]), anatomy, start)
    return replace(
        result,
        start_world_from_ct=begun,
        seconds=found["seconds"],
        landmark_fit=fit,
        refined_by=refinement,
        assessment=None,
        torch_device=found["software"]["device"].rpartition(" on ")[2],
    )


def regressor_pose(model: Path | None, case, anatomy) -> np.ndarray:
    """(4, 4) world_from_ct that a regressor takes for the most credible. InputError where there is none, or it is of another CT."""
    from ..regressor.initialise import predict_poses
    from ..regressor.learning import find_model

    found = find_model(case, model)
    if found is None:
        raise InputError(
            _("Start: there is no regressor for this CT, expected a trained one; train one, or choose another start.")
        )
    return predict_poses(found, anatomy, case.views, case.world_from_ct)[0].world_from_ct


def write_child_case(case, world_from_ct: np.ndarray | None, folder: str) -> Path:
    """The path of a case.json with what a child needs of a case: its CT, its X-rays as line integrals, how far to search, a start pose."""
    from ..imaging.xray import raw_image
    from ..io.cameras import CALIBRATION
    from ..io.case_writer import write_case
    from ..mrml.loading import camera_content

    views = [
        {
            "name": view.name,
            "camera": camera_content(view.camera),
            "intensity": "log",
            **{key: getattr(view, key) for key in CALIBRATION},
        }
        for view in case.views
    ]
    placed = {} if world_from_ct is None else {"world_from_ct": world_from_ct}
    return write_case(
        folder,
        {"version": 1, "views": views, "search": case.search, **placed},
        case.ct,
        {view.name: raw_image(view.xray.line_integrals, view.xray.pixel_mm) for view in case.views},
        {view.name: view.xray.valid for view in case.views},
    )


def await_job(job, world_from_ct: np.ndarray, on_progress: Callable) -> dict:
    """The result of a job; reports its progress meanwhile. InputError where it failed, Stopped once it is to stop, and has."""
    from ..registration.pipeline import Progress

    progress = Progress(0.0, "starting", world_from_ct, np.nan)
    wanted = True
    while job.state == "running":
        record = job.poll()
        if record is not None:
            pose = progress.world_from_ct if record.world_from_ct is None else np.array(record.world_from_ct)
            progress = Progress(record.fraction, record.stage, pose, np.nan if record.cost is None else record.cost)
        if wanted and on_progress(progress) is False:
            wanted = False
            job.cancel()
        sleep(POLL_S)
    if not wanted or job.state == "cancelled":
        raise Stopped
    if job.state == "failed":
        raise InputError(job.message)
    return job.result


class RunningRegistration:
    """One registration from the pose and the inputs that the scene has now.

    start: one of session.STARTS.   refinement: "joint" or a published one.   worker: does it.
    preparing: gives what the CT is being made ready by, in words.   warnings: from before it began.
    fingerprint, geometry: of the inputs; the latter by the view's name.
    progress: the last `registration.pipeline.Progress`, None before the first.   left: the time, in words.
    """

    def __init__(
        self,
        registration: Registration,
        start: str,
        refinement: str,
        worker: Worker,
        preparing: Callable[[], str],
        warnings: list[str],
    ) -> None:
        self._registration, self.start, self.refinement = registration, start, refinement
        self.worker, self._preparing, self.warnings = worker, preparing, warnings
        self.fingerprint = fingerprint(registration)
        self.geometry = {view.name: of_geometry(view) for view in registration.xrays}
        self.progress, self.left, self._time_left = None, "", TimeLeft()
        self._before = self._shown = registration.world_from_ct
        #: The nodes without which there is nothing to register, or nothing to show it on, by what they are.
        self._needed = {
            _("the CT"): registration.ct,
            _("the CT's transform"): registration.node.GetNodeReference(CT_TRANSFORM),
            **{view.name: view.node for view in registration.xrays if view.used},
        }
        self._began = monotonic()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return monotonic() - self._began

    @property
    def stage(self) -> str:
        """The stage, in a few words."""
        return self.progress.stage if self.progress else self._preparing() or PREPARING

    def show(self, progress) -> None:
        """Take the CT to the pose of a `registration.pipeline.Progress`."""
        self.progress = progress
        self.left = left_in_words(self._time_left.seconds(progress.fraction))
        self._registration.world_from_ct = self._shown = progress.world_from_ct

    def obstacle(self) -> str:
        """Why it makes no sense to go on, a sentence; "" while it does."""
        registration = self._registration
        there = [registration.ct, registration.node.GetNodeReference(CT_TRANSFORM)]
        there += [view.node for view in registration.xrays]
        lost = next((what for what, node in self._needed.items() if not any(node is other for other in there)), None)
        if lost:
            return _("The registration was stopped, as {what} was removed or replaced.").format(what=lost)
        return _("The registration was stopped, as the CT was moved.") if self._moved() else ""

    def put_back(self) -> None:
        """Take the CT back to where it was, unless it was moved by others, or is there no more."""
        if self._registration.scene is not None and not self.obstacle():
            self._registration.world_from_ct = self._before

    @contextmanager
    def as_before(self) -> Iterator[None]:
        """The CT lies where it was meanwhile, unless it was moved by others."""
        if self.obstacle():
            yield
            return
        self._registration.world_from_ct = self._before
        try:
            yield
        finally:
            self._registration.world_from_ct = self._shown

    def _moved(self) -> bool:
        return not np.allclose(self._shown, self._registration.world_from_ct, rtol=0, atol=1e-6)
