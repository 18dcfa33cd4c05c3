"""The command line: a module for each command of `mvreg`."""

import os

#: Read by NumPy when it is imported. Matrices are small here, and threads of its own, which wait
#: for the next one, take the processor from ours.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
