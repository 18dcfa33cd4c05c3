"""The arithmetic of a row, the results file, and the tables that are made of it."""

import pytest
from helpers.refusals import refuses

from benchmarks.speed.command import load, table_of
from benchmarks.speed.measurement import compared


@pytest.mark.parametrize(
    "content", ["", '{"version": 99, "records": {}}', '{"version": 1, "records": {"a": {}}}']
)
def test_load_rejects_other_files(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content)
    with refuses("results.json"):
        load(path)
    assert path.read_text() == content


def test_compared_divides_medians():
    row = compared("image", "ms", ([2.0, 1.0, 90.0], [30.0, 20.0, 40.0]), "peer")
    assert [row[key] for key in ("ours", "peer", "ratio")] == [2.0, 30.0, 15.0]
    assert row["ours_range"] == [1.0, 90.0] and row["peer_range"] == [20.0, 40.0]
    assert compared("image", "ms", ([1, 10], [4, 50]), "peer", paired=True)["spread"] == [4, 5]
    assert compared("image", "ms", ([1, 10], [4, 50]), "peer")["spread"] == [0.4, 50]
    row = compared("image", "ms", ([1.0], []), "peer", failed="no peer")
    assert [row[key] for key in ("ours", "peer", "ratio", "spread")] == [1.0, None, None, None]


def test_table_marks_lower_bounds_and_failures():
    bound = compared("to 0.1 mm", "s", ([0.5], [300.0]), "peer", peer_at_least=True)
    wrong = compared("image", "ms", ([1.0], [2.0]), "peer", failed="the images do not agree")
    lines = table_of([bound, wrong, compared("other", "ms", ([], []), "peer")]).splitlines()
    assert "| ≥ 300 s | peer | ≥ 600 |" in lines[2]
    assert "| failed |" in lines[3] and lines[3].endswith("| the images do not agree |")
    assert len({line.count("|") for line in lines}) == 1
