"""`mvreg demo` to its end: what README promises first."""

import json

import pytest

from MultiViewRegistrationLib.cli import demo
from MultiViewRegistrationLib.cli.main import main

pytest.importorskip("itk", reason='makes its X-rays by RTK: pip install -e ".[demo]"')


NO_NETWORK = "No network was trained, as PyTorch is not installed: "


@pytest.mark.slow
def test_without_pytorch_it_does_the_rest_and_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "missing_packages", lambda: ["torch"])
    assert main(["demo", "--out", str(tmp_path), "--json"]) == 0
    printed = capsys.readouterr()
    results = json.loads(printed.out)["results"]
    assert [(each["start"]["method"], each["verdict"]) for each in results] == [
        ("given", "accept"),
        ("search", "accept"),
    ]
    assert printed.err.count(NO_NETWORK) == 1 and printed.err.index(NO_NETWORK) < printed.err.index("Report: ")
    assert "needs PyTorch, which is not installed" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Only")
def test_the_demo_registers_and_writes_all_three_cases(tmp_path, capsys, monkeypatch):
    pytest.importorskip("torch", reason='trains a network: pip install -e ".[torch]"')
    monkeypatch.setattr(demo, "MINUTES", 0.1)
    assert main(["demo", "--out", str(tmp_path), "--json"]) == 0
    printed = capsys.readouterr()
    results = json.loads(printed.out)["results"]
    assert [each["start"]["method"] for each in results] == ["given", "search", "regressor"]
    assert [each["verdict"] for each in results[:2]] == ["accept", "accept"]
    assert all(each["errors"]["mtre_mm"] < 0.2 for each in results[:2])
    for name, result in zip(("chest", "chest-search", "chest-regressor"), results, strict=True):
        assert json.loads((tmp_path / name / "result.json").read_text())["world_from_ct"] == result["world_from_ct"]
        assert (tmp_path / name / "AP_edges_after.png").stat().st_size > 10_000
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(f'id="case-{number}"' in report for number in (1, 2, 3))
    assert printed.err.count("Report: ") == 1 and NO_NETWORK not in printed.err
