"""Registrations that begin with what a regressor says.

What they use, what they tell, and what they refuse.
"""

from dataclasses import replace

import pytest
from helpers.fake_model import FakeModel
from helpers.phantom import START, TRUE_POSE, error_mm, free
from helpers.program import changed, mvreg, result_in
from helpers.refusals import refuses
from numpy.testing import assert_array_equal

from MultiViewRegistrationLib import training
from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.regressor import initialise
from MultiViewRegistrationLib.report.result_page import save_result
from MultiViewRegistrationLib.studies.evaluation import EvaluationSetup, agreeing, evaluate
from MultiViewRegistrationLib.studies.evaluation_table import summary, table_rows

pytest.importorskip("torch", reason="a regressor needs torch: pip install torch")
published = pytest.importorskip("MultiViewRegistrationLib.published.refine")


@pytest.fixture(scope="module")
def case(case_file):
    """Without a start pose."""
    return replace(
        Case.load(case_file).starting_at(None),
        search={"rotation_deg": 25.0, "translation_mm": 40.0},
    )


@pytest.fixture
def model(anatomy):
    return FakeModel(TRUE_POSE, anatomy.centroid)


@pytest.fixture
def begun(case, anatomy):
    """A function: the result of a registration that begins with what a model says."""
    return lambda model, start="regressor", case=case, **more: register(
        case, start, anatomy=anatomy, model=model, **more
    )


@pytest.mark.slow
def test_a_regressor_needs_no_start_and_the_result_shows_its_predictions(
    begun, case, model, tmp_path
):
    reported = []
    result = begun(model, progress=reported.append)
    assert error_mm(result.world_from_ct) < 0.1 and model.asked == [["view1", "view2"]]
    assert result.method == "regressor" and result.refinement.candidates == 0
    words = "expected error 3.0 mm; selected start: both views together"
    assert str(result.regressor) == f"model 2026-01-02 of 2 minutes, {words}"
    first = model.candidates(case.views, None)[0]
    assert_array_equal(result.start_world_from_ct, first.world_from_ct)
    assert 0 < result.seconds["initialise"] < 1 and "train" not in result.seconds
    fractions = [progress.fraction for progress in reported]
    assert fractions == sorted(fractions)
    save_result(result, tmp_path)
    told = result_in(tmp_path)["regressor"]
    assert told["selected_start"] == "both views together"
    assert told["expected_mm"] == pytest.approx(3.0, abs=1e-6)
    named = [said["views"] for said in told["candidates"]]
    assert named == ["both views together", "view1 alone", "view2 alone"]
    assert words in (tmp_path / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "start, model_errs, selected",
    [
        ("auto", {"together_mm": 90.0, "alone_mm": 100.0}, "search"),
        ("auto", {}, "both views together"),  # a small search goes along
        ("regressor", {"together_mm": 90.0, "alone_mm": 100.0, "expects_mm": 30.0}, "search"),
    ],
    ids=["auto, lost", "auto, right", "its own range"],
)
def test_a_search_finds_what_the_regressor_misses(begun, model, start, model_errs, selected):
    result = begun(replace(model, **model_errs), start)
    assert error_mm(result.world_from_ct) < 0.1 and result.regressor.selected_start == selected
    assert result.refinement.candidates >= 256


@pytest.mark.slow
def test_auto_without_a_model_is_a_search(case, anatomy, monkeypatch):
    monkeypatch.setattr(training, "train", None)
    result, searched = (register(case, start, anatomy=anatomy) for start in ("auto", "search"))
    assert_array_equal(result.world_from_ct, searched.world_from_ct)
    assert str(result.regressor) == "no model of this CT: searched for"
    assert result.to_json()["regressor"]["model"] is None
    with refuses("found a search as its start"):
        register(case, "auto", anatomy=anatomy, refinement="xvr")
    monkeypatch.setattr(initialise, "find_spec", lambda name: None)
    result = register(case, "auto", anatomy=anatomy)
    assert str(result.regressor) == "no model of this CT: searched for"
    with refuses("install them with"):
        register(case, "regressor", anatomy=anatomy)


@pytest.mark.slow
def test_views_of_which_the_model_knows_nothing_are_an_error_or_searched_for(begun, case, model):
    blind = replace(model, refuses=0)
    with refuses("other cameras"):
        begun(blind)
    with refuses("another CT"):
        begun(replace(model, other_ct=True), "auto")
    started = case.starting_at(START)
    with pytest.warns(UserWarning, match="other cameras. The pose is searched for"):
        result = begun(blind, "auto", started)
    assert error_mm(result.world_from_ct) < 0.1
    assert "cannot say anything of these views: searched for" in str(result.regressor)


@pytest.mark.slow
def test_a_regressor_is_trained_where_there_is_none(case, anatomy, model, monkeypatch):
    def train(case, **options):
        seen.update(options)
        if options["progress"](0.5, "training, 6.3 mm after 400 of 800 steps", 6.3) is False:
            raise Cancelled
        return model

    seen, reported = {}, []
    monkeypatch.setattr(training, "train", train)
    result = register(case, "regressor", reported.append, anatomy, seed=5, minutes=0.5)
    assert (seen["minutes"], seen["seed"]) == (0.5, 5) and seen["anatomy"] is anatomy
    assert "of 2 minutes, trained for this, expected error 3.0 mm" in str(result.regressor)
    assert result.seconds["train"] > 0 and reported[0].stage.startswith("training")
    assert 0 < reported[0].fraction < reported[1].fraction < 1
    with pytest.raises(Cancelled):
        register(case, "regressor", lambda progress: False, anatomy)


def test_a_published_refinement_starts_from_the_best_pose(begun, case, model, monkeypatch):
    def refined(anatomy, views, world_from_ct, **_more):
        starts.append(world_from_ct)
        return refine(anatomy, views, world_from_ct)

    starts = []
    monkeypatch.setattr(published, "refine", refined)
    result = begun(model, refinement="diffpose")
    assert result.refined_by == "diffpose"
    assert result.regressor.selected_start == "both views together"
    assert_array_equal(starts, [model.candidates(case.views, None)[0].world_from_ct])


@pytest.mark.slow
def test_a_view_of_unknown_geometry_is_asked_about_alone(begun, case, model):
    views = [case.views[0], free(case.views[1])]
    result = begun(model, case=replace(case, views=views))
    assert model.asked == [["view1"], ["view2"]]
    assert result.regressor.selected_start == "view1 alone"
    assert min(result.refinement.fit.similarity) > 0.9


@pytest.mark.slow
def test_an_evaluation_compares_the_ways_to_start(case_file, model):
    setup = EvaluationSetup(starts=2, search=(25, 40), model=model)
    ways = "search", "regressor", "auto"
    evaluations = [evaluate([case_file], replace(setup, start=start)) for start in ways]
    searched, (said,), auto = (evaluation.cases[0]["runs"] for evaluation in evaluations)
    assert len(searched) == len(auto) == 2
    for run in (*searched, said, *auto):
        assert run["errors"]["mtre_mm"] < 0.1
    assert searched[0]["initial_mtre_mm"] is None
    assert searched[0]["start_mtre_mm"] == auto[0]["start_mtre_mm"] > 10
    assert 0.5 < said["initial_mtre_mm"] == said["start_mtre_mm"] < 4
    assert said["expected_mm"] == pytest.approx(3.0, abs=1e-6)
    assert said["selected_start"] == "both views together"
    assert 0 < said["regressor_seconds"] < said["seconds"]


def test_an_evaluation_of_real_radiographs_asks_the_regressor_once(
    case_file, case, model, tmp_path
):
    path = changed(case_file, tmp_path, truth=None)
    evaluation = evaluate([path], EvaluationSetup(starts=5, start="regressor", model=model))
    agreement = evaluation.cases[0]["agreement"]
    assert len(agreement["seconds"]) == 1 and agreeing(agreement).all()
    assert "| 1 of 1 |" in summary(table_rows([evaluation]))


@pytest.mark.parametrize(
    "start, words", [("regressor", "train one with mvreg train"), ("anywhere", 'found "anywhere"')]
)
def test_an_evaluation_without_a_model_is_refused(case_file, start, words):
    with refuses(words):
        evaluate([case_file], EvaluationSetup(starts=1, search=(25, 40), start=start))


@pytest.mark.slow
def test_the_program_names_the_start_it_took(case_file, tmp_path):
    out = f"--out {tmp_path}/out"
    missing = mvreg(f"register {case_file} --start regressor --model {tmp_path}/none {out}", 2)
    assert "card.json" in missing.refusal
    said = mvreg(f"register {case_file} --start auto {out}")
    assert "Start: no model of this CT: searched for" in said.err
    said = mvreg(f"evaluate {case_file} --start given auto --starts 1 --json").json
    assert [evaluation["start"] for evaluation in said["evaluations"]] == ["given", "auto"]
