"""A study measures each case once, and two runs' rows are held against each other."""

import json
import lzma
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.refusals import refuses

from benchmarks import ROOT, compare, study
from benchmarks.kept import Rows, put


def test_study_measures_missing_rows(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "warm_up", lambda: None)
    measured = []

    def run(options, seed, number):
        measured.append(number)
        return {"mm": number + seed}

    one = study.Study("About.", run, lambda rows: f"{len(rows)} rows")
    for cases in ("2", "3"):
        given = ["study", cases, "--seed", "4", "--rows", str(tmp_path / "rows.jsonl")]
        monkeypatch.setattr(sys, "argv", given)
        one.main()
    assert measured == [0, 1, 2] and capsys.readouterr().out.endswith("3 rows\n")
    assert Rows(tmp_path / "rows.jsonl").get(4, 2, measure=dict) == {"mm": 6}


def test_compressed_rows_are_read_only(tmp_path):
    path = tmp_path / "rows.jsonl.xz"
    path.write_bytes(lzma.compress(b'{"key": "1 0", "mm": 1.0}\n'))
    rows = Rows(path)
    assert rows.get(1, 0, measure=dict) == {"mm": 1.0}
    with refuses("is only read"):
        rows.get(1, 1, measure=dict)


@pytest.mark.parametrize(
    "after, said",
    [
        ({"mm": 1.01, "verdict": "accept"}, "1 rows compared, 0 differ"),
        ({"mm": 1.0, "verdict": "check"}, "1 0: verdict accept, then check"),
        ({"verdict": "accept"}, "1 0: mm inf mm apart"),
    ],
)
def test_compare_reports_differences(after, said, tmp_path, monkeypatch, capsys):
    files = tmp_path / "before.jsonl", tmp_path / "after.jsonl"
    for file, row in zip(files, ({"mm": 1.0, "verdict": "accept"}, after), strict=True):
        file.write_text(json.dumps({"key": "1 0", **row}) + "\n")
    monkeypatch.setattr(sys, "argv", ["compare", *map(str, files)])
    if "0 differ" in said:
        compare.main()
    else:
        with pytest.raises(SystemExit):
            compare.main()
    assert said in capsys.readouterr().out


def test_copy_of_source_imports_its_own_library(tmp_path):
    library = tmp_path / "MultiViewRegistration" / "MultiViewRegistrationLib"
    for folder in (library, tmp_path / "benchmarks"):
        folder.mkdir(parents=True)
    (library / "__init__.py").touch()
    shutil.copy(ROOT / "benchmarks" / "__init__.py", tmp_path / "benchmarks")
    code = "import benchmarks, MultiViewRegistrationLib; print(MultiViewRegistrationLib.__file__)"
    path = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, text=True)
    assert Path(path.strip()).parent == library


def test_rows_survive_an_interrupted_run(tmp_path):
    path = tmp_path / "build" / "rows.jsonl"
    key = ("poses", "a", 1.5)
    first = Rows(path).get(*key, measure=lambda: {"mm": [1.0, 2.0]})
    with path.open("a") as stream:
        stream.write('{"key": "poses c", "m')
    again = Rows(path)
    assert len(again.rows) == 1 and again.get(*key, measure=None) == first
    again.get("poses", "c", measure=lambda: {"mm": 3})
    assert Rows(path).get("poses", "c", measure=None) == {"mm": 3}


def test_put_replaces_one_part_of_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Title\n\nProse.\n")
    put(page, "one", "first")
    put(page, "two", "second\n")
    page.write_text(page.read_text().replace("<!-- two: begin", "More prose.\n\n<!-- two: begin"))
    put(page, "one", "a table\n\nand a line")
    assert page.read_text() == (
        "# Title\n\nProse.\n\n<!-- one: begin -->\na table\n\nand a line\n<!-- one: end -->\n\n"
        "More prose.\n\n<!-- two: begin -->\nsecond\n<!-- two: end -->\n"
    )
