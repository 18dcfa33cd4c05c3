"""The models that come with the program are those that the repository's script makes of the repository's rows."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from MultiViewRegistrationLib.assessment.prediction import KINDS, calibrated

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def fits():
    """The script; the rows by kind; the SHA-256 of each CT by its name."""
    described = importlib.util.spec_from_file_location("trust_fit", BENCHMARKS / "trust_fit.py")
    trust_fit = importlib.util.module_from_spec(described)
    described.loader.exec_module(trust_fit)
    rows = [json.loads(line) for line in (BENCHMARKS / "trust_rows.jsonl").read_text().splitlines()]
    rows = [row for row in rows if not row["failed"] and row["views"] > 1 and None not in row["single_view_shift_mm"]]
    bodies, bones, cts = trust_fit.protocol(BENCHMARKS / "protocol_rows.tar.xz")
    return trust_fit, {"body": rows + bodies, "structure": bones}, cts


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_what_the_script_makes_of_the_rows(fits, kind):
    trust_fit, rows, cts = fits
    same(trust_fit.fitted(rows[kind]), calibrated(kind))
    for name, model in trust_fit.each_left_out(rows[kind]).items():
        same(model, calibrated(kind, cts[name]))


def same(model, shipped) -> None:
    np.testing.assert_allclose(model.weights, shipped.weights, atol=2e-3)
    np.testing.assert_allclose(model.near, shipped.near, atol=2e-3)
    assert model.intercept == pytest.approx(shipped.intercept, abs=5e-3)
    assert (model.near_sd, model.far_sd) == pytest.approx((shipped.near_sd, shipped.far_sd), abs=1e-3)


@pytest.mark.parametrize("kind, auroc", [("body", 0.99), ("structure", 0.97)])
def test_what_it_has_not_seen_it_tells_right_from_wrong(fits, kind, auroc):
    trust_fit, rows, _ = fits
    protocol = [row for row in rows[kind] if "features" in row]
    told, judged = trust_fit.as_judged(protocol, trust_fit.each_left_out(rows[kind]))
    mm, wrong = trust_fit.errors(judged), np.array([each.failure_probability for each in told])
    assert trust_fit.auroc(wrong, mm > 2) > auroc
    assert 0.93 <= np.mean(mm <= [each.upper95_mm for each in told]) <= 0.98
    assert not [row for row in judged if row["verdict"] == "accept" and row["mtre_mm"] > 1]
