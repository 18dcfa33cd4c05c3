"""What the commands share: options, and one progress line on stderr, rewritten in place."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ..jobs import JsonProgress, TimeLeft, left_in_words
from ..published.methods import NAMES as REFINEMENTS

if TYPE_CHECKING:
    from ..registration.pipeline import Progress

_WIDTH = 30
PREPARING = "preparing (ten seconds longer the first time after installation)"


class ProgressLine:
    """Called with each `Progress`; silent where stderr is no terminal. Used as a context manager, it clears its line at the end."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.left = TimeLeft()
        self.shown = sys.stderr.isatty()

    def __call__(self, progress: Progress) -> None:
        self.show(progress.fraction, progress.stage)

    def show(self, fraction: float, stage: str) -> None:
        """Show the fraction done, the stage, and the time left once it is known."""
        if not self.shown:
            return
        what = ", ".join(filter(None, [stage, left_in_words(self.left.seconds(fraction))]))
        bar = ("#" * round(_WIDTH * fraction)).ljust(_WIDTH, ".")
        print(f"\r\x1b[K{self.title} [{bar}] {100 * fraction:3.0f} %  {what}", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *error: object) -> None:
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def progress_of(options: argparse.Namespace, title: str) -> ProgressLine | JsonProgress:
    """What shows the progress, as --progress asks."""
    return JsonProgress() if options.progress == "json" else ProgressLine(title)


def add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--json", action="store_true", help="print machine-readable output on stdout, and nothing else there"
    )


def add_progress(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--progress",
        choices=["line", "json"],
        default="line",
        help="progress on stderr; json: an object a line, for another program; then the end of stdin stops the work "
        "(default: %(default)s)",
    )


def add_refinement(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--refine",
        choices=REFINEMENTS,
        default="joint",
        help="joint: all views together, second order (default); the others are published ones, which need PyTorch",
    )
    add_device(command, "; a published refinement also runs on PyTorch's other devices, such as mps")


def add_device(command: argparse.ArgumentParser, more: str = "") -> None:
    command.add_argument(
        "--device",
        default="cpu",
        metavar="auto|cpu|cuda[:N]",
        help=f"where to compute; auto: a CUDA device if one can be used{more} (default: %(default)s)",
    )
