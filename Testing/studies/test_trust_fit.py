"""The models that come with the program are those that the repository's script makes of the repository's rows."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from MultiViewRegistrationLib.assessment.prediction import KINDS, calibrated
from MultiViewRegistrationLib.studies.protocol_page import column, mtre
from MultiViewRegistrationLib.studies.statistics import auroc

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fits():
    """The script; the rows by kind; of each kind the models without one CT; the SHA-256 of each CT by its name."""
    described = importlib.util.spec_from_file_location("trust_fit", BENCHMARKS / "trust_fit.py")
    trust_fit = importlib.util.module_from_spec(described)
    described.loader.exec_module(trust_fit)
    runs = [row for row in trust_fit.of_runs(BENCHMARKS / "trust_rows.jsonl") if row["kind"] == "all views"]
    bodies, bones, cts = trust_fit.of_protocol(BENCHMARKS / "protocol_rows.tar.xz")
    rows = {"body": runs + bodies, "structure": bones}
    return trust_fit, rows, {kind: trust_fit.each_left_out(of) for kind, of in rows.items()}, cts


@pytest.mark.parametrize("kind, least", [*zip(KINDS, (0.99, 0.97), strict=True)])
def test_it_is_what_the_script_makes_of_the_rows_and_tells_right_from_wrong(fits, kind, least):
    trust_fit, rows, models, cts = fits
    same(trust_fit.fitted(rows[kind]), calibrated(kind))
    for name, model in models[kind].items():
        same(model, calibrated(kind, cts[name]))

    judged = trust_fit.as_judged([row for row in rows[kind] if "how" not in row], models[kind])
    assert auroc(column(judged, "failure_probability"), mtre(judged) > 2) > least
    assert 0.93 <= np.mean(mtre(judged) <= column(judged, "upper95_mm")) <= 0.98
    assert not [row for row in judged if row["verdict"] == "accept" and row["mtre_mm"] > 1]


def same(model, shipped) -> None:
    np.testing.assert_allclose(model.weights, shipped.weights, atol=2e-3)
    np.testing.assert_allclose(model.near, shipped.near, atol=2e-3)
    assert model.intercept == pytest.approx(shipped.intercept, abs=5e-3)
    assert (model.near_sd, model.far_sd) == pytest.approx((shipped.near_sd, shipped.far_sd), abs=1e-3)
