"""The version of a zip of the source, into which `git archive` wrote it (.gitattributes)."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

FILE = Path(__file__).parents[2] / ".git_archival.txt"


def archived_version(file: Path = FILE) -> str | None:
    """Return the version in the words of setuptools-scm; None without a tag, or where this is no zip."""
    with suppress(OSError):
        pattern = r"^describe-name: v(\d+\.\d+)\.(\d+)(?:-(\d+)-(g[0-9a-f]+))?$"
        found = re.search(pattern, file.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            series, patch, commits, node = found.groups()
            later = f"{series}.{int(patch) + 1}.dev{commits}+{node}"
            return later if commits else f"{series}.{patch}"
    return None
