"""A study: cases drawn by a seed, each measured once and kept as a row, and tables of the rows.

    python -m benchmarks STUDY CASES --seed N --rows ROWS.jsonl [--data ../shared/data] [--images FOLDER] [--page FILE.md]

Rows that are there are not measured again; with 0 cases their tables are printed alone.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from MultiViewRegistrationLib.registration.warm_up import warm_up

from . import DATA, ROOT, parser_of
from .kept import Rows, put

Options = argparse.Namespace


def numbered(options: Options) -> Iterable[tuple]:
    """A row for each case: its seed and number."""
    return ((options.seed, number) for number in range(options.cases))


@dataclass(frozen=True)
class Study:
    """What is drawn, measured and told.

    Attributes
    ----------
    about : of its module, for its command line.
    run : the row of a key, by the options of the command line.
    tables : Markdown of all rows; several by the names of their parts in a page.
    keys : of the rows, in their order.
    arguments : further ones of the command line, by name, as `add_argument` takes them; of flags
        their help alone.
    """

    about: str | None
    run: Callable[..., dict]
    tables: Callable[[list[dict]], str | dict[str, str]]
    keys: Callable[[Options], Iterable[tuple]] = numbered
    arguments: Mapping[str, str | dict[str, Any]] = field(default_factory=dict)

    def main(self) -> None:
        """The command: measure what is not there yet, and print the tables."""
        parser = parser_of(self.about)
        parser.add_argument("cases", type=int)
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--data", type=Path, default=DATA)
        parser.add_argument("--rows", type=Path, required=True)
        kept = ROOT / "build" / "images"
        parser.add_argument("--images", type=Path, default=kept, help="keeps simulated X-rays")
        parser.add_argument("--page", type=Path, help="a Markdown page to put the tables into, too")
        for name, how in self.arguments.items():
            flag = {"action": "store_true", "help": how}
            parser.add_argument(f"--{name}", **(flag if isinstance(how, str) else how))
        options = parser.parse_args()
        warnings.simplefilter("ignore")
        rows = Rows(options.rows)
        if options.cases:
            warm_up()
        for key in self.keys(options):
            print(json.dumps(rows.get(*key, measure=partial(self.run, options, *key))), flush=True)
        if rows.rows:
            tables = self.tables(list(rows.rows.values()))
            for name, text in ({"": tables} if isinstance(tables, str) else tables).items():
                print(text)
                if options.page:
                    put(options.page, f"{options.rows.stem} {name}".strip(), text)
