"""The tutorial says what the panel says, and what it links to is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "MultiViewRegistration"
PAGE = ROOT / "docs" / "slicer.md"
TEXT = PAGE.read_text(encoding="utf-8")
PICTURES = sorted((ROOT / "docs" / "slicer").iterdir())


def in_ui_files() -> set[str]:
    """Texts of widgets, titles and entries, without a colon at the end."""
    return {
        (string.text or "").rstrip(":")
        for path in (MODULE / "Resources" / "UI").glob("*.ui")
        for string in ElementTree.parse(path).iter("string")
    }


def in_code() -> set[str]:
    """The constant strings of the module, those between the braces of f-strings among them."""
    trees = (
        ast.parse(path.read_text(encoding="utf-8")) for path in MODULE.rglob("*.py") if "Testing" not in path.parts
    )
    return {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def headings(path: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    lines = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def test_names_in_bold_are_in_the_panel():
    known = in_ui_files() | in_code()
    columns = {"Use"}  # of the table, in its own element
    named = set(re.findall(r"\*\*(.+?)\*\*", TEXT.replace("\n", " ")))
    assert len(named) > 50
    assert sorted(name for name in named if name not in known | columns) == []


def test_messages_in_quotes_are_in_the_code():
    told = re.findall(r'^\| "(.+?)" \|', TEXT, re.MULTILINE)
    code = in_code()
    assert len(told) > 15
    assert sorted(message for message in told if not any(message in string for string in code)) == []


def test_links_and_pictures_are_there():
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    wrong = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = (PAGE.parent / path).resolve() if path else PAGE
        if not target.is_file() or (anchor and anchor not in headings(target)):
            wrong.append(link)
    assert not wrong and {path.name for path in PICTURES} == {
        Path(link).name for link in links if link.startswith("slicer/")
    }


def test_the_readme_leads_here_with_the_same_three_lines():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(logic = .*?)```", TEXT, re.DOTALL)
    assert "(docs/slicer.md)" in readme and lines in readme


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_pictures_are_small_enough_to_be_loaded_at_once(path):
    assert path.stat().st_size < 150_000 and path.suffix in (".png", ".jpg")


def test_all_pictures_together_and_the_screenshot():
    assert sum(path.stat().st_size for path in PICTURES) < 2_000_000
    screenshot = ROOT / "Resources" / "Screenshots" / "slicer.jpg"
    assert Image.open(screenshot).width == 1200 and screenshot.stat().st_size < 200_000
    assert f"main/Resources/Screenshots/{screenshot.name}" in (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
