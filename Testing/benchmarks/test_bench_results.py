"""The arithmetic of a row, the results file, and the page that is written from it."""

import xml.etree.ElementTree as ET

import pytest
from file_io import read_json
from refusals import refuses

from benchmarks.speed import registration, rendering
from benchmarks.speed.measurement import BenchmarkRecord, compared
from benchmarks.speed.program import (
    CARD,
    ON_CARD,
    cells,
    load,
    markdown,
    save,
    terminal,
    write_page,
)

SVG = "{http://www.w3.org/2000/svg}"


def record(
    name, ratio, *, part="render", when="2026-01-01 12:00+00:00", cpu="Old CPU", curves=None
):
    machine = {
        "cpu": cpu,
        "cores": 2,
        "threads_used": 2,
        "memory_gib": 8,
        "system": "Linux x86_64",
        "versions": {"python": "3.11"},
    }
    return BenchmarkRecord(
        part, when, machine, [compared(name, "ms", [1.0], [ratio], "peer")], curves or {}
    )


def test_what_is_saved_is_loaded(tmp_path):
    results = {
        "render: a": record("a", 3.0, curves={rendering.FIGURE: {"ours, image": [[4096, 1.5]]}})
    }
    save(tmp_path / "new" / "results.json", results)
    assert load(tmp_path / "new" / "results.json") == results
    assert load(tmp_path / "none.json") == {}
    row = read_json(tmp_path / "new" / "results.json")["records"]["render: a"]["rows"][0]
    assert list(row)[:8] == [
        "name",
        "unit",
        "ours",
        "peer",
        "peer_name",
        "ratio",
        "repeats",
        "spread",
    ]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"version": 99, "records": {}}',
        '{"version": 1, "records": {"a": {}}}',
        '{"version": 1, "records": 5}',
    ],
)
def test_another_file_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content)
    with refuses("results.json"):
        load(path)
    assert path.read_text() == content


def test_the_page_tells_rows_machines_and_figures(tmp_path):
    results = {
        "1": record(
            "image 64x64",
            10.0,
            curves={rendering.FIGURE: {"ours, image": [(4096, 1.0)], "RTK, image": [(4096, 9.0)]}},
        ),
        "2": record(
            "image 128x128",
            20.0,
            cpu="New CPU",
            curves={
                rendering.FIGURE: {"ours, image": [(16384, 2.0)], "RTK, image": [(16384, 30.0)]}
            },
        ),
        "3": record(
            "two-view registration to 1 mm",
            400.0,
            part="registration",
            curves={
                registration.FIGURE: {
                    "ours, start 1": [(0.01, 20.0), (0.1, 0.05)],
                    "nanodrr, start 1": [(1.0, 20.0)],
                }
            },
        ),
    }
    page = tmp_path / "benchmarks.md"
    write_page(page, results)
    text = page.read_text(encoding="utf-8")
    assert "| image 128x128 | 1.00 ms | 20.0 ms | peer | 20.0 |" in text
    assert "Old CPU" in text and "New CPU" in text
    assert "## Growth" not in text
    figures = [line for line in text.splitlines() if line.startswith("![")]
    assert [line.split("(")[1] for line in figures] == [
        "benchmarks/pixels.svg)",
        "benchmarks/registration.svg)",
    ]
    svg = ET.parse(tmp_path / "benchmarks" / "pixels.svg").getroot()
    assert {"64²", "128²", "ours, image"} <= {element.text for element in svg.iter(f"{SVG}text")}
    assert [len(line.get("points").split()) for line in svg.iter(f"{SVG}polyline")] == [2, 2]


def test_a_cards_figures_are_drawn_apart_from_those_of_the_processor(tmp_path):
    figure = rendering.GROWTH["voxels"]
    results = {
        "1": record(
            "volume at 1/1",
            9.0,
            part="growth",
            curves={figure: {rendering.OURS_JACOBIAN: [(1e6, 5.0), (1e7, 9.0)]}},
        ),
        "2": record(
            "volume at 1/1, on the card",
            9.0,
            part=CARD,
            curves={
                figure + ON_CARD: {rendering.OURS_JACOBIAN: [(1e6, 0.5)]},
                rendering.GROWTH["poses"] + ON_CARD: {
                    rendering.OURS_JACOBIAN: [(1, 0.2), (64, 3.0)],
                    rendering.BACKWARD: [(1, 0.4), (64, 9.0)],
                },
            },
        ),
    }
    write_page(tmp_path / "page.md", results)
    shown = [
        line
        for line in (tmp_path / "page.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("![")
    ]
    assert [line.split("(")[1] for line in shown] == [
        "page/voxels.svg)",
        "page/card-voxels.svg)",
        "page/card-poses.svg)",
    ]
    assert shown[1].startswith("![Time of an image with Jacobian against voxels, on the card]")
    svg = ET.parse(tmp_path / "page" / "card-poses.svg").getroot()
    assert [len(line.get("points").split()) for line in svg.iter(f"{SVG}polyline")] == [2, 2]


def test_what_others_put_at_the_end_of_the_page_stays(tmp_path):
    page, results = tmp_path / "benchmarks.md", {"1": record("image 64x64", 10.0)}
    write_page(page, results)
    alone = page.read_text(encoding="utf-8")
    page.write_text(
        alone + "\n<!-- other: begin -->\n## Other\n<!-- other: end -->\n", encoding="utf-8"
    )
    before = page.read_text(encoding="utf-8")
    for _ in range(2):
        write_page(page, results)
    assert page.read_text(encoding="utf-8") == before


def test_the_ratio_is_peer_over_ours_of_the_medians():
    row = compared("image", "ms", [2.0, 1.0, 90.0], [30.0, 20.0, 40.0], "peer")
    assert (row.ours, row.peer, row.ratio, row.repeats) == (2.0, 30.0, 15.0, [3, 3])
    assert row.ours_range == [1.0, 90.0] and row.peer_range == [20.0, 40.0]
    assert compared("image", "ms", [1, 10], [4, 50], "peer", paired=True).spread == [4, 5]
    assert compared("image", "ms", [1, 10], [4, 50], "peer").spread == [0.4, 50]
    assert compared("image", "ms", [1, 10, 5], [20], "peer").spread == [2, 20]
    row = compared("image", "ms", [1.0], [], "peer", failed="no peer")
    assert (row.ours, row.peer, row.ratio, row.spread, row.repeats) == (
        1.0,
        None,
        None,
        None,
        [1, 0],
    )


def test_a_lower_bound_and_a_failure_are_told():
    bound = compared("to 0.1 mm", "s", [0.5], [300.0], "peer", peer_at_least=True)
    assert cells(bound)[2:5] == ("≥ 300 s", "peer", "≥ 600")
    wrong = compared("image", "ms", [1.0], [2.0], "peer", failed="the images do not agree")
    assert cells(wrong)[4] == "failed" and "image: the images do not agree." in terminal(
        [bound, wrong]
    )
    lines = markdown([wrong, compared("other", "ms", [], [], "peer")]).splitlines()
    assert "the images do not agree" in lines[2] and len({line.count("|") for line in lines}) == 1
