"""The notebooks of docs/notebooks run from beginning to end, as Jupyter runs them, and show what they end on."""

import ast
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from file_io import read_json

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.datasets.chest import chest_ct, chest_labels

ROOT = Path(__file__).resolve().parents[2]
notebook_page = runpy.run_path(str(ROOT / "docs" / "notebook_page.py"))["notebook_page"]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
#: Of the renderer alone, by a phantom that they make.
SYNTHETIC = ("cameras", "reconstruction")
#: Runs cells, each a text on stdin, in one namespace; prints how many characters each last
#: expression's HTML or repr has.
RUNNER = """
import ast, json, sys
space = {"__name__": "__main__"}
for source in json.load(sys.stdin):
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), space)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), space)
        html = getattr(value, "_repr_html_", lambda: "")()
        assert "Traceback" not in html and len(repr(value)) < 2000
        print("shown:", type(value).__name__, len(html))
"""


def cells(path: Path) -> list[dict]:
    return read_json(path)["cells"]


def code(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(path) if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_outputs_a_picture_and_no_path_of_the_repository(path):
    assert all(ast.parse(source).body and ".." not in source for source in code(path))
    outputs = [each for cell in cells(path) for each in cell.get("outputs", ())]
    assert outputs and not any(each["output_type"] == "error" for each in outputs)
    text = path.read_text(encoding="utf-8")
    assert str(Path.home()) not in text and "/tmp/" not in text and len(text) < 1_500_000
    assert path.with_suffix(".jpg").stat().st_size < 60_000
    gallery = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    assert f"(notebooks/{path.stem}.jpg)](notebooks/{path.stem}.ipynb)" in gallery


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_a_page_of_the_site(path):
    page = notebook_page(path)
    assert page.startswith("# ") and page.count("```python") == len(code(path))
    assert "data:image" in page and "\n\n</" not in page


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_anywhere(path, tmp_path):
    if path.stem in ("drr", "extend", "network", "own_optimiser", *SYNTHETIC):
        pytest.importorskip("torch", reason="needs torch: pip install torch")
    try:
        if path.stem not in SYNTHETIC:
            chest_labels() if path.stem == "bent_spine" else chest_ct()
    except InputError as error:
        pytest.skip(str(error))
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(code(path)),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "MultiViewRegistration")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    shown = [line.split() for line in done.stdout.splitlines() if line.startswith("shown: ")]
    results = [int(size) for _, kind, size in shown if kind == "Result"]
    if path.stem in ("drr", *SYNTHETIC):  # which assert what they come to
        assert shown, done.stdout
    else:
        assert results and min(results) > 10_000, done.stdout
