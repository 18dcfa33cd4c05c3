"""Risk model of bones: its fit to rows of `bones`, and a table of its verdicts; see `fit_risk`.

The acceptance criteria were fixed before seed 52 was run: no bone with an error above 2 mm is
accepted, of 1,000 accepted at least; 60 % of the correct ones with a correct mask are accepted, and
at most 3 % rejected; the AUROC of the risk is 0.98; a spine at a wrong level is never accepted.
Columns and limits were chosen on seed 71; the model is fitted to seed 72.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import optimize

from MultiViewRegistrationLib.assessment.bone_checks import bone_findings
from MultiViewRegistrationLib.assessment.bone_features import BoneFeatures
from MultiViewRegistrationLib.assessment.records import WRONG_MM, Assessment
from MultiViewRegistrationLib.assessment.risk import BONE_COLUMNS, BoneRiskModel, columns
from MultiViewRegistrationLib.studies.statistics import grouped, table_of

from .kept import Rows
from .statistics import MIN_SD, RIDGE, auroc, logistic, share

#: `ErrorModel.accept` and `reject`, chosen on the rows of seed 71.
ACCEPT = 0.03
REJECT = 0.7


def read(paths: list[Path]) -> list[dict]:
    """Read a row for each bone."""
    rows = [row for path in paths for case in Rows(path).rows.values() for row in case["bones"]]
    for row in rows:
        row["wrong"] = row["mm"] > WRONG_MM
        row["features"] = BoneFeatures(**row["features"])
    return rows


def fit(rows: list[dict]) -> BoneRiskModel:
    """Fit a logistic regression with weights of at least 0, and the log error of correct poses by the same columns."""
    x = np.array([columns(vars(row["features"]), BONE_COLUMNS) for row in rows])
    wrong = np.array([row["wrong"] for row in rows])
    logs = np.log([row["mm"] for row in rows])
    centre, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    scaled = (x - centre) / scale
    k = x.shape[1]
    beta = logistic(scaled, wrong, RIDGE)
    design = np.column_stack([np.ones((~wrong).sum()), scaled[~wrong]])
    with_ridge = np.vstack([design, np.sqrt(RIDGE) * np.eye(k + 1)[1:]])
    lower = np.r_[-np.inf, np.zeros(k)]
    near = optimize.lsq_linear(with_ridge, np.r_[logs[~wrong], np.zeros(k)], (lower, np.inf)).x
    return BoneRiskModel(
        centre=centre,
        scale=scale,
        limits=scaled[~wrong].max(axis=0),
        intercept=float(beta[0]),
        weights=beta[1:],
        near=near,
        near_sd=max(float((logs[~wrong] - design @ near).std()), MIN_SD),
        far=float(logs[wrong].mean()),
        far_sd=max(float(logs[wrong].std()), MIN_SD),
        accept=ACCEPT,
        reject=REJECT,
    )


def cross_validated(rows: list[dict], training_rows: list[dict]) -> list[dict]:
    """Return the rows with risk, bound and verdict, by a model fitted to the training rows of all other people."""
    models = {
        name: fit([row for row in training_rows if row["person"] != name])
        for name in {row["person"] for row in rows}
    }
    for row in rows:
        predicted, findings = bone_findings(row["bone"], row["features"], (), models[row["person"]])
        assert predicted is not None  # each row is of a bone that a view shows
        row["verdict"] = Assessment(tuple(findings)).verdict
        row["risk"], row["bound"] = predicted.failure, predicted.upper95_mm
    return rows


def groups_of(row: dict) -> dict[str, object]:
    """Return, for each heading of the table, the group to which a row belongs."""
    return {
        "person:": row["person"],
        "bones:": "vertebrae" if row["bone"][0] in "TL" else "others",
        "mask": row["mask"] or "correct",
        "vertebral level": "wrong" if row["level"] else "correct",
        "views:": min(row["views"], 3),
        "bent:": ["up to 3 degrees", "to 5.5", "beyond"][np.digitize(row["degrees"], (3, 5.5))],
        "nuisances:": len(row["nuisances"]),
    }


def table(rows: list[dict]) -> str:
    """Return a table of how many bones of each group are correct, accepted and rejected."""

    def fraction_column(verdict, *, wrong):
        return lambda group: share(
            [row["verdict"] == verdict for row in group if row["wrong"] is wrong]
        )

    def area(group):
        return f"{auroc(*zip(*((row['risk'], row['wrong']) for row in group))):.3f}"

    columns = {
        "bones": len,
        "over 2 mm off": lambda group: sum(row["wrong"] for row in group),
        "wrong: accepted": fraction_column("accept", wrong=True),
        "correct: accepted": fraction_column("accept", wrong=False),
        "correct: rejected": fraction_column("reject", wrong=False),
        "error within its bound": lambda group: share([row["mm"] <= row["bound"] for row in group]),
        "AUROC": area,
    }
    groups = [(("all",), rows)]
    for key in groups_of(rows[0]):
        of_key = grouped(rows, lambda row: (f"{key} {groups_of(row)[key]}",))  # noqa: B023
        groups += sorted(of_key, key=lambda group: group[0])
    return table_of(groups, ("group",), columns)
