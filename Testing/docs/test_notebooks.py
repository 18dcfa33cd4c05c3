"""The notebooks of docs/notebooks run from beginning to end, as Jupyter runs them, and show what they end on."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.datasets.chest import chest_ct, chest_labels

ROOT = Path(__file__).resolve().parents[2]
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
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def code(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(path) if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    assert all(cell["outputs"] == [] for cell in cells(path) if cell["cell_type"] == "code")
    assert all(ast.parse(source).body for source in code(path))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path):
    if path.stem == "own_optimiser" or path.stem in SYNTHETIC:
        pytest.importorskip("torch", reason="needs torch: pip install torch")
    try:
        if path.stem not in SYNTHETIC:
            chest_labels() if path.stem == "bent_spine" else chest_ct()
    except InputError as error:
        pytest.skip(str(error))
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(code(path)),
        cwd=path.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT / "MultiViewRegistration")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    shown = [line.split() for line in done.stdout.splitlines() if line.startswith("shown: ")]
    results = [int(size) for _, kind, size in shown if kind == "Result"]
    if path.stem in SYNTHETIC:  # which assert what they come to
        assert shown, done.stdout
    else:
        assert results and min(results) > 10_000, done.stdout
