"""The protocol: thousands of registrations over all that is thought to matter, each done and kept once, however often it is asked for.

X-rays are simulated, or real ones to which a bone is added; they are registered and assessed as for any case, and held against the truth.
A folder holds what was done: protocol.json says of which protocol, rows/0007.json is the registration 7, pictures/ has its misses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..api import register
from ..assessment import metrics, verdict
from ..assessment.diagnosis import CLEARER
from ..assessment.prediction import WRONG_MM, Model, calibrated
from ..assessment.verdict import decide
from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.view import View
from ..io.case import Case
from ..io.files import sha256, write_atomically
from ..registration.prepared_ct import PreparedCT, warm_up
from ..report.result import Result
from . import bone_insertion
from .bone_insertion import Insertion, RealCase
from .conditions import BODIES, CONDITIONS, MIN_REGISTRATIONS, Condition, Trial, trials
from .failure_figure import failure_figure
from .records import read_record, write_record
from .simulated_case import Subject, ct_name, simulated

VERSION = 1


class Records:
    """The folder of a protocol.

    Attributes
    ----------
    sha256 : of each CT's file, by the CT's name in the rows.
    """

    def __init__(self, folder: Path, cts: Sequence[Path], seed: int, simulator: str = "rtk") -> None:
        """InputError where the folder has registrations of another protocol: they do not go together."""
        self._folder = folder
        about = {"version": VERSION, "seed": seed, "cts": [{"name": path.name, "sha256": sha256(path)} for path in cts]}
        if simulator != "rtk":
            about["simulator"] = simulator
        self.sha256 = {ct_name(path): each["sha256"] for path, each in zip(cts, about["cts"], strict=True)}
        file = folder / "protocol.json"
        if file.exists() and read_record(file) != about:
            raise InputError(
                f"{file}: found registrations of other CTs, another order of them, another seed or another simulator, "
                "expected those that were given now; give another --out, or the same CTs in the same order."
            )
        write_record(file, about)

    def has(self, number: int) -> bool:
        return self._row(number).exists()

    def keep(self, row: dict, picture: bytes | None) -> None:
        """The picture first: a row that is there is done."""
        if picture is not None:
            self.picture(row["number"]).parent.mkdir(exist_ok=True)
            write_atomically(self.picture(row["number"]), picture)
        write_record(self._row(row["number"]), row)

    def picture(self, number: int) -> Path:
        return self._folder / "pictures" / f"{number:04d}.jpg"

    def rows(self) -> list[dict]:
        """All that there are, by their numbers. InputError where a file is not one of ours."""
        return [read_record(path) for path in sorted((self._folder / "rows").glob("[0-9]*.json"))]

    def _row(self, number: int) -> Path:
        return self._folder / "rows" / f"{number:04d}.json"


@dataclass(frozen=True)
class Outcome:
    """What was done of a protocol.

    Parameters
    ----------
    rows : of all registrations that were done by now, see `measured`, as the program's present model judges them; those of a CT to
        which it was fitted, as the model of the others does.
    planned : how many the whole protocol has.
    real : whether real X-rays were registered, with an added bone.
    simulator : whose X-rays they are, if not.
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
    least: int = MIN_REGISTRATIONS,
    simulator: str = "rtk",
) -> Outcome:
    """Do what is not done yet of the protocol, and keep it in the folder.

    Parameters
    ----------
    cts : in Hounsfield units, of patients head first and supine.
    limit : only so many from the beginning of the list, any of which is spread over all conditions.
    simulator : "rtk", or "gvxr", with which bodies alone are simulated.

    Raises
    ------
    InputError where a CT is not there or shows no bone, two have one name, the simulator is missing, or the folder holds another
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

    def name(trial: Trial) -> str:
        return f"{cts[trial.ct].name}, {trial.condition.part}, {trial.condition.name}"

    progress(0.0, f"{len(cts)} CTs" if len(cts) > 1 else "the CT")
    _keep(records, listed, limit, measure, progress, name)
    return Outcome(_as_judged_now(records), len(listed), records, simulator=simulator)


def run_real(
    cases: Sequence[Path],
    folder: Path,
    *,
    seed: int = 0,
    limit: int | None = None,
    progress: Callable[[float, str], object] = lambda fraction, stage: None,
) -> Outcome:
    """The same on real X-rays, to which one more projection of their bone is added at known poses, see `bone_insertion`.

    Parameters
    ----------
    cases : case.json files, each with a start pose about where its bone is.

    Raises
    ------
    InputError where a case is not there, is none, or has no start pose, itk-rtk is missing, or the folder holds another protocol.
    """
    records = Records(folder, cases, seed)
    listed = bone_insertion.insertions(len(cases))
    known: dict[int, RealCase] = {}

    def measure(insertion: Insertion) -> tuple[dict, bytes | None]:
        if insertion.case not in known:
            known.clear()  # their images are large
            known[insertion.case] = RealCase(cases[insertion.case])
        return measured_real(insertion, known[insertion.case], seed)

    _keep(records, listed, limit, measure, progress, lambda insertion: cases[insertion.case].name)
    return Outcome(_as_judged_now(records), len(listed), records, real=True)


def _keep(
    records: Records,
    listed: Sequence,
    limit: int | None,
    measure: Callable,
    progress: Callable[[float, str], object],
    name: Callable[..., str],
) -> None:
    """Do and keep what is not done yet of a list, up to a limit."""
    if limit is not None and limit < 1:
        raise InputError(f"--limit: found {limit}, expected 1 or more.")
    left = [each for each in listed[:limit] if not records.has(each.number)]
    if left:
        warm_up()
    for done, each in enumerate(left):
        progress(done / len(left), name(each))
        records.keep(*measure(each))


def measured(trial: Trial, subject: Subject, seed: int) -> tuple[dict, bytes | None]:
    """The row of a registration, plain data, and a picture where it is wrong, or gave no answer.

    "failed" in it says why there was no answer, "skipped" why there were no X-rays.
    """
    condition = trial.condition
    bone = trial.repeat % len(subject.bones) if condition.part == "bone" and subject.bones else None
    row = {
        "number": trial.number,
        "condition": condition.name,
        "part": condition.part,
        "group": condition.group,
        "ct": subject.name,
        "bone": bone,
        "views": condition.views,
        "apart_deg": condition.apart_deg,
        "error": condition.error,
        "repeat": trial.repeat,
    }
    if condition.part == "bone" and bone is None:
        return {**row, "skipped": "The CT has no bone that stands by itself."}, None
    try:
        made = simulated(trial, subject, bone, seed)
    except InputError as error:
        return {**row, "skipped": str(error)}, None
    row |= {"nuisances": list(made.nuisances)}
    return _registered(row, made.case, subject.part(bone).anatomy, made.cameras, trial.number)


def measured_real(insertion: Insertion, real: RealCase, seed: int) -> tuple[dict, bytes | None]:
    """The same of real X-rays with a bone added."""
    cameras = [view.camera for view in real.case.views]
    axes = [camera.camera_from_world[2, :3] for camera in cameras]
    row = {
        "number": insertion.number,
        "condition": real.name,
        "part": "bone",
        "group": "geometry",
        "ct": real.name,
        "bone": None,
        "views": len(cameras),
        "apart_deg": round(float(np.degrees(np.arccos(np.clip(axes[0] @ axes[-1], -1, 1))))),
        "error": None,
        "repeat": insertion.repeat,
        "nuisances": [],
        "density": real.density,
    }
    try:
        case = real.with_bone(np.random.default_rng([seed, insertion.number]), insertion.interval)
    except InputError as error:
        return {**row, "skipped": str(error)}, None
    return _registered(row, case, real.anatomy, cameras, insertion.number)


def _registered(
    row: dict, case: Case, anatomy: PreparedCT, cameras: list[Camera], seed: int
) -> tuple[dict, bytes | None]:
    """What a registration comes to, added to a row, and its picture, see `measured`. cameras: the true ones."""
    truth = case.truth_world_from_ct

    def picture(views: Sequence[View], found: np.ndarray) -> bytes:
        """At half the X-rays' resolution, which is enough to see what was taken for what, and quick."""
        return failure_figure(anatomy, [view.pooled(2) for view in views], found, truth)

    row = {**row, "start_mm": metrics.mtre(case.world_from_ct, truth, case.targets)}
    try:
        result = register(case, anatomy=anatomy, seed=seed)
    except InputError as error:
        return {**row, "failed": str(error)}, picture(case.views, case.world_from_ct)
    row |= {
        "failed": None,
        **_row_of(result),
        "camera_off": [cameras_off(cameras, [view.camera for view in views]) for views in (case.views, result.views)],
    }
    wrong = not row["mtre_mm"] <= WRONG_MM
    return row, picture(result.views, result.world_from_ct) if wrong else None


def _row_of(result: Result) -> dict:
    """What a registration says of itself, beside what is true."""
    errors, assessment, prediction = result.errors, result.assessment, result.assessment.prediction
    case, first = result.case, result.views[0].camera
    split = metrics.split_by_view(first, result.world_from_ct, case.truth_world_from_ct, case.targets)
    split95 = assessment.splits[0] if assessment.splits else None
    noise = assessment.features and assessment.features.uncertainty.at(
        rigid.transform_points(result.world_from_ct, assessment.targets)
    )
    alternative, background = result.refinement.alternative, result.refinement.world_from_background
    return {
        "mtre_mm": errors.mtre_mm,
        "mpd_mm": errors.mpd_mm,
        "depth_mm": float(np.sqrt(np.mean(split.depth_mm**2))),
        "in_plane_mm": float(np.sqrt(np.mean(split.in_plane_mm**2))),
        "verdict": result.verdict,
        "reasons": list(assessment.reasons),
        "cause": assessment.cause.to_json() if assessment.cause else None,
        "failure_probability": prediction and prediction.failure_probability,
        "mean_mm": prediction and prediction.mean_mm,
        "upper95_mm": prediction and prediction.upper95_mm,
        "bounded": prediction and prediction.bounded,
        "depth95_mm": split95 and split95.depth_mm,
        "in_plane95_mm": split95 and split95.in_plane_mm,
        "error_inflation": assessment.error_inflation,
        "world_from_background": None if background is None else background.tolist(),
        "evidence_ratio": alternative and alternative.evidence_ratio,
        "similarity": list(result.refinement.fit.similarity),
        "world_from_ct": result.world_from_ct.tolist(),
        "features": assessment.features and verdict.model_inputs(assessment.features),
        "measured": assessment.measured,
        "noise_mm": noise and noise.mean_mm,
        "noise95_mm": noise and noise.bound_mm(),
        "diagnosis_incomplete": assessment.diagnosis_incomplete,
        "register_s": result.seconds["initialise"] + result.seconds["refine"],
        "assess_s": result.seconds["assess"],
    }


def cameras_off(true: list[Camera], given: list[Camera]) -> list[float]:
    """[degrees, mm] by which a further camera is off against the first at most, mm at the world origin, about which C-arms turn."""
    worst = np.zeros(2)
    for a, b in zip(true[1:], given[1:], strict=True):
        with_first_true = b.camera_from_world @ rigid.inverse(given[0].camera_from_world) @ true[0].camera_from_world
        away = rigid.inverse(a.camera_from_world) @ with_first_true
        degrees = np.degrees(rigid.rotation_angle(away[:3, :3]))
        worst = np.maximum(worst, [degrees, np.linalg.norm(away[:3, 3])])
    return worst.tolist()


def _as_judged_now(records: Records) -> list[dict]:
    kinds = {"body": "body", "bone": "structure"}
    return [
        reevaluate(row, calibrated(kinds[row["part"]], records.sha256.get(row["ct"], ""))) for row in records.rows()
    ]


def reevaluate(row: dict, model: Model) -> dict:
    """A row of `measured` with the prediction, intervals and verdict of this model: its features were kept."""
    if not row.get("features"):
        return row
    noise = row["noise_mm"], row["noise95_mm"], row["views"]
    prediction, cause = model.predict(row["features"]).no_less_than(*noise), row.get("cause")
    if cause and cause["evidence_gain"] >= CLEARER:
        prediction = prediction.moved(cause["moved_mm"]).no_less_than(*noise)
        verdict_now = decide(prediction, model, False, cause["moved_mm"])
        split = {"depth95_mm": prediction.upper95_mm, "in_plane95_mm": prediction.upper95_mm}
    else:
        verdict_now = decide(prediction, model, row["measured"])
        wider = prediction.upper95_mm / (row["error_inflation"] * row["noise95_mm"])
        split = {key: wider * row[key] for key in ("depth95_mm", "in_plane95_mm")}
    fields = ("failure_probability", "mean_mm", "upper95_mm", "bounded")
    return {**row, **split, **{key: getattr(prediction, key) for key in fields}, "verdict": verdict_now}
