"""What a cohort's processes share on disk: the plan of an evaluation, and what came of each case. Standard library only.

    <folder>/plan-<hash>.json       the cases' paths and how they are evaluated
    <folder>/<hash>.json            what came of one case evaluated in one way; it appears whole or not at all
    <folder>/models/<hash>          a regressor that was trained for the cohort, and <hash>.json what came of its training

Names are hashes, so that neither they nor what is sent between processes tells anything of a patient.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..io.files import write_atomically

_CHARACTERS = 32


def digest(content: object) -> str:
    """A hash in hex of plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:_CHARACTERS]


@dataclass(frozen=True)
class Plan:
    """Which cases are evaluated, and how.

    cases: absolute paths.   options: of the evaluation, see `cohort_worker.method`.   groups: the `cohort_training.group` of each case, ""
    of one that cannot be read; none where no regressors are trained.   version: of the program.
    """

    cases: list[str]
    options: dict[str, Any]
    groups: list[str]
    version: str

    def write(self, folder: Path) -> str:
        """Write it into the cohort's folder; returns its name there, the same for the same plan."""
        name = f"plan-{digest(asdict(self))}.json"
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, json.dumps(asdict(self), indent=1))
        return name

    @classmethod
    def read(cls, path: Path) -> Plan:
        """OSError where it is not there."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def record(self, folder: Path, number: int) -> Path:
        """Where it is written what came of a case."""
        return folder / f"{digest([self.cases[number], self.options])}.json"

    def motion(self, folder: Path, numbers: Sequence[int]) -> Path:
        """Where it is written how the structure moved between cases that show the same one."""
        return folder / f"{digest(['motion', [self.cases[number] for number in numbers], self.options])}.json"

    def model(self, folder: Path, number: int) -> Path:
        """The folder of the regressor that is trained for a case, and others of its group."""
        return (
            folder
            / "models"
            / digest([self.groups[number], *(self.options[key] for key in ("minutes", "seed", "device"))])
        )

    def training(self, folder: Path, number: int) -> Path:
        """Where it is written what came of that training."""
        return self.model(folder, number).with_suffix(".json")


@dataclass(frozen=True)
class Record:
    """What came of a case, as plain data.

    fingerprint: of all that it hangs on: files, options, the program's version; "" where it failed.
    outcome: an `evaluation.CaseOutcome`, of `Plan.motion` its "motions", of `Plan.training` its steps; None where it failed.
    pictures: JPEG files as base64, by name.
    world_from_ct, anatomy: of a case without truth, the pose and the hash of its CT, for the motion from one image to the next.
    error: why it failed, in a sentence.   warnings: that were given on the way.
    """

    fingerprint: str
    outcome: dict[str, Any] | None
    pictures: dict[str, str] = field(default_factory=dict)
    world_from_ct: list[list[float]] | None = None
    anatomy: str = ""
    error: str = ""
    warnings: Sequence[str] = ()

    def write(self, path: Path) -> None:
        write_atomically(path, json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Record | None:
        """None where there is none, or what is there is none."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
