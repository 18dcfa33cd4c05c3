"""The results file, the page that is written from it, and running parts again."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from MultiViewRegistrationLib.bench import card, growth, registration, render
from MultiViewRegistrationLib.bench.job import Job, Measured
from MultiViewRegistrationLib.bench.page import write_page
from MultiViewRegistrationLib.bench.results import Record, load, merged, save
from MultiViewRegistrationLib.bench.rows import compared
from MultiViewRegistrationLib.errors import InputError

SVG = "{http://www.w3.org/2000/svg}"


def record(name, ratio, *, part="render", when="2026-01-01 12:00+00:00", cpu="Old CPU", curves=None):
    machine = {
        "cpu": cpu,
        "cores": 2,
        "threads_used": 2,
        "memory_gib": 8,
        "system": "Linux x86_64",
        "versions": {"python": "3.11"},
    }
    return Record(part, when, machine, [compared(name, "ms", [1.0], [ratio], "peer")], curves or {})


def test_what_is_saved_is_loaded(tmp_path):
    results = {"render: a": record("a", 3.0, curves={render.FIGURE: {"ours, image": [(4096, 1.5)]}})}
    save(tmp_path / "new" / "results.json", results)
    assert load(tmp_path / "new" / "results.json") == results
    assert load(tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"version": 99, "records": {}}',
        '{"version": 1, "records": {"a": {}}}',
        '{"version": 1, "records": 5}',
    ],
)
def test_another_file_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(InputError, match="results.json"):
        load(path)
    assert path.read_text() == content


def test_a_part_run_again_replaces_its_own_results_only():
    old = {key: record(key, 2.0) for key in ("a", "b", "gone")}
    new = {"b": record("b", 5.0, cpu="New CPU")}
    both = merged(old, new, ["b", "a", "c"])
    assert list(both) == ["b", "a"]
    assert both["b"].rows[0].ratio == 5.0 and both["a"].rows[0].ratio == 2.0


def test_a_record_tells_when_and_where():
    job = Job("render", ("a",), 1.0, lambda tell: Measured([]))
    told = Record.of(job, Measured([compared("a", "ms", [1.0], [2.0], "peer")]))
    assert told.part == "render" and told.when[:2] == "20"
    assert told.machine["cpu"] and told.machine["threads_used"] >= 1 and "numpy" in told.machine["versions"]


def test_the_page_tells_rows_machines_and_figures(tmp_path):
    results = {
        "1": record(
            "image 64x64", 10.0, curves={render.FIGURE: {"ours, image": [(4096, 1.0)], "RTK, image": [(4096, 9.0)]}}
        ),
        "2": record(
            "image 128x128",
            20.0,
            cpu="New CPU",
            curves={render.FIGURE: {"ours, image": [(16384, 2.0)], "RTK, image": [(16384, 30.0)]}},
        ),
        "3": record(
            "two-view registration to 1 mm",
            400.0,
            part="registration",
            curves={
                registration.FIGURE: {"ours, start 1": [(0.01, 20.0), (0.1, 0.05)], "nanodrr, start 1": [(1.0, 20.0)]}
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
    assert [line.split("(")[1] for line in figures] == ["benchmarks/pixels.svg)", "benchmarks/registration.svg)"]
    svg = ET.parse(tmp_path / "benchmarks" / "pixels.svg").getroot()
    assert svg.find(f"{SVG}rect").get("fill") == "#ffffff"
    assert {"64²", "128²", "ours, image"} <= {element.text for element in svg.iter(f"{SVG}text")}
    assert [len(line.get("points").split()) for line in svg.iter(f"{SVG}polyline")] == [2, 2]


def test_a_cards_figures_are_drawn_apart_from_those_of_the_processor(tmp_path):
    figure = growth.FIGURES["voxels"]
    results = {
        "1": record("volume at 1/1", 9.0, part="growth", curves={figure: {growth.OURS: [(1e6, 5.0), (1e7, 9.0)]}}),
        "2": record(
            "volume at 1/1, on the card",
            9.0,
            part=card.PART,
            curves={
                figure + card.WHERE: {growth.OURS: [(1e6, 0.5)]},
                growth.FIGURES["poses"] + card.WHERE: {
                    growth.OURS: [(1, 0.2), (64, 3.0)],
                    growth.THEIRS: [(1, 0.4), (64, 9.0)],
                },
            },
        ),
    }
    write_page(tmp_path / "page.md", results)
    shown = [line for line in (tmp_path / "page.md").read_text(encoding="utf-8").splitlines() if line.startswith("![")]
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
    page.write_text(alone + "\n<!-- other: begin -->\n## Other\n<!-- other: end -->\n", encoding="utf-8")
    before = page.read_text(encoding="utf-8")
    for _ in range(2):
        write_page(page, results)
    assert page.read_text(encoding="utf-8") == before


def test_results_are_plain_json_with_the_fields_of_the_contract(tmp_path):
    save(tmp_path / "results.json", {"1": record("image 64x64", 10.0)})
    row = json.loads((tmp_path / "results.json").read_text())["records"]["1"]["rows"][0]
    assert list(row)[:8] == ["name", "unit", "ours", "peer", "peer_name", "ratio", "repeats", "spread"]
