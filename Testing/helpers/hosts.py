"""Where the tests of panel and scene run: in Slicer's own application, whose Qt is PythonQt's, or on its stand-in."""

import sys

IN_SLICER = "PythonQt" in sys.modules
