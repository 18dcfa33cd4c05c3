"""The arithmetic of a row, the results file, and the tables that are made of it."""

import pytest
from helpers.refusals import refuses

from benchmarks.speed.command import load, table_of, write_part
from benchmarks.speed.measurement import compared


def record(name, ratio, when="2026-01-01 12:00+00:00", cpu="Old CPU"):
    machine = {
        "cpu": cpu,
        "cores": 2,
        "threads_used": 2,
        "memory_gib": 8,
        "system": "Linux x86_64",
        "versions": {"python": "3.11"},
    }
    rows = [compared(name, "ms", ([1.0], [ratio]), "peer")]
    return {"when": when, "machine": machine, "rows": rows}


@pytest.mark.parametrize(
    "content", ["", '{"version": 99, "records": {}}', '{"version": 1, "records": {"a": {}}}']
)
def test_load_rejects_other_files(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content)
    with refuses("results.json"):
        load(path)
    assert path.read_text() == content


def test_write_part_replaces_one_part_of_the_page(tmp_path):
    records = {
        "render: 1": record("image 64x64", 10.0),
        "render: 2": record("image 128x128", 20.0, cpu="New CPU"),
        "registration: 3": record("two-view registration to 1 mm", 400.0),
    }
    page = tmp_path / "benchmarks.md"
    page.write_text("# Prose\n")
    for _ in range(2):
        write_part(page, "render", records)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Prose\n") and text.count("image 128x128") == 1
    assert "| image 128x128 | 1.00 ms | 20.0 ms | peer | 20.0 |" in text
    assert "Old CPU" in text and "New CPU" in text and "registration" not in text


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
