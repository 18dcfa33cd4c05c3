"""A notebook with its outputs as a page of the site, in Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path


def notebook_page(path: Path) -> str:
    """Return the page of a notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join(part for cell in cells for part in _parts(cell)) + "\n"


def _parts(cell: dict) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "text/html" in data:
            yield re.sub(r"\n\s*\n", "\n", "".join(data["text/html"]))  # an empty line ends HTML
        elif kind := next((kind for kind in data if kind.startswith("image/")), ""):
            picture = "".join("".join(data[kind]).split())
            yield f"![What the cell shows](data:{kind};base64,{picture})"
        elif text := "".join(output.get("text", data.get("text/plain", ""))).rstrip():
            yield f"```text\n{text}\n```"
