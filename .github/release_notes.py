"""Notes of a release: what CHANGELOG.md says of a version, for GitHub, which would show each end of a line.

python .github/release_notes.py 0.1.0
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).resolve().parents[1] / "CHANGELOG.md"


def notes(changelog: str, version: str) -> str:
    """The section of a version, a line for each entry; "" where there is none."""
    found = re.search(
        rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## |\Z)",
        changelog,
        re.MULTILINE | re.DOTALL,
    )
    return re.sub(r"\n  +(?=\S)", " ", found[1]).strip() if found else ""


if __name__ == "__main__":
    written = notes(CHANGELOG.read_text(encoding="utf-8"), sys.argv[1])
    if not written:
        sys.exit(
            f"CHANGELOG.md: found no section ## [{sys.argv[1]}] with text, expected the notes of "
            "this release; write them."
        )
    print(written)
