"""A store of regressors in a folder of the test, and a `mvreg train` that is a real process and learns nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import types
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import phantom

from MultiViewRegistrationLib import jobs, regressor

#: What the child does, as the real one: tells its progress, can be cancelled, leaves a model in the store, prints its folder.
CHILD = """
import json, sys, time
from pathlib import Path
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.progress import ProgressRecord, stopped_by_end_of_stdin
from little_store import ct_sha256, write_model
store, behaviour, arguments = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
case = Case.load(arguments[1])
(store / "asked.json").write_text(json.dumps(arguments))
def option(name, other):
    return arguments[arguments.index(name) + 1] if name in arguments else other
sha, minutes = ct_sha256(case.ct), float(option("--minutes", 2))
folder = Path(option("--out", store / sha[:16] / f"trained-{len(list(store.glob('*/*')))}"))
try:
    with stopped_by_end_of_stdin():
        for step in range(100, 501, 100):
            stage = f"training, {8 - step / 100:.1f} mm after {step} of 500 steps"
            print(ProgressRecord(step / 500, stage, 60.0).to_line(), file=sys.stderr, flush=True)
            time.sleep(0.05)
            while behaviour == "waits":
                time.sleep(0.02)
        if behaviour == "fails":
            print("mvreg: the training: found NaN in the loss, expected numbers; the last good state is kept.", file=sys.stderr)
            sys.exit(2)
except KeyboardInterrupt:
    write_model(folder, sha, minutes, 7.0, finished=False)
    sys.exit(130)
write_model(folder, sha, minutes, 3.0)
print(json.dumps({"folder": str(folder), "card": {}}))
"""


@dataclass(frozen=True)
class Card:
    ct_sha256: str
    minutes: float
    validation: list


@dataclass(frozen=True)
class Stored:
    folder: Path
    card: Card
    bytes: int
    name: str
    finished: bool


def ct_sha256(ct) -> str:
    return hashlib.sha256(np.ascontiguousarray(ct.volume.values)).hexdigest()


def write_model(folder: Path, sha: str, minutes: float, error_mm: float, *, finished: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights").write_bytes(bytes(7_600_000))
    card = {"ct_sha256": sha, "minutes": minutes, "validation": [[100, 20.0], [500, error_mm]]}
    (folder / "card.json").write_text(json.dumps({"finished": finished, **card}))


class LittleStore:
    """Takes the place of the user's store, of what is trained, and of what a registration asks.

    asked: the `model` of each registration with a learned start.   behaviour: of the child: "learns", "waits" or "fails".
    """

    def __init__(self, monkeypatch, folder: Path) -> None:
        self.folder, self.asked, self._patch = folder, [], monkeypatch
        store = types.SimpleNamespace(all_models=self.all_models, models_of=self.models_of, remove=self.remove)
        monkeypatch.setattr(regressor, "store", store, raising=False)
        monkeypatch.setitem(sys.modules, f"{regressor.__name__}.model", types.SimpleNamespace(ct_sha256=ct_sha256))
        self.behave("learns")
        self._fake_registration()

    def behave(self, behaviour: str) -> None:
        here = str(Path(__file__).parent)
        child = f"import sys; sys.path.insert(0, {here!r})\n{CHILD}"
        self._patch.setattr(jobs, "program", lambda: [sys.executable, "-c", child, str(self.folder), behaviour])

    def add(self, ct, name: str, minutes: float = 2.0, error_mm: float = 3.6, *, finished: bool = True) -> Path:
        sha = ct_sha256(ct)
        write_model(self.folder / sha[:16] / name, sha, minutes, error_mm, finished=finished)
        return self.folder / sha[:16] / name

    @property
    def arguments(self) -> list[str]:
        """What the last child was asked, but for the case."""
        arguments = json.loads((self.folder / "asked.json").read_text())
        return [arguments[0], *arguments[2:]]

    def all_models(self) -> list[Stored]:
        return sorted(map(_stored, self.folder.glob("*/*/card.json")), key=lambda model: model.name, reverse=True)

    def models_of(self, sha: str) -> list[Stored]:
        return [model for model in self.all_models() if model.card.ct_sha256 == sha]

    def remove(self, model: Stored) -> None:
        shutil.rmtree(model.folder)

    def _fake_registration(self) -> None:
        from MultiViewRegistrationLib import workflow

        real = workflow.register

        def register(case, start, tell, anatomy, seed, *, model=None, **options):
            if start not in ("regressor", "auto"):
                return real(case, start, tell, anatomy, seed, **options)
            self.asked.append(model)
            begun = phantom.off(phantom.TRUE_POSE, (1, 0, 0), (0, 2, 0))
            told = {"model": model.name, "expected_mm": 3.2, "candidates": [], "taken": "both views together"}
            return replace(real(replace(case, world_from_ct=begun), "given", tell, anatomy, seed), started=told)

        self._patch.setattr(workflow, "register", register)


def _stored(path: Path) -> Stored:
    content = json.loads(path.read_text())
    finished = content.pop("finished")
    return Stored(path.parent, Card(**content), sum(file.stat().st_size for file in path.parent.iterdir()), path.parent.name, finished)
