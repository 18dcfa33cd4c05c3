"""Many cases on many processes, by Dask distributed.

On this computer, or wherever a Dask scheduler has its workers.

    evaluation = evaluate_cohort(paths, EvaluationSetup(starts=20),
    scheduler="tcp://127.0.0.1:8786", folder=Path("cohort"))

The record of each case is in a folder that all processes see. A recorded case is not registered
again, so that a stopped evaluation resumes where it was. The tables do not depend on which process
did what, or when.

    <folder>/plan-<hash>.json       the cases' paths and how they are evaluated
    <folder>/<hash>.json            the record of one case evaluated in one way
    <folder>/models/<hash>          a regressor that was trained for the cohort, and <hash>.json the record of its training

All that is sent to a worker is a task's name, this folder, the name of the plan in it, and numbers
of cases; all that it sends back is a word. Names are hashes, so that neither they nor the messages
between processes identify a patient.
"""

from __future__ import annotations

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
from ..errors import InputError, Show, install_command, unseen
from ..finding import REGRESSOR_STARTS
from ..io.case_file import CaseFile
from ..io.folders import data_folder
from ..io.view_record import sha256_of
from ..rendering.devices import available_threads
from .cohort_worker import OTHER_VERSION, UNSEEN, CohortRecord, Plan, work
from .evaluation import (
    Evaluation,
    EvaluationSetup,
    check,
)
from .statistics import grouped

if TYPE_CHECKING:
    from distributed import Client

#: The scheduler that is none: a cluster of processes on this computer, as long as the evaluation
#: takes.
LOCAL = "local"
HOST = "127.0.0.1"
#: Problem of a case during which one worker after another ended.
ENDED = "the worker that had it ended unexpectedly, again and again, perhaps because memory ran out; use fewer workers."
_CONNECT_SECONDS = 10.0


def evaluate_cohort(
    paths: Sequence[Path],
    setup: EvaluationSetup,
    progress: Show = unseen,
    *,
    scheduler: str,
    workers: int | None,
    folder: Path | None,
    minutes: float | None,
) -> Evaluation:
    """Give what `evaluation.evaluate` gives for the same cases, but for the seconds.

    A failed case is listed and does not stop the rest.

    Parameters
    ----------
    scheduler
        The address of a Dask scheduler, or LOCAL.
    workers
        How many of LOCAL, by default one for each core.
    folder
        That of the records, seen by all workers under the same path; by default in this user's
        store.
    minutes
        Minutes of training a regressor for each CT and geometry, None for no training.

    Raises
    ------
    InputError
        Where Dask distributed is missing, for a setup that cannot be, where no scheduler answers,
        where its workers see other files or are of another version, and where all cases failed.
    """
    if find_spec("distributed") is None:
        raise InputError(
            "--scheduler: found no Dask distributed, expected it to share the cases among "
            f"processes; install it with {install_command('cohort')}."
        )
    setup.check()
    if minutes is not None and (
        setup.model or setup.start not in REGRESSOR_STARTS or not 0 < minutes < 1e4
    ):
        raise InputError(
            f"--minutes: found {minutes:g}, expected more than 0 and less than 10000, a start by a "
            "regressor, and no --model; correct it, or leave it out."
        )
    setup = replace(setup, model=setup.model and str(Path(str(setup.model)).resolve()))
    folder = (folder or data_folder() / "cohorts").resolve()
    cases = [str(Path(path).resolve()) for path in paths]
    plan = Plan(cases, setup.to_json(), minutes, list(map(_group, cases)) if minutes else [])
    tasks = {
        "train": ("regressors", _alike(plan.groups)),
        "evaluate": ("cases", [[n] for n in range(len(cases))]),
    }
    done = 0
    total = sum(len(numbers) for _, numbers in tasks.values())
    lost: set[int] = set()
    with _client(scheduler, workers, total) as client:
        progress(0.0, "waiting for workers")
        for task, (what, numbers) in tasks.items():

            def show(
                here: int, before: int = done, of: int = len(numbers), what: str = what
            ) -> None:
                progress((before + here) / total, f"{here} of {of} {what}")

            lost = _run(client, task, numbers, folder, plan.write(folder), show)
            done += len(numbers)
    return _gathered(plan, folder, setup, lost)


def _group(path: str) -> str:
    """Return the `regressor_group` of a case, "" for one that cannot be read.

    Its worker reports why.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its worker will give them
            return regressor_group(check(path))
    except (InputError, OSError):
        return ""


def _alike(keys: Sequence[str]) -> list[list[int]]:
    """Return the places of equal keys, other than ""."""
    places = [place for place, key in enumerate(keys) if key]
    return [group for _, group in grouped(places, lambda place: (keys[place],))]


def _gathered(plan: Plan, folder: Path, setup: EvaluationSetup, lost: set[int]) -> Evaluation:
    """Collect the content of the cases' records, in their order, and repeat the workers' warnings.

    A lost case has no record.
    """
    found = Evaluation([], setup, shared=True)
    for number, case in enumerate(plan.cases):
        record = (
            CohortRecord(error=ENDED)
            if number in lost
            else CohortRecord.read(plan.record(folder, number))
        )
        if record is None:
            raise InputError(
                f"{folder}: a worker's record is missing, expected a folder that this computer and "
                "all workers share; name one with --records."
            )
        for warning in (*record.warnings, *filter(None, [record.error])):
            warnings.warn(f"{case}: {warning}", stacklevel=3)
        if record.outcome is None:
            found.failed.append({"case": case, "error": record.error})
            continue
        found.cases.append(record.outcome)
    if not found.cases:
        raise InputError(
            f"evaluate: none of {len(plan.cases)} cases could be evaluated; of the first: "
            f"{found.failed[0]['error']}"
        )
    return found


@contextmanager
def _client(scheduler: str, workers: int | None, tasks: int) -> Iterator[Client]:
    import distributed

    if scheduler != LOCAL:
        try:
            client = distributed.Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError):
            raise InputError(
                f'--scheduler: found "{scheduler}", where no Dask scheduler answers, expected the address of one, such as '
                "tcp://127.0.0.1:8786; start it, or leave the address out for processes on this "
                "computer."
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
            preload=[__name__],
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        try:
            yield client
        except BaseException:
            for nanny in (
                cluster.workers.values()
            ):  # end the workers at once: what they are at is not waited for
                nanny.auto_restart = False
                with suppress(OSError, TypeError):  # it has just ended, or not begun
                    os.kill(nanny.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            raise


def dask_setup(worker: object) -> None:
    """Leave Ctrl-C to the program, which ends its workers.

    Dask calls this in each process that the program starts.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run(
    client: Client,
    task: str,
    numbers: Sequence[list[int]],
    folder: Path,
    plan: str,
    progress: Callable[[int], None],
) -> set[int]:
    """Have workers do a task for each group of cases.

    Parameters
    ----------
    progress
        Called with how many are done.

    Returns
    -------
    set[int]
        The groups, by their places, that ended their workers again and again.
    """
    from distributed import KilledWorker, as_completed

    token = secrets.token_hex(8)  # other cohorts may be with the same scheduler
    keys = [f"mvreg-{token}-{place}" for place in range(len(numbers))]
    futures = client.map(
        work, numbers, key=keys, pure=False, task=task, folder=str(folder), plan=plan
    )
    lost = set()
    for done, future in enumerate(as_completed(futures, loop=client.loop), start=1):
        error = future.exception()
        if isinstance(error, KilledWorker):
            lost.add(keys.index(future.key))
        elif isinstance(error, OSError):  # of a folder in which nothing can be written
            raise error
        elif error is not None:
            raise InputError(
                f"--scheduler: its workers cannot run this program ({type(error).__name__}: "
                f"{error}); install it there, in version {__version__}."
            )
        elif future.result() == UNSEEN:
            raise InputError(
                f"{folder}: a worker does not see this folder, expected one that this computer and "
                "all workers share; name one with --records."
            )
        elif future.result() == OTHER_VERSION:
            raise InputError(
                "--scheduler: found another version of this program on a worker, expected "
                f"{__version__} as here; install that there."
            )
        progress(done)
    return lost


def regressor_group(file: CaseFile) -> str:
    """Return a hash that cases have in common if they can share a regressor.

    They have the same file of the CT, cameras, nominal pose and range.
    """
    cameras = [view.geometry_json for view in file.views]
    first = file.first
    mask = first.mask and str(first.mask.path.resolve())
    pose = file.world_from_ct is not None and file.world_from_ct.tolist()
    return sha256_of(
        [
            str(first.ct.path.resolve()),
            *filter(None, [first.series]),
            first.unit,
            mask,
            cameras,
            pose,
            file.search_range,
            file.training,
        ]
    )
