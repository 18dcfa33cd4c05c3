"""The documentation: every page is in the navigation, every link leads somewhere, and it stays short enough to be read."""

import ast
import json
import os
import re
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from helpers.file_io import read_json

import MultiViewRegistrationLib
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.datasets.chest import chest_ct, chest_labels

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: Pages that commands write: links are checked, length is not.
GENERATED = ("tables", "walks", "paper")
MAX_WORDS, MAX_README_LINES = 14_780, 120
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
NEEDED = ("mkdocs", "mkdocstrings_handlers", "material", "latex2mathml")


def relative(path):
    return path.relative_to(DOCS).as_posix()


def written(path):
    return path.relative_to(DOCS).parts[0] not in GENERATED


def navigation():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")

    def pages(entry):
        if isinstance(entry, str):
            yield entry
        else:
            for child in entry.values() if isinstance(entry, dict) else entry:
                yield from pages(child)

    return list(pages(yaml.safe_load(text)["nav"]))


def anchors(path):
    """Of the headings, as GitHub and MkDocs both make them.

    Lower case, hyphens for spaces, nothing but letters and digits else.
    """
    lines = CODE.sub("", path.read_text(encoding="utf-8")).splitlines()
    titles = [line.lstrip("#").strip().lower() for line in lines if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def test_the_navigation_has_every_page_once():
    there, named = (
        {relative(path) for path in PAGES if written(path) or "tables" in path.parts},
        navigation(),
    )
    assert sorted(named) == sorted(set(named)) and there == set(named)


@pytest.mark.parametrize(
    "page",
    [
        *PAGES,
        *map(ROOT.joinpath, ("README.md", "CONTRIBUTING.md", "Resources/extensions_index.md")),
    ],
    ids=lambda path: path.name,
)
def test_links_lead_to_files_and_headings(page):
    broken = []
    for link in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        name, _, heading = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        target = (page.parent / name).resolve() if name else page
        found = target.exists() and (
            not heading or target.suffix != ".md" or heading in anchors(target)
        )
        broken += [] if found else [link]
    assert not broken


def test_the_pages_are_short_enough_to_be_read():
    words = {
        relative(path): len(path.read_text(encoding="utf-8").split())
        for path in PAGES
        if written(path)
    }
    assert sum(words.values()) <= MAX_WORDS, sorted(words.items(), key=lambda item: -item[1])[:5]


def test_the_reference_has_every_public_name():
    text = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    named = {line.rpartition(".")[2] for line in text.splitlines() if line.startswith("::: ")}
    assert named == set(MultiViewRegistrationLib.__all__) - {"__version__"}


SHOWN = [*PAGES, ROOT / "README.md", *DOCS.glob("notebooks/*.ipynb"), *DOCS.glob("examples/*.py")]


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: path.name)
def test_what_the_documentation_imports_is_exported(path):
    code = path.read_text(encoding="utf-8").replace("\\n", "\n")
    assert not re.search(r"(from|import) MultiViewRegistrationLib", code)
    imported = re.findall(r"from mvreg import ([\w, ]+)", code)
    names = {name for names in imported for name in names.replace(" ", "").split(",")}
    assert names <= set(MultiViewRegistrationLib.__all__)


def test_messages_that_are_explained_are_still_written():
    explained = re.findall(
        r'^\| "([^"]+)" \|', (DOCS / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    code = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "MultiViewRegistration").rglob("*.py")
    )
    code = re.sub(r'"\s*f?"', "", code)  # a text over several lines
    assert len(explained) >= 20 and not [words for words in explained if words not in code]


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        pytest.skip(f'needs {", ".join(missing)}: pip install -e ".[docs]"')
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    commands = (tmp_path / "site" / "reference" / "commands" / "index.html").read_text(
        encoding="utf-8"
    )
    assert "mvreg case anonymise" in commands and "<!-- generated" not in commands


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


def cells(path):
    return read_json(path)["cells"]


def code(path):
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
