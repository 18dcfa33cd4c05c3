"""What MkDocs does not do by itself.

The references that are generated, formulas, and links that leave the folder docs.

Pages read on GitHub, too: a link there goes by the folders of the repository, a formula stands
between dollars.
"""

from __future__ import annotations

import argparse
import json
import os
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))
from notebook_page import notebook_page  # noqa: E402

LIBRARY = ROOT / "MultiViewRegistration" / "MultiViewRegistrationLib"
SCREENSHOTS = ROOT / "Resources" / "Screenshots"
GENERATED = re.compile(r"<!-- generated: (\w+) -->")
#: Format of a number in a message, such as ":.1f}".
FORMAT = re.compile(r":[^{}]*\}")
LINK = re.compile(r"(\]\()((?:\.\./)+[^)\s#]+|[^)\s#:]+\.ipynb)([^)\s]*\))")
CODE_OR_FORMULA = re.compile(r"(```.*?```|`[^`\n]+`)|\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.DOTALL)


def on_files(files, config):
    """Add the pictures that README shows, which lie beside docs and not in it, and the notebooks as pages."""
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        page = f"notebooks/{path.stem}.md"
        files.append(File.generated(config, page, content=notebook_page(path)))
    for path in sorted(SCREENSHOTS.glob("*.*")):
        files.append(File.generated(config, f"screenshots/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, page, config, files):
    text = GENERATED.sub(lambda match: "\n".join(GENERATORS[match[1]]()), markdown)
    text = LINK.sub(
        lambda match: (
            match[1] + _outside(match[2], page.file.src_uri, config.extra["repository"]) + match[3]
        ),
        text,
    )
    return CODE_OR_FORMULA.sub(_formula, text)


def _outside(link: str, page: str, repository: str) -> str:
    """A link to a notebook, or to a file of the repository outside docs.

    Its page or picture in the site, or its page at the repository.
    """
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))
    if path.startswith("docs/"):
        return link.replace(".ipynb", ".md")  # see `on_files`
    if not (ROOT / path).exists():
        raise FileNotFoundError(f"{page}: {link} does not exist")
    if (ROOT / path).parent == SCREENSHOTS:
        return posixpath.relpath(
            f"screenshots/{posixpath.basename(path)}", posixpath.dirname(page) or "."
        )
    return f"{repository}/blob/main/{path}"


def _formula(match: re.Match) -> str:
    if match[1]:
        return match[1]
    if match[2]:
        return convert(match[2], display="block")
    return f"<span>{convert(match[3])}</span>"  # or Markdown takes one at the beginning of a line for a paragraph


def _commands() -> Iterator[str]:
    """The help of every command, as `mvreg COMMAND --help` prints it."""
    sys.path.insert(0, str(LIBRARY.parent))
    os.environ["COLUMNS"] = "100"
    from MultiViewRegistrationLib.cli.main import COMMANDS, _parser

    def of(parser: argparse.ArgumentParser, depth: int) -> Iterator[str]:
        yield f"{'#' * depth} {parser.prog}\n\n```text\n{parser.format_help().strip()}\n```\n"
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for child in action.choices.values():
                    yield from of(child, depth + 1)

    for name in COMMANDS:
        (commands,) = [
            a for a in _parser([name])._actions if isinstance(a, argparse._SubParsersAction)
        ]
        yield from of(commands.choices[name], 2)


def _schema(path: Path) -> Iterator[str]:
    """The keys of a JSON file by its schema, as a table."""
    schema = json.loads(path.read_text(encoding="utf-8"))

    def resolved(node: dict) -> dict:
        reference = node.get("$ref", "").rpartition("/")[2]
        return {**resolved(schema["$defs"][reference]), **node} if reference else node

    def kind(node: dict) -> str:
        if "enum" in node:
            return ", ".join(f"`{json.dumps(value)}`" for value in node["enum"])
        if "anyOf" in node:
            return " or ".join(kind(resolved(each)) for each in node["anyOf"])
        types = node.get("type", "")
        text = " or ".join([types] if isinstance(types, str) else types)
        if types == "array" and "items" in node:
            many = (
                f" of {node['minItems']}"
                if node.get("minItems") == node.get("maxItems", 0)
                else " of"
            )
            text += f"{many} {kind(resolved(node['items']))}"
        return text

    def rows(node: dict, prefix: str) -> Iterator[str]:
        for name, child in node.get("properties", {}).items():
            if child is True:
                continue
            child, key = resolved(child), f"{prefix}{name}"
            note = child.get("description", "") + (
                " Required." if name in node.get("required", ()) else ""
            )
            if "default" in child:
                note += f" Default: `{json.dumps(child['default'])}`."
            yield f"| `{key}` | {kind(child)} | " + note.strip().replace("|", "\\|") + " |"
            if "items" in child:
                yield from rows(resolved(child.get("items", {})), f"{key}[].")
            else:
                yield from rows(child, f"{key}.")

    yield f"{schema['description']}\n\n| key | value | meaning |\n| --- | --- | --- |"
    yield from rows(schema, "")


def _findings() -> Iterator[str]:
    """The codes of findings with headline and action, as a table."""
    sys.path.insert(0, str(LIBRARY.parent))
    from MultiViewRegistrationLib.report.messages import MESSAGES

    yield "| code | message | what to do |\n| --- | --- | --- |"
    for code, message in MESSAGES.items():
        texts = (FORMAT.sub("}", text) for text in (message.headline, message.action))
        yield f"| `{code}` | {' | '.join(texts)} |"


GENERATORS = {
    "commands": _commands,
    "case": lambda: _schema(LIBRARY / "io" / "case.schema.json"),
    "findings": _findings,
    "result": lambda: _schema(LIBRARY / "io" / "result.schema.json"),
}
