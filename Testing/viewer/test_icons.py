"""The stylesheet of icons has those that the page names, and no others."""

import re

import pytest

elements = pytest.importorskip(
    "MultiViewRegistrationLib.viewer.elements", reason='needs trame: pip install -e ".[viewer]"'
)


def test_every_icon_that_the_page_names_is_in_its_stylesheet():
    (styles,) = elements.icon_styles().values()
    viewer = elements.BROWSER.parent
    for script in (*viewer.glob("*.py"), *viewer.rglob("*.js")):
        text = script.read_text(encoding="utf-8")
        if script.name != "elements.py":
            assert not re.search(r"mdi-[^a-z]", text), f"{script}: an icon's name in pieces"
        for name in re.findall(r"mdi-[a-z][\w-]+", text):
            assert f".{name}::before" in styles, f"{script}: no icon {name}"
    assert "mdi-abacus" not in styles and "@font-face" in styles and len(styles) < 10_000
