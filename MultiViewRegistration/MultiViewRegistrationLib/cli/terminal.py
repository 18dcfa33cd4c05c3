"""What a person at a terminal sees: one progress line, rewritten in place, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..geometry.landmarks import Residual
from ..jobs.progress import TimeLeft, left_in_words
from ..registration.pipeline import Progress

_WIDTH = 30


class ProgressLine:
    """Called with each `Progress`; silent where stderr is no terminal. Used as a context manager, it clears its line at the end."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.left = TimeLeft()
        self.shown = sys.stderr.isatty()

    def __call__(self, progress: Progress) -> None:
        self.show(progress.fraction, progress.stage)

    def show(self, fraction: float, stage: str) -> None:
        """`fraction` of the whole is done; the time left is told once it can be guessed."""
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


def landmark_table(residuals: Sequence[Residual]) -> str:
    """A line for each landmark and view: how far it is off at the start, and whether it was used."""
    names, views = (
        max(len(text) for text in column) for column in zip(*((each.name, each.view) for each in residuals))
    )
    return "\n".join(
        f"  {each.name:{names}}  {each.view:{views}}  {each.residual_px:6.1f} px  {each.residual_mm:6.2f} mm  {each.fate}"
        for each in residuals
    )
