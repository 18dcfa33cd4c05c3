"""A model's folder: weights as safetensors, which hold numbers and never code, and their card.

A new state is written beside the old one, and the card that tells of it replaces the old card last: whatever happens in between, the
folder holds one whole state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ..errors import InputError
from ..io.files import sha256, write_atomically
from .card import CARD, Card

SUFFIX = ".safetensors"
#: No file of weights is larger.
MOST_BYTES = 1 << 30


def save(folder: Path, card: Card, tensors: Mapping[str, Tensor]) -> Card:
    """Write a state; returns the card as written. OSError where it cannot be written: then the state before is still there."""
    from safetensors.torch import save as to_bytes

    folder.mkdir(parents=True, exist_ok=True)
    data = to_bytes({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    digest = hashlib.sha256(data).hexdigest()
    card = replace(card, weights=f"weights-{digest[:12]}{SUFFIX}", weights_sha256=digest)
    write_atomically(folder / card.weights, data)
    write_atomically(folder / CARD, card.to_json())
    for old in folder.glob(f"weights-*{SUFFIX}"):
        if old.name != card.weights:
            with suppress(OSError):  # somebody reads it, on Windows
                old.unlink()
    return card


def load(folder: Path) -> tuple[Card, dict[str, Tensor]]:
    """The state in a folder.

    InputError where there is none, or it is not what was written: cut short, changed, or no safetensors at all.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    card = Card.read(folder)
    path = Path(folder) / card.weights
    if not card.weights.endswith(SUFFIX) or not path.is_file():
        raise InputError(
            f"{folder}: found no weights as safetensors, expected those that {CARD} tells of; train the model anew."
        )
    if path.stat().st_size > MOST_BYTES or sha256(path) != card.weights_sha256:
        raise InputError(
            f"{path}: is not the file that was written (cut short, damaged or changed); train the model anew."
        )
    try:
        return card, from_bytes(path.read_bytes())
    except SafetensorError:
        raise InputError(f"{path}: holds no weights as safetensors; train the model anew.") from None
