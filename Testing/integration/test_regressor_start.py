"""Registrations that begin with what a regressor says.

What they use, what they tell, and what they refuse.
"""

import json
import warnings
from dataclasses import replace

import pytest
from fake_model import FakeModel
from file_io import read_json
from numpy.testing import assert_array_equal
from phantom import START, TRUE_POSE, error_mm
from program import changed
from refusals import refuses
from result_schema import assert_fits_schema

from MultiViewRegistrationLib import api
from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.regressor import learning
from MultiViewRegistrationLib.report.result_page import save_result
from MultiViewRegistrationLib.studies.evaluation import EvaluationSetup, agreeing, evaluate
from MultiViewRegistrationLib.studies.evaluation_page import pages

pytest.importorskip("torch", reason="a regressor needs torch: pip install torch")
published = pytest.importorskip("MultiViewRegistrationLib.published.refine")


@pytest.fixture(scope="module")
def case(case_file):
    """Without a start pose."""
    return replace(
        Case.load(case_file),
        world_from_ct=None,
        search={"rotation_deg": 25.0, "translation_mm": 40.0},
    )


@pytest.fixture
def model(anatomy):
    return FakeModel(TRUE_POSE, anatomy.centroid)


def test_a_regressor_needs_no_start_and_the_result_shows_its_predictions(
    case, anatomy, model, tmp_path
):
    reported = []
    result = register(case, "regressor", reported.append, anatomy, model=model)
    assert error_mm(result.world_from_ct) < 0.1 and model.asked == [["view1", "view2"]]
    assert result.method == "regressor" and result.refinement.candidates == 0
    words = "expected error 3.0 mm; selected start: both views together"
    assert str(result.regressor) == f"model 2026-01-02 of 2 minutes, {words}"
    assert_array_equal(
        result.start_world_from_ct, model.candidates(case.views, None)[0].world_from_ct
    )
    assert 0 < result.seconds["initialise"] < 1 and "train" not in result.seconds
    assert [progress.fraction for progress in reported] == sorted(
        progress.fraction for progress in reported
    )
    save_result(result, tmp_path)
    saved = read_json(tmp_path / "result.json")
    assert_fits_schema(saved)
    assert saved["regressor"]["selected_start"] == "both views together"
    assert saved["regressor"]["expected_mm"] == pytest.approx(3.0, abs=1e-6)
    named = [said["views"] for said in saved["regressor"]["candidates"]]
    assert named == ["both views together", "view1 alone", "view2 alone"]
    assert words in (tmp_path / "report.html").read_text()


def test_one_view_that_is_right_is_enough(case, anatomy, model):
    wrong = replace(model, together_mm=50.0, expects_mm=2.0)
    result = register(case, "regressor", anatomy=anatomy, model=wrong)
    assert error_mm(result.world_from_ct) < 0.1 and result.regressor.selected_start == "view1 alone"


@pytest.mark.slow
def test_auto_finds_what_the_regressor_misses(case, anatomy, model):
    lost = replace(model, together_mm=90.0, alone_mm=100.0)
    result = register(case, "auto", anatomy=anatomy, model=lost)
    assert error_mm(result.world_from_ct) < 0.1 and result.regressor.selected_start == "search"
    right = register(case, "auto", anatomy=anatomy, model=model)
    assert (
        error_mm(right.world_from_ct) < 0.1
        and right.regressor.selected_start == "both views together"
    )
    assert right.refinement.candidates >= 256, "a small search goes along"
    ignorant = replace(lost, expects_mm=30.0)  # its range is searched
    result = register(case, "regressor", anatomy=anatomy, model=ignorant)
    assert error_mm(result.world_from_ct) < 0.1 and result.regressor.selected_start == "search"
    assert result.refinement.candidates >= 256


@pytest.mark.slow
def test_auto_without_a_model_is_a_search(case, anatomy, monkeypatch):
    monkeypatch.setattr(api, "train", None)
    result = register(case, "auto", anatomy=anatomy)
    assert_array_equal(
        result.world_from_ct, register(case, "search", anatomy=anatomy).world_from_ct
    )
    assert (
        str(result.regressor) == "no model of this CT: searched for"
        and result.to_json()["regressor"]["model"] is None
    )
    with refuses("found a search as its start"):
        register(case, "auto", anatomy=anatomy, refinement="xvr")
    monkeypatch.setattr(learning, "find_spec", lambda name: None)
    assert (
        str(register(case, "auto", anatomy=anatomy).regressor)
        == "no model of this CT: searched for"
    )
    with refuses("install them with"):
        register(case, "regressor", anatomy=anatomy)


def test_views_of_which_the_model_knows_nothing_are_an_error_or_searched_for(case, anatomy, model):
    blind = replace(model, refuses=0)
    with refuses("other cameras"):
        register(case, "regressor", anatomy=anatomy, model=blind)
    with refuses("another CT"):
        register(case, "auto", anatomy=anatomy, model=replace(model, other_ct=True))
    started = replace(case, world_from_ct=START)
    with pytest.warns(UserWarning, match="other cameras. The pose is searched for"):
        result = register(started, "auto", anatomy=anatomy, model=blind)
    assert error_mm(
        result.world_from_ct
    ) < 0.1 and "cannot say anything of these views: searched for" in str(result.regressor)


def test_a_regressor_is_trained_where_there_is_none(case, anatomy, model, monkeypatch):
    def train(case, **options):
        seen.update(options)
        if options["progress"](0.5, "training, 6.3 mm after 400 of 800 steps", 6.3) is False:
            raise Cancelled
        return model

    seen, reported = {}, []
    monkeypatch.setattr(api, "train", train)
    result = register(case, "regressor", reported.append, anatomy, seed=5, minutes=0.5)
    assert seen["minutes"] == 0.5 and seen["seed"] == 5 and seen["anatomy"] is anatomy
    assert (
        "of 2 minutes, trained for this, expected error 3.0 mm" in str(result.regressor)
        and result.seconds["train"] > 0
    )
    assert (
        reported[0].stage.startswith("training")
        and 0 < reported[0].fraction < reported[1].fraction < 1
    )
    with pytest.raises(Cancelled):
        register(case, "regressor", lambda progress: False, anatomy)


def test_a_published_refinement_starts_from_the_best_pose(case, anatomy, model, monkeypatch):
    def begun(anatomy, views, world_from_ct, **_more):
        starts.append(world_from_ct)
        return refine(anatomy, views, world_from_ct)

    starts = []
    monkeypatch.setattr(published, "refine", begun)
    result = register(case, "regressor", anatomy=anatomy, model=model, refinement="diffpose")
    assert (
        result.refined_by == "diffpose" and result.regressor.selected_start == "both views together"
    )
    assert_array_equal(starts, [model.candidates(case.views, None)[0].world_from_ct])


def test_a_view_of_unknown_geometry_is_asked_about_alone(case, anatomy, model):
    lost = replace(case.views[1], rotation_sd_deg=None, translation_sd_mm=None)
    result = register(
        replace(case, views=[case.views[0], lost]), "regressor", anatomy=anatomy, model=model
    )
    assert (
        model.asked == [["view1"], ["view2"]] and result.regressor.selected_start == "view1 alone"
    )
    assert min(result.refinement.fit.similarity) > 0.9


@pytest.mark.slow
def test_an_evaluation_compares_the_ways_to_start(case_file, model):
    setup = EvaluationSetup(starts=2, search=(25, 40), model=model)
    evaluations = [
        evaluate([case_file], replace(setup, start=start))
        for start in ("search", "regressor", "auto")
    ]
    runs = [evaluation.cases[0]["runs"] for evaluation in evaluations]
    assert [len(some) for some in runs] == [2, 1, 2]
    assert all(run["errors"]["mtre_mm"] < 0.1 for some in runs for run in some)
    assert (
        runs[0][0]["initial_mtre_mm"] is None
        and runs[0][0]["start_mtre_mm"] == runs[2][0]["start_mtre_mm"] > 10
    )
    (said,) = runs[1]
    assert 0.5 < said["initial_mtre_mm"] == said["start_mtre_mm"] < 4
    assert said["expected_mm"] == pytest.approx(3.0, abs=1e-6)
    assert (
        said["selected_start"] == "both views together"
        and 0 < said["regressor_seconds"] < said["seconds"]
    )
    text = pages(evaluations, "Some cases.", "Starts")
    assert (
        text.startswith("# Starts\n\nSome cases.\n\n## Side by side")
        and text.count("# Starts: start ") == 3
    )
    side = text[text.index("## Side by side") : text.index("# Starts: start search")]
    rows = [line.split(" | ")[1:3] for line in side.splitlines() if "100.0 %" in line]
    assert rows == [["search", "2"], ["regressor", "1"], ["auto", "2"]]
    assert (
        text.count("## The regressor before any refinement") == 2
        and "both views together 1 |" in text
    )


def test_an_evaluation_of_real_radiographs_asks_the_regressor_once(
    case_file, case, model, tmp_path
):
    path = changed(case_file, tmp_path, truth=None)
    evaluation = evaluate([path], EvaluationSetup(starts=5, start="regressor", model=model))
    agreement = evaluation.cases[0]["agreement"]
    assert len(agreement["seconds"]) == 1 and agreeing(agreement).all()
    assert "| 1 of 1 |" in pages([evaluation])


def test_an_evaluation_without_a_model_is_refused(case_file):
    for start, words in (
        ("regressor", "train one with mvreg train"),
        ("anywhere", 'found "anywhere"'),
    ):
        with refuses(words):
            evaluate([case_file], EvaluationSetup(starts=1, search=(25, 40), start=start))


@pytest.mark.slow
def test_the_program_names_the_start_it_took(case_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the program sets it
    options = ["--start", "regressor", "--model", str(tmp_path / "none")]
    assert main(["register", str(case_file), *options, "--out", str(tmp_path / "out")]) == 2
    reported = capsys.readouterr().err
    assert "card.json" in reported and len(reported.strip().splitlines()) == 1
    assert (
        main(["register", str(case_file), "--start", "auto", "--out", str(tmp_path / "out")]) == 0
    )
    assert "Start: no model of this CT: searched for" in capsys.readouterr().err
    assert (
        main(["evaluate", str(case_file), "--start", "given", "auto", "--starts", "1", "--json"])
        == 0
    )
    reported = json.loads(capsys.readouterr().out)["evaluations"]
    assert [evaluation["start"] for evaluation in reported] == ["given", "auto"]
