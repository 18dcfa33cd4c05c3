"""Many cases on many processes, by Dask distributed: on this computer, or wherever a Dask scheduler has its workers.

    evaluation = evaluate_cohort(paths, scheduler="tcp://127.0.0.1:8786", folder=Path("cohort"), starts=20, ...)

What came of each case is in a folder that all processes see (`cohort_records`). A case that is there is not done again, so that an
evaluation that was stopped, in whatever way, goes on where it was. The tables do not hang on who did what, nor when.
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
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..assessment.metrics import Errors
from ..errors import InputError
from ..registration.schedule import Range
from ..regressor.model_store import data_folder
from ..rendering.threads import available_threads
from . import cohort_training, cohort_worker
from .cohort_records import Plan, Record
from .evaluation import MOST_PICTURES, Agreement, CaseOutcome, Evaluation, Failed, MotionOutcome, Run, check
from .motion_statistics import Motion

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
    *,
    scheduler: str = LOCAL,
    workers: int | None = None,
    folder: Path | None = None,
    progress: Callable[[float, str], object] = lambda fraction, stage: None,
    search: Range | None = None,
    model: str | Path | None = None,
    minutes: float | None = None,
    **options: Any,
) -> Evaluation:
    """What `evaluation.evaluate` tells of the same cases, but for the seconds; a case that fails is told of and not the end.

    scheduler: the address of a Dask scheduler, or LOCAL.   workers: of LOCAL, by default one for each core.
    folder: of what came of each case, seen by all workers under the same path; by default in this user's store.
    search, model, options: see `evaluate`.   minutes: of training a regressor for each CT and geometry, None for no training.

    InputError where Dask distributed is missing, for options that cannot be, where no scheduler answers, where its workers see other
    files or are of another version, and where all cases failed.
    """
    require()
    told = {
        **options,
        "off": list(options["off"]),
        "search": search and [search.rotation_deg, search.translation_mm],
        "model": model and str(Path(model).resolve()),
        "minutes": minutes,
    }
    method = cohort_worker.method(told)
    if minutes is not None and (model or method.start not in ("regressor", "auto") or not 0 < minutes < 1e4):
        raise InputError(
            f"--minutes: found {minutes:g}, expected more than 0 and less than 10000, a start by a regressor, and no --model; "
            "correct it, or leave it out."
        )
    folder = (folder or data_folder() / "cohorts").resolve()
    cases = [str(Path(path).resolve()) for path in paths]
    plan = Plan(cases, told, list(map(_group, cases)) if minutes else [], __version__)
    name = plan.write(folder)
    groups = _alike(plan.groups)
    whole = len(groups) + len(cases)
    with _client(scheduler, workers, whole) as client:
        progress(0.0, "waiting for workers")
        _run(
            client,
            cohort_worker.train,
            groups,
            folder,
            name,
            lambda done: progress(done / whole, f"{done} of {len(groups)} regressors"),
        )
        lost = _run(
            client,
            cohort_worker.evaluate,
            range(len(cases)),
            folder,
            name,
            lambda done: progress((len(groups) + done) / whole, f"{done} of {len(cases)} cases"),
        )
        outcomes, failed, pictures = _gathered(plan, folder, lost)
        motions = _motions(client, plan, folder, name, lost)
    if not outcomes:
        raise InputError(f"evaluate: none of {len(cases)} cases could be evaluated; of the first: {failed[0].error}")
    return Evaluation(
        outcomes,
        motions,
        method.starts,
        method.reach_mm,
        tuple(method.off),
        method.seed,
        method.by.name,
        method.by.torch_device,
        search,
        pictures,
        method.start,
        True,
        failed,
        method.by.compute_device.display_name,
    )


def _group(path: str) -> str:
    """See `cohort_training.group`; "" for a case that cannot be read, of which its worker will say why."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its worker will give them
            return cohort_training.group(check(path))
    except (InputError, OSError):
        return ""


def _alike(hashes: Sequence[str]) -> list[list[int]]:
    """The places of equal hashes, other than ""."""
    places: dict[str, list[int]] = {}
    for place, each in enumerate(hashes):
        if each:
            places.setdefault(each, []).append(place)
    return list(places.values())


def _motions(client: Client, plan: Plan, folder: Path, name: str, lost: set[int]) -> list[MotionOutcome]:
    """From one image of a structure to another, for the cases without truth."""
    records = [
        None if number in lost else Record.read(plan.record(folder, number)) for number in range(len(plan.cases))
    ]
    groups = [
        group
        for group in _alike([record.anatomy if record and record.world_from_ct else "" for record in records])
        if len(group) > 1
    ]
    _run(client, cohort_worker.compare, groups, folder, name, lambda done: None)
    found = []
    for group in groups:
        record = Record.read(plan.motion(folder, group))
        if record is None or record.error:
            warnings.warn(
                f"The motion from image to image was not found: {record.error if record else 'its worker ended.'}",
                stacklevel=3,
            )
        else:
            found += record.outcome["motions"]
    return [
        MotionOutcome(
            **{**told, "motion": Motion(*(tuple(v) if isinstance(v, list) else v for v in told["motion"].values()))}
        )
        for *_, told in sorted(found, key=lambda each: each[:2])
    ]


def require() -> None:
    """InputError where Dask distributed is missing."""
    if find_spec("distributed") is None:
        raise InputError(
            "--scheduler: found no Dask distributed, expected it to share the cases among processes; install it with "
            'pip install "multiview-registration[cohort]".'
        )


@contextmanager
def _client(scheduler: str, workers: int | None, cases: int) -> Iterator[Client]:
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
    count = min(workers or threads, cases)
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
    client: Client,
    work: Callable[..., str],
    what: Sequence[object],
    folder: Path,
    plan: str,
    tell: Callable[[int], object],
) -> set[int]:
    """Have a worker do each of `what`; which of them, by their places, ended their workers again and again.

    tell: called with how many are done.
    """
    from distributed import KilledWorker, as_completed

    token = secrets.token_hex(8)  # other cohorts may be with the same scheduler
    names = [f"mvreg-{token}-{place}" for place in range(len(what))]
    futures = client.map(work, what, folder=str(folder), plan=plan, key=names, pure=False)
    lost = set()
    for done, future in enumerate(as_completed(futures, loop=client.loop), start=1):
        error = future.exception()
        if isinstance(error, KilledWorker):
            lost.add(names.index(future.key))
        elif isinstance(error, OSError):  # of a folder in which nothing can be written
            raise error
        elif error is not None:
            raise InputError(
                f"--scheduler: its workers cannot run this program ({type(error).__name__}: {error}); install it there, in "
                f"version {__version__}."
            )
        else:
            _check(future.result(), folder)
        tell(done)
    return lost


def _check(answer: str, folder: Path) -> None:
    if answer == cohort_worker.UNSEEN:
        raise InputError(
            f"{folder}: a worker does not see this folder, expected one that this computer and all workers share; name one "
            "with --records."
        )
    if answer == cohort_worker.OTHER_VERSION:
        raise InputError(
            f"--scheduler: found another version of this program on a worker, expected {__version__} as here; install that "
            "there."
        )


def _gathered(plan: Plan, folder: Path, lost: set[int]) -> tuple[list[CaseOutcome], list[Failed], dict[str, bytes]]:
    """What came of the cases, in their order, with a warning for each that the workers gave."""
    outcomes, failed, pictures = [], [], {}
    for number, case in enumerate(plan.cases):
        record = None if number in lost else Record.read(plan.record(folder, number))
        if record is None and number not in lost:
            raise InputError(
                f"{folder}: what a worker wrote is not there, expected a folder that this computer and all workers share; "
                "name one with --records."
            )
        error = record.error if record else ENDED
        for warning in record.warnings if record else ():
            warnings.warn(f"{case}: {warning}", stacklevel=3)
        if error:
            warnings.warn(f"{case}: {error}", stacklevel=3)
            failed.append(Failed(case, error))
            continue
        kept = dict(list(record.pictures.items())[: MOST_PICTURES - len(pictures)])
        pictures |= {name: base64.b64decode(data) for name, data in kept.items()}
        outcomes.append(outcome_of(record.outcome, kept))
    return outcomes, failed, pictures


def outcome_of(told: dict[str, Any], pictures: dict[str, str]) -> CaseOutcome:
    """An outcome from plain data; a run's picture is named only where there is one."""
    runs = [
        Run(
            **{
                **run,
                "errors": run["errors"] and Errors(**run["errors"]),
                "picture": run["picture"] if run["picture"] in pictures else None,
            }
        )
        for run in told["runs"]
    ]
    return CaseOutcome(**{**told, "runs": runs, "agreement": told["agreement"] and Agreement(**told["agreement"])})
