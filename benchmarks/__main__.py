"""The commands of the laboratory: python -m benchmarks COMMAND, from the project's folder."""

from __future__ import annotations

import sys
from importlib import import_module

from MultiViewRegistrationLib.errors import InputError

#: Commands, and what each does.
COMMANDS = {
    "speed": "measure speed, memory and accuracy beside other programs; `make bench`",
    "protocol": "simulate, register and judge thousands of cases",
    "make_cases": "make cases with simulated X-rays",
    "appearances": "register simulated X-rays of many appearances",
    "bent": "register bodies that are not rigid",
    "searches": "search without a start, on X-rays of any part of a CT",
    "summary": "print the summary of a table of mvreg evaluate",
    "spines": "register bodies of which only vertebrae moved",
    "bones": "register bones of bodies that bend",
    "real": "register real X-rays, right ones and ones with a fault",
    "compare": "hold verdicts and poses of two runs against each other",
    "fit_risk": "fit the risk and error models of whole CTs, structures and bones",
}
#: Commands that are a folder of modules. The others are a module of their name; its `main`, or that
#: of its STUDY, reads sys.argv.
FOLDERS = ("speed", "protocol")


def main(words: list[str]) -> int:
    """Run a command; returns its exit status.

    0 done, 2 wrong use or bad input, 130 stopped by Ctrl-C.
    """
    if not words or words[0] not in COMMANDS:
        lines = [f"  {name:16} {about}" for name, about in COMMANDS.items()]
        print("python -m benchmarks COMMAND [--help]\n", *lines, sep="\n", file=sys.stderr)
        return 2
    sys.argv = [f"python -m benchmarks {words[0]}", *words[1:]]
    try:
        module = import_module(f".{words[0]}{'.command' * (words[0] in FOLDERS)}", __package__)
        getattr(module, "STUDY", module).main()
    except InputError as error:
        print(f"{words[0]}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{words[0]}: stopped; every file is whole.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
