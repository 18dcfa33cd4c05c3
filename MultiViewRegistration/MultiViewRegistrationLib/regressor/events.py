"""Learning curves for TensorBoard, by its own package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ..errors import InputError
from .card import Card


def require() -> None:
    """InputError where TensorBoard's package is missing."""
    if find_spec("tensorboard") is None:
        raise InputError(
            "tensorboard: found no package of that name, expected it for the learning curves; pip install tensorboard."
        )


def write(folder: Path, card: Card) -> None:
    """The loss by step, and the errors in mm of all views together and of each alone."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for step, loss in card.losses:
            writer.add_scalar("loss", loss, step)
        for step, _seconds, together, *alone in card.validation:
            writer.add_scalar("error_mm/all views", together, step)
            for number, error in enumerate(alone, start=1):
                writer.add_scalar(f"error_mm/view {number}", error, step)
