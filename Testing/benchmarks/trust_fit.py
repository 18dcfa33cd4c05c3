#!/usr/bin/env python
"""Fits the models of assessment/prediction.py: python trust_fit.py ROWS.jsonl --protocol ROWS.tar.xz [--write]

That of a body to the rows of `fault_runs.py trust` and to the bodies of a protocol, that of a structure to its single bones:
prediction.json was fitted to trust_rows.jsonl and protocol_rows.tar.xz beside this file. All tables are of models that were fitted to the
other anatomies alone. What is written is fitted to all rows; the models of the tables are written beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "MultiViewRegistration"))

import numpy as np  # noqa: E402
from scipy import optimize, special  # noqa: E402

from MultiViewRegistrationLib.assessment import prediction  # noqa: E402
from MultiViewRegistrationLib.assessment.prediction import COLUMNS, QUANTILES, WRONG_MM, Model, columns  # noqa: E402
from MultiViewRegistrationLib.assessment.uncertainty import ScaledChiSquare  # noqa: E402
from MultiViewRegistrationLib.assessment.verdict import AMBIGUOUS_RATIO  # noqa: E402
from MultiViewRegistrationLib.studies import protocol_page  # noqa: E402
from MultiViewRegistrationLib.studies.acceptance import NOT_SHOWN, is_sound, mtre  # noqa: E402
from MultiViewRegistrationLib.studies.protocol import reevaluate  # noqa: E402
from MultiViewRegistrationLib.studies.protocol_cases import ct_name  # noqa: E402
from MultiViewRegistrationLib.studies.protocol_page import column  # noqa: E402
from MultiViewRegistrationLib.studies.statistics import (  # noqa: E402
    auroc,
    share,
    table,
    table_of,
)

#: Ridge on the scaled weights, in rows.
RIDGE = 1.0
#: With what was done to these cases the geometry is right, or as uncertain as it is said to be.
SOUND = ("near", "far", "miss", "encoder", "single")
#: Of a log error: few rows must not promise more.
MIN_SD = 0.3
#: A right answer whose features the reasons must not name.
NEAR_MM, USUAL_PERCENT = 1.0, 97
#: Probabilities of a wrong answer up to which a result is accepted, and from which it is rejected: chosen beforehand, not fitted.
ACCEPT, REJECT = 0.02, 0.5


def inputs(rows: list[dict]) -> np.ndarray:
    return np.array([columns(row["features"]) for row in rows])


def fitted(rows: list[dict]) -> Model:
    """A logistic regression of what the images show to be wrong, and the log error of right answers; no weight is negative.

    The log error is normal about a linear function of the features, and the cameras' error adds to it as `Model.predict` has it: both are
    fitted by their likelihood.
    """
    rows = [row for row in rows if row["error"] not in NOT_SHOWN]
    x, mm = inputs(rows), mtre(rows)
    centre, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    scaled, wrong = (x - centre) / scale, mm > WRONG_MM
    cameras_mm = np.array([_camera_quantiles(row) for row in rows])
    told = ~wrong | (mm > cameras_mm[:, -1])  # what the cameras may explain says nothing of the images

    def cost(beta: np.ndarray) -> tuple[float, np.ndarray]:
        z = beta[0] + scaled[told] @ beta[1:]
        p = 1 / (1 + np.exp(-z))
        value = np.sum(np.logaddexp(0, z) - wrong[told] * z) + RIDGE / 2 * beta[1:] @ beta[1:]
        off = p - wrong[told]
        return value, np.concatenate([[np.sum(off)], scaled[told].T @ off + RIDGE * beta[1:]])

    k = x.shape[1]
    bounds = [(None, None)] + [(0, None)] * k
    beta = optimize.minimize(cost, np.zeros(k + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
    near, near_sd = _near(scaled[~wrong], mm[~wrong], cameras_mm[~wrong])
    far = np.log(mm[wrong & told & np.isfinite(mm)])
    return Model(
        *(centre, scale, float(beta[0]), beta[1:], near, near_sd, float(far.mean()), max(float(far.std()), MIN_SD)),
        {name: _usual(rows, name) for name in COLUMNS},
        scaled[~wrong].max(axis=0),
        *(ACCEPT, REJECT),
    )


def _camera_quantiles(row: dict) -> np.ndarray:
    """(QUANTILES,) mm that the cameras' uncertainty adds."""
    return ScaledChiSquare(*row["cameras"]).quantiles_mm(QUANTILES) if row.get("cameras") else np.zeros(QUANTILES)


def _near(scaled: np.ndarray, mm: np.ndarray, cameras_mm: np.ndarray) -> tuple[np.ndarray, float]:
    """(k + 1,) and a number: mean, by 1 and the columns, and deviation of the log error without the cameras' share.

    scaled: (n, k) columns.   mm: (n,).   cameras_mm: (n, q).
    """
    squares = mm[:, None] ** 2 - cameras_mm**2
    logs = np.log(np.maximum(squares, 1e-12 * mm[:, None] ** 2)) / 2
    density = np.where(squares > 0, 2 * np.log(mm)[:, None] - 2 * logs, -np.inf)  # d log rest / d log mm
    density[~np.isfinite(density).any(axis=1)] = (
        0.0  # less than any quantile of the cameras: as if they were the smallest part
    )
    design = np.column_stack([np.ones(len(scaled)), scaled])

    def cost(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        beta, log_sd = parameters[:-1], parameters[-1]
        z = (logs - (design @ beta)[:, None]) * np.exp(-log_sd)
        each = density - z**2 / 2 - log_sd
        total = special.logsumexp(each, axis=1)
        weight = np.exp(each - total[:, None])
        by_mean, by_sd = np.sum(weight * z, axis=1) * np.exp(-log_sd), np.sum(weight * (z**2 - 1), axis=1)
        value = -total.sum() + RIDGE / 2 * beta[1:] @ beta[1:]
        slope = -design.T @ by_mean
        slope[1:] += RIDGE * beta[1:]
        return value, np.append(slope, -by_sd.sum())

    k = scaled.shape[1]
    start = np.concatenate([[np.log(mm).mean()], np.zeros(k), [0.0]])
    bounds = [(None, None), *[(0, None)] * k, (np.log(MIN_SD), None)]
    best = optimize.minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return best[:-1], float(np.exp(best[-1]))


def _usual(rows: list[dict], name: str) -> float:
    """What hardly any right answer is worse than, where nothing was wrong with the case."""
    right = (row for row in rows if row["sound"] and row["mtre_mm"] < NEAR_MM)
    good_is_high = name in ("similarity", "wider_similarity")
    percent = 100 - USUAL_PERCENT if good_is_high else USUAL_PERCENT
    return float(np.percentile([row["features"][name] for row in right], percent))


def of_runs(path: Path) -> list[dict]:
    """The rows of `fault_runs.py trust` as those of a protocol; the mTRE with another patient's CT is infinite."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        if row["failed"]:
            continue
        known = {name: row[name] for name in COLUMNS}
        alone = row["single_view_shift_mm"]
        row["features"] = {
            name: max((each for each in value if each is not None), default=0.0) if isinstance(value, list) else value
            for name, value in known.items()
        }
        row |= {"failed": None, "number": number, "ct": row["anatomy"], "condition": row["how"], "part": "body"}
        row |= {"noise_mm": row["mean_mm"], "noise95_mm": row["bound_mm"], "error_inflation": 1.0}
        row |= {"depth95_mm": 1.96 * row["depth_sd_mm"], "in_plane95_mm": 1.96 * row["in_plane_sd_mm"]}
        row |= {"error": None if row["how"] in SOUND else row["how"], "sound": row["how"] in SOUND[:-1]}
        row["measured"] = None not in alone and (row["gap"] is None or row["gap"] >= AMBIGUOUS_RATIO)
        row["kind"] = "one view" if row["views"] == 1 else "a view with too little" if None in alone else "all views"
        row["mtre_mm"] = np.inf if row["mtre_mm"] is None else row["mtre_mm"]
        rows.append(row)
    return rows


def of_protocol(archive: Path) -> tuple[list[dict], list[dict], dict[str, str]]:
    """Of a protocol's registrations with two views or more those of bodies and of single bones; the SHA-256 of its CTs by their names."""
    with tarfile.open(archive) as held:
        told = {member.name: json.load(held.extractfile(member)) for member in held if member.isfile()}
    cts = {ct_name(Path(ct["name"])): ct["sha256"] for ct in told.pop("protocol.json")["cts"]}
    every = [told[name] for name in sorted(told)]
    rows = [{**row, "sound": is_sound(row)} for row in every if row.get("features") and row["views"] > 1]
    return *([row for row in rows if row["part"] == part] for part in ("body", "bone")), cts


def each_left_out(rows: list[dict]) -> dict[str, Model]:
    """By the name of the CT, what is fitted to all others."""
    names = sorted({row["ct"] for row in rows})
    return {name: fitted([row for row in rows if row["ct"] != name]) for name in names}


def as_judged(rows: list[dict], models: dict[str, Model]) -> list[dict]:
    """Each row with prediction and verdict by the model of all CTs but its own."""
    return [reevaluate(row, models[row["ct"]]) for row in rows]


def noise_alone(rows: list[dict]) -> str:
    """The covariance by itself, where the pose is right."""
    right = [row for row in rows if row["mtre_mm"] < WRONG_MM and row["how"] in ("near", "far", "encoder")]
    groups = {"exact cameras": [row for row in right if row["how"] != "encoder"]}
    groups["cameras within 1 degree, 3 mm"] = [row for row in right if row["how"] == "encoder"]

    def ratio(group: list[dict]) -> np.ndarray:
        return column(group, "mtre_mm") / column(group, "noise_mm")

    columns = {
        "results": len,
        "true / expected mTRE, median": lambda group: f"{np.median(ratio(group)):.2f}",
        "95th percentile": lambda group: f"{np.percentile(ratio(group), 95):.1f}",
        "within the 95 % bound": lambda group: share(column(group, "mtre_mm") <= column(group, "bound_mm")),
        "true / expected depth, median": lambda group: (
            f"{np.median(column(group, 'depth_mm') / column(group, 'depth_sd_mm')):.2f}"
        ),
        "least certain turn within 95 %": lambda group: share(
            np.abs(column(group, "turn_deg")) <= 1.96 * column(group, "turn_sd_deg")
        ),
    }
    return table_of([((name,), group) for name, group in groups.items() if group], [""], columns)


def as_json(model: Model) -> dict:
    values = vars(model).items()
    return {key: value.round(4).tolist() if isinstance(value, np.ndarray) else value for key, value in values}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, nargs="+")
    parser.add_argument(
        "--protocol", type=Path, required=True, help="the rows of a protocol, as an archive with its protocol.json"
    )
    parser.add_argument("--write", action="store_true", help="replace assessment/prediction.json")
    args = parser.parse_args()
    runs = [row for path in args.rows for row in of_runs(path)]
    held, bones, cts = of_protocol(args.protocol)
    every = [row for row in runs if row["kind"] == "all views"] + held
    models, of_bones = each_left_out(every), each_left_out(bones)
    judged = as_judged(every, models)
    sets = {
        "these": [row for row in judged if "how" in row],
        "the protocol's bodies": [row for row in judged if "how" not in row],
        "its bones": as_judged(bones, of_bones),
    }
    for name, rows in sets.items():
        tables = (protocol_page.predictions, protocol_page.verdicts_by_kind, protocol_page.reliability_table)
        print(f"{name}\n\n" + "\n\n".join(make(rows) for make in tables) + "\n")
    model = fitted(every)
    alone = [(kind, [row for row in runs if row["kind"] == kind]) for kind in ("one view", "a view with too little")]
    for name, rows in alone:
        right = [reevaluate(row, model) for row in rows if row["in_plane_mm"] < WRONG_MM and row["error"] is None]
        print(f"{name} speaks\n\n{protocol_page.predictions(right)}\n\n{protocol_page.along_the_beam(right)}\n")
    print(protocol_page.verdicts_by_condition(sets["these"]), "\n\n" + noise_alone(sets["these"]), "\n")
    x, wrong = inputs(every), mtre(every) > WRONG_MM
    weights = [(name, f"{auroc(x[:, i], wrong):.3f}", f"{model.weights[i]:.2f}") for i, name in enumerate(COLUMNS)]
    print(table(["feature", "AUROC > 2 mm by itself", "weight"], weights))
    if args.write:
        fits = {"body": (every, models), "structure": (bones, of_bones)}
        about: dict = {
            kind: {"results": len(of), "above_2_mm": int((mtre(of) > WRONG_MM).sum()), "anatomies": sorted(parts)}
            for kind, (of, parts) in fits.items()
        }
        about["by"] = "Testing/benchmarks/fault_runs.py, mvreg evaluate --protocol, Testing/benchmarks/trust_fit.py"
        content: dict = {"about": about, "columns": list(COLUMNS)}
        for kind, (of, parts) in fits.items():
            without = {cts[name]: as_json(model) for name, model in parts.items()}
            content[kind] = {**as_json(fitted(of)), "without": without}
        path = Path(prediction.__file__).with_name("prediction.json")
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
