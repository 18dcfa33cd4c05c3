"""Entry point of `mvreg`; also `python -m mvreg`, for Slicer's Python, which has no scripts on its path."""

import sys

from MultiViewRegistrationLib.cli.interrupt import exit_on_ctrl_c


def main() -> int:
    """Run the program and return its exit status."""
    with exit_on_ctrl_c():
        from MultiViewRegistrationLib.cli.main import main as run
    return run()


if __name__ == "__main__":
    sys.exit(main())
