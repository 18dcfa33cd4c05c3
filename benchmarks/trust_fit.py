"""Fits the models of assessment/risk.py: python -m benchmarks trust_fit BODIES.jsonl.xz...

--bones STRUCTURES.jsonl.xz... [--write].

Each file has rows of `python -m benchmarks protocol`. prediction.json was fitted to
rows/fit_bodies.jsonl.xz (seeds 1 to 4) and rows/fit_structures.jsonl.xz, which hold the fields that
the fit needs. All tables are of models that were fitted to the other persons alone.
What is written is fitted to all; the others stand beside it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy import optimize, special, stats

from MultiViewRegistrationLib.assessment import risk
from MultiViewRegistrationLib.assessment.records import WRONG_MM
from MultiViewRegistrationLib.assessment.risk import (
    CAMERA_QUANTILES,
    COLUMNS,
    EXTRA_FEATURES,
    LIMITS,
    BodyModel,
    ErrorModel,
    columns,
)
from MultiViewRegistrationLib.assessment.uncertainty import ScaledChiSquare
from MultiViewRegistrationLib.studies.statistics import table

from . import parser_of
from .kept import Rows
from .protocol import page
from .protocol.acceptance import is_sound, mtre
from .protocol.runs import reevaluate
from .statistics import auroc, logistic

#: Errors by little, `is_off`.
SLIGHTLY_OFF = ("turned", "scaled", "principal point", "ct scale", "slice spacing")
#: Ridge on the scaled weights, in rows.
RIDGE = 1.0
#: Of a log error: few rows must not promise more.
MIN_SD = 0.3
#: A right answer whose features the reasons must not name.
NEAR_MM, USUAL_PERCENT = 1.0, 97
#: Probabilities of a wrong answer up to which a result is accepted, and from which it is rejected:
#: chosen on the rows of the fit, where of 75 results with 2 to 3 % that passed all else none was
#: wrong.
ACCEPT, REJECT = 0.03, 0.5
#: Where views contradict each other nothing tells how far off the bone is: of 102 bodies whose
#: principal point was 3 to 8 px from where it is said to be the bound held in 66, so that none is
#: told. Of 175 bodies with such views and a risk that would be accepted 14 were wrong, where
#: 1.7 were expected. Of single bones neither was measured.
CONTRADICTED_RISK = {"body": 0.08, "bone": 0.0}


#: Of the protocol's page.
TABLES = (page.predictions, page.verdicts_by_kind, page.reliability_table)


def is_off(row: dict) -> bool:
    """Whether a camera, the CT's size or the patient is not where the case says, by so little that the minimum may be the right one."""
    return row["error"] in SLIGHTLY_OFF or row["condition"] == "motion"


def inputs(rows: list[dict]) -> np.ndarray:
    return np.array([columns(row["features"]) for row in rows])


def fitted(rows: list[dict], others: BodyModel | None = None) -> BodyModel:
    """A logistic regression of what the images show to be wrong, and the log error of right answers; no weight is negative.

    The log error is normal about a linear function of the features, and the cameras' error adds to
    it as `BodyModel.predict` has it: both are fitted by their likelihood. Where something is off and
    the minimum may still be the right one, the error is held against the disagreement of the views
    instead, see `_disagreement`; as in `others` where the rows do not tell it.
    """
    off = [row for row in rows if is_off(row) and row["features"]["disagreement"] > LIMITS.disagree]
    if off or others is None:
        by_size = [row for row in off if row["features"]["disagreement_by_size"]]
        others_off = [row for row in off if not row["features"]["disagreement_by_size"]]
        apart, sized = _disagreement(others_off), _disagreement(by_size)
    else:
        apart, sized = (others.apart, others.apart_sd), (others.sized, others.sized_sd)
    rows = [row for row in rows if not is_off(row)]
    x, mm = inputs(rows), mtre(rows)
    centre, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    scaled, wrong = (x - centre) / scale, mm > WRONG_MM
    cameras_mm = np.array([_camera_quantiles(row) for row in rows])
    told = ~wrong | (mm > cameras_mm[:, -1])  # what cameras may explain says nothing of the images
    beta = logistic(scaled[told], wrong[told], RIDGE)
    near, near_sd = _near(scaled[~wrong], mm[~wrong], cameras_mm[~wrong])
    far = np.log(mm[wrong & told & np.isfinite(mm)])
    numbers = centre, scale, scaled[~wrong].max(axis=0), float(beta[0]), beta[1:], near, near_sd
    far_mm = float(far.mean()), max(float(far.std()), MIN_SD)
    usual = {name: _usual(rows, name) for name in COLUMNS}
    contradicted = CONTRADICTED_RISK[rows[0]["part"]]
    return BodyModel(*numbers, *far_mm, ACCEPT, REJECT, *apart, *sized, usual, contradicted)


def _disagreement(rows) -> tuple[float, float]:
    """Median and median deviation of the log of mTRE over `features.disagreement_mm`, as some rows have lost the right minimum."""
    ratios = np.log(mtre(rows)) - np.log(
        [row["features"]["disagreement_mm"] + LIMITS.pad_mm for row in rows]
    )
    return float(np.median(ratios)), float(stats.median_abs_deviation(ratios, scale="normal"))


def _camera_quantiles(row):
    """(CAMERA_QUANTILES,) mm that the cameras' uncertainty adds."""
    if not row.get("cameras"):
        return np.zeros(CAMERA_QUANTILES)
    return ScaledChiSquare(*row["cameras"]).quantiles_mm(CAMERA_QUANTILES)


def _near(scaled, mm, cameras_mm):
    """(k + 1,) and a number: mean, by 1 and the columns, and deviation of the log error without the cameras' share.

    scaled: (n, k) columns.   mm: (n,).   cameras_mm: (n, q).
    """
    squares = mm[:, None] ** 2 - cameras_mm**2
    logs = np.log(np.maximum(squares, 1e-12 * mm[:, None] ** 2)) / 2
    # d log rest / d log mm
    density = np.where(squares > 0, 2 * np.log(mm)[:, None] - 2 * logs, -np.inf)
    # less than any quantile of the cameras: as if they were the smallest part
    density[~np.isfinite(density).any(axis=1)] = 0.0
    design = np.column_stack([np.ones(len(scaled)), scaled])

    def cost(parameters):
        beta, log_sd = parameters[:-1], parameters[-1]
        z = (logs - (design @ beta)[:, None]) * np.exp(-log_sd)
        each = density - z**2 / 2 - log_sd
        total = special.logsumexp(each, axis=1)
        weight = np.exp(each - total[:, None])
        value = -total.sum() + RIDGE / 2 * beta[1:] @ beta[1:]
        slope = -design.T @ np.sum(weight * z, axis=1) * np.exp(-log_sd)
        slope[1:] += RIDGE * beta[1:]
        return value, np.append(slope, -np.sum(weight * (z**2 - 1)))

    k = scaled.shape[1]
    start = np.concatenate([[np.log(mm).mean()], np.zeros(k), [0.0]])
    bounds = [(None, None), *[(0, None)] * k, (np.log(MIN_SD), None)]
    best = optimize.minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return best[:-1], float(np.exp(best[-1]))


def _usual(rows, name):
    """What hardly any right answer is worse than, where nothing was wrong with the case."""
    right = (row for row in rows if is_sound(row) and row["mtre_mm"] < NEAR_MM)
    good_is_high = name in ("similarity", "wider_similarity")
    percent = 100 - USUAL_PERCENT if good_is_high else USUAL_PERCENT
    return float(np.percentile([row["features"][name] for row in right], percent))


def of_protocols(files: list[Path], part: str) -> tuple[list[dict], dict[str, str]]:
    """The registrations of a part with two views or more, and the SHA-256 of each CT by its name."""
    every = (row for file in files for row in Rows(file).rows.values())
    wanted = [
        row for row in every if row["part"] == part and row.get("features") and row["views"] > 1
    ]
    # the structures' are of before views were asked where else they may have the CT
    none = dict.fromkeys(EXTRA_FEATURES, 0.0)
    rows = [row | {"features": none | row["features"]} for row in wanted]
    return rows, {row["ct"]: row["sha256"] for row in rows}


def each_left_out(rows: list[dict], others: BodyModel | None = None) -> dict[str, BodyModel]:
    """By the name of the CT, what is fitted to all others."""
    names = sorted({row["ct"] for row in rows})
    return {name: fitted([row for row in rows if row["ct"] != name], others) for name in names}


def as_judged(rows: list[dict], models: dict[str, BodyModel]) -> list[dict]:
    """Each row with prediction and verdict by the model of all CTs but its own."""
    return [reevaluate(row, models[row["ct"]]) for row in rows]


def as_json(model: ErrorModel) -> dict:
    """The numbers of a model."""
    return {
        key: value.round(4).tolist() if isinstance(value, np.ndarray) else value
        for key, value in vars(model).items()
    }


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("bodies", type=Path, nargs="+")
    parser.add_argument("--bones", type=Path, nargs="+", required=True)
    parser.add_argument("--write", action="store_true", help="replace assessment/prediction.json")
    args = parser.parse_args()
    content: dict = {
        "about": {"by": "python -m benchmarks protocol, trust_fit"},
        "columns": list(COLUMNS),
    }
    model = None
    for kind, part, files in (("body", "body", args.bodies), ("structure", "bone", args.bones)):
        rows, cts = of_protocols(files, part)
        models, model = each_left_out(rows, model), fitted(rows, model)
        judged = as_judged(rows, models)
        print(kind, *(make(judged) for make in TABLES), "", sep="\n\n")
        x, wrong = inputs(rows), mtre(rows) > WRONG_MM
        weights = [
            (name, f"{auroc(x[:, i], wrong):.3f}", f"{model.weights[i]:.2f}")
            for i, name in enumerate(COLUMNS)
        ]
        print(table(["feature", "AUROC > 2 mm by itself", "weight"], weights) + "\n")
        content["about"][kind] = {
            "results": len(rows),
            "above_2_mm": int(wrong.sum()),
            "persons": sorted(models),
        }
        content[kind] = {
            **as_json(model),
            "without": {cts[name]: as_json(each) for name, each in models.items()},
        }
    if args.write:
        path = Path(risk.__file__).with_name("prediction.json")
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
