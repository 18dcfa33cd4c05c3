"""Records of what a study did: JSON files that appear whole or not at all, so that it can be stopped anywhere and goes on."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..io.files import write_atomically

_CHARACTERS = 32


def digest(content: object) -> str:
    """A hash in hex of plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:_CHARACTERS]


def write_record(path: Path, content: dict) -> None:
    """Write plain data, with None in place of numbers that JSON does not know; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(_finite(content), indent=1, allow_nan=False) + "\n")


def read_record(path: Path) -> dict:
    """What was written. OSError where there is no file, InputError where it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{path}: found no JSON, expected what an evaluation wrote there; remove the file.") from None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
