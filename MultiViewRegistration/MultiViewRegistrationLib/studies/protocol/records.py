"""The registrations that were done: a small file each, which appears whole or not at all, so that a run can be broken off anywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...io.files import sha256, write_atomically

VERSION = 1


class Records:
    """A folder of registrations of one protocol: protocol.json says which, rows/0007.json is the registration 7, pictures/ its misses.

    sha256: of each CT's file, by the CT's name in the rows.
    """

    def __init__(self, folder: Path, cts: Sequence[Path], seed: int, simulator: str = "rtk") -> None:
        """InputError where the folder has registrations of another protocol: they do not go together."""
        self._rows, self.pictures = folder / "rows", folder / "pictures"
        about = {"version": VERSION, "seed": seed, "cts": [{"name": path.name, "sha256": sha256(path)} for path in cts]}
        if simulator != "rtk":
            about["simulator"] = simulator
        self.sha256 = {name_of(path): each["sha256"] for path, each in zip(cts, about["cts"], strict=True)}
        file = folder / "protocol.json"
        if file.exists() and _read(file) != about:
            raise InputError(
                f"{file}: found registrations of other CTs, another order of them, another seed or another simulator, "
                "expected those that were given now; give another --out, or the same CTs in the same order."
            )
        self._rows.mkdir(parents=True, exist_ok=True)
        self.pictures.mkdir(exist_ok=True)
        if not file.exists():
            write_atomically(file, json.dumps(about, indent=1) + "\n")

    def has(self, number: int) -> bool:
        return self._file(number).exists()

    def keep(self, row: dict, picture: bytes | None) -> None:
        """The picture first: a row that is there is done."""
        number = row["number"]
        if picture is not None:
            write_atomically(self.picture(number), picture)
        write_atomically(self._file(number), json.dumps(_finite(row), allow_nan=False) + "\n")

    def picture(self, number: int) -> Path:
        return self.pictures / f"{number:04d}.jpg"

    def rows(self) -> list[dict]:
        """All that there are, by their numbers. InputError where a file is not one of ours."""
        return [_read(path) for path in sorted(self._rows.glob("[0-9]*.json"))]

    def _file(self, number: int) -> Path:
        return self._rows / f"{number:04d}.json"


def name_of(ct: Path) -> str:
    """What a CT is called in the rows: its file's name without what says the format."""
    return ct.name.removesuffix(".gz").rsplit(".", 1)[0]


def _finite(value: Any) -> Any:
    """Plain data with None in place of numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{path}: found no JSON, expected what an evaluation wrote there; remove the file.") from None
