"""The protocol: thousands of simulated registrations over all that is thought to matter, each done once, however often it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...assessment.prediction import calibrated
from ...errors import InputError
from ...registration.prepared_ct import warm_up
from . import planted
from .conditions import BODIES, CONDITIONS, LEAST, Condition, Trial, trials
from .judged import judged
from .records import Records
from .subject import Subject
from .trial import measured


@dataclass(frozen=True)
class Outcome:
    """rows: of all registrations that were done by now, see `trial.measured`, as the program's present model judges them; those of a CT to
        which it was fitted, as the model of the others does.

    planned: how many the whole protocol has.   real: whether real X-rays were registered, with an added bone.

    simulator: whose X-rays they are, if not.
    """

    rows: list[dict]
    planned: int
    records: Records
    real: bool = False
    simulator: str = "rtk"


def run(
    cts: Sequence[Path],
    folder: Path,
    *,
    seed: int = 0,
    limit: int | None = None,
    progress: Callable[[float, str], object] = lambda fraction, stage: None,
    conditions: Sequence[Condition] | None = None,
    least: int = LEAST,
    simulator: str = "rtk",
) -> Outcome:
    """Does what is not done yet of the protocol, and keeps it in the folder.

    cts: in Hounsfield units, of patients head first and supine.   limit: only so many from the beginning of the list, any of which is
    spread over all conditions.   simulator: "rtk", or "gvxr", with which bodies alone are simulated.

    Raises InputError where a CT is not there or shows no bone, two have one name, the simulator is missing, or the folder holds another
    protocol.
    """
    for path in cts:
        if not path.exists():
            raise InputError(f"{path}: found nothing, expected a CT; correct the path.")
        if path.is_dir():
            raise InputError(
                f"{path}: found a folder, expected a file with a CT in Hounsfield units; write the series as one file."
            )
    if len({path.name for path in cts}) < len(cts):
        raise InputError(
            "--protocol: found two CTs with one file name, expected names that tell them apart; rename one."
        )
    records = Records(folder, cts, seed, simulator)
    listed = trials(len(cts), conditions or (CONDITIONS if simulator == "rtk" else BODIES), least, seed)
    subjects: dict[int, Subject] = {}

    def measure(trial: Trial) -> tuple[dict, bytes | None]:
        if trial.ct not in subjects:
            subjects[trial.ct] = Subject(cts[trial.ct], seed + trial.ct, simulator)
        return measured(trial, subjects[trial.ct], seed)

    progress(0.0, f"{len(cts)} CTs" if len(cts) > 1 else "the CT")
    _keep(
        records,
        listed,
        limit,
        measure,
        progress,
        lambda trial: f"{cts[trial.ct].name}, {trial.condition.part}, {trial.condition.name}",
    )
    return Outcome(_as_judged_now(records), len(listed), records, simulator=simulator)


def run_real(
    cases: Sequence[Path],
    folder: Path,
    *,
    seed: int = 0,
    limit: int | None = None,
    progress: Callable[[float, str], object] = lambda fraction, stage: None,
) -> Outcome:
    """The same on real X-rays, to which one more projection of their bone is added at known poses, see `planted`.

    cases: case.json files, each with a start pose about where its bone is.

    Raises InputError where a case is not there, is none, or has no start pose, itk-rtk is missing, or the folder holds another protocol.
    """
    records = Records(folder, cases, seed)
    listed = planted.trials(len(cases))
    known: dict[int, planted.RealCase] = {}

    def measure(trial: planted.Trial) -> tuple[dict, bytes | None]:
        if trial.case not in known:
            known.clear()  # their images are large
            known[trial.case] = planted.RealCase(cases[trial.case])
        return planted.measured(trial, known[trial.case], seed)

    _keep(records, listed, limit, measure, progress, lambda trial: cases[trial.case].name)
    return Outcome(_as_judged_now(records), len(listed), records, real=True)


def _as_judged_now(records: Records) -> list[dict]:
    kinds = {"body": "body", "bone": "structure"}
    return [judged(row, calibrated(kinds[row["part"]], records.sha256.get(row["ct"], ""))) for row in records.rows()]


def _keep(
    records: Records,
    listed: Sequence,
    limit: int | None,
    measure: Callable,
    progress: Callable[[float, str], object],
    name: Callable[..., str],
) -> None:
    """Does and keeps what is not done yet of a list, up to a limit."""
    if limit is not None and limit < 1:
        raise InputError(f"--limit: found {limit}, expected 1 or more.")
    left = [trial for trial in listed[:limit] if not records.has(trial.number)]
    if left:
        warm_up()
    for done, trial in enumerate(left):
        progress(done / len(left), name(trial))
        records.keep(*measure(trial))
