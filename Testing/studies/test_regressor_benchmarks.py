"""What the benchmarks of the regressor keep and write: rows that a broken run goes on from, and tables between marks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmarks(monkeypatch):
    """They import each other as scripts do."""
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in [
        name for name, module in sys.modules.items() if str(getattr(module, "__file__", "")).startswith(str(BENCHMARKS))
    ]:
        del sys.modules[name]


def refuse():
    raise AssertionError("measured again")


def test_rows_are_measured_once_and_outlive_a_run_that_was_cut_short(benchmarks, tmp_path):
    from rows import Rows

    path = tmp_path / "build" / "rows.jsonl"
    assert Rows(path).get("poses", "a", 1.5, measure=lambda: {"mm": [1.0, 2.0]}) == {"mm": [1.0, 2.0]}
    Rows(path).get("poses", "b", measure=lambda: {"mm": None})
    with path.open("a") as stream:
        stream.write('{"key": "poses c", "m')
    again = Rows(path)
    assert len(again) == 2
    assert again.get("poses", "a", 1.5, measure=refuse) == {"mm": [1.0, 2.0]} and again.get(
        "poses", "b", measure=refuse
    ) == {"mm": None}
    again.get("poses", "c", measure=lambda: {"mm": 3})
    assert Rows(path).get("poses", "c", measure=refuse) == {"mm": 3}


def test_a_part_of_a_page_is_replaced_and_the_rest_is_left_alone(benchmarks, tmp_path):
    from marked_page import put

    page = tmp_path / "page.md"
    page.write_text("# Title\n\nProse.\n")
    put(page, "one", "first")
    put(page, "two", "second\n")
    page.write_text(page.read_text().replace("<!-- two: begin", "More prose.\n\n<!-- two: begin"))
    put(page, "one", "a table\n\nand a line")
    assert page.read_text() == (
        "# Title\n\nProse.\n\n<!-- one: begin -->\na table\n\nand a line\n<!-- one: end -->\n\n"
        "More prose.\n\n<!-- two: begin -->\nsecond\n<!-- two: end -->\n"
    )
    page.write_text("<!-- one: begin -->\n")
    with pytest.raises(ValueError, match="one: end"):
        put(page, "one", "x")


def test_the_name_of_a_case_says_what_makes_it_hard(benchmarks, tmp_path):
    from pose_cases import pose_cases

    for name in (
        "chest-plain-000",
        "chest-plain-001",
        "pelvis-plain-001",
        "pelvis-plain-000",
        "chest-hard-rods-001",
        "other",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "case.json").touch()
    plain = pose_cases(tmp_path, hard=False)
    assert [case.name for case in plain] == [
        "chest-plain-000",
        "pelvis-plain-000",
        "chest-plain-001",
        "pelvis-plain-001",
    ]
    assert [case.name for case in pose_cases(tmp_path, hard=False, limit=1)] == ["chest-plain-000", "pelvis-plain-000"]
    (hard,) = pose_cases(tmp_path, hard=True)
    assert (hard.anatomy, hard.kind, hard.number, hard.hard) == ("chest", "rods", 1, True)
    assert (plain[0].kind, plain[0].hard) == ("plain", False)


def test_the_ablation_compares_trainings_of_one_seed(benchmarks):
    """The seeds differ by a factor of ten, the variants by twenty percent: only pairs show it without an error."""
    import ablation

    def record(variant, seed):
        mm = 10.0**seed * (0.8 if variant.loss == "cui2025" else 1.0)
        errors = {
            column: {"median_mm": mm, "near": 0.5}
            for column in ("plain, both", "plain, one", "hard, both", "hard, one")
        }
        return {
            "ct": "chest",
            "network": variant.network,
            "loss": variant.loss,
            "seed": seed,
            "steps": 10,
            "seconds": 60.0,
            **errors,
        }

    page = ablation.page([record(variant, seed) for variant in ablation.VARIANTS for seed in (0, 1)], 60)
    lines = [line for line in page.splitlines() if "`cui2025`" in line]
    assert len(lines) == 3
    assert lines[0].count("4.4 ± 5.1") == 4  # mean and deviation of 0.8 and 8
    assert lines[1].count("50 ± 0") == 4
    assert lines[2].count("-20 ± 0") == 4
    assert "1.0 to 1.0 minutes" in page and "60 X-rays" in page
