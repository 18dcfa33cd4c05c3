"""What is done with a case while all that will show it is still being imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..session.background_task import Worker
from ..session.inputs import prepare_for_drr


@dataclass(frozen=True, eq=False)
class Early:
    """Two background tasks: one loads the `io.case.Case`, the other prepares its CT (see `Session.cache_case`)."""

    case: Worker
    ready: Worker


def begin(path: Path | None) -> Early | None:
    """Begin with a case.json, or that of a folder with nothing else; None for anything else."""
    others = ("result.json", "track.json")
    if path is not None and path.is_dir() and not any((path / name).exists() for name in others):
        path = path / "case.json"
    if path is None or path.suffix.lower() != ".json" or path.name in others or not path.is_file():
        return None

    def read(tell):
        from ..io.case import CaseFile, ct_of

        return ct_of(CaseFile.read(path))

    def load(tell):
        from ..io.case import Case  # takes a second, too

        return Case.load(path, read_ct=lambda: ct.result_for(tell))

    ct = Worker(read)
    return Early(Worker(load), Worker(lambda tell: prepare_for_drr(ct.result_for(tell), tell)))
