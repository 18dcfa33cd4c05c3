"""The models that come with the program are those that the repository's script makes of the repository's rows."""

import pytest
from numpy.testing import assert_allclose

from benchmarks import ROOT, trust_fit
from benchmarks.protocol.acceptance import mtre
from benchmarks.statistics import auroc
from MultiViewRegistrationLib.assessment.risk import KINDS, body_model

pytestmark = pytest.mark.slow


#: The part of a protocol that each kind is fitted to, and the file of its rows.
FITTED_TO = {
    "body": ("body", "fit_bodies.jsonl.xz"),
    "structure": ("bone", "fit_structures.jsonl.xz"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_shipped_model_equals_fit_and_separates_correct_from_wrong(kind):
    part, name = FITTED_TO[kind]
    rows, cts = trust_fit.of_protocols([ROOT / "benchmarks" / "rows" / name], part)
    models = trust_fit.each_left_out(rows, body_model("body"))
    same(trust_fit.fitted(rows, body_model("body")), body_model(kind))
    for name, model in models.items():
        same(model, body_model(kind, cts[name]))
    judged = [row for row in trust_fit.as_judged(rows, models) if row["error"] is None]
    assert auroc([row["failure_probability"] for row in judged], mtre(judged) > 2) > 0.97
    assert not [row for row in judged if row["verdict"] == "accept" and row["mtre_mm"] > 2]


def same(model, shipped):
    assert_allclose(model.weights, shipped.weights, atol=2e-3)
    assert_allclose(model.near, shipped.near, atol=2e-3)
    assert model.intercept == pytest.approx(shipped.intercept, abs=5e-3)
    names = "near_sd", "apart", "apart_sd", "far_sd"
    assert [getattr(model, name) for name in names] == pytest.approx(
        [getattr(shipped, name) for name in names], abs=1e-3
    )
