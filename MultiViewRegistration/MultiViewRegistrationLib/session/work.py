"""What a worker's thread does, away from the scene: makes a CT ready, registers, and has a published baseline run in a child process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import sleep

import numpy as np

from ..errors import InputError
from ..mrml.background_task import Stopped
from .kernel_cache import load

#: The start that `workflow.register` knows, for each that the panel offers and no regressor tells: a pose that a person set is a given one.
WORKFLOW_START = {"given": "given", "by hand": "given", "search": "search", "landmarks": "landmarks"}
#: Seconds between two looks at a child process.
LOOK = 0.1
#: What a worker tells where the kernels have to be compiled.
FIRST_TIME = "preparing for the first time (once, about 20 s)"


def make_ready(ct, tell: Callable) -> object:
    """The `registration.prepared_ct.PreparedCT` of a CT, and all that a DRR which follows the CT would have to wait for."""
    from ..registration import kernels
    from ..registration.prepared_ct import PreparedCT

    load(kernels.warm_up_drr, lambda: tell(FIRST_TIME))
    anatomy = PreparedCT(ct)
    for level in (1, 2):
        anatomy.projector(level)
    return anatomy


def make_all_ready(anatomy, tell: Callable) -> None:
    """What the first sharp DRR, and the first registration, would have to wait for."""
    from ..registration import kernels

    anatomy.projector(0)
    load(kernels.prepare, lambda: tell(FIRST_TIME))


def registered(case, anatomy, start: str, refinement: str, seed: int, model: Path | None, tell: Callable) -> object:
    """The `result.Result` of a case from a start. InputError where it fails.

    model: the folder of the regressor, for a start that asks one; without it, the newest of the store.
    """
    from ..api import register

    if refinement != "joint":
        return by_baseline(case, anatomy, start, refinement, model, tell)
    if start in ("regressor", "auto"):
        return register(case, start, tell, anatomy, seed, model=model)
    return replace(register(case, WORKFLOW_START[start], tell, anatomy, seed), method=start)


def started(result) -> dict:
    """What a history keeps of how the start of a `result.Result` was found by a regressor; empty where none was asked."""
    told = result.regressor
    return (
        {}
        if told is None
        else {"model": told.model or "", "expected_mm": told.expected_mm, "selected_start": told.selected_start}
    )


def by_baseline(case, anatomy, start: str, refinement: str, model: Path | None, tell: Callable) -> object:
    """The `result.Result` of a published refinement, which takes minutes and needs torch: a child process does it, in a folder of its own.

    InputError where it fails; the folder is gone in any case.
    """
    from ..api import assess
    from ..geometry.landmarks import locate
    from ..jobs.child_process import Job

    fit = locate(case.landmarks, case.cameras) if start == "landmarks" else None
    begun = fit.world_from_ct if fit else seen_by(model, case, anatomy) if start == "regressor" else case.world_from_ct
    with tempfile.TemporaryDirectory(prefix="mvreg-case-", ignore_cleanup_errors=True) as folder:
        job = Job(
            [
                "register",
                written(case, begun, folder),
                "--refine",
                refinement,
                "--device",
                "auto",
                "--out",
                Path(folder, "result"),
            ]
        )
        told = watched(job, begun, tell)
    result = assess(case, np.array(told["world_from_ct"]), anatomy, start)
    return replace(
        result,
        start_world_from_ct=begun,
        seconds=told["seconds"],
        landmark_fit=fit,
        refined_by=refinement,
        assessment=None,
        torch_device=told["software"]["device"].rpartition(" on ")[2],
    )


def seen_by(model: Path | None, case, anatomy) -> np.ndarray:
    """(4, 4) world_from_ct that a regressor takes for the most credible. InputError where there is none, or it is of another CT."""
    from ..regressor.initialise import predict_poses
    from ..regressor.learning import find_model

    found = find_model(case, model)
    if found is None:
        raise InputError(
            "Start: there is no regressor for this CT, expected a trained one; train one, or choose another start."
        )
    return predict_poses(found, anatomy, case.views, case.world_from_ct)[0].world_from_ct


def written(case, world_from_ct: np.ndarray | None, folder: str) -> Path:
    """The path of a case.json with what a child needs of a case: its CT, its X-rays as line integrals, how far to search, a start pose."""
    from ..imaging.xray import raw_image
    from ..io.case_writer import write_case
    from ..mrml.loading import camera_content

    views = [
        {
            "name": view.name,
            "camera": camera_content(view.camera),
            "intensity": "log",
            "rotation_sd_deg": view.rotation_sd_deg,
            "translation_sd_mm": view.translation_sd_mm,
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


def watched(job, world_from_ct: np.ndarray, tell: Callable) -> dict:
    """What a job came to, telling its progress meanwhile. InputError where it failed, Stopped once it is to stop, and has."""
    from ..registration.pipeline import Progress

    progress = Progress(0.0, "starting", world_from_ct, np.nan)
    wanted = True
    while job.state == "running":
        record = job.poll()
        if record is not None:
            pose = progress.world_from_ct if record.world_from_ct is None else np.array(record.world_from_ct)
            progress = Progress(record.fraction, record.stage, pose, np.nan if record.cost is None else record.cost)
        if wanted and tell(progress) is False:
            wanted = False
            job.cancel()
        sleep(LOOK)
    if not wanted or job.state == "cancelled":
        raise Stopped
    if job.state == "failed":
        raise InputError(job.message)
    return job.result
