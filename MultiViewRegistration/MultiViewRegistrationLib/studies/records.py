"""Records of studies as JSON files, each complete or absent, so that a study can be interrupted at any time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..io.files import write_json


def write_record(path: Path, content: dict) -> None:
    """Write plain data, with None in place of numbers that JSON does not know."""
    write_json(path, _finite(content))


def read_record(path: Path) -> dict:
    """Read what was written.

    Raises
    ------
    OSError
        If there is no file.
    InputError
        If it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(
            f"{path}: found no JSON, expected what an evaluation wrote there; remove the file."
        ) from None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
