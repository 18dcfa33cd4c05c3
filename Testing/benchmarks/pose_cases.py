"""The cases that make_pose_set.py wrote, and the models trained for them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.regressor import learning
from MultiViewRegistrationLib.regressor.model import RegressorModel, load_model
from MultiViewRegistrationLib.regressor.model_store import CARD, Card


@dataclass(frozen=True)
class PoseCase:
    """Where a case is, and what its folder's name says of it."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def anatomy(self) -> str:
        return self.name.split("-")[0]

    @property
    def hard(self) -> bool:
        return self.name.split("-")[1] == "hard"

    @property
    def kind(self) -> str:
        """What makes it hard, "plain" if nothing does."""
        return self.name.split("-")[-2]

    @property
    def number(self) -> int:
        return int(self.name.split("-")[-1])

    def load(self) -> Case:
        """With the CT of the last case of this anatomy."""
        last = _LAST.get(self.anatomy)
        _LAST[self.anatomy] = case = Case.load(self.path, last)
        return case


_LAST: dict[str, Case] = {}
_READY: dict[tuple, PreparedCT] = {}


def pose_cases(folder: Path, *, hard: bool, limit: int | None = None) -> list[PoseCase]:
    """The plain cases or the hard ones, of each anatomy the first `limit`; the anatomies take turns.

    InputError where there are none.
    """
    cases = [PoseCase(path.parent) for path in folder.glob(f"*-{'hard' if hard else 'plain'}-*/case.json")]
    if not cases:
        raise InputError(
            f"{folder}: found no {'hard' if hard else 'plain'} cases, expected those of make_pose_set.py; run it first."
        )
    return sorted(
        (case for case in cases if limit is None or case.number < limit), key=lambda case: (case.number, case.anatomy)
    )


def anatomies(cases: list[PoseCase]) -> list[str]:
    return sorted({case.anatomy for case in cases})


def ready(case: Case) -> PreparedCT:
    """The case's CT made ready for registration, once."""
    if case.anatomy_key not in _READY:
        _READY[case.anatomy_key] = PreparedCT(case.ct)
    return _READY[case.anatomy_key]


def trained(
    case: Case,
    folder: Path,
    *,
    minutes: float,
    network: str = "voting",
    loss: str = "likelihood",
    seed: int = 0,
    device: str = "cpu",
) -> RegressorModel:
    """The model of a folder, trained first, or on, unless it is there."""
    begun = (folder / CARD).exists()
    if begun and Card.read(folder).finished:
        return load_model(folder)
    start = monotonic()
    print(f"{folder.name}: training, {minutes:g} minutes", file=sys.stderr, flush=True)
    model = learning.train(
        case,
        folder,
        minutes=minutes,
        network=network,
        loss=loss,
        seed=seed,
        resume=begun,
        anatomy=ready(case),
        device=device,
    )
    card = model.card
    print(
        f"{folder.name}: {card.done} steps, {monotonic() - start:.0f} s on {card.device}, {card.error_mm} mm {card.fault}",
        file=sys.stderr,
        flush=True,
    )
    return model


def identity(model: RegressorModel) -> str:
    """Tells a model from one trained anew in the same folder."""
    return f"{model.folder.name}:{model.card.weights_sha256[:8]}"


def counted(work: list, what: str) -> Iterator:
    """The items of a list, told of as they come."""
    start = monotonic()
    for number, item in enumerate(work):
        if number and number % 20 == 0:
            print(f"{what}: {number} of {len(work)}, {monotonic() - start:.0f} s", file=sys.stderr, flush=True)
        yield item
