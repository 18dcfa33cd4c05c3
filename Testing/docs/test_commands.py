"""Commands in README and documentation.

The programs, commands and options that they name are there.
"""

import argparse
import re
import shlex
import subprocess
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


def of_program(name):
    """Page and words of every command of a program."""
    found = [
        (page, re.match(rf"(?:\S*[/\\])?{name} (.+)", line))
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
    of_program("mvreg"),
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


def commands(words=()):
    """Each command's words and parser."""
    parser = _parser([*words, "--help"])
    for word in words:
        parser = choices_of(parser)[word]
    yield words, parser
    for word in choices_of(parser):
        yield from commands((*words, word))


def choices_of(parser):
    found = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return found[0].choices if found else {}


@pytest.mark.parametrize(
    "parser", [pytest.param(one, id=" ".join(words)) for words, one in commands()]
)
def test_help_leaves_nothing_empty(parser):
    said = " ".join(parser.format_help().split())
    assert not re.search(r": ?[;,.)]|\(\s*\)|\bNone\b|default: ?\)", said)
    described = [one for one in parser._actions if not isinstance(one, argparse._SubParsersAction)]
    assert all(action.help for action in described)


def test_make_has_the_targets():
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    named = {words[0] for page, words in of_program("make") if re.fullmatch("[a-z-]+", words[0])}
    assert {"demo", "test", "docs"} <= named <= targets


@pytest.mark.parametrize(
    "argument, torch", [("", False), ("NETWORK=0", False), ("NETWORK=1", True)]
)
def test_the_demo_gets_pytorch_only_where_that_is_asked_for(
    require_program, tmp_path, argument, torch
):
    """With CUDA it is five times all else."""
    make = require_program("make", package="make")
    command = [
        make,
        "--no-print-directory",
        "--dry-run",
        "--file",
        ROOT / "Makefile",
        "demo",
        *filter(None, [argument]),
    ]
    (tmp_path / "pyproject.toml").touch()
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert ("torch" in said.replace("PyTorch", "")) == torch and "mvreg demo" in said


def test_pip_installs_extras_that_there_are():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = set(re.findall(r"(?m)^(\w+) = \[", project))
    named = re.findall(r"pip install [^`\n]*\[([\w,]+)\]", "\n".join(TEXT.values()))
    assert set(",".join(named).split(",")) <= extras
