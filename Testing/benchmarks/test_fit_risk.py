"""The coefficients in prediction.json equal a fit to the kept rows."""

import pytest
from numpy.testing import assert_allclose

from benchmarks import ROOT, bone_risk, fit_risk
from benchmarks.protocol.acceptance import mtre
from benchmarks.statistics import auroc
from MultiViewRegistrationLib.assessment.risk import body_risk_model, bone_risk_model

pytestmark = pytest.mark.slow


KEPT = ROOT / "benchmarks" / "rows"


@pytest.mark.parametrize(("kind", "name"), [("body", "bodies"), ("structure", "structures")])
def test_shipped_model_equals_fit_and_separates_correct_from_wrong(kind, name):
    rows, cts = fit_risk.read([KEPT / f"fit_{name}.jsonl.xz"], kind)
    models = fit_risk.fit_leaving_out_each_ct(rows, kind, body_risk_model("body"))
    same(fit_risk.fit(rows, kind, body_risk_model("body")), body_risk_model(kind))
    for ct, model in models.items():
        same(model, body_risk_model(kind, cts[ct]))
    judged = [row for row in fit_risk.cross_validated(rows, models) if row["error"] is None]
    assert auroc([row["failure_probability"] for row in judged], mtre(judged) > 2) > 0.97
    assert not [row for row in judged if row["verdict"] == "accept" and row["mtre_mm"] > 2]


def test_shipped_bone_model_equals_fit_and_accepts_no_wrong_bone():
    rows = bone_risk.read([KEPT / "fit_bones.jsonl.xz"])
    model = bone_risk.fit(rows)
    assert_allclose(model.weights, bone_risk_model().weights, atol=2e-3)
    assert_allclose(model.near, bone_risk_model().near, atol=2e-3)
    judged = bone_risk.cross_validated(rows, rows)
    assert auroc([row["risk"] for row in judged], [row["wrong"] for row in judged]) > 0.95
    assert not [row for row in judged if row["verdict"] == "accept" and row["wrong"]]


def same(model, shipped):
    assert_allclose(model.weights, shipped.weights, atol=2e-3)
    assert_allclose(model.near, shipped.near, atol=2e-3)
    assert model.intercept == pytest.approx(shipped.intercept, abs=5e-3)
    names = "near_sd", "motion_ratio", "motion_ratio_sd", "far_sd"
    assert [getattr(model, name) for name in names] == pytest.approx(
        [getattr(shipped, name) for name in names], abs=1e-3
    )
