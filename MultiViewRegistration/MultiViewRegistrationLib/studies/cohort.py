"""Many cases on many processes, by Dask distributed: on this computer, or wherever a Dask scheduler has its workers.

    evaluation = evaluate_cohort(paths, EvaluationSetup(starts=20), scheduler="tcp://127.0.0.1:8786", folder=Path("cohort"))

The record of each case is in a folder that all processes see (`cohort_worker`). A recorded case is not registered again, so that a
stopped evaluation resumes where it was. The tables do not depend on which process did what, or when.
"""

from __future__ import annotations

import base64
import logging
import os
import secrets
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import InputError
from ..regressor.model_store import data_folder
from ..rendering.threads import available_threads
from . import cohort_worker
from .cohort_worker import Plan, Record, regressor_group
from .evaluation import MAX_PICTURES, CaseOutcome, Evaluation, EvaluationSetup, FailedCase, MotionOutcome, check
from .motion_check import Motion
from .tables import grouped

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

#: The scheduler that is none: a cluster of processes on this computer, as long as the evaluation takes.
LOCAL = "local"
HOST = "127.0.0.1"
#: Of a case during which one worker after another ended.
ENDED = "the worker that had it ended unexpectedly, again and again, perhaps for want of memory; use fewer workers."
_CONNECT_SECONDS = 10.0


def evaluate_cohort(
    paths: Sequence[Path],
    setup: EvaluationSetup,
    progress: Callable[[float, str], object] = lambda fraction, stage: None,
    *,
    scheduler: str = LOCAL,
    workers: int | None = None,
    folder: Path | None = None,
    minutes: float | None = None,
) -> Evaluation:
    """Give what `evaluation.evaluate` gives for the same cases, but for the seconds; a failed case is listed and does not stop the rest.

    Parameters
    ----------
    scheduler : the address of a Dask scheduler, or LOCAL.
    workers : of LOCAL, by default one for each core.
    folder : of the records, seen by all workers under the same path; by default in this user's store.
    minutes : of training a regressor for each CT and geometry, None for no training.

    Raises
    ------
    InputError where Dask distributed is missing, for a setup that cannot be, where no scheduler answers, where its workers see other
    files or are of another version, and where all cases failed.
    """
    if find_spec("distributed") is None:
        raise InputError(
            "--scheduler: found no Dask distributed, expected it to share the cases among processes; install it with "
            'pip install "multiview-registration[cohort]".'
        )
    setup.check()
    if minutes is not None and (setup.model or setup.start not in ("regressor", "auto") or not 0 < minutes < 1e4):
        raise InputError(
            f"--minutes: found {minutes:g}, expected more than 0 and less than 10000, a start by a regressor, and no --model; "
            "correct it, or leave it out."
        )
    setup = replace(setup, model=setup.model and str(Path(setup.model).resolve()))
    folder = (folder or data_folder() / "cohorts").resolve()
    cases = [str(Path(path).resolve()) for path in paths]
    plan = Plan(cases, setup.to_json(), minutes, list(map(_group, cases)) if minutes else [])
    name = plan.write(folder)
    trainings, every = _alike(plan.groups), [[number] for number in range(len(cases))]
    total = len(trainings) + len(cases)
    with _client(scheduler, workers, total) as client:

        def run(task: str, numbers: Sequence[Sequence[int]], before: int, what: str) -> set[int]:
            def tell(done: int) -> None:
                progress((before + done) / total, f"{done} of {len(numbers)} {what}")

            return _run(client, task, numbers, folder, name, tell)

        progress(0.0, "waiting for workers")
        run("train", trainings, 0, "regressors")
        lost = run("evaluate", every, len(trainings), "cases")
        records = [None if number in lost else _read(plan, folder, number) for number in range(len(cases))]
        outcomes, failed, pictures = _gathered(plan, records)
        groups = _alike([record.anatomy if record and record.world_from_ct else "" for record in records])
        groups = [group for group in groups if len(group) > 1]
        run("compare", groups, total - len(groups), "motions")
    if not outcomes:
        raise InputError(f"evaluate: none of {len(cases)} cases could be evaluated; of the first: {failed[0].error}")
    return Evaluation(outcomes, _motions(plan, folder, groups), setup, pictures, True, failed)


def _group(path: str) -> str:
    """See `regressor_group`; "" for a case that cannot be read, of which its worker will say why."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its worker will give them
            return regressor_group(check(path))
    except (InputError, OSError):
        return ""


def _alike(keys: Sequence[str]) -> list[list[int]]:
    """The places of equal keys, other than ""."""
    places = [place for place, key in enumerate(keys) if key]
    return [group for _, group in grouped(places, lambda place: (keys[place],))]


def _read(plan: Plan, folder: Path, number: int) -> Record:
    record = Record.read(plan.record(folder, number))
    if record is None:
        raise InputError(
            f"{folder}: a worker's record is missing, expected a folder that this computer and all workers share; "
            "name one with --records."
        )
    return record


def _gathered(
    plan: Plan, records: Sequence[Record | None]
) -> tuple[list[CaseOutcome], list[FailedCase], dict[str, bytes]]:
    """Outcomes, failures and pictures of the cases, in their order; repeats the workers' warnings. A lost case has no record."""
    outcomes, failed, pictures = [], [], {}
    for case, found in zip(plan.cases, records, strict=True):
        record = found or Record(error=ENDED)
        for warning in (*record.warnings, *filter(None, [record.error])):
            warnings.warn(f"{case}: {warning}", stacklevel=3)
        if record.error:
            failed.append(FailedCase(case, record.error))
            continue
        kept = list(record.pictures)[: MAX_PICTURES - len(pictures)]
        pictures |= {name: base64.b64decode(record.pictures[name]) for name in kept}
        outcomes.append(CaseOutcome.from_json(record.outcome, kept))
    return outcomes, failed, pictures


def _motions(plan: Plan, folder: Path, groups: Sequence[Sequence[int]]) -> list[MotionOutcome]:
    """From one image of a structure to another, for the cases without truth."""
    found = []
    for group in groups:
        record = Record.read(plan.motion(folder, group))
        if record is None or record.error:
            reason = record.error if record else "its worker ended."
            warnings.warn(f"The motion from image to image was not found: {reason}", stacklevel=3)
        else:
            found += record.outcome["motions"]
    return [
        MotionOutcome(**{**content, "motion": Motion(**content["motion"])})
        for *_, content in sorted(found, key=lambda each: each[:2])
    ]


@contextmanager
def _client(scheduler: str, workers: int | None, tasks: int) -> Iterator[Client]:
    import distributed

    if scheduler != LOCAL:
        try:
            client = distributed.Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError):
            raise InputError(
                f'--scheduler: found "{scheduler}", where no Dask scheduler answers, expected the address of one, such as '
                "tcp://127.0.0.1:8786; start it, or leave the address out for processes on this computer."
            ) from None
        with client:
            yield client
        return
    threads = available_threads()
    count = min(workers or threads, tasks)
    web = f"{HOST}:0"  # where Dask's web server listens, which is there without a dashboard, too
    with (
        distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host=HOST,
            dashboard_address=web,
            worker_dashboard_address=web,
            scheduler_kwargs={"dashboard": False},
            memory_limit=None,
            silence_logs=logging.CRITICAL,
            env={"MVREG_THREADS": str(max(1, threads // count))},
            preload=[cohort_worker.__name__],
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        try:
            yield client
        except BaseException:
            _end(cluster)
            raise


def _end(cluster: LocalCluster) -> None:
    """End the workers at once: what they are at is not waited for."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        with suppress(OSError, TypeError):  # it has just ended, or not begun
            os.kill(nanny.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)


def _run(
    client: Client, task: str, numbers: Sequence[Sequence[int]], folder: Path, plan: str, tell: Callable[[int], None]
) -> set[int]:
    """Have workers do a task for each group of cases; which of them, by their places, ended their workers again and again.

    tell: called with how many are done.
    """
    from distributed import KilledWorker, as_completed

    token = secrets.token_hex(8)  # other cohorts may be with the same scheduler
    keys = [f"mvreg-{token}-{place}" for place in range(len(numbers))]
    more = {"task": task, "folder": str(folder), "plan": plan}
    futures = client.map(cohort_worker.work, list(map(list, numbers)), key=keys, pure=False, **more)
    lost = set()
    for done, future in enumerate(as_completed(futures, loop=client.loop), start=1):
        error = future.exception()
        if isinstance(error, KilledWorker):
            lost.add(keys.index(future.key))
        elif isinstance(error, OSError):  # of a folder in which nothing can be written
            raise error
        elif error is not None:
            raise InputError(
                f"--scheduler: its workers cannot run this program ({type(error).__name__}: {error}); install it there, in "
                f"version {__version__}."
            )
        elif future.result() == cohort_worker.UNSEEN:
            raise InputError(
                f"{folder}: a worker does not see this folder, expected one that this computer and all workers share; name one "
                "with --records."
            )
        elif future.result() == cohort_worker.OTHER_VERSION:
            raise InputError(
                f"--scheduler: found another version of this program on a worker, expected {__version__} as here; install that "
                "there."
            )
        tell(done)
    return lost
