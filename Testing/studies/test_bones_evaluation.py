"""Cases with structures in `mvreg evaluate`: each bone is registered, and has its row."""

import csv
import json

import pytest
from helpers import phantom
from helpers.bent_spine import NAMES, bent, spine, truth_of, write_spine_case
from helpers.file_io import read_json, write_json
from helpers.refusals import refuses

from MultiViewRegistrationLib import Case
from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.studies.evaluation import EvaluationSetup, evaluate
from MultiViewRegistrationLib.studies.evaluation_table import table_rows

POSE = rigid.turn_and_shift([0.05, -0.03, 0.04], [3.0, -2.0, 5.0])
TARGETS = 2 * phantom.CORNERS


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """The path of a case of a bent spine with its truth.

    The whole CT is that of T12, which has not moved.
    """
    folder, motions = tmp_path_factory.mktemp("spine"), bent(*spine())
    return write_spine_case(
        folder, [motions], POSE, POSE, truth=truth_of(motions, POSE), targets=TARGETS
    )


@pytest.fixture
def changed(case):
    """A function that writes the case with other entries beside it; None takes one away."""

    def write(name, **entries):
        content = read_json(case) | entries
        path = case.with_name(f"{name}.json")
        write_json(path, {key: value for key, value in content.items() if value is not None})
        return path

    return write


def test_each_bone_has_its_error_in_json_and_rows_in_the_table(case, tmp_path, capsys):
    table = tmp_path / "table.csv"
    words = f"evaluate {case} --starts 1 --max-start-error 6 --json --csv {table}"
    assert main(words.split()) == 0
    [outcome] = json.loads(capsys.readouterr().out)["cases"]
    rows = outcome["structures"]
    assert [(row["run"], row["name"]) for row in rows] == [(0, name) for name in NAMES]
    for row in rows:
        assert row["verdict"] == "accept" and row["errors"]["mtre_mm"] < 0.3
        assert 0 < row["predicted_upper95_mm"] < 1.5
    assert max(row["moved_mm"] for row in rows) > 2
    with table.open(newline="") as file:
        told = [row for row in csv.DictReader(file) if row["structure"]]
    assert [row["structure"] for row in told] == list(NAMES)
    for row, bone in zip(told, rows, strict=True):
        assert row["verdict"] == "accept" and float(row["mtre_mm"]) == bone["errors"]["mtre_mm"]
        assert float(row["moved_mm"]) == bone["moved_mm"] and float(row["seconds"]) > 0


@pytest.mark.slow
def test_bones_without_a_truth_are_listed(changed):
    """The truth of one bone is known, and not that of the whole CT."""
    truth = read_json(changed("truth"))["truth"]
    path = changed("one", truth={"structures": {"L2": truth["structures"]["L2"]}}, targets=None)
    found = evaluate([path], EvaluationSetup(starts=1, perturb=(1.0, 1.0)))
    (outcome,) = found.cases
    assert not outcome["runs"] and len(outcome["agreement"]["seconds"]) == 1
    assert [row["name"] for row in outcome["structures"]] == list(NAMES)
    assert [row["errors"] is None for row in outcome["structures"]].count(True) == 3
    rows = [row for row in table_rows([found]) if row["structure"]]
    assert [row["mtre_mm"] is None for row in rows].count(True) == 3


@pytest.mark.parametrize(
    "entries, words",
    [
        (
            {"truth": {"structures": {"L9": POSE}}},
            'truth.structures has "L9", expected one of the case\'s structures, T12',
        ),
        ({"truth": {"structures": {"L1": [[1]]}}}, "truth.structures.L1"),
        ({"truth": {}}, "truth.world_from_ct"),
        ({"labels": None, "structures": None}, 'has "T12", expected structures beside it'),
    ],
)
def test_a_truth_that_is_none_is_one_sentence(changed, capsys, entries, words):
    assert main(["evaluate", str(changed("wrong", **entries))]) == 2
    said = capsys.readouterr().err
    assert words in said and said.strip().count("\n") == 0


def test_the_truth_of_a_label_that_is_not_there_is_told_once_the_labels_are_read(changed):
    def with_truth_of(label):
        return Case.load(changed("all", structures="all", truth={"structures": {label: POSE}}))

    with refuses("expected one of the case's structures, 1, 2, 3, 4"):
        with_truth_of("7")
    assert set(with_truth_of("2").structure_truths) == {"2"}
