"""The learned start. Imports PyTorch where a file needs it.

What lists and removes models does not.
"""

import os

# PyTorch's threads spin for milliseconds while they wait for each other, unless set before it is
# loaded: where other programs are at work on the same cores a step of training then takes several
# times as long. GNU's and Intel's OpenMP.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("KMP_BLOCKTIME", "1")
