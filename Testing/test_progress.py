"""The time left, and progress as lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from MultiViewRegistrationLib.jobs import progress
from MultiViewRegistrationLib.jobs.progress import JsonProgress, ProgressRecord, TimeLeft, left_in_words

LIBRARY = Path(__file__).resolve().parents[1] / "MultiViewRegistration"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


def guesses(clock, left, fraction_at, until, every=0.1):
    """(seconds, guess) of work that tells `fraction_at(seconds)`."""
    told = []
    for seconds in np.arange(0, until, every):
        clock.now = 1000 + seconds
        told.append((seconds, left.seconds(fraction_at(seconds))))
    return told


def test_an_even_pace_is_told_exactly_and_preparation_does_not_count():
    clock = Clock()
    told = guesses(clock, TimeLeft(clock), lambda t: max(0.0, (t - 10) / 40), 50)
    assert all(guess is None for t, guess in told if t < 11)
    assert all(guess == pytest.approx(50 - t, abs=1e-6) for t, guess in told if t > 11.2)


def test_work_that_gets_slower_is_told_by_its_present_pace():
    clock = Clock()
    told = guesses(clock, TimeLeft(clock), lambda t: t / 20 if t < 10 else 0.5 + (t - 10) / 200, 110)
    assert all(guess == pytest.approx(110 - t, rel=0.01) for t, guess in told if t > 21)
    assert all(abs(guess - (20 - t)) < 1e-6 for t, guess in told if 1.1 < t < 10)


def test_coarse_steps_are_enough():
    clock = Clock()
    told = guesses(clock, TimeLeft(clock), lambda t: int(t / 7) / 10, 70, every=7)
    assert [guess for _, guess in told[:2]] == [None, None]
    assert [guess for _, guess in told[2:]] == pytest.approx([70 - 7 * n for n in range(2, 10)])


def test_what_is_told_often_is_not_kept_for_ever():
    clock = Clock()
    left = TimeLeft(clock)
    guesses(clock, left, lambda t: t / 1000, 1000, every=0.01)
    assert len(left._history) < 500


def test_at_the_end_nothing_is_left():
    clock = Clock()
    left = TimeLeft(clock)
    assert left.seconds(0.5) is None
    clock.now += 5
    assert left.seconds(1.0) == 0


@pytest.mark.parametrize(
    "seconds, words",
    [
        (None, ""),
        (0, "a few seconds left"),
        (9.6, "about 10 s left"),
        (44, "about 40 s left"),
        (89, "about 90 s left"),
        (91, "about 2 min left"),
        (700, "about 12 min left"),
        (5400, "about 2 h left"),
        (36000, "about 10 h left"),
    ],
)
def test_words_are_as_exact_as_the_guess(seconds, words):
    assert left_in_words(seconds) == words


@pytest.mark.parametrize(
    "record",
    [
        ProgressRecord(0.0, "preparing"),
        ProgressRecord(0.25, 'é "μ"\n', 12.5, 0.1, np.eye(4).tolist()),
    ],
)
def test_a_record_survives_its_line(record):
    line = record.to_line()
    assert ProgressRecord.from_line(line) == record
    assert line.isascii() and "\n" not in line
    assert ("world_from_ct" in json.loads(line)) == (record.world_from_ct is not None)
    assert {"fraction", "seconds_left", "stage", "cost"} <= json.loads(line).keys()


@pytest.mark.parametrize(
    "line", ["", "mvreg: no.", "{}", '{"fraction": 0.5, "stage": "cut o', "[1]", "1", '{"other": 1}']
)
def test_other_lines_are_no_records(line):
    assert ProgressRecord.from_line(line) is None


def test_lines_of_one_stage_keep_a_distance_and_none_loses_the_pose(capsys, clock):
    tell = JsonProgress()
    for number in range(100):
        clock.now += 0.01
        pose = np.eye(4) * number
        tell(
            SimpleNamespace(
                fraction=number / 200,
                stage="one" if number < 50 else "two",
                world_from_ct=pose,
                cost=np.float32(number),
            )
        )
    tell.show(1.0, "writing")
    printed = capsys.readouterr()
    records = [ProgressRecord.from_line(line) for line in printed.err.splitlines()]
    assert printed.out == "" and 10 <= len(records) <= 13
    assert [record.stage for record in records].index("two") == next(
        n for n, r in enumerate(records) if r.fraction == 0.25
    )
    assert records[-1] == ProgressRecord(1.0, "writing", None, 99.0, (np.eye(4) * 99).tolist())


@pytest.mark.parametrize("module", ["jobs.child_process", "jobs.progress"])
def test_the_standard_library_is_enough(module):
    script = f"import sys; sys.path.insert(0, {str(LIBRARY)!r}); import MultiViewRegistrationLib.{module}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
