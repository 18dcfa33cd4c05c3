"""The arithmetic of a row, and how it reads."""

from __future__ import annotations

import pytest

from MultiViewRegistrationLib.bench.rows import alternated, compared
from MultiViewRegistrationLib.bench.table import cells, markdown, number, terminal


def test_the_ratio_is_peer_over_ours_of_the_medians():
    row = compared("image", "ms", [2.0, 1.0, 90.0], [30.0, 20.0, 40.0], "peer")
    assert (row.ours, row.peer, row.ratio) == (2.0, 30.0, 15.0)
    assert row.repeats == (3, 3)
    assert row.ours_range == (1.0, 90.0) and row.peer_range == (20.0, 40.0)


def test_paired_repeats_are_compared_one_by_one():
    assert compared("image", "ms", [1, 10], [4, 50], "peer", paired=True).spread == (4, 5)
    assert compared("image", "ms", [1, 10], [4, 50], "peer").spread == (0.4, 50)
    assert compared("image", "ms", [1, 10, 5], [20], "peer").spread == (2, 20)


def test_a_side_without_a_figure_gives_no_ratio():
    row = compared("image", "ms", [1.0], [], "peer", failed="no peer")
    assert (row.ours, row.peer, row.ratio, row.spread, row.repeats) == (1.0, None, None, None, (1, 0))


def test_works_take_turns_after_one_that_is_not_timed():
    done = []
    times = alternated([lambda: done.append("a"), lambda: done.append("b")], 3)
    assert "".join(done) == "ab" * 4
    assert [len(spent) for spent in times] == [3, 3] and min(map(min, times)) >= 0


@pytest.mark.parametrize(
    "value, text", [(0.0423, "0.042"), (0.999, "1.00"), (9.96, "10.0"), (31.54, "31.5"), (1766, "1766")]
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_a_lower_bound_and_a_failure_are_told():
    bound = compared("to 0.1 mm", "s", [0.5], [300.0], "peer", peer_at_least=True)
    assert cells(bound)[2:5] == ("≥ 300 s", "peer", "≥ 600")
    wrong = compared("image", "ms", [1.0], [2.0], "peer", failed="the images do not agree")
    assert cells(wrong)[4] == "failed"
    assert "image: the images do not agree." in terminal([bound, wrong])
    assert "the images do not agree" in markdown([wrong])


def test_a_markdown_table_has_as_many_cells_in_every_line():
    lines = markdown(
        [compared("image", "ms", [1.0], [2.0], "peer"), compared("other", "ms", [], [], "peer")]
    ).splitlines()
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1
