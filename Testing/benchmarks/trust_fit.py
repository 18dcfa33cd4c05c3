#!/usr/bin/env python
"""Fits the models of assessment/prediction.py: python trust_fit.py ROWS.jsonl --protocol ROWS.tar.xz [--write]

That of a body to the rows of trust_runs.py and to the bodies of a protocol, that of a structure to its single bones: prediction.json was
fitted to trust_rows.jsonl and protocol_rows.tar.xz beside this file. All tables are of models that were fitted to the other anatomies
alone. What is written is fitted to all rows; the models of the tables are written beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
from itertools import compress, pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "MultiViewRegistration"))

import numpy as np  # noqa: E402
from scipy import optimize  # noqa: E402

from MultiViewRegistrationLib.assessment import prediction  # noqa: E402
from MultiViewRegistrationLib.assessment.prediction import COLUMNS, WRONG_MM, Model, Prediction, columns  # noqa: E402
from MultiViewRegistrationLib.assessment.verdict import AMBIGUOUS_RATIO, decide  # noqa: E402
from MultiViewRegistrationLib.studies import tables  # noqa: E402
from MultiViewRegistrationLib.studies.protocol import reevaluate  # noqa: E402
from MultiViewRegistrationLib.studies.protocol_tables import is_sound  # noqa: E402
from MultiViewRegistrationLib.studies.simulated_case import ct_name  # noqa: E402
from MultiViewRegistrationLib.studies.statistics import auroc  # noqa: E402

#: Ridge on the scaled weights, in rows.
RIDGE = 1.0
#: Nothing is wrong with these cases.
SOUND = ("near", "far", "miss", "encoder", "protocol")
#: Of a log error: few rows must not promise more.
MIN_SD = 0.3
#: A right answer whose features the reasons must not name.
NEAR_MM, USUAL_PERCENT = 1.0, 97
#: Probabilities of a wrong answer up to which a result is accepted, and from which it is rejected: chosen beforehand, not fitted.
ACCEPT, REJECT = 0.02, 0.5


def numbers(row: dict) -> dict[str, float]:
    """The features of a row by the names of COLUMNS, as `verdict.model_inputs` has them."""
    if "features" in row:
        return row["features"]
    return {
        name: max((each for each in row[name] if each is not None), default=0.0)
        if isinstance(row[name], list)
        else row[name]
        for name in COLUMNS
    }


def table(rows: list[dict]) -> np.ndarray:
    return np.array([columns(numbers(row)) for row in rows])


def errors(rows: list[dict]) -> np.ndarray:
    """mTRE; of another patient's CT infinite."""
    return np.array([np.inf if row["mtre_mm"] is None else row["mtre_mm"] for row in rows])


def fitted(rows: list[dict]) -> Model:
    """A logistic regression whose weights are not negative, and a linear one of the right answers' log error."""
    x, mm = table(rows), errors(rows)
    centre, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    scaled, wrong = (x - centre) / scale, mm > WRONG_MM

    def cost(beta: np.ndarray) -> tuple[float, np.ndarray]:
        z = beta[0] + scaled @ beta[1:]
        p = 1 / (1 + np.exp(-z))
        value = np.sum(np.logaddexp(0, z) - wrong * z) + RIDGE / 2 * beta[1:] @ beta[1:]
        slope = scaled.T @ (p - wrong) + RIDGE * beta[1:]
        return value, np.concatenate([[np.sum(p - wrong)], slope])

    k = x.shape[1]
    beta = optimize.minimize(
        cost, np.zeros(k + 1), jac=True, method="L-BFGS-B", bounds=[(None, None)] + [(0, None)] * k
    ).x
    near = ~wrong
    design = np.column_stack([np.ones(near.sum()), scaled[near]])
    ridge = np.vstack([design, np.sqrt(RIDGE) * np.eye(k + 1)[1:]])
    target = np.concatenate([np.log(mm[near]), np.zeros(k)])
    size = optimize.lsq_linear(ridge, target, bounds=([-np.inf] + [0] * k, np.inf)).x
    left = np.log(mm[near]) - design @ size
    far = np.log(mm[wrong & np.isfinite(mm)])
    usual = {name: _feature(rows, name, near_mm=NEAR_MM) for name in COLUMNS}
    return Model(
        centre,
        scale,
        float(beta[0]),
        beta[1:],
        size,
        max(float(left.std()), MIN_SD),
        float(far.mean()),
        max(float(far.std()), MIN_SD),
        usual,
        scaled[near].max(axis=0),
        ACCEPT,
        REJECT,
    )


def _feature(rows: list[dict], name: str, near_mm: float) -> float:
    """What hardly any right answer is worse than, where nothing was wrong with the case."""
    values = np.array([numbers(row)[name] for row in rows if row["how"] in SOUND and row["mtre_mm"] < near_mm])
    good_is_high = name in ("similarity", "wider_similarity")
    return float(np.percentile(values, 100 - USUAL_PERCENT if good_is_high else USUAL_PERCENT))


def told_by(model: Model, row: dict) -> Prediction:
    """As assessment/verdict.py has it."""
    noise = ("noise_mm", "noise95_mm") if "features" in row else ("mean_mm", "bound_mm")
    return model.predict(numbers(row)).no_less_than(*(row[name] for name in noise), row["views"])


def summary(told: list, rows: list[dict], name: str) -> list[str]:
    """A row of the table."""
    mm, verdict = errors(rows), np.array([row["verdict"] for row in rows])
    wrong, known = mm > WRONG_MM, np.isfinite(mm)
    p, upper = np.array([each.failure_probability for each in told]), np.array([each.upper95_mm for each in told])
    accepted = verdict == "accept"
    return [
        name,
        str(len(rows)),
        f"{auroc(p, wrong):.3f}",
        f"{auroc(p, mm > 1):.3f}",
        tables.share(wrong, accepted),
        tables.share(accepted, wrong),
        tables.share(verdict == "reject", mm < 1),
        tables.share(accepted, mm < 1),
        tables.share(mm <= upper, known),
        tables.share(mm <= upper, mm <= WRONG_MM),
    ]


HEADS = [
    "results",
    "number",
    "AUROC > 2 mm",
    "AUROC > 1 mm",
    "wrong of the accepted",
    "accepted of the wrong",
    "rejected of those under 1 mm",
    "accepted of those under 1 mm",
    "mTRE within the bound",
    "the same of the right",
]


def reliability(told: list, rows: list[dict]) -> str:
    """Said against found, by bands of the probability."""
    p, wrong = np.array([each.failure_probability for each in told]), errors(rows) > WRONG_MM
    edges = [0, 0.005, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1.0001]
    body = []
    for low, high in pairwise(edges):
        held = (p >= low) & (p < high)
        if held.any():
            body.append(
                [
                    f"{100 * low:g} to {min(100 * high, 100):g} %",
                    f"{100 * p[held].mean():.1f} %",
                    tables.share(wrong, held),
                ]
            )
    return tables.table(["said", "mean", "wrong"], body)


def by_kind(told: list, rows: list[dict]) -> str:
    verdict, mm = np.array([row["verdict"] for row in rows]), errors(rows)
    body = []
    for how in sorted({row["how"] for row in rows}):
        held = np.array([row["how"] == how for row in rows])
        body.append(
            [
                how,
                str(int(held.sum())),
                str(int((held & (mm > WRONG_MM)).sum())),
                *(
                    " / ".join(
                        str(int((held & group & (verdict == word)).sum())) for word in ("accept", "check", "reject")
                    )
                    for group in (mm < 1, (mm >= 1) & (mm <= WRONG_MM), mm > WRONG_MM)
                ),
            ]
        )
    return tables.table(
        ["what was done", "results", "above 2 mm", "under 1 mm: accept / check / reject", "1 to 2 mm", "above 2 mm"],
        body,
    )


def noise_alone(rows: list[dict]) -> str:
    """The covariance by itself, where the pose is right."""
    right = [
        row
        for row in rows
        if row["mtre_mm"] is not None and row["mtre_mm"] < WRONG_MM and row["how"] in ("near", "far", "encoder")
    ]
    body = []
    for name, held in (
        ("exact cameras", [row for row in right if row["how"] != "encoder"]),
        ("cameras within 1 degree, 3 mm", [row for row in right if row["how"] == "encoder"]),
    ):
        if held:
            ratio = np.array([row["mtre_mm"] / row["mean_mm"] for row in held])
            within = np.array([row["mtre_mm"] <= row["bound_mm"] for row in held])
            turn = np.array([abs(row["turn_deg"]) <= 1.96 * row["turn_sd_deg"] for row in held])
            depth = np.array([row["depth_mm"] / row["depth_sd_mm"] for row in held])
            every = np.ones(len(held), bool)
            body.append(
                [
                    name,
                    str(len(held)),
                    f"{np.median(ratio):.2f}",
                    f"{np.percentile(ratio, 95):.1f}",
                    tables.share(within, every),
                    f"{np.median(depth):.2f}",
                    tables.share(turn, every),
                ]
            )
    return tables.table(
        [
            "",
            "results",
            "true / expected mTRE, median",
            "95th percentile",
            "within the 95 % bound",
            "true / expected depth, median",
            "least certain turn within 95 %",
        ],
        body,
    )


def without_a_second_view(groups: dict[str, list[dict]], model: Model) -> str:
    """What is said where one view alone speaks for the pose, of sound cases whose answer is right but for its depth."""
    body = []
    for name, rows in groups.items():
        held = [row for row in rows if row["how"] in (*SOUND, "single") and row["in_plane_mm"] < WRONG_MM]
        if held:
            every, told = np.ones(len(held), bool), [told_by(model, row) for row in held]
            within = np.array([row["mtre_mm"] <= each.upper95_mm for row, each in zip(held, told, strict=True)])
            depth = np.array(
                [
                    row["depth_mm"] <= 1.96 * row["depth_sd_mm"] * each.upper95_mm / row["bound_mm"]
                    for row, each in zip(held, told, strict=True)
                ]
            )
            noise = np.array([row["depth_mm"] <= 1.96 * row["depth_sd_mm"] for row in held])
            median = np.median([row["depth_mm"] for row in held])
            body.append(
                [
                    name,
                    str(len(held)),
                    f"{median:.2f}",
                    tables.share(within, every),
                    tables.share(depth, every),
                    tables.share(noise, every),
                ]
            )
    return tables.table(
        [
            "speaks",
            "results",
            "depth error, median mm",
            "mTRE within the bound",
            "depth within its interval",
            "by noise alone",
        ],
        body,
    )


def protocol(archive: Path) -> tuple[list[dict], list[dict], dict[str, str]]:
    """Of a protocol's registrations with two views or more those of bodies and of single bones, with an anatomy and "how" as the rows of
    trust_runs.py; and the SHA-256 of its CTs by their names.
    """
    with tarfile.open(archive) as held:
        told = {member.name: json.load(held.extractfile(member)) for member in held if member.isfile()}
    cts = {ct_name(Path(ct["name"])): ct["sha256"] for ct in told.pop("protocol.json")["cts"]}
    rows = [
        {**row, "anatomy": row["ct"], "how": "protocol" if is_sound(row) else "protocol, geometry wrong"}
        for _, row in sorted(told.items())
        if row.get("features") and row["views"] > 1
    ]
    return *([row for row in rows if row["part"] == part] for part in ("body", "bone")), cts


def each_left_out(rows: list[dict]) -> dict[str, Model]:
    """By the anatomy, what is fitted to all others."""
    return {
        name: fitted([row for row in rows if row["anatomy"] != name])
        for name in sorted({row["anatomy"] for row in rows})
    }


def as_judged(rows: list[dict], models: dict[str, Model]) -> tuple[list[Prediction], list[dict]]:
    """Predict each row by the model of all anatomies but its own; also return the rows with their verdicts, a protocol's with causes."""
    told, held = [], []
    for row in rows:
        model = models[row["anatomy"]]
        if "features" in row:
            held.append(reevaluate(row, model))
            told.append(
                Prediction(*(held[-1][name] for name in ("mean_mm", "upper95_mm", "failure_probability", "bounded")))
            )
        else:
            told.append(told_by(model, row))
            measured = None not in row["single_view_shift_mm"] and (row["gap"] is None or row["gap"] >= AMBIGUOUS_RATIO)
            held.append({**row, "verdict": decide(told[-1], model, measured)})
    return told, held


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, nargs="+")
    parser.add_argument(
        "--protocol", type=Path, required=True, help="the rows of a protocol, as an archive with its protocol.json"
    )
    parser.add_argument("--write", action="store_true", help="replace assessment/prediction.json")
    parser.add_argument(
        "--unlike", type=float, metavar="P", help="also list wrong answers below this probability, right ones above"
    )
    args = parser.parse_args()
    rows = [json.loads(line) for path in args.rows for line in path.read_text().splitlines()]
    failed = sum(row["failed"] for row in rows)
    rows = [row for row in rows if not row["failed"]]
    alone = [row for row in rows if row["views"] == 1]
    blind = [row for row in rows if row["views"] > 1 and None in row["single_view_shift_mm"]]
    rows = [row for row in rows if row["views"] > 1 and None not in row["single_view_shift_mm"]]
    held, bones, cts = protocol(args.protocol)
    every = rows + held
    models, of_bones = each_left_out(every), each_left_out(bones)
    told, rows = as_judged(rows, models)
    mm = errors(rows)
    print(
        f"{len(rows)} results with two views or more, {int((mm > WRONG_MM).sum())} of them above {WRONG_MM:g} mm; {failed} gave none. "
        f"Left out: {len(blind)} in which a view had too little to be compared, {len(alone)} of one view.\n"
    )
    body = []
    results = {
        "all": (told, rows),
        "the protocol's bodies": as_judged(held, models),
        "its bones": as_judged(bones, of_bones),
    }
    for name, each in results.items():
        sound = [row["how"] in SOUND for row in each[1]]
        body += [summary(*each, name), summary(*(list(compress(part, sound)) for part in each), f"{name}, sound")]
    print(tables.table(HEADS, body), "\n")
    print(reliability(told, rows), "\n\n" + by_kind(told, rows), "\n\n" + noise_alone(rows), "\n")
    model = fitted(every)
    print(without_a_second_view({"one view": alone, "a view with too little": blind}, model), "\n")
    x, wrong = table(every), errors(every) > WRONG_MM
    print(
        tables.table(
            ["feature", "AUROC > 2 mm by itself", "weight"],
            [
                [name, f"{auroc(x[:, i], wrong):.3f}", f"{weight:.2f}"]
                for i, (name, weight) in enumerate(zip(COLUMNS, model.weights, strict=True))
            ],
        )
    )
    if args.unlike is not None:
        for row, each, error in sorted(zip(rows, told, mm, strict=True), key=lambda item: item[1].failure_probability):
            if (error > WRONG_MM) == (each.failure_probability < args.unlike):
                print(
                    row["key"],
                    f"{error:.2f} mm, {each.failure_probability:.4f}",
                    {name: round(value, 2) for name, value in numbers(row).items()},
                )
    seconds = np.array([(row["assess_s"], row["register_s"]) for row in rows if row["how"] != "miss"])
    print(
        f"\nseconds: assessment {np.median(seconds[:, 0]):.2f}, registration {np.median(seconds[:, 1]):.2f} (medians); assessment less "
        f"in {100 * np.mean(seconds[:, 0] < seconds[:, 1]):.1f} %"
    )
    if args.write:
        fits = {"body": (every, models), "structure": (bones, of_bones)}
        about = {
            kind: {
                "results": len(of),
                "above_2_mm": int((errors(of) > WRONG_MM).sum()),
                "anatomies": sorted(parts),
                "how": sorted({row["how"] for row in of}),
            }
            for kind, (of, parts) in fits.items()
        }
        prediction.write(
            {kind: fitted(of) for kind, (of, _) in fits.items()},
            {kind: {cts[name]: model for name, model in parts.items()} for kind, (_, parts) in fits.items()},
            Path(prediction.__file__).with_name("prediction.json"),
            {
                **about,
                "by": "Testing/benchmarks/trust_runs.py, mvreg evaluate --protocol, Testing/benchmarks/trust_fit.py",
            },
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
