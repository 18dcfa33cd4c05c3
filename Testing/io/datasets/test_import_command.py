"""`mvreg import`: writes a case that other commands read, or one sentence and nothing."""

from __future__ import annotations

import json

import h5py
import pytest
from dataset_layouts import SPECIMEN, write_deepfluoro

from MultiViewRegistrationLib.cli.main import main as cli
from MultiViewRegistrationLib.io.case_file import CaseFile


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_deepfluoro(tmp_path_factory.mktemp("deepfluoro") / "full.h5")


def test_a_case_is_written_and_told(written, tmp_path, capsys):
    arguments = [
        "import",
        "deepfluoro",
        str(written.path),
        "--specimen",
        SPECIMEN,
        "--views",
        "0,1",
        "--crop",
        "5",
        "--upright",
        "--json",
    ]
    assert cli([*arguments, "--out", str(tmp_path / "case")]) == 0
    output = capsys.readouterr()
    answer = json.loads(output.out)
    assert answer["relative_geometry"] == "truth" and "true poses" in output.err
    file = CaseFile.read(answer["case"])
    assert file.relative_geometry == "truth" and [view.name for view in file.views] == ["000", "001"]


def test_nothing_is_written_for_bad_input(written, tmp_path, capsys):
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(written.path.read_bytes())
    with h5py.File(damaged, "r+") as file:
        del file[f"{SPECIMEN}/vol/spacing"]
    out = tmp_path / "case"
    assert cli(["import", "deepfluoro", str(damaged), "--specimen", SPECIMEN, "--views", "0", "--out", str(out)]) == 2
    assert f"{SPECIMEN}/vol/spacing is missing" in capsys.readouterr().err and not out.exists()
