"""What a worker does for a cohort: the tasks of its plan, each with a record in the cohort's folder."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from .. import __version__
from ..errors import InputError
from ..finding import REGRESSOR_STARTS
from ..io.case import Case, hashes
from ..io.case_file import CaseFile
from ..io.files import image_sha256
from ..io.view_record import sha256_of
from ..registration.warm_up import warm_up
from ..regressor.model_store import Card, all_models, ct_sha256
from ..training import train
from .evaluation import EvaluatedCase, EvaluationSetup, Row, check, evaluate_case
from .records import read_record, write_record

#: How a task ended: done now, kept from before, failed; or not begun, as the worker does not see
#: the folder or has another version.
DONE = "done"
KEPT = "kept"
FAILED = "failed"
UNSEEN = "unseen"
OTHER_VERSION = "other version"


@dataclass(frozen=True)
class Plan:
    """The cases of an evaluation, and its settings.

    Parameters
    ----------
    cases
        Absolute paths.
    setup
        Fields of the `EvaluationSetup`.
    minutes
        Minutes of training a regressor for each group of cases, None for no training.
    groups
        The `regressor_group` of each case, "" of one that cannot be read; none where no regressors
        are trained.
    version
        Version of the program.
    """

    cases: list[str]
    setup: Row
    minutes: float | None
    groups: list[str]
    version: str = __version__

    def write(self, folder: Path) -> str:
        """Write the plan into the cohort's folder and return its name there, the same for the same plan."""
        name = f"plan-{sha256_of(asdict(self))}.json"
        write_record(folder / name, asdict(self))
        return name

    def evaluation(self, number: int, folder: Path) -> EvaluationSetup:
        """Return the settings of a case, with the regressor trained for it.

        Raises
        ------
        InputError
            Where that failed, with the reason.
        """
        setup = EvaluationSetup(**self.setup)
        if not self.groups:
            return setup
        training = CohortRecord.read(self.training(folder, number))
        if training is None or training.error:
            reason = training.error if training else "its worker ended."
            raise InputError(f"no regressor could be trained for it: {reason}")
        return replace(setup, model=self.model(folder, number))

    def record(self, folder: Path, number: int) -> Path:
        """Return the file with the record of a case."""
        return folder / f"{sha256_of([self.cases[number], self.setup, self.minutes])}.json"

    def model(self, folder: Path, number: int) -> Path:
        """Return the folder of the regressor that is trained for a case, and others of its group."""
        return (
            folder
            / "models"
            / sha256_of(
                [self.groups[number], self.minutes, self.setup["seed"], self.setup["device"]]
            )
        )

    def training(self, folder: Path, number: int) -> Path:
        """Return the file with the record of that training."""
        return self.model(folder, number).with_suffix(".json")


@dataclass(frozen=True)
class CohortRecord:
    """The result of a task, as plain data.

    Parameters
    ----------
    fingerprint
        Hash of all that it depends on: files, setup, the program's version; "" where it failed.
    outcome
        That of a case, see `evaluation`, or the steps of a training; None where it failed.
    error
        Why it failed, in a sentence.
    warnings
        Those that were given on the way.
    """

    fingerprint: str = ""
    outcome: Row | None = None
    error: str = ""
    warnings: Sequence[str] = ()

    @classmethod
    def read(cls, path: Path) -> CohortRecord | None:
        """Return the record in a file; None where it is missing or invalid."""
        try:
            return cls(**read_record(path))
        except (OSError, InputError, TypeError):
            return None


#: A worker does one thing at a time, on all its threads, and keeps the CT for the next case.
_busy = Lock()
_last: EvaluatedCase | None = None


def work(numbers: Sequence[int], task: str, folder: str, plan: str) -> str:
    """Do a task of a plan, unless that was done before with the same files, setup and version.

    The problem of a case is recorded, not raised: Dask logs what is raised, and messages name
    files.

    Parameters
    ----------
    numbers
        Those of the cases.
    task
        "evaluate" the case; or "train" the regressor that the cases share, with the first of them
        that can be loaded.
    folder, plan
        The cohort's folder, and the name of its plan there.

    Returns
    -------
    str
        How it ended.
    """
    try:
        read = Plan(**read_record(Path(folder, plan)))
    except OSError:
        return UNSEEN
    if read.version != __version__:
        return OTHER_VERSION
    with _busy:
        return {"evaluate": _evaluate, "train": _train}[task](read, numbers, Path(folder))


def _kept(path: Path, fingerprint: Callable[[], str], make: Callable[[], CohortRecord]) -> str:
    """Have a record made and written, unless it is there and its fingerprint is the same."""
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("default")
        try:
            now = fingerprint()
            before = CohortRecord.read(path)
            if before and before.outcome and before.fingerprint == now:
                return KEPT
            record = replace(make(), fingerprint=now)
        except InputError as error:
            record = CohortRecord(error=str(error))
        except MemoryError:
            record = CohortRecord(
                error="not enough memory; use fewer workers, or crop the CT to what the X-rays show."
            )
        except Exception as error:  # of one case of hundreds: the others go on
            record = CohortRecord(error=f"{type(error).__name__}: {error}")
    messages = dict.fromkeys(
        str(each.message) for each in given if issubclass(each.category, UserWarning)
    )
    write_record(path, asdict(replace(record, warnings=list(messages))))
    return DONE if record.outcome else FAILED


def _evaluate(plan: Plan, numbers: Sequence[int], folder: Path) -> str:
    (number,) = numbers
    path = plan.cases[number]

    def fingerprint() -> str:
        inputs, _ = hashes(check(path))
        return sha256_of(
            [plan.version, plan.setup, inputs, _weights(plan.evaluation(number, folder))]
        )

    def make() -> CohortRecord:
        global _last
        warm_up()
        last = _last
        _last = None  # what a case leaves half done is not kept
        done = _last = evaluate_case(path, plan.evaluation(number, folder), last=last)
        return CohortRecord("", done.outcome)

    return _kept(plan.record(folder, number), fingerprint, make)


def _weights(setup: EvaluationSetup) -> list[str]:
    """Return hashes of the regressors on which a case's outcome depends.

    They are the one that is given or was trained for it, or any in the store.
    """
    if setup.start not in REGRESSOR_STARTS:
        return []
    if setup.model:
        return [Card.read(Path(str(setup.model))).weights_sha256]
    return sorted(each.card.weights_sha256 for each in all_models() if each.finished)


def _train(plan: Plan, numbers: Sequence[int], folder: Path) -> str:
    path = plan.training(folder, numbers[0])
    before = CohortRecord.read(path)
    kept = before.fingerprint if before and before.outcome else None
    for number in numbers if kept is not None else ():
        with suppress(InputError, OSError):
            if kept == _ct_fingerprint(plan, number):
                return KEPT
    for number in numbers:
        came = _kept(
            path, partial(_ct_fingerprint, plan, number), partial(_trained, plan, number, folder)
        )
        if came != FAILED:
            return came
    return FAILED


def _ct_fingerprint(plan: Plan, number: int) -> str:
    """Return the fingerprint of the files on which a case's regressor depends.

    Raises
    ------
    InputError
        For a case that cannot be read.
    """
    file = CaseFile.read(plan.cases[number])
    return sha256_of([image_sha256(part.path) for part in (file.first.ct, file.first.mask) if part])


def _trained(plan: Plan, number: int, folder: Path) -> CohortRecord:
    """Train a case's regressor, or resume its training, and return the record.

    Raises
    ------
    InputError
        If it cannot be trained.
    """
    case = Case.load(plan.cases[number])
    model = plan.model(folder, number)
    setup = EvaluationSetup(**plan.setup)
    card: Any = None
    with suppress(InputError):
        card = Card.read(model)
    begun = card is not None and card.ct_sha256 == ct_sha256(case.ct)
    if not begun:  # it was stopped before anything was saved, or is of what the CT was before
        shutil.rmtree(model, ignore_errors=True)
    if not begun or not card.finished:
        more: Row = {
            "minutes": plan.minutes,
            "seed": setup.seed,
            "resume": begun,
            "device": setup.method.trains_on,
        }
        card = train(case, model, **more).card
    return CohortRecord("", {"steps": card.done, "error_mm": card.error_mm, "device": card.device})
