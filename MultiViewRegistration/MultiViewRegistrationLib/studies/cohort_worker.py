"""What a worker process of a cohort does: train, evaluate a case, compare two; written down where it will not be done again.

All that is sent to a worker is a task's name, a folder, the name of a plan in it, and numbers of cases; all that it sends back is a word.

    <folder>/plan-<hash>.json       the cases' paths and how they are evaluated
    <folder>/<hash>.json            the record of one case evaluated in one way
    <folder>/models/<hash>          a regressor that was trained for the cohort, and <hash>.json the record of its training

Names are hashes, so that neither they nor what is sent between processes tells anything of a patient.
"""

from __future__ import annotations

import base64
import shutil
import signal
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from .. import __version__
from ..errors import InputError
from ..io.case import Case, hashes
from ..io.case_file import CaseFile
from ..io.files import sha256
from ..registration.prepared_ct import warm_up
from ..regressor.learning import train
from ..regressor.model_store import Card, all_models
from .evaluation import EvaluatedCase, EvaluationSetup, check, evaluate_case, motions
from .records import digest, read_record, write_record

#: How a task ended: done now, kept from before, failed; or not begun, as this process does not see the folder or has another version.
DONE, KEPT, FAILED, UNSEEN, OTHER_VERSION = "done", "kept", "failed", "unseen", "other version"

#: A process does one thing at a time, on all its threads, and keeps the CT for the next case.
_busy = Lock()
_last: EvaluatedCase | None = None


@dataclass(frozen=True)
class Plan:
    """Which cases are evaluated, and how.

    Parameters
    ----------
    cases : absolute paths.
    setup : fields of the `EvaluationSetup`.
    minutes : of training a regressor for each group of cases, None for no training.
    groups : the `regressor_group` of each case, "" of one that cannot be read; none where no regressors are trained.
    version : of the program.
    """

    cases: list[str]
    setup: dict[str, Any]
    minutes: float | None
    groups: list[str]
    version: str = __version__

    def write(self, folder: Path) -> str:
        """Write it into the cohort's folder; returns its name there, the same for the same plan."""
        name = f"plan-{digest(asdict(self))}.json"
        write_record(folder / name, asdict(self))
        return name

    def evaluation(self, number: int, folder: Path) -> EvaluationSetup:
        """How a case is registered, with the regressor that was trained for it. InputError where that failed, with the reason."""
        setup = EvaluationSetup(**self.setup)
        if not self.groups:
            return setup
        training = Record.read(self.training(folder, number))
        if training is None or training.error:
            reason = training.error if training else "its worker ended."
            raise InputError(f"no regressor could be trained for it: {reason}")
        return replace(setup, model=self.model(folder, number))

    def record(self, folder: Path, number: int) -> Path:
        """The file with the record of a case."""
        return folder / f"{digest([self.cases[number], self.setup, self.minutes])}.json"

    def motion(self, folder: Path, numbers: Sequence[int]) -> Path:
        """The file with the motions of a structure between the cases that show it."""
        cases = [self.cases[number] for number in numbers]
        return folder / f"{digest(['motion', cases, self.setup, self.minutes])}.json"

    def model(self, folder: Path, number: int) -> Path:
        """The folder of the regressor that is trained for a case, and others of its group."""
        return folder / "models" / digest([self.groups[number], self.minutes, self.setup["seed"], self.setup["device"]])

    def training(self, folder: Path, number: int) -> Path:
        """The file with the record of that training."""
        return self.model(folder, number).with_suffix(".json")


@dataclass(frozen=True)
class Record:
    """The result of a task, as plain data.

    Parameters
    ----------
    fingerprint : of all that it depends on: files, setup, the program's version; "" where it failed.
    outcome : a `CaseOutcome`, "motions", or the steps of a training; None where it failed.
    pictures : JPEG files as base64, by name.
    world_from_ct, anatomy : of a case without truth, the pose and the hash of its CT, for the motion from one image to the next.
    error : why it failed, in a sentence.
    warnings : that were given on the way.
    """

    fingerprint: str = ""
    outcome: dict[str, Any] | None = None
    pictures: dict[str, str] = field(default_factory=dict)
    world_from_ct: list[list[float]] | None = None
    anatomy: str = ""
    error: str = ""
    warnings: Sequence[str] = ()

    @classmethod
    def read(cls, path: Path) -> Record | None:
        """None where there is none, or what is there is none."""
        try:
            return cls(**read_record(path))
        except (OSError, InputError, TypeError):
            return None


def dask_setup(worker: object) -> None:
    """Dask calls it in each process that the program itself starts: Ctrl-C is for the program, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def work(numbers: Sequence[int], task: str, folder: str, plan: str) -> str:
    """Do a task of a plan, unless that was done before with the same files, setup and version; returns how it ended.

    What is wrong with a case is written down, not raised: Dask logs what is raised, and messages name files.

    Parameters
    ----------
    numbers : of the cases.
    task : "evaluate" the case; "compare" how a structure moved between cases that were evaluated; or "train" the regressor that the
        cases share, with the first of them that can be loaded.
    folder, plan : of the cohort, and the name of its plan there.
    """
    try:
        read = Plan(**read_record(Path(folder, plan)))
    except OSError:
        return UNSEEN
    if read.version != __version__:
        return OTHER_VERSION
    with _busy:
        return _TASKS[task](read, numbers, Path(folder))


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
            record = Record(error=_sentence(error))
    messages = dict.fromkeys(str(each.message) for each in given if issubclass(each.category, UserWarning))
    write_record(path, asdict(replace(record, warnings=list(messages))))
    return DONE if record.outcome else FAILED


def _sentence(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory; use fewer workers, or crop the CT to what the X-rays show."
    return f"{type(error).__name__}: {error}"


def _evaluate(plan: Plan, numbers: Sequence[int], folder: Path) -> str:
    (number,) = numbers
    path = plan.cases[number]

    def fingerprint() -> str:
        inputs, _ = hashes(check(path))
        return digest([plan.version, plan.setup, inputs, _weights(plan.evaluation(number, folder))])

    def make() -> Record:
        global _last
        warm_up()
        last, _last = _last, None  # what a case leaves half done is not kept
        done = _last = evaluate_case(path, plan.evaluation(number, folder), last=last)
        pictures = {name: base64.b64encode(data).decode() for name, data in done.pictures.items()}
        pose = None if done.world_from_ct is None else done.world_from_ct.tolist()
        return Record("", asdict(done.outcome), pictures, pose, digest(done.case.anatomy_key))

    return _kept(plan.record(folder, number), fingerprint, make)


def _weights(setup: EvaluationSetup) -> list[str]:
    """Hashes of the regressors on which a case's outcome depends: the one that is given or was trained for it, or any in the store."""
    if setup.start not in ("regressor", "auto"):
        return []
    if setup.model:
        return [Card.read(Path(setup.model)).weights_sha256]
    return sorted(each.card.weights_sha256 for each in all_models() if each.finished)


def _compare(plan: Plan, numbers: Sequence[int], folder: Path) -> str:
    records = [Record.read(plan.record(folder, number)) for number in numbers]

    def make() -> Record:
        cases: list[Case] = []
        for number in numbers:
            cases.append(Case.load(plan.cases[number], cases[-1] if cases else None))
        registered = [(case, np.array(record.world_from_ct)) for case, record in zip(cases, records, strict=True)]
        found = [
            [numbers[a], numbers[b], asdict(outcome)]
            for a, b in combinations(range(len(numbers)), 2)
            for outcome in motions([registered[a], registered[b]])
        ]
        return Record("", {"motions": found})

    return _kept(plan.motion(folder, numbers), lambda: digest([record.fingerprint for record in records]), make)


def _train(plan: Plan, numbers: Sequence[int], folder: Path) -> str:
    path = plan.training(folder, numbers[0])
    before = Record.read(path)
    for number in numbers if before and before.outcome else ():
        with suppress(InputError, OSError):
            if before.fingerprint == _ct_fingerprint(plan, number):
                return KEPT
    for number in numbers:

        def fingerprint(number: int = number) -> str:
            return _ct_fingerprint(plan, number)

        def make(number: int = number) -> Record:
            return _trained(plan, number, folder)

        came = _kept(path, fingerprint, make)
        if came != FAILED:
            return came
    return FAILED


def _ct_fingerprint(plan: Plan, number: int) -> str:
    """Of the files on which a case's regressor depends. InputError for a case that cannot be read."""
    file = CaseFile.read(plan.cases[number])
    return digest([sha256(part.path) for part in (file.ct, file.mask) if part])


def _trained(plan: Plan, number: int, folder: Path) -> Record:
    """Train a case's regressor, or resume its training; returns the record. InputError where that cannot be."""
    from ..regressor.model_store import ct_sha256

    case, model = Case.load(plan.cases[number]), plan.model(folder, number)
    setup = EvaluationSetup(**plan.setup)
    try:
        card = Card.read(model)
        begun = card.ct_sha256 == ct_sha256(case.ct)
    except InputError:
        begun = False
    if not begun:  # it was stopped before anything was saved, or is of what the CT was before
        shutil.rmtree(model, ignore_errors=True)
    if not begun or not card.finished:
        more = {"minutes": plan.minutes, "seed": setup.seed, "resume": begun, "device": setup.method.trains_on}
        card = train(case, model, **more).card
    return Record("", {"steps": card.done, "error_mm": card.error_mm, "device": card.device})


_TASKS = {"evaluate": _evaluate, "compare": _compare, "train": _train}


def regressor_group(file: CaseFile) -> str:
    """The same for cases that share a regressor: those with the same file of the CT, cameras, nominal pose and range."""
    geometries = [view.geometry for view in file.views]
    cameras = [
        [g.projection_matrix.tolist(), None]
        if g.camera is None
        else [g.camera.projection_matrix.tolist(), list(g.camera.size)]
        for g in geometries
    ]
    mask = file.mask and str(file.mask.path.resolve())
    pose = file.world_from_ct is not None and file.world_from_ct.tolist()
    return digest([str(file.ct.path.resolve()), file.ct_unit, mask, cameras, pose, file.search, file.training])
