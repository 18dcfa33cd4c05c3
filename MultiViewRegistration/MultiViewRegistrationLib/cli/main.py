"""`mvreg`: the program, and what its commands share: options, and one progress line on stderr, rewritten in place.

Results go to stdout, messages and progress to stderr. Exit status: 0 done, 2 wrong use or bad input, 1 failed, 130 stopped by Ctrl-C, or
by the end of stdin where another program reads the progress, 141 when the reader of its output has gone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from contextlib import nullcontext
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import InputError
from ..jobs import JsonProgress, TimeLeft, left_in_words, stopped_by_end_of_stdin

if TYPE_CHECKING:
    from ..registration.pipeline import Progress

#: Commands, each with its module, which has a function `add_COMMAND`, and its line in the help.
COMMANDS = {
    "demo": ("demo", "register a real CT to simulated X-rays of it, and write a report"),
    "register": ("register", "register the CT of a case to its X-rays"),
    "train": ("train", "train a network to find the pose of a case's CT in its views"),
    "models": ("train", "list the trained models in your store, or remove one"),
    "render": ("register", "render the CT as each view of a case sees it (DRR)"),
    "track": ("track", "track a structure through the frames of a sequence"),
    "motion": ("track", "compute the motion of one tracked structure against another"),
    "case": ("case", "make, check, show or anonymise a case"),
    "view": ("view", "work in a web page: look, register, check, export; until Ctrl-C"),
    "export": ("export", "write a result for other programs, or send it to navigation"),
    "selfcheck": ("selfcheck", "register a CT to its own scouts: how far from the scanner's pose does it end?"),
    "evaluate": ("studies", "register many cases from many starts, and tabulate the errors"),
    "import": ("import_dataset", "make cases of DeepFluoro, Ljubljana or an Autoscoper trial"),
    "bench": ("studies", "measure speed, memory and accuracy beside other programs"),
}
_WIDTH = 30
PREPARING = "preparing (ten seconds longer the first time after installation)"


def main(arguments: list[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            options = _options(sys.argv[1:] if arguments is None else list(map(str, arguments)))
            with stopped_by_end_of_stdin() if options.progress == "json" else nullcontext():
                answer = options.run(options)
        if options.json:
            print(json.dumps(answer, indent=1))
        sys.stdout.flush()
    except InputError as error:
        print(f"mvreg: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nmvreg: stopped; every file is whole.", file=sys.stderr)
        return 130
    except MemoryError:
        print(
            "mvreg: not enough memory; crop the CT to what the X-rays show, or close other programs.", file=sys.stderr
        )
        return 1
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python still flushes at its end
        return 141
    except OSError as error:
        print(f"mvreg: {error.filename or 'file'}: {error.strerror or error}.", file=sys.stderr)
        return 1
    return 0


def _show_warning(message, *_ignored, **_more) -> None:
    print(f"mvreg: warning: {message}", file=sys.stderr)


def _module(command: str, name: str) -> ModuleType:
    """The module of a command. InputError in Slicer's extension for a command that it does not have."""
    try:
        return import_module(f".{name}", __package__)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(__package__.split(".")[0]):
            raise
        raise InputError(
            f"{command}: is not part of Slicer's extension; install the package multiview-registration with pip."
        ) from None


def _options(arguments: list[str]) -> argparse.Namespace:
    """The options. Only the chosen command's module is imported, so that the program starts fast."""
    parser = argparse.ArgumentParser(
        prog="mvreg", description="Registers a CT to two or more X-ray images. For research use only."
    )
    parser.add_argument("--version", action="version", version=f"mvreg {__version__}")
    parser.set_defaults(progress="line")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        if arguments[:1] == [name]:
            getattr(_module(name, module), f"add_{name}")(command)
    return parser.parse_args(arguments)


class ProgressLine:
    """Called with each `Progress`; silent where stderr is no terminal. Used as a context manager, it clears its line at the end."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.left = TimeLeft() if sys.stderr.isatty() else None

    def __call__(self, progress: Progress) -> None:
        self.show(progress.fraction, progress.stage)

    def show(self, fraction: float, stage: str) -> None:
        """Show the fraction done, the stage, and the time left once it is known."""
        if self.left is None:
            return
        what = ", ".join(filter(None, [stage, left_in_words(self.left.seconds(fraction))]))
        bar = ("#" * round(_WIDTH * fraction)).ljust(_WIDTH, ".")
        print(f"\r\x1b[K{self.title} [{bar}] {100 * fraction:3.0f} %  {what}", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *error: object) -> None:
        if self.left is not None:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def progress_of(options: argparse.Namespace, title: str) -> ProgressLine | JsonProgress:
    """The progress display that --progress selects."""
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
    from ..published.methods import NAMES  # takes a second, and not every command refines

    command.add_argument(
        "--refine",
        choices=NAMES,
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


if __name__ == "__main__":
    sys.exit(main())
