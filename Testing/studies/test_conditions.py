"""The list of the protocol: what it holds, and that any beginning of it holds some of everything."""

from __future__ import annotations

from collections import Counter

import pytest

from MultiViewRegistrationLib.simulation.simulator import OVERLAYS, TAKEN
from MultiViewRegistrationLib.studies.conditions import (
    CONDITIONS,
    GEOMETRY_ERRORS,
    INTERVALS,
    MIN_REGISTRATIONS,
    NUISANCES,
    TOGETHER,
    trials,
)


@pytest.mark.parametrize("cts", [1, 2, 3])
def test_it_has_two_thousand_registrations_and_each_condition_as_often(cts):
    listed = trials(cts)
    assert MIN_REGISTRATIONS <= len(listed) < MIN_REGISTRATIONS + cts * len(CONDITIONS)
    assert [trial.number for trial in listed] == list(range(len(listed)))
    times = Counter((trial.condition, trial.ct) for trial in listed)
    assert len(times) == cts * len(CONDITIONS) and len(set(times.values())) == 1


def test_any_beginning_is_balanced():
    listed = trials(2)
    for end in range(1, len(listed), 7):
        times = Counter((trial.condition, trial.ct) for trial in listed[:end])
        assert max(times.values()) - (min(times.values()) if len(times) == 2 * len(CONDITIONS) else 0) <= 1
    assert {trial.condition.part for trial in listed[:12]} == {"body", "bone"}
    assert {trial.condition.group for trial in listed[:30]} == {"geometry", "nuisance", "geometry error"}


def test_each_condition_starts_from_everywhere():
    listed = trials(2)
    for ct in (0, 1):
        for condition in CONDITIONS:
            intervals = [trial.interval for trial in listed if trial.condition == condition and trial.ct == ct]
            assert set(intervals[:INTERVALS]) == set(range(INTERVALS))
    first_pass = Counter(trial.interval for trial in listed[: 2 * len(CONDITIONS)])
    assert max(first_pass.values()) - min(first_pass.values()) <= 6


def test_the_same_seed_gives_the_same_list_and_another_another_order():
    assert trials(2) == trials(2)
    assert [trial.condition for trial in trials(2, seed=1)] != [trial.condition for trial in trials(2)]


def test_all_that_is_named_is_there():
    names = {condition.name for condition in CONDITIONS}
    assert set(NUISANCES) | set(GEOMETRY_ERRORS) <= names
    known = {*TAKEN, *OVERLAYS, "motion", "neighbours"}
    assert set(NUISANCES) <= known and {name for choices in TOGETHER for name in choices} <= known
    assert len({(condition.part, condition.name) for condition in CONDITIONS}) == len(CONDITIONS)
    geometries = {(each.part, each.views, each.apart_deg) for each in CONDITIONS if each.group == "geometry"}
    assert {views for _, views, _ in geometries} == {1, 2, 3}
    assert {15, 90} <= {apart for _, views, apart in geometries if views > 1}
