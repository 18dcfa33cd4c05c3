"""Commands in README and documentation.

The programs, commands and options that they name are there.
"""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from MultiViewRegistrationLib.cli.main import _parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}


def code(text):
    """The lines of its blocks of code, and its inline code."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [
        line.strip() for block in blocks for line in re.sub(r"\\\n\s*", " ", block).splitlines()
    ]
    return lines + re.findall(r"`([^`\n]+)`", text)


def documented_commands():
    """Page and words of every command of mvreg."""
    found = [
        (page, re.match(r"(?:\S*[/\\])?mvreg (.+)", line))
        for page, text in TEXT.items()
        for line in code(text)
    ]
    return [
        (page, shlex.split(match[1].replace("\\", "/"), comments=True))
        for page, match in found
        if match
    ]


@pytest.mark.parametrize(
    "page, words",
    documented_commands(),
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_mvreg_has_the_command_and_its_options(page, words):
    parser, rest = _parser(words), words
    while rest:
        choices = [
            one.choices for one in parser._actions if isinstance(one, argparse._SubParsersAction)
        ]
        if not choices or not re.fullmatch("[a-z][a-z-]*", rest[0]):
            break
        assert rest[0] in choices[0], f"{page}: mvreg {' '.join(words)}"
        parser, rest = choices[0][rest[0]], rest[1:]
    options = {word.partition("=")[0] for word in rest if word.startswith("--")}
    assert options <= set(parser._option_string_actions), f"{page}: mvreg {' '.join(words)}"
