"""What a worker process of a cohort does: train, evaluate a case, compare two; written down where it will not be done again.

All that is sent to a worker is a folder, the name of a plan in it, and numbers of cases; all that it sends back is a word.
"""

from __future__ import annotations

import base64
import signal
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from .. import __version__
from ..errors import InputError
from ..io.case import Case, hashes
from ..registration.prepared_ct import warm_up
from ..registration.schedule import Range
from ..regressor.model_store import Card, all_models
from . import cohort_training
from .cohort_records import Plan, Record, digest
from .evaluation import Evaluated, check, evaluate_case, method_of, motions
from .evaluation_method import Method

#: What came of it: done now, kept from before, failed; or nothing, as this process does not see the folder or is of another version.
DONE, KEPT, FAILED, UNSEEN, OTHER_VERSION = "done", "kept", "failed", "unseen", "other version"

#: A process does one thing at a time, on all its threads, and keeps the CT for the next case.
_busy = Lock()
_last: Evaluated | None = None


def dask_setup(worker: object) -> None:
    """Dask calls it in each process that the program itself starts: Ctrl-C is for the program, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def evaluate(number: int, folder: str, plan: str) -> str:
    """Evaluate a case of a plan, unless that was done before with the same files, options and version; returns what came of it.

    What is wrong with a case is written down, not raised: Dask logs what is raised, and messages name files.
    """
    return _at(
        folder,
        plan,
        lambda told, at: _kept(
            told.record(at, number), lambda: _fingerprint(told, number, at), lambda: _evaluated(told, number, at)
        ),
    )


def train(numbers: Sequence[int], folder: str, plan: str) -> str:
    """Train the regressor that these cases share, with the first of them that can be loaded; returns what came of it."""
    return _at(folder, plan, lambda told, at: _trained(told, numbers, at))


def compare(numbers: Sequence[int], folder: str, plan: str) -> str:
    """Compare how a structure moved from case to case, once they were evaluated, see `evaluation.motions`; returns what came of it."""

    def before(told: Plan, at: Path) -> list[Record]:
        return [Record.read(told.record(at, number)) for number in numbers]

    return _at(
        folder,
        plan,
        lambda told, at: _kept(
            told.motion(at, numbers),
            lambda: digest([record.fingerprint for record in before(told, at)]),
            lambda: _compared(told, numbers, before(told, at)),
        ),
    )


def method(options: dict[str, Any]) -> Method:
    """How cases are registered, from plain data: the arguments of `evaluation.method_of`, and `minutes`. InputError as there."""
    search = Range(*options["search"]) if options["search"] else None
    return method_of(**{key: value for key, value in options.items() if key != "minutes"} | {"search": search})


def _at(folder: str, plan: str, work: Callable[[Plan, Path], str]) -> str:
    try:
        told = Plan.read(Path(folder, plan))
    except OSError:
        return UNSEEN
    if told.version != __version__:
        return OTHER_VERSION
    with _busy:
        return work(told, Path(folder))


def _kept(path: Path, fingerprint: Callable[[], str], make: Callable[[], Record]) -> str:
    """Have a record made and written, unless it is there and its fingerprint is the same."""
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("default")
        try:
            now, before = fingerprint(), Record.read(path)
            if before and before.outcome and before.fingerprint == now:
                return KEPT
            record = replace(make(), fingerprint=now)
        except Exception as error:  # of one case of hundreds: the others go on
            record = Record("", None, error=_sentence(error))
    told = dict.fromkeys(str(each.message) for each in given if issubclass(each.category, UserWarning))
    replace(record, warnings=list(told)).write(path)
    return DONE if record.outcome else FAILED


def _sentence(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory; use fewer workers, or crop the CT to what the X-rays show."
    return f"{type(error).__name__}: {error}"


def _fingerprint(plan: Plan, number: int, folder: Path) -> str:
    """Of all on which a case's outcome hangs. InputError for a case that cannot be read."""
    inputs, _ = hashes(check(plan.cases[number]))
    return digest([plan.version, plan.options, inputs, _weights(plan, number, folder)])


def _weights(plan: Plan, number: int, folder: Path) -> list[str]:
    """Hashes of the regressors on which it hangs: the one that is given or was trained for it, or any in the store."""
    if method(plan.options).start not in ("regressor", "auto"):
        return []
    model = cohort_training.model(plan, number, folder) if plan.groups else plan.options["model"]
    return (
        [Card.read(Path(model)).weights_sha256]
        if model
        else sorted(each.card.weights_sha256 for each in all_models() if each.finished)
    )


def _evaluated(plan: Plan, number: int, folder: Path) -> Record:
    global _last
    warm_up()
    how, pictures = method(plan.options), {}
    if plan.groups:
        how = replace(how, model=plan.model(folder, number))
    last, _last = _last, None  # what a case leaves half done is not kept
    done = _last = evaluate_case(plan.cases[number], how, pictures, last=last)
    return Record(
        "",
        asdict(done.outcome),
        {name: base64.b64encode(data).decode() for name, data in pictures.items()},
        None if done.world_from_ct is None else done.world_from_ct.tolist(),
        digest(done.case.anatomy_key),
    )


def _trained(plan: Plan, numbers: Sequence[int], folder: Path) -> str:
    path = plan.training(folder, numbers[0])
    before = Record.read(path)
    for number in numbers if before and before.outcome else ():
        with suppress(InputError, OSError):
            if before.fingerprint == cohort_training.fingerprint(plan, number):
                return KEPT
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        came = _kept(
            path,
            partial(cohort_training.fingerprint, plan, number),
            lambda number=number: cohort_training.trained(plan, number, folder, method(plan.options).by.trains_on),
        )
        if came != FAILED:
            return came
    return FAILED


def _compared(plan: Plan, numbers: Sequence[int], records: Sequence[Record]) -> Record:
    cases: list[Case] = []
    for number in numbers:
        cases.append(Case.load(plan.cases[number], cases[-1] if cases else None))
    poses = [np.array(record.world_from_ct) for record in records]
    found = [
        [numbers[a], numbers[b], asdict(outcome)]
        for a, b in combinations(range(len(numbers)), 2)
        for outcome in motions([(cases[a], poses[a]), (cases[b], poses[b])])
    ]
    return Record("", {"motions": found})
