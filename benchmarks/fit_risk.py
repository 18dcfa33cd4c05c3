"""Fit the risk and error models of assessment/risk.py to the kept rows.

    python -m benchmarks fit_risk [--bodies ROWS...] [--structures ROWS...] [--bones ROWS...] [--test-bones ROWS...] [--write]

There is one fit for each kind of body: whole CTs and single structures (rows of `protocol`), and
bones of a whole CT (rows of `bones`). An error is wrong above WRONG_MM in all of them. The printed
tables are of models fitted without the person of the row; prediction.json has the models fitted to
all rows, and those without one CT.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy import optimize, special, stats

from MultiViewRegistrationLib.assessment import risk
from MultiViewRegistrationLib.assessment.records import WRONG_MM
from MultiViewRegistrationLib.assessment.risk import (
    BONE_COLUMNS,
    CAMERA_QUANTILE_COUNT,
    COLUMNS,
    EXTRA_FEATURES,
    LIMITS,
    BodyRiskModel,
    ErrorModel,
    columns,
)
from MultiViewRegistrationLib.assessment.uncertainty import ScaledChiSquare
from MultiViewRegistrationLib.studies.statistics import table

from . import bone_risk, parser_of
from .kept import Rows
from .protocol import page
from .protocol.acceptance import is_sound, mtre
from .protocol.runs import reevaluate
from .statistics import MIN_SD, RIDGE, auroc, logistic

#: Simulated camera errors so small that the correct minimum may still be found.
SMALL_ERRORS = ("turned", "scaled", "principal point", "ct scale", "slice spacing")
#: `BodyRiskModel.usual` is the percentile, in percent, of features of poses with a smaller error.
NEAR_MM = 1.0
USUAL_PERCENT = 97
#: `ErrorModel.accept` and `reject`, chosen on the rows of the fit: of 75 results with a risk of 2 to
#: 3 % that passed all checks none was wrong.
ACCEPT = 0.03
REJECT = 0.5
#: `BodyRiskModel.contradicted_risk`. Of 175 whole CTs with disagreeing views and a risk below ACCEPT 14
#: were wrong, where 1.7 were expected. For structures it was not measured.
CONTRADICTED_RISK = {"body": 0.08, "structure": 0.0}
#: Part of the protocol's rows to which each model is fitted.
PARTS = {"body": "body", "structure": "bone"}
#: Tables that are printed of each fit.
TABLES = (page.predictions, page.verdicts_by_kind, page.reliability_table)
KEPT = Path(__file__).parent / "rows"


def has_small_input_error(row: dict) -> bool:
    """Return whether the simulated fault is a small camera error, a small error of the CT size, or patient motion."""
    return row["error"] in SMALL_ERRORS or row["condition"] == "motion"


def inputs(rows: list[dict]) -> np.ndarray:
    """Return the columns (n, k) of the model."""
    return np.array([columns(row["features"]) for row in rows])


def fit(rows: list[dict], kind: str, fallback: BodyRiskModel | None = None) -> BodyRiskModel:
    """Fit the model of whole CTs ("body") or of structures.

    The probability of a wrong pose is a logistic regression with weights of at least 0. The log error
    of correct poses is normal about a linear function of the features; the error due to the cameras
    is added as in `BodyRiskModel.predict`. Both are maximum likelihood estimates. Rows with a small
    input error are excluded from both fits; from them the ratio of error to disagreement of the views
    is estimated (`_disagreement_ratio`).

    Parameters
    ----------
    fallback
        Model whose ratios are used if no row has a small input error.
    """
    small = [
        row
        for row in rows
        if has_small_input_error(row) and row["features"]["disagreement"] > LIMITS.disagree
    ]
    if small or fallback is None:
        by_size = [row for row in small if row["features"]["disagreement_by_size"]]
        by_motion = [row for row in small if not row["features"]["disagreement_by_size"]]
        motion_ratio, size_ratio = _disagreement_ratio(by_motion), _disagreement_ratio(by_size)
    else:
        motion_ratio = fallback.motion_ratio, fallback.motion_ratio_sd
        size_ratio = fallback.size_ratio, fallback.size_ratio_sd
    rows = [row for row in rows if not has_small_input_error(row)]
    x, error_mm = inputs(rows), mtre(rows)
    centre, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    scaled, wrong = (x - centre) / scale, error_mm > WRONG_MM
    cameras_mm = np.array([_camera_quantiles(row) for row in rows])
    # Errors that the cameras may explain tell nothing about the images.
    informative = ~wrong | (error_mm > cameras_mm[:, -1])
    beta = logistic(scaled[informative], wrong[informative], RIDGE)
    near, near_sd = _fit_correct(scaled[~wrong], error_mm[~wrong], cameras_mm[~wrong])
    log_far = np.log(error_mm[wrong & informative & np.isfinite(error_mm)])
    return BodyRiskModel(
        centre=centre,
        scale=scale,
        limits=scaled[~wrong].max(axis=0),
        intercept=float(beta[0]),
        weights=beta[1:],
        near=near,
        near_sd=near_sd,
        far=float(log_far.mean()),
        far_sd=max(float(log_far.std()), MIN_SD),
        accept=ACCEPT,
        reject=REJECT,
        motion_ratio=motion_ratio[0],
        motion_ratio_sd=motion_ratio[1],
        size_ratio=size_ratio[0],
        size_ratio_sd=size_ratio[1],
        usual={name: _usual_limit(rows, name) for name in COLUMNS},
        contradicted_risk=CONTRADICTED_RISK[kind],
    )


def _disagreement_ratio(rows: list[dict]) -> tuple[float, float]:
    """Return median and median absolute deviation of the log ratio of mTRE to `features.disagreement_mm`.

    They are robust against rows in which the correct minimum was not found.
    """
    lengths_mm = [row["features"]["disagreement_mm"] + LIMITS.pad_mm for row in rows]
    log_ratio = np.log(mtre(rows)) - np.log(lengths_mm)
    deviation = stats.median_abs_deviation(log_ratio, scale="normal")
    return float(np.median(log_ratio)), float(deviation)


def _camera_quantiles(row: dict) -> np.ndarray:
    """Return CAMERA_QUANTILE_COUNT quantiles, mm, of the error due to the cameras."""
    if not row.get("cameras"):
        return np.zeros(CAMERA_QUANTILE_COUNT)
    return ScaledChiSquare(*row["cameras"]).quantiles_mm(CAMERA_QUANTILE_COUNT)


def _fit_correct(
    scaled: np.ndarray, error_mm: np.ndarray, cameras_mm: np.ndarray
) -> tuple[np.ndarray, float]:
    """Fit the log error of correct poses after removal of the part due to the cameras.

    Parameters
    ----------
    scaled, error_mm, cameras_mm
        (n, k) columns; (n,) errors; (n, q) quantiles of the error due to the cameras.

    Returns
    -------
    near, near_sd
        (k + 1,) intercept and weights of the mean log error, and its standard deviation.
    """
    squares = error_mm[:, None] ** 2 - cameras_mm**2
    logs = np.log(np.maximum(squares, 1e-12 * error_mm[:, None] ** 2)) / 2
    # Log of the derivative d log(remaining error) / d log(error), for the change of variable.
    log_jacobian = np.where(squares > 0, 2 * np.log(error_mm)[:, None] - 2 * logs, -np.inf)
    # An error below all quantiles counts as one whose camera share is negligible.
    log_jacobian[~np.isfinite(log_jacobian).any(axis=1)] = 0.0
    design = np.column_stack([np.ones(len(scaled)), scaled])

    def cost(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        beta, log_sd = parameters[:-1], parameters[-1]
        z = (logs - (design @ beta)[:, None]) * np.exp(-log_sd)
        terms = log_jacobian - z**2 / 2 - log_sd
        total = special.logsumexp(terms, axis=1)
        weight = np.exp(terms - total[:, None])
        value = -total.sum() + RIDGE / 2 * beta[1:] @ beta[1:]
        gradient = -design.T @ np.sum(weight * z, axis=1) * np.exp(-log_sd)
        gradient[1:] += RIDGE * beta[1:]
        return value, np.append(gradient, -np.sum(weight * (z**2 - 1)))

    k = scaled.shape[1]
    start = np.concatenate([[np.log(error_mm).mean()], np.zeros(k), [0.0]])
    bounds = [(None, None), *[(0, None)] * k, (np.log(MIN_SD), None)]
    best = optimize.minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return best[:-1], float(np.exp(best[-1]))


def _usual_limit(rows: list[dict], name: str) -> float:
    """Return the value of a feature beyond which, on its bad side, hardly any correct pose lies."""
    correct = (row for row in rows if is_sound(row) and row["mtre_mm"] < NEAR_MM)
    high_is_good = name in ("similarity", "wider_similarity")
    percent = 100 - USUAL_PERCENT if high_is_good else USUAL_PERCENT
    return float(np.percentile([row["features"][name] for row in correct], percent))


def read(files: list[Path], kind: str) -> tuple[list[dict], dict[str, str]]:
    """Read the registrations with two or more views, and the SHA-256 of each CT by its name."""
    rows = (row for file in files for row in Rows(file).rows.values())
    wanted = [
        row
        for row in rows
        if row["part"] == PARTS[kind] and row.get("features") and row["views"] > 1
    ]
    # The rows of structures are older than EXTRA_FEATURES.
    absent = dict.fromkeys(EXTRA_FEATURES, 0.0)
    complete = [row | {"features": absent | row["features"]} for row in wanted]
    return complete, {row["ct"]: row["sha256"] for row in complete}


def fit_leaving_out_each_ct(
    rows: list[dict], kind: str, fallback: BodyRiskModel | None = None
) -> dict[str, BodyRiskModel]:
    """Return, by the name of each CT, the model fitted to the rows of all other CTs."""
    names = sorted({row["ct"] for row in rows})
    return {name: fit([row for row in rows if row["ct"] != name], kind, fallback) for name in names}


def cross_validated(rows: list[dict], models: dict[str, BodyRiskModel]) -> list[dict]:
    """Return the rows with risk and verdict, by the model fitted without their CT."""
    return [reevaluate(row, models[row["ct"]]) for row in rows]


def as_json(model: ErrorModel) -> dict:
    """Return the coefficients of a model."""
    return {
        key: value.round(4).tolist() if isinstance(value, np.ndarray) else value
        for key, value in vars(model).items()
    }


def main() -> None:
    """Fit the models, print their tables, and write prediction.json if wanted."""
    parser = parser_of(__doc__)
    for name in ("bodies", "structures", "bones"):
        default = [KEPT / f"fit_{name}.jsonl.xz"]
        parser.add_argument(f"--{name}", type=Path, nargs="+", default=default)
    parser.add_argument(
        "--test-bones",
        type=Path,
        nargs="+",
        help="rows of bones to assess, by default those of the fit",
    )
    parser.add_argument("--write", action="store_true", help="replace assessment/prediction.json")
    args = parser.parse_args()
    about: dict = {"by": "python -m benchmarks fit_risk"}
    content: dict = {"about": about}
    content["columns"] = {"body": list(COLUMNS), "structure": list(COLUMNS)}
    content["columns"]["bone"] = list(BONE_COLUMNS)
    model = None
    for kind, files in (("body", args.bodies), ("structure", args.structures)):
        rows, cts = read(files, kind)
        models, model = fit_leaving_out_each_ct(rows, kind, model), fit(rows, kind, model)
        print(kind, *(make(cross_validated(rows, models)) for make in TABLES), "", sep="\n\n")
        x, wrong = inputs(rows), mtre(rows) > WRONG_MM
        lines = [
            (name, f"{auroc(x[:, i], wrong):.3f}", f"{model.weights[i]:.2f}")
            for i, name in enumerate(COLUMNS)
        ]
        print(
            table(["feature", "AUROC of the feature alone (error > 2 mm)", "weight"], lines) + "\n"
        )
        about[kind] = _counts(wrong, models)
        without = {cts[name]: as_json(other) for name, other in models.items()}
        content[kind] = {**as_json(model), "without": without}
    bones = bone_risk.read(args.bones)
    judged = bone_risk.read(args.test_bones) if args.test_bones else bones
    print("bone", bone_risk.table(bone_risk.cross_validated(judged, bones)), "", sep="\n\n")
    content["bone"] = as_json(bone_risk.fit(bones))
    people = {row["person"] for row in bones}
    about["bone"] = _counts(np.array([row["wrong"] for row in bones]), people)
    if args.write:
        path = Path(risk.__file__).with_name("prediction.json")
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _counts(wrong: np.ndarray, people) -> dict:
    return {"results": len(wrong), "above_2_mm": int(wrong.sum()), "persons": sorted(people)}
