#!/usr/bin/env python
"""How many files of the library one registration passes through, and how deep.

Python Testing/record/count_path.py [TREE] [--case CASE].

Runs `mvreg register` once in this process with a profile function and counts the files whose
functions are called, and the library's frames on the deepest stack. What merely runs on import does
not count; comprehensions count as part of their function.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

sys.path.insert(0, str(Path(__file__).parent))

from speed import SIM

PACKAGE = "MultiViewRegistrationLib"
INLINE = ("<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>", "<module>", "<lambda>")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "tree",
        nargs="?",
        type=Path,
        default=Path(__file__).resolve().parents[2],
        help="a checkout (default: this)",
    )
    parser.add_argument(
        "--case", type=Path, default=SIM / "pelvis-oblique-1", help="default: %(default)s"
    )
    parser.add_argument(
        "--options",
        nargs="*",
        default=[],
        help="of mvreg register, without the leading dashes: start=search",
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    tree = options.tree.resolve()
    sys.path.insert(0, str(tree / "MultiViewRegistration"))
    from MultiViewRegistrationLib.cli.main import main as program

    more = [word for each in options.options for word in f"--{each}".split("=", 1)]
    counts = Trail(tree / "MultiViewRegistration" / PACKAGE)
    with (
        tempfile.TemporaryDirectory() as folder,
        counts.counting(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        status = program(["register", str(options.case), *more, "--out", f"{folder}/out"])
    if status != 0:
        return status
    print(json.dumps(counts.to_json(), indent=1) if options.json else counts)
    return 0


class Trail:
    """The library's files that are entered, and the deepest stack of its frames."""

    def __init__(self, library: Path):
        self.library = library
        self.calls: Counter[str] = Counter()
        self.deepest: list[str] = []
        self._files: dict[CodeType, str | None] = {}

    @contextlib.contextmanager
    def counting(self):
        threading.setprofile(self._called)
        sys.setprofile(self._called)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _file(self, code: CodeType) -> str | None:
        """Below the library; None of other code, and of what belongs to another function or an import."""
        if code not in self._files:
            path = Path(code.co_filename)
            ours = (
                path.is_relative_to(self.library)
                and code.co_name not in INLINE
                and code.co_flags & 2
            )  # no class body
            self._files[code] = path.relative_to(self.library).as_posix() if ours else None
        return self._files[code]

    def _called(self, frame: FrameType, event: str, _) -> None:
        if event != "call" or (file := self._file(frame.f_code)) is None:
            return
        self.calls[file] += 1
        stack, at = [], frame
        while at is not None:
            if (where := self._file(at.f_code)) is not None:
                stack.append(f"{where}:{at.f_code.co_name}")
            at = at.f_back
        if len(stack) > len(self.deepest):
            self.deepest = stack[::-1]

    def to_json(self) -> dict:
        return {"files": sorted(self.calls), "frames": self.deepest}

    def __str__(self) -> str:
        lines = [f"{len(self.calls)} files", *(f"  {file}" for file in sorted(self.calls))]
        return "\n".join(
            [*lines, f"{len(self.deepest)} frames", *(f"  {frame}" for frame in self.deepest)]
        )


if __name__ == "__main__":
    sys.exit(main())
