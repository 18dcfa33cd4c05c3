"""Fits and judges the model of assessment/bone_prediction.py.

python -m benchmarks bones_fit [--fit ROWS.jsonl...] [--judge ROWS.jsonl...] [--write]

Rows are those of `bones.py`; rows/bones.jsonl.xz are those of seed 72, on which the model stands.
All tables are of models that were fitted to the other two people, on the rows of --fit; those of
--judge were in no fit and no choice. What --write writes is fitted to all rows of --fit.

What must hold, fixed before seed 52 was run: no bone that is more than 2 mm off is accepted, of
1,000 accepted at least; of the right ones whose mask has no fault 60 % are accepted, and 3 % at
most rejected; the AUROC of the risk is 0.98; a spine at a wrong level is never accepted. Columns
and limits were chosen on seed 71. What was found is in docs/validation.md.
"""

from __future__ import annotations

import argparse
import json
import lzma
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy import optimize

from MultiViewRegistrationLib.assessment import bone_prediction
from MultiViewRegistrationLib.assessment.bone_prediction import COLUMNS, BoneModel
from MultiViewRegistrationLib.assessment.bone_verdict import predicted
from MultiViewRegistrationLib.assessment.prediction import WRONG_MM, columns

from .statistics import auroc, logistic

KEPT = Path(__file__).parent / "rows/bones.jsonl.xz"
#: Ridge on the scaled weights, in rows; of a log error at least.
RIDGE, MIN_SD = 1.0, 0.3
#: Chosen on the rows of seed 71.
ACCEPT, REJECT = 0.03, 0.7


def read(paths: list[Path]) -> list[dict]:
    """A row for each bone, of files that may be compressed by xz."""
    rows: list[dict] = []
    for path in paths:
        with (lzma.open if path.suffix == ".xz" else open)(path, "rt", encoding="utf-8") as stream:
            rows += [row for line in stream for row in json.loads(line)["bones"]]
    for row in rows:
        row["wrong"] = row["mm"] > WRONG_MM
        row["features"] = SimpleNamespace(**row["features"])
    return rows


def fitted(rows: list[dict]) -> BoneModel:
    """A logistic regression without negative weights, and the log error of right answers by the same columns."""
    x = np.array([columns(vars(row["features"]), COLUMNS) for row in rows])
    wrong, logs = np.array([row["wrong"] for row in rows]), np.log([row["mm"] for row in rows])
    centre, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    scaled = (x - centre) / scale
    k, beta = x.shape[1], logistic(scaled, wrong, RIDGE)
    design = np.column_stack([np.ones((~wrong).sum()), scaled[~wrong]])
    padded = np.vstack([design, np.sqrt(RIDGE) * np.eye(k + 1)[1:]])
    near = optimize.lsq_linear(
        padded,
        np.r_[logs[~wrong], np.zeros(k)],
        (np.r_[-np.inf, np.zeros(k)], np.full(k + 1, np.inf)),
    ).x
    near_sd = max(float((logs[~wrong] - design @ near).std()), MIN_SD)
    far, far_sd = float(logs[wrong].mean()), max(float(logs[wrong].std()), MIN_SD)
    limits = scaled[~wrong].max(axis=0)
    return BoneModel(
        centre,
        scale,
        limits,
        float(beta[0]),
        beta[1:],
        near,
        near_sd,
        far,
        far_sd,
        accept=ACCEPT,
        reject=REJECT,
    )


def judged(rows: list[dict], known: list[dict]) -> list[dict]:
    """The rows with risk, bound and verdict by models of the other people among the known rows."""
    models = {
        name: fitted([row for row in known if row["person"] != name])
        for name in {row["person"] for row in rows}
    }
    for row in rows:
        prediction, row["verdict"] = predicted(row["features"], models[row["person"]])
        assert prediction is not None  # of a bone that a view shows
        row["risk"], row["bound"] = prediction.failure_probability, prediction.upper95_mm
    return rows


def table(rows: list[dict]) -> str:
    """How many bones of each group are right, accepted and rejected."""
    groups = {
        "all": rows,
        **{
            name: [row for row in rows if row["person"] == name]
            for name in sorted({row["person"] for row in rows})
        },
        "vertebrae": [row for row in rows if row["bone"][0] in "TL"],
        "others": [row for row in rows if row["bone"][0] not in "TL"],
        "masks right": [row for row in rows if not row["mask"]],
        **{
            f"mask {name}": [row for row in rows if row["mask"] == name]
            for name in ("eroded", "dilated", "slice off", "mirrored")
        },
        "a level off": [row for row in rows if row["level"]],
        "2 views": [row for row in rows if row["views"] == 2],
        "3 or 4 views": [row for row in rows if row["views"] > 2],
        "up to 3 degrees": [row for row in rows if row["degrees"] <= 3],
        "3 to 5.5 degrees": [row for row in rows if 3 < row["degrees"] <= 5.5],
        "beyond 5.5 degrees": [row for row in rows if row["degrees"] > 5.5],
        "without nuisances": [row for row in rows if not row["nuisances"]],
    }
    lines = [
        "| group | bones | over 2 mm off | of these accepted | of the right accepted | rejected | "
        "error within its bound | AUROC |"
    ]
    lines.append("| --- |" + " ---: |" * 7)
    for name, group in groups.items():
        wrong, right = [
            [row for row in group if row["wrong"] is is_wrong] for is_wrong in (True, False)
        ]
        if not right:
            continue
        accepted, rejected = (
            sum(row["verdict"] == verdict for row in right) for verdict in ("accept", "reject")
        )
        held = np.mean([row["mm"] <= row["bound"] for row in group])
        area = auroc([row["risk"] for row in group], [row["wrong"] for row in group])
        lines.append(
            f"| {name} | {len(group)} | {len(wrong)} | "
            f"{sum(row['verdict'] == 'accept' for row in wrong)} | {accepted} of {len(right)}, "
            f"{100 * accepted / len(right):.0f} % | {100 * rejected / len(right):.1f} % | "
            f"{100 * held:.0f} % | {area:.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fit", type=Path, nargs="+", default=[KEPT])
    parser.add_argument("--judge", type=Path, nargs="+")
    parser.add_argument(
        "--write", action="store_true", help="replace assessment/bone_prediction.json"
    )
    options = parser.parse_args()
    known = read(options.fit)
    print(table(judged(read(options.judge) if options.judge else known, known)))
    model = fitted(known)
    print(dict(zip(COLUMNS, model.weights.round(2).tolist(), strict=True)))
    if options.write:
        content = {
            "about": {
                "by": "python -m benchmarks bones, bones_fit",
                "bones": len(known),
                "above_2_mm": sum(row["wrong"] for row in known),
                "persons": sorted({row["person"] for row in known}),
            },
            "columns": list(COLUMNS),
            "model": {
                key: value.round(4).tolist() if isinstance(value, np.ndarray) else round(value, 4)
                for key, value in vars(model).items()
            },
        }
        path = Path(bone_prediction.__file__).with_name("bone_prediction.json")
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
