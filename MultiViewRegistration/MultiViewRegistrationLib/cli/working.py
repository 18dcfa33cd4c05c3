"""What the commands that take long share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..jobs.progress import JsonProgress

if TYPE_CHECKING:
    from .terminal import ProgressLine

PREPARING = "preparing (ten seconds longer the first time after installation)"


def progress_of(options: argparse.Namespace, title: str) -> ProgressLine | JsonProgress:
    """What tells the progress, as --progress asks."""
    if options.progress == "json":
        return JsonProgress()
    from .terminal import ProgressLine

    return ProgressLine(title)
