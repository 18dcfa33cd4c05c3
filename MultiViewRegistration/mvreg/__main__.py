"""`python -m mvreg`, where the program itself is on no path, as in Slicer's Python."""

import sys

from MultiViewRegistrationLib.cli.main import main

sys.exit(main())
