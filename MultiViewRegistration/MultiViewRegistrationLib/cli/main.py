"""`mvreg`: the program.

Results go to stdout, messages and progress to stderr. Exit status: 0 done, 2 wrong use or bad
input, 1 failed, 130 stopped by Ctrl-C, or by the end of stdin where another program reads the
progress, 143 stopped by SIGTERM, 141 when the reader of its output has gone. With `register --exit-code` also 3, 4 and 5,
see `register.EXIT_STATUS`.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from contextlib import nullcontext
from importlib import import_module
from types import ModuleType

from .. import __version__
from ..errors import InputError, OutputError
from ..imaging import child
from ..jobs import Terminated, stopped_by_end_of_stdin, stopped_by_sigterm
from .options import CLEAR, Parser, log_to, say, sentence, show_all_folders

#: Commands, each with its module, which has a function `add_COMMAND`, and its line in the help.
COMMANDS = {
    "demo": ("demo", "register a real CT to simulated X-rays of it, and write a report"),
    "register": ("register", "register the CT of a case to its X-rays"),
    "train": ("train", "train a network to find the pose of a case's CT in its views"),
    "models": ("train", "list the trained models in your store, or remove one"),
    "render": ("render", "render the CT as each view of a case sees it (DRR)"),
    "track": ("track", "track a structure through the frames of a sequence"),
    "motion": ("track", "compute the motion of one tracked structure against another"),
    "calibrate": ("calibrate", "find the cameras of X-rays from beads that they show"),
    "case": ("case", "make, check, show or anonymise a case; list a DICOM folder"),
    "view": ("view", "work in a web page, until Ctrl-C: look, register, check, export"),
    "export": ("export", "write a result for other programs, or send it to navigation"),
    "selfcheck": ("selfcheck", "register a CT to its own scouts: how accurate is it?"),
    "evaluate": ("evaluate", "register many cases from many starts, and tabulate the errors"),
    "import": ("import_dataset", "make cases of public data sets"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit status."""
    words = sys.argv[1:] if arguments is None else list(map(str, arguments))
    show_all_folders()
    try:
        with stopped_by_sigterm(), warnings.catch_warnings():
            warnings.showwarning = _show_warning
            if words[:1] == ["register"]:
                child.start()  # while this process imports what it needs
            parser = _parser(words)
            if not words:
                parser.print_help(sys.stderr)
                return 2
            options = parser.parse_args(words)
            log_to(options.log)
            with stopped_by_end_of_stdin() if options.progress == "json" else nullcontext():
                answer = options.run(options)
        _print(json.dumps(answer, indent=1) + "\n" if options.json else "")
    except InputError as error:
        say(f"mvreg: {error}")
        return 1 if isinstance(error, OutputError) else 2
    except KeyboardInterrupt as stop:
        say("\nmvreg: stopped; every file is whole.")
        return 143 if isinstance(stop, Terminated) else 130
    except MemoryError:
        say(
            "mvreg: not enough memory; crop the CT to what the X-rays show, or close other "
            "programs."
        )
        return 1
    except BrokenPipeError:  # the reader, such as head, has seen enough
        _close_stdout()
        return 141
    except OSError as error:
        say(f"mvreg: {error.filename or 'file'}: {error.strerror or error}.")
        return 1
    return options.status


def _print(text: str) -> None:
    """Print what belongs on stdout. An OSError names it."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _close_stdout()
        raise OSError(error.errno, error.strerror, "standard output") from None


def _close_stdout() -> None:
    """Have what Python still flushes at its end go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(message: object, *_ignored, **_more) -> None:
    say(f"{CLEAR * sys.stderr.isatty()}mvreg: warning: {message}")


def _module(command: str, name: str) -> ModuleType:
    """Import the module of a command.

    Raises
    ------
    InputError
        In Slicer's extension for a command that it does not have.
    """
    try:
        return import_module(f".{name}", __package__)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(__package__.split(".")[0]):
            raise
        raise InputError(
            f"{command}: is not part of Slicer's extension; install mvreg from a copy of the "
            "repository (docs/install.md)."
        ) from None


def _parser(words: list[str]) -> Parser:
    """Return the parser for these words.

    Only the chosen command's module is imported, so that the program starts fast.
    """
    parser = Parser(
        prog="mvreg",
        description="Registers a CT to two or more X-ray images. For research use only: not a medical device.",
    )
    parser.describe(
        None,
        "COMMAND ...",
        "demo                # see it work on a chest CT and simulated X-rays",
        "case new --help     # describe your own CT and X-rays",
        "register case.json  # register them; the report lies in result/ beside the case",
        "register --help     # the options of a command",
    )
    parser.add_argument("--version", action="version", version=f"mvreg {__version__}")
    parser.set_defaults(progress="line", log=None, status=0)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=sentence(text))
        if words[:1] == [name]:
            getattr(_module(name, module), f"add_{name}")(command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
