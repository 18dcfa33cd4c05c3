"""Common parts of the `mvreg` commands.

The parser, shared options, validation of paths before any work, and progress on stderr.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
import tempfile
import webbrowser
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import InputError, OutputError
from ..io.folders import complete
from ..jobs import JsonProgress, TimeLeft, left_in_words

if TYPE_CHECKING:
    from ..imaging.body import StructureSource
    from ..registration.optimizer import Progress

CASE_HELP = "case.json, or a folder that holds one"
RESULT_HELP = "result.json, or a folder that holds one"
MAX_LOOKED_AT = 20
_OPTION_IN_HELP = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")
_OPTION = re.compile(r"--?[A-Za-z]")
#: Codes for a terminal: go to the beginning of the line, and clear it.
CLEAR = "\r\x1b[K"
_WIDTH = 30
#: Where stderr is no terminal, a line is printed every so many seconds, whether or not there is
#: progress.
ALIVE_S = 10.0
PREPARING = "preparing"
COMPILING = "compiling kernels, once after installation, some ten seconds"
#: Does what a command is for, and returns what --json prints.
Run = Callable[[argparse.Namespace], dict | list[dict]]


class Parser(argparse.ArgumentParser):
    """The options of a command; an error in them is one sentence.

    The help begins with what the command does and ends with examples.
    """

    def __init__(self, **settings) -> None:
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, **settings})
        self._example = ""
        self._has_commands = False

    def describe(self, run: Run | None, usage: str, *examples: str) -> None:
        """Set what the command does, None of a group of commands, its usage, in short, and examples, both without its name."""
        if run:
            self.does(run)
        self.usage, self._example = f"{self.prog} {usage}", examples[0].partition("  ")[0]
        self.epilog = "\n  ".join(
            ["examples:", *(f"{self.prog} {example}" for example in examples)]
        )

    def does(self, run: Run) -> None:
        """Set what the command does, and add --json, which all commands have."""
        self.set_defaults(run=run)
        self.add_argument(
            "--json",
            action="store_true",
            help="print machine-readable output on stdout, and nothing else there",
        )

    def add_subparsers(self, **settings):
        """Add commands, under the name of this one."""
        self._has_commands = True
        return super().add_subparsers(**{"prog": self.prog, **settings})

    def format_help(self) -> str:
        """Return the help: what the command does first, then its usage."""
        usage, about, rest = super().format_help().split("\n\n", 2)
        return "\n\n".join([about, usage, rest])

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the words; an unknown option or argument is an error."""
        words = list(sys.argv[1:] if args is None else args)
        if not self._has_commands:  # whose command knows further ones
            known = set(_OPTION_IN_HELP.findall(self.format_help()))
            for option in (word.partition("=")[0] for word in words if _OPTION.match(word)):
                if not any(name.startswith(option) for name in known):
                    self.error(f"there is no option {option}{_nearest(option, known)}")
        namespace, unknown = super().parse_known_args(words, namespace)
        if unknown:
            self.error(
                f'unexpected argument "{unknown[0]}"; remove it, or quote values with spaces'
            )
        return namespace, unknown

    def error(self, message: str) -> NoReturn:
        """Refuse the words in one sentence, which says what to do.

        Raises
        ------
        InputError
            Always.
        """
        message = re.sub(r"^argument (?!-)[^:]*: ", "", message).removeprefix("argument ")
        if (missing := message.removeprefix("the following arguments are required: ")) != message:
            message = f"{missing} is missing" + (
                f"; give it, as in: {self.prog} {self._example}" if self._example else ""
            )
        if "; " not in message:  # it does not say what to do
            message += f"; see {self.prog} --help"
        command = self.prog.partition(" ")[2]
        raise InputError(
            f"{command}{': ' * bool(command)}{message}{'' if message.endswith('?') else '.'}"
        )

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = list(map(str, action.choices))
            hint = _nearest(str(value), choices) or f", expected {', '.join(choices)}"
            raise argparse.ArgumentError(action, f'found "{value}"{hint}')


def sentence(about: str) -> str:
    """Return the help of a command in its parent's list as the first line of its own."""
    return about[0].upper() + about[1:] + "." * (about[-1] != "?")


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def add_one_case(command: argparse.ArgumentParser, more: str = "") -> None:
    """Add the case to work on."""
    command.add_argument("case", type=case_path, metavar="CASE", help=CASE_HELP + more)


def add_out(command: argparse.ArgumentParser, help: str, **more: Any) -> None:
    """Add --out, a folder."""
    command.add_argument("--out", type=out_folder, metavar="DIR", help=help, **more)


def add_seed(command: argparse.ArgumentParser, of: str) -> None:
    """Add --seed; `of` says of what."""
    command.add_argument("--seed", type=int, default=0, help=f"{of} (default: %(default)s)")


def add_page(command: argparse.ArgumentParser, page: str) -> None:
    """Add --out and --open, for a page of this name."""
    command.add_argument(
        "--out",
        type=_page_file,
        metavar="FILE.html",
        help=f"the page (default: {page} here; none with --json)",
    )
    command.set_defaults(page=Path(page))
    add_open(command, "the page")


def add_open(command: argparse.ArgumentParser, what: str) -> None:
    """Add --open."""
    command.add_argument("--open", action="store_true", help=f"open {what} in a browser")


def keep_page(options: argparse.Namespace, write: Callable[[Path], object]) -> None:
    """Have the page of `add_page` written, and opened, where it is wanted."""
    out = options.out or (None if options.json else options.page)
    if out is not None:
        write(out)
        say(f"Wrote {out}")
        open_page(options, out)


def open_page(options: argparse.Namespace, page: Path) -> None:
    """Open a page in a browser, with --open."""
    if options.open:
        webbrowser.open(page.resolve().as_uri())


def add_progress(command: argparse.ArgumentParser) -> None:
    """Add --progress and --log."""
    command.add_argument(
        "--log",
        type=out_file,
        metavar="FILE",
        help="append messages, warnings and errors to this file, each line with its time",
    )
    command.add_argument(
        "--progress",
        choices=["line", "json"],
        default="line",
        help="progress on stderr; json: an object a line, for another program; then the end of stdin stops the work "
        "(default: %(default)s)",
    )


def add_refinement(command: argparse.ArgumentParser) -> None:
    """Add --refine and --device."""
    from ..finding import REFINEMENTS

    command.add_argument(
        "--refine",
        default="joint",
        metavar="|".join([*REFINEMENTS, "NAME"]),
        help="joint: all views together, second order (default); published ones, which need PyTorch; or NAME, of an installed package",
    )
    add_device(
        command, "; a published refinement also runs on PyTorch's other devices, such as mps"
    )


def add_device(command: argparse.ArgumentParser, more: str = "") -> None:
    """Add --device."""
    command.add_argument(
        "--device",
        default="auto",
        metavar="auto|cpu|cuda[:N]",
        help=f"where to compute; auto: on a CUDA device where one can be used and is the faster{more} (default: %(default)s)",
    )


def add_structures(command: argparse.ArgumentParser, default: str) -> None:
    """Add the options for several bones. `default` says what holds without them."""
    command.add_argument(
        "--ct-labels",
        type=labels_path,
        metavar="FILE",
        help="labels of several bones of the CT, each of which gets a pose of its own: an image of whole numbers, Slicer's .seg.nrrd, or "
        "a DICOM segmentation",
    )
    command.add_argument(
        "--structures",
        nargs="+",
        metavar="NAME[=LABEL]",
        help=f"which of them, by the names of their segments (L3 for vertebrae_L3) or as L1=31; all: each bone (default: {default})",
    )


class SearchRange(argparse.Action):
    """Reads DEG and MM into the `search` of a case."""

    WORDS = "DEG", "MM"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "nargs": 2, "type": float, "metavar": self.WORDS})

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Check the numbers.

        Raises
        ------
        InputError
            For one that no search has.
        """
        from ..io.case_settings import SEARCH
        from ..io.files import JsonObject

        given = JsonObject(self.option_strings[0], "", dict(zip(self.WORDS, values, strict=True)))
        limits = zip(self.WORDS, SEARCH.items(), strict=True)
        checked = {key: given.number(name, words, **of) for name, (key, (words, of)) in limits}
        setattr(namespace, self.dest, checked)


def labels_path(text: str) -> Path:
    """Check a file with labels, given as an option."""
    path = Path(text)
    _check_exists(path, "file with the labels of the CT's bones")
    if path.is_dir():
        raise argparse.ArgumentTypeError(
            f"{text} is a folder, expected the file of a segmentation; name that"
        )
    return path


def parse_structures(words: Sequence[str]) -> list[StructureSource]:
    """Return the structures that --structures names; none for all.

    Raises
    ------
    InputError
        For a name that cannot be part of a file's, and for "all" among others.
    """
    from ..imaging.body import StructureSource
    from ..io.case_file import ALL
    from ..io.files import JsonObject
    from ..io.view_record import view_name

    if ALL in words:
        if len(words) > 1:
            raise InputError(
                f"--structures: found {ALL} among other names, expected one of the two; leave one "
                "out."
            )
        return []
    sources = []
    for word in words:
        name, _, label = word.rpartition("=")
        has_label = bool(name) and label.isdecimal()
        name = view_name(
            JsonObject("--structures", "", {"name": name if has_label else word}), "structure"
        )
        sources.append(StructureSource(name, int(label) if has_label else None))
    return sources


def case_path(text: str) -> Path:
    """Check an argument that is a case.json or its folder.

    For something else the error says what to do with it.
    """
    path = Path(text)
    _check_exists(path, CASE_HELP)
    results = [path.name] if path.is_file() else [each.name for each in path.iterdir()]
    if {"result.json", "track.json"} & set(results) and "case.json" not in results:
        raise argparse.ArgumentTypeError(
            f"{text} is a result, expected the case.json that it was made of; name that"
        )
    if (
        path.is_dir()
        and not (path / "case.json").is_file()
        or path.is_file()
        and not _is_json(path)
    ):
        what, ct, image = _recognised(path)
        raise argparse.ArgumentTypeError(
            f"{text} is {what}, expected a case.json, which names CT, X-rays and their geometry; "
            f"make one: mvreg case new --ct {ct} --view AP {image} --out case.json"
        )
    hide_folder(path if path.is_dir() else path.parent, "case")
    return path


def result_path(text: str) -> Path:
    """Check an argument that is a result.json or its folder."""
    path = Path(text)
    complete(path if path.is_dir() else path.parent)
    _check_exists(path, RESULT_HELP)
    if path.is_dir() and not (path / "result.json").is_file() or path.name == "case.json":
        folder = path if path.is_dir() else path.parent
        there = (folder / "result" / "result.json").is_file()
        hint = (
            f"did you mean {folder / 'result'}?" if there else "register first: mvreg register CASE"
        )
        raise argparse.ArgumentTypeError(
            f"{text} is not a result, expected a {RESULT_HELP}; {hint}"
        )
    hide_folder(path if path.is_dir() else path.parent, "result")
    return path


def _check_exists(path: Path, expected: str) -> None:
    if not path.exists():
        names = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, names, n=1)
        hint = f"did you mean {path.with_name(near[0])}?" if near else "check the path"
        raise argparse.ArgumentTypeError(f"{path} does not exist, expected a {expected}; {hint}")


def _is_json(path: Path) -> bool:
    with path.open("rb") as file:
        return (
            path.suffix.lower() == ".json"
            or file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{"
        )


def _recognised(path: Path) -> tuple[str, str, str]:
    """Return the type of a path, and the CT and X-ray arguments of the command that creates a case with it."""
    from ..imaging.image_source import is_dicom
    from ..imaging.reading import image_header

    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.is_file())
        is_ct = any(map(_is_ct_slice, files[:MAX_LOOKED_AT]))
        return "a folder without a case.json", str(path) if is_ct else "CT", "IMAGE"
    if _is_ct_slice(path):
        return "a slice of a CT", str(path.parent), "IMAGE"
    try:
        size = [*image_header(path).size, 1, 1][:3]
    except InputError:  # not even an image
        return "no case", "CT", "IMAGE"
    if size[2] > 1 and not is_dicom(path):
        return "a volume", str(path), "IMAGE"
    return "an X-ray image", "CT", str(path)


def _is_ct_slice(path: Path) -> bool:
    from ..imaging.dicom_file import is_localizer, read_dicom

    try:
        file = read_dicom(path)
    except InputError:  # of a damaged one
        return False
    return file is not None and file.text("Modality") == "CT" and not is_localizer(file)


def checked(kind: Callable[[str], Path], path: Path) -> Path:
    """Return a path checked by one of these types.

    Raises
    ------
    InputError
        If the check fails.
    """
    try:
        return kind(str(path))
    except argparse.ArgumentTypeError as error:
        raise InputError(f"{error}.") from None


def out_folder(text: str) -> Path:
    """Check an option for a folder of results.

    Refused now where it cannot be made or written to.
    """
    return _writable(text, Path(text))


def out_file(text: str) -> Path:
    """Check an option for a file of results, and make its folder."""
    if Path(text).is_dir():
        raise argparse.ArgumentTypeError(
            f"{text} is a folder, expected the name of a file; add one"
        )
    return _writable(text, Path(text).parent)


def _page_file(text: str) -> Path:
    path = out_file(text)
    if path.suffix.lower() not in (".html", ".htm"):
        raise argparse.ArgumentTypeError(
            f"found {path.name}, expected the name of a page, as in page.html; correct it"
        )
    return path


def _writable(text: str, folder: Path) -> Path:
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        why = f"{there} is a file" if there.is_file() else error.strerror or error
        raise argparse.ArgumentTypeError(
            f"{text} cannot be written ({why}), expected a folder that can be made or written to; "
            "choose another"
        ) from None
    return Path(text)


def tell(options: argparse.Namespace, *lines: str) -> None:
    """Print lines on stdout; nothing with --json, which uses stdout for its output."""
    if not options.json:
        print(without_folders("\n".join(lines)))


#: What messages say in place of the paths of folders: a case's folder is often named after a
#: patient.
_hidden: dict[str, str] = {}


def show_all_folders() -> None:
    """Forget the folders of an earlier command."""
    _hidden.clear()


def hide_folder(folder: Path, kind: str) -> None:
    """Name a folder in messages by its kind, "case" or "result", and a number if there are several."""
    whole = folder.resolve()
    paths = {str(folder), str(folder.absolute()), str(whole), whole.name} - _hidden.keys()
    number = sum(words.startswith(f"({kind}") for words in {*_hidden.values()}) + 1
    for path in paths - {"", ".", folder.anchor, "mvreg"}:
        _hidden[path] = f"({kind} {number})" if number > 1 else f"({kind})"


def without_folders(text: str) -> str:
    """Return a message without the paths of hidden folders."""
    for path in sorted(_hidden, key=len, reverse=True):
        ends = r"(?![\w-])" if os.sep in path else r"(?=[/\\:]|$)"  # a name alone may be a word
        hidden = rf"(?m)(?<![\w./-]){re.escape(path)}{ends}"
        text = re.sub(hidden, _hidden[path], text)
    return text


#: Where messages go besides, with --log.
_log: Path | None = None


def log_to(path: Path | None) -> None:
    """Append messages from now on to a file, too; to none for None."""
    global _log
    _log = path


def _write_log(text: str) -> None:
    if _log is None:
        return
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    path = _log
    lines = [line for line in text.replace(CLEAR, "").splitlines() if line.strip()]
    try:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f"{now} {line}\n" for line in lines)
    except OSError as error:
        log_to(None)
        raise OutputError(
            f"--log: {path} cannot be written ({error.strerror}); choose another file."
        ) from None


def say(text: str, end: str = "\n") -> None:
    """Print a message on stderr, and into the log.

    It does not name a case's folder. Where its reader has gone, the work goes on without.
    """
    text = without_folders(text)
    if end:  # what is rewritten in place is no message
        _write_log(text)
    try:
        print(text, end=end, file=sys.stderr, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


class ProgressLine:
    """At a terminal one line, rewritten in place; elsewhere a line now and then.

    Called with each `Progress`. Used as a context manager, it clears its line at the end.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.fraction = 0.0
        self._left = TimeLeft()
        self._terminal = sys.stderr.isatty()
        self._said = f"mvreg: {title.lower()}"
        self._ended = Event()

    def __call__(self, progress: Progress) -> None:
        """Show a step of a registration."""
        self.show(progress.fraction, progress.stage)

    def show(self, fraction: float, stage: str) -> None:
        """Show the fraction done, the stage, and the time left once it is known."""
        self.fraction = fraction
        percent = f"{100 * fraction:3.0f} %"
        what = ", ".join(filter(None, [stage, left_in_words(self._left.seconds(fraction))]))
        if self._terminal:
            bar = ("#" * round(_WIDTH * fraction)).ljust(_WIDTH, ".")
            say(f"{CLEAR}{self.title} [{bar}] {percent}  {what}", end="")
        elif stage == COMPILING and COMPILING not in self._said:
            say(f"mvreg: {COMPILING}")
        self._said = f"mvreg: {self.title.lower()}, {percent.strip()}: {what}"

    def _stay_alive(self) -> None:
        while not self._ended.wait(ALIVE_S):
            say(self._said)

    def __enter__(self) -> ProgressLine:
        if not self._terminal:
            Thread(target=self._stay_alive, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if self._terminal:
            say(CLEAR, end="")


@contextmanager
def progress_of(options: argparse.Namespace, title: str) -> Iterator[ProgressLine | JsonProgress]:
    """Show progress as selected by --progress, starting with PREPARING; compilation of kernels is reported."""
    line = JsonProgress() if options.progress == "json" else ProgressLine(title)
    with line, _compiling_shown(line) if "numba" in sys.modules else nullcontext():
        line.show(0.0, PREPARING)
        yield line


def _compiling_shown(line: ProgressLine | JsonProgress):
    from ..rendering.devices import when_compiling

    return when_compiling(lambda: line.show(line.fraction, COMPILING))
