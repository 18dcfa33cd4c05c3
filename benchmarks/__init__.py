"""The laboratory: simulated X-rays, the protocol, speed beside other programs, and what the numbers of docs/tables come from.

It imports the library and is imported by nothing of it. `python -m benchmarks` lists its commands.
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

#: The project's folder, and the folder of real data that may lie beside it.
ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
sys.path.insert(0, str(ROOT / "MultiViewRegistration"))  # not that of a copy that is installed


def parser_of(about: str | None) -> ArgumentParser:
    """A command line with this description, in its lines."""
    return ArgumentParser(description=about, formatter_class=RawDescriptionHelpFormatter)
